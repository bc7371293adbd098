"""Learning to adapt: starts for fine-tuning, policies with memory, and inferred context."""

from rltransfer.meta.adaptive import AdaptivePolicy, Known
from rltransfer.meta.estimator import ContextEstimator
from rltransfer.meta.identifying import identify
from rltransfer.meta.reptile import meta_step, reptile
from rltransfer.meta.rl2 import Adaptation, adaptation, rl2

__all__ = [
    "Adaptation",
    "AdaptivePolicy",
    "ContextEstimator",
    "Known",
    "adaptation",
    "identify",
    "meta_step",
    "reptile",
    "rl2",
]
