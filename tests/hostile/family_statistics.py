"""Statistics of VecNormalize, beside the zip."""

from __future__ import annotations

import random
import struct
from typing import Any

from hostile import edits, opcodes
from hostile.bases import Bases
from hostile.opcodes import Raw, array, call, make, name, old_array, scalar
from hostile.samples import Sample, family

_NAN, _INF = float("nan"), float("inf")
_CALL = call("os", "system", "touch hostile-marker")


def _numbers(value: float, count: int = 5, code: str = "f8") -> Raw:
    return array(struct.pack("<d" if code == "f8" else "<f", value) * count, (count,), code)


def _rms(**changes: Any) -> Raw:
    facts = {"mean": _numbers(0.5), "var": _numbers(2.0), "count": 33.0}
    kind = ("stable_baselines3.common.running_mean_std", "RunningMeanStd")
    return make(*kind, **{**facts, **changes})


def _venv(**changes: Any) -> Raw:
    facts = {
        **{"training": True, "norm_obs": True, "norm_reward": True, "norm_obs_keys": None},
        **{"obs_rms": _rms(), "ret_rms": _rms(mean=0.1, var=1.0), "old_reward": None},
        **{"clip_obs": 10.0, "clip_reward": 10.0, "gamma": 0.99, "epsilon": 1e-8, "num_envs": 2},
    }
    return make(
        "stable_baselines3.common.vec_env.vec_normalize", "VecNormalize", **{**facts, **changes}
    )


_ODD = (None, True, 0, -1, 10**30, _NAN, _INF, -1e308, "x", [], {}, (), _CALL, _numbers(1.0))
_STATS: dict[str, Raw] = {
    "sound": _venv(),
    **{
        f"{key} {value if not isinstance(value, Raw) else 'of an object'!r:.12} #{i}": _venv(
            **{key: value}
        )
        for key in (
            *(
                "norm_obs",
                "norm_reward",
                "clip_obs",
                "clip_reward",
                "gamma",
                "epsilon",
                "obs_rms",
                "ret_rms",
            ),
            *(
                "training",
                "norm_obs_keys",
                "observation_space",
                "__class__",
                "venv",
                "returns",
                "unknown",
            ),
        )
        for i, value in enumerate(_ODD)
    },
    **{
        f"{part} {label}": _venv(obs_rms=_rms(**{part: value}))
        for part in ("mean", "var", "count")
        for label, value in {
            **{
                "nan": _numbers(_NAN),
                "inf": _numbers(_INF),
                "negative": _numbers(-1.0),
                "short": _numbers(0.0, 4),
            },
            **{
                "long": _numbers(0.0, 6),
                "empty": _numbers(0.0, 0),
                "float32": _numbers(0.5, 5, "f4"),
            },
            **{
                "number": 1.0,
                "nan number": _NAN,
                "negative number": -5.0,
                "text": "x",
                "call": _CALL,
                "none": None,
            },
            **{
                "zero": 0,
                "huge": 1e308,
                "very huge": 10**400,
                "matrix": array(bytes(200), (5, 5), "f8"),
            },
            **{"objects": old_array([1.0], (1,), "O"), "scalar": scalar(struct.pack("<d", 4.0))},
            **{
                "scalar of objects": scalar(b"", "O"),
                "billions": array(b"", (0, 2**30, 2**30), "f8"),
            },
        }.items()
    },
    "by key": _venv(obs_rms={"a": _rms()}),
    "by odd keys": _venv(obs_rms={1: _rms(), None: _rms()}),
    "by many keys": _venv(obs_rms={f"k{i}": _rms() for i in range(500)}),
    "of another class": _venv(
        obs_rms=make("evil", "RunningMeanStd", mean=_numbers(0), var=_numbers(1), count=1)
    ),
    "a subclass": make("my.module", "VecNormalize", norm_obs=True, obs_rms=_rms()),
    "without attributes": Raw(
        name("stable_baselines3.common.vec_env.vec_normalize", "VecNormalize"), b")\x81"
    ),
    "the class": Raw(name("stable_baselines3.common.vec_env.vec_normalize", "VecNormalize")),
    "plain": Raw(opcodes.value({"obs_rms": {"mean": [0.0] * 5, "var": [1.0] * 5, "count": 1.0}})),
    "bare statistics": _rms(),
    "none": Raw(b"N"),
    "a list of two": Raw(opcodes.value([_venv(), _venv()])),
    "within": _venv(venv=_venv()),
}


@family(len(_STATS), len(_STATS) * 4)
def statistics(bases: Bases, rng: random.Random, index: int) -> Sample:
    kind = list(_STATS)[index % len(_STATS)]
    content = opcodes.join(_STATS[kind].code, protocol=4)
    names = (
        "vecnormalize.pkl",
        "vec_normalize.pkl",
        "agent.vecnormalize.pkl",
        "Sampled-v0/vecnormalize.pkl",
    )
    place = names[0] if index < len(_STATS) else rng.choice(names)
    files = {"agent.zip": bases["normalized"].files()["agent.zip"], place: content}
    return Sample(files, note=f"{kind} in {place}")


@family(200, 1500)
def statistics_edits(bases: Bases, rng: random.Random, index: int) -> Sample:
    base = bases["normalized"]
    change = rng.choice((edits.edit, edits.edit, edits.edit, edits.flip, edits.cut))
    return Sample(
        {**base.files(), "vecnormalize.pkl": change(base.beside["vecnormalize.pkl"], rng)}
    )


@family(24, 24)
def statistics_files(bases: Bases, rng: random.Random, index: int) -> Sample:
    """Too many, too large, or none."""
    base = bases["normalized"] if index % 2 else bases["box"]
    stats, archive = bases["normalized"].beside["vecnormalize.pkl"], base.files()["agent.zip"]
    names = (
        "vecnormalize.pkl",
        "vec_normalize.pkl",
        "agent.vecnormalize.pkl",
        "Sampled-v0/vecnormalize.pkl",
    )
    choices: tuple[dict[str, bytes], ...] = (
        {},
        dict.fromkeys(names, stats),
        dict.fromkeys(names[:2], stats),
        {names[0]: stats, names[3]: b""},
        {names[0]: bytes(40_000_000)},
        {names[0]: b"\x80\x04]" + b"(NNNNNNNNe" * 30_000 + b"."},
        {
            names[0]: b"\x80\x04"
            + b"C\xff"
            + bytes(255)
            + b"0" * 1
            + (b"C\xff" + bytes(255) + b"0") * 30_000
            + b"N."
        },
        {names[0]: b""},
        {names[3]: stats},
        {"vecnormalize.zip": stats, "vecnormalize.pkl.gz": stats},
        {"vecnormalize.npz": archive},
        {"__init__.py": b"open('hostile-marker', 'w')", names[0]: stats},
    )
    which = index // 2 % len(choices)
    return Sample({"agent.zip": archive, **choices[which]}, note=f"{base.name}, files {which}")
