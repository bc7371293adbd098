"""Running strategies on pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rltransfer import report
from rltransfer.agents import Agent
from rltransfer.experiments.gain import comparison
from rltransfer.experiments.jobs import Job
from rltransfer.experiments.planning import SCRATCH, TUNED, Comparing, Plan
from rltransfer.experiments.sweep import sweep
from rltransfer.experiments.tuning import tuned, tuning_jobs
from rltransfer.presets import recipe as preset
from rltransfer.recipe import Recipe
from strategy_parts.fitting import fitted
from strategy_parts.pairs import BUDGET, Setup

SETTINGS: Mapping[str, Any] = {"points": 10, "episodes": 20, "device": "cpu"}
# Those whose recipe carries the whole source over need its spaces.
SAME_SPACES = ("zero-shot", "permuted")
CONTROLS = (
    *("scratch-tuned", "scratch-longer", "zero-shot", "statistics", "permuted"),
    *("random-frozen", "unrelated", "reset-heads"),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """What strategies came to on one pair.

    Attributes:
        setup: The pair.
        comparison: The learning curves.
        summary: The numbers.
        refused: Why strategies do not apply, by name.
    """

    setup: Setup
    comparison: report.Comparison
    summary: report.Summary
    refused: Mapping[str, str]


def run(
    setup: Setup,
    strategies: Mapping[str, Recipe],
    *,
    seeds: Sequence[int],
    controls: bool,
    runs: Path,
    jobs: int,
    watch: Any = None,
) -> Result:
    """Run strategies on a pair, reusing the results that are there.

    Args:
        setup: The pair.
        strategies: Recipes by name, without scratch.
        seeds: Training seeds; seed i starts from source checkpoint i modulo their number.
        controls: Whether the control arms are run as well.
        runs: Folder of the results.
        jobs: Runs at a time.
        watch: Called as the runs proceed.
    """
    chosen = {name: fitted(one, setup) for name, one in strategies.items()}
    recipes = {name: one for name, one in chosen.items() if isinstance(one, Recipe)}
    arms = _controls(setup) if controls else ()
    execution = {"out": runs, "processes": jobs, "watch": watch}
    comparings = _comparings(setup, {SCRATCH: preset(SCRATCH), **recipes}, arms, execution)
    plans = [
        one.plan(setup.seeds_of(i, seeds))
        for i, one in enumerate(comparings)
        if setup.seeds_of(i, seeds)
    ]
    done = sweep(list(_jobs(plans)), list(_agents(plans)), **execution)
    compared = comparison(
        done, setup.sources[0], label=setup.pair.name, expect=setup.pair.expect, controls=arms
    )
    return Result(
        setup=setup,
        comparison=compared,
        summary=report.summarize(compared),
        refused={name: one for name, one in chosen.items() if isinstance(one, str)},
    )


def _controls(setup: Setup) -> tuple[str, ...]:
    different = isinstance(fitted(Recipe(), setup), str) or fitted(Recipe(), setup) != Recipe()
    return tuple(name for name in CONTROLS if not (different and name in SAME_SPACES))


def _comparings(
    setup: Setup, recipes: Mapping[str, Recipe], controls: Sequence[str], execution: Any
) -> list[Comparing]:
    first = Comparing(
        label=setup.pair.name,
        sources=setup.sources[:1],
        target=setup.pair.target,
        recipes=recipes,
        steps=BUDGET,
        controls=controls,
        unrelated=setup.unrelated if controls else None,
        settings=SETTINGS,
    )
    if TUNED in controls:  # on the first checkpoint, whose hyperparameters all share
        listed = tuning_jobs(first)
        first = tuned(first, sweep(listed, setup.sources[:1], **execution))
    return [replace(first, sources=[source]) for source in setup.sources]


def _jobs(plans: Sequence[Plan]) -> Iterator[Job]:
    return (job for plan in plans for job in plan.jobs)


def _agents(plans: Sequence[Plan]) -> Iterator[Agent]:
    return (agent for plan in plans for agent in plan.agents.values())
