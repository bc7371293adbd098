"""One run: a source, a target, a recipe and a seed, from the first evaluation to the last."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import HParam, Logger, configure

from rltransfer.agents import Agent
from rltransfer.callbacks import Evaluate, Progress
from rltransfer.describe import describe
from rltransfer.errors import BadArgument
from rltransfer.experiments import folders
from rltransfer.experiments.spec import RunSpec
from rltransfer.pretrain import versions
from rltransfer.recipe import Recipe
from rltransfer.training.ppo import TransferPPO
from rltransfer.training.threads import few_threads
from rltransfer.transfer import adapt

Report = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """A finished run.

    Attributes:
        spec: What was asked.
        steps: Environment steps at each evaluation, shape (n,), from 0.
        returns: Returns of the deterministic policy, shape (n, episodes), in the task's units.
        stochastic: Returns of the policy that gathers experience, same shape.
        choice: What ``auto`` chose and why; empty for other recipes.
        description: The table of ``describe`` at the start.
        seconds: Wall-clock time, evaluations included.
        device: Device that trained.
        versions: Versions of the packages, by name.
    """

    spec: RunSpec
    steps: np.ndarray
    returns: np.ndarray
    stochastic: np.ndarray
    choice: str = ""
    description: str = ""
    seconds: float = 0.0
    device: str = "cpu"
    versions: Mapping[str, str] = field(default_factory=dict)


def execute(
    spec: RunSpec, agent: Agent, folder: Path | None = None, report: Report | None = None
) -> tuple[Run, TransferPPO]:
    """Adapt, train and evaluate.

    Args:
        spec: What to do.
        agent: The source named in it.
        folder: Where TensorBoard's events go; None for nowhere.
        report: Called with (steps done, steps in all) after every rollout.

    Returns:
        The run, and the trained model with its environments still open.
    """
    started = time.monotonic()
    with few_threads(agent.weights.values()):
        evaluation = Evaluate(
            spec.target, points=spec.points, episodes=spec.episodes, max_steps=spec.max_steps
        )
        model = build(spec, agent)
        description = describe(model)
        try:
            if spec.train:
                _learn(model, spec, evaluation, folder, report)
            else:
                evaluation.hold(model, spec.steps)
        except BaseException:
            close(model)
            raise
    choice = model.transfer.report.choice if model.transfer else None
    run = Run(
        spec=spec,
        steps=evaluation.curve.steps,
        returns=evaluation.curve.deterministic,
        stochastic=evaluation.curve.stochastic,
        choice=choice.reason if choice else "",
        description=description,
        seconds=time.monotonic() - started,
        device=_device_name(model.device),
        versions=versions(),
    )
    return run, model


def build(spec: RunSpec, agent: Agent) -> TransferPPO:
    """Build the model of a run, untrained."""
    recipe = Recipe.from_dict(spec.recipe)
    options: dict[str, Any] = dict(spec.hyperparameters)
    settings = {**agent.hyperparameters, **options}
    rollout = int(settings["n_steps"]) * int(settings["n_envs"])
    if rollout > spec.steps:
        fitting = max(1, spec.steps // int(settings["n_envs"]))
        # One update after the budget, and no evaluation within it: a curve of two points.
        raise BadArgument(
            f"a rollout takes {rollout:,} steps ({settings['n_steps']} in each of "
            f"{settings['n_envs']} environments), more than the budget of {spec.steps:,}: raise "
            f"the steps, or set n_steps lower (--set n_steps={fitting})"
        )
    return adapt(
        agent,
        spec.target,
        recipe,
        seed=spec.seed,
        vec=spec.vec,
        device=spec.device,
        **options,
    )


def close(model: TransferPPO) -> None:
    """Close the environments of a model."""
    venv = model.get_env()
    if venv is not None:
        venv.close()


def _learn(
    model: TransferPPO,
    spec: RunSpec,
    evaluation: Evaluate,
    folder: Path | None,
    report: Report | None,
) -> None:
    model.set_logger(_logger(folder))
    callbacks: list[BaseCallback] = [evaluation, *([Progress(report)] if report else [])]
    _log_settings(model, spec)
    try:
        model.learn(spec.steps, callback=callbacks)
    finally:
        model.logger.close()


def _logger(folder: Path | None) -> Logger:
    if folder is None:
        return Logger(folder=None, output_formats=[])
    try:
        return configure(str(folder), ["tensorboard"])
    except OSError as error:
        raise folders.not_writable(folder, error) from error


def _log_settings(model: TransferPPO, spec: RunSpec) -> None:
    """Hyperparameters for TensorBoard's HPARAMS tab; it needs a metric to hang them on."""
    chosen: dict[str, Any] = {
        "source": spec.source,
        "target": spec.target,
        "recipe": spec.label,
        "seed": spec.seed,
        "steps": spec.steps,
        "learning_rate": float(model.lr_schedule(1.0)),
        "gamma": model.gamma,
    }
    skip = ("stdout", "log", "json", "csv")
    model.logger.record("hparams", HParam(chosen, {"eval/mean_return": 0.0}), exclude=skip)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
