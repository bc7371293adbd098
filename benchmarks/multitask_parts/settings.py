"""What is trained, how long, and with which hyperparameters: all choices of the benchmark.

Tuned on seeds from 100 on; the seeds 0, 1, ... are those that are reported. Any value can be
changed for a run with ``--set``, such as ``--set classic4.hyperparameters.learning_rate=3e-4``.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

from rltransfer.errors import BadArgument, UnknownName, suggest

Settings = dict[str, Any]
LINEAR: Settings = {"start": 1e-3, "end": 0.0, "end_fraction": 1.0}

#: ``batch_per_task`` times the number of tasks is the minibatch; a learning rate from ``start``
#: to ``end`` is linear over the whole run.
SETTINGS: dict[str, Settings] = {
    "classic4": {
        "tasks": ["CartPole-v1", "Acrobot-v1", "Pendulum-v1", "MountainCarContinuous-v0"],
        "task_options": {
            "CartPole-v1": {"gamma": 0.98},
            "Pendulum-v1": {"gamma": 0.9},
            "MountainCarContinuous-v0": {"gamma": 0.999, "noise": 0.95},
        },
        "steps_per_task": 375_000,
        "n_envs": 8,
        "vec": "auto",
        "batch_per_task": 128,
        "hyperparameters": {
            "n_steps": 128,
            "n_epochs": 10,
            "learning_rate": {**LINEAR},
        },
        "policy": {
            "normalize_observations": True,
            "width": 64,
            "trunk": "mlp",
            "trunk_kwargs": {"sizes": [64]},
        },
        "points": 10,
        "episodes": 20,
        "final_episodes": 100,
        "stochastic": False,
    },
    "minigrid-transfer": {
        "tasks": ["rlt/LavaGapS7-v0", "rlt/RedBlueDoors-6x6-v0", "rlt/MemoryS11-v0"],
        "more_tasks": ["rlt/DoorKey-6x6-v0", "rlt/DistShift1-v0"],
        "sets": ["novel", "all"],
        "task_options": {},
        "steps_per_task": 200_000,
        "n_envs": 8,
        "vec": "envpool",
        "batch_per_task": 256,
        "hyperparameters": {
            "n_steps": 256,
            "n_epochs": 8,
            "learning_rate": 1e-3,
            "ent_coef": 0.01,
        },
        "policy": {
            "normalize_observations": True,
            "width": 64,
            "trunk": "mlp",
            "trunk_kwargs": {"sizes": [64]},
        },
        "points": 10,
        "episodes": 20,
        "final_episodes": 100,
        "stochastic": True,
    },
    "family": {
        "tasks": [
            "CartPole-v1",
            "rlt/CartPoleHeavyPole-v0",
            "rlt/CartPoleGravity-v0",
            "rlt/CartPoleHeavyCart-v0",
        ],
        "targets": ["rlt/CartPoleLong-v0", "rlt/CartPoleFar-v0", "rlt/CartPoleSlowControl-v0"],
        "recipes": ["full", "by-zero-shot", "head"],
        "gamma": 0.98,
        "steps_per_task": 50_000,
        "n_envs": 8,
        "vec": "auto",
        "batch_per_task": 128,
        "hyperparameters": {
            "n_steps": 128,
            "n_epochs": 10,
            "learning_rate": {**LINEAR},
        },
        "policy": {
            "normalize_observations": True,
            "width": 64,
            "trunk": "mlp",
            "trunk_kwargs": {"sizes": [64]},
        },
        "target_steps": 20_000,
        "finetuning": {
            "n_envs": 8,
            "n_steps": 32,
            "batch_size": 256,
            "n_epochs": 20,
            "gae_lambda": 0.8,
            "gamma": 0.98,
            "learning_rate": {**LINEAR},
        },
        "points": 10,
        "episodes": 20,
        "final_episodes": 100,
        "stochastic": False,
    },
    "retention": {
        "tasks": ["CartPole-v1", "Acrobot-v1", "Pendulum-v1"],
        "new_tasks": ["MountainCarContinuous-v0", "rlt/PendulumStrongGravity-v0"],
        "task_options": {
            "CartPole-v1": {"gamma": 0.98},
            "Pendulum-v1": {"gamma": 0.9},
            "MountainCarContinuous-v0": {"gamma": 0.999, "noise": 0.95},
            "rlt/PendulumStrongGravity-v0": {"gamma": 0.9},
        },
        "steps_per_task": 250_000,
        "new_steps": 100_000,
        "n_envs": 8,
        "batch_per_task": 128,
        "hyperparameters": {
            "n_steps": 128,
            "n_epochs": 10,
            "learning_rate": {**LINEAR},
        },
        "points": 10,
        "episodes": 50,
    },
    "speed": {
        "sizes": [[32, 256], [128, 1024], [256, 2048], [512, 4096]],
        "n_steps": 128,
        "n_epochs": 10,
        "rounds": 10,
        "rollouts": 2,
    },
}

#: So small that all of it takes a minute, and nothing is learned.
_TINY: Settings = {
    "n_envs": 2,
    "vec": "sync",
    "batch_per_task": 16,
    "points": 1,
    "episodes": 2,
    "final_episodes": 2,
}
SMOKE: dict[str, Settings] = {
    "classic4": {**_TINY, "steps_per_task": 64, "hyperparameters": {"n_steps": 16}},
    "minigrid-transfer": {
        **_TINY,
        # Those with the shortest episodes.
        "tasks": ["rlt/LavaGapS7-v0"],
        "more_tasks": ["rlt/DistShift1-v0"],
        "vec": "envpool",
        "steps_per_task": 64,
        "hyperparameters": {"n_steps": 16},
    },
    "family": {
        **_TINY,
        "steps_per_task": 64,
        "hyperparameters": {"n_steps": 16},
        "targets": ["rlt/CartPoleLong-v0"],
        "target_steps": 3_000,
        "finetuning": {"n_envs": 2, "n_steps": 64, "batch_size": 64, "n_epochs": 1},
    },
    "retention": {
        **{name: _TINY[name] for name in ("n_envs", "batch_per_task", "points", "episodes")},
        "tasks": ["CartPole-v1", "Pendulum-v1"],
        "new_tasks": ["MountainCarContinuous-v0"],
        "steps_per_task": 64,
        "new_steps": 64,
        "hyperparameters": {"n_steps": 16},
    },
    "speed": {"sizes": [[8, 64]], "n_steps": 16, "rounds": 3, "rollouts": 1},
}


def settings(*, smoke: bool, steps_per_task: int | None, changes: Sequence[str]) -> dict[str, Any]:
    """Settings of all parts.

    Args:
        smoke: Take the tiny ones.
        steps_per_task: Other steps of each task of the multi-task models; None for each part's own.
        changes: ``PART.NAME=VALUE`` with a JSON value, dots between nested names.

    Raises:
        BadArgument: A change has no value, or a value is not JSON.
        UnknownName: There is no such name.
    """
    chosen = copy.deepcopy(SETTINGS)
    for name, values in SMOKE.items() if smoke else ():
        _merge(chosen[name], copy.deepcopy(values))
    for one in chosen.values():
        if steps_per_task is not None and "steps_per_task" in one:
            one["steps_per_task"] = steps_per_task
    for change in changes:
        _change(chosen, change)
    return chosen


def _merge(values: Settings, changes: Settings) -> None:
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(values.get(name), dict):
            _merge(values[name], value)
        else:
            values[name] = value


def _change(chosen: Settings, change: str) -> None:
    path, equals, text = change.partition("=")
    *outer, last = path.split(".")
    if not equals or not outer:
        raise BadArgument(f"--set {change!r}: expected PART.NAME=VALUE, as in classic4.n_envs=16")
    place: Any = chosen
    for name in outer:
        if not isinstance(place, dict) or name not in place:
            raise UnknownName(suggest(name, place, kind="setting", limit=None))
        place = place[name]
    try:
        place[last] = json.loads(text)
    except ValueError as error:
        raise BadArgument(f"--set {change!r}: {text!r} is no JSON value ({error})") from error
