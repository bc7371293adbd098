"""Methods that change the environments in which the learner gathers experience."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from rltransfer.methods.method import Method

__all__ = ["JumpStart", "Shaping"]

Mode = Literal["curriculum", "random"]


@dataclass(frozen=True, kw_only=True)
class JumpStart(Method):
    """The source plays the first steps of each training episode (JSRL, Uchendu et al. 2022).

    It acts within ``reset`` and hands over the state it reached, so that the learner's rollouts
    hold nothing but its own actions and rewards. The source plays shorter and shorter: ``horizon``
    steps at first, none in the end. Its steps are environment steps, and count. An episode that
    ends while the source plays is begun anew, with half as many steps as it got to. Episode returns
    in the log are those of whole episodes, the source's part included; evaluations are without it.

    Works where rewards are far away and the source gets near them; it is a waste of steps where a
    beginner finds rewards at once.

    Attributes:
        horizon: Steps that the source plays at first. By default the mean length of its episodes
            on the target, for which it plays as many steps as a rollout has, which count.
        stages: Parts in which the steps are taken away, 10 as in the paper.
        mode: ``"curriculum"`` goes on by a stage when episodes return almost as much as at best so
            far; ``"random"`` draws the steps of each episode from 0 to ``horizon``.
        tolerance: Fraction of the best return that may be missing for the curriculum to go on.
        until: Fraction of training in (0, 1] by which the source plays no more: the curriculum goes
            on with equal steps in any case.
        share: Fraction of a rollout's environment steps in (0, 1) after which the source plays no
            more until the next rollout; otherwise a learner whose episodes are short would leave
            nearly all of the budget to the source.
    """

    name: ClassVar[str] = "jump_start"
    role: ClassVar[str] = "guide"
    horizon: int | None = None
    stages: int = 10
    mode: Mode = "curriculum"
    tolerance: float = 0.05
    until: float = 0.5
    share: float = 0.5

    def _check(self) -> None:
        if self.horizon is not None:
            self.whole("horizon", 1)
        self.whole("stages", 1)
        self.one_of("mode", get_args(Mode))
        self.in_range("tolerance", least=0, below=1)
        self.in_range("until", above=0, most=1)
        self.in_range("share", above=0, below=1)
        if self.mode == "random":
            for name in ("stages", "tolerance"):
                if getattr(self, name) != getattr(JumpStart, name):
                    self.refuse(name, f"{getattr(JumpStart, name)}, as mode='random' has no stages")


@dataclass(frozen=True, kw_only=True)
class Shaping(Method):
    """Rewards for going where the source's critic sees more to come (Ng et al. 1999; Brys 2015).

    Adds ``scale * (gamma * V(s') - V(s))``, with V the source's critic in units of its task's
    reward, and ``V(s') = 0`` where an episode ended, but not where a time limit cut it. The best
    policy stays the best, and actions need not be the source's. Logged returns and evaluations are
    the task's own; ``transfer/shaping/added`` is the mean size of what rewards got.

    The source's critic is no longer right about the rewards that the learner sees:
    ``critic="auto"`` refits its head, and ``critic="keep"`` is refused.

    Attributes:
        scale: Factor on V, > 0; the ratio of the tasks' rewards, if they differ in scale.
    """

    name: ClassVar[str] = "shaping"
    role: ClassVar[str] = "guide"
    scale: float = 1.0

    def _check(self) -> None:
        self.in_range("scale", above=0)
