"""Sound files: what was built to read hostile files must also be seen to read these."""

from __future__ import annotations

import pickle
import random

from hostile import bases as b
from hostile import opcodes, zips
from hostile.bases import Bases
from hostile.observer import sound
from hostile.samples import Sample, family

_NAMES = (*b.SMALL, *b.LARGE)


@family(len(_NAMES) * 2)
def sound_files(bases: Bases, rng: random.Random, index: int) -> Sample:
    return sound(bases, _NAMES[index % len(_NAMES)], own=index >= len(_NAMES))


def _deflated(base: b.Base) -> dict[str, bytes]:
    entries = zips.entries(base.members)
    for entry in entries:
        entry.method = 8
    return {**base.files(), "agent.zip": zips.write(entries)}


def _unframed(base: b.Base) -> dict[str, bytes]:
    """Pickles without frames, which every second reader takes."""
    data = base.data()
    for field in base.fields:
        code = b"".join(opcodes.split(base.pickle(field)))
        data[field] = b.entry(code, data[field])
    return base.with_data(data)


def _other_protocol(base: b.Base, protocol: int) -> dict[str, bytes]:
    data = base.data()
    for field in ("observation_space", "action_space", "ep_info_buffer"):
        again = pickle.dumps(pickle.loads(base.pickle(field)), protocol=protocol)
        data[field] = b.entry(again, data[field])
    return base.with_data(data)


@family(len(_NAMES) * 4)
def rewritten(bases: Bases, rng: random.Random, index: int) -> Sample:
    """The same agents, written in another way."""
    base, way = bases[_NAMES[index % len(_NAMES)]], index // len(_NAMES)
    files = (
        lambda: _deflated(base),
        lambda: _unframed(base),
        lambda: _other_protocol(base, 2),
        lambda: _other_protocol(base, 5),
    )[way]()
    return Sample(files, expect="loads", note=f"{base.name}, way {way}")
