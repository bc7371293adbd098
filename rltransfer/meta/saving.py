"""The file of a context estimator, which lies beside the agent that it belongs to.

One safetensors file: the network, and in its metadata, under ``rltransfer``, what it infers, as
JSON. It names the sha256 of its agent, so that a pair that does not belong together is refused, and
that of itself without it, so that no byte can change unnoticed. Nothing in it is executed.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from gymnasium import spaces

from rltransfer.agents import Agent, bundle, files
from rltransfer.agents.jsondata import only, parse, take
from rltransfer.errors import BadCheckpoint
from rltransfer.meta.estimator import ContextEstimator
from rltransfer.meta.history import width

SUFFIX = ".context.safetensors"
_FORMAT, _VERSION = "rltransfer-context", 1
_FIELDS = ("format", "version", "agent", "length", "names", "r2")


def context_path(path: str | Path) -> Path:
    """Path of the estimator that lies beside the agent at a path."""
    base = bundle.stem(path)
    return base.with_name(base.name + SUFFIX)


def write(path: Path, estimator: ContextEstimator, agent: Agent) -> None:
    """Write an estimator, whole or not at all.

    Raises:
        NotWritable: It could not be written; what was there before is unharmed.
    """
    about = {
        "format": _FORMAT,
        "version": _VERSION,
        "agent": agent.sha256,
        "length": estimator.length,
        "names": list(estimator.names),
        # What did not vary on held-out episodes has no share that is explained.
        "r2": {name: one if math.isfinite(one) else None for name, one in estimator.r2.items()},
    }
    files.atomic_write(path, seal(estimator.state_dict(), about))


def seal(tensors: Mapping[str, torch.Tensor], about: Mapping[str, Any]) -> bytes:
    """Build the bytes of a file.

    Args:
        tensors: Of the network.
        about: What it infers, as JSON data.
    """
    digest = hashlib.sha256(_bytes(tensors, about)).hexdigest()
    return _bytes(tensors, {**about, "sha256": digest})


def _bytes(tensors: Mapping[str, torch.Tensor], about: Mapping[str, Any]) -> bytes:
    metadata = {"rltransfer": json.dumps(about, allow_nan=False)}
    return safetensors.torch.save(dict(tensors), metadata)


def read(path: Path, agent: Agent) -> ContextEstimator:
    """Read the estimator of an agent; the random state is left as it was.

    Args:
        path: What :func:`write` wrote.
        agent: Its agent.

    Raises:
        BadCheckpoint: It is missing, corrupt, or of another agent.
    """
    content = files.read(path, bundle.MAX_TENSORS)
    try:
        tensors, about = bundle.unpack(content), _about(content)
        if content != seal(tensors, about):
            raise BadCheckpoint("corrupt, or edited after it was saved: its sha256 does not fit")
        if take(about, "agent", str) != agent.sha256:
            raise BadCheckpoint(f"it is of another agent than {agent.card.name!r}: save both again")
        return _filled(tensors, about, agent)
    except BadCheckpoint as error:
        raise BadCheckpoint(f"{path}: {error}") from error


def _about(content: bytes) -> dict[str, Any]:
    """What the file says about the estimator, of this version of the format."""
    length = int.from_bytes(content[:8], "little")
    metadata = parse(content[8 : 8 + length]).get("__metadata__") or {}
    about = parse(metadata.get("rltransfer", "{}").encode())
    about.pop("sha256", None)
    if about.get("format") != _FORMAT:
        raise BadCheckpoint("no estimator of a context that rltransfer wrote")
    if take(about, "version", int) != _VERSION:
        raise BadCheckpoint(f"it has version {about['version']}, this rltransfer reads {_VERSION}")
    only(about, _FIELDS, "it")
    return about


def _filled(
    tensors: dict[str, torch.Tensor], about: dict[str, Any], agent: Agent
) -> ContextEstimator:
    """Build the network that the tensors fit."""
    names, length = take(about, "names", list), take(about, "length", int)
    layers = sum(name.endswith(".bias") for name in tensors)
    try:
        hidden = [len(tensors[f"net.{2 * i}.bias"]) for i in range(layers - 1)]
        observed = spaces.flatdim(agent.observation_space) - len(names)
        # Without memory of its own, so that what the file says cannot fill it.
        with torch.device("meta"):
            each = width(observed, spaces.flatdim(agent.action_space))
            estimator = ContextEstimator(names, length, each, hidden)
        estimator.load_state_dict(tensors, assign=True)
    except (LookupError, RuntimeError, TypeError, ValueError) as error:
        raise BadCheckpoint(f"its network does not fit: {str(error).splitlines()[-1]}") from error
    if any(one.dtype != torch.float32 for one in tensors.values()):
        raise BadCheckpoint("its network is not of float32")
    estimator.r2 = _shares(about, names)
    return estimator


def _shares(about: dict[str, Any], names: list[Any]) -> dict[str, float]:
    """How much the estimator explains of each parameter."""
    r2 = take(about, "r2", dict)
    if list(r2) != names:
        raise BadCheckpoint(f"it infers {names!r:.80}, and explains {list(r2)!r:.80}")
    found = {name: take(r2, name, float, type(None)) for name in names}
    return {name: math.nan if one is None else one for name, one in found.items()}
