"""Methods that keep a network able to learn."""

from __future__ import annotations

__all__: list[str] = []
