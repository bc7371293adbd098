"""One training run: what it is, where its result is kept, and when a kept result is its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rltransfer.agents.files import atomic_write

Result = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run, whose result is one file.

    Attributes:
        part: Part of the benchmark.
        arm: What is trained, such as ``"multi"``.
        seed: Seed of everything.
        settings: JSON data that determines the result together with the seed.
        needs: Runs that must be finished before, by what they are for.
    """

    part: str
    arm: str
    seed: int
    settings: dict[str, Any] = field(hash=False)
    needs: dict[str, Job] = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        """Its name, which is that of its file."""
        return f"{self.part}--{self.arm}--seed{self.seed}".replace("/", "_")

    @property
    def digest(self) -> str:
        """Hash of everything that determines the result."""
        needs = {what: job.digest for what, job in self.needs.items()}
        data = [self.part, self.arm, self.seed, self.settings, needs]
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]

    def path(self, out: Path) -> Path:
        """File of its result."""
        return out / "runs" / f"{self.name}.json"

    def agent(self, out: Path) -> Path:
        """Where it keeps the agent that other runs start from, without an ending."""
        return out / "agents" / f"{self.name}-{self.digest}"

    def read(self, out: Path) -> Result | None:
        """Its result, if it is there and was made with the same settings."""
        try:
            found = json.loads(self.path(out).read_text())
        except (OSError, ValueError):
            return None
        return found if found.get("digest") == self.digest else None

    def write(self, out: Path, result: Result) -> None:
        """Keep a result, whole or not at all."""
        data = {
            **{"part": self.part, "arm": self.arm, "seed": self.seed, "digest": self.digest},
            **{"settings": self.settings, **result},
        }
        self.path(out).parent.mkdir(parents=True, exist_ok=True)
        atomic_write(self.path(out), (json.dumps(data) + "\n").encode())


def with_needs(jobs: Sequence[Job]) -> list[Job]:
    """List jobs and what they need, each once, what is needed first."""
    found: dict[str, Job] = {}

    def add(job: Job) -> None:
        for needed in job.needs.values():
            add(needed)
        found.setdefault(job.name, job)

    for job in jobs:
        add(job)
    return list(found.values())
