"""A fine-tuning in a process of its own, for tests that kill it.

The arguments are the seconds of grace, the step after whose report it waits to be killed, and JSON:
the arguments of ``finetune``. Each report is a line of the output. SIGTERM and SIGINT end it as
they end the command.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch

from rltransfer.agents import Agent
from rltransfer.errors import Interrupted
from rltransfer.experiments.finetuning import finetune
from rltransfer.experiments.run import close
from rltransfer.experiments.signals import catching


def main(grace: str, last: str, text: str) -> int:
    torch.set_num_threads(1)

    def report(done: int, total: int) -> None:
        print(done, flush=True)
        while done >= float(last):
            time.sleep(1)

    given = json.loads(text)
    source = Agent.read(given.pop("source"))
    with catching(float(grace)) as stop:
        try:
            done = finetune(source, report=report, stop=stop, **given)
        except Interrupted as error:
            print(error, file=sys.stderr)
            return 128 + error.signal
    close(done.model)
    Path(given["out"], "finished").touch()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
