"""A process that writes checkpoints in children of its own, for tests that kill them.

See :mod:`deaths`. ``["die", folder, n]`` writes one checkpoint and dies just before the n-th call
that touches the disk; ``["loop", folder, part]`` writes checkpoints for ever, from that part on.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path

import torch
from deaths import die_before, serve

from rltransfer.experiments.checkpoints import Checkpoint, Checkpoints

CALLS = ("open", "fdopen", "fsync", "replace", "unlink", "close", "scandir", "listdir")
RUN = "0123456789abcdef0123"


def checkpoint(part: int, size: int = 40_000) -> Checkpoint:
    """A checkpoint whose content follows from its part."""
    tensors = {"weights": torch.full((size,), float(part)), "steps": torch.tensor([part])}
    return Checkpoint(run=RUN, part=part, tensors=tensors, state={"part": part})


def _die(folder: str, deadly: int) -> None:
    prepared = checkpoint(3)
    die_before(deadly, CALLS)
    Checkpoints(Path(folder), RUN).save(prepared)


def _loop(folder: str, first: int) -> None:
    for part in count(first):
        Checkpoints(Path(folder), RUN).save(checkpoint(part))


if __name__ == "__main__":
    torch.set_num_threads(1)
    serve(_die, _loop)
