"""One run: a source, a target, a recipe and a seed, from the first evaluation to the last."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import HParam

from rltransfer.agents import Agent
from rltransfer.agents.files import atomic_write
from rltransfer.callbacks import Evaluate, Progress
from rltransfer.describe import describe
from rltransfer.errors import BadArgument, BadEnvironment, Diverged
from rltransfer.experiments import folders
from rltransfer.experiments.checkpoints import Checkpoints
from rltransfer.experiments.logger import logger
from rltransfer.experiments.parts import Parts
from rltransfer.experiments.signals import Stop
from rltransfer.experiments.spec import RunSpec
from rltransfer.experiments.state import restore
from rltransfer.pretrain import versions
from rltransfer.recipe import Recipe
from rltransfer.training.ppo import TransferPPO
from rltransfer.training.threads import few_threads
from rltransfer.transfer import adapt

Report = Callable[[int, int], None]
REPRO = "repro.json"


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
    spec: RunSpec,
    agent: Agent,
    folder: Path | None = None,
    report: Report | None = None,
    *,
    checkpoints: Path | None = None,
    stop: Stop | None = None,
) -> tuple[Run, TransferPPO]:
    """Adapt, train and evaluate; or go on from the last checkpoint, with the same numbers.

    Args:
        spec: What to do.
        agent: The source named in it.
        folder: Where TensorBoard's events go; None for nowhere.
        report: Called with (steps done, steps in all) after every rollout.
        checkpoints: Folder of this run alone, where a checkpoint is written at every cut and the
            newest is looked for first; None for neither. The caller removes it once the result is
            safe (:meth:`Checkpoints.remove`).
        stop: Whether the run is asked to stop.

    Returns:
        The run, and the trained model with its environments still open.

    Raises:
        Interrupted: It was asked to stop.
        Diverged: A loss, gradient, weight or output is not finite. The last checkpoint is kept, and
            ``repro.json`` in ``folder`` says where it happened.
        NotWritable: The disk is full, ...; earlier checkpoints are unharmed.
    """
    started = time.monotonic()
    kept = Checkpoints(checkpoints, spec.id) if checkpoints else None
    with few_threads(agent.weights.values()):
        evaluation = Evaluate(
            spec.target, points=spec.points, episodes=spec.episodes, max_steps=spec.max_steps
        )
        model = build(spec, agent)
        description = describe(model)
        seconds = 0.0
        try:
            if spec.train:
                seconds = _learn(model, spec, evaluation, folder, report, kept, stop)
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
        seconds=seconds + time.monotonic() - started,
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
    checkpoints: Checkpoints | None,
    stop: Stop | None,
) -> float:
    """Train from the start, or from the newest checkpoint.

    Returns:
        Wall-clock seconds that earlier attempts took up to that checkpoint.
    """
    found = checkpoints.latest() if checkpoints else None
    seconds = float(found.state["seconds"]) if found else 0.0
    model.set_logger(logger(folder, found.state["counters"]["num_timesteps"] if found else None))
    resumed = found is not None
    parts = Parts(spec, evaluation, checkpoints, stop, resumed=resumed, seconds=seconds)
    callbacks: list[BaseCallback] = [
        evaluation,
        parts,
        *([] if report is None else [Progress(report)]),
    ]
    try:
        if found:
            restore(model, evaluation, found.tensors, found.state)
        else:
            _log_settings(model, spec)
        model.learn(
            spec.steps - (model.num_timesteps if found else 0),
            callback=callbacks,
            reset_num_timesteps=not found,
        )
    except Diverged as error:
        _write_repro(folder, spec, parts.part, error)
        raise
    except BadEnvironment as error:
        # Ctrl-C reaches worker processes of environments too, and they end before this one.
        if stop is not None and stop.signal:
            raise parts.interrupted() from error
        raise
    finally:
        model.logger.close()
    return seconds


def _write_repro(folder: Path | None, spec: RunSpec, part: int, error: Diverged) -> None:
    """Write what it takes to see a divergence again: training is the same each time."""
    if folder is None:
        return
    data = {"spec": asdict(spec), "part": part, **error.details, "message": str(error)}
    folders.create(folder)
    atomic_write(folder / REPRO, json.dumps(data, indent=1).encode())


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
