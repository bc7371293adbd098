"""Measured scores of the tasks: frozen constants in ``scores.json``, with what made them.

One entry a task id. ``random``, ``random_ci`` and ``random_from`` are written by
``python -m rltransfer_envs.measure_random``; ``reference``, ``reference_ci``, ``steps``, ``seed``,
``command``, ``versions`` and ``date`` describe a trained agent. Every key may be missing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_name("scores.json")


def load(path: Path = PATH) -> dict[str, dict[str, Any]]:
    """Read all scores by task id.

    Args:
        path: The file; one that does not exist holds no scores.
    """
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def merge(new: Mapping[str, Mapping[str, Any]], path: Path = PATH) -> None:
    """Add keys to the entries of tasks, and keep their other keys.

    The file is replaced in one step: a crash leaves the old one.

    Args:
        new: Keys and values by task id.
        path: The file.
    """
    scores = load(path)
    for id, values in new.items():
        scores[id] = {**scores.get(id, {}), **values}
    text = json.dumps(scores, indent=1, sort_keys=True, allow_nan=False) + "\n"
    # Not tempfile: its files are readable by their owner alone, and the result is packaged.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)


def task_fields(id: str) -> dict[str, Any]:
    """Return what the file knows about a task, as fields of :class:`rltransfer.registry.Task`.

    Args:
        id: Task id.

    Returns:
        ``random`` and ``reference`` (None where not measured), and ``scores_from``.
    """
    entry = _frozen().get(id, {})
    origins = []
    if "random" in entry:
        origins.append(f"random: {_origin(entry.get('random_from', {}))}")
    if "reference" in entry:
        origins.append(f"reference: {_origin(entry)}")
    return {
        "random": entry.get("random"),
        "reference": entry.get("reference"),
        "scores_from": "; ".join(origins),
    }


_frozen = cache(load)


def _origin(entry: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {v}" for name, v in sorted(entry.get("versions", {}).items()))
    facts = (entry.get("command", ""), versions, entry.get("date", ""))
    return " | ".join(fact for fact in facts if fact) or "unknown"
