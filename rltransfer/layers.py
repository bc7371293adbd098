"""Layer groups: the names by which a policy's layers are frozen, thawed, reset and slowed down.

A group is a layer in reinforcement-learning words (``actor.0``, ``critic.head``) instead of a
module path (``mlp_extractor.policy_net.0``). Groups are listed from the input to the output:

====================  ==================================================================
``features.N``        layers of a features extractor that actor and critic share
``features.KEY.N``    the same, for one key of a Dict observation
``actor.features.N``  layers of the actor's own extractor (``critic.features.N`` likewise)
``actor.lstm``        the actor's LSTM (``critic.lstm`` likewise, ``critic.input`` without one)
``actor.N``           hidden layers of the actor (``critic.N`` likewise)
``actor.std``         the free log standard deviation of a Gaussian policy
``actor.head``        the output layer of the actor (``critic.head`` likewise)
====================  ==================================================================

A custom policy joins by defining ``layer_groups()``, which returns a mapping of group names, input
to output, to the module paths or parameter names that belong to each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from rltransfer.errors import RecipeError, UnknownName, suggest
from rltransfer.layer_naming import (
    NamedLayer,
    belongs,
    declared_layers,
    is_feature,
    is_head,
    standard_layers,
)

__all__ = [
    "HEADS",
    "TRUNK",
    "LayerGroup",
    "by_pattern",
    "input_groups",
    "is_head",
    "layer_groups",
    "select",
]

HEADS = "heads"
TRUNK = "trunk"


@dataclass(frozen=True)
class LayerGroup:
    """One layer of a policy.

    Attributes:
        name: Group name, such as ``actor.0``.
        keys: ``state_dict`` keys of its parameters and buffers. A tensor that is registered under
            several names (a shared features extractor) has all of them here.
        parameters: Names of its trainable tensors, each tensor once.
        modules: Paths of its modules, also of those without tensors, such as Dropout.
        depth: Number of layers between it and the nearest head, 0 for heads.
    """

    name: str
    keys: tuple[str, ...]
    parameters: tuple[str, ...]
    modules: tuple[str, ...]
    depth: int


def layer_groups(policy: nn.Module) -> dict[str, LayerGroup]:
    """List the layer groups of a policy, input to output.

    Args:
        policy: An SB3 or sb3-contrib actor-critic policy, or one that defines ``layer_groups()``.

    Returns:
        Groups by name. Every tensor of ``policy.state_dict()`` is in exactly one of them.

    Raises:
        RecipeError: A tensor belongs to no group, or to two.
    """
    declared: Any = getattr(policy, "layer_groups", None)
    layers = standard_layers(policy) if declared is None else declared_layers(policy, declared)
    groups = {layer.name: _resolve(policy, layer) for layer in layers}
    _check_complete(policy, groups)
    return {name: group for name, group in groups.items() if group.keys}


def input_groups(groups: Iterable[str]) -> list[str]:
    """Names of the groups that the observation enters, one or more of ``groups``."""
    names = list(groups)
    features = [name for name in names if is_feature(name)]
    if features:
        return [name for name in features if name.endswith(".0")]
    branches = [[n for n in names if n.startswith(f"{b}.") and not n.endswith(".std")]
                for b in ("actor", "critic")]  # fmt: skip
    if not all(branches):
        return names[:1]
    actor, critic = (branch[0] for branch in branches)
    # A critic without an LSTM or an input layer of its own reads the actor's LSTM.
    shared = actor == "actor.lstm" and critic not in ("critic.lstm", "critic.input")
    return [actor] if shared else [actor, critic]


def select(patterns: Sequence[str], groups: Iterable[str]) -> list[str]:
    """Resolve group patterns to group names.

    Args:
        patterns: Names, globs (``actor.*``), ``"heads"`` (heads and standard deviation),
            ``"trunk"`` (everything else), or any of these after ``!`` to take groups out again.
        groups: Names of the policy's groups.

    Returns:
        Selected names in the order of ``groups``.

    Raises:
        UnknownName: A pattern matches nothing; the message lists the groups.
    """
    names = list(groups)
    chosen: set[str] = set()
    for pattern in patterns:
        matches = _matches(pattern.removeprefix("!"), names)
        chosen = chosen - matches if pattern.startswith("!") else chosen | matches
    return [name for name in names if name in chosen]


def by_pattern(values: Mapping[str, float], groups: Iterable[str], field: str) -> dict[str, float]:
    """Give each group the value of the pattern that matches it; its own name goes before globs.

    Args:
        values: Value for each pattern. Their order says nothing: JSON does not keep it.
        groups: Names of the policy's groups.
        field: Field of the recipe that holds them, for messages.

    Returns:
        Values by group name, without the groups that no pattern matches.

    Raises:
        UnknownName: A pattern matches nothing.
        RecipeError: Two globs give one group different values.
    """
    names = list(groups)
    matched = {pattern: select([pattern], names) for pattern in values}
    chosen: dict[str, float] = {}
    for name in names:
        found = [name] if name in values else [p for p in values if name in matched[p]]
        if len({values[pattern] for pattern in found}) > 1:
            listed = ", ".join(f"{values[pattern]!r} by {pattern!r}" for pattern in found)
            raise RecipeError(
                f"{field} gives {name!r} several values ({listed}): add {name!r} itself, or drop "
                "all but one"
            )
        if found:
            chosen[name] = values[found[0]]
    return chosen


def _matches(pattern: str, names: list[str]) -> set[str]:
    words = {
        HEADS: {name for name in names if is_head(name)},
        TRUNK: {name for name in names if not is_head(name)},
    }
    found = words.get(pattern) or {name for name in names if fnmatchcase(name, pattern)}
    if not found:
        options = [*names, *(word for word, members in words.items() if members)]
        raise UnknownName(suggest(pattern, options, kind="layer group", limit=None))
    return found


def _resolve(policy: nn.Module, layer: NamedLayer) -> LayerGroup:
    tensors = policy.state_dict(keep_vars=True)
    owned = {id(t) for name, t in tensors.items() if belongs(name, layer.members)}
    # SB3 registers an extractor under up to three names; modules too are the same by identity.
    aliases = policy.named_modules(remove_duplicate=False)
    inside = {id(module) for name, module in aliases if belongs(name, layer.members)}
    return LayerGroup(
        name=layer.name,
        keys=tuple(name for name, t in tensors.items() if id(t) in owned),
        parameters=tuple(name for name, p in policy.named_parameters() if id(p) in owned),
        modules=tuple(name for name, m in policy.named_modules() if id(m) in inside),
        depth=layer.depth,
    )


def _check_complete(policy: nn.Module, groups: Mapping[str, LayerGroup]) -> None:
    counts = dict.fromkeys(policy.state_dict(), 0)
    for key in _all_keys(groups):
        counts[key] += 1
    wrong = [key for key, count in counts.items() if count != 1]
    if wrong:
        raise RecipeError(
            f"{type(policy).__name__}: {wrong[0]!r} belongs to {counts[wrong[0]]} layer groups, "
            "expected 1. Give the policy a layer_groups() method that names every tensor once"
        )


def _all_keys(groups: Mapping[str, LayerGroup]) -> Iterator[str]:
    for group in groups.values():
        yield from group.keys
