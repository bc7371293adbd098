"""A residual network of the usual size, as a features extractor of Stable-Baselines3."""

from __future__ import annotations

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn


class FixedNorm(nn.Module):
    """Batch normalization with its statistics fixed: a scale and a shift for each channel.

    So He et al. 2016 (appendix A) fine-tune their networks; the output does not depend on the
    batch, and training changes nothing.

    Args:
        channels: Number of channels.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        # Halves of variance, so that a residual sum keeps the size of activations.
        self.register_buffer("scale", torch.full((channels, 1, 1), 0.5**0.5))
        self.register_buffer("shift", torch.zeros(channels, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scale and shift images of shape (batch, channels, height, width)."""
        return images * self.scale + self.shift


class Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut (He et al. 2016, figure 2 and option B).

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        stride: Stride of the first convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            FixedNorm(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            FixedNorm(outputs),
        )
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), FixedNorm(outputs)
            )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images of shape (batch, inputs, height, width)."""
        return torch.relu(self.body(images) + self.shortcut(images))


class ResNet18(BaseFeaturesExtractor):
    """ResNet-18 (He et al. 2016, table 1) with random weights: 512 features, 11 million weights.

    The first convolution takes the 4 stacked frames in place of 3 colors.

    Args:
        observation_space: Images of shape (channels, height, width).
    """

    def __init__(self, observation_space: spaces.Box) -> None:
        super().__init__(observation_space, features_dim=512)
        channels = observation_space.shape[0]
        layers: list[nn.Module] = [
            nn.Conv2d(channels, 64, 7, 2, 3, bias=False),
            FixedNorm(64),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
        ]
        width = 64
        for outputs in (64, 128, 256, 512):
            layers += [Block(width, outputs, 1 if outputs == 64 else 2), Block(outputs, outputs, 1)]
            width = outputs
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Features of shape (batch, 512)."""
        return self.layers(observations)
