"""Training on one task of a sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from torch import Tensor

from rltransfer.agents import Agent, Card
from rltransfer.callbacks import Curve, Evaluate
from rltransfer.pretrain import fresh, versions
from rltransfer.recipe import Recipe
from rltransfer.training.terms import Working
from rltransfer.training.terms.masks import MaskTerm
from rltransfer.transfer import adapt

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
        else adapt(start, task, recipe or Recipe(), seed=seed)
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
