"""A process that writes checkpoints in children of its own, for tests that kill them.

Each line of the input is a command as JSON: ``["die", folder, n]`` writes one checkpoint and dies
just before the n-th call that touches the disk; ``["loop", folder, part]`` writes checkpoints for
ever, from that part on. Each line of the output is the answer: the process id of a loop, and the
exit status.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from signal import SIGKILL
from typing import Any

import torch

from rltransfer.experiments.checkpoints import Checkpoint, Checkpoints

CALLS = ("open", "fdopen", "fsync", "replace", "unlink", "close", "scandir", "listdir")
RUN = "0123456789abcdef0123"


def checkpoint(part: int, size: int = 40_000) -> Checkpoint:
    """A checkpoint whose content follows from its part."""
    tensors = {"weights": torch.full((size,), float(part)), "steps": torch.tensor([part])}
    return Checkpoint(run=RUN, part=part, tensors=tensors, state={"part": part})


def _die(folder: Path, deadly: int) -> None:
    made = 0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal made
            made += 1
            if made == deadly:
                os.kill(os.getpid(), SIGKILL)
            return function(*args, **kwargs)

        return call

    prepared = checkpoint(3)
    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))
    Checkpoints(folder, RUN).save(prepared)


def _loop(folder: Path, first: int) -> None:
    for part in count(first):
        Checkpoints(folder, RUN).save(checkpoint(part))


def main() -> None:
    torch.set_num_threads(1)
    print("ready", flush=True)
    for line in sys.stdin:
        command, folder, number = json.loads(line)
        pid = os.fork()
        if pid == 0:
            (_die if command == "die" else _loop)(Path(folder), number)
            os._exit(0)
        if command == "loop":
            print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
