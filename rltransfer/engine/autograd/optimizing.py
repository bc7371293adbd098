"""Adam's step in one kernel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, AdamW, Optimizer

FUSED_DEVICES = ("cpu", "cuda")


@contextmanager
def fused(optimizer: Optimizer) -> Iterator[None]:
    """Step Adam in one kernel while this lasts, and leave its settings as they were.

    Other optimizers, and those whose user chose an implementation, are left alone. The moments
    are the same tensors as before; the step counts go to the GPU and come back.
    """
    groups = [group for group in optimizer.param_groups if _may_fuse(optimizer, group)]
    try:
        for group in groups:
            group["fused"] = True
            _place_steps(optimizer, group, on_host=False)
        yield
    finally:
        for group in groups:
            group["fused"] = None
            _place_steps(optimizer, group, on_host=True)


def _may_fuse(optimizer: Optimizer, group: dict[str, Any]) -> bool:
    if type(optimizer) not in (Adam, AdamW) or torch.get_default_dtype() != torch.float32:
        return False
    chosen = any(group[key] for key in ("capturable", "differentiable")) or any(
        group[key] is not None for key in ("foreach", "fused")
    )
    numbers = (group["lr"], *group["betas"])
    return (
        not chosen
        and not any(isinstance(number, Tensor) for number in numbers)
        and all(
            p.is_floating_point() and p.device.type in FUSED_DEVICES and type(p.data) is Tensor
            for p in group["params"]
        )
    )


def _place_steps(optimizer: Optimizer, group: dict[str, Any], *, on_host: bool) -> None:
    """The fused kernel counts steps beside the parameters, all others on the host."""
    for parameter in group["params"]:
        state = optimizer.state.get(parameter)
        if state and isinstance(state.get("step"), Tensor):
            state["step"] = state["step"].to("cpu" if on_host else parameter.device)
