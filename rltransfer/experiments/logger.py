"""TensorBoard's events of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat
from torch.utils.tensorboard import SummaryWriter

from rltransfer.agents.files import writing
from rltransfer.experiments import folders


class Events(TensorBoardOutputFormat):
    """Writes the events of one run, or of the rest of one.

    Args:
        folder: Where they go; it is created.
        after: Last step whose events were written before and still hold. Later ones, which an
            attempt that was interrupted has left, are hidden by TensorBoard; None for a new run.

    Raises:
        NotWritable: The disk is full, ..., here and at each call.
    """

    def __init__(self, folder: Path, after: int | None = None) -> None:
        self._folder = folder
        self._is_closed = False
        folders.create(folder)
        with writing(folder):
            purged = None if after is None else after + 1
            self.writer = SummaryWriter(log_dir=str(folder), purge_step=purged)

    def write(
        self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0
    ) -> None:
        """Write the values of one moment."""
        with writing(self._folder):
            super().write(key_values, key_excluded, step)

    def close(self) -> None:
        """Write what is left."""
        with writing(self._folder):
            super().close()


def logger(folder: Path | None, after: int | None = None) -> Logger:
    """Make the logger of a run.

    Args:
        folder: Where TensorBoard's events go; None for nowhere.
        after: See :class:`Events`.

    Raises:
        NotWritable: The folder cannot be written.
    """
    if folder is None:
        return Logger(folder=None, output_formats=[])
    return Logger(folder=str(folder), output_formats=[Events(folder, after)])
