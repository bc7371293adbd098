"""The progress of a sweep as TensorBoard's curves."""

from __future__ import annotations

import math
import time
from pathlib import Path

from rltransfer.cli.tally import Tally
from rltransfer.experiments import folders

EVERY_SECONDS = 5.0


class SweepEvents:
    """Writes how far a sweep is, against the seconds since it began.

    Each start of a sweep is a curve of its own: ``<folder>/1``, ``<folder>/2`` and so on. The tags
    are ``sweep/runs_done`` (with those that were found), ``sweep/runs_failed``,
    ``sweep/steps_per_second`` of all runs together, and ``sweep/eta_minutes``.

    Args:
        folder: Where the numbered folders go; it is made.

    Raises:
        NotWritable: Nothing can be written there.
    """

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self._writer = SummaryWriter(str(_next(folder)))
        self._written = -math.inf

    def note(self, tally: Tally, *, now: bool = False) -> None:
        """Write a point, at most one every few seconds unless it is asked for ``now``."""
        if not now and time.monotonic() - self._written < EVERY_SECONDS:
            return
        self._written = time.monotonic()
        counts = tally.counts
        points = {
            "runs_done": counts["done"] + counts["reused"],
            "runs_failed": tally.failed,
            "steps_per_second": tally.speed,
            "eta_minutes": tally.left / 60,
        }
        for name, value in points.items():
            if not math.isnan(value):
                self._writer.add_scalar(f"sweep/{name}", value, round(tally.elapsed))

    def close(self) -> None:
        """Write what is not written yet, and end."""
        self._writer.close()


def _next(folder: Path) -> Path:
    """Make the first numbered folder that nobody has made."""
    number = 1
    while True:
        try:
            (folder / str(number)).mkdir(parents=True)
        except FileExistsError:
            if not folder.is_dir():
                raise folders.not_writable(folder, NotADirectoryError("it is a file")) from None
            number += 1
        except OSError as error:
            raise folders.not_writable(folder, error) from error
        else:
            return folder / str(number)
