"""Every way of transferring, as data for :class:`rltransfer.recipe.Recipe`.

Each module is one field of a recipe; what its methods do to a training lies in
:mod:`rltransfer.training.terms` and the parts that it names.
"""

# ruff: noqa: F403
from rltransfer.methods.align import *
from rltransfer.methods.grow import *
from rltransfer.methods.guide import *
from rltransfer.methods.imitate import *
from rltransfer.methods.method import METHODS, ROLES, Fading, Method, method_from, methods_of
from rltransfer.methods.regularize import *
from rltransfer.methods.renew import *
from rltransfer.methods.retain import *

__all__ = ["METHODS", "ROLES", "Fading", "Method", "method_from", "methods_of"]
