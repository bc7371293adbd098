"""A process that saves agents in children of its own, for tests that kill them; see :mod:`deaths`.

``["die", path, agent, n]`` saves and dies just before the n-th call that touches the disk;
``["loop", path]`` saves both agents in turn for ever.
"""

from __future__ import annotations

import sys
from typing import Any

from deaths import die_before, serve

from rltransfer.agents import Agent, bundle, document

CALLS = ("open", "fdopen", "fsync", "replace", "unlink", "close", "scandir")


def main(paths: list[str]) -> None:
    agents: list[tuple[Any, Any]] = [document.write(Agent.read(path)) for path in paths]

    def die(path: str, agent: int, deadly: int) -> None:
        die_before(deadly, CALLS)
        bundle.write(path, *agents[agent])

    def loop(path: str) -> None:
        while True:
            for parts in agents:
                bundle.write(path, *parts)

    serve(die, loop)


if __name__ == "__main__":
    main(sys.argv[1:])
