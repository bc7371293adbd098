"""Trunks: the layers that several tasks share, by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from torch import nn

from rltransfer.errors import BadArgument, UnknownName, suggest
from rltransfer.policies.trunks.base import Trunk
from rltransfer.policies.trunks.mlp import MlpTrunk
from rltransfer.policies.trunks.moore import MooreTrunk
from rltransfer.policies.trunks.soft_modular import SoftModularTrunk

__all__ = [
    "TRUNKS",
    "MlpTrunk",
    "MooreTrunk",
    "SoftModularTrunk",
    "Trunk",
    "make_trunk",
    "trunk_options",
]

TRUNKS: Mapping[str, type[Trunk]] = MappingProxyType(
    {"mlp": MlpTrunk, "soft_modular": SoftModularTrunk, "moore": MooreTrunk}
)


def trunk_options(kind: str) -> dict[str, Any]:
    """Look up what can be chosen about a kind of trunk.

    Args:
        kind: A key of :data:`TRUNKS`.

    Returns:
        Default of each option, by name.

    Raises:
        UnknownName: No trunk is of that kind.
    """
    if kind not in TRUNKS:
        raise UnknownName(suggest(str(kind), TRUNKS, kind="trunk", limit=None))
    parameters = inspect.signature(TRUNKS[kind]).parameters.values()
    named = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    return {name: default for name, default in named.items() if name != "activation_fn"}


def make_trunk(
    kind: str,
    in_features: int,
    context_features: int = 0,
    *,
    activation_fn: type[nn.Module] = nn.Tanh,
    **options: Any,
) -> Trunk:
    """Build a trunk, with torch's initialisation.

    Args:
        kind: A key of :data:`TRUNKS`.
        in_features: Numbers per row that come from an encoder.
        context_features: Numbers per row that say which task it is of; 0 for none.
        activation_fn: Class of the activation.
        options: What the kind lets choose, see :func:`trunk_options`.

    Raises:
        UnknownName: No trunk is of that kind.
        BadArgument: The kind has no such option, or its value is out of range.
    """
    known = trunk_options(kind)
    for name in options:
        if name not in known:
            raise BadArgument(suggest(name, known, kind=f"option of the {kind!r} trunk"))
    made: Any = TRUNKS[kind]
    return made(in_features, context_features, activation_fn=activation_fn, **options)
