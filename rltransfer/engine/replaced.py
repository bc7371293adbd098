"""Methods that were replaced on one object, which its class does not tell."""

from __future__ import annotations

from functools import lru_cache
from typing import Any


def replaced_methods(given: Any) -> list[str]:
    """Names of methods that an object has for itself, such as ``policy.forward = ...``."""
    return sorted(_methods(type(given)) & vars(given).keys())


@lru_cache(maxsize=256)
def _methods(kind: type) -> frozenset[str]:
    return frozenset(name for name in dir(kind) if callable(getattr(kind, name, None)))
