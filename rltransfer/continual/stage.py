"""Training on one task of a sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from torch import Tensor

from rltransfer.agents import Agent, Card
from rltransfer.callbacks import Curve, Evaluate
from rltransfer.pretrain import fresh, versions
from rltransfer.recipe import Recipe
from rltransfer.training.terms import Working
from rltransfer.training.terms.masks import MaskTerm
from rltransfer.transfer import adapt

# Options that belong to the training and not to the agent, which brings the others along.
_OF_TRAINING = ("vec", "device", "tensorboard_log")
SEEDS_APART = 1_000
"""Between the seeds of one stage and the next, so that runs with seeds 0, 1, ... share none."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A sequence of tasks, and how each is learnt.

    Attributes:
        tasks: Gymnasium ids, in order, of equal spaces.
        steps: Environment steps on each.
        seed: Seed of the sequence.
        points: Evaluations while a task is learnt, after the one at its step 0.
        episodes: Held-out episodes of each evaluation.
        max_steps: End of such an episode, for tasks without a time limit.
        options: For :func:`rltransfer.pretrain.fresh`: network and hyperparameters.
    """

    tasks: Sequence[str]
    steps: int
    seed: int
    points: int = 10
    episodes: int = 20
    max_steps: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def of_training(self) -> dict[str, Any]:
        """The options that are no part of the agent, and are given anew with each task."""
        return {name: self.options[name] for name in _OF_TRAINING if name in self.options}

    @cached_property
    def rollout(self) -> int:
        """Environment steps of a rollout, to whole numbers of which trainings are rounded up."""
        model: Any = fresh(self.tasks[0], seed=self.seed_of(0), **self.options)
        model.get_env().close()
        return model.n_steps * model.n_envs

    def seed_of(self, index: int) -> int:
        """Seed of one stage."""
        return self.seed + SEEDS_APART * index


def train(
    plan: Plan,
    index: int,
    start: Agent | None,
    recipe: Recipe | None = None,
    *,
    masks: Mapping[str, Tensor] | None = None,
    steps: int | None = None,
) -> tuple[Agent, Curve]:
    """Train on one task of a sequence.

    Args:
        plan: The sequence.
        index: Number of the task.
        start: Agent to start from; None for scratch.
        recipe: How it is carried over; everything and nothing else by default.
        masks: Entries of weights that train, by parameter; see :class:`MaskTerm`.
        steps: Other than the plan's.

    Returns:
        The agent, and its learning curve on the task.
    """
    task, seed = plan.tasks[index], plan.seed_of(index)
    evaluation = Evaluate(
        task, points=plan.points, episodes=plan.episodes, max_steps=plan.max_steps
    )
    model: Any = (
        fresh(task, seed=seed, **plan.options)
        if start is None
        else adapt(start, task, recipe or Recipe(), seed=seed, **plan.of_training)
    )
    try:
        if masks:
            parameters = dict(model.policy.named_parameters())
            model.transfer.terms = Working([MaskTerm("masks", parameters, masks)])
        model.learn(plan.steps if steps is None else steps, callback=evaluation)
        return Agent.from_model(model, card=_card(plan, index, start)), evaluation.curve
    finally:
        model.get_env().close()


def _card(plan: Plan, index: int, start: Agent | None) -> Card:
    return Card(
        name=f"task {index + 1} of {len(plan.tasks)}",
        task=plan.tasks[index],
        steps=plan.steps * (index + 1),
        seed=plan.seed,
        versions=versions(),
        created=datetime.now(UTC).date().isoformat(),
        source=start.card.name if start else "",
    )
