"""Runs on a Slurm cluster through submitit (extra ``slurm``), one job of an array each."""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from rltransfer.errors import MissingExtra, NotReachable
from rltransfer.experiments.engines import local
from rltransfer.experiments.engines.base import Done, Tell, find_modules_in, without_word
from rltransfer.experiments.engines.limits import Limits
from rltransfer.experiments.outcome import Outcome
from rltransfer.experiments.signals import noticing
from rltransfer.experiments.store import Store


def run(
    store: Store,
    ids: Sequence[str],
    *,
    workers: int,
    limits: Limits,
    tell: Tell,
    done: Done,
    address: str | None = None,
) -> None:
    """Execute runs; see :class:`rltransfer.experiments.engines.base.Engine`.

    The address is that of submitit: ``"local"`` runs the jobs as processes of this machine, to see
    what would happen on a cluster.

    Raises:
        MissingExtra: submitit is not installed.
        NotReachable: There is no Slurm on this machine, or no such address.
    """
    executor = _executor(store, workers, limits, address)
    rest, waiting, orders = deque(ids), {}, (str(store.path.absolute()), limits, sys.path)
    # Slurm itself sees to it that only some of an array run at a time; processes would all start.
    window = workers if executor.cluster == "local" else len(ids)
    with noticing() as stop:
        while (rest or waiting) and not stop.count:
            if rest and len(waiting) < window:
                now = [rest.popleft() for _ in range(min(window - len(waiting), len(rest)))]
                columns = zip(*[(id, *orders) for id in now], strict=True)
                waiting |= zip(now, executor.map_array(_execute, *columns), strict=True)
            for id in [id for id, job in waiting.items() if job.done()]:
                done(_outcome(waiting.pop(id), store, id))
            time.sleep(local.TICK)
        for job in waiting.values():
            job.cancel()
        stop.raise_if_asked()


def _executor(store: Store, workers: int, limits: Limits, address: str | None) -> Any:
    try:
        import submitit
    except ModuleNotFoundError as error:
        raise MissingExtra.of("the engine slurm", "slurm") from error
    try:
        executor = submitit.AutoExecutor(folder=store.path / "slurm", cluster=address or "slurm")
    except (RuntimeError, ValueError) as error:
        raise NotReachable(
            f"no Slurm cluster can be used ({error!s:.200}): submit from a machine that has its "
            "commands, or use --engine local"
        ) from error
    executor.update_parameters(
        timeout_min=60 * 24 if limits.timeout is None else math.ceil(limits.timeout / 60) + 5,
        mem_gb=limits.memory or 4,
        cpus_per_task=1,
        slurm_array_parallelism=workers,
    )
    return executor


def _execute(id: str, out: str, limits: Limits, paths: list[str]) -> Outcome:
    """Execute one run; this is what a job calls."""
    find_modules_in(paths)
    ended: list[Outcome] = []
    local.run(Store(out), [id], workers=1, limits=limits, tell=lambda *_: None, done=ended.append)
    return ended[0]


def _outcome(job: Any, store: Store, id: str) -> Outcome:
    try:
        return job.result()
    except Exception as error:
        return without_word(store, id, error)
