"""Methods that make what the actor's head reads alike on source and target.

They are for targets that show the same things to other sensors: the source's trunk stays as it was
and is asked what its head reads on its own task, and the learner's trunk is drawn towards giving
its head the same distribution on the target. Only the trunk is drawn; heads and critic are not.
Where the good states of the target are others than those of the source, this does harm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rltransfer.methods.method import Fading

__all__ = ["CORAL", "DANN", "MMD", "WAPPO", "Align"]


@dataclass(frozen=True, kw_only=True)
class Align(Fading):
    """What all of these have in common.

    The source plays ``states`` steps of its own task when the target is adapted to; they are not
    charged to the budget of the target.

    Attributes:
        fade: As for :class:`Fading`, but not ``"performance"``.
        states: Number of states of the source, at least 2.
    """

    role: ClassVar[str] = "align"
    states: int = 10_000

    def _check(self) -> None:
        super()._check()
        self.one_of("fade", ("constant", "linear", "exponential"))
        self.whole("states", 2)


@dataclass(frozen=True, kw_only=True)
class CORAL(Align):
    """Equal covariances (Sun & Saenko 2016, equation 1).

    Adds ``strength / (4 d^2) * |C_source - C_target|^2`` (squared Frobenius norm), where the
    covariances of the ``d`` features are those of all the source's states, and of a minibatch.
    Means are not compared.

    Attributes:
        strength: As ``1 / d^2`` makes the loss small, larger than elsewhere.
    """

    name: ClassVar[str] = "coral"
    strength: float = 10.0


@dataclass(frozen=True, kw_only=True)
class MMD(Align):
    """A small maximum mean discrepancy (Gretton et al. 2012, Long et al. 2015).

    Adds ``strength * MMD^2`` in its biased estimate, which is never negative (Gretton et al. 2012,
    equation 5). The kernel is the mean of five Gaussian kernels ``exp(-|x - y|^2 / (f m))`` with
    ``f`` of 1/4, 1/2, 1, 2 and 4, where ``m`` is the median squared distance in the minibatch.

    Attributes:
        strength: Factor on the loss, which is at most 2.
        samples: Rows of source and of target that are compared in a minibatch, at least 2; time
            grows with the square.
    """

    name: ClassVar[str] = "mmd"
    strength: float = 0.5
    samples: int = 128

    def _check(self) -> None:
        super()._check()
        self.whole("samples", 2)


@dataclass(frozen=True, kw_only=True)
class DANN(Align):
    """Features from which no classifier tells source and target apart (Ganin et al. 2016).

    A small network learns to tell them apart, and the trunk gets its gradient reversed, times
    ``2 / (1 + exp(-10 p)) - 1``, which grows from 0 to 1 with the progress ``p`` of training
    (Ganin et al. 2016, section 5.2.2).

    Attributes:
        strength: Factor on the classifier's cross entropy.
        hidden: Width of its hidden layer.
        learning_rate: Of its Adam.
    """

    name: ClassVar[str] = "dann"
    strength: float = 1.0
    hidden: int = 64
    learning_rate: float = 1e-3

    def _check(self) -> None:
        super()._check()
        self.whole("hidden", 1)
        self.in_range("learning_rate", above=0)


@dataclass(frozen=True, kw_only=True)
class WAPPO(Align):
    """A small Wasserstein distance, estimated by a critic (Roy & Konidaris 2020).

    Adds ``strength * (E f(source) - E f(target))``, where the critic ``f``, a small network,
    maximizes the difference, with all of its weights clipped (Arjovsky et al. 2017).

    Attributes:
        strength: 10, as for Roy & Konidaris.
        hidden: Width of the critic's hidden layer.
        learning_rate: Of its RMSprop.
        critic_steps: Its steps for each step of the trunk.
        clip: Its weights stay in [-clip, clip].
    """

    name: ClassVar[str] = "wappo"
    strength: float = 10.0
    hidden: int = 64
    learning_rate: float = 5e-4
    critic_steps: int = 5
    clip: float = 0.01

    def _check(self) -> None:
        super()._check()
        self.whole("hidden", 1)
        self.whole("critic_steps", 1)
        self.in_range("learning_rate", above=0)
        self.in_range("clip", above=0)
