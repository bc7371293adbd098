"""RL^2: a recurrent policy whose memory is its learning algorithm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rltransfer import registry
from rltransfer.agents import Agent
from rltransfer.errors import BadArgument
from rltransfer.evaluate import HELD_OUT_SEED, Evaluator
from rltransfer.metrics import bootstrap_interval
from rltransfer.pretrain import pretrain
from rltransfer.trials import ENTRY_POINT

DEFAULTS = {"learning_rate": 1e-3, "ent_coef": 0.02}
LSTM_SIZE = 64


def rl2(task: str, steps: int, **options: Any) -> Agent:
    """Train a recurrent policy to adapt within a trial, without updates of its weights.

    sb3-contrib's ``RecurrentPPO`` resets the state of its LSTM where an episode ends. As a trial is
    one episode, the state lives through the episodes of the trial (Duan et al. 2016; Wang et al.
    2016). Gradients reach back over ``n_steps`` at most (128 by default), and discounting goes on
    from one episode of the trial to the next.

    Args:
        task: Gymnasium id of a task of :func:`rltransfer.trials.trials`.
        steps: Environment steps, at least 1.
        **options: As for :func:`rltransfer.pretrain`. By default the LSTM has 64 units, the
            learning rate is 1e-3, and exploring is paid for by ``ent_coef=0.02``.

    Returns:
        The agent; :func:`adaptation` shows what it makes of the episodes of a trial.

    Raises:
        BadArgument: The task has no trials, or an option is out of range.
    """
    _require_trials(task)
    algorithm = options.setdefault("algorithm", "recurrent_ppo")
    if algorithm != "recurrent_ppo":
        raise BadArgument(f"algorithm is {algorithm!r}: rl2 is about memory, leave it out")
    policy = {"lstm_hidden_size": LSTM_SIZE, **(options.pop("policy_kwargs", None) or {})}
    return pretrain(task, steps, **{**DEFAULTS, **options, "policy_kwargs": policy})


@dataclass(frozen=True, kw_only=True, eq=False)
class Adaptation:
    """How an agent does in the first, second, ... episode of a trial.

    Attributes:
        task: Gymnasium id of the trials.
        returns: Returns of the task's own rewards, (trials, episodes).
        tasks: Gymnasium id of the task that each trial was drawn from, (trials,).
    """

    task: str
    returns: np.ndarray
    tasks: tuple[str, ...]

    @property
    def means(self) -> np.ndarray:
        """Mean return of each episode of a trial, (episodes,)."""
        return self.returns.mean(axis=0)

    @property
    def gain(self) -> np.ndarray:
        """Return of the last episode of each trial minus that of the first, (trials,)."""
        return self.returns[:, -1] - self.returns[:, 0]

    def __str__(self) -> str:
        ends_of = np.array(bootstrap_interval(self.returns))
        lines = [f"{self.task}: mean return by episode of {len(self.returns)} trials"]
        for index, mean in enumerate(self.means):
            ends = f"{ends_of[0][index]:.4g} to {ends_of[1][index]:.4g}"
            lines.append(f"  {index + 1}: {mean:.4g} (95 % interval {ends})")
        return "\n".join(lines)


def adaptation(
    agent: Any,
    task: str,
    *,
    trials: int = 100,
    deterministic: bool = True,
    seed: int = HELD_OUT_SEED,
) -> Adaptation:
    """Play held-out trials, and report the return of each of their episodes.

    Args:
        agent: As for :func:`rltransfer.evaluate`.
        task: Gymnasium id of a task of :func:`rltransfer.trials.trials`.
        trials: Number of trials, at least 2.
        deterministic: Take the most likely action; else sample.
        seed: Trial ``i`` is reset with ``seed + i``.

    Raises:
        BadArgument: The task has no trials, or a number is out of range.
        SpaceMismatch: The agent's spaces are not those of the task.
    """
    _require_trials(task)
    if type(trials) is not int or trials < 2:
        raise BadArgument(f"trials is {trials!r}: give a whole number, at least 2")
    with Evaluator(task, episodes=trials, seed=seed) as evaluator:
        evaluator.run(agent, deterministic=deterministic)
        played: list[Any] = [env.unwrapped for env in evaluator.envs]
        return Adaptation(
            task=evaluator.task,
            returns=np.array([env.returns for env in played]),
            tasks=tuple(env.task for env in played),
        )


def _require_trials(task: str) -> None:
    if registry.spec(task).entry_point != ENTRY_POINT:
        raise BadArgument(
            f"{task} has no trials: register some with rltransfer.trials.trials([{task!r}, ...],"
            " 'my/Trials-v0')"
        )
