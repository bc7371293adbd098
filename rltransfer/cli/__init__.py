"""The ``rltransfer`` command."""

from __future__ import annotations

import os
import shlex
import sys

from rltransfer.cli.commands import pretrain
from rltransfer.cli.parser import build_parser
from rltransfer.errors import Interrupted, TransferError, printable

__all__ = ["build_parser", "main"]


def main(argv: list[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Arguments after the program's name; the process's own by default.

    Returns:
        Exit code: 0 when all went well, 1 for an error that the message explains, 2 for a command
        line that makes no sense, 130 after Ctrl-C, 143 after SIGTERM.
    """
    # So that `my_tasks:my/Pole-v0` finds my_tasks.py in the folder where the user stands.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    given = sys.argv[1:] if argv is None else argv
    args = build_parser().parse_args(given)
    args.command_line = shlex.join(["rltransfer", *given])
    try:
        code = args.command(args)
        sys.stdout.flush()
        return code
    except Interrupted as error:
        print(_line(error), file=sys.stderr)
        return 128 + error.signal
    except TransferError as error:
        print(f"error: {_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        kept = "nothing was written" if args.command is pretrain else "finished runs are kept"
        print(f"interrupted; {kept}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough. Python would complain when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _line(error: TransferError) -> str:
    return printable(" ".join(str(error).split()))


if __name__ == "__main__":
    sys.exit(main())
