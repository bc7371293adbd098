"""Every way of transferring, as data for :class:`rltransfer.recipe.Recipe`.

Each module is one field of a recipe; what its methods do to a training lies in
:mod:`rltransfer.training.terms` and the parts that it names.
"""

from rltransfer.methods.align import CORAL, DANN, MMD, WAPPO, Align
from rltransfer.methods.grow import LoRA, Progressive, Residual
from rltransfer.methods.guide import JumpStart, Shaping
from rltransfer.methods.imitate import Demonstrations, SourceTrajectories
from rltransfer.methods.method import METHODS, ROLES, Fading, Method, method_from, methods_of
from rltransfer.methods.regularize import L1, L2, L2SP, DrAC, Dropout, L2Init, Parseval, Smoothing
from rltransfer.methods.renew import ReDo, ShrinkPerturb, SoftShrinkPerturb
from rltransfer.methods.retain import EWC, Cloning, Kickstart, ProximalDistillation

__all__ = [
    "CORAL",
    "DANN",
    "EWC",
    "L1",
    "L2",
    "L2SP",
    "METHODS",
    "MMD",
    "ROLES",
    "WAPPO",
    "Align",
    "Cloning",
    "Demonstrations",
    "DrAC",
    "Dropout",
    "Fading",
    "JumpStart",
    "Kickstart",
    "L2Init",
    "LoRA",
    "Method",
    "Parseval",
    "Progressive",
    "ProximalDistillation",
    "ReDo",
    "Residual",
    "Shaping",
    "ShrinkPerturb",
    "Smoothing",
    "SoftShrinkPerturb",
    "SourceTrajectories",
    "method_from",
    "methods_of",
]
