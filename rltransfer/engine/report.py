"""What the engine does for a model, in words."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium.vector import VectorEnv

from rltransfer.engine.runner import Engine

NAMES = {
    "closed_form": "closed form",
    "autograd": "autograd (torch)",
    "stock": "Stable-Baselines3's own code",
}


def report(model: Any, engine: Engine) -> str:
    """Describe how a model acts and updates.

    Args:
        model: The algorithm.
        engine: Its engine.

    Returns:
        Lines of the form ``what  how``.
    """
    plan = engine.plan()
    kernels = f" ({'numba' if engine.compiled else 'numpy'})" if plan.path == "closed_form" else ""
    terms = model._terms()
    by_autograd = plan.path == "closed_form" and terms is not None and not terms.closed
    updates = [("updates by", f"{NAMES['autograd']}, as the recipe's methods ask")]
    lines = [
        ("acts by" if by_autograd else "acts and updates by", NAMES[plan.path] + kernels),
        *(updates if by_autograd else ()),
        *((f"not by {NAMES[path]}", reason) for path, reason in plan.why),
        ("computed once", engine.frozen or "nothing"),
        ("environments", _environments(model)),
        ("device", _device(model.device)),
        *(("note", note) for note in engine.notes),
    ]
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in lines)


def _device(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return device.type


def _environments(model: Any) -> str:
    env = model.get_env()
    if env is None:
        return "none"
    base = env.unwrapped
    batch = getattr(base, "env", None)
    inner = f" of {type(batch.unwrapped).__name__}" if isinstance(batch, VectorEnv) else ""
    return f"{env.num_envs}, {type(base).__name__}{inner}"
