"""A multi-task policy with its moments."""

from __future__ import annotations

from typing import Any

import numpy as np

from rltransfer.engine.closed_form.heads import head_for
from rltransfer.engine.closed_form.state import Alternating, State, check_outputs
from rltransfer.engine.multitask.closed_form.layout import TaskLayout
from rltransfer.engine.multitask.closed_form.rows import parts_of
from rltransfer.engine.multitask.closed_form.stream import Stream
from rltransfer.engine.multitask.closed_form.workspace import Workspace
from rltransfer.policies.packing import action_size


class TaskState(State):
    """Weights and Adam's moments, with views for each layer.

    Attributes:
        actor: Matrices of the actor.
        critic: Matrices of the critic.
        log_stds: Logarithm of each task's standard deviation; empty for discrete actions.
    """

    def __init__(self, layout: TaskLayout) -> None:
        super().__init__(layout)
        self.actor = layout.actor.of(self.weights)
        self.critic = layout.critic.of(self.weights)
        self.log_stds = layout.log_stds_of(self.weights)


class TaskNetwork(Alternating[TaskState]):
    """Actor, critic, and the action distribution of each task.

    Args:
        policy: A policy for which :func:`unsupported` has no objection.
        kernels: Module with the innermost loops.
    """

    def __init__(self, policy: Any, kernels: Any) -> None:
        layout = TaskLayout(policy)
        super().__init__(layout, (TaskState(layout), TaskState(layout)))
        self.layout = layout
        self.kernels = kernels
        self.actor = Stream(layout.actor, layout.dtype, kernels)
        self.critic = Stream(layout.critic, layout.dtype, kernels)
        self._workspaces: dict[tuple[int, ...], tuple[Workspace, Workspace]] = {}
        # One for each task, also where tasks share the layer: they keep room for their own rows.
        self.sizes = [action_size(task.action_space) for task in policy.tasks]
        self.heads = [
            head_for(distribution._distribution, (size,), layout.dtype, kernels)
            for distribution, size in zip(policy.distributions, self.sizes, strict=True)
        ]

    def workspaces(self, counts: tuple[int, ...]) -> tuple[Workspace, Workspace]:
        """Give the arrays of actor and critic for so many rows of each task."""
        found = self._workspaces.get(counts)
        if found is None:
            if len(self._workspaces) >= Stream.KEPT:
                self._workspaces.clear()
            parts = parts_of(counts)
            found = self.actor.workspace(parts), self.critic.workspace(parts)
            self._workspaces[counts] = found
        return found

    def check(self, space: Workspace) -> None:
        """Refuse what torch's distributions refuse.

        Raises:
            ValueError: Outputs of the actor are not numbers, or its deviations are not above 0.
        """
        for task, outputs in zip(space.tasks, space.outputs, strict=True):
            check_outputs(outputs, self.state.log_stds[task])

    def prepare(self, task: int, actions: np.ndarray) -> np.ndarray:
        """Bring packed actions of one task, shape (rows, A), into the type its loss takes."""
        return self.heads[task].prepare(actions[:, : self.sizes[task]])
