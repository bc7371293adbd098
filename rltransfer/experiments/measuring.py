"""Measuring a transfer: recipes against training from scratch, paired by seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rltransfer.agents import Agent, load
from rltransfer.errors import BadArgument
from rltransfer.experiments.gain import Gain, gain
from rltransfer.experiments.jobs import Job, Watch
from rltransfer.experiments.spec import RunSpec, check_seed
from rltransfer.experiments.sweep import sweep
from rltransfer.recipe import Recipe
from rltransfer.recipe import recipe as preset
from rltransfer.registry import Pair
from rltransfer.vec import Vec

SCRATCH = "scratch"


def measure(
    source: Agent | str | Path,
    target: str,
    recipe: Recipe | str | Sequence[str] | Mapping[str, Recipe | str] = "auto",
    *,
    steps: int,
    seeds: int | Sequence[int] = 10,
    out: str | Path | None = None,
    jobs: int = 1,
    label: str | None = None,
    points: int = 20,
    episodes: int = 20,
    max_steps: int | None = None,
    device: str = "auto",
    vec: Vec = "auto",
    classes: Mapping[str, type] | None = None,
    watch: Watch | None = None,
    expect: Any = None,
    **hyperparameters: Any,
) -> Gain:
    """Fine-tune with a recipe and train from scratch, for several seeds, and compare.

    Both arms have the same budget, architecture, hyperparameters, training seeds and held-out
    evaluation episodes, starting with one at step 0. Steps that a recipe spends before learning
    (probing, refitting the critic) are part of its budget.

    Args:
        source: An agent, the name of a zoo agent, or a path.
        target: Gymnasium id or ``module:Id``.
        recipe: A recipe or preset, a list of presets, or a mapping of names to recipes. Scratch is
            always added.
        steps: Budget of environment steps on the target for each run.
        seeds: Number of seeds (0, 1, ...), or the seeds.
        out: Folder for results, curves and TensorBoard; finished runs there are reused. None keeps
            nothing.
        jobs: Runs at a time. With more than 1, each is executed in a process of its own.
        label: Name of the comparison; the target's id by default.
        points: Evaluations after the first.
        episodes: Episodes of each evaluation.
        max_steps: Steps after which an episode of the evaluation ends at the latest; needed where
            the target has no time limit of its own.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        vec: How the training environments are stepped; see :func:`rltransfer.vec.make_vec`.
        classes: Your own classes that the agent was built with, by name.
        watch: Called with (name of the run, steps done, steps in all) as the runs proceed.
        expect: ``"help"`` or ``"hurt"``, for the report.
        **hyperparameters: Changes to the source's hyperparameters, in every arm.

    Raises:
        BadArgument: ``steps``, ``seeds`` or ``jobs`` is out of range.
        NotWritable: ``out`` cannot be written.
        SweepFailed: Some runs failed; all others are finished, and kept in ``out``.
        TransferError: A run cannot work; the message begins with its name.
    """
    agent = source if isinstance(source, Agent) else load(source, classes=classes)
    label = label or default_label(target)
    planned = plan(
        agent,
        target,
        _arms(recipe),
        label=label,
        seeds=_seeds(seeds),
        steps=steps,
        points=points,
        episodes=episodes,
        max_steps=max_steps,
        device=device,
        vec=vec,
        hyperparameters=hyperparameters,
    )
    runs = sweep(planned, [agent], out=Path(out) if out else None, processes=jobs, watch=watch)
    return gain(runs, agent, label=label, expect=expect)


def measure_pair(pair: Pair, **options: Any) -> Gain:
    """Measure a registered pair with its zoo agent and its budget; see :func:`measure`.

    Raises:
        BadArgument: The pair has no zoo agent; give a ``source``.
    """
    source = options.pop("source", None) or source_of(pair)
    defaults = {"steps": pair.steps, "label": pair.name, "expect": pair.expect}
    return measure(source, pair.target, **{**defaults, **options})


def source_of(pair: Pair) -> str:
    """Name of the zoo agent of a pair.

    Raises:
        BadArgument: It has none.
    """
    if pair.agent is None:
        raise BadArgument(
            f"pair {pair.name!r} has no zoo agent: train one with `rltransfer pretrain "
            f"{pair.source} --steps N --out PATH` and give it as the source (--source PATH)"
        )
    return pair.agent


def default_label(target: str) -> str:
    """Last part of a task id."""
    return target.rpartition(":")[2].rpartition("/")[2]


def plan(
    agent: Agent,
    target: str,
    arms: Mapping[str, Recipe],
    *,
    label: str,
    seeds: Sequence[int],
    **settings: Any,
) -> list[Job]:
    """List the runs of a comparison, seed by seed, so that an early stop leaves whole pairs.

    Raises:
        BadArgument: A setting is out of range, or ``arms`` has another recipe called scratch.
    """
    if arms.get(SCRATCH) != preset(SCRATCH):
        raise BadArgument("'scratch' is the control: give your recipe another name")
    specs = {
        name: RunSpec.of(agent, target, recipe, label=name, seed=seeds[0], **settings)
        for name, recipe in arms.items()
    }
    return [Job(label, replace(spec, seed=seed)) for seed in seeds for spec in specs.values()]


def _arms(recipe: Any) -> dict[str, Recipe]:
    if isinstance(recipe, Recipe):
        named: dict[str, Recipe | str] = {"recipe": recipe}
    elif isinstance(recipe, str):
        named = {recipe: recipe}
    elif isinstance(recipe, Mapping):
        named = dict(recipe)
    elif all(isinstance(name, str) for name in recipe):
        named = {name: name for name in recipe}
    else:
        raise BadArgument(f"recipe is {recipe!r:.80}: name your recipes, as {{'mine': Recipe()}}")
    return {SCRATCH: preset(SCRATCH)} | {name: preset(value) for name, value in named.items()}


def _seeds(seeds: int | Sequence[int]) -> list[int]:
    if isinstance(seeds, int | np.integer) and not isinstance(seeds, bool):
        listed = list(range(seeds))
    else:
        listed = _items(seeds)
    if not listed or len(set(listed)) < len(listed):
        raise BadArgument(f"seeds is {seeds!r}: expected a number >= 1, or different seeds")
    for seed in listed:
        check_seed(seed)
    return listed


def _items(seeds: Any) -> list[int]:
    if not isinstance(seeds, Iterable) or isinstance(seeds, str):
        return []
    return [seed.item() if isinstance(seed, np.generic) else seed for seed in seeds]
