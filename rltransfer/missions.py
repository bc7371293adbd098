"""Missions in words, such as MiniGrid's and BabyAI's, as numbers that a policy can read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from rltransfer import registry
from rltransfer.errors import BadArgument, BadEnvironment, SpaceMismatch

__all__ = ["AppendMission", "missions_of", "vectors_of"]

Embed = Callable[[Sequence[str]], Any]


class AppendMission(gym.ObservationWrapper, RecordConstructorArgs):
    """Shows the vector of an episode's mission behind the rest of the observation, as one vector.

    Vectors are given as data: environments in worker processes, and agents that are loaded
    elsewhere, need no language model.

    Args:
        env: Environment with Dict observations, one of which is the mission, a text.
        vectors: Vector of each mission that may occur, all of one length; see :func:`vectors_of`.
        show: Other observations to show, in this order, each flattened.
        mission: Name of the observation that is the mission.
        shuffle: Show the vector of a random mission, drawn anew for each episode. A control: a
            learner that does as well with it does not read its missions.

    Raises:
        SpaceMismatch: There are no such observations.
        BadArgument: Vectors are missing, not finite, or not of one length.
    """

    def __init__(
        self,
        env: gym.Env,
        vectors: Mapping[str, Sequence[float]],
        show: Sequence[str] = ("image",),
        mission: str = "mission",
        shuffle: bool = False,
    ) -> None:
        self._vectors = _checked(vectors)
        self._parts = _parts(env.observation_space, [*show], mission)
        plain = {text: vector.tolist() for text, vector in self._vectors.items()}
        RecordConstructorArgs.__init__(
            self, vectors=plain, show=[*show], mission=mission, shuffle=shuffle
        )
        gym.ObservationWrapper.__init__(self, env)
        self._mission, self._shuffle = mission, shuffle
        self._random = np.random.default_rng()
        self._drawn = ""
        table = np.stack([*self._vectors.values()])
        flat: list[Any] = [spaces.flatten_space(part) for part in self._parts.values()]
        low = [*(part.low for part in flat), table.min(axis=0)]
        high = [*(part.high for part in flat), table.max(axis=0)]
        self.observation_space = spaces.Box(_joined(low), _joined(high), dtype=np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode."""
        if seed is not None:
            # Not the environment's generator: with and without shuffling, episodes are the same.
            self._random = np.random.default_rng([seed, len(self._vectors)])
        self._drawn = list(self._vectors)[int(self._random.integers(len(self._vectors)))]
        return super().reset(seed=seed, options=options)

    def observation(self, observation: Mapping[str, Any]) -> np.ndarray:
        """Flatten an observation, shape (n,), float32."""
        text = self._drawn if self._shuffle else observation[self._mission]
        if text not in self._vectors:
            raise BadEnvironment(
                f"the mission {text!r:.120} has no vector: give one for each mission that may occur"
            )
        shown = [spaces.flatten(part, observation[key]) for key, part in self._parts.items()]
        return _joined([*shown, self._vectors[text]])


def missions_of(task: str, *, mission: str = "mission") -> list[str]:
    """List the missions that an environment of MiniGrid may give.

    Args:
        task: Gymnasium id, or ``module:id``.
        mission: Name of the observation that is the mission.

    Raises:
        UnknownName: There is no such task.
        SpaceMismatch: It has no missions.
        BadArgument: The environment does not say which there are, as most of BabyAI do not.
    """
    env = registry.make(task)
    try:
        _parts(env.observation_space, [], mission)
        text: Any = env.observation_space[mission]  # pyright: ignore[reportIndexIssue]
    finally:
        env.close()
    if not hasattr(text, "ordered_placeholders"):
        raise BadArgument(f"{task} does not say which missions there are: list them yourself")
    choices = text.ordered_placeholders or []
    return list(dict.fromkeys(text.mission_func(*words) for words in product(*choices)))


def vectors_of(missions: Iterable[str], embed: Embed) -> dict[str, list[float]]:
    """Embed each mission once.

    Args:
        missions: The missions.
        embed: From a list of sentences to an array with a row for each, such as
            :func:`rltransfer.policies.sentences.embed` or a
            :class:`rltransfer.policies.language_model.SentenceEncoder`.

    Returns:
        Vectors for :class:`AppendMission`, as JSON data.

    Raises:
        BadArgument: ``missions`` is a single text, or ``embed`` gave something else than one finite
            vector for each.
    """
    if isinstance(missions, str):
        raise BadArgument(f"missions is {missions!r:.80}: give a list, such as [{missions!r:.80}]")
    texts = list(dict.fromkeys(missions))
    given = embed(texts)
    try:
        found = np.asarray(given, np.float32)
    except (TypeError, ValueError) as error:
        raise BadArgument(f"embed gave {given!r:.80}: expected an array of numbers") from error
    if found.ndim != 2 or len(found) != len(texts):
        raise BadArgument(f"embed gave an array of shape {found.shape} for {len(texts)} missions")
    named = dict(zip(texts, found, strict=True))
    return {text: vector.tolist() for text, vector in _checked(named).items()}


def _joined(parts: Sequence[Any]) -> np.ndarray:
    return np.concatenate(parts).astype(np.float32)


def _checked(vectors: Any) -> dict[str, np.ndarray]:
    given = dict(vectors) if isinstance(vectors, Mapping) else {}
    try:
        found = {text: np.asarray(vector, np.float32) for text, vector in given.items()}
    except (TypeError, ValueError) as error:
        raise BadArgument(f"vectors of missions are not numbers: {error}") from error
    shapes = {vector.shape for vector in found.values()}
    one_length = len(shapes) == 1 and all(len(shape) == 1 and shape[0] for shape in shapes)
    if not one_length or not all(np.isfinite(vector).all() for vector in found.values()):
        raise BadArgument(
            "vectors must be a mapping from missions to lists of finite numbers, all of one "
            "length: see rltransfer.missions.vectors_of"
        )
    return found


def _parts(space: spaces.Space, show: Sequence[str], mission: str) -> dict[str, spaces.Space]:
    known = space.spaces if isinstance(space, spaces.Dict) else {}
    if mission not in known:
        raise SpaceMismatch(
            f"AppendMission needs Dict observations with a text {mission!r}, the environment has "
            f"{space}: put it inside of wrappers that drop the mission"
        )
    can = [key for key, part in known.items() if key != mission and _is_flat(part)]
    for key in show:
        if key not in can:
            raise SpaceMismatch(f"show has {key!r}, and what can be shown is {can}")
    return {key: known[key] for key in show}


def _is_flat(space: spaces.Space) -> bool:
    try:
        return space.is_np_flattenable
    except NotImplementedError:  # of spaces that do not say, such as MiniGrid's missions
        return False
