"""The sound files that hostile ones are made from, trained and saved by Stable-Baselines3.

``python -m hostile.bases FOLDER`` writes them; what differs from run to run (times, addresses,
versions) is made equal, so that a number names the same hostile file everywhere.
"""

from __future__ import annotations

import base64
import fcntl
import functools
import io
import json
import pickle
import random
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hostile import zips

SERIALIZED = ":serialized:"
TENSORS = ("policy.pth", "policy.optimizer.pth", "pytorch_variables.pth")
#: Weights of a few kB, so that most of the time goes into what is hostile.
SMALL = ("box", "discrete", "gsde", "multidiscrete", "normalized", "maskable", "recurrent")
LARGE = ("multibinary", "image", "dict")
_TWICE = 5  # files from small bases for each from a large one


@dataclass(frozen=True, eq=False)
class Base:
    """One agent.

    Attributes:
        name: Its name in ``agent_cases.CASES``.
        members: Members of the zip.
        beside: Files beside the zip: ``vecnormalize.pkl`` where there are statistics.
        own: The two files of our own format.
    """

    name: str
    members: Mapping[str, bytes]
    beside: Mapping[str, bytes]
    own: tuple[bytes, bytes]

    @functools.cached_property
    def fields(self) -> tuple[str, ...]:
        """Names of the pickled fields."""
        return tuple(k for k, v in self.data().items() if isinstance(v, dict) and SERIALIZED in v)

    def data(self) -> dict[str, Any]:
        """Parse the member ``data`` afresh."""
        return json.loads(self.members["data"])

    def pickle(self, field: str) -> bytes:
        return base64.b64decode(self.data()[field][SERIALIZED])

    def files(self, members: Mapping[str, bytes | None] | None = None) -> dict[str, bytes]:
        """Return the zip with some members replaced, or removed if None, and what lies beside."""
        merged = {**self.members, **(members or {})}
        kept = {name: content for name, content in merged.items() if content is not None}
        return {"agent.zip": zips.pack(kept), **self.beside}

    def with_data(self, data: Any) -> dict[str, bytes]:
        """Return the files with other data; bytes are taken as they are."""
        return self.files({"data": data if isinstance(data, bytes) else dump(data)})

    def with_field(self, field: str, content: bytes, *, twin: bool = True) -> dict[str, bytes]:
        """Return the files with another pickle in one field, which may be a new one."""
        data = self.data()
        old = data.get(field)
        rest = old if twin and isinstance(old, dict) else {":type:": "<class 'object'>"}
        data[field] = entry(content, rest)
        return self.with_data(data)


class Bases(dict[str, Base]):
    """All bases, by name."""

    def draw(self, rng: random.Random) -> Base:
        """Choose one, mostly a small one."""
        return self[rng.choice(SMALL * _TWICE + LARGE)]

    def small(self, rng: random.Random) -> Base:
        return self[rng.choice(SMALL)]


def entry(content: bytes, rest: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a pickled field as SB3 writes it, with the rest of an old one."""
    return {**(rest or {}), SERIALIZED: base64.b64encode(content).decode()}


def dump(data: Any) -> bytes:
    return json.dumps(data, indent=4).encode()


def load(folder: Path) -> Bases:
    """Read the bases, and have them made by a process of their own if they are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "bases.pickle").exists():
            here = Path(__file__).parents[1]
            subprocess.run([sys.executable, "-m", "hostile.bases", folder], check=True, cwd=here)
    found = pickle.loads((folder / "bases.pickle").read_bytes())
    return Bases({name: Base(name, *parts) for name, parts in found.items()})


def _main(folder: Path) -> None:
    import torch
    from agent_cases import CASES

    torch.set_num_threads(1)
    found = {name: _parts(CASES[name](), folder) for name in (*SMALL, *LARGE)}
    (folder / "bases.pickle").write_bytes(pickle.dumps(found))


def _parts(model: Any, folder: Path) -> tuple[Any, ...]:
    """Return the members, the files beside and our own files of an agent."""
    from agent_cases import CARD
    from stable_baselines3.common.vec_env import VecNormalize

    from rltransfer.agents import Agent

    model.ep_info_buffer.append({"r": 1.5, "l": 7, "t": 0.25})
    model.ep_success_buffer.append(True)
    model.observation_space.seed(0)
    model.action_space.seed(0)
    content = io.BytesIO()
    model.save(content)
    members = zips.unpack(content.getvalue())
    members["data"] = _steady(members["data"])
    members["system_info.txt"] = b"- OS: Linux\n- Python: 3.11\n- Stable-Baselines3: 2.9.2\n"
    beside = {}
    if isinstance(model.get_env(), VecNormalize):
        model.get_env().save(folder / "vecnormalize.pkl")
        beside["vecnormalize.pkl"] = (folder / "vecnormalize.pkl").read_bytes()
    Agent.from_model(model, card=CARD).save(folder / "own")
    own = tuple((folder / f"own{suffix}").read_bytes() for suffix in (".safetensors", ".json"))
    return members, beside, own


def _steady(data: bytes) -> bytes:
    """Make equal what differs between two runs."""
    text = re.sub(rb"0x[0-9a-f]{8,}", b"0x7f0000000000", data)
    return re.sub(rb'"start_time": \d+', b'"start_time": 1700000000000000000', text)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
