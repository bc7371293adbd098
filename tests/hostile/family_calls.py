"""Calls of dangerous functions, wherever a pickle is read."""

from __future__ import annotations

import random

from hostile import bases as b
from hostile import opcodes
from hostile.bases import Base, Bases
from hostile.family_members import with_pickle
from hostile.payloads import CALLS, ENCODINGS
from hostile.samples import Sample, family

#: All fields that SB3 pickles or may pickle, plain ones that could be, and unknown ones.
FIELDS = (
    *("policy_class", "policy_kwargs", "learning_rate", "observation_space", "action_space"),
    *("lr_schedule", "clip_range", "clip_range_vf", "rollout_buffer_class", "ep_info_buffer"),
    *("ep_success_buffer", "_last_obs", "_last_episode_starts", "_last_original_obs"),
)
OTHERS = (
    *("unknown_field", "__class__", "__reduce__", "predict", "n_steps", "gamma", "use_sde", "seed"),
    *("batch_size", "n_epochs", "n_envs", "num_timesteps", "ent_coef", "vf_coef", "target_kl"),
    *("tensorboard_log", "action_noise", "replay_buffer_class", "rollout_buffer_kwargs", "device"),
    *("max_grad_norm", "gae_lambda", "normalize_advantage", "sde_sample_freq", "start_time"),
    *("_n_updates", "_total_timesteps", "_current_progress_remaining", "verbose", "_logger"),
)
_ENCODINGS = list(ENCODINGS)


def _whole(call: bytes, valid: tuple[bytes, ...], rng: random.Random) -> bytes:
    return opcodes.join(call, protocol=rng.choice((None, 2, 4)))


def _before(call: bytes, valid: tuple[bytes, ...], rng: random.Random) -> bytes:
    """The result is thrown away, and what follows is what should be there."""
    return b"".join([valid[0], call, b"0", *valid[1:]])


def _within(call: bytes, valid: tuple[bytes, ...], rng: random.Random) -> bytes:
    at = rng.randrange(1, len(valid))
    return b"".join([*valid[:at], call, b"0", *valid[at:]])


def _instead(call: bytes, valid: tuple[bytes, ...], rng: random.Random) -> bytes:
    """In place of one value within the object."""
    values = [i for i, part in enumerate(valid) if part[:1] in b"NKJM\x8cX\x88\x89G)]}C\x96"]
    at = rng.choice(values or [0])
    return b"".join([*valid[:at], call, *valid[at + 1 :]])


def _after(call: bytes, valid: tuple[bytes, ...], rng: random.Random) -> bytes:
    """The object is made, and then replaced by the result."""
    return b"".join([*valid[:-1], b"0", call, b"."])


_PLACEMENTS = (_whole, _before, _within, _instead, _after)


def _code(index: int, choices: int) -> tuple[str, bytes]:
    """Choose a call and how it is said, so that each call meets each way in turn."""
    module, function, args = CALLS[index % len(CALLS)]
    turn = index // len(CALLS)
    way = _ENCODINGS[(index + turn + turn // choices) % len(_ENCODINGS)]
    return f"{module}.{function} as {way}", ENCODINGS[way](module, function, args)


@family(len(CALLS) * len(FIELDS), len(CALLS) * len(FIELDS) * 4)
def calls_in_fields(bases: Bases, rng: random.Random, index: int) -> Sample:
    """Every call in every field that SB3 pickles."""
    note, call = _code(index, len(FIELDS))
    field = FIELDS[index // len(CALLS) % len(FIELDS)]
    base = bases.small(rng)
    valid = opcodes.split(base.pickle(field)) if field in base.fields else (b"\x80\x04", b"N", b".")
    placement = rng.choice(_PLACEMENTS)
    content = placement(call, valid, rng)
    needed = placement is _whole and field in ("observation_space", "action_space")
    return Sample(
        base.with_field(field, content, twin=rng.random() < 0.8),
        expect="refused" if needed else "either",
        note=f"{note}, {placement.__name__[1:]} {field} of {base.name}",
    )


@family(len(CALLS) * 2, len(CALLS) * 10)
def calls_in_other_fields(bases: Bases, rng: random.Random, index: int) -> Sample:
    """Every call in fields that are plain, or that nobody knows."""
    note, call = _code(index, len(OTHERS))
    field = OTHERS[(index + index // len(CALLS)) % len(OTHERS)]
    base, content = bases.small(rng), opcodes.join(call, protocol=4)
    if rng.random() < 0.2:
        return Sample(_deeper(base, content), note=f"{note}, within policy_kwargs")
    return Sample(base.with_field(field, content, twin=False), note=f"{note}, {field}")


def _deeper(base: Base, content: bytes) -> dict[str, bytes]:
    data = base.data()
    data["policy_kwargs"] = {"net_arch": [8, 8], "more": b.entry(content)}
    return base.with_data(data)


@family(len(CALLS) * 2, len(CALLS) * 6)
def calls_in_tensors(bases: Bases, rng: random.Random, index: int) -> Sample:
    """Every call in the archives of tensors; the weights are always needed."""
    note, call = _code(index, 12)
    base, name = bases.small(rng), b.TENSORS[(index + index // len(CALLS)) % 3]
    placement = rng.choice(_PLACEMENTS)

    def change(old: bytes) -> bytes:
        return placement(call, opcodes.split(old), rng)

    needed = name == "policy.pth" and placement in (_whole, _after)
    return Sample(
        base.files({name: with_pickle(base, name, change)}),
        expect="refused" if needed else "either",
        note=f"{note}, {placement.__name__[1:]} {name} of {base.name}",
    )


@family(len(CALLS) * 2, len(CALLS) * 6)
def calls_in_statistics(bases: Bases, rng: random.Random, index: int) -> Sample:
    """Every call in the pickle of VecNormalize beside the zip."""
    note, call = _code(index, 12)
    base, placement = bases["normalized"], rng.choice(_PLACEMENTS)
    content = placement(call, opcodes.split(base.beside["vecnormalize.pkl"]), rng)
    return Sample(
        {**base.files(), "vecnormalize.pkl": content},
        expect="refused" if placement in (_whole, _after) else "either",
        note=f"{note}, {placement.__name__[1:]} the statistics",
    )


@family(60, 60)
def bare_pickles(bases: Bases, rng: random.Random, index: int) -> Sample:
    """A pickle where an archive of tensors should be: the format before torch 1.6, and others."""
    note, call = _code(index, 1)
    base, name = bases.small(rng), b.TENSORS[index % 2]
    magic = opcodes.join(opcodes.number(0x1950A86A20F9469CFC6C), protocol=2)
    version = opcodes.join(opcodes.number(1001), protocol=2)
    contents = (
        opcodes.join(call, protocol=2),
        magic + version + opcodes.join(b"}", protocol=2) + opcodes.join(call, protocol=2),
        b"PK\3\4" + opcodes.join(call, protocol=2),
    )
    return Sample(
        base.files({name: contents[index % 3]}), note=f"{note} as {name}", expect="either"
    )
