"""How similar a target is to a source, measured before anything is transferred."""

from rltransfer.similarity.measuring import similarity
from rltransfer.similarity.result import MEASURES, Measure, Similarity

__all__ = ["MEASURES", "Measure", "Similarity", "similarity"]
