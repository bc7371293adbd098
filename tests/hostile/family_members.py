"""Members that were changed and then packed again, with right CRCs and sizes."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable

from hostile import bases as b
from hostile import edits, zips
from hostile.bases import Base, Bases
from hostile.samples import Sample, family
from hostile.shapes import SHAPES


@family(200, 1500)
def member_flips(bases: Bases, rng: random.Random, index: int) -> Sample:
    base = bases.small(rng)
    name = rng.choice(list(base.members))
    change = rng.choice((edits.flip, edits.flip, edits.cut))
    return Sample(base.files({name: change(base.members[name], rng)}), note=f"{base.name}, {name}")


@family(200, 1500)
def tensor_member_flips(bases: Bases, rng: random.Random, index: int) -> Sample:
    """Members of the archives of tensors."""
    base, name = bases.draw(rng), rng.choice(b.TENSORS)
    members = zips.unpack(base.members[name])
    inner = next(n for n in members if n.endswith("data.pkl"))
    inner = rng.choice((inner, rng.choice(list(members))))
    members[inner] = rng.choice((edits.flip, edits.flip, edits.cut))(members[inner], rng)
    return Sample(base.files({name: zips.pack(members)}), note=f"{base.name}, {name}, {inner}")


@family(300, 2500)
def tensor_pickles(bases: Bases, rng: random.Random, index: int) -> Sample:
    """Changed instructions in the archives of tensors."""
    base, name = bases.draw(rng), rng.choice(b.TENSORS[:2] * 2 + b.TENSORS)
    return Sample(
        base.files({name: with_pickle(base, name, lambda old: edits.edit(old, rng))}),
        note=f"{base.name}, {name}",
    )


def with_pickle(base: Base, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """Return an archive of tensors with its pickle changed."""
    members = zips.unpack(base.members[name])
    inner = next(n for n in members if n.endswith("data.pkl"))
    return zips.pack({**members, inner: change(members[inner])})


def _field(base: Base, rng: random.Random) -> str:
    """Choose a pickled field, mostly one that an import needs."""
    needed = ("observation_space", "action_space", "policy_kwargs", "lr_schedule", "policy_class")
    return rng.choice([f for f in base.fields if f in needed] + list(base.fields))


@family(400, 2500)
def pickle_flips(bases: Bases, rng: random.Random, index: int) -> Sample:
    """Changed bytes of the pickles in the fields."""
    base = bases.small(rng)
    field = _field(base, rng)
    content = rng.choice((edits.flip, edits.flip, edits.cut))(base.pickle(field), rng)
    return Sample(
        base.with_field(field, content, twin=rng.random() < 0.7), note=f"{base.name}, {field}"
    )


@family(800, 5000)
def pickle_edits(bases: Bases, rng: random.Random, index: int) -> Sample:
    """Changed instructions of the pickles in the fields."""
    base = bases.draw(rng)
    field = _field(base, rng)
    content = edits.edit(base.pickle(field), rng)
    return Sample(
        base.with_field(field, content, twin=rng.random() < 0.5), note=f"{base.name}, {field}"
    )


@family(300, 2000)
def pickle_streams(bases: Bases, rng: random.Random, index: int) -> Sample:
    """Random instructions."""
    base = bases.small(rng)
    field, content = _field(base, rng), edits.stream(rng)
    return Sample(base.with_field(field, content, twin=False), note=f"{base.name}, {field}")


_PLACES = (
    *("observation_space", "action_space", "policy_kwargs", "lr_schedule", "learning_rate"),
    *("policy_class", "clip_range", "_last_original_obs", "ep_info_buffer", "unknown_field"),
    *("policy.pth", "policy.optimizer.pth", "vecnormalize.pkl"),
)
_SHAPES = list(SHAPES)


@family(len(_SHAPES) * 5, len(_SHAPES) * len(_PLACES))
def pickle_shapes(bases: Bases, rng: random.Random, index: int) -> Sample:
    """Pickles that hurt some readers, wherever a pickle is read."""
    shape = _SHAPES[index % len(_SHAPES)]
    place = _PLACES[(index // len(_SHAPES) * 5 + index) % len(_PLACES)]
    content, note = SHAPES[shape](), f"{shape} in {place}"
    if place == "vecnormalize.pkl":
        return Sample({**bases["normalized"].files(), place: content}, note=note)
    base = bases.small(rng)
    if place.endswith(".pth"):
        return Sample(base.files({place: with_pickle(base, place, lambda _: content)}), note=note)
    return Sample(base.with_field(place, content, twin=rng.random() < 0.5), note=note)


@family(40, 200)
def base64_texts(bases: Bases, rng: random.Random, index: int) -> Sample:
    """What should be base64 and is not, or hardly."""
    base = bases.small(rng)
    field, data = _field(base, rng), base.data()
    good = data[field][b.SERIALIZED]
    texts = (
        *("", "=", "A", "====", good[:-1], good + "=", good + "\n", " " + good, good * 2, "é" * 40),
        *(good.replace("A", "-"), good.lower(), "\ud800", "A" * 3_000_000, "\u0661" * 8, good[:7]),
        *(None, 1, [], {}, [good], {b.SERIALIZED: good}, True, -1.5),
        base64.b85encode(base.pickle(field)).decode(),
    )
    data[field][b.SERIALIZED] = texts[index % len(texts)]
    return Sample(base.with_data(data), note=f"{base.name}, {field}, text {index % len(texts)}")
