"""A finished run as the bytes of a file, sealed by a hash, and one file in a folder."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from rltransfer.agents import files
from rltransfer.errors import BadArgument, BadCheckpoint, TransferError
from rltransfer.experiments import folders
from rltransfer.experiments.folders import RESULT
from rltransfer.experiments.run import Run
from rltransfer.experiments.spec import RunSpec

MAX_BYTES = 2**28
_ARRAYS = {"steps": np.int64, "returns": np.float64, "stochastic": np.float64}
_SEAL = re.compile(rb'\{"sha256": "([0-9a-f]{64})",\n')


def save(folder: Path, run: Run) -> None:
    """Write the result of a run into a folder of its own.

    Raises:
        NotWritable: It cannot be written.
    """
    folders.create(folder)
    files.atomic_write(folder / RESULT, to_bytes(run))


def find(folder: Path, spec: RunSpec) -> Run | None:
    """Return the finished run in a folder, if there is one.

    Raises:
        BadArgument: The folder holds a run with other settings.
        BadCheckpoint: The result cannot be read.
    """
    path = folder / RESULT
    if not path.exists():
        return None
    run = read(path)
    if run.spec != spec:
        raise BadArgument(
            f"{folder} holds a run with another {changed(run.spec, spec)}: "
            "choose another folder with --out, or remove this one"
        )
    return run


def changed(held: RunSpec, asked: RunSpec) -> str:
    """Name the fields in which two specs differ."""
    one, other = asdict(held), asdict(asked)
    return ", ".join(name for name in other if one[name] != other[name])


def read(path: Path) -> Run:
    """Read one result.

    Raises:
        BadCheckpoint: The file is not a result, or not as it was written.
    """
    return read_all(path)[0]


def read_all(path: Path) -> tuple[Run, dict[str, Any]]:
    """Read one result, and what was noted beside the run, such as its host.

    Raises:
        BadCheckpoint: The file is not a result, or not as it was written.
    """
    try:
        data = _unsealed(files.read(path, MAX_BYTES))
        return from_data(data.pop("run")), data
    except (ValueError, TypeError, KeyError, AttributeError, TransferError) as error:
        raise BadCheckpoint(
            f"{path} is not the result of a run ({error!r:.200}): remove it to repeat the run"
        ) from error


def to_bytes(run: Run, *, events: Sequence[str] = ()) -> bytes:
    """Return the content of a result file.

    Args:
        run: The run.
        events: Names of its files of TensorBoard events.
    """
    data = {"id": run.spec.id, "host": platform.node(), "events": [*events], "run": to_data(run)}
    return sealed(data)


def sealed(data: Mapping[str, Any]) -> bytes:
    """Return JSON data as text that begins with a SHA-256 over the rest."""
    rest = json.dumps(data, allow_nan=False).encode()[1:]
    return b'{"sha256": "%s",\n' % hashlib.sha256(rest).hexdigest().encode() + rest


def _unsealed(content: bytes) -> dict[str, Any]:
    """Return the data of :func:`sealed`; ValueError if a single bit is another."""
    found = _SEAL.match(content)
    if found is None:
        raise ValueError("it does not begin with a sha256")
    if hashlib.sha256(content[found.end() :]).hexdigest().encode() != found[1]:
        raise ValueError("its sha256 does not fit")
    return json.loads(b"{" + content[found.end() :])


def to_data(run: Run) -> dict[str, Any]:
    """Return a run as JSON data, every number exactly."""
    data = {**asdict(run), **{name: getattr(run, name).tolist() for name in _ARRAYS}}
    if run.spec.vec == "auto":
        # It changes no number; results that are older than the choice read the same.
        del data["spec"]["vec"]
    return data


def from_data(data: Mapping[str, Any]) -> Run:
    """Build a run from :func:`to_data`.

    Raises:
        ValueError: The arrays do not belong together.
    """
    arrays = {name: np.asarray(data[name], dtype=kind) for name, kind in _ARRAYS.items()}
    run = Run(**{**data, **arrays, "spec": RunSpec(**data["spec"])})
    expected = (len(run.steps), run.spec.episodes)
    if run.steps.ndim != 1 or not run.returns.shape == run.stochastic.shape == expected:
        raise ValueError(f"returns have shape {run.returns.shape}, expected {expected}")
    return run
