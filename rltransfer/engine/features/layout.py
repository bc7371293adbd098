"""The order in memory in which convolutions on a CPU are fastest."""

from __future__ import annotations

from typing import Any

import torch
from stable_baselines3.common.torch_layers import CombinedExtractor, NatureCNN
from torch import Tensor, nn

from rltransfer.engine.hooks import is_foreign

# Others may call ``view``, which needs the usual order; so may a layer or a hook of a user's own
# inside one of these.
INDIFFERENT = (NatureCNN, CombinedExtractor)
LAYERS = (
    *(nn.Sequential, nn.ModuleDict, nn.Flatten, nn.Identity, nn.Linear, nn.Conv2d, nn.Dropout),
    *(nn.Tanh, nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.BatchNorm2d, nn.MaxPool2d),
)


def takes_channels_last(extractor: nn.Module) -> bool:
    """Tell whether an extractor may be given images whose channels lie together, and gains by it.

    oneDNN then trains NatureCNN about 1.3 times as fast on minibatches. Results differ by rounding.
    """
    return (
        type(extractor) in INDIFFERENT
        and all(p.device.type == "cpu" for p in extractor.parameters())
        and all(type(module) in (*INDIFFERENT, *LAYERS) for module in extractor.modules())
        and not any(
            is_foreign(hook)
            for module in extractor.modules()
            for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
        )
    )


def channels_last(value: Any) -> Any:
    """Lay images of shape (B, C, H, W) out so; leave everything else as it is."""
    if isinstance(value, dict):
        return {key: channels_last(part) for key, part in value.items()}
    if not isinstance(value, Tensor) or value.dim() != 4:
        return value
    return value.contiguous(memory_format=torch.channels_last)
