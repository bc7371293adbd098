"""A process that saves agents in children of its own, for tests that kill them.

Forked after the imports: a child is there in milliseconds. Each line of the input is a command as
JSON: ``["die", path, agent, n]`` saves and dies just before the n-th call that touches the disk;
``["loop", path]`` saves both agents in turn for ever. Each line of the output is the answer: the
exit status, or the process id.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from rltransfer.agents import Agent, bundle, document

CALLS = ("open", "fdopen", "fsync", "replace", "unlink", "close", "scandir")


def die(parts: tuple[Any, Any], path: str, deadly: int) -> None:
    count = 0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count == deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return call

    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))
    bundle.write(path, *parts)


def loop(agents: list[tuple[Any, Any]], path: str) -> None:
    while True:
        for parts in agents:
            bundle.write(path, *parts)


def main(paths: list[str]) -> None:
    agents = [document.write(Agent.read(path)) for path in paths]
    print("ready", flush=True)
    for line in sys.stdin:
        command, path, *rest = json.loads(line)
        pid = os.fork()
        if pid == 0:
            if command == "die":
                die(agents[rest[0]], path, rest[1])
            else:
                loop(agents, path)
            os._exit(0)
        if command == "loop":
            print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
