"""The tensors that a policy of Stable-Baselines3 has, from its spaces and arguments alone.

What a file says about an agent is checked against what the agent is made of, before anything of
the size that it says is made.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from rltransfer.agents.sb3 import extractors
from rltransfer.agents.sb3.extractors import COMBINED, FLATTEN, NATURE, Shapes
from rltransfer.errors import BadCheckpoint

_EXTRACTORS = {"Mlp": FLATTEN, "Cnn": NATURE, "MultiInput": COMBINED}
_NAMES = ("features_extractor.", "pi_features_extractor.", "vf_features_extractor.")


@dataclass(frozen=True)
class Policy:
    """What a file says about a policy of SB3.

    Attributes:
        algorithm: ``"ppo"``, ``"maskable_ppo"`` or ``"recurrent_ppo"``.
        name: Name of the policy, such as ``"MlpPolicy"``.
        arguments: Its arguments as JSON data, in today's form.
        observation_space: What it sees.
        action_space: What it gives.
        use_sde: Whether it explores by gSDE.
    """

    algorithm: str
    name: str
    arguments: Mapping[str, Any]
    observation_space: Any
    action_space: Any
    use_sde: bool

    @property
    def kind(self) -> str:
        """``"Mlp"``, ``"Cnn"`` or ``"MultiInput"``."""
        return self.name.removesuffix("Policy").removesuffix("Lstm")

    @property
    def extractor(self) -> str:
        """Name of the class of its features extractor."""
        given = self.arguments.get("features_extractor_class", {})
        return given.get("$class", _EXTRACTORS[self.kind])


def check(weights: Mapping[str, np.ndarray], policy: Policy) -> None:
    """Compare weights with the policy that they are said to be of.

    Args:
        weights: Arrays by today's names.
        policy: The policy.

    Raises:
        BadCheckpoint: A tensor is missing, unknown, or of another shape or dtype, or no policy of
            Stable-Baselines3 takes such spaces.
    """
    expected, features = _extractor(policy, weights)
    expected |= _network(policy, features)
    for name, shape in expected.items():
        if name not in weights:
            raise BadCheckpoint(f"the weights lack {name}, of shape {list(shape)}")
        found = weights[name]
        if found.shape != shape or found.dtype != np.float32:
            raise BadCheckpoint(
                f"the weight {name} is {found.dtype}{list(found.shape)}, but the spaces and "
                f"arguments of the policy ask for float32{list(shape)}"
            )
    for name in weights:
        if name not in expected and not _is_of_own_class(name, policy):
            raise BadCheckpoint(f"the weights have {name:.80}, which no such {policy.name} has")


def _extractor(policy: Policy, weights: Mapping[str, np.ndarray]) -> tuple[Shapes, int]:
    """Return the tensors of the features extractor, and the number of its outputs."""
    space = policy.observation_space
    by_key = isinstance(space, spaces.Dict)
    if isinstance(space, spaces.Tuple) or by_key != (policy.kind == "MultiInput"):
        raise BadCheckpoint(f"no {policy.name} takes observations {space!s:.200}")
    if policy.extractor not in _EXTRACTORS.values():
        return {}, _first_width(weights)
    options = dict(policy.arguments.get("features_extractor_kwargs") or {})
    options.setdefault("normalized_image", not policy.arguments.get("normalize_images", True))
    own, features = extractors.features(policy.extractor, space, options)
    return {prefix + name: shape for prefix in _NAMES for name, shape in own.items()}, features


def _first_width(weights: Mapping[str, np.ndarray]) -> int:
    """Number of features of an extractor of the user: what the next layer takes."""
    for name in ("lstm_actor.weight_ih_l0", "mlp_extractor.policy_net.0.weight"):
        if name in weights and weights[name].ndim == 2:
            return weights[name].shape[1]
    if "action_net.weight" in weights and weights["action_net.weight"].ndim == 2:
        return weights["action_net.weight"].shape[1]
    raise BadCheckpoint("the weights lack action_net.weight")


def _network(policy: Policy, features: int) -> Shapes:
    """Return what comes after the features: LSTM, layers of actor and critic, outputs."""
    shapes: Shapes = {}
    if policy.algorithm == "recurrent_ppo":
        shapes, features = _recurrent(policy.arguments, features)
    widths = policy.arguments.get("net_arch")
    if widths is None:
        widths = [] if policy.extractor == NATURE else [64, 64]
    if not isinstance(widths, dict):
        widths = {"pi": widths, "vf": widths}
    actor, outputs = _layers("policy_net", features, widths.get("pi", []), policy)
    critic, values = _layers("value_net", features, widths.get("vf", []), policy)
    actions = _actions(policy)
    shapes |= {**actor, **critic}
    shapes |= {"action_net.weight": (actions, outputs), "action_net.bias": (actions,)}
    shapes |= {"value_net.weight": (1, values), "value_net.bias": (1,)}
    if isinstance(policy.action_space, spaces.Box):
        columns = actions if policy.arguments.get("full_std", True) else 1
        shapes["log_std"] = (outputs, columns) if policy.use_sde else (actions,)
    elif policy.use_sde:
        raise BadCheckpoint("gSDE explores continuous actions, and these are not")
    return shapes


def _layers(part: str, inputs: int, widths: list[int], policy: Policy) -> tuple[Shapes, int]:
    """Return the tensors of linear layers and their activations, and the number of outputs."""
    shapes: Shapes = {}
    for index, width in enumerate(widths):
        shapes[f"mlp_extractor.{part}.{2 * index}.weight"] = (width, inputs)
        shapes[f"mlp_extractor.{part}.{2 * index}.bias"] = (width,)
        if policy.arguments.get("activation_fn") == {"$class": "torch.nn.PReLU"}:
            shapes[f"mlp_extractor.{part}.{2 * index + 1}.weight"] = (1,)
        inputs = width
    return shapes, inputs


def _recurrent(arguments: Mapping[str, Any], features: int) -> tuple[Shapes, int]:
    size, layers = arguments.get("lstm_hidden_size", 256), arguments.get("n_lstm_layers", 1)
    biased = (arguments.get("lstm_kwargs") or {}).get("bias", True)
    separate = arguments.get("enable_critic_lstm", True)
    shapes: Shapes = {}
    for name in ("lstm_actor", "lstm_critic") if separate else ("lstm_actor",):
        for layer in range(layers):
            shapes[f"{name}.weight_ih_l{layer}"] = (4 * size, size if layer else features)
            shapes[f"{name}.weight_hh_l{layer}"] = (4 * size, size)
            for kind in ("ih", "hh") if biased else ():
                shapes[f"{name}.bias_{kind}_l{layer}"] = (4 * size,)
    if not (separate or arguments.get("shared_lstm", False)):
        shapes |= {"critic.weight": (size, features), "critic.bias": (size,)}
    return shapes, size


def _actions(policy: Policy) -> int:
    """Number of outputs of the actor."""
    space, masked = policy.action_space, policy.algorithm == "maskable_ppo"
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    if isinstance(space, spaces.MultiDiscrete):
        return int(space.nvec.sum())
    if isinstance(space, spaces.MultiBinary) and isinstance(space.n, int):
        return 2 * space.n if masked else space.n  # so that yes and no can be masked each
    if isinstance(space, spaces.Box) and not masked:
        return math.prod(space.shape)
    raise BadCheckpoint(f"no {policy.name} of {policy.algorithm} gives actions {space!s:.200}")


def _is_of_own_class(name: str, policy: Policy) -> bool:
    """Tell whether a tensor may be of a class of the user, of which nothing is known."""
    if ":" in policy.extractor and name.startswith(_NAMES):
        return True
    activation = policy.arguments.get("activation_fn", {}).get("$class", "")
    parts = name.split(".")
    within = parts[:2] in (["mlp_extractor", "policy_net"], ["mlp_extractor", "value_net"])
    odd = within and len(parts) > 3 and parts[2].isdecimal() and int(parts[2][:4]) % 2 == 1
    return ":" in activation and odd
