"""Small runs of every kind that are cut into parts, and ways to interrupt them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch
import transfer_cases as cases

from rltransfer.agents import Agent
from rltransfer.experiments.run import Run, close, execute
from rltransfer.experiments.signals import Stop
from rltransfer.experiments.spec import RunSpec
from rltransfer.presets import recipe as preset

CONTROL = "gymnasium.envs.classic_control"
# A rollout takes 64 steps: the cuts are at 128, 256, 320 and 448.
STEPS, EVERY = 480, 100
# Steps at which a run is interrupted: between two cuts, right after one was written, and late.
POINTS = (192, 256, 384)
# Probing takes up to 200 of the steps of "auto", so that its first cut is at 328 at the latest.
AUTO_POINTS = (336, 400, 470)
SETTINGS = {"n_steps": 32, "batch_size": 32, "policy_kwargs": cases.SMALL}


@dataclass(frozen=True)
class Setting:
    """A source and a target.

    Attributes:
        task: Makes the task, and returns its id.
        options: Options of the source.
    """

    task: Callable[[], str]
    options: Mapping[str, Any] = field(default_factory=dict)


def _control(name: str, entry: str) -> Callable[[], str]:
    def register() -> str:
        id = f"resume/{name}-v0"
        if id not in gym.registry:
            gym.register(id, f"{CONTROL}.{entry}", max_episode_steps=20)
        return id

    return register


def _toy(kind: str, **changes: Any) -> Setting:
    known = cases.KINDS[kind]
    return Setting(known.task, {**known.options, **changes})


SETTINGS_OF: dict[str, Setting] = {
    "cartpole": Setting(_control("CartPole", "cartpole:CartPoleEnv")),
    "pendulum": Setting(
        _control("Pendulum", "pendulum:PendulumEnv"),
        {"use_sde": True, "sde_sample_freq": 4, "normalize_reward": True},
    ),
    "acrobot": Setting(_control("Acrobot", "acrobot:AcrobotEnv"), {"normalize_obs": True}),
    "mountaincar": Setting(
        _control("Hill", "continuous_mountain_car:Continuous_MountainCarEnv"),
        {"n_envs": 4, "n_steps": 16},  # enough to be stepped as one batch
    ),
    "dict": Setting(lambda: cases.toy("dict", "multi"), {"policy": "MultiInputPolicy"}),
    "image": _toy("image"),
    "maskable": _toy("maskable"),
    "recurrent": _toy("recurrent"),
}
RECIPES: dict[str, tuple[str, Mapping[str, Any]]] = {
    "scratch": ("scratch", {}),
    "full": ("full", {}),
    "head": ("head", {}),
    "gradual": ("gradual", {}),
    "discriminative": ("discriminative", {}),
    "auto": ("auto", {}),
    "refit": ("full", {"critic": "refit", "refit_rollouts": 3}),
    "moments": ("full", {"optimizer": "source"}),
    "fixed": ("full", {"obs_stats": "freeze"}),
}


@cache
def agent_of(name: str) -> Agent:
    """Train the source of a setting, once."""
    setting = SETTINGS_OF[name]
    agent = cases.train(setting.task(), 128, **{**SETTINGS, **setting.options})
    # A level that "auto" can compare with, whatever the task.
    score = replace(agent.card.score, mean=100.0, ci_low=99.0, ci_high=101.0)
    return replace(agent, card=replace(agent.card, score=score))


def spec_of(name: str, recipe: str = "full", **changes: Any) -> RunSpec:
    """Describe a run of a setting."""
    base, fields = RECIPES[recipe]
    settings = {
        **{"label": recipe, "steps": STEPS, "seed": 3, "points": 3, "episodes": 2},
        **{"max_steps": 30, "device": "cpu", "checkpoint_every": EVERY, **changes},
    }
    task = SETTINGS_OF[name].task()
    return RunSpec.of(agent_of(name), task, preset(base).but(**fields), **settings)


def digest(run: Run, model: Any) -> dict[str, str]:
    """SHA-256 of all that a run comes to, by what it is."""
    found = {name: hashlib.sha256() for name in ("weights", "moments", "statistics", "returns")}
    for name, value in sorted(model.policy.state_dict().items()):
        found["weights"].update(name.encode() + value.cpu().numpy().tobytes())
    for parameter in model.policy.parameters():
        for key, value in sorted(model.policy.optimizer.state.get(parameter, {}).items()):
            found["moments"].update(key.encode() + torch.as_tensor(value).cpu().numpy().tobytes())
    for statistics in _statistics(model):
        for value in (statistics.mean, statistics.var, statistics.count):
            found["statistics"].update(torch.as_tensor(value).numpy().tobytes())
    for curve in (run.steps, run.returns, run.stochastic):
        found["returns"].update(curve.tobytes())
    return {name: value.hexdigest() for name, value in found.items()}


def _statistics(model: Any) -> Iterator[Any]:
    venv = model.get_vec_normalize_env()
    if venv is not None:
        observed = getattr(venv, "obs_rms", {})
        yield from observed.values() if isinstance(observed, dict) else [observed]
        yield venv.ret_rms


class Died(Exception):
    """Stands for whatever ends a run: nothing is caught between the cut and the test."""


class Heard(list[int]):
    """A report that keeps the steps."""

    def __call__(self, done: int, total: int) -> None:
        self.append(done)


def dies_at(steps: int) -> Callable[[int, int], None]:
    """A report that ends the run at a number of steps."""

    def report(done: int, total: int) -> None:
        if done >= steps:
            raise Died

    return report


@contextmanager
def executed(
    name: str,
    spec: RunSpec,
    checkpoints: Path | None = None,
    *,
    folder: Path | None = None,
    report: Callable[[int, int], None] | None = None,
    stop: Stop | None = None,
) -> Iterator[tuple[Run, Any]]:
    """Execute a run, and close its environments in the end."""
    run, model = execute(spec, agent_of(name), folder, report, checkpoints=checkpoints, stop=stop)
    try:
        yield run, model
    finally:
        close(model)


def whole(name: str, spec: RunSpec) -> dict[str, str]:
    """What an undisturbed run comes to."""
    with executed(name, spec) as (run, model):
        return digest(run, model)


def interrupted(name: str, spec: RunSpec, steps: int, checkpoints: Path, **options: Any) -> None:
    """Execute a run that dies at a number of steps."""
    try:
        with executed(name, spec, checkpoints, report=dies_at(steps), **options):
            raise AssertionError("the run was not interrupted")
    except Died:
        pass
