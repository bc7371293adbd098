"""Agents of one task as sources of encoders, trunks and heads of multi-task policies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from torch import Tensor

from rltransfer.agents.multitask.names import of_one_task
from rltransfer.agents.multitask.parts import of_parameter
from rltransfer.errors import BadArgument, SpaceMismatch
from rltransfer.policies.observation_stats import CLIP, EPSILON
from rltransfer.policies.tasks import PolicyTask

if TYPE_CHECKING:
    from rltransfer.agents.agent import Agent

_HIDDEN = re.compile(r"mlp_extractor\.(policy|value)_net\.(\d+)\.(weight|bias)")
_STREAMS = {"policy": "actor", "value": "critic"}
_FLATTEN = {"$class": "stable_baselines3.FlattenExtractor"}
# So many observations are told to have been seen that statistics do not move any more.
_PINNED = 1e9


@dataclass(frozen=True)
class Layers:
    """Hidden layers of an ``MlpPolicy``.

    Attributes:
        numbers: Of each hidden layer in SB3's module names, input to output.
        shapes: Shape of each hidden weight, by stream (``"policy"``, ``"value"``).
    """

    numbers: tuple[int, ...]
    shapes: Mapping[str, tuple[tuple[int, int], ...]]

    @property
    def widths(self) -> tuple[int, ...]:
        """Width of each hidden layer of the actor."""
        return tuple(out for out, _ in self.shapes["policy"])


def check_source(agent: Agent, what: str, *, log_std: float | None) -> None:
    """Check that an agent is of a kind whose layers a multi-task policy has, too.

    Args:
        agent: The agent.
        what: What needs it, for messages.
        log_std: The standard deviation that replaces gSDE, if given.

    Raises:
        BadArgument: It is of another kind.
    """
    of_one_task(agent, what)
    name, given = agent.card.name, agent.policy_kwargs
    extractor = given.get("features_extractor_class", _FLATTEN)
    if agent.algorithm == "recurrent_ppo" or agent.policy != "MlpPolicy" or extractor != _FLATTEN:
        raise BadArgument(
            f"{what} takes the layers of a plain MlpPolicy of PPO or MaskablePPO, and {name!r} is "
            f"{agent.algorithm} with {agent.policy}"
            f"{'' if extractor == _FLATTEN else ' and a features extractor'}: learn its task anew"
        )
    if isinstance(agent.observation_space, spaces.Box) and is_image_space(agent.observation_space):
        raise BadArgument(
            f"{name!r} flattens images, which multi-task policies convolve: learn its task anew"
        )
    if agent.hyperparameters["use_sde"] and log_std is None:
        raise BadArgument(
            f"{name!r} explores by gSDE, whose standard deviation depends on the state: give one "
            f"that does not, such as {_cure(agent, what)}; its most likely actions stay what they "
            "are"
        )
    spec = agent.normalization
    if spec is not None and spec.obs and (spec.clip_obs, spec.epsilon) != (CLIP, EPSILON):
        raise BadArgument(
            f"{name!r} normalizes observations with clip_obs={spec.clip_obs:g} and epsilon="
            f"{spec.epsilon:g}, multi-task policies with {CLIP:g} and {EPSILON:g}: learn its task "
            "anew"
        )


def hidden_layers(agent: Agent) -> Layers:
    """Find the hidden layers.

    Raises:
        BadArgument: There are none, or actor and critic differ in them.
    """
    found: dict[str, dict[int, Any]] = {"policy": {}, "value": {}}
    for name, tensor in agent.weights.items():
        match = _HIDDEN.fullmatch(name)
        if match and match[3] == "weight":
            found[match[1]][int(match[2])] = tuple(tensor.shape)
    actor, critic = (dict(sorted(layers.items())) for layers in found.values())
    if not actor or actor != critic:
        raise BadArgument(
            f"a trunk has the same layers for actor and critic, at least one, and the weights of "
            f"mlp_extractor.policy_net in {agent.card.name!r} are {_listed(actor)}, those of "
            f"mlp_extractor.value_net {_listed(critic)}: train it with equal ones, such as "
            "net_arch=[64, 64]"
        )
    shapes = {"policy": tuple(actor.values()), "value": tuple(critic.values())}
    return Layers(tuple(actor), shapes)


def _cure(agent: Agent, what: str) -> str:
    """A standard deviation, given where an agent begins or where it joins."""
    if what == "as_multitask":
        return "agent.as_multitask(log_std=-0.5)"
    return f"log_std=-0.5, in its task_options too (--log-std {agent.card.task}=-0.5)"


def renamed(agent: Agent, task: PolicyTask, layers: Layers) -> dict[str, Tensor]:
    """Weights of a source under the names of a multi-task policy; gSDE's are left out."""
    return _renamed(agent.weights, agent, task, layers)


