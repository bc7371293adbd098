"""What processes share that write files in children of their own, for tests that kill them.

Forked after the imports: a child is there in milliseconds. Each line of the input is a command as
JSON: ``["die", ...]`` or ``["loop", ...]``. Each line of the output is the answer: the process id
of a loop, and the exit status.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Collection
from typing import Any


def die_before(deadly: int, calls: Collection[str]) -> None:
    """From now on, kill this process just before the n-th call of these functions of ``os``."""
    count = 0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count == deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return call

    for name in calls:
        setattr(os, name, counted(getattr(os, name)))


def serve(die: Callable[..., None], loop: Callable[..., None]) -> None:
    """Obey the commands on the standard input, each in a child."""
    print("ready", flush=True)
    for line in sys.stdin:
        command, *rest = json.loads(line)
        pid = os.fork()
        if pid == 0:
            (die if command == "die" else loop)(*rest)
            os._exit(0)
        if command == "loop":
            print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
