"""Builds the learner of an implementation; each has SB3's `learn`, `get_env` and phases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np

from throughput_workers import environments
from throughput_workers.workloads import Implementation, Workload

SEED = 0
ACTIONS = 256


class Skipped(Exception):
    """An implementation cannot run here; the message says what is missing."""


class RandomActions:
    """Steps environments with actions that were drawn beforehand, and learns nothing."""

    def __init__(self, workload: Workload, implementation: Implementation) -> None:
        self._venv = environments.make(workload, implementation.vec, SEED)
        self._steps = workload.n_steps
        space = self._venv.action_space
        space.seed(SEED)
        drawn = [[space.sample() for _ in range(workload.n_envs)] for _ in range(ACTIONS)]
        self._actions = [np.array(actions) for actions in drawn]
        self._venv.reset()

    def get_env(self) -> Any:
        """The environments."""
        return self._venv

    def learn(self, total_timesteps: int, reset_num_timesteps: bool = True) -> None:
        """Take so many environment steps."""
        for _ in range(total_timesteps // (self._steps * self._venv.num_envs)):
            self.collect_rollouts()
            self.train()

    def collect_rollouts(self) -> None:
        """Take the steps of one rollout."""
        step = self._venv.step
        for index in range(self._steps):
            step(self._actions[index % ACTIONS])

    def train(self) -> None:
        """Do nothing."""


def sb3(workload: Workload, implementation: Implementation, device: str) -> Any:
    """Stable-Baselines3's PPO."""
    from stable_baselines3 import PPO

    venv = environments.make(workload, implementation.vec, SEED)
    return _freeze(workload, PPO(workload.policy, venv, **_arguments(workload, device)))


def ours(workload: Workload, implementation: Implementation, device: str) -> Any:
    """TransferPPO of rltransfer, built as its users do."""
    from rltransfer.engine.options import EngineOptions
    from rltransfer.pretrain import fresh
    from rltransfer.training import TransferPPO

    model: Any
    if implementation.vec == "sb3" or workload.env in environments.GIVEN:
        venv = environments.make(workload, implementation.vec, SEED)
        model = TransferPPO(workload.policy, venv, **_arguments(workload, device))
    else:
        vec: dict[str, Any] = {} if implementation.vec == "auto" else {"vec": implementation.vec}
        model = fresh(workload.env, n_envs=workload.n_envs, **vec, **_arguments(workload, device))
    if implementation.engine:
        model.engine_options = EngineOptions(**implementation.engine)
    return _freeze(workload, model)


def sbx(workload: Workload, implementation: Implementation, device: str) -> Any:
    """SBX's PPO; JAX takes the device of the variable JAX_PLATFORMS."""
    if find_spec("sbx") is None:
        raise Skipped("this interpreter has no sbx: pip install sbx-rl")
    import jax  # pyright: ignore[reportMissingImports]
    from sbx import PPO  # pyright: ignore[reportMissingImports]

    try:
        jax.devices()
    except RuntimeError as error:
        raise Skipped(f"JAX does not find {device}: {error}") from error
    venv = environments.make(workload, implementation.vec, SEED)
    return PPO(workload.policy, venv, seed=SEED, verbose=0, **workload.hyperparameters)


def cleanrl_style(workload: Workload, implementation: Implementation, device: str) -> Any:
    """PPO in one file."""
    from throughput_workers.cleanrl_style import PPO

    return PPO(
        workload.env,
        n_envs=workload.n_envs,
        seed=SEED,
        device=device,
        **workload.hyperparameters,
    )


def env(workload: Workload, implementation: Implementation, device: str) -> Any:
    """Environments alone."""
    return RandomActions(workload, implementation)


BUILDERS: Mapping[str, Callable[[Workload, Implementation, str], Any]] = {
    "sb3": sb3,
    "ours": ours,
    "sbx": sbx,
    "cleanrl-style": cleanrl_style,
    "env": env,
}


def _arguments(workload: Workload, device: str) -> dict[str, Any]:
    arguments = {**workload.hyperparameters, "seed": SEED, "device": device}
    if workload.resnet:
        from throughput_workers.networks import ResNet18

        arguments["policy_kwargs"] = {"features_extractor_class": ResNet18}
    return arguments


def _freeze(workload: Workload, model: Any) -> Any:
    if workload.frozen:
        model.policy.features_extractor.requires_grad_(False)
    return model
