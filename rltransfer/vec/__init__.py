"""Vectorized environments of a task, and the running statistics that normalize them."""

from rltransfer.guard import GuardVecEnv, out_of_bounds
from rltransfer.normalizing import normalization_of, normalize
from rltransfer.strict import StrictEnv
from rltransfer.vec.adapter import VectorEnvAdapter
from rltransfer.vec.making import StartMethod, Vec, check_vec, make_vec
from rltransfer.vec.multitask import MultiTaskVecEnv, task_of

__all__ = [
    "GuardVecEnv",
    "MultiTaskVecEnv",
    "StartMethod",
    "StrictEnv",
    "Vec",
    "VectorEnvAdapter",
    "check_vec",
    "make_vec",
    "normalization_of",
    "normalize",
    "out_of_bounds",
    "task_of",
]
