"""Keeping Dropout and BatchNorm of frozen layers in evaluation mode."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from torch import nn

from rltransfer.layers import LayerGroup

Release = Callable[[], None]


class ModuleLocks:
    """Holds the modules of frozen layer groups in evaluation mode.

    SB3 puts the whole policy into training mode before each update. A lock puts a module back
    whenever it is about to compute.

    A module is locked when every group that has a tensor in it is frozen. So a frozen extractor
    that calls ``dropout(x, training=self.training)`` itself is locked too, not only its layers.

    Args:
        policy: The policy.
        groups: Its layer groups.
    """

    def __init__(self, policy: nn.Module, groups: Mapping[str, LayerGroup]) -> None:
        self._modules = {path: m for path, m in policy.named_modules() if path}
        self._owners = {path: _owners(path, groups) for path in self._modules}
        self._locked: dict[str, Release] = {}

    def apply(self, frozen: Collection[str]) -> None:
        """Lock the modules of these groups, and release all others.

        Args:
            frozen: Names of the groups that are frozen now.
        """
        for path, owners in self._owners.items():
            lock = bool(owners) and owners <= set(frozen)
            if lock and path not in self._locked:
                self._locked[path] = _lock(self._modules[path])
            elif not lock and path in self._locked:
                self._locked.pop(path)()


def _owners(path: str, groups: Mapping[str, LayerGroup]) -> set[str]:
    """Groups with a tensor within a module; for one without tensors, the group that lists it."""
    inside = {
        name
        for name, group in groups.items()
        if any(key.startswith(f"{path}.") for key in group.keys)
    }
    return inside or {name for name, group in groups.items() if path in group.modules}


def _lock(module: nn.Module) -> Release:
    if isinstance(module, nn.RNNBase):
        return _without_dropout(module)
    return module.register_forward_pre_hook(_evaluate).remove


def _without_dropout(module: nn.RNNBase) -> Release:
    """The mode of an LSTM says whether it drops out; cuDNN cannot train through one that is off."""
    rate, module.dropout = module.dropout, 0.0

    def release() -> None:
        module.dropout = rate

    return release


def _evaluate(module: nn.Module, args: Any) -> None:
    module.training = False
