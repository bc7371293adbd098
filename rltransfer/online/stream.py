"""Acting while the world changes: what returns too little for long is fine-tuned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from rltransfer.agents import Agent, Card, load
from rltransfer.agents.numbers import check_steps, whole
from rltransfer.changes import Cusum, Detector
from rltransfer.errors import BadArgument
from rltransfer.evaluate import HELD_OUT_SEED
from rltransfer.evaluation.undisturbed import seeded
from rltransfer.methods import ROLES
from rltransfer.online.acting import Player, Watch
from rltransfer.online.outcome import OnlineRun, Retraining
from rltransfer.presets import recipe as preset
from rltransfer.recipe import Recipe
from rltransfer.transfer import adapt


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
    wanted, watch = preset(recipe), Watch(Detector(detector), retries)
    agent, seed = agent if isinstance(agent, Agent) else load(agent), whole("seed", seed)
    reference = agent.card.score
    returns: list[float] = []
    retrainings: list[Retraining] = []
    tasks, played, player = _episodes(stream), 0, Player(agent, deterministic, max_steps)
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
            player = Player(agent, deterministic, max_steps)
    return OnlineRun(
        agent=agent,
        returns=np.array(returns),
        tasks=tasks,
        retrainings=tuple(retrainings),
        played=played,
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
