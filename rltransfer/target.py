"""Whether an agent's algorithm and policy can work on a target at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gymnasium import spaces
from sb3_contrib.common.maskable.utils import is_masking_supported
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import VecEnv

from rltransfer.agents import Agent
from rltransfer.errors import BadArgument, BadEnvironment, SpaceMismatch


def check_target(agent: Agent, venv: VecEnv, settings: Mapping[str, Any]) -> None:
    """Refuse a target that no recipe can bridge.

    Args:
        agent: The source.
        venv: The target's environments.
        settings: Hyperparameters of the new model.

    Raises:
        SpaceMismatch: The source's policy cannot read the observations, or its algorithm has no
            such actions.
        BadEnvironment: The source needs action masks and the target gives none.
        BadArgument: gSDE is asked for on actions that are not continuous.
    """
    _check_observations(agent, venv.observation_space)
    actions = venv.action_space
    if agent.algorithm == "maskable_ppo":
        _check_masks(actions, venv)
    elif settings.get("use_sde") and not isinstance(actions, spaces.Box):
        raise BadArgument(
            f"the source explores by gSDE, for continuous actions, and the target has {actions}: "
            "give use_sde=False"
        )


def _check_observations(agent: Agent, target: spaces.Space) -> None:
    source = agent.observation_space
    dicts = isinstance(source, spaces.Dict) == isinstance(target, spaces.Dict)
    images = not agent.policy.startswith("Cnn") or is_image_space(target)
    if dicts and images:
        return
    wrapper = " such as FlattenObservation" if isinstance(target, spaces.Dict) else ""
    raise SpaceMismatch(
        f"the source observes {source} and the target {target}, which its {agent.policy} cannot "
        f"read: register the target with a Gymnasium wrapper{wrapper} that shows what the source "
        "saw"
    )


def _check_masks(actions: spaces.Space, venv: VecEnv) -> None:
    if isinstance(actions, spaces.Box):
        raise SpaceMismatch(
            f"the source is a MaskablePPO, for discrete actions, and the target has {actions}: "
            "wrap the target so that its actions are Discrete"
        )
    if not is_masking_supported(venv):
        raise BadEnvironment(
            "the source is a MaskablePPO and the target has no action_masks(): define it, or "
            "register the target with sb3_contrib.common.wrappers.ActionMasker around it"
        )
