"""The error of an environment that broke its contract, with what is needed to see it again."""

from __future__ import annotations

import math
import traceback
from typing import Any

import numpy as np

from rltransfer.errors import BadEnvironment

# What is kept of the traceback of an environment's own error.
_LONGEST = 4000


def broken(
    task: str,
    index: int | None,
    step: int,
    action: Any,
    problem: str,
    *,
    seed: int | None = None,
    episode: int | None = None,
    cause: BaseException | None = None,
) -> BadEnvironment:
    """Build the error of an environment that broke its contract.

    Args:
        task: Its task id.
        index: Its place in the vector; None if it cannot be told from its neighbours.
        step: Steps since its reset; 0 is the reset itself.
        action: The action taken; not shown for a reset.
        problem: What is wrong.
        seed: What it was last seeded with, if that is known.
        episode: Episodes since then, this one included.
        cause: What the environment raised. Its traceback is kept in the details, because it does
            not come through a pipe with the error.
    """
    who = "" if index is None else f", environment {index}"
    when = f"at step {step} after action {_short(action)}" if step else "at reset"
    origin = "" if seed is None else f" (seed {seed}, episode {episode})"
    details = {
        "task": task,
        "index": index,
        "step": step,
        "seed": seed,
        "episode": episode,
        "action": plain(action) if step else None,
        "problem": problem,
    }
    if cause is not None:
        details["traceback"] = "".join(traceback.format_exception(cause))[-_LONGEST:]
    return BadEnvironment(
        f"{task}{who}, {when}: {problem}{origin};"
        f" mend the environment, and try it with `rltransfer check {task}`",
        details=details,
    )


def plain(value: Any) -> Any:
    """Turn an action into JSON data: numbers and lists of them; text where a number is no JSON.

    Args:
        value: A number, an array, or dicts and tuples of them.
    """
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [plain(part) for part in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)


def one_line(error: BaseException) -> str:
    """Kind and message of an error on one line, such as ``"KeyError: 'motor'"``."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def shown(value: Any) -> str:
    """Show a value that an environment returned, on one line and no longer than that."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def _short(action: Any) -> str:
    return " ".join(np.array2string(np.asarray(action), threshold=8, separator=", ").split())
