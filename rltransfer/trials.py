"""Trials: several episodes of one sampled task as one, for policies that learn by remembering."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from rltransfer import registry
from rltransfer.errors import BadArgument, RegistrationConflict, SpaceMismatch
from rltransfer.randomizing import PARAMETERS

__all__ = ["Trials", "trials"]

ENTRY_POINT = f"{__name__}:Trials"


class Trials(gym.Env):
    """Concatenates episodes of one task into a trial; the task is drawn anew for each trial.

    A recurrent policy keeps its state from the first step of a trial to the last, and can thus
    use in later episodes what it found out in earlier ones (Duan et al. 2016; Wang et al. 2016).
    For that it observes, behind the flattened observation of the task: the last action (one-hot if
    it is discrete), the last reward, and 1 where an episode has just ended; all 0 at first. At the
    end of an episode it sees the first observation of the next one.

    A task of :func:`rltransfer.randomizing.randomized` keeps its parameters during a trial.

    Args:
        tasks: Gymnasium ids; all with equal spaces.
        episodes: Episodes of a trial, at least 1.

    Raises:
        BadArgument: There is no task, or ``episodes`` is no whole number of at least 1.
        SpaceMismatch: The spaces of the tasks differ, or cannot be flattened.

    Attributes:
        returns: Return of each episode of this trial so far.
        task: Id of the task of this trial.
    """

    def __init__(self, tasks: Sequence[str], episodes: int = 2) -> None:
        if type(episodes) is not int or episodes < 1:
            raise BadArgument(f"episodes is {episodes!r}: give a whole number, at least 1")
        self._episodes = episodes
        with ExitStack() as opened:
            self._envs: dict[str, gym.Env] = {}
            for id in _ids(tasks):
                self._envs[id] = registry.make(id)
                opened.callback(self._envs[id].close)
            self._env = _alike(self._envs)
            self._seen = self._env.observation_space
            self.action_space = self._env.action_space
            self.observation_space = _observed(self._seen, self.action_space)
            opened.pop_all()
        self.task, self.returns = next(iter(self._envs)), [0.0]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Draw a task and begin a trial."""
        super().reset(seed=seed)
        self.task = [*self._envs][int(self.np_random.integers(len(self._envs)))]
        self._env, self.returns = self._envs[self.task], [0.0]
        first = int(self.np_random.integers(2**31))
        observation, info = self._env.reset(seed=first, options=options)
        silent = np.zeros(spaces.flatdim(self.action_space))
        return self._shown(observation, silent, 0.0, False), {**info, "task": self.task}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take a step; the trial terminates with its last episode."""
        observation, reward, terminated, truncated, info = self._env.step(action)
        self.returns[-1] += float(reward)
        ended = terminated or truncated
        over = ended and len(self.returns) == self._episodes
        if ended and not over:
            self.returns.append(0.0)
            observation, _ = self._env.reset(options=self._same())
        taken = spaces.flatten(self.action_space, action)
        shown = self._shown(observation, taken, float(reward), ended)
        return shown, float(reward), over, False, info

    def close(self) -> None:
        """Close the environments."""
        for env in self._envs.values():
            env.close()

    def _same(self) -> dict[str, Any] | None:
        """Options that keep the parameters of a randomized task."""
        if not self._env.has_wrapper_attr(PARAMETERS):
            return None
        return {PARAMETERS: self._env.get_wrapper_attr(PARAMETERS)}

    def _shown(self, observation: Any, action: Any, reward: float, ended: bool) -> np.ndarray:
        flat: Any = spaces.flatten(self._seen, observation)
        return np.concatenate([flat, action, [reward, ended]]).astype(np.float32)


def trials(tasks: str | Sequence[str], new_id: str, *, episodes: int = 2) -> str:
    """Register a task whose episodes are trials of other tasks; see :class:`Trials`.

    Args:
        tasks: Gymnasium ids with time limits; one is enough where its parameters are randomized.
        new_id: Gymnasium id of the new task, such as ``"my/PoleTrials-v0"``.
        episodes: Episodes of a trial, at least 1.

    Returns:
        ``new_id``. Registering the same again changes nothing.

    Raises:
        UnknownName: There is no such task.
        BadArgument: There is no task, one has no time limit, or ``episodes`` is out of range.
        SpaceMismatch: The spaces of the tasks differ, or cannot be flattened.
        RegistrationConflict: ``new_id`` is taken by something else.
    """
    ids = _ids(tasks)
    Trials(ids, episodes).close()  # Whatever it refuses is refused now.
    arguments = {"tasks": ids, "episodes": episodes}
    limit = episodes * max(_limit(id) for id in ids)
    try:
        new = EnvSpec(id=new_id, entry_point=ENTRY_POINT, kwargs=arguments, max_episode_steps=limit)
    except gym.error.Error as error:
        raise BadArgument(f"new_id is {new_id!r}: give an id such as 'my/Trials-v0'") from error
    if gym.registry.get(new_id, new) != new:
        raise RegistrationConflict(f"task {new_id!r} is another environment: choose another name")
    known = [registry.task(id) for id in ids]
    registry.register_task(
        new_id,
        family=known[0].family,
        summary=f"{episodes} episodes of one of {len(ids)} task(s) in a row",
        params=arguments,
        extra=next((one.extra for one in known if one.extra), None),
    )
    gym.registry.setdefault(new_id, new)
    return new_id


def _ids(tasks: str | Sequence[str]) -> list[str]:
    ids = [tasks] if isinstance(tasks, str) else list(tasks)
    if not ids or len(set(ids)) < len(ids):
        raise BadArgument(f"tasks is {tasks!r}: give at least one, and none twice")
    return ids


def _limit(id: str) -> int:
    limit = registry.spec(id).max_episode_steps
    if limit is None:
        raise BadArgument(f"{id} has no time limit, a trial may never end: register it with one")
    return limit


def _alike(envs: dict[str, gym.Env]) -> gym.Env:
    """Return the first environment, if the others have its spaces."""
    (first, env), *others = envs.items()
    for id, other in others:
        alike = _sees(env.observation_space, other.observation_space)
        if not alike or env.action_space != other.action_space:
            raise SpaceMismatch(
                f"{id} has {other.observation_space} and {other.action_space}, {first} has "
                f"{env.observation_space} and {env.action_space}: the tasks of a trial need equal"
                " ones, adapters can make them so"
            )
    return env


def _sees(one: spaces.Space, other: spaces.Space) -> bool:
    """Whether observations are alike, but for bounds, which nothing depends on."""
    if isinstance(one, spaces.Box) and isinstance(other, spaces.Box):
        return one.shape == other.shape and one.dtype == other.dtype
    return one == other


def _observed(seen: spaces.Space, actions: spaces.Space) -> spaces.Box:
    flat = spaces.flatten_space(seen) if seen.is_np_flattenable else None
    if not isinstance(flat, spaces.Box) or len(seen.shape or ()) > 1:
        raise SpaceMismatch(f"a trial needs observations that can be flattened, not {seen}")
    if not isinstance(spaces.flatten_space(actions), spaces.Box):
        raise SpaceMismatch(f"a trial needs actions that can be flattened, not {actions}")
    count = flat.shape[0] + spaces.flatdim(actions) + 2
    return spaces.Box(-np.inf, np.inf, (count,), np.float32)
