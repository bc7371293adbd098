"""Methods that keep weights small or near to where they began, and outputs smooth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from rltransfer.methods.method import Fading, Method

__all__ = ["L1", "L2", "L2SP", "DrAC", "Dropout", "L2Init", "Parseval", "Smoothing"]

Augment = Literal["auto", "scale", "noise", "shift"]


@dataclass(frozen=True, kw_only=True)
class L2(Fading):
    """Squares of the weights (Farebrother et al. 2018, section 5; Dohare et al. 2024).

    Adds ``strength / 2 * |w|^2`` over trunk and actor, which is Adam's old weight decay of
    ``strength``. Standard deviations are no weights.

    Attributes:
        strength: 1e-3 as Dohare et al. take it for PPO on changing tasks.
        critic: Whether the critic's weights count too.
    """

    name: ClassVar[str] = "l2"
    role: ClassVar[str] = "regularize"
    strength: float = 1e-3
    critic: bool = False

    def _check(self) -> None:
        super()._check()
        self.one_of("critic", (False, True))


@dataclass(frozen=True, kw_only=True)
class L1(Fading):
    """Absolute values of the weights, which drives those that nothing needs to zero.

    Adds ``strength * |w|_1`` over trunk and actor. Standard deviations are no weights.

    Attributes:
        strength: Small: unlike that of L2, its pull does not weaken as weights shrink.
        critic: Whether the critic's weights count too.
    """

    name: ClassVar[str] = "l1"
    role: ClassVar[str] = "regularize"
    strength: float = 1e-4
    critic: bool = False

    def _check(self) -> None:
        super()._check()
        self.one_of("critic", (False, True))


@dataclass(frozen=True, kw_only=True)
class L2SP(Fading):
    """Squared distance from the source's weights (Li et al. 2018, equation 3).

    Adds ``strength / 2 * |w - w_source|^2`` over the copied weights of trunk and actor, and
    ``fresh / 2 * |w|^2`` over those that started fresh. The critic is left alone: keeping it back
    hurts (Wołczyk et al. 2024, appendix).

    Attributes:
        strength: Factor on the copied weights.
        fresh: Factor on the fresh ones, >= 0.
    """

    name: ClassVar[str] = "l2_sp"
    role: ClassVar[str] = "regularize"
    strength: float = 0.01
    fresh: float = 1e-4

    def _check(self) -> None:
        super()._check()
        self.in_range("fresh", least=0)


@dataclass(frozen=True, kw_only=True)
class L2Init(Fading):
    """Squared distance from where learning began (Kumar et al. 2023, regenerative regularization).

    Adds ``strength / 2 * |w - w_0|^2`` over all weights, the critic's too. It differs from ``L2SP``
    in what it is for: not to remember the source, but to stay where gradients still flow. So
    fresh weights are held to the values that they were drawn with instead of zero, shrunk and
    perturbed ones to what was made of them, and a refitted critic to its fit.

    Attributes:
        strength: Factor; between 1e-3 and 1e-2 in the literature, which has no half.
    """

    name: ClassVar[str] = "l2_init"
    role: ClassVar[str] = "regularize"
    strength: float = 0.01


@dataclass(frozen=True, kw_only=True)
class Parseval(Fading):
    """Rows of hidden weight matrices stay orthogonal (Chung et al. 2024, section 3).

    Adds ``strength * |W W^T - scale I|_F^2``, the sum over the layers of trunk, actor and critic
    without heads; where a layer has more outputs than inputs it is ``W^T W``, as more rows than
    columns cannot be orthogonal. Kernels of convolutions count as one row for each output.

    Attributes:
        strength: 1e-3 for MetaWorld, 1e-4 for CARL in the paper.
        scale: Squared length of the rows, > 0; 2 is what Stable-Baselines3's orthogonal
            initialization begins with.
    """

    name: ClassVar[str] = "parseval"
    role: ClassVar[str] = "regularize"
    strength: float = 1e-3
    scale: float = 2.0

    def _check(self) -> None:
        super()._check()
        self.in_range("scale", above=0)


@dataclass(frozen=True, kw_only=True)
class Smoothing(Fading):
    """Actions change little where observations do (SA-PPO, Zhang et al. 2020, equation 6).

    Adds ``strength * max_{|d|_inf <= eps} KL(policy(.|s) || policy(.|s + d))``. The maximum is
    approached by projected steps along the signs of gradients, from a random start. Only for
    vectors of floats.

    Attributes:
        strength: Between 0.1 and 1 in the paper.
        eps: Largest perturbation of each number of an observation, > 0, in units of normalized
            observations: where nothing normalizes them, of the number's standard deviation in the
            rollout.
        steps: Steps towards the maximum; each takes a pass through the actor and back.
    """

    name: ClassVar[str] = "smoothing"
    role: ClassVar[str] = "regularize"
    strength: float = 0.3
    eps: float = 0.1
    steps: int = 1

    def _check(self) -> None:
        super()._check()
        self.in_range("eps", above=0)
        self.whole("steps", 1)


@dataclass(frozen=True, kw_only=True)
class DrAC(Fading):
    """Actions and values do not change as observations are augmented (Raileanu et al. 2021).

    Adds ``strength * (KL(policy(.|s) || policy(.|f(s))) + (V(s) - V(f(s)))^2 / 2)``, where
    ``policy(.|s)`` and ``V(s)`` are fixed targets (section 3.2). The ``f`` has to leave what is
    right to do unchanged; few changes of a physical state do.

    Attributes:
        strength: 0.1 as in the paper.
        augment: ``"scale"`` multiplies each vector by one random factor (Laskin et al. 2020),
            ``"noise"`` adds normal noise, ``"shift"`` moves images by some pixels, repeating those
            at the border; ``"auto"`` scales vectors and shifts images.
        size: Half the width of the factors around 1, in (0, 1), 0.2 by default; standard deviation
            of the noise, in units of normalized observations as for ``Smoothing``, 0.1 by default;
            largest shift in pixels, by default 4 for images of 84 pixels and in proportion for
            others. None for the default.
    """

    name: ClassVar[str] = "drac"
    role: ClassVar[str] = "regularize"
    strength: float = 0.1
    augment: Augment = "auto"
    size: float | None = None

    def _check(self) -> None:
        super()._check()
        self.one_of("augment", get_args(Augment))
        if self.size is not None:
            self.in_range("size", above=0, below=1 if self.augment == "scale" else float("inf"))
            if self.augment == "auto":
                self.refuse("size", "None, or a choice of augment to go with it")
            if self.augment == "shift" and self.size != int(self.size):
                self.refuse("size", "a whole number of pixels")


@dataclass(frozen=True, kw_only=True)
class Dropout(Method):
    """Hidden units that are left out, the same ones for a state's old and new log probability.

    Consistent Dropout (Hausknecht & Wagener 2022): PPO compares the probability of an action now
    with that when it was taken, which means nothing if units drop out by chance in between, so
    plain Dropout clips samples before anything was learnt. Here the mask of a unit is a hash of
    the observation, the unit and the number of the rollout: nothing has to be stored, ratios begin
    at 1, and each rollout has other masks. Equal observations of one rollout share a mask.

    Units drop out where actions are taken and learnt from, not where the policy is evaluated, and
    nothing of it is in what is saved. Those that stay are multiplied by ``1 / (1 - rate)``.
    Rollouts take torch's forward pass instead of closed form, which is slower.

    Attributes:
        rate: Probability that a unit drops out, in (0, 1).
        critic: Whether the critic's hidden units drop out too.
    """

    name: ClassVar[str] = "dropout"
    role: ClassVar[str] = "regularize"
    rate: float = 0.1
    critic: bool = False

    def _check(self) -> None:
        self.in_range("rate", above=0, below=1)
        self.one_of("critic", (False, True))
