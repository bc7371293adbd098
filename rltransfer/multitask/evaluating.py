"""Evaluating a policy of many tasks on held-out episodes of each, while it learns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from rltransfer.agents import Agent, Card
from rltransfer.callbacks import AtMarks, log_apart
from rltransfer.errors import BadArgument
from rltransfer.evaluate import Evaluation, Evaluator
from rltransfer.evaluation.acting import Masks
from rltransfer.evaluation.undisturbed import undisturbed
from rltransfer.multitask.run import CurveRow, on_scale
from rltransfer.policies.encoders import VectorEncoder
from rltransfer.policies.multitask import MultiTaskPolicy
from rltransfer.policies.networks import TaskNetworks
from rltransfer.policies.recurrent import MultiTaskLstmPolicy
from rltransfer.policies.trunks import MlpTrunk
from rltransfer.training.threads import few_threads


class TaskActor:
    """Acts in one task by a policy of many; an :class:`rltransfer.evaluation.acting.Actor`.

    Args:
        policy: The policy.
        id: The task.
        envs: One environment per row, for action masks.
    """

    def __init__(self, policy: TaskNetworks, id: str, envs: Sequence[gym.Env]) -> None:
        self._policy: Any = policy
        self._id, self._rows = id, len(envs)
        masked = policy.tasks[policy.index(id)].masked
        self._masks = Masks(envs) if masked else None
        self._state: Any = None

    def __call__(self, observations: Any, live: Sequence[int], step: int) -> Any:
        """Choose the most likely actions."""
        masks = None if self._masks is None else self._masks(live)
        if not isinstance(self._policy, MultiTaskLstmPolicy):
            return self._policy.act(self._id, observations, masks=masks)
        starts = np.full(self._rows, step == 0)
        chosen = self._policy.act(self._id, observations, self._state, starts, masks=masks)
        self._state = chosen[1]
        return chosen[0]


class TaskEvaluator(Evaluator):
    """Held-out episodes of one task of a policy of many."""

    def score(self, model: Any, id: str) -> Evaluation:
        """Play all episodes once; nothing that training depends on changes.

        Args:
            model: A model with a policy of many tasks.
            id: The task, as the policy knows it.
        """
        with few_threads(model.policy.parameters()), undisturbed(model, self._seed):
            model.policy.set_training_mode(False)
            actor = TaskActor(model.policy, id, self._envs)
            return self._play(actor, deterministic=True)


class TaskEvaluators:
    """Held-out episodes of each task of a policy, to be played again and again.

    Args:
        tasks: What to make environments of, by id of the task in the policy.
        episodes: Episodes of each task, at least 2.
        max_steps: Steps after which an episode ends at the latest; needed where a task has no time
            limit of its own.

    Raises:
        BadArgument: ``episodes`` or ``max_steps`` is outside its range.
    """

    def __init__(self, tasks: Mapping[str, str], *, episodes: int, max_steps: int | None) -> None:
        if type(episodes) is not int or episodes < 2:
            raise BadArgument(
                f"episodes is {episodes!r}: give a whole number >= 2, as one has no interval"
            )
        self._made: dict[str, TaskEvaluator] = {}
        try:
            for id, made_of in tasks.items():
                self._made[id] = TaskEvaluator(made_of, episodes=episodes, max_steps=max_steps)
        except BaseException:
            self.close()
            raise

    def scores(self, model: Any) -> dict[str, Evaluation]:
        """Play all episodes of all tasks once."""
        plain = [id for id in self._made if _is_plain(model.policy, id)]
        card = Card(name="evaluated", task=", ".join(self._made), steps=0)
        agent = Agent.from_model(model, card=card, optimizer=False) if plain else None
        return {
            # An ordinary policy of one task acts without torch, several times faster.
            id: evaluator.run(agent.for_task(id)) if agent and id in plain
            else evaluator.score(model, id)
            for id, evaluator in self._made.items()
        }  # fmt: skip

    def close(self) -> None:
        """Close the environments."""
        for evaluator in self._made.values():
            evaluator.close()


def _is_plain(policy: Any, id: str) -> bool:
    """Whether one task of a policy is SB3's MlpPolicy on vectors."""
    task = policy.tasks[policy.index(id)]
    vectors = isinstance(policy.actor.encoders[task.encoder], VectorEncoder)
    discrete = isinstance(task.action_space, spaces.Discrete) and task.action_space.start == 0
    vectors = vectors and bool(task.observation_space.shape)
    simple = isinstance(policy, MultiTaskPolicy) and isinstance(policy.actor.trunk, MlpTrunk)
    return simple and vectors and not task.masked and (discrete or task.continuous)


class EvaluateTasks(AtMarks):
    """Evaluates each task before the first update, at equal parts of the budget, and at the end.

    As :class:`rltransfer.callbacks.Evaluate`, an evaluation takes place between an update and the
    next rollout, its own steps are not counted, and training goes on as without it.

    Args:
        evaluators: Episodes of each task.
        played: Tasks whose normalized scores are averaged for the log.
        points: Parts of the budget; an evaluation follows the end of each.

    Attributes:
        found: Evaluations by task, for each number of steps at which there was one.
    """

    def __init__(self, evaluators: TaskEvaluators, *, played: Sequence[str], points: int) -> None:
        super().__init__()
        self.found: dict[int, dict[str, Evaluation]] = {}
        self._evaluators, self._played, self._points = evaluators, tuple(played), points

    @property
    def curve(self) -> tuple[CurveRow, ...]:
        """What was recorded so far."""
        return tuple(
            CurveRow(steps, id, one.mean, *one.ci, on_scale(id, one.mean))
            for steps, evaluations in self.found.items()
            for id, one in evaluations.items()
        )

    def _on_training_start(self) -> None:
        start, total = self.model.num_timesteps, self.model._total_timesteps
        self._marks = start + (total - start) * np.arange(1, self._points + 1) / self._points
        self._evaluate(start)

    def _on_training_end(self) -> None:
        if self.model.num_timesteps not in self.found:
            self._evaluate(self.model.num_timesteps)

    def _evaluate(self, steps: int) -> None:
        self.found[steps] = self._evaluators.scores(self.model)
        log_apart(self.logger, steps, self._logged(self.found[steps]))

    def _logged(self, found: Mapping[str, Evaluation]) -> dict[str, float]:
        values, scale = {}, []
        for id, one in found.items():
            values[f"eval/{id}/mean"] = one.mean
            values[f"eval/{id}/ep_length"] = float(one.lengths.mean())
            score = on_scale(id, one.mean)
            if not math.isnan(score):
                values[f"eval/{id}/normalized"] = score
                scale += [score] if id in self._played else []
        if scale:
            values["eval/mean_normalized"] = float(np.mean(scale))
            values["eval/worst_normalized"] = min(scale)
        return values
