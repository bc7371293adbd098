"""Starts the process that reads hostile files, hands them over, and judges the answers."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hostile import samples
from hostile.bases import Bases
from hostile.samples import Sample

#: Seconds of processor time, and bytes that the process may grow by, for one file.
MAX_SECONDS = 1.0
MAX_GROWTH = 512 * 2**20
# The first answer waits for all imports, which on a busy machine takes minutes.
_PATIENCE = 240.0
#: What a reader may say about a file: mostly the first. The second asks for a class or an argument.
_ERRORS = ("BadCheckpoint", "BadArgument", "UnknownName")


@dataclass
class Figures:
    """What was seen over many files."""

    files: int = 0
    loaded: int = 0
    refused: int = 0
    used: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    growth: int = 0
    complaints: list[str] = field(default_factory=list)

    def add(self, answer: dict[str, Any]) -> None:
        self.files += 1
        read, used = answer.get("read", {}), answer.get("used", {})
        self.loaded += read.get("outcome") == "done"
        self.refused += read.get("outcome") == "refused"
        self.used += used.get("outcome") == "done"
        self.seconds += read.get("cpu", 0.0) + used.get("cpu", 0.0)
        self.slowest = max(self.slowest, read.get("cpu", 0.0), used.get("cpu", 0.0))
        self.growth = max(self.growth, answer.get("grown", 0))

    def __str__(self) -> str:
        return (
            f"{self.files} files, {self.loaded} loaded ({self.used} built), {self.refused} refused,"
            f" {self.seconds:.1f} s of CPU, slowest {self.slowest:.2f} s, "
            f"growth {self.growth / 2**20:.0f} MiB, {len(self.complaints)} complaints"
        )


class Observer:
    """A reading process, and the folders that it sees."""

    def __init__(self, folder: Path, bases: Bases, *, warm: bool = True) -> None:
        self.folder, self.bases, self.warm = folder, bases, warm
        self.files, self.cwd = folder / "files", folder / "cwd"
        self.cwd.mkdir(parents=True, exist_ok=True)
        self.resident = 0
        self.process: subprocess.Popen[str] | None = None

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def start(self) -> None:
        """Start the process, and let it read sound files, so that all imports are done."""
        here = str(Path(__file__).parents[1])
        paths = os.pathsep.join([here, *sys.path])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hostile.observed"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=self.cwd,
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
            text=True,
        )
        if self.warm:
            for name in self.bases:
                for own in (False, True):
                    self.read(sound(self.bases, name, own=own))
            self.resident = self.ask({"reader": "warm"}).get("resident", 0)

    def read(self, sample: Sample, reader: str | None = None) -> dict[str, Any]:
        """Let the process read a file."""
        if self.process is None:
            self.start()
        write(sample, self.files)
        own = not sample.target.endswith(".zip")
        order = {"folder": str(self.files), "target": sample.target}
        answer = self.ask({**order, "reader": reader or ("own" if own else "import")})
        return answer | {"grown": answer.get("peak", 0) - self.resident}

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        process = self.process
        assert process is not None and process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
            ready, _, _ = select.select([process.stdout], [], [], _PATIENCE)
            line = process.stdout.readline() if ready else ""
        except BrokenPipeError:
            ready, line = [True], ""
        if line:
            return json.loads(line)
        self.close()
        return {"died": "the process died" if ready else f"no answer within {_PATIENCE:.0f} s"}

    def judge(self, name: str, index: int, figures: Figures, seed: int = samples.SEED) -> None:
        """Read one file of a family, and add what is wrong with the outcome to ``figures``."""
        sample = samples.make(name, index, self.bases, seed)
        answer = self.read(sample)
        for _ in range(2):  # other processes disturb the clock: the best of three counts
            if _seconds(answer) > MAX_SECONDS:
                again = self.read(sample)
                answer = min(answer, again, key=_seconds)
        figures.add(answer)
        where = f"{name} {index} (seed {seed}, {sample.note or 'no note'}): "
        figures.complaints += [
            where + text for text in [*complaints(sample, answer), *self.traces(sample)]
        ]

    def traces(self, sample: Sample) -> list[str]:
        """Say which files there are that were not there before."""
        left = list(self.cwd.iterdir())
        for path in left:  # one by one: the folder itself is where the process is
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        there = {
            str(path.relative_to(self.files)): path.read_bytes()
            for path in self.files.rglob("*")
            if path.is_file()
        }
        changed = ["changed the files"] if there != dict(sample.files) else []
        return [f"left {path.name} behind" for path in left] + changed


def sound(bases: Bases, name: str, *, own: bool) -> Sample:
    """Return the unchanged files of a base."""
    base = bases[name]
    if own:
        files = {"agent.safetensors": base.own[0], "agent.json": base.own[1]}
        return Sample(files, "agent", "loads", name)
    return Sample(base.files(), "agent.zip", "loads", name)


def write(sample: Sample, folder: Path) -> None:
    """Write the files of a sample into a folder that holds nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in sample.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _seconds(answer: dict[str, Any]) -> float:
    return max(answer.get(part, {}).get("cpu", 0.0) for part in ("read", "used"))


def complaints(sample: Sample, answer: dict[str, Any]) -> list[str]:
    """Say what an answer should not have been."""
    if "died" in answer:
        return [answer["died"]]
    read, used = answer["read"], answer.get("used", {})
    found = [*_bad_outcome(read, "reading"), *_bad_outcome(used, "building")]
    found += [f"event while reading: {event}" for event in answer["events"][:3]]
    found += [f"event while building: {event}" for event in answer.get("events_used", [])[:3]]
    if _seconds(answer) > MAX_SECONDS:
        found.append(f"took {read['cpu']:.2f} s to read, {used.get('cpu', 0):.2f} s to build")
    if answer["grown"] > MAX_GROWTH:
        found.append(f"the process grew by {answer['grown'] / 2**20:.0f} MiB")
    outcomes = (read["outcome"], used.get("outcome"))
    if sample.expect == "loads" and outcomes != ("done", "done"):
        found.append(f"should load: {read.get('message', '')} {used.get('message', '')}")
    if sample.expect == "refused" and "refused" not in outcomes:
        found.append("should be refused")
    return found


def _bad_outcome(part: dict[str, Any], doing: str) -> list[str]:
    if part.get("outcome") == "crashed":
        return [f"{doing} crashed: {part['message']}"]
    if part.get("outcome") != "refused":
        return []
    message, found = part["message"], []
    if part["error"] not in _ERRORS:
        found.append(f"{doing} raised {part['error']}: {message}")
    if not message.isprintable() or len(message) > 1500:
        found.append(f"{doing} says more than one short line: {message[:200]!r}")
    return found
