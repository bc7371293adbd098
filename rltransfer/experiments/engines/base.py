"""What every engine is: a courier, as what is asked and what came out are in the store."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Protocol

from rltransfer.experiments.engines.limits import Limits
from rltransfer.experiments.outcome import Outcome
from rltransfer.experiments.store import Store

# Called with the id of a run and the steps that are done, and with how a run ended.
Tell = Callable[[str, int], None]
Done = Callable[[Outcome], None]


class Engine(Protocol):
    """Executes runs."""

    def __call__(
        self,
        store: Store,
        ids: Sequence[str],
        *,
        workers: int,
        limits: Limits,
        tell: Tell,
        done: Done,
        address: str | None,
    ) -> None:
        """Execute the requests of a store.

        Args:
            store: The store, which the workers must reach under the same path.
            ids: Runs to execute, in the order of their importance.
            workers: Runs at a time.
            limits: What each may take.
            tell: Called as they proceed, where the engine hears of it.
            done: Called once for each run, when it has ended for good.
            address: Of the cluster, for engines that have one.

        Raises:
            KeyboardInterrupt: After Ctrl-C.
            Interrupted: After SIGTERM.
        """
        ...


def without_word(store: Store, id: str, error: Exception) -> Outcome:
    """Say how a run ended whose worker could not say it: done if its result is there, or lost.

    Args:
        store: Where its result would be.
        id: Id of the run.
        error: What the cluster says of its worker.
    """
    status = "done" if store.result(id).exists() else "lost"
    message = "" if status == "done" else f"{type(error).__name__}: {error!s:.300}"
    return Outcome(id=id, name=store.request(id).name, status=status, message=message)


def find_modules_in(paths: Sequence[str]) -> None:
    """Let this worker of a cluster import what the process could that sent it a run."""
    sys.path += [path for path in paths if path not in sys.path]
