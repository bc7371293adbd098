"""Classic control, a whole batch at a time: the numbers of the scalar environments, faster."""

from __future__ import annotations

from rltransfer.vectorizing import register_vectorized
from rltransfer_envs.vectorized.acrobot import VectorAcrobot
from rltransfer_envs.vectorized.cartpole import VectorCartPole
from rltransfer_envs.vectorized.mixing import mixture
from rltransfer_envs.vectorized.mountaincar import VectorMountainCar
from rltransfer_envs.vectorized.mountaincar_continuous import VectorMountainCarContinuous
from rltransfer_envs.vectorized.pendulum import VectorPendulum

__all__ = [
    "VectorAcrobot",
    "VectorCartPole",
    "VectorMountainCar",
    "VectorMountainCarContinuous",
    "VectorPendulum",
    "mixture",
    "register",
]

_GYMNASIUM = "gymnasium.envs.classic_control"
_OURS = "rltransfer_envs"

# What stands in for each scalar class and each scalar wrapper.
_STAND_INS = {
    f"{_GYMNASIUM}.acrobot:AcrobotEnv": "acrobot:VectorAcrobot",
    f"{_GYMNASIUM}.cartpole:CartPoleEnv": "cartpole:VectorCartPole",
    f"{_GYMNASIUM}.continuous_mountain_car:Continuous_MountainCarEnv": (
        "mountaincar_continuous:VectorMountainCarContinuous"
    ),
    f"{_GYMNASIUM}.mountain_car:MountainCarEnv": "mountaincar:VectorMountainCar",
    f"{_GYMNASIUM}.pendulum:PendulumEnv": "pendulum:VectorPendulum",
    f"{_OURS}.acrobot:Acrobot": "acrobot:VectorAcrobot",
    f"{_OURS}.cartpole:CartPole": "cartpole:VectorCartPole",
    f"{_OURS}.mountaincar:MountainCar": "mountaincar:VectorMountainCar",
    f"{_OURS}.mountaincar:MountainCarContinuous": (
        "mountaincar_continuous:VectorMountainCarContinuous"
    ),
    f"{_OURS}.pendulum:Pendulum": "pendulum:VectorPendulum",
    f"{_OURS}.wrappers:FlipActions": "wrappers:VectorFlipActions",
    f"{_OURS}.wrappers:NoisyObservation": "wrappers:VectorNoisyObservation",
    f"{_OURS}.wrappers:OffsetObservation": "wrappers:VectorOffsetObservation",
    f"{_OURS}.wrappers:PermuteActions": "wrappers:VectorPermuteActions",
    f"{_OURS}.wrappers:PermuteObservation": "wrappers:VectorPermuteObservation",
    f"{_OURS}.wrappers:PushContinuously": "wrappers:VectorPushContinuously",
    f"{_OURS}.wrappers:ScaleObservation": "wrappers:VectorScaleObservation",
}


def register() -> None:
    """Register every vectorised class and wrapper."""
    for scalar, vector in _STAND_INS.items():
        register_vectorized(scalar, f"{__name__}.{vector}")
