"""The study behind README's figures: pairs x recipes x source checkpoints x seeds, with controls.

    python benchmarks/study.py                         # all of it: hours on two cores
    python benchmarks/study.py --pairs cartpole-long --seeds 3 --out /tmp/a-part-of-it

Runs go to --runs, where finished ones are reused when the command is repeated; the report, the
tables and the curves go to --out. The first source checkpoint of each family is the zoo's; the
others were trained in the same way with other seeds, and are kept in --sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rltransfer.agents import Agent, load
from rltransfer.experiments import folders
from rltransfer.experiments.controls import CONTROLS
from rltransfer.experiments.planning import SCRATCH, Comparing
from rltransfer.recipe import recipe
from rltransfer.registry import pair
from rltransfer_zoo import train as zoo

PAIRS = (
    "cartpole-long",
    "cartpole-far",
    "cartpole-slow-control",
    "cartpole-swapped",
    "cartpole-permuted",
    "acrobot-heavy",
    "acrobot-weak",
    "acrobot-flipped",
    "mountaincar-continuous-weak",
    "mountaincar-continuous-flipped",
    "pendulum-strong-gravity",
    "pendulum-flipped",
)
CONTROLLED = (
    "cartpole-long",
    "cartpole-slow-control",
    "acrobot-heavy",
    "mountaincar-continuous-weak",
)
RECIPES = (SCRATCH, "full", "head", "gradual", "auto")
UNRELATED = {
    "cartpole": "acrobot",
    "acrobot": "cartpole",
    "mountaincar-continuous": "pendulum",
    "pendulum": "mountaincar-continuous",
}
"""Whose trunk each source gets in the control of that name."""
BUDGETS = {"pendulum-strong-gravity": 30_000, "pendulum-flipped": 30_000}
"""Budgets other than the pair's own: a step of these costs four times the others'."""
FACTORS = (0.3, 1.0, 3.0)
"""Learning rates that scratch is tuned over, as multiples of the source's."""
TUNING_SEEDS = (900, 901, 902)
"""Never reported: scratch's own learning rate is chosen on them."""
SETTINGS = {"points": 10, "episodes": 20, "device": "cpu"}
HERE = Path(__file__).parent
OUT = HERE / "results" / "study"


def checkpoints(name: str, count: int, folder: Path) -> list[Agent]:
    """Source checkpoints of a zoo agent: the zoo's own, and others with seeds 1, 2, ...

    Those that are not in the folder are trained.
    """
    agents = [load(name)]
    for seed in range(1, count):
        path = folder / f"{name}-seed{seed}"
        if not path.with_suffix(".json").exists():
            folders.create(folder)
            zoo.train(name, folder, seed=seed, store_as=path.name)
        agents.append(load(path))
    return agents


def comparing(name: str, sources: Sequence[Agent], *, rate: float | None) -> Comparing:
    """What is compared on one pair; ``rate`` is what tuning found, None for no controls."""
    found = pair(name)
    other = UNRELATED.get(found.agent or "")
    return Comparing(
        label=name,
        sources=sources,
        target=found.target,
        recipes={one: recipe(one) for one in RECIPES},
        steps=BUDGETS.get(name, found.steps),
        controls=tuple(CONTROLS) if rate is not None else (),
        unrelated=load(other) if other and rate is not None else None,
        tuned_rate=rate,
        settings=SETTINGS,
    )
