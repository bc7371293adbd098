"""Methods that keep a learner close to what its source does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rltransfer.methods.method import Fade, Fading

__all__ = ["EWC", "Cloning", "Kickstart", "ProximalDistillation"]


@dataclass(frozen=True, kw_only=True)
class Kickstart(Fading):
    """KL divergence from the source in the states that the learner visits (Schmitt et al. 2018).

    Adds ``strength * E_{s ~ learner} KL(source(.|s) || learner(.|s))``. The source sees
    observations through its own normalization statistics. Works where the source is good in the
    states that the learner visits now; it fails where it is good only later in an episode.

    Attributes:
        strength: 0.5 as in Schmitt et al.'s successors on NetHack.
        fade: Exponential by default, so that the learner may become better than its source.
        until: 0.4 of training, for small budgets.
    """

    name: ClassVar[str] = "kickstart"
    role: ClassVar[str] = "retain"
    strength: float = 0.5
    fade: Fade = "exponential"
    until: float = 0.4


@dataclass(frozen=True, kw_only=True)
class ProximalDistillation(Fading):
    """Kickstarting with PPO's own trust region (Spigler 2025, equation 5).

    Adds ``strength * E[max(r, 1 - clip_range) KL(source || learner)]`` over the steps of the
    rollout, where r is the probability ratio of the action that was taken, with its gradient: an
    update also learns to stay out of states in which it is far from its source.

    Attributes:
        strength: 1 as in the paper.
        fade: Constant as in the paper; with another one the learner may leave its source behind.
    """

    name: ClassVar[str] = "proximal_distillation"
    role: ClassVar[str] = "retain"


@dataclass(frozen=True, kw_only=True)
class Cloning(Fading):
    """Behavioural cloning of the source in states of its own task (Wołczyk et al. 2024).

    Adds ``strength * E_{s ~ stored} KL(source(.|s) || learner(.|s))``. The source plays its own
    task (``agent.card.task``) when it is adapted; those steps are none of the target's budget, and
    are logged. States are stored as they are: the learner sees them through its own normalization
    statistics, which drift, and the source through its own. So it keeps what the learner does not
    visit, where kickstarting fails, and works against learning where the target wants other
    actions in the same states.

    Attributes:
        strength: 2 as in the paper's NetHack.
        states: Number of stored states, >= 1; the paper's 10,000. Each update draws as many for a
            minibatch as it takes from the rollout.
        tasks: Tasks in whose states the source is cloned, for a source that knows several; its own
            by default. Each gives equally many.
    """

    name: ClassVar[str] = "cloning"
    role: ClassVar[str] = "retain"
    strength: float = 2.0
    states: int = 10_000
    tasks: Sequence[str] = ()

    def _check(self) -> None:
        super()._check()
        self.whole("states", least=1)
        self.names("tasks")


@dataclass(frozen=True, kw_only=True)
class EWC(Fading):
    """Elastic weight consolidation (Kirkpatrick et al. 2017, equation 3).

    Adds ``strength / 2 * sum_i F_i (w_i - w_source_i)^2`` over the copied weights of trunk and
    actor, where F is the diagonal of the Fisher information of the source's actions in states of
    its own task: to second order, and without what is off the diagonal, it is ``strength`` times
    the divergence that :class:`Cloning` adds. The critic is left alone. Weights that the source's
    actions do not depend on are free to move but for ``floor``.

    Attributes:
        strength: The larger, the more is kept, and the less is learnt; try powers of 10.
        states: Number of states for F, >= 1, collected as those of :class:`Cloning` are. The
            expectation over actions is exact.
        tasks: As for :class:`Cloning`.
        floor: Smallest F_i, >= 0. Without one, a weight that those states say nothing of (a unit
            that was off in all) drifts freely, and is on one day in states that were not among
            them; Continual World's 1e-5 (Wołczyk et al. 2021) only breaks that tie.
    """

    name: ClassVar[str] = "ewc"
    role: ClassVar[str] = "retain"
    strength: float = 1_000.0
    states: int = 2_000
    tasks: Sequence[str] = ()
    floor: float = 1e-5

    def _check(self) -> None:
        super()._check()
        self.whole("states", least=1)
        self.names("tasks")
        self.in_range("floor", least=0)
