"""Methods that make features of source and target alike."""

from __future__ import annotations

__all__: list[str] = []
