"""What the methods of :mod:`rltransfer.methods.guide` do to training environments."""

from rltransfer.training.guides.horizon import Horizon
from rltransfer.training.guides.jump_start import Act, Guide, Guided, require_finite
from rltransfer.training.guides.shaping import ShapedVecEnv, shaping_of

__all__ = ["Act", "Guide", "Guided", "Horizon", "ShapedVecEnv", "require_finite", "shaping_of"]