def renamed_moments(agent: Agent, task: PolicyTask, layers: Layers) -> dict[str, Tensor] | None:
    """State of the optimizer under the names of a multi-task policy."""
    if agent.optimizer is None:
        return None
    found = {}
    for full, value in agent.optimizer.items():
        parameter = of_parameter(full)
        for name in _renamed({parameter: value}, agent, task, layers):
            found[name + full.removeprefix(parameter)] = value.clone()
    return found


def value_statistics(agent: Agent, task: PolicyTask) -> dict[str, Tensor]:
    """Statistics of the value head: the scale of ``VecNormalize``, whose returns the source saw."""
    spec = agent.normalization
    scaled = spec is not None and spec.reward and spec.return_stats is not None
    square = spec.return_stats.var.item() + spec.epsilon if scaled else 1.0  # pyright: ignore
    values = {"mean": 0.0, "mean_square": square, "count": 0.0}
    return {f"value_heads.{task.key}.{name}": torch.tensor(v) for name, v in values.items()}


def observation_statistics(agent: Agent, task: PolicyTask) -> dict[str, Tensor]:
    """Statistics of the encoder, in single precision.

    Those of a source that does not normalize leave observations as they are, and stay so.

    Raises:
        SpaceMismatch: The source does not normalize, and its observations would be clipped.
    """
    spec = agent.normalization
    size = int(torch.tensor(task.observation_space.shape).prod())
    if spec is None or not spec.obs:
        _check_unclipped(agent)
        found = {"mean": torch.zeros(size), "var": torch.ones(size), "count": _PINNED}
    elif spec.obs_stats is None:
        found = {"mean": torch.zeros(size), "var": torch.ones(size), "count": 0.0}
    else:
        stats: Any = spec.obs_stats
        found = {"mean": stats.mean.ravel(), "var": stats.var.ravel(), "count": stats.count}
    return {
        f"observation_stats.{task.encoder}.{name}": torch.as_tensor(value, dtype=torch.float32)
        for name, value in found.items()
    }


def normalizes(agent: Agent) -> bool:
    """Whether a source observes what ``VecNormalize`` gives."""
    return agent.normalization is not None and agent.normalization.obs


def _check_unclipped(agent: Agent) -> None:
    space = agent.observation_space
    if not isinstance(space, spaces.Box) or max(-space.low.min(), space.high.max()) <= CLIP:
        return
    raise SpaceMismatch(
        f"{agent.card.name!r} takes its observations as they are, and the multi-task policy "
        f"normalizes them and clips them at {CLIP:g}, and they are in {space}: take a source that "
        "was trained with normalize_obs=True or a policy without, or add the task without a source"
    )


def _renamed(
    tensors: Mapping[str, Tensor], agent: Agent, task: PolicyTask, layers: Layers
) -> dict[str, Tensor]:
    vector = isinstance(agent.observation_space, spaces.Box | spaces.MultiBinary)
    first = "0" if vector else "linear"
    found = {}
    for name, tensor in tensors.items():
        match = _HIDDEN.fullmatch(name)
        if match:
            stream, depth = _STREAMS[match[1]], layers.numbers.index(int(match[2]))
            encoder = f"{stream}.encoders.{task.encoder}.{first}"
            place = encoder if depth == 0 else f"{stream}.trunk.layers.{depth - 1}.0"
            found[f"{place}.{match[3]}"] = tensor
        elif name.startswith("action_net."):
            found[f"action_heads.{task.head}.{name.removeprefix('action_net.')}"] = tensor
        elif name.startswith("value_net."):
            place = f"value_heads.{task.key}.linear"
            found[f"{place}.{name.removeprefix('value_net.')}"] = tensor
        elif name == "log_std" and not agent.hyperparameters["use_sde"]:
            found[f"log_stds.{task.head}"] = tensor
    return found


def _listed(shapes: Mapping[int, Any]) -> str:
    return ", ".join(map(str, shapes.values())) or "none"
