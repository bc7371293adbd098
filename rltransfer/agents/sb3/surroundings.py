"""What lies beside a zip: the RL Zoo's notes on the training, and statistics."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rltransfer.agents import checks
from rltransfer.agents.normalization import Normalization
from rltransfer.agents.sb3 import names, statistics, yamlfile
from rltransfer.agents.sb3.report import Ledger, printable
from rltransfer.errors import BadArgument, BadCheckpoint

_STATISTICS = ("vecnormalize.pkl", "vec_normalize.pkl")
#: Of a task, as the name of a folder; to ask for a longer one is an error of its own.
_FOLDER = re.compile(r"[A-Za-z0-9_-]{1,100}")
#: What the RL Zoo may have put around the task, by the name in its config.yml.
_WRAPPING = ("env_wrapper", "vec_env_wrapper", "frame_stack")

_CHECKPOINT = re.compile(r"(.+)_(\d+)_steps")
_LOOKED_AT, _LISTED = 1000, 5


@dataclass(frozen=True)
class Surroundings:
    """What was found beside a zip.

    Attributes:
        path: The zip.
        args: Arguments of the training, as of ``args.yml``.
        config: Hyperparameters of the training, as of ``config.yml``.
    """

    path: Path
    args: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)


def stem(path: Path) -> str:
    """Name of a zip without its suffix; what is after another point belongs to the name."""
    return path.name.removesuffix(".zip")


def look(path: Path, ledger: Ledger) -> Surroundings:
    """Read ``args.yml`` and ``config.yml``, in the folder of the zip or in one below."""
    found = {name: _notes(path, f"{name}.yml", ledger) for name in ("args", "config")}
    surroundings = Surroundings(path, **found)
    for name in _WRAPPING:
        value = surroundings.config.get(name)
        if value:
            ledger.note(
                f"trained with {name}: {printable(value, 120)}; put the same around the task "
                "before you evaluate it"
            )
    if surroundings.args.get("env_kwargs"):
        shown = printable(surroundings.args["env_kwargs"], 120)
        ledger.note(f"the task was made with the arguments {shown}")
    return surroundings


def normalization(
    where: Surroundings,
    given: str | Path | bool | None,
    trained: bool | None,
    space: Any,
    ledger: Ledger,
) -> Normalization | None:
    """Find and read the statistics that belong to an agent.

    Args:
        where: The zip, and what lies beside it.
        given: Their path; False for an agent to be used without; None or True to look for them.
        trained: Whether the zip says that the agent was trained normalized; None if it does not.
        space: What the policy observes.
        ledger: Told of what was read.

    Raises:
        BadArgument: ``given`` is none of these.
        BadCheckpoint: They are missing, ambiguous, malformed, or of other observations.
    """
    wanted = given is True or trained is True or _says_normalized(where.config)
    if given is False:
        if wanted:
            ledger.note(
                "trained on normalized observations or rewards, and used without their statistics, "
                "as you asked: it may play much worse"
            )
        ledger.add("normalization", "none", "given")
        return None
    if isinstance(given, str | Path):
        return _read(Path(given).expanduser(), "given", space, ledger)
    if given not in (None, True):
        raise BadArgument(f"normalization={given!r:.60}: expected a path, True, False or None")
    found = list(dict.fromkeys(_candidates(where)))
    # A zip that was saved where there was no environment, as ours are, says nothing of the training
    # either; statistics that bear its name are its own.
    if not wanted and trained is False and found != [_own_statistics(where.path)]:
        for path in found:
            ledger.note(
                f"{path.name} beside it was not read, as the zip says that it was trained without; "
                "normalization=PATH reads it"
            )
        found = []
    if len(found) > 1:
        listed = ", ".join(str(path) for path in found)
        raise BadCheckpoint(f"several statistics may belong to it: {listed}; {_cure(where.path)}")
    if found:
        return _read(found[0], "beside the zip", space, ledger)
    if wanted:
        raise BadCheckpoint(
            "it was trained on normalized observations or rewards, and no statistics lie beside it "
            f"(vecnormalize.pkl, say){_nearby(where.path)}: {_cure(where.path)}"
        )
    ledger.add("normalization", "none", "plain" if trained is False else "default")
    return None


def check_there(path: Path) -> None:
    """Say what lies where a file is missing.

    Raises:
        BadCheckpoint: There is no such file.
    """
    if path.exists():
        return
    zips = _listed(path.parent, ".zip")
    there = f"in {path.parent} there is {', '.join(zips)}" if zips else "no zip is in that folder"
    raise BadCheckpoint(
        f"cannot be read: no such file; {there}; expected the path of what model.save wrote"
    )


def _cure(path: Path) -> str:
    return (
        f"`rltransfer import {printable(path.name, 200)} --out NAME --normalization PATH` first, "
        "or give normalization=PATH in Python; to go without, --no-normalization or "
        "normalization=False"
    )


def _nearby(path: Path) -> str:
    """List the pickles that lie beside a zip under other names."""
    found = _listed(path.parent, ".pkl")
    return f", but {', '.join(found)}, which may be them" if found else ""


def _listed(folder: Path, suffix: str) -> list[str]:
    """Names in a folder with that suffix, a few of them, however many there are."""
    try:
        names = [part.name for part in itertools.islice(folder.iterdir(), _LOOKED_AT)]
    except OSError:
        return []
    return [printable(name, 80) for name in sorted(names) if name.endswith(suffix)][:_LISTED]


def _says_normalized(config: Mapping[str, Any]) -> bool:
    """Tell what ``normalize`` of the RL Zoo means: true, or text such as "dict(norm_obs=True)"."""
    value = config.get("normalize")
    return bool(value) and str(value).strip().lower() not in ("false", "none", "0")


def _notes(path: Path, name: str, ledger: Ledger) -> dict[str, Any]:
    found = [folder / name for folder in _folders(path) if (folder / name).is_file()]
    if not found:
        return {}
    try:
        return yamlfile.read(found[0])
    except BadCheckpoint as error:
        ledger.note(f"not read: {error}")
        return {}


def _folders(path: Path) -> list[Path]:
    """The folder of the zip, and those below where the RL Zoo keeps what belongs to a task."""
    folder = path.parent
    below = {stem(path), folder.name, folder.name.rpartition("_")[0]} - {""}
    return [folder, *(folder / name for name in sorted(below) if (folder / name).is_dir())]


def _own_statistics(path: Path) -> Path:
    """Where :meth:`Agent.to_sb3` puts the statistics of a zip."""
    return path.with_name(f"{stem(path)}.vecnormalize.pkl")


def _checkpoint_statistics(path: Path) -> Path | None:
    """Where ``CheckpointCallback`` of SB3 puts the statistics of the same moment, if it does."""
    match = _CHECKPOINT.fullmatch(stem(path))
    return match and path.with_name(f"{match[1]}_vecnormalize_{match[2]}_steps.pkl")


def _candidates(where: Surroundings) -> Iterator[Path]:
    for own in (_own_statistics(where.path), _checkpoint_statistics(where.path)):
        if own is not None and own.is_file():
            # Named after the zip: whatever else lies there belongs to others.
            yield own
            return
    folders = _folders(where.path)
    task = where.args.get("env")
    if isinstance(task, str) and _FOLDER.fullmatch(task):
        folders.append(where.path.parent / task)
    for folder in folders:
        yield from (folder / name for name in _STATISTICS if (folder / name).is_file())


def _read(path: Path, how: str, space: Any, ledger: Ledger) -> Normalization:
    found, named = statistics.read(path)
    misfit = checks.misfit(found, space)
    if misfit is not None:
        raise BadCheckpoint(f"{path}: {misfit}: are the statistics of another task?")
    for name in named:
        if not names.is_known(name):
            ledger.name(name.path)
    parts = [name for name, on in (("observations", found.obs), ("rewards", found.reward)) if on]
    ledger.add("normalization", f"{path.name}: {' and '.join(parts) or 'nothing'}", how)
    return found
