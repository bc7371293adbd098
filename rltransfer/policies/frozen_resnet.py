"""A features extractor of Stable-Baselines3 for images: a frozen network and a projection."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn
from torch.nn import functional

from rltransfer.errors import BadArgument
from rltransfer.policies.remembering import Memory
from rltransfer.policies.resnet import ResNet


class FrozenResNet(BaseFeaturesExtractor):
    """Frozen ResNet features, then a projection that trains (Yuan et al. 2022, PIE-G).

    The network starts with random weights, which are fixed random features;
    :func:`rltransfer.agents.backbone.load_backbone` reads pretrained ones from a file. It is
    always in evaluation mode, and nothing trains or thaws it: its weights are buffers. PIE-G lets
    the statistics of BatchNorm adapt; here they are fixed too, so that features can be kept.

    Layer groups: ``features.0`` is the network, ``features.1`` the projection.

    Args:
        observation_space: Images with 8 bits a value and 1 channel or a multiple of 3; several
            frames are computed one by one. The policy divides them by 255, as SB3 does by default.
        features_dim: Features.
        network: ``"resnet18"`` or ``"resnet34"``.
        stage: Where the network is cut, from 1 to 4. Early stages keep where things are; 2 was best
            for control in PIE-G.
        size: Height and width to which images are resized, at least 2 ** (stage + 1); None for as
            they are. Costs grow with its square.
        pool: Features are averaged over a grid of so many fields a side; ones are enough to say
            what is there, and not where.
        remember: How many images to remember the features of, the latest ones used. Where few
            different images occur, each is then computed once in a training. It computes images
            one by one, so that what is remembered is what would be computed; 0, which is faster on
            a GPU, computes whole batches and remembers none.

    Raises:
        BadArgument: Observations are no such images, or an option is outside its range.

    Source: Yuan et al. 2022, "Pre-trained image encoder for generalizable visual reinforcement
    learning"; the projection is that of Yarats et al. 2021, "Mastering visual continuous control".
    """

    def __init__(
        self,
        observation_space: gym.Space,
        features_dim: int = 256,
        *,
        network: str = "resnet18",
        stage: int = 2,
        size: int | None = 64,
        pool: int = 4,
        remember: int = 4096,
    ) -> None:
        shape = _image_shape(observation_space)
        for name, value, least in (("features_dim", features_dim, 1), ("pool", pool, 1)):
            _require_whole(name, value, least)
        super().__init__(observation_space, features_dim)
        self.backbone = Backbone(shape, network, stage, size=size, pool=pool, remember=remember)
        self.projection = nn.Sequential(
            nn.Linear(self.backbone.features, features_dim), nn.LayerNorm(features_dim), nn.Tanh()
        )

    def forward(self, observations: Tensor) -> Tensor:
        """Compute the features of images from 0 to 1, shape (n, channels, height, width)."""
        return self.projection(self.backbone(observations))


class Backbone(nn.Module):
    """A frozen network on images: resized, normalized as in ImageNet, pooled, flattened.

    Args:
        shape: Channels, height and width of an image.
        network: As in :class:`FrozenResNet`.
        stage: As there.
        size: As there.
        pool: As there.
        remember: As there.

    Attributes:
        features: Numbers that it gives for an image.
    """

    computed_as_one = True
    """It counts as one layer, though it has modules inside; see rltransfer.engine.features."""

    origin: Tensor

    def __init__(
        self,
        shape: tuple[int, int, int],
        network: str,
        stage: int,
        *,
        size: int | None,
        pool: int,
        remember: int,
    ) -> None:
        super().__init__()
        self.network = ResNet(network, stage)
        least = 2 ** (stage + 1)
        if size is not None:
            _require_whole("size", size, least)
        elif min(shape[1:]) < least:
            raise BadArgument(f"images of {shape[1]}x{shape[2]} are too small: set size={least}")
        _require_whole("remember", remember, 0)
        self._size, self._pool, self._frames = size, pool, max(shape[0] // 3, 1)
        self.features = self._frames * self.network.out_channels * pool**2
        # The sha256 of the file that the weights are from; zeros while they are random.
        self.register_buffer("origin", torch.zeros(32, dtype=torch.uint8))
        self._memory = Memory(remember)

    def train(self, mode: bool = True) -> Backbone:
        """Stay in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Compute features, shape (n, features), of images from 0 to 1."""
        if not self._memory.capacity:
            return self._compute(images)
        self._memory.belong_to(list(self.buffers()))
        return torch.cat([self._memory.get(one, self._compute) for one in images.split(1)])

    def _compute(self, images: Tensor) -> Tensor:
        if images.max() > 1.0:
            raise BadArgument(
                "images are not from 0 to 1: FrozenResNet is for policies that normalize images "
                "(normalize_images=True)"
            )
        count, channels, *sides = images.shape
        frames = images.expand(-1, 3, -1, -1) if channels == 1 else images.reshape(-1, 3, *sides)
        if self._size is not None and sides != [self._size, self._size]:
            frames = functional.interpolate(
                frames, size=(self._size, self._size), mode="bilinear", antialias=True
            )
        found = functional.adaptive_avg_pool2d(self.network(frames), self._pool)
        return found.reshape(count, self.features)


def backbones(policy: Any) -> list[Backbone]:
    """Frozen networks in a policy; each once."""
    return [module for module in policy.modules() if isinstance(module, Backbone)]


def _image_shape(space: Any) -> tuple[int, int, int]:
    image = isinstance(space, spaces.Box) and is_image_space(space)
    if not image or not is_image_space_channels_first(space):
        raise BadArgument(
            f"FrozenResNet reads images with 8 bits a value, channels first, and the policy "
            f"observes {space}: give an image alone (minigrid.wrappers.RGBImgPartialObsWrapper "
            "and ImgObsWrapper, say), as CnnPolicy takes it"
        )
    channels, height, width = space.shape
    if channels != 1 and channels % 3:
        raise BadArgument(
            f"FrozenResNet reads grey images or RGB ones, and these have {channels} channels: "
            "stack frames of 3 channels, or show one channel"
        )
    return channels, height, width


def _require_whole(name: str, value: Any, least: int) -> None:
    if type(value) is not int or not least <= value < math.inf:
        raise BadArgument(f"{name} is {value!r:.60}: give a whole number, at least {least}")
