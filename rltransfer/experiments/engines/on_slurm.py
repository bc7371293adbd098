"""Runs on a Slurm cluster through submitit (extra ``slurm``), one job of an array each."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from typing import Any

from rltransfer.errors import MissingExtra
from rltransfer.experiments.engines import local
from rltransfer.experiments.engines.base import Done, Tell
from rltransfer.experiments.engines.limits import Limits
from rltransfer.experiments.engines.stopping import noticing
from rltransfer.experiments.outcome import Outcome
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

    The address is that of submitit: ``"local"`` runs the jobs as processes of this machine.

    Raises:
        MissingExtra: submitit is not installed.
    """
    try:
        import submitit
    except ModuleNotFoundError as error:
        raise MissingExtra.of("the engine slurm", "slurm") from error
    executor = submitit.AutoExecutor(folder=store.path / "slurm", cluster=address)
    executor.update_parameters(
        timeout_min=60 * 24 if limits.timeout is None else math.ceil(limits.timeout / 60) + 5,
        mem_gb=limits.memory or 4,
        cpus_per_task=1,
        slurm_array_parallelism=workers,
    )
    out = str(store.path.absolute())
    jobs: list[Any] = executor.map_array(
        _execute, ids, *zip(*[(out, limits, sys.path)] * len(ids), strict=True)
    )
    waiting = dict(zip(ids, jobs, strict=True))
    with noticing() as stop:
        while waiting and not stop.count:
            for id in [id for id, job in waiting.items() if job.done()]:
                done(_outcome(waiting.pop(id), store, id))
            time.sleep(local.TICK)
        for job in waiting.values():
            job.cancel()
        stop.raise_if_asked()


def _execute(id: str, out: str, limits: Limits, paths: list[str]) -> Outcome:
    """Execute one run; this is what a job calls."""
    sys.path += [path for path in paths if path not in sys.path]
    ended: list[Outcome] = []
    local.run(Store(out), [id], workers=1, limits=limits, tell=lambda *_: None, done=ended.append)
    return ended[0]


def _outcome(job: Any, store: Store, id: str) -> Outcome:
    try:
        return job.result()
    except Exception as error:
        status = "done" if store.result(id).exists() else "lost"
        message = "" if status == "done" else f"{type(error).__name__}: {error!s:.300}"
        return Outcome(id=id, name=store.request(id).name, status=status, message=message)
