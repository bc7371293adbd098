"""Methods that learn from the source's trajectories before PPO begins, or beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rltransfer.methods.method import Fade, Fading, Method

__all__ = ["Demonstrations", "SourceTrajectories"]


@dataclass(frozen=True, kw_only=True)
class SourceTrajectories(Method):
    """Behavioural cloning of source transitions that might be the target's (instance transfer).

    Before PPO's first update the actor maximizes ``E[w log pi(a|s)]`` over transitions that the
    source makes on its own task. The weight ``w`` is the ratio of the densities of ``s`` on target
    and source, ``d / (1 - d)`` of a logistic classifier that tells them apart; its examples of the
    target are the first rollout, which is spent on that and counts. The source's steps are no steps
    on the target, and do not count.

    For actors that start fresh, such as ``Recipe(reset=["actor.*"], imitate=...)``: one that was
    copied knows all this already. The critic is left alone; the source's own
    (``critic="keep"``) is what a fit to its returns would give. Fails where the same action means
    something else on the target: map it with ``outputs``.

    Attributes:
        states: Transitions of the source.
        epochs: Passes over them.
        batch_size: Transitions of a step of Adam.
        learning_rate: Of that Adam; PPO's own is not used.
        importance: Whether to weight by the ratio of densities, which takes flat observations.
        most: Largest ratio, > 0.
        temperature: With a number, weights are multiplied by ``exp(A / temperature)``, at most 20,
            where A is what the source's return exceeds its critic by, in standard deviations
            (advantage-weighted regression, Peng et al. 2019). Returns end at time limits.
    """

    name: ClassVar[str] = "source_trajectories"
    role: ClassVar[str] = "imitate"
    states: int = 4096
    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 1e-3
    importance: bool = True
    most: float = 10.0
    temperature: float | None = None

    def _check(self) -> None:
        self.whole("states", 2)
        self.whole("epochs", 1)
        self.whole("batch_size", 1)
        self.in_range("learning_rate", above=0)
        self.one_of("importance", (True, False))
        self.in_range("most", above=0)
        if not self.importance and self.most != SourceTrajectories.most:
            self.refuse("most", f"{SourceTrajectories.most:g}, as importance=False has no ratios")
        if self.temperature is not None:
            self.in_range("temperature", above=0)


@dataclass(frozen=True, kw_only=True)
class Demonstrations(Fading):
    """Behavioural cloning of the source beside PPO (DAPG, Rajeswaran et al. 2018, equation 4).

    Adds ``-strength * E[log pi(a|s)]`` over transitions that the source makes on its own task, as
    many for each minibatch as it has rows. The source's steps do not count. Fails, as
    ``SourceTrajectories`` does, where the same action means something else.

    Attributes:
        strength: 0.1 as in the paper.
        fade: Exponential as in the paper, where it is by 0.95 with each update.
        until: 0.4 of training.
        states: Transitions of the source.
    """

    name: ClassVar[str] = "demonstrations"
    role: ClassVar[str] = "imitate"
    strength: float = 0.1
    fade: Fade = "exponential"
    until: float = 0.4
    states: int = 4096

    def _check(self) -> None:
        super()._check()
        self.whole("states", 1)
