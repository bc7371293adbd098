"""The frozen front of a policy: computed once for each observation, while acting."""

from rltransfer.engine.features.acting import FrontActor
from rltransfer.engine.features.cache import FeatureCache, pick
from rltransfer.engine.features.front import Activations, FrozenFront
from rltransfer.engine.features.heads import act_on_features, evaluate_features

__all__ = [
    "Activations",
    "FeatureCache",
    "FrontActor",
    "FrozenFront",
    "act_on_features",
    "evaluate_features",
    "pick",
]
