"""The methods of agents that concern several tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rltransfer.agents.multitask import names

if TYPE_CHECKING:
    from rltransfer.agents.agent import Agent


class TaskMethods:
    """What :class:`rltransfer.Agent` says and does about its tasks."""

    @property
    def multitask(self) -> bool:
        """Whether its policy is one of several tasks, in their packed spaces."""
        return names.is_multitask(cast("Agent", self))

    @property
    def tasks(self) -> tuple[str, ...]:
        """Gymnasium ids of its tasks: one alone for an ordinary agent."""
        return names.ids(cast("Agent", self))

    def for_task(self, id: str) -> Agent:
        """Return the agent of one task, with the same outputs in the task's own spaces.

        Where observations are vectors or classes and the trunk is an MLP, it is an ordinary
        ``MlpPolicy`` whose zip needs no rltransfer. Values are in units of the task's return. The
        state of the optimizer is left out, as is correlated exploration noise.

        Args:
            id: One of :attr:`tasks`.

        Returns:
            An agent called ``NAME#ID``; this one itself, if it is an ordinary agent of that task.

        Raises:
            UnknownName: It has no such task.
            SpaceMismatch: Stable-Baselines3 has no policy for the task's spaces.
        """
        from rltransfer.agents.multitask.single import for_task

        return for_task(cast("Agent", self), id)
