"""Runs of part c: sources, and what they learn on targets."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from multitask_parts import learning
from multitask_parts.family import CONTROLS, SOURCE
from multitask_parts.jobs import Job, Result
from rltransfer.agents import Agent, Card, load
from rltransfer.callbacks import Curve, Evaluate
from rltransfer.evaluate import evaluate
from rltransfer.experiments.controls import control, stream
from rltransfer.presets import recipe as preset
from rltransfer.pretrain import versions
from rltransfer.recipe import Recipe
from rltransfer.transfer import adapt

#: Names of the encoder and of the head that all members share.
SHARED = "family"


def run(job: Job, out: Path) -> Result:
    """Train a source, or carry one over to a target."""
    torch.set_num_threads(1)
    return _finetune(job, out) if job.needs else _pretrain(job, out)


def _pretrain(job: Job, out: Path) -> Result:
    settings, tasks = job.settings, job.settings["tasks"]
    options = {"encoder": SHARED, "head": SHARED, "gamma": settings["gamma"]}
    shared = {**settings, "task_options": dict.fromkeys(tasks, options)}
    model = learning.build(shared, tasks, job.seed)
    result = learning.learn(model, shared, settings["steps"])
    card = Card(name=job.name, task=tasks[0], steps=model.num_timesteps, seed=job.seed)
    path = job.agent(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / ".gitignore").write_text("*\n")
    # All members share encoder and head, so any of them gives the same actor.
    Agent.from_model(model, card=card).for_task(tasks[0]).save(path)
    return result


def _finetune(job: Job, out: Path) -> Result:
    start, settings = time.perf_counter(), job.settings
    target, name = settings["target"], settings["recipe"]
    agent = load(job.needs[SOURCE].agent(out))
    zero_shot = {}
    if name == "full":
        episodes = settings["final_episodes"]
        zero_shot = {"zero_shot": evaluate(agent, target, episodes=episodes).mean}
    agent, recipe = _as_control(agent, name, job.seed) if name in CONTROLS else (agent, name)
    model = adapt(agent, target, preset(recipe), seed=job.seed, **settings["finetuning"])
    look = Evaluate(target, points=settings["points"], episodes=settings["episodes"])
    model.learn(settings["target_steps"], callback=look)
    final = evaluate(model, target, episodes=settings["final_episodes"])
    steps = model.num_timesteps
    model.get_env().close()  # pyright: ignore[reportOptionalMemberAccess]
    return {
        **zero_shot,
        "curve": _rows(target, look.curve),
        "final": {target: {"mean": final.mean}},
        "steps": steps,
        "choice": str(getattr(model.transfer.report, "choice", "") or "") if model.transfer else "",
        "seconds": time.perf_counter() - start,
        "versions": versions(),
    }


def _as_control(agent: Agent, name: str, seed: int) -> tuple[Agent, Recipe]:
    found = control(name)
    changed = found.change(agent, stream(name, seed)) if found.change else agent
    return changed, found.recipe


def _rows(target: str, curve: Curve) -> list[dict[str, Any]]:
    return [
        {"steps": int(steps), "task": target, "mean": float(returns.mean())}
        for steps, returns in zip(curve.steps, curve.deterministic, strict=True)
    ]
