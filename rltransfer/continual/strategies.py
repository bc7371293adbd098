"""Ways of learning one task after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from rltransfer.callbacks import Curve
from rltransfer.continual.packnet import PackNet
from rltransfer.continual.stage import Plan, train
from rltransfer.continual.strategy import Strategy
from rltransfer.distilling import distill
from rltransfer.methods import EWC, L2SP, Cloning, Progressive
from rltransfer.recipe import Recipe


class Finetune(Strategy):
    """Goes on training, and forgets as it may."""


class Scratch(Strategy):
    """Learns every task from scratch, and keeps all agents: the baseline of forward transfer."""

    def learn(self, index: int) -> Curve:
        """Learn the next task from scratch."""
        self.agent, curve = train(self.plan, index, None)
        self.kept.append(self.agent)
        return curve


class Anchored(Strategy):
    """Stays near the last agent's weights (L2-SP), whatever they are for."""

    def recipe(self, index: int) -> Recipe:
        """Pull weights towards where they were."""
        return Recipe(regularize=L2SP(strength=0.1))


class ElasticWeights(Strategy):
    """Stays near the weights that the earlier tasks need (EWC, Kirkpatrick et al. 2017).

    One penalty, centred where the last task ended, with the Fisher information of all earlier
    tasks there (Huszar 2018), instead of one for each task. For it the last agent plays these
    again before each task but the first: ``EWC.states`` steps (2,000), in equal shares, on top of
    those on the task.
    """

    def recipe(self, index: int) -> Recipe:
        """Weigh by what all earlier tasks need."""
        return Recipe(retain=EWC(tasks=self.plan.tasks[:index]))


class Replay(Strategy):
    """Keeps doing what the last agent does in the earlier tasks (behavioural cloning).

    It stores no states from one task to the next: before each but the first, the last agent plays
    all earlier ones again, for ``Cloning.states`` steps (10,000) in equal shares, on top of those
    on the task.
    """

    def recipe(self, index: int) -> Recipe:
        """Clone the last agent on all earlier tasks."""
        return Recipe(retain=Cloning(tasks=self.plan.tasks[:index]))


class ProgressiveColumns(Strategy):
    """Freezes all columns and adds one for each task (Rusu et al. 2016)."""

    def learn(self, index: int) -> Curve:
        """Learn the next task with another column."""
        curve = super().learn(index)
        if self.agent is not None:
            self.kept.append(self.agent)
        return curve

    def recipe(self, index: int) -> Recipe:
        """Add a column."""
        return Recipe(grow=Progressive())


class Distillation(Strategy):
    """Learns every task from scratch, and distils all of them into one student.

    The form for PPO of Ahn et al. 2024 (Reset & Distill): what was learnt before does not hold the
    learner back, and does not help it.

    Attributes:
        SHARE: Environment steps of the distillation as a part of the steps on the task; they come
            on top of these, on all tasks so far in equal shares.
    """

    SHARE = 0.5

    def learn(self, index: int) -> Curve:
        """Learn the next task from scratch, then teach the student all tasks so far."""
        plan, student = self.plan, self.agent
        expert, curve = train(plan, index, None)
        if student is None:
            self.agent = expert
            return curve
        earlier = [student.with_card(task=task, name=task) for task in plan.tasks[:index]]
        self.agent = distill(
            [*earlier, expert],
            student=student,
            steps=max(1, int(plan.steps * self.SHARE)),
            seed=plan.seed_of(index),
            episodes=max(2, plan.episodes),  # one has no interval
            max_steps=plan.max_steps,
            device=plan.options.get("device", "auto"),
        )
        return curve


STRATEGIES: Mapping[str, Callable[[Plan], Strategy]] = MappingProxyType(
    {
        "finetune": Finetune,
        "scratch": Scratch,
        "l2": Anchored,
        "ewc": ElasticWeights,
        "replay": Replay,
        "packnet": PackNet,
        "progressive": ProgressiveColumns,
        "distill": Distillation,
    }
)
"""Strategies by name."""
