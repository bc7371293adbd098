"""PackNet: every task gets its own part of the weights (Mallya & Lazebnik 2018)."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import numpy as np
import torch
from torch import Tensor

from rltransfer.agents import Agent
from rltransfer.callbacks import Curve
from rltransfer.continual.stage import Plan, train
from rltransfer.continual.strategy import Strategy
from rltransfer.errors import BadArgument
from rltransfer.layers import layer_groups

FREE = -1
"""Owner of the entries that no task has taken."""


class PackNet(Strategy):
    """Trains on the free weights, keeps the largest of them for the task, and frees the rest.

    After each task, its share ``1 / (tasks left)`` of the free weights of every matrix of the actor
    is kept, by magnitude; the others become 0, and those that were kept are trained a little more.
    What a task has taken never changes again, and neither do biases after the first task, so the
    agent that was kept for a task is the network with the entries of later tasks at 0. The critic
    serves training alone, and is not packed.

    Args:
        plan: The sequence.

    Raises:
        BadArgument: The steps on a task are no more than one rollout.

    Attributes:
        RETRAINED: Steps of training after pruning, as a part of the steps on the task: the last of
            these, not on top of them. It is larger where rounding up both parts to whole rollouts
            would take more of these than one training does.
        owners: For each parameter of the actor, which task owns each entry; :data:`FREE` for none.
    """

    RETRAINED = 0.2

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.owners: dict[str, Tensor] = {}
        self._before_pruning = _cut(plan.steps, self.RETRAINED, plan.rollout)

    def learn(self, index: int) -> Curve:
        """Learn the next task.

        Args:
            index: Its number.

        Returns:
            Its learning curve, before and after pruning.
        """
        plan = self.plan
        last = index == len(plan.tasks) - 1
        steps = plan.steps if last else self._before_pruning
        agent, curve = train(plan, index, self.agent, masks=self._trainable(FREE), steps=steps)
        self._claim(agent, index)
        if not last:
            agent, rest = self._pruned(agent), plan.steps - steps
            agent, more = train(plan, index, agent, masks=self._trainable(index), steps=rest)
            curve = _joined(curve, more)
        self.agent = agent
        self.kept.append(agent)
        return curve

    def _trainable(self, owner: int) -> dict[str, Tensor]:
        return {name: entries == owner for name, entries in self.owners.items()}

    def _claim(self, agent: Agent, index: int) -> None:
        """Give the task its share of the free entries."""
        left = len(self.plan.tasks) - index
        for name in _actor_parameters(agent):
            weight = agent.weights[name]
            owners = self.owners.setdefault(name, torch.full(weight.shape, FREE))
            free = owners == FREE
            # A vector (biases) belongs to the first task as a whole, and is not pruned.
            count = int(free.sum()) if weight.dim() < 2 else -(-int(free.sum()) // left)
            size = torch.where(free, weight.abs(), torch.full_like(weight, -1.0))
            taken = size.flatten().topk(count).indices
            owners.view(-1)[taken] = index

    def _pruned(self, agent: Agent) -> Agent:
        """Set the entries that no task owns to 0."""
        weights = dict(agent.weights)
        for name, owners in self.owners.items():
            weights[name] = torch.where(owners == FREE, torch.zeros(()), weights[name])
        return replace(agent, weights=weights, optimizer=None)


def _cut(steps: int, retrained: float, rollout: int) -> int:
    """Steps before pruning: what follows is at least the given part of all.

    Trainings are rounded up to whole rollouts. Where both parts would come to more than one
    training of all steps does, the first is rounded down instead.
    """
    first = steps - max(1, int(steps * retrained))
    if ceil(first / rollout) + ceil((steps - first) / rollout) > ceil(steps / rollout):
        first -= first % rollout
    if first == 0:
        raise BadArgument(
            f"steps is {steps:,}: PackNet trains before and after pruning, and a rollout takes "
            f"{rollout:,}; give more than {rollout:,}, or make rollouts smaller by n_steps"
        )
    return first


def _actor_parameters(agent: Agent) -> list[str]:
    """Names of the parameters that are packed: all that act, but for the exploration."""
    groups = layer_groups(agent.build().policy)
    acting = [one for one in groups.values() if not one.name.startswith(("critic.", "actor.std"))]
    return [key for one in acting for key in one.parameters]


def _joined(first: Curve, then: Curve) -> Curve:
    """One curve of two parts; the second begins with the pruned network."""
    # The last rollout before pruning and the pruned network lie at the same step.
    shift = first.steps[-1] + 1
    return Curve(
        steps=np.concatenate([first.steps, then.steps + shift]),
        deterministic=np.concatenate([first.deterministic, then.deterministic]),
        stochastic=np.concatenate([first.stochastic, then.stochastic]),
    )
