"""Evaluation on fixed held-out episodes, which leaves training exactly as it was.

There is one environment per episode, and one policy call a step for all of them. Episode ``i`` is
reset with ``seed + i``, so that it starts the same for whoever acts and whenever it is played.
"""

from __future__ import annotations

from typing import Any

from gymnasium.envs.registration import EnvSpec

from rltransfer.agents.normalization import Normalization
from rltransfer.evaluation.evaluator import HELD_OUT_SEED, Evaluator
from rltransfer.evaluation.given import load_if_named, trained_on
from rltransfer.evaluation.result import Evaluation

__all__ = ["HELD_OUT_SEED", "Evaluation", "Evaluator", "evaluate", "random_score"]


def evaluate(
    actor: Any,
    task: str | EnvSpec | None = None,
    *,
    episodes: int = 20,
    deterministic: bool = True,
    seed: int = HELD_OUT_SEED,
    normalization: Normalization | None = None,
    max_steps: int | None = None,
) -> Evaluation:
    """Let an agent play held-out episodes of a task.

    Nothing that training depends on changes: the random streams of torch, numpy and Python, the
    modes of the policy's modules, its noise matrices, normalization statistics and recurrent states
    are as before. A sampled evaluation gives the same for the same seed.

    Args:
        actor: A Stable-Baselines3 PPO, MaskablePPO or RecurrentPPO, an :class:`rltransfer.Agent`, a
            path, or a name of the zoo. Of an agent of several tasks, ``task`` must be one.
        task: Gymnasium id, ``module:id``, or a spec; by default what ``actor`` was
            trained on.
        episodes: Number of episodes, at least 1.
        deterministic: Take the most likely action; else sample.
        seed: Episode ``i`` is reset with ``seed + i``.
        normalization: How observations are normalized; by default as the agent, or the model's
            ``VecNormalize``, says.
        max_steps: Episodes end after so many steps at the latest; needed where the environment has
            no time limit of its own.

    Returns:
        The returns, in units of the task: rewards are never normalized.

    Raises:
        UnknownName: There is no such task, or no such agent.
        SpaceMismatch: The agent's spaces are not those of the task.
        BadEnvironment: An observation or reward is not finite, or of another shape than promised.
        BadArgument: An argument is outside its range, or ``task`` or ``max_steps`` is needed.
    """
    actor = load_if_named(actor, task)
    where = trained_on(actor) if task is None else task
    with Evaluator(where, episodes=episodes, seed=seed, max_steps=max_steps) as evaluator:
        return evaluator.run(actor, deterministic=deterministic, normalization=normalization)


def random_score(
    task: str | EnvSpec,
    *,
    episodes: int = 100,
    seed: int = HELD_OUT_SEED,
    max_steps: int | None = None,
) -> Evaluation:
    """Play episodes with uniformly random actions; the 0 of normalized scores.

    Args:
        task: Gymnasium id, ``module:id``, or a spec.
        episodes: Number of episodes, at least 1.
        seed: Episode ``i`` is reset with ``seed + i``; its actions are drawn from that seed too.
        max_steps: As in :func:`evaluate`.

    Raises:
        BadArgument: An argument is outside its range, or ``max_steps`` is needed.
    """
    with Evaluator(task, episodes=episodes, seed=seed, max_steps=max_steps) as evaluator:
        return evaluator.random()
