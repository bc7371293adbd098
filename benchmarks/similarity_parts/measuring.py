"""Similarities of pairs, each kept in a file of its own, so that none is measured twice."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from rltransfer import Agent, Similarity, similarity
from rltransfer.agents.files import atomic_write
from rltransfer.experiments import folders
from rltransfer.experiments.spec import source_hash, target_hash
from rltransfer.similarity import MEASURES

VERSION = 1
"""Goes up when a measure would give another number."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Wanted:
    """One similarity to measure.

    Attributes:
        pair: Name of the pair.
        agent: The source.
        target: Gymnasium id.
        seed: Seed.
    """

    pair: str
    agent: Agent
    target: str
    seed: int

    def path(self, folder: Path) -> Path:
        """Where it is kept: the name changes with all that changes the numbers."""
        identity = [VERSION, source_hash(self.agent), target_hash(self.target), self.seed]
        digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
        return folder / f"{self.pair}-{self.agent.card.name}-{self.seed}-{digest}.json"


def measure_all(wanted: Sequence[Wanted], folder: Path, jobs: int) -> dict[str, dict[str, float]]:
    """Measure what is missing.

    Args:
        wanted: What to measure.
        folder: Where results are kept.
        jobs: Processes.

    Returns:
        For each pair, the mean of each measure over sources and seeds; nan where one cannot be had.
    """
    folders.create(folder)
    missing = [one for one in wanted if not one.path(folder).exists()]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for one in pool.map(_measure, missing, [folder] * len(missing)):
            print(f"measured {one}", flush=True)
    found: dict[str, list[Mapping[str, float]]] = {}
    for one in wanted:
        found.setdefault(one.pair, []).append(_read(one.path(folder)))
    return {
        pair: {name: float(np.mean([part[name] for part in parts])) for name in MEASURES}
        for pair, parts in found.items()
    }


def _measure(one: Wanted, folder: Path) -> str:
    torch.set_num_threads(1)
    result = similarity(one.agent, one.target, seed=one.seed, device="cpu")
    known = {k: None if v != v else v for k, v in asdict(result).items()}
    path = one.path(folder)
    atomic_write(path, json.dumps(known, indent=1).encode())
    return path.name


def _read(path: Path) -> dict[str, float]:
    data = json.loads(path.read_text())
    unknown = {field.name for field in fields(Similarity)} - data.keys()
    if unknown:
        raise ValueError(f"{path} lacks {', '.join(sorted(unknown))}: remove it")
    return {name: math.nan if data[name] is None else data[name] for name in MEASURES}
