"""Runs on a Ray cluster (extra ``ray``), one task each, with the limits of the local engine.

Ray moves the tasks and starts those again whose machine or worker died. Its workers must see the
store under the same path.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rltransfer.errors import MissingExtra, NotReachable
from rltransfer.experiments.engines import local
from rltransfer.experiments.engines.base import Done, Tell, find_modules_in, without_word
from rltransfer.experiments.engines.limits import Limits
from rltransfer.experiments.engines.nursery import Nursery
from rltransfer.experiments.outcome import Outcome
from rltransfer.experiments.signals import noticing
from rltransfer.experiments.store import Store

# Quiet, and nothing is sent anywhere.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}


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

    With no address, a cluster of this machine alone is started for ``workers`` runs at a time. A
    run is heard of when it has ended.

    Raises:
        MissingExtra: Ray is not installed.
        NotReachable: There is no cluster at the address.
    """
    ray = _started(workers, address)
    try:
        task = ray.remote(num_cpus=1, max_retries=limits.retries)(_execute)
        order = (str(store.path.absolute()), limits, sys.path)
        waiting = {task.remote(id, *order): id for id in ids}
        with noticing() as stop:
            while waiting and not stop.count:
                ready, _ = ray.wait([*waiting], timeout=local.TICK)
                for reference in ready:
                    done(_outcome(ray, reference, store, waiting.pop(reference)))
            for reference in waiting:
                ray.cancel(reference)
            if waiting:
                ray.wait([*waiting], num_returns=len(waiting), timeout=limits.grace)
            stop.raise_if_asked()
    finally:
        ray.shutdown()


def _started(workers: int, address: str | None) -> Any:
    os.environ.update({k: v for k, v in _ENVIRONMENT.items() if k not in os.environ})
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingExtra.of("the engine ray", "ray") from error
    options: dict[str, Any] = {"address": address} if address else {"num_cpus": workers}
    if not address:
        options["include_dashboard"] = False
    try:
        ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise NotReachable(f"no Ray cluster can be used ({error!s:.200}): see --address") from error
    return ray


def _execute(id: str, out: str, limits: Limits, paths: list[str]) -> Outcome:
    """Execute one run; this is what a worker of Ray calls."""
    find_modules_in(paths)
    ended: list[Outcome] = []
    nursery = _idle.pop() if _idle else Nursery()
    try:
        with noticing() as stop:
            local.supervise(
                *(nursery, stop, Store(Path(out)), [id]),
                workers=1,
                limits=limits,
                tell=lambda *_: None,
                done=ended.append,
            )
            stop.raise_if_asked()
    except BaseException:
        nursery.close()
        raise
    _idle.append(nursery)
    return ended[0]


# Of this worker of Ray, for its next run: it takes seconds to start one.
_idle: list[Nursery] = []


def _outcome(ray: Any, reference: Any, store: Store, id: str) -> Outcome:
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        return without_word(store, id, error)
