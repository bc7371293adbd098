"""Acting while the world changes: what returns too little for long is fine-tuned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from rltransfer.agents import Agent, Card, load
from rltransfer.agents.files import atomic_write, csv_of
from rltransfer.agents.numbers import whole
from rltransfer.changes import Cusum, Detector
from rltransfer.errors import BadArgument
from rltransfer.evaluate import HELD_OUT_SEED, Evaluator
from rltransfer.evaluation.given import require_fit
from rltransfer.evaluation.undisturbed import seeded
from rltransfer.methods import ROLES
from rltransfer.presets import recipe as preset
from rltransfer.recipe import Recipe
from rltransfer.training.ppo import check_steps
from rltransfer.transfer import adapt

__all__ = ["OnlineRun", "Retraining", "online"]


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """One time that the agent was fine-tuned.

    Attributes:
        episode: Index of the episode whose return raised the alarm.
        task: Gymnasium id of what was played, and trained on.
        steps: Environment steps of the training.
    """

    episode: int
    task: str
    steps: int


@dataclass(frozen=True, kw_only=True, eq=False)
class OnlineRun:
    """What happened to an agent in a stream of episodes.

    Attributes:
        agent: The agent at the end.
        returns: Return of each episode, (episodes,).
        tasks: Gymnasium id of the task of each episode, (episodes,).
        retrainings: When it was fine-tuned.
        played: Environment steps of the episodes.
    """

    agent: Agent
    returns: np.ndarray
    tasks: tuple[str, ...]
    retrainings: tuple[Retraining, ...]
    played: int

    @property
    def alarms(self) -> tuple[int, ...]:
        """Indexes of the episodes that raised an alarm."""
        return tuple(one.episode for one in self.retrainings)

    @property
    def trained(self) -> int:
        """Environment steps of all trainings."""
        return sum(one.steps for one in self.retrainings)

    def write_csv(self, path: str | Path) -> Path:
        """Write one row for each episode: its index, task, return, and whether it was an alarm.

        Args:
            path: The file; its folder must exist.

        Raises:
            NotWritable: It could not be written; what was there before is unharmed.
        """
        played = enumerate(zip(self.tasks, self.returns.tolist(), strict=True))
        rows = [(i, task, one, int(i in self.alarms)) for i, (task, one) in played]
        atomic_write(Path(path), csv_of([("episode", "task", "return", "alarm"), *rows]))
        return Path(path)

    def __str__(self) -> str:
        lines = [
            f"{len(self.returns)} episodes, mean return {self.returns.mean():.4g}; "
            f"{self.played:,} steps played, {self.trained:,} trained"
        ]
        lines += [
            f"  episode {one.episode}: fine-tuned on {one.task} for {one.steps:,} steps"
            for one in self.retrainings
        ]
        return "\n".join(lines)


def online(
    agent: Agent | str | Path,
    stream: Iterable[tuple[str, int]],
    recipe: Recipe | str = "full",
    *,
    steps: int,
    detector: Cusum | None = None,
    retries: int = 3,
    deterministic: bool = True,
    max_steps: int | None = None,
    seed: int = 0,
    **options: Any,
) -> OnlineRun:
    """Play a stream of episodes, and fine-tune the agent whenever its returns fell.

    The agent is not told when the task changes: a detector watches its returns. An alarm makes
    ``adapt(agent, task, recipe).learn(steps)`` on the task of that moment, of which the result
    plays on. Its returns are still compared with those from before the change: where they are too
    low again, it is trained on. What lasts for as many episodes as a warm-up has, or remains after
    all retries, is normal from then on; while the detector learns that, it raises no alarm.
    Nobody measures what a fine-tuned agent scores, so recipes that choose by a score go on to
    compare with that of the first agent where a task has no reference. All that can be checked
    without acting is, before the first episode.

    Args:
        agent: An agent, the name of a zoo agent, or a path.
        stream: Gymnasium ids with numbers of episodes, in the order in which they are played.
        recipe: How the agent is carried over to the task of the moment.
        steps: Environment steps of each fine-tuning, at least 1.
        detector: Settings of the detector.
        retries: Trainings after one change, at least 1.
        deterministic: Play the most likely actions; else sample.
        max_steps: Steps after which an episode ends at the latest; needed where a task has no time
            limit of its own.
        seed: Seed of the trainings; the ``n``-th has ``seed + n``. The episodes that are played
            are the same for every seed.
        **options: Of :func:`rltransfer.adapt`, such as ``n_envs``, or hyperparameters.

    Raises:
        UnknownName: There is no such agent, task, recipe or hyperparameter.
        SpaceMismatch: The agent's spaces are not those of a task.
        BadArgument: A number is out of range, the stream is empty, or a task has no time limit.
        RecipeError: The recipe does not fit.
    """
    check_steps(steps)
    if type(retries) is not int or retries < 1:
        raise BadArgument(f"retries is {retries!r}: give a whole number, at least 1")
    wanted, watch = preset(recipe), _Watch(Detector(detector), retries)
    agent, seed = agent if isinstance(agent, Agent) else load(agent), whole("seed", seed)
    reference = agent.card.score
    returns: list[float] = []
    retrainings: list[Retraining] = []
    tasks, played, player = _episodes(stream), 0, _Player(agent, deterministic, max_steps)
    for task in dict.fromkeys(tasks):
        player.check(task)
        _check_training(agent, task, wanted, seed, options)
    for index, task in enumerate(tasks):
        result = player.play(task, HELD_OUT_SEED + index)
        returns.append(result.mean)
        played += result.steps
        if watch.alarms(result.mean):
            model_seed = seed + len(retrainings)
            source = agent.with_card(score=reference)
            agent, spent = _finetuned(source, task, wanted, steps, seed=model_seed, **options)
            retrainings.append(Retraining(episode=index, task=task, steps=spent))
            player = _Player(agent, deterministic, max_steps)
    return OnlineRun(
        agent=agent,
        returns=np.array(returns),
        tasks=tasks,
        retrainings=tuple(retrainings),
        played=played,
    )


class _Watch:
    """Keeps to the old normal after an alarm, until it is regained or given up."""

    def __init__(self, detector: Detector, retries: int) -> None:
        self._detector, self._retries = detector, retries
        self._tries = self._quiet = 0

    def alarms(self, value: float) -> bool:
        """Whether the next return raises an alarm."""
        alarm = self._detector.update(value)
        self._tries, self._quiet = self._tries + alarm, 0 if alarm else self._quiet + 1
        settled = self._quiet >= self._detector.settings.warmup
        if self._tries >= self._retries or (self._tries and settled):
            self._detector.reset()
            self._tries = 0
        elif alarm:
            self._detector.clear()
        return alarm


class _Player:
    """Plays single episodes with an agent that is built once."""

    def __init__(self, agent: Agent, deterministic: bool, max_steps: int | None) -> None:
        self._model, self._normalization = agent.build(), agent.normalization
        self._deterministic, self._max_steps = deterministic, max_steps

    def check(self, task: str) -> None:
        """Refuse a task that cannot be played."""
        with Evaluator(task, episodes=1, max_steps=self._max_steps) as evaluator:
            require_fit(self._model, evaluator.envs[0], task, self._normalization)

    def play(self, task: str, seed: int) -> Any:
        """Play one episode."""
        with Evaluator(task, episodes=1, seed=seed, max_steps=self._max_steps) as evaluator:
            return evaluator.run(
                self._model, deterministic=self._deterministic, normalization=self._normalization
            )


def _check_training(
    agent: Agent, task: str, recipe: Recipe, seed: int, options: Mapping[str, Any]
) -> None:
    """Refuse what could not be trained, without the methods and selectors that would act."""
    acting = {role: () for role in ROLES if role != "grow"}
    with seeded(seed):
        model = adapt(agent, task, recipe.but(select=None, **acting), seed=seed, **options)
        model.get_env().close()  # pyright: ignore[reportOptionalMemberAccess]


def _finetuned(
    agent: Agent, task: str, recipe: Recipe, steps: int, *, seed: int, **options: Any
) -> tuple[Agent, int]:
    """Fine-tune, and return the agent and the environment steps that it took."""
    model = adapt(agent, task, recipe, seed=seed, **options)
    try:
        model.learn(steps)
        card = Card(
            name=agent.card.name,
            task=task,
            steps=model.num_timesteps,
            seed=seed,
            versions=agent.card.versions,
            created=datetime.now(UTC).date().isoformat(),
            source=agent.card.name,
        )
        return Agent.from_model(model, card=card), model.num_timesteps
    finally:
        model.get_env().close()  # pyright: ignore[reportOptionalMemberAccess]


def _episodes(stream: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    """The task of each episode."""
    try:
        pairs = [(task, count) for task, count in stream]
        if not all(isinstance(task, str) for task, _ in pairs):
            raise TypeError("a task is no text")
    except (TypeError, ValueError) as error:
        raise BadArgument(
            f"stream is {stream!r:.80}: give tasks and episodes, [('CartPole-v1', 50)]"
        ) from error
    if not pairs:
        raise BadArgument("the stream is empty: give tasks and episodes, [('CartPole-v1', 50)]")
    counts = [whole("the number of episodes in the stream", count, least=1) for _, count in pairs]
    return tuple(task for (task, _), count in zip(pairs, counts, strict=True) for _ in range(count))
