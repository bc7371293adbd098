"""Which task an agent was trained on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from rltransfer import registry
from rltransfer.agents.sb3.report import Ledger, printable
from rltransfer.agents.sb3.surroundings import stem
from rltransfer.errors import BadArgument

#: What the RL Zoo and the Hub put before the id: "ppo-CartPole-v1.zip".
_ALGORITHM = re.compile(
    r"(?:maskable|recurrent)?_?(?:ppo|a2c|trpo)(?:[-_]?(?:lstm|mask))?[-_]", re.I
)
_ID = re.compile(r"(?:[\w.-]+/)?([A-Za-z][\w.-]*)-v(\d+)")
#: And what it puts after it in the names of folders: "CartPole-v1_2".
_RUN = re.compile(r"_\d+$")


def task_of(path: Path, args: dict[str, Any], given: str | None, ledger: Ledger) -> str:
    """Find out the task, and say where that comes from.

    Args:
        path: The zip.
        args: What ``args.yml`` of the RL Zoo says.
        given: What the user says.
        ledger: Told of the task, and of an id that was replaced.

    Returns:
        A Gymnasium id, or empty where nothing says it.

    Raises:
        BadArgument: ``given`` is no text.
        UnknownName: Gymnasium knows no such task.
    """
    if given is not None:
        return _given(given, ledger)
    trained = args.get("env")
    if isinstance(trained, str) and _ID.fullmatch(trained):
        return _today(trained, "beside the zip", ledger)
    for name, how in ((stem(path), "file name"), (path.parent.name, "folder name")):
        candidate = _RUN.sub("", _ALGORITHM.sub("", name, count=1))
        if _ID.fullmatch(candidate) and newest(candidate) is not None:
            return _today(candidate, how, ledger)
    ledger.note(
        "nothing says which task it was trained on: give it with task='CartPole-v1', say, or "
        "--task CartPole-v1"
    )
    return ""


def newest(id: str) -> str | None:
    """Return the id itself if Gymnasium can make it, else that of the newest version, else None."""
    if id in gym.registry and not _is_gone(gym.registry[id]):
        return id
    base = id.rpartition("-v")[0]
    versions = [
        int(match[2])
        for match in map(_ID.fullmatch, gym.registry)
        if match and match[0].rpartition("-v")[0] == base and not _is_gone(gym.registry[match[0]])
    ]
    return f"{base}-v{max(versions)}" if versions else None


def _version(id: str) -> int:
    match = _ID.fullmatch(id)
    return int(match[2]) if match else 0


def _is_gone(spec: EnvSpec) -> bool:
    """Tell whether an id is kept by Gymnasium for an error message alone, as MuJoCo's v2 and v3."""
    return getattr(spec.entry_point, "__name__", "").startswith("_raise")


def _given(id: Any, ledger: Ledger) -> str:
    if not isinstance(id, str):
        raise BadArgument(f"task={id!r:.60}: expected a Gymnasium id, such as 'CartPole-v1'")
    if ":" in id:  # its module is imported where the task is made, not for its name
        ledger.add("task", id, "given")
        return id
    found = newest(id)
    if found is None or _version(id) > _version(found):
        registry.spec(id)  # which says what was meant
    return _today(id, "given", ledger)


def _today(id: str, how: str, ledger: Ledger) -> str:
    found = newest(id)
    if found is None:
        ledger.note(
            f"Gymnasium knows no {printable(id)} here: register it before you evaluate the agent, "
            "or give another task"
        )
    elif found != id:
        ledger.note(
            f"trained on {id}, which Gymnasium no longer has; its task is {found} now, whose "
            "physics or rewards can differ"
        )
    ledger.add("task", found or id, how)
    return found or id
