"""Weights of frozen image encoders, from files in which nothing is executed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from rltransfer.agents import bundle, files
from rltransfer.agents.inert import Budget, read_tensors
from rltransfer.errors import BadArgument, BadCheckpoint
from rltransfer.policies.frozen_resnet import backbones

if TYPE_CHECKING:
    from rltransfer.agents.agent import Agent

_ORIGIN = "features_extractor.backbone.origin"
_CONTAINERS = ("state_dict", "model")


def load_backbone(policy: Any, path: str | Path) -> None:
    """Load pretrained weights into the frozen image encoders of a policy.

    Args:
        policy: A policy with a :class:`rltransfer.policies.frozen_resnet.FrozenResNet`.
        path: A ``.safetensors`` file, or a ``.pth`` that ``torch.save`` wrote, of torchvision's or
            timm's network of that name. It is read as data: no pickle in it runs.

    Raises:
        BadArgument: The policy has no such encoder, or the path has another suffix.
        BadCheckpoint: The file is missing, malformed, or of another network.
    """
    found = backbones(policy)
    if not found:
        raise BadArgument(
            f"{type(policy).__name__} has no frozen image encoder: build it with policy_kwargs="
            "{'features_extractor_class': FrozenResNet}"
        )
    path = Path(path).expanduser()
    content = files.read(path, bundle.MAX_TENSORS)
    try:
        weights = _read(path, content)
        for backbone in found:
            backbone.network.load(weights)
    except BadCheckpoint as error:
        raise BadCheckpoint(f"{path}: {error}") from error
    digest = bytearray(hashlib.sha256(content).digest())
    for backbone in found:
        backbone.origin.copy_(torch.frombuffer(digest, dtype=torch.uint8))


def words(agent: Agent) -> str:
    """Say which weights the frozen image encoder of an agent has; empty for one without any."""
    origin = agent.weights.get(_ORIGIN)
    if origin is None:
        return ""
    if not origin.any():
        return "frozen with random weights, trained by nobody"
    return f"frozen with the weights of a file, sha256 {bytes(origin.tolist()).hex()}"


def _read(path: Path, content: bytes) -> Mapping[str, torch.Tensor]:
    if path.suffix == ".safetensors":
        return bundle.unpack(content)
    if path.suffix not in (".pth", ".pt"):
        raise BadArgument(f"{path}: expected a .safetensors or .pth file of weights")
    found = read_tensors(content, Budget())
    for name in _CONTAINERS:
        found = found.get(name, found) if isinstance(found, dict) else found
    if not isinstance(found, dict):
        raise BadCheckpoint("expected tensors by name")
    arrays = {name: value for name, value in found.items() if hasattr(value, "dtype")}
    return {str(name): torch.from_numpy(value) for name, value in arrays.items()}
