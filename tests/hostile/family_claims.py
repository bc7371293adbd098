"""Files that are well-formed and say what is not so, or ask for what nobody should get."""

from __future__ import annotations

import json
import random
from typing import Any

from hostile import bases as b
from hostile.bases import Bases
from hostile.samples import Sample, family

_INF, _NAN = float("inf"), float("nan")
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 10**9, 10**12, 2**63, 10**30, 10**59, -(10**30)),
    *(0.5, -0.0, 1e-320, 1e308, -1e308, _NAN, _INF, -_INF, "", "0.5", "nan", "x" * 500),
    *(
        "\x1b[31m",
        "\ud800",
        "os.system",
        [],
        [1],
        [[]],
        [0.5] * 1000,
        {},
        {"a": 1},
        {"$class": "x"},
    ),
    *({":type:": "x"}, {b.SERIALIZED: ""}, {b.SERIALIZED: None}, {"start": 1, "end": 0}, [None]),
)
FIELDS = (
    *("policy_class", "policy_kwargs", "learning_rate", "observation_space", "action_space"),
    *("lr_schedule", "clip_range", "clip_range_vf", "rollout_buffer_class", "ep_info_buffer"),
    *("n_steps", "gamma", "gae_lambda", "ent_coef", "vf_coef", "max_grad_norm", "batch_size"),
    *("n_epochs", "normalize_advantage", "target_kl", "use_sde", "sde_sample_freq", "seed"),
    *("n_envs", "num_timesteps", "_total_timesteps", "_last_original_obs", "_n_updates", "device"),
    *("tensorboard_log", "verbose", "start_time", "_vec_normalize_env", "rollout_buffer_kwargs"),
)


@family(len(FIELDS) * 14, len(FIELDS) * len(VALUES))
def values(bases: Bases, rng: random.Random, index: int) -> Sample:
    """Every field of SB3's with values of other kinds."""
    field = FIELDS[index % len(FIELDS)]
    turn = index // len(FIELDS)
    value = VALUES[(turn + 7 * index) % len(VALUES)]
    base = bases.small(rng)
    data = base.data()
    data[field] = value
    return Sample(base.with_data(data), note=f"{field} of {base.name} is {value!r:.40}")


@family(len(FIELDS) * 2)
def removals(bases: Bases, rng: random.Random, index: int) -> Sample:
    base, field = bases.small(rng), FIELDS[index % len(FIELDS)]
    data = base.data()
    data.pop(field, None)
    return Sample(base.with_data(data), note=f"{base.name} without {field}")


_METHODS = (
    *(
        "predict",
        "learn",
        "save",
        "load",
        "train",
        "policy",
        "env",
        "logger",
        "_logger",
        "__class__",
    ),
    *(
        "__dict__",
        "__init__",
        "__reduce__",
        "__getstate__",
        "__setstate__",
        "__module__",
        "__doc__",
    ),
    *("_setup_model", "set_parameters", "get_parameters", "set_env", "get_env", "set_random_seed"),
    *("collect_rollouts", "rollout_buffer", "_update_learning_rate", "_setup_learn", "device"),
    *("policy_aliases", "_vec_normalize_env", "_custom_logger", "_excluded_save_params"),
    *(
        "__abstractmethods__",
        "__slots__",
        "__class_getitem__",
        "classes",
        "weights",
        "card",
        "sha256",
    ),
)
_SETTINGS: dict[str, Any] = {
    "n_epochs": 10**9,
    "n_steps": 10**9,
    "batch_size": 10**9,
    "n_envs": 10**9,
    "num_timesteps": 10**18,
    "seed": -(10**18),
    "tensorboard_log": "/etc/hostile-marker",
    "gamma": 5.0,
    "learning_rate": 1e300,
    "device": "cuda:99",
    "verbose": 2,
    "_stats_window_size": 10**12,
    "action_noise": "os.system",
    "policy_class": "os.system",
    "use_sde": True,
    "sde_sample_freq": 10**9,
    "target_kl": 1e-300,
    "max_grad_norm": 0.0,
}


