"""The benchmark of similarities: what it keeps, and its numbers."""

from __future__ import annotations

import csv
import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import similarity as command  # noqa: E402
from similarity_parts import choices, correlations, measuring, page, settings  # noqa: E402

import rltransfer as rlt  # noqa: E402
from rltransfer.similarity import MEASURES  # noqa: E402

PAIRS = ("a", "b", "c", "d", "e", "f")
FAMILIES = dict(zip(PAIRS, ("x", "x", "x", "y", "y", "y"), strict=True))
GAINS = dict(zip(PAIRS, (0.1, 0.2, 0.3, 0.4, 0.5, 0.6), strict=True))


def table(**given: list[float]) -> dict[str, dict[str, float]]:
    """Measures by pair; those that are not given are unknown."""
    known = {name: given.get(name, [math.nan] * len(PAIRS)) for name in MEASURES}
    return {pair: {name: known[name][i] for name in known} for i, pair in enumerate(PAIRS)}


def test_there_are_enough_pairs_and_their_gains_are_on_one_scale() -> None:
    assert len(set(settings.PAIRS)) == len(settings.PAIRS) >= 15
    for name in settings.PAIRS:
        task = rlt.task(rlt.pairs()[name].target)
        assert task.random is not None and task.reference is not None, name
    assert set(settings.FIXED) | set(settings.SELECTORS) | {"scratch"} == set(settings.ARMS)


def test_measures_are_turned_round_and_ranked() -> None:
    measures = table(zero_shot=[1, 2, 3, 4, 5, 6], dynamics_gap=[1, 2, 3, 4, 5, 6])
    found = correlations.correlations(measures, GAINS, FAMILIES, "full")
    found = correlations.adjusted({"full": found, "other": found})["full"]
    by_name = {one.measure: one for one in found}
    assert found[0].measure == "zero_shot" and found[0].spearman[0] == pytest.approx(1)
    assert by_name["dynamics_gap"].spearman[0] == pytest.approx(-1)
    assert by_name["dynamics_gap"].kendall[0] == pytest.approx(-1)
    # Of 720 orders two correlate perfectly; two measures of two gains are known.
    assert found[0].p == pytest.approx(2 / 720) and found[0].p_holm == pytest.approx(8 / 720)
    assert math.isnan(by_name["cka"].spearman[0]) and by_name["cka"].pairs == 0


def test_a_measure_that_only_tells_families_apart_says_nothing_within_them() -> None:
    x, y = np.array([3.0, 2, 1, 6, 5, 4]), np.array([1.0, 2, 3, 4, 5, 6])
    assert correlations.within_families(x, y, list(FAMILIES.values())) == -1
    flat = np.array([1.0, 1, 1, 2, 2, 2])
    assert math.isnan(correlations.within_families(flat, y, list(FAMILIES.values())))
    half = np.array([1.0, 1, 2, 1, 2, 1])
    # Couples that differ: (a, c), (b, c), (d, e) in order, (e, f) not; 2 / sqrt(4 * 6).
    assert correlations.within_families(half, y, list(FAMILIES.values())) == pytest.approx(
        2 / math.sqrt(24)
    )


def test_selectors_are_compared_over_pairs() -> None:
    gains = {
        "p": {"one": 0.5, "two": 0.1},
        "q": {"one": 0.2, "two": 0.3},
        "r": {"one": 1, "two": 0},
    }
    found = choices.difference(gains, "one", "two")
    assert found.mean == pytest.approx(1.3 / 3) and (found.better, found.pairs) == (2, 3)
    # Standard error of 0.4, -0.1 and 1.0 is 0.31798, the t quantile 4.3027.
    assert found.high - found.mean == pytest.approx(4.3027 * 0.31798, rel=1e-3)
    assert found.p == pytest.approx(4 / 8)


def test_choices_are_counted_by_their_words() -> None:
    runs = [
        SimpleNamespace(choice=f"similarity 0.9 (a, b): {words}", spec=SimpleNamespace(label=arm))
        for arm, words in (
            ("s", "model: all"),
            ("s", "model: all"),
            ("s", "features: x"),
            ("z", ""),
        )
    ]
    gain: Any = SimpleNamespace(runs=runs)
    assert choices.chosen(gain, "s") == {"model: all": 2, "features: x": 1}


def test_similarities_are_kept_and_not_measured_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = rlt.load("cartpole")
    wanted = [
        measuring.Wanted(pair="p", agent=agent, target="CartPole-v1", seed=seed) for seed in (0, 1)
    ]
    asked = []

    def measured(agent: Any, target: str, *, seed: int, device: str) -> rlt.Similarity:
        asked.append(seed)
        return rlt.Similarity(source="cartpole", target=target, zero_shot=0.5 + seed)

    monkeypatch.setattr(measuring, "similarity", measured)
    for one in wanted:
        measuring._measure(one, tmp_path)
    found = measuring.measure_all(wanted, tmp_path, 1)["p"]
    assert asked == [0, 1] and found["zero_shot"] == 1 and math.isnan(found["cka"])
    other = measuring.Wanted(pair="p", agent=agent, target="rlt/CartPoleLong-v0", seed=0)
    assert other.path(tmp_path) != wanted[0].path(tmp_path)


def correlated(measures: dict[str, dict[str, float]]) -> list[correlations.Correlation]:
    found = correlations.correlations(measures, GAINS, FAMILIES, "full")
    return correlations.adjusted({"full": found})["full"]


def test_the_page_says_what_is_clear_and_what_is_not() -> None:
    measures = table(zero_shot=[1, 2, 3, 4, 5, 6], cka=[2, 1, 4, 3, 6, 5])
    found = correlated(measures)
    assert "clearly no chance: `zero_shot` (+1.00)" in page._correlations("full", found)
    unclear = correlated(table(cka=[2, 1, 6, 3, 4, 5]))
    assert "No measure orders the pairs" in page._correlations("full", unclear)
    rows = list(csv.DictReader(page.correlations_csv({"full": found}).decode().splitlines()))
    assert rows[0]["measure"] == "zero_shot" and float(rows[0]["spearman"]) == 1
    assert rows[-1]["spearman"] == "", "what is not known is left empty"


@pytest.mark.parametrize("given", [("runs", "out"), ("runs",), ()])
def test_a_folder_is_made_only_where_it_is_needed(
    given: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command.tempfile, "tempdir", str(tmp_path))
    for name in ("_case", "_wanted", "_train", "write"):
        monkeypatch.setattr(command, name, lambda *_: [])
    monkeypatch.setattr(command, "measure_all", lambda *_: {})
    flags = [part for name in given for part in (f"--{name}", str(tmp_path / name))]
    assert command.main(["--smoke", *flags]) == 0
    assert len(list(tmp_path.glob("similarity-*"))) == (len(given) < 2)


@pytest.mark.slow
def test_a_command_writes_a_page_and_tables_and_repeats_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--smoke", "--jobs", "2", "--seeds", "1", "--pairs", "cartpole-swapped"]
    given += ["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]
    assert command.main(given) == 0
    text = (tmp_path / "out" / "similarity.md").read_text()
    assert "| cartpole-swapped | " in text and "1 paired seeds of every recipe" in text
    rows = list(csv.DictReader((tmp_path / "out" / "pairs.csv").read_text().splitlines()))
    assert rows[0]["pair"] == "cartpole-swapped" and float(rows[0]["control_cosine"]) < -0.9
    capsys.readouterr()
    assert command.main(given) == 0
    assert "measured" not in capsys.readouterr().out
    assert (tmp_path / "out" / "similarity.md").read_text() == text
