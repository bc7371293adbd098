"""Continual learning: one task after the other, and what is left of the earlier ones."""

from rltransfer.continual.learning import continual
from rltransfer.continual.run import ContinualRun
from rltransfer.continual.strategies import STRATEGIES

__all__ = ["STRATEGIES", "ContinualRun", "continual"]
