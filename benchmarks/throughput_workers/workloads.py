"""What is measured: workloads, and implementations of PPO that run them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

#: Where environments come from: SB3's ``make_vec_env``, rltransfer's ``make_vec`` with its default
#: or with envpool, or Gymnasium's ``SyncVectorEnv``.
Vec = Literal["sb3", "auto", "envpool", "gymnasium"]


@dataclass(frozen=True, kw_only=True)
class Implementation:
    """A program that trains, or only steps environments.

    Attributes:
        learner: Builder in ``learners.py``.
        vec: Where its environments come from, if the workload names a task.
        engine: Arguments of ``EngineOptions``.
        about: What it is, for tables.
    """

    learner: Literal["sb3", "ours", "sbx", "cleanrl-style", "env"]
    vec: Vec
    about: str
    engine: Mapping[str, Any] = field(default_factory=dict)


IMPLEMENTATIONS: Mapping[str, Implementation] = {
    "sb3": Implementation(
        learner="sb3", vec="sb3", about="Stable-Baselines3's PPO and make_vec_env"
    ),
    "ours": Implementation(
        learner="ours", vec="auto", about="rltransfer's TransferPPO and make_vec, as they come"
    ),
    "ours-python": Implementation(
        learner="ours", vec="auto", engine={"compiled": False}, about="ours, without numba"
    ),
    "ours-dummy": Implementation(
        learner="ours", vec="sb3", about="TransferPPO on the environments of SB3's make_vec_env"
    ),
    "ours-stock": Implementation(
        learner="ours",
        vec="auto",
        engine={"path": "stock"},
        about="TransferPPO with SB3's own rollout and update, on our environments",
    ),
    "ours-envpool": Implementation(
        learner="ours", vec="envpool", about="ours, on the environments of envpool"
    ),
    "sbx": Implementation(learner="sbx", vec="sb3", about="SBX's PPO (JAX) and make_vec_env"),
    "cleanrl-style": Implementation(
        learner="cleanrl-style", vec="gymnasium", about="PPO in one file, on SyncVectorEnv"
    ),
    "env": Implementation(learner="env", vec="auto", about="random actions, no learning"),
    "env-sb3": Implementation(
        learner="env", vec="sb3", about="random actions in the environments of make_vec_env"
    ),
    "env-envpool": Implementation(
        learner="env", vec="envpool", about="random actions in the environments of envpool"
    ),
}
#: Environments alone, by where they come from: no learner on them can be faster.
CEILINGS: Mapping[str, str] = {"sb3": "env-sb3", "auto": "env", "envpool": "env-envpool"}

ON_TASKS = (
    *("sb3", "ours", "ours-python", "ours-dummy", "ours-stock"),
    *("sbx", "cleanrl-style", "env", "env-sb3"),
)
ON_DOORKEY = (*ON_TASKS, "ours-envpool", "env-envpool")
# All are given the same environments here.
ON_IMAGES = ("sb3", "ours", "ours-stock", "sbx", "env")
# SBX cannot freeze layers.
FROZEN = ("sb3", "ours", "ours-stock", "env")


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A task and a policy; batches of 256 rows, 10 epochs, and SB3's defaults otherwise.

    Attributes:
        title: What it is, for tables.
        env: Gymnasium id, or a name of ``environments.GIVEN``.
        n_envs: Environments.
        n_steps: Steps of each in a rollout.
        policy: SB3's name of the policy; an MLP has 2 x 64 tanh units.
        resnet: Whether ResNet-18 replaces the features extractor of the policy.
        frozen: Whether the features extractor does not train.
        implementations: Names of the implementations that run it.
    """

    title: str
    env: str
    n_envs: int = 8
    n_steps: int = 128
    policy: str = "MlpPolicy"
    resnet: bool = False
    frozen: bool = False
    implementations: tuple[str, ...] = ON_TASKS

    @property
    def steps(self) -> int:
        """Environment steps of one iteration, a rollout and its update."""
        return self.n_envs * self.n_steps

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Arguments of PPO."""
        return {"n_steps": self.n_steps, "batch_size": 256, "n_epochs": 10}


_IMAGES: dict[str, Any] = {"policy": "CnnPolicy", "env": "images"}
WORKLOADS: Mapping[str, Workload] = {
    "cartpole-8x128": Workload(title="CartPole-v1, 8 x 128", env="CartPole-v1"),
    "cartpole-32x32": Workload(
        title="CartPole-v1, 32 x 32", env="CartPole-v1", n_envs=32, n_steps=32
    ),
    "cartpole-256x8": Workload(
        title="CartPole-v1, 256 x 8", env="CartPole-v1", n_envs=256, n_steps=8
    ),
    "pendulum-8x128": Workload(title="Pendulum-v1, 8 x 128", env="Pendulum-v1"),
    "halfcheetah-1x1024": Workload(
        title="HalfCheetah-v5, 1 x 1024", env="HalfCheetah-v5", n_envs=1, n_steps=1024
    ),
    "halfcheetah-8x128": Workload(title="HalfCheetah-v5, 8 x 128", env="HalfCheetah-v5"),
    "doorkey-8x128": Workload(
        title="MiniGrid DoorKey-5x5, 8 x 128",
        env="rltransfer_envs:rlt/DoorKey-5x5-v0",
        implementations=ON_DOORKEY,
    ),
    "nature": Workload(
        title="NatureCNN on noise images of 4 x 84 x 84, trained, 8 x 128",
        implementations=ON_IMAGES,
        **_IMAGES,
    ),
    "nature-frozen": Workload(
        title="NatureCNN on noise images of 4 x 84 x 84, frozen, 8 x 128",
        frozen=True,
        implementations=FROZEN,
        **_IMAGES,
    ),
    "resnet18-frozen": Workload(
        title="ResNet-18 on noise images of 4 x 84 x 84, frozen, 8 x 128",
        resnet=True,
        frozen=True,
        implementations=FROZEN,
        **_IMAGES,
    ),
    "pong-frozen": Workload(
        title="NatureCNN on Atari Pong (AtariVectorEnv), frozen, 8 x 128",
        env="pong",
        policy="CnnPolicy",
        frozen=True,
        implementations=FROZEN,
    ),
}
