"""Hooks on modules, which may be this package's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

KINDS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def hooks_of(module: nn.Module) -> Iterator[Any]:
    """Give the hooks of one module, without those of modules inside it."""
    for kind in KINDS:
        yield from getattr(module, kind, {}).values()


def is_foreign(hook: Any) -> bool:
    """Tell whether a hook is not this package's own, which only freezes layers and sets rates."""
    return not str(getattr(hook, "__module__", "")).startswith("rltransfer.")
