"""What keeps closed form from training any kind of policy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import _has_any_global_hook
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from rltransfer.engine.hooks import hooks_of, is_foreign
from rltransfer.engine.replaced import replaced_methods

# Options of Adam that are not written out.
OFF = ("amsgrad", "weight_decay", "maximize", "capturable", "differentiable")
STEP_HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")


def in_methods(policy: Any) -> Iterator[str]:
    """Object to methods that were replaced on one of the policy's modules."""
    for path, module in policy.named_modules():
        for name in replaced_methods(module):
            yield f"{name} of {path or 'the policy'} was replaced"


def in_names(own: Mapping[str, nn.Parameter], expected: set[str]) -> Iterator[str]:
    """Object to parameters that are missing or unknown.

    Args:
        own: Parameters by name.
        expected: Names of those that are written out.
    """
    # named_parameters() names a shared tensor once, and not one that is no parameter.
    for name in sorted(expected - own.keys()):
        yield f"{name} is shared, absent or no parameter"
    for name in sorted(own.keys() - expected):
        yield f"{name} is no part of the MLPs"


def in_tensors(own: Mapping[str, nn.Parameter]) -> Iterator[str]:
    """Object to the place or type of parameters, given by name."""
    for name, parameter in own.items():
        if parameter.device.type != "cpu":
            yield f"{name} is on {parameter.device}"
        if parameter.dtype not in (torch.float32, torch.float64):
            yield f"{name} is {parameter.dtype}"
        if parameter._backward_hooks or parameter._post_accumulate_grad_hooks:
            yield f"{name} has a hook"
    if len({parameter.dtype for parameter in own.values()}) > 1:
        yield "parameters differ in type"


def in_hooks(policy: Any) -> Iterator[str]:
    """Object to hooks on modules that are not this package's own."""
    if _has_any_global_hook():
        yield "all modules have a hook"
    for path, module in policy.named_modules():
        if any(map(is_foreign, hooks_of(module))):
            yield f"{path or 'policy'} has a hook"


def in_optimizer(policy: Any, optimizer: Any) -> Iterator[str]:
    """Object to an optimizer that is not torch's plain Adam."""
    if type(optimizer) is not torch.optim.Adam:
        yield f"optimizer is {type(optimizer).__name__}"
        return
    if len(optimizer.param_groups) != 1:
        yield f"optimizer has {len(optimizer.param_groups)} parameter groups"
    group = optimizer.param_groups[0]
    for name in OFF:
        if group[name]:
            yield f"Adam has {name}"
    known = {id(parameter) for parameter in group["params"]}
    for name, parameter in policy.named_parameters():
        if parameter.requires_grad and id(parameter) not in known:
            yield f"{name} is not in the optimizer"
    if _global_optimizer_pre_hooks or _global_optimizer_post_hooks:
        yield "all optimizers have a hook"
    hooks = [hook for kind in STEP_HOOKS for hook in getattr(optimizer, kind).values()]
    if "step" in vars(optimizer) or any(map(is_foreign, hooks)):
        yield "optimizer has a hook"
