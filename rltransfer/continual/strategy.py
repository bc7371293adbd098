"""What every way of learning one task after the other has in common."""

from __future__ import annotations

from rltransfer.agents import Agent
from rltransfer.callbacks import Curve
from rltransfer.continual.stage import Plan, train
from rltransfer.recipe import Recipe


class Strategy:
    """Learns the tasks of a plan in their order.

    Attributes:
        plan: The sequence.
        agent: What was learnt last; None before the first task.
        kept: For strategies that keep an agent for each task, these; else empty.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.agent: Agent | None = None
        self.kept: list[Agent] = []

    def learn(self, index: int) -> Curve:
        """Learn the next task.

        Args:
            index: Its number.

        Returns:
            Its learning curve.
        """
        self.agent, curve = train(self.plan, index, self.agent, self.recipe(index))
        return curve

    def recipe(self, index: int) -> Recipe:
        """How the last agent is carried over to a task."""
        return Recipe()

    def player(self, index: int) -> Agent:
        """Who plays a task now: what was kept for it, or else the last agent."""
        if index < len(self.kept):
            return self.kept[index]
        if self.agent is None:
            raise ValueError("nothing was learnt yet")
        return self.agent
