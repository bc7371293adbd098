"""What a user may give to be evaluated: the model behind it, its task, and whether it fits."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import torch
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.preprocessing import (
    is_image_space,
    is_image_space_channels_first,
)
from stable_baselines3.common.vec_env import VecEnv, VecTransposeImage

from rltransfer.agents.agent import Agent
from rltransfer.agents.multitask.names import of_one_task
from rltransfer.agents.normalization import Normalization
from rltransfer.errors import BadArgument, SpaceMismatch
from rltransfer.normalizing import normalization_of


@runtime_checkable
class Acting(Protocol):
    """What acts as a Stable-Baselines3 model does, and normalizes observations itself.

    Attributes:
        policy: Its network.
        device: Where that computes.
        observation_space: What it sees.
        action_space: What it gives.
    """

    policy: torch.nn.Module
    device: torch.device
    observation_space: spaces.Space
    action_space: spaces.Space

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """Choose actions for a batch; see ``predict`` of Stable-Baselines3."""
        ...


def load_if_named(actor: Any, task: str | EnvSpec | None = None) -> Any:
    """Load the agent that a name of the zoo or a path means; return anything else as it is.

    Args:
        actor: What the user gave.
        task: Of an agent of several tasks, the one that is wanted.

    Raises:
        BadArgument: It is an agent of several tasks, and none of them is wanted.
    """
    if isinstance(actor, str | os.PathLike):
        from rltransfer.agents import load

        actor = load(os.fspath(actor))
    if not isinstance(actor, Agent):
        return actor
    if actor.multitask and isinstance(task, str) and task in actor.tasks:
        return actor.for_task(task)
    return of_one_task(actor, "evaluate")


def resolve(actor: Any) -> tuple[BaseAlgorithm | Acting, Normalization | None]:
    """Find the model behind what a user may give, and how its observations are normalized.

    Args:
        actor: A Stable-Baselines3 model, an agent, a path, a name of the zoo, or whatever acts
            as a model does.

    Raises:
        BadArgument: It is something else.
    """
    actor = load_if_named(actor)
    if isinstance(actor, Agent):
        return actor.build(), actor.normalization
    if isinstance(actor, BaseAlgorithm):
        return actor, normalization_of(actor)
    if isinstance(actor, Acting):
        return actor, None
    raise BadArgument(
        f"{type(actor).__name__} cannot be evaluated: give a Stable-Baselines3 model, an Agent, a"
        " path, or a name of the zoo"
    )


def trained_on(actor: Any) -> str | EnvSpec:
    """Say which task an agent, or a model with environments, was trained on.

    Raises:
        BadArgument: Nothing says it, or what says it is a file that wants a module imported.
    """
    if isinstance(actor, Agent) and actor.card.task:
        return _without_import(actor.card.task)
    venv = actor.get_env() if isinstance(actor, BaseAlgorithm) else None
    spec = venv.get_attr("spec", 0)[0] if venv is not None else None
    # Monitor only watches; another wrapper that cannot be made again would be missed.
    wrappers = [] if spec is None else [w for w in spec.additional_wrappers if w.name != "Monitor"]
    if spec is None or any(wrapper.kwargs is None for wrapper in wrappers):
        raise BadArgument(
            "nothing says which task it was trained on: give one, as in evaluate(agent, "
            "'CartPole-v1') or `rltransfer evaluate AGENT CartPole-v1`"
        )
    return replace(spec, additional_wrappers=tuple(wrappers))


def _without_import(task: str) -> str:
    """Refuse ``module:id`` of a file: importing runs code, and is for the user to decide."""
    module, _, _ = task.rpartition(":")
    if module and module not in sys.modules:
        raise BadArgument(
            f"it was trained on {task!r:.100}, and a file may not have a module imported: give the"
            " task yourself, if you trust that module"
        )
    return task


def require_fit(
    model: BaseAlgorithm | Acting,
    env: gym.Env | VecEnv,
    task: str,
    normalization: Normalization | None,
) -> None:
    """Refuse a model whose spaces are not those of a task.

    Bounds of observations may differ, nothing depends on them. Bounds of actions may not: the same
    number would be another action.

    Args:
        model: The model.
        env: An environment of the task, or several.
        task: Its id, for the message.
        normalization: How observations are normalized; after it they need not be images.

    Raises:
        SpaceMismatch: The spaces differ.
    """
    normalized = normalization is not None and normalization.obs
    what, policy, given = "observations", model.observation_space, env.observation_space
    if _sees(policy, given, normalized):
        what, policy, given = "actions", model.action_space, env.action_space
        if policy == given:
            return
    raise SpaceMismatch(
        f"{task} has {what} {given}, the policy has {policy}: build the policy on the task with"
        " adapt(), or put one of rltransfer.adapters around the task"
    )


def _sees(policy: spaces.Space, given: spaces.Space, normalized: bool) -> bool:
    if isinstance(policy, spaces.Dict) and isinstance(given, spaces.Dict):
        same_keys = policy.spaces.keys() == given.spaces.keys()
        return same_keys and all(_sees(policy[key], given[key], normalized) for key in given)
    if not isinstance(policy, spaces.Box) or not isinstance(given, spaces.Box):
        return policy == given
    if is_image_space(given):
        # Stable-Baselines3 turns images channel-first, and the policy says so.
        first = is_image_space_channels_first(given)
        turned = given if first else VecTransposeImage.transpose_space(given)
        return policy.shape in (given.shape, turned.shape) and (
            normalized or is_image_space(policy)
        )
    return policy.shape == given.shape
