"""Methods that change the environments in which the learner gathers experience."""

from __future__ import annotations

__all__: list[str] = []
