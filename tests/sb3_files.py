"""Zips of Stable-Baselines3 that were changed after they were saved."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cloudpickle
import torch

Edit = Callable[[Any], Any]


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, content: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in content.items():
            archive.writestr(name, part)
    return path


def with_data(path: Path, **entries: Any) -> Path:
    """Replace entries of the JSON; those that are None in Python are removed."""
    content = members(path)
    data = {**json.loads(content["data"]), **entries}
    kept = {name: value for name, value in data.items() if value is not REMOVED}
    return write(path, {**content, "data": json.dumps(kept).encode()})


def with_tensors(path: Path, member: str, edit: Edit) -> Path:
    """Let ``edit`` change what torch stored under a member; it gets and returns the object."""
    content = members(path)
    stored = io.BytesIO()
    torch.save(edit(torch.load(io.BytesIO(content[member]), weights_only=True)), stored)
    return write(path, {**content, member: stored.getvalue()})


def data_of(path: Path) -> dict[str, Any]:
    return json.loads(members(path)["data"])


def pickled(value: Any, **twin: Any) -> dict[str, Any]:
    """An entry as SB3 writes it for what is not JSON."""
    content = base64.b64encode(cloudpickle.dumps(value)).decode()
    return {":type:": str(type(value)), ":serialized:": content, **twin}


REMOVED = object()