@family(len(_METHODS) * 2 + len(_SETTINGS) * 4, len(_METHODS) * 10 + len(_SETTINGS) * 20)
def attributes(bases: Bases, rng: random.Random, index: int) -> Sample:
    """Plain JSON under names of methods, which ``PPO.load`` would put in their place."""
    base = bases.small(rng)
    data, settings = base.data(), list(_SETTINGS)
    if index % 2:
        key = settings[index // 2 % len(settings)]
        data[key] = _SETTINGS[key]
    else:
        key = _METHODS[index // 2 % len(_METHODS)]
        data[key] = rng.choice(("owned", 1, {"a": 1}, [1], "os.system"))
    return Sample(base.with_data(data), note=f"{key} of {base.name}")


@family(120, 750)
def mixtures(bases: Bases, rng: random.Random, index: int) -> Sample:
    """Parts of two agents in one file."""
    one, two = rng.sample([bases[name] for name in b.SMALL], 2)
    way, data, other = index % 4, one.data(), two.data()
    if way == 0:
        files = one.files({"policy.pth": two.members["policy.pth"]})
    elif way == 1:
        files = one.files({"policy.optimizer.pth": two.members["policy.optimizer.pth"]})
    elif way == 2:
        keys = rng.sample([k for k in FIELDS if k in data and k in other], rng.randrange(1, 6))
        files = one.with_data({**data, **{key: other[key] for key in keys}})
    else:
        # The pickle of one, and the text beside it of the other.
        key = rng.choice([k for k in one.fields if k in two.fields])
        twin = {k: v for k, v in other[key].items() if k != b.SERIALIZED}
        files = one.with_data({**data, key: {**twin, b.SERIALIZED: data[key][b.SERIALIZED]}})
    return Sample(files, note=f"{one.name} and {two.name}, way {way}")


_TEXTS = (
    *(
        "1 " * 7_000_000,
        "[" * 10**6,
        "1" * 10**7,
        "-" * 10**6,
        "1e" * 10**6,
        "." * 10**6,
        "inf" * 10**6,
    ),
    *(
        "True" * 10**6,
        "...",
        "1." * 10**6 + "x",
        ["1"] * 10**6,
        [[0.5] * 5] * 50_000,
        "\u0661 " * 5,
    ),
    *({f"k{i}": i for i in range(50_000)}, "[0. 0. 0. 0. 0.] " + "\x00" * 10**6),
)


@family(len(_TEXTS) * 3, len(_TEXTS) * 14)
def long_twins(bases: Bases, rng: random.Random, index: int) -> Sample:
    """Very long texts beside a pickle."""
    base = bases[("box", "discrete", "multidiscrete")[index // len(_TEXTS) % 3]]
    data, which = base.data(), index % len(_TEXTS)
    kinds = {"observation_space": ("low", "shape", "n"), "policy_kwargs": ("net_arch",)}
    key = rng.choice([k for k in kinds if k in base.fields])
    inner = rng.choice([k for k in kinds[key] if k in data[key]])
    data[key][inner] = _TEXTS[which]
    return Sample(base.with_data(data), note=f"{key}.{inner} of {base.name} is text {which}")


@family(120, 750)
def twins(bases: Bases, rng: random.Random, index: int) -> Sample:
    """A text beside a pickle that says something else."""
    base = bases.small(rng)
    data = base.data()
    key = rng.choice([k for k in base.fields if len(data[k]) > 2])
    inner = rng.choice([k for k in data[key] if k != b.SERIALIZED])
    data[key][inner] = rng.choice((*VALUES, "[0. 0. 0. 0.]", "(4,)", [4], "float64", "<class 'x'>"))
    return Sample(base.with_data(data), note=f"{key}.{inner} of {base.name}")


_VERSIONS = (
    *(
        b"",
        b"9.9.9",
        b"0.1",
        b"1.0rc0",
        b"2.9.2\n",
        b"2",
        b"v2.9.2",
        b"x" * 10**6,
        b"\xff",
        b"\x1b[31m",
    ),
    *(
        b"2.9.2+" + b"1" * 5000,
        b"1." * 5000,
        b"\0",
        json.dumps({"a": 1}).encode(),
        b"-1.0.0",
        b"\xef\xbb\xbf2.9.2",
    ),
)


@family(len(_VERSIONS) * 2)
def text_members(bases: Bases, rng: random.Random, index: int) -> Sample:
    """The two members that are plain text."""
    names = ("_stable_baselines3_version", "system_info.txt")
    base, text = bases.small(rng), _VERSIONS[index // 2]
    return Sample(base.files({names[index % 2]: text}), note=f"{text!r:.40} as {names[index % 2]}")
