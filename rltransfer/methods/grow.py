"""Methods that add weights to the source's network."""

from __future__ import annotations

__all__: list[str] = []
