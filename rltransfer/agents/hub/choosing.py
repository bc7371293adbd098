"""Which files of a repository make up the agent, and how large each may be."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePosixPath

from rltransfer.agents.hub.reference import Reference, is_safe
from rltransfer.errors import BadArgument, BadCheckpoint, UnknownName, suggest

_MIB = 2**20
#: Largest file of each kind that is downloaded, in bytes.
LIMITS = {
    ".safetensors": 512 * _MIB,
    ".zip": 512 * _MIB,
    ".json": 64 * _MIB,
    ".pkl": 64 * _MIB,
    ".yml": _MIB,
}
#: Small files beside a zip that say how it was trained.
COMPANIONS = ("vec_normalize.pkl", "vecnormalize.pkl", "args.yml", "config.yml")
# What the RL Zoo uploads beside its agents: evaluations and monitor files.
_NO_AGENTS = ("train_eval_metrics.zip",)
_SUFFIXES = (".safetensors", ".json", ".zip")


@dataclass(frozen=True)
class Choice:
    """An agent in a repository.

    Attributes:
        main: The file that is read: a ``.safetensors`` (with its ``.json``) or a ``.zip``.
        files: Every file that is needed, ``main`` included.
    """

    main: str
    files: tuple[str, ...]

    @property
    def is_zip(self) -> bool:
        """Whether it is a zip of Stable-Baselines3."""
        return self.main.endswith(".zip")


def choose(names: Collection[str], reference: Reference) -> Choice:
    """Choose the agent among the files of a repository.

    Args:
        names: The names of the files, as the server gives them.
        reference: What the user asked for.

    Raises:
        BadArgument: The file that was asked for is of another kind.
        BadCheckpoint: There is no agent, or there are several, or a name is unsafe.
        UnknownName: The file that was asked for is not there.
    """
    zips, pairs = _agents(names)
    if reference.filename:
        main = _asked(reference.filename, [*pairs, *zips])
    else:
        main = _only(pairs or zips, reference)
    if main in pairs:
        return Choice(main, (main, _text(main)))
    beside = [PurePosixPath(main).with_suffix(".vecnormalize.pkl").name, *COMPANIONS]
    folder = PurePosixPath(main).parent
    found = [str(folder / name) for name in beside if str(folder / name) in names]
    return Choice(main, (main, *found))


def check_size(name: str, size: int) -> None:
    """Refuse a file that is larger than one of its kind has to be.

    Raises:
        BadCheckpoint: It is larger, or not of a kind that agents are made of.
    """
    limit = LIMITS.get(PurePosixPath(name).suffix)
    if limit is None:
        raise BadCheckpoint(f"{name!r:.120} is no kind of file that agents are made of")
    if size > limit:
        raise BadCheckpoint(
            f"{name} has {size:,} bytes: of such a file no more than {limit:,} are downloaded"
        )


def _agents(names: Collection[str]) -> tuple[list[str], list[str]]:
    """The zips, and the tensor files of our own format."""
    zips = sorted(
        name
        for name in names
        if name.endswith(".zip") and PurePosixPath(name).name not in _NO_AGENTS
    )
    pairs = sorted(n for n in names if n.endswith(".safetensors") and _text(n) in names)
    for name in (*zips, *pairs):
        if not is_safe(name):
            raise BadCheckpoint(f"the repository holds the unsafe file name {name!r:.120}")
    return zips, pairs


def _text(tensors: str) -> str:
    return tensors.removesuffix(".safetensors") + ".json"


def _asked(filename: str, agents: list[str]) -> str:
    suffix = PurePosixPath(filename).suffix
    wanted = filename.removesuffix(".json") if suffix == ".json" else filename
    for name in (wanted, wanted + ".safetensors", wanted + ".zip"):
        if name in agents:
            return name
    if suffix in LIMITS and suffix not in _SUFFIXES:
        raise BadArgument(f":{filename} is no agent: expected one of {', '.join(agents)}")
    raise UnknownName(suggest(filename, agents, kind="agent of the repository"))


def _only(agents: list[str], reference: Reference) -> str:
    if len(agents) == 1:
        return agents[0]
    if not agents:
        raise BadCheckpoint(
            f"{reference} holds no agent: expected NAME.safetensors and NAME.json, or a .zip of "
            "Stable-Baselines3"
        )
    raise BadCheckpoint(
        f"{reference} holds {len(agents)} agents: name one, such as {reference}:{agents[0]}; "
        f"there are {', '.join(agents[:20])}{' and more' if len(agents) > 20 else ''}"
    )
