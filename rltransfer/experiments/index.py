"""A table of all runs for SQLite. It follows from the results, and nothing reads it but people."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from rltransfer.agents import files
from rltransfer.errors import BadArgument
from rltransfer.experiments import kill_points
from rltransfer.experiments.store import Store

NAME = "index.sqlite"
_RUNS = """CREATE TABLE runs (
    id TEXT PRIMARY KEY, source TEXT, source_hash TEXT, target TEXT, recipe TEXT, seed INTEGER,
    steps INTEGER, first REAL, last REAL, seconds REAL, device TEXT, host TEXT
) STRICT"""
_FAILURES = """CREATE TABLE failures (
    id TEXT PRIMARY KEY, name TEXT, status TEXT, message TEXT, attempts INTEGER
) STRICT"""


def write_index(store: Store) -> Path:
    """Write the table anew: ``first`` and ``last`` are mean returns before and after training.

    Returns:
        Its path.

    Raises:
        BadArgument: The folder holds no runs.
        BadCheckpoint: A result is damaged.
        NotWritable: The table cannot be written.
    """
    if not (store.path / "runs").is_dir():
        raise BadArgument(f"{store.path} holds no runs: give the --out of a benchmark")
    with closing(sqlite3.connect(":memory:")) as table:
        table.execute(_RUNS)
        table.execute(_FAILURES)
        table.executemany(f"INSERT INTO runs VALUES ({', '.join('?' * 12)})", _rows(store))
        table.executemany(
            "INSERT INTO failures VALUES (?, ?, ?, ?, ?)",
            ((o.id, o.name, o.status, o.message, o.attempts) for o in store.outcomes()),
        )
        table.commit()
        content = table.serialize()
    path = store.path / NAME
    staged = files.stage(path, content)
    kill_points.point("index.staged")
    files.publish(staged, path)
    return path


def _rows(store: Store) -> Iterator[tuple[Any, ...]]:
    for run, notes in store.runs():
        spec = run.spec
        returns = run.returns.mean(axis=1)
        yield (
            *(spec.id, spec.source, spec.source_hash, spec.target, spec.label, spec.seed),
            *(spec.steps, float(returns[0]), float(returns[-1]), run.seconds, run.device),
            notes["host"],
        )
