"""What a source does in a task, as a rollout of PPO."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import obs_as_tensor
from torch import Tensor

from rltransfer.agents import Agent
from rltransfer.carry import carry_over
from rltransfer.fresh_models import closed_on_error, fresh_model
from rltransfer.normalizing import normalization_of, observation_normalizer
from rltransfer.recipe import Recipe
from rltransfer.similarity.walking import COPIES, first_seed
from rltransfer.training.critic import bootstrapped_returns
from rltransfer.training.ppo import TransferMixin
from rltransfer.training.terms import Teacher


@dataclass(frozen=True, eq=False)
class Acted:
    """One rollout of n steps, environment by environment.

    Attributes:
        observations: As the policy saw them, on its device: (n, ...), or a dict of such.
        actions: As the policy took them.
        advantages: Shape (n,), by the source's critic.
        returns: Discounted rewards to go, shape (n,); what comes after the end of the rollout is
            the critic's estimate.
    """

    observations: Any
    actions: Tensor
    advantages: Tensor
    returns: np.ndarray


def source_on(
    agent: Agent,
    task: str | EnvSpec,
    *,
    steps: int,
    seed: int,
    device: str,
    classes: Mapping[str, type] | None,
) -> TransferMixin:
    """Build the whole of a source on a task, with statistics that stay what they are.

    Args:
        agent: The source.
        task: Gymnasium id, ``module:Id``, or spec.
        steps: Environment steps of its rollout, from :data:`COPIES` environments.
        seed: Seed.
        device: Where it acts.
        classes: Your own classes that the agent was built with, by name.

    Raises:
        SpaceMismatch: It cannot act there.
    """
    count = max(2, steps // COPIES)
    settings = {**agent.hyperparameters, "n_steps": count, "batch_size": count * COPIES}
    model = fresh_model(
        agent,
        task,
        settings,
        n_envs=COPIES,
        seed=first_seed(seed),
        device=device,
        classes=classes,
    )
    with closed_on_error(model.get_env()):
        carry_over(model, agent, task, Recipe(critic="keep"))
    normalizer = model.get_vec_normalize_env()
    if normalizer is not None:
        normalizer.training = False
    return model


def act(model: Any) -> Acted:
    """Let a model collect one rollout.

    Args:
        model: A ``TransferPPO`` on a task.
    """
    buffer = model.rollout_buffer
    _, callback = model._setup_learn(buffer.buffer_size * model.n_envs, callback=_Silent())
    model.collect_rollouts(model.env, callback, buffer, buffer.buffer_size)
    following = np.concatenate([buffer.episode_starts[1:], model._last_episode_starts[None]])
    # Where a time limit cut an episode, the value of its end was added to the reward already.
    returns = bootstrapped_returns(
        np.array(buffer.rewards),
        following.astype(bool),
        np.zeros(following.shape, dtype=bool),
        np.array(buffer.values, dtype=np.float64),
        model.gamma,
    )
    return Acted(
        observations=obs_as_tensor(_each(buffer.observations, _rows), model.device),
        actions=_taken(buffer.actions, model),
        advantages=torch.as_tensor(_rows(buffer.advantages), device=model.device),
        returns=_rows(returns),
    )


def raw_rows(model: Any, observations: Any) -> Any:
    """Observations of a rollout as the environments gave them, up to what normalization clipped.

    Args:
        model: The model, for its normalization.
        observations: Of its rollout buffer: (steps, environments, ...), or a dict of such.

    Returns:
        Environment by environment: (n, ...), or a dict of such.
    """
    rows, normalizer = _each(observations, _rows), model.get_vec_normalize_env()
    return normalizer.unnormalize_obs(rows) if normalizer else rows


def teacher_of(model: Any) -> Teacher:
    """Freeze what a model is now, with the statistics through which it sees observations."""
    normalize = observation_normalizer(model.observation_space, normalization_of(model))
    return Teacher(model.policy, normalize)


def _taken(actions: np.ndarray, model: Any) -> Tensor:
    """Actions in the type in which the policy's distribution takes them."""
    rows = torch.as_tensor(_rows(actions), device=model.device)
    if isinstance(model.action_space, spaces.Discrete):
        return rows.long().flatten()
    return rows.float() if isinstance(model.action_space, spaces.MultiBinary) else rows


class _Silent(BaseCallback):
    def _on_step(self) -> bool:
        return True


def _each(observations: Any, change: Any) -> Any:
    if isinstance(observations, dict):
        return {key: change(part) for key, part in observations.items()}
    return change(observations)


def _rows(array: np.ndarray) -> np.ndarray:
    """From (steps, environments, ...) to (environments * steps, ...)."""
    swapped = np.ascontiguousarray(array.swapaxes(0, 1))
    return swapped.reshape(-1, *swapped.shape[2:])
