"""Weights of a policy, under the names that today's Stable-Baselines3 gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rltransfer.agents.sb3.container import WEIGHTS, Container
from rltransfer.agents.sb3.report import Ledger
from rltransfer.errors import BadCheckpoint

Arrays = dict[str, np.ndarray]
_SHARED, _POLICY, _VALUE = (
    f"mlp_extractor.{part}." for part in ("shared_net", "policy_net", "value_net")
)
_EXTRACTOR = "features_extractor."


def read(container: Container) -> Arrays:
    """Read the weights as they are in the zip.

    Raises:
        BadCheckpoint: They are missing, malformed, no arrays by name, or not finite.
    """
    found = container.tensors(WEIGHTS)
    if found is None:
        raise BadCheckpoint(f"the zip has no '{WEIGHTS}': it holds no agent, or only a part of one")
    if not isinstance(found, dict) or not found:
        raise BadCheckpoint(f"{WEIGHTS}: expected arrays by name")
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray):
            raise BadCheckpoint(f"{WEIGHTS}: {name!r:.60} is no array")
        if not np.isfinite(value).all():
            raise BadCheckpoint(f"{WEIGHTS}: {name} holds NaN or inf: the training diverged")
    return found


def today(
    weights: Arrays, arguments: Mapping[str, Any], ledger: Ledger
) -> tuple[Arrays, dict[str, Any]]:
    """Turn the layouts of old versions into today's.

    Before 1.8, actor and critic could share their first layers, and features extractors had one
    name where they have three now.

    Args:
        weights: What :func:`read` gave.
        arguments: Policy arguments as JSON data.
        ledger: Told of what was changed.

    Returns:
        Weights and arguments of a policy that gives the same outputs.

    Raises:
        BadCheckpoint: The layers are not those that the arguments describe.
    """
    arguments = dict(arguments)
    shared, arch = _architecture(arguments.get("net_arch"), weights)
    if arch is not None:
        arguments["net_arch"] = arch
    if shared:
        weights = _unshared(weights, shared)
        ledger.note(
            "actor and critic shared their first layers, which Stable-Baselines3 has given up: "
            "each has a copy of its own now, with the same outputs, which training can drive apart"
        )
    return {**weights, **_aliases(weights)}, arguments


def aliases(weights: Mapping[str, Any], *, shared_extractor: bool) -> set[str]:
    """Return the names that stand for a tensor which has another name before."""
    prefixes = ("pi_", "vf_") if shared_extractor else ("pi_",)
    return {name for name in weights if name.startswith(tuple(p + _EXTRACTOR for p in prefixes))}


def shares_layers(weights: Mapping[str, Any]) -> bool:
    """Tell whether actor and critic share layers, as they could before 1.8."""
    return any(name.startswith(_SHARED) for name in weights)


def check_aliases(weights: Arrays, *, shared_extractor: bool) -> None:
    """Check that names of one tensor have one content.

    Raises:
        BadCheckpoint: They differ.
    """
    for name in aliases(weights, shared_extractor=shared_extractor):
        first = weights.get(name.partition("_")[2])
        if first is None or not np.array_equal(first, weights[name]):
            raise BadCheckpoint(
                f"{WEIGHTS}: {name} differs from another name of the same tensor: the file was "
                "changed"
            )


def _architecture(given: Any, weights: Arrays) -> tuple[int, Any]:
    """Return the number of shared layers, and the widths as they are written today."""
    if not isinstance(given, list):
        return _without_shared(weights), given
    widths = given[:-1] if given and isinstance(given[-1], dict) else given
    parts = given[-1] if widths is not given else {}
    if not shares_layers(weights):
        if widths and parts:
            raise BadCheckpoint("net_arch has shared layers, and the weights have none")
        return 0, parts if widths is not given else given
    return len(widths), {part: [*widths, *parts.get(part, [])] for part in ("pi", "vf")}


def _without_shared(weights: Arrays) -> int:
    if shares_layers(weights):
        raise BadCheckpoint("the weights have shared layers, and net_arch has none")
    return 0


def _unshared(weights: Arrays, layers: int) -> Arrays:
    """Give actor and critic the shared layers, each before its own."""
    found: Arrays = {}
    for name, value in weights.items():
        if name.startswith(_SHARED):
            for prefix in (_POLICY, _VALUE):
                found[prefix + name.removeprefix(_SHARED)] = value.copy()
        elif name.startswith((_POLICY, _VALUE)):
            prefix = _POLICY if name.startswith(_POLICY) else _VALUE
            found[prefix + _later(name.removeprefix(prefix), layers)] = value
        else:
            found[name] = value
    if len(found) != len(weights) + sum(name.startswith(_SHARED) for name in weights):
        raise BadCheckpoint("net_arch has another number of shared layers than the weights")
    return found


def _later(name: str, layers: int) -> str:
    """Move "0.weight" behind so many layers; each is a linear one and its activation."""
    number, _, rest = name.partition(".")
    if not number.isdecimal() or len(number) > 4:
        raise BadCheckpoint(f"the weights have no layer {number!r:.20}")
    return f"{int(number) + 2 * layers}.{rest}"


def _aliases(weights: Arrays) -> Arrays:
    """Give the features extractor the names that it has for actor and critic, if it lacks them."""
    own = {n.removeprefix(_EXTRACTOR): v for n, v in weights.items() if n.startswith(_EXTRACTOR)}
    return {
        f"{prefix}{_EXTRACTOR}{name}": value.copy()
        for prefix in ("pi_", "vf_")
        if not any(name.startswith(prefix + _EXTRACTOR) for name in weights)
        for name, value in own.items()
    }


def counted(arrays: Arrays) -> str:
    """Say how much there is."""
    return f"{len(arrays)} tensors, {sum(array.size for array in arrays.values()):,} numbers"
