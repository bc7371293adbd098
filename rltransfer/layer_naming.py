"""Names for the layers of a policy, and which modules and tensors each name stands for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from rltransfer.errors import RecipeError

_BRANCHES = ("actor", "critic")


@dataclass(frozen=True)
class NamedLayer:
    """What belongs to a layer group.

    Attributes:
        name: Group name.
        members: Module paths or parameter names.
        depth: Number of layers between it and the nearest head, 0 for heads.
    """

    name: str
    members: tuple[str, ...]
    depth: int


def is_head(name: str) -> bool:
    """Whether a group holds outputs: an actor or critic head, or the standard deviation."""
    parts = name.split(".")
    return "head" in parts or "std" in parts


def is_feature(name: str) -> bool:
    """Whether a group belongs to a features extractor."""
    return "features" in name.split(".")


def declared_layers(policy: nn.Module, declared: Any) -> list[NamedLayer]:
    """Layers that a policy names itself.

    Args:
        policy: The policy.
        declared: Its ``layer_groups`` attribute, a method.

    Raises:
        RecipeError: It is not a method that returns names with lists of module paths, or a path
            does not exist.
    """
    members = declared() if callable(declared) else None
    if not isinstance(members, Mapping) or not all(map(_is_list, members.values())):
        raise RecipeError(
            f"{type(policy).__name__}.layer_groups must be a method that returns a mapping of "
            "group names to lists of module paths, such as {'actor.head': ['action_net']}"
        )
    _check_paths(policy, members)
    depths = _depths(list(members))
    return [NamedLayer(name, tuple(paths), depths[name]) for name, paths in members.items()]


def _is_list(paths: Any) -> bool:
    return isinstance(paths, Sequence) and not isinstance(paths, str)


def _check_paths(policy: nn.Module, members: Mapping[str, Sequence[str]]) -> None:
    known = {*dict(policy.named_modules()), *policy.state_dict()}
    for name, paths in members.items():
        for path in paths:
            if path not in known:
                raise RecipeError(
                    f"{type(policy).__name__}.layer_groups()[{name!r}] names {path!r}, "
                    "which the policy does not have: give module paths or parameter names"
                )


def _depths(names: list[str]) -> dict[str, int]:
    """Layers to the nearest head: within the actor's or critic's branch, or below both."""
    trunk = [name for name in names if not is_head(name)]
    branches = {b: [n for n in trunk if n.split(".")[0] == b] for b in _BRANCHES}
    shared = [name for name in trunk if name.split(".")[0] not in _BRANCHES]
    longest = max(map(len, branches.values()))
    # Encoders of several tasks lie beside each other.
    encoders = [name for name in shared if name.split(".")[0] == "encoder"]
    shared = [name for name in shared if name not in encoders]
    return {
        **dict.fromkeys(names, 0),
        **{n: len(branch) - i for branch in branches.values() for i, n in enumerate(branch)},
        **{n: longest + len(shared) - i for i, n in enumerate(shared)},
        **dict.fromkeys(encoders, longest + len(shared) + 1),
    }


def standard_layers(policy: Any) -> list[NamedLayer]:
    """Layers of SB3's ActorCriticPolicy and of its maskable and recurrent relatives.

    Raises:
        RecipeError: The policy is none of these.
    """
    if not hasattr(policy, "mlp_extractor"):
        raise RecipeError(
            f"{type(policy).__name__} is not an SB3 actor-critic policy: "
            "give it a layer_groups() method that maps group names to module paths"
        )
    actor = _numbered("actor", policy.mlp_extractor.policy_net, "mlp_extractor.policy_net", 1)
    critic = _numbered("critic", policy.mlp_extractor.value_net, "mlp_extractor.value_net", 1)
    recurrent = _recurrent(policy, len(actor) + 1, len(critic) + 1)
    below = max((layer.depth for layer in [*actor, *critic, *recurrent]), default=0) + 1
    heads = [
        *([NamedLayer("actor.std", ("log_std",), 0)] if hasattr(policy, "log_std") else []),
        NamedLayer("actor.head", ("action_net",), 0),
        NamedLayer("critic.head", ("value_net",), 0),
    ]
    return [*_features(policy, below), *recurrent, *_interleave(actor, critic), *heads]


def _features(policy: Any, below: int) -> list[NamedLayer]:
    if policy.share_features_extractor:
        return _extractor("features", policy.features_extractor, "features_extractor", below)
    return [
        *_extractor("actor.features", policy.pi_features_extractor, "pi_features_extractor", below),
        *_extractor(
            "critic.features", policy.vf_features_extractor, "vf_features_extractor", below
        ),
    ]


def _extractor(name: str, module: nn.Module, path: str, below: int) -> list[NamedLayer]:
    parts = getattr(module, "extractors", None)
    if not isinstance(parts, nn.ModuleDict):
        return _numbered(name, module, path, below)
    return [
        layer
        for key, part in parts.items()
        for layer in _numbered(f"{name}.{key}", part, f"{path}.extractors.{key}", below)
    ]


def _recurrent(policy: Any, actor_depth: int, critic_depth: int) -> list[NamedLayer]:
    slots = {
        "actor.lstm": ("lstm_actor", actor_depth),
        "critic.lstm": ("lstm_critic", critic_depth),
        "critic.input": ("critic", critic_depth),
    }
    return [
        NamedLayer(name, (attribute,), depth)
        for name, (attribute, depth) in slots.items()
        if isinstance(getattr(policy, attribute, None), nn.Module)
    ]


def _numbered(name: str, module: nn.Module, path: str, top_depth: int) -> list[NamedLayer]:
    """Split a stack into layers: each weight matrix with the norms and activations behind it."""
    members: list[list[str]] = []
    leading: list[str] = []
    for sub, child in module.named_modules():
        own = [*child.parameters(recurse=False), *child.buffers(recurse=False)]
        if not own and any(True for _ in child.children()):
            continue
        matrix = any(p.dim() >= 2 for p in child.parameters(recurse=False))
        if matrix or (own and not members):
            members.append([*leading] if not members else [])
        where = members[-1] if members else leading
        where.extend(_own_names(child, f"{path}.{sub}" if sub else path))
    return [
        NamedLayer(f"{name}.{i}", tuple(paths), top_depth + len(members) - 1 - i)
        for i, paths in enumerate(members)
    ]


def _own_names(module: nn.Module, path: str) -> list[str]:
    """A leaf is taken whole; a module with children and parameters gives only its own tensors."""
    if not any(True for _ in module.children()):
        return [path]
    tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    return [f"{path}.{name}" for name, _ in tensors]


def _interleave(actor: list[NamedLayer], critic: list[NamedLayer]) -> Iterator[NamedLayer]:
    for i in range(max(len(actor), len(critic))):
        yield from actor[i : i + 1]
        yield from critic[i : i + 1]


def belongs(name: str, members: Iterable[str]) -> bool:
    """Whether a module or tensor is one of the members, or within one."""
    return any(name == member or name.startswith(f"{member}.") for member in members)
