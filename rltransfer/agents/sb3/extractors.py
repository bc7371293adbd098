"""The tensors of features extractors, from what they observe."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_flattened_obs_dim, is_image_space

from rltransfer.errors import BadCheckpoint

Shapes = dict[str, tuple[int, ...]]
FLATTEN, NATURE, COMBINED = (
    f"stable_baselines3.{name}" for name in ("FlattenExtractor", "NatureCNN", "CombinedExtractor")
)
_OPTIONS = {FLATTEN: (), NATURE: ("features_dim",), COMBINED: ("cnn_output_dim",)}
#: Kernel, stride and channels of the layers of NatureCNN; every second one is an activation.
_CONVOLUTIONS = ((8, 4, 32), (4, 2, 64), (3, 1, 64))


def features(kind: str, space: Any, options: Mapping[str, Any]) -> tuple[Shapes, int]:
    """Return the tensors of an extractor of SB3 by name, and the number of its outputs.

    Args:
        kind: One of the three above.
        space: What it observes.
        options: Its arguments, with ``normalized_image``.

    Raises:
        BadCheckpoint: It cannot observe that.
    """
    image = options["normalized_image"] is True
    for name in options:
        if name not in (*_OPTIONS[kind], "normalized_image"):
            raise BadCheckpoint(f"features_extractor_kwargs has {name!r:.60}, which none has")
    if kind == FLATTEN:
        return {}, _flat(space)
    if kind == NATURE:
        return _nature(space, _width(options, "features_dim", 512), image)
    if not isinstance(space, spaces.Dict):
        raise BadCheckpoint(f"a CombinedExtractor needs observations by key, not {space!s:.200}")
    shapes, total, width = {}, 0, _width(options, "cnn_output_dim", 256)
    for key, part in space.spaces.items():
        own, outputs = {}, 0
        if is_image_space(part, normalized_image=image):
            own, outputs = _nature(part, width, image)
        else:
            outputs = _flat(part)
        shapes |= {f"extractors.{key}.{name}": shape for name, shape in own.items()}
        total += outputs
    return shapes, total


def _nature(space: Any, width: int, normalized: bool) -> tuple[Shapes, int]:
    if not is_image_space(space, normalized_image=normalized):
        raise BadCheckpoint(f"a NatureCNN needs images, not {space!s:.200}")
    channels, *sides = space.shape
    shapes: Shapes = {}
    for index, (kernel, stride, outputs) in enumerate(_CONVOLUTIONS):
        shapes[f"cnn.{2 * index}.weight"] = (outputs, channels, kernel, kernel)
        shapes[f"cnn.{2 * index}.bias"] = (outputs,)
        channels, sides = outputs, [(side - kernel) // stride + 1 for side in sides]
    if min(sides) < 1:
        raise BadCheckpoint(f"images of shape {space.shape} are too small for a NatureCNN")
    shapes["linear.0.weight"] = (width, channels * math.prod(sides))
    shapes["linear.0.bias"] = (width,)
    return shapes, width


def _width(options: Mapping[str, Any], name: str, default: int) -> int:
    width = options.get(name, default)
    if type(width) is not int or width < 1:
        raise BadCheckpoint(f"{name} is {width!r:.40}: expected a whole number from 1")
    return width


def _flat(space: Any) -> int:
    if isinstance(space, spaces.Dict | spaces.Tuple):
        raise BadCheckpoint(f"no features extractor takes nested observations {space!s:.200}")
    return int(get_flattened_obs_dim(space))
