"""Whether an agent can have been trained on the task that the user names."""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

from gymnasium import spaces

from rltransfer import registry
from rltransfer.agents.sb3.report import Ledger, printable
from rltransfer.errors import TransferError


def compare(task: str, observations: spaces.Space, actions: spaces.Space, ledger: Ledger) -> None:
    """Note that a task has other spaces than an agent, which wrappers can be the reason of.

    Args:
        task: Gymnasium id; one with a module is not looked at, as that would import it.
        observations: What the agent observes.
        actions: What it does.
        ledger: Told of a difference.
    """
    if ":" in task:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old versions; whoever makes it to use it, is told
        try:
            env = registry.make(task)
        except TransferError:  # such as a package that is not installed: making it says so
            return
    found = [getattr(env, name, None) for name in ("observation_space", "action_space")]
    wanted = (observations, actions)
    with contextlib.suppress(Exception):
        env.close()
    for what, ours, theirs in zip(("observations", "actions"), wanted, found, strict=True):
        if not _alike(ours, theirs):
            ledger.note(
                f"{task} has {what} {printable(theirs, 120)}, but the agent has "
                f"{printable(ours, 120)}: was it trained on another task, or are wrappers missing"
            )


def _alike(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, spaces.Box) and len(ours.shape) == 3:
        return True  # images come cropped, scaled, stacked, and with their channels first
    if type(ours) is not type(theirs) or ours.shape != theirs.shape:
        return False
    return not isinstance(ours, spaces.Discrete) or ours.n == theirs.n
