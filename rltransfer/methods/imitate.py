"""Methods that learn from the source's trajectories before PPO begins."""

from __future__ import annotations

__all__: list[str] = []
