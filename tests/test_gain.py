"""Finished runs turned into a comparison."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rltransfer import load, report
from rltransfer.errors import BadArgument
from rltransfer.experiments.gain import comparison, gain
from rltransfer.experiments.run import Run
from rltransfer.experiments.spec import RunSpec
from rltransfer.presets import recipe as preset

TARGET = "rlt/CartPoleLong-v0"
AGENT = load("cartpole")


def run(label: str, seed: int, level: float, *, source: str = "cartpole", **spec: Any) -> Run:
    """A finished run that stayed at one return."""
    steps = spec.setdefault("steps", 4096)
    evaluated = spec.pop("evaluated", [0, 2048, 4096])
    made = RunSpec(
        source=source,
        source_hash=source,
        target=spec.pop("target", TARGET),
        recipe=preset("scratch" if label.startswith("scratch") else "full").to_dict(),
        label=label,
        seed=seed,
        **spec,
    )
    returns = np.full((len(evaluated), 5), level)
    at = np.array(evaluated, dtype=float)
    assert at[-1] == steps
    return Run(spec=made, steps=at, returns=returns, stochastic=returns - 1, choice="")


def many() -> list[Run]:
    runs = []
    for seed in (0, 1):
        longer = {"steps": 8192, "evaluated": [0, 4096, 8192]}
        runs.append(run("scratch-longer", seed, 30.0, **longer))
        runs.append(run("scratch", seed, 20.0 + seed))
        for k, source in enumerate(("cartpole", "cartpole-seed1")):
            runs.append(run("full", seed, 100.0 + 10 * k, source=source))
            still = {"train": False, "evaluated": [0, 4096]}
            runs.append(run("zero-shot", seed, 90.0, source=source, **still))
        runs.append(run("unrelated", seed, 50.0, source="pendulum"))
    return runs


def test_runs_of_several_sources_and_controls_are_sorted_out() -> None:
    found = comparison(
        many(),
        AGENT,
        label="long",
        sources=("cartpole", "cartpole-seed1"),
        controls=("scratch-longer", "zero-shot", "unrelated"),
    )
    assert found.budget == 4096
    assert found.sources == ("cartpole", "cartpole-seed1")
    kinds = {name: arm.kind for name, arm in found.arms.items()}
    assert kinds == {
        "scratch-longer": "control",
        "scratch": "baseline",
        "full": "method",
        "zero-shot": "control",
        "unrelated": "control",
    }
    for name in ("scratch", "scratch-longer", "unrelated"):  # shared by all sources
        assert found.arms[name].sources == ()
    assert found.arms["zero-shot"].sources == found.arms["full"].sources == found.sources
    rows = report.summarize(found)
    assert rows["full"].runs == 4
    assert rows["scratch-longer"].steps == 8192
    scale = found.reference - found.random  # pyright: ignore[reportOperatorIssue]
    assert rows["full"].gain.mean == pytest.approx((105 - 20.5) / scale)
    assert rows["full"].knowledge is not None


def test_one_source_needs_no_names() -> None:
    runs = [
        r for r in many() if r.spec.label in ("scratch", "full") and r.spec.source == "cartpole"
    ]
    found = gain(runs, AGENT, label="long")
    assert found.comparison.sources == ()
    assert found.summary["full"].seeds == (0, 1)
    assert [row.recipe for row in found.summary.rows] == ["scratch", "full"]


def test_runs_that_do_not_belong_together_are_refused() -> None:
    runs = many()
    with pytest.raises(BadArgument, match="each seed once for each source"):
        comparison(runs, AGENT, label="long")  # two runs a seed, told apart by their source alone
    with pytest.raises(BadArgument, match="no runs of the controls permuted"):
        comparison(runs, AGENT, label="long", controls=("permuted",))
    other = run("full", 0, 1.0, target="CartPole-v1")
    with pytest.raises(BadArgument, match=r"runs of CartPole-v1, rlt/CartPoleLong-v0"):
        comparison([*runs, other], AGENT, label="long")
