"""Measuring a transfer: recipes against training from scratch, paired by seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rltransfer.agents import Agent, load
from rltransfer.agents.multitask.names import of_one_task
from rltransfer.errors import BadArgument
from rltransfer.experiments.compare import compare
from rltransfer.experiments.gain import Gain
from rltransfer.experiments.jobs import Watch
from rltransfer.experiments.planning import SCRATCH, Comparing
from rltransfer.experiments.spec import check_seed
from rltransfer.presets import recipe as preset
from rltransfer.recipe import Recipe
from rltransfer.registry import Pair
from rltransfer.vec import Vec


def measure(
    source: Agent | str | Path | Sequence[Agent | str | Path],
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
    controls: Sequence[str] = (),
    unrelated: Agent | str | Path | None = None,
    **hyperparameters: Any,
) -> Gain:
    """Fine-tune with a recipe and train from scratch, for several seeds, and compare.

    Both arms have the same budget, architecture, hyperparameters, training seeds and held-out
    evaluation episodes, starting with one at step 0. Steps that a recipe spends before learning
    (probing, refitting the critic) are part of its budget.

    Args:
        source: An agent, the name of a zoo agent, or a path; or several checkpoints of one source,
            which were trained alike with other seeds. Only then do the intervals speak of sources
            like these, and not of this one alone.
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
        controls: Names of control arms, see :mod:`rltransfer.experiments.controls`. A gain is
            called knowledge only where it beats those too.
        unrelated: Agent of another task, for the control of that name.
        **hyperparameters: Changes to the source's hyperparameters, in every arm.

    Raises:
        BadArgument: ``steps``, ``seeds`` or ``jobs`` is out of range, sources were not trained
            alike, or a control lacks what it needs.
        NotWritable: ``out`` cannot be written.
        SweepFailed: Some runs failed; all others are finished, and kept in ``out``.
        TransferError: A run cannot work; the message begins with its name.
    """
    label = label or default_label(target)
    comparing = Comparing(
        label=label,
        sources=agents_of(source, classes),
        target=target,
        recipes=_arms(recipe),
        steps=steps,
        controls=tuple(controls),
        unrelated=None if unrelated is None else agents_of(unrelated, classes)[0],
        settings={
            "points": points,
            "episodes": episodes,
            "max_steps": max_steps,
            "device": device,
            "vec": vec,
            "hyperparameters": hyperparameters,
        },
    )
    place = Path(out) if out else None
    return compare(
        [comparing], seeds=_seeds(seeds), expect=[expect], out=place, processes=jobs, watch=watch
    )[0]


def agents_of(
    source: Agent | str | Path | Sequence[Agent | str | Path],
    classes: Mapping[str, type] | None = None,
) -> list[Agent]:
    """Load one source, or several checkpoints of one.

    Args:
        source: An agent, the name of a zoo agent, a path, or several of these.
        classes: Your own classes that they were built with, by name.
    """
    several = [source] if isinstance(source, Agent | str | Path) else source
    found = [one if isinstance(one, Agent) else load(one, classes=classes) for one in several]
    return [of_one_task(agent, "measure") for agent in found]


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
