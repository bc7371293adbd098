"""Results on disk: one immutable file for each run, under a name that follows from what it did.

Any number of sweeps, processes and machines may use one folder at once. Nothing is locked and
nothing is appended to: a file is there whole or not at all, and who comes second finds it there.
"""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rltransfer.agents import Agent, files
from rltransfer.errors import BadCheckpoint, TransferError
from rltransfer.experiments import events, folders, kill_points, results
from rltransfer.experiments.once import write_once
from rltransfer.experiments.outcome import Outcome
from rltransfer.experiments.requests import Request
from rltransfer.experiments.run import Run
from rltransfer.experiments.spec import RunSpec, source_hash


class Store:
    """The folder of a sweep; see the module for what it promises.

    Args:
        path: The folder; parts of it are created when they are needed.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def result(self, id: str) -> Path:
        """Path of a result, whether it is there or not."""
        return self.path / "runs" / f"{id}.json"

    def checkpoints(self, id: str) -> Path:
        """Folder of what a run can go on from."""
        return self.path / "checkpoints" / id

    def save_agent(self, agent: Agent) -> str:
        """Keep a source agent, and return its hash.

        Raises:
            NotWritable: It cannot be written.
        """
        name = source_hash(agent)
        target = self._agent(name)
        if not all(target.with_suffix(suffix).exists() for suffix in (".safetensors", ".json")):
            self._copy_agent(agent, target)
        return name

    def agent(self, hash: str, classes: Mapping[str, type] | None = None) -> Agent:
        """Read a source agent.

        Args:
            hash: What :meth:`save_agent` returned.
            classes: Classes of the user that it needs.

        Raises:
            BadCheckpoint: It is missing, damaged, or another one.
        """
        agent = Agent.read(self._agent(hash), classes=classes)
        if source_hash(agent) != hash:
            raise BadCheckpoint(f"{self._agent(hash)} is another agent: remove it")
        return agent

    def write_request(self, request: Request) -> str:
        """Keep what a worker must know, and return the id of the run.

        Raises:
            NotWritable: It cannot be written.
        """
        path = self.path / "requests" / f"{request.spec.id}.json"
        folders.create(path.parent)
        files.atomic_write(path, json.dumps(request.to_data(), indent=1).encode())
        return request.spec.id

    def request(self, id: str) -> Request:
        """Read a request.

        Raises:
            BadCheckpoint: It is missing or damaged.
        """
        path = self.path / "requests" / f"{id}.json"
        try:
            return Request.from_data(json.loads(files.read(path, results.MAX_BYTES)))
        except (ValueError, TypeError, KeyError, TransferError) as error:
            raise BadCheckpoint(f"{path} is not a request ({error!r:.200})") from error

    def requests(self) -> Iterator[Request]:
        """Read every request that can be read."""
        for path in sorted((self.path / "requests").glob("*.json")):
            with suppress(BadCheckpoint):
                yield self.request(path.stem)

    def find(self, spec: RunSpec) -> Run | None:
        """Return the result of a run if it is there, under the names of the spec that asks.

        Raises:
            BadCheckpoint: It is there and damaged.
        """
        path = self.result(spec.id)
        if not path.exists():
            return None
        run = results.read(path)
        if run.spec.id != spec.id:
            raise BadCheckpoint(f"{path} is the result of another run: remove it to repeat the run")
        return replace(run, spec=spec)

    def publish(self, run: Run, *, names: list[str], folder: Path | None = None) -> bool:
        """Keep the result of a run; nothing changes if somebody else has done so.

        Args:
            run: The run.
            names: Names of its files of TensorBoard events.
            folder: Where they are.

        Returns:
            Whether this call did it.

        Raises:
            NotWritable: It cannot be written.
            BadCheckpoint: A damaged result is there.
        """
        id = run.spec.id
        folders.create(self.result(id).parent)
        first = write_once(self.result(id), results.to_bytes(run, events=names))
        kill_points.point("store.published")
        self.tidy(id, folder)
        return first

    def tidy(self, id: str, folder: Path | None) -> None:
        """Remove what a run with a result has left elsewhere; see :meth:`publish`."""
        _, notes = results.read_all(self.result(id))
        events.keep(folder, notes["events"])
        self.forget_failure(id)
        shutil.rmtree(self.checkpoints(id), ignore_errors=True)

    def fail(self, outcome: Outcome) -> None:
        """Note how a run ended that has no result.

        Raises:
            NotWritable: It cannot be written.
        """
        path = self._failure(outcome.id)
        folders.create(path.parent)
        files.atomic_write(path, json.dumps(asdict(outcome), indent=1).encode())
        if self.result(outcome.id).exists():  # Of another sweep, in the meantime.
            self.forget_failure(outcome.id)

    def forget_failure(self, id: str) -> None:
        """Remove what was noted of earlier attempts."""
        with suppress(OSError):
            self._failure(id).unlink(missing_ok=True)

    def failure(self, id: str) -> Outcome | None:
        """Read how a run ended, if that was noted and is whole."""
        try:
            return Outcome(**json.loads(self._failure(id).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def outcomes(self) -> Iterator[Outcome]:
        """Read how the runs ended that have no result."""
        for path in sorted((self.path / "failures").glob("*.json")):
            outcome = self.failure(path.stem)
            if outcome is not None and not self.result(outcome.id).exists():
                yield outcome

    def runs(self) -> Iterator[tuple[Run, dict[str, Any]]]:
        """Read every result, and what was noted beside it.

        Raises:
            BadCheckpoint: One is damaged.
        """
        for path in sorted((self.path / "runs").glob("*.json")):
            yield results.read_all(path)

    def _agent(self, hash: str) -> Path:
        return self.path / "agents" / hash

    def _failure(self, id: str) -> Path:
        return self.path / "failures" / f"{id}.json"

    def _copy_agent(self, agent: Agent, target: Path) -> None:
        """Write an agent aside and move it: another sweep may do the same at this moment."""
        aside = target.parent / f".{secrets.token_hex(8)}.tmp"
        _sweep(target.parent)
        folders.create(aside)
        try:
            agent.save(aside / target.name)
            for suffix in (".safetensors", ".json"):
                files.publish(aside / f"{target.name}{suffix}", target.with_suffix(suffix))
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove what killed processes have left of agents."""
    for path in folder.glob(".*.tmp"):
        with suppress(OSError):
            if path.stat().st_mtime < time.time() - files.STALE_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
