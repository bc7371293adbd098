"""Methods that were replaced on one object, which its class does not tell."""

from __future__ import annotations

from typing import Any


def replaced_methods(given: Any) -> list[str]:
    """Names of methods that an object has for itself, such as ``policy.forward = ...``."""
    return [name for name in vars(given) if callable(getattr(type(given), name, None))]
