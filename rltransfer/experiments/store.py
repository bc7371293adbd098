"""Results on disk: one JSON file for each run, written once and never half."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from rltransfer.agents.files import atomic_write
from rltransfer.errors import BadArgument, BadCheckpoint, TransferError
from rltransfer.experiments import folders
from rltransfer.experiments.folders import RESULT
from rltransfer.experiments.run import Run
from rltransfer.experiments.spec import RunSpec

_ARRAYS = {"steps": np.int64, "returns": np.float64, "stochastic": np.float64}


def save(folder: Path, run: Run) -> None:
    """Write the result of a run.

    Raises:
        NotWritable: It cannot be written.
    """
    folders.create(folder)
    atomic_write(folder / RESULT, json.dumps(to_data(run), allow_nan=False).encode())


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
        held, asked = asdict(run.spec), asdict(spec)
        changed = [name for name in asked if held[name] != asked[name]]
        raise BadArgument(
            f"{folder} holds a run with another {', '.join(changed)}: "
            "choose another folder with --out, or remove this one"
        )
    return run


def read(path: Path) -> Run:
    """Read one result.

    Raises:
        BadCheckpoint: The file is not a result.
    """
    try:
        return from_data(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, TransferError) as error:
        raise BadCheckpoint(
            f"{path} is not the result of a run ({error!r:.200}): remove it to repeat the run"
        ) from error


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
