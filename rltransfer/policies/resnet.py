"""A residual network for images that never trains, up to a chosen stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from rltransfer.errors import BadArgument, BadCheckpoint

BLOCKS: Mapping[str, Sequence[int]] = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
"""Blocks of each stage, by name of the network."""
WIDTHS = (64, 128, 256, 512)
# Of the channels red, green and blue of ImageNet, in units of the range from 0 to 1.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_EPSILON = 1e-5


class FixedConvolution(nn.Module):
    """A convolution without bias.

    Its weight is a buffer, and it is no ``Conv2d``: Stable-Baselines3 gives orthogonal weights to
    every ``Conv2d`` of a features extractor, whatever they were before.

    Args:
        inputs: Channels that it reads.
        outputs: Channels that it gives.
        side: Side of the kernel, odd.
        stride: Step of the kernel.
    """

    weight: Tensor

    def __init__(self, inputs: int, outputs: int, side: int, stride: int = 1) -> None:
        super().__init__()
        weight = torch.empty(outputs, inputs, side, side)
        nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")
        self.register_buffer("weight", weight)
        self._stride, self._padding = stride, side // 2

    def forward(self, images: Tensor) -> Tensor:
        """Convolve, shape (n, channels, height, width)."""
        return functional.conv2d(images, self.weight, None, self._stride, self._padding)


class FixedNorm(nn.Module):
    """BatchNorm whose statistics and weights are fixed, in training too.

    Args:
        channels: Channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name, start in (("weight", 1.0), ("bias", 0.0)):
            self.register_buffer(name, torch.full((channels,), start))
        for name, start in (("running_mean", 0.0), ("running_var", 1.0)):
            self.register_buffer(name, torch.full((channels,), start))

    def forward(self, images: Tensor) -> Tensor:
        """Normalize each channel, shape (n, channels, height, width)."""
        parts = (self.get_buffer(name) for name in ("running_mean", "running_var"))
        weights = (self.get_buffer(name) for name in ("weight", "bias"))
        return functional.batch_norm(images, *parts, *weights, training=False, eps=_EPSILON)


class Block(nn.Module):
    """Two convolutions of 3x3 beside a shortcut (He et al. 2016, figure 2).

    Args:
        inputs: Channels that it reads.
        outputs: Channels that it gives.
        stride: Step of the first convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = FixedConvolution(inputs, outputs, 3, stride)
        self.bn1 = FixedNorm(outputs)
        self.conv2 = FixedConvolution(outputs, outputs, 3)
        self.bn2 = FixedNorm(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            shortcut = FixedConvolution(inputs, outputs, 1, stride)
            self.downsample = nn.Sequential(shortcut, FixedNorm(outputs))

    def forward(self, images: Tensor) -> Tensor:
        """Compute (n, outputs, height / stride, width / stride)."""
        inner = functional.relu(self.bn1(self.conv1(images)))
        return functional.relu(self.bn2(self.conv2(inner)) + self.downsample(images))


class ResNet(nn.Module):
    """ResNet of basic blocks, without the stages and the classifier behind a cut.

    Tensors have the names of torchvision's and timm's ResNets, so that their files fit.

    Args:
        network: One of :data:`BLOCKS`.
        stage: Stages to compute, from 1 to 4.

    Raises:
        BadArgument: There is no such network or stage.

    Source: He et al. 2016, "Deep residual learning for image recognition", table 1.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: str, stage: int) -> None:
        super().__init__()
        if network not in BLOCKS:
            raise BadArgument(f"network is {network!r:.60}: choose one of {', '.join(BLOCKS)}")
        if type(stage) is not int or not 1 <= stage <= len(WIDTHS):
            raise BadArgument(f"stage is {stage!r:.60}: give a whole number from 1 to 4")
        self.conv1, self.bn1 = FixedConvolution(3, WIDTHS[0], 7, 2), FixedNorm(WIDTHS[0])
        self.out_channels, inputs = WIDTHS[stage - 1], WIDTHS[0]
        for index in range(stage):
            width, first = WIDTHS[index], 1 if index == 0 else 2
            more = [Block(width, width, 1) for _ in range(BLOCKS[network][index] - 1)]
            self.add_module(f"layer{index + 1}", nn.Sequential(Block(inputs, width, first), *more))
            inputs = width
        self._stages = [f"layer{index + 1}" for index in range(stage)]
        # Constants, not weights: no file has them.
        for name, values in (("mean", MEAN), ("std", STD)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the last stage.

        Args:
            images: Shape (n, 3, height, width), from 0 to 1.

        Returns:
            Shape (n, out_channels, ...), 2 ** (stage + 1) times smaller.
        """
        found = functional.relu(self.bn1(self.conv1((images - self.mean) / self.std)))
        found = functional.max_pool2d(found, 3, stride=2, padding=1)
        for name in self._stages:
            found = self.get_submodule(name)(found)
        return found

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take weights that were trained elsewhere.

        Args:
            weights: By the names of torchvision; those of later stages, of the classifier and of
                counters (``num_batches_tracked``) are left out.

        Raises:
            BadCheckpoint: One is missing, of another shape or kind, or not finite.
        """
        own = self.state_dict()
        for name, tensor in own.items():
            given = weights.get(name)
            if given is None or given.shape != tensor.shape or not given.is_floating_point():
                found = "is missing" if given is None else f"has shape {tuple(given.shape)}"
                raise BadCheckpoint(
                    f"weights of another network: {name} {found}, expected {tuple(tensor.shape)}"
                )
            if not torch.isfinite(given).all():
                raise BadCheckpoint(f"{name} holds NaN or inf")
        for name, tensor in own.items():
            tensor.copy_(weights[name])
