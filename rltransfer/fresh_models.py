"""Untrained models that have a source's architecture and hyperparameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from gymnasium.envs.registration import EnvSpec
from stable_baselines3.common.vec_env import VecEnv

from rltransfer.agents import Agent
from rltransfer.target import check_target
from rltransfer.training.build import build_model
from rltransfer.training.ppo import TransferMixin
from rltransfer.vec import Vec, make_vec


def fresh_model(
    agent: Agent,
    task: str | EnvSpec,
    settings: Mapping[str, Any],
    *,
    n_envs: int | None = None,
    vec: Vec = "auto",
    seed: int | None = None,
    classes: Mapping[str, type] | None = None,
    **options: Any,
) -> TransferMixin:
    """Build a model with the source's architecture and a task's spaces, weights untouched.

    Args:
        agent: The source.
        task: Gymnasium id, ``module:Id``, or spec.
        settings: Hyperparameters.
        n_envs: Parallel environments; those of ``settings`` by default.
        vec: How they are stepped.
        seed: Seed of weights, actions and environments.
        classes: Your own classes that the agent was built with, by name.
        **options: As for :func:`rltransfer.training.build.build_model`.

    Raises:
        TransferError: As for :func:`rltransfer.adapt`.
    """
    policy, kwargs = agent.policy_class(classes), agent.live_policy_kwargs(classes)
    copies = n_envs if n_envs is not None else int(settings.get("n_envs", 1))
    venv = make_vec(task, copies, seed=seed, vec=vec)
    with closed_on_error(venv):
        check_target(agent, venv, settings)
        return build_model(
            agent.algorithm,
            policy,
            venv,
            policy_kwargs=kwargs,
            hyperparameters=settings,
            seed=seed,
            **options,
        )


@contextmanager
def closed_on_error(venv: VecEnv | None) -> Iterator[None]:
    """Close environments if what is done with them fails."""
    try:
        yield
    except BaseException:
        if venv is not None:
            venv.close()
        raise
