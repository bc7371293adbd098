"""The strategy table and the comparison of continual methods, in tiny."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

import rltransfer as rlt
from rltransfer.errors import BadCheckpoint
from rltransfer.presets import PRESETS
from rltransfer.recipe import Recipe

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def _scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_pairs_are_registered_and_none_is_in_both_sets() -> None:
    from strategy_parts.pairs import DEVELOPMENT, HELD_OUT, UNRELATED

    assert not set(DEVELOPMENT) & set(HELD_OUT)
    kinds = {"near", "far", "negative", "sensor shift", "action change", "reward change"}
    assert set(DEVELOPMENT.values()) == kinds
    for name in (*DEVELOPMENT, *HELD_OUT):
        found = rlt.pairs()[name]
        assert found.agent in UNRELATED and rlt.task(found.target).reference is not None


def test_each_seed_has_one_source_and_each_source_its_share() -> None:
    from strategy_parts.pairs import setup

    one = setup("cartpole-far")
    assert one.sources[0].card.name == "cartpole" and len(one.sources) == 3
    assert [one.seeds_of(i, range(5)) for i in range(3)] == [[0, 3], [1, 4], [2]]


def test_what_does_not_fit_starts_fresh_and_what_cannot_be_is_said() -> None:
    from strategy_parts.fitting import fitted
    from strategy_parts.pairs import setup

    other_actions = setup("cartpole-continuous")
    assert fitted(Recipe(), other_actions) == Recipe(reset=["actor.head", "actor.std"])
    why = fitted(PRESETS["kickstart"], other_actions)
    assert isinstance(why, str) and "what the source would do" in why
    assert fitted(Recipe(), setup("cartpole-far")) == Recipe()


def test_continual_methods_are_compared_and_finished_sequences_reused(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "continual.py"), "--seeds", "2", "--steps", "256"]
    command += ["--methods", "finetune,scratch", "--jobs", "1"]
    command += ["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]
    for _ in range(2):
        subprocess.run(command, check=True, capture_output=True, timeout=600)
        times = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}
    assert len(times) == 4 and min(times.values()) > 0
    page = (tmp_path / "out" / "continual.md").read_text()
    assert "| scratch |" in page and "## finetune" in page
    with (tmp_path / "out" / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 6 * 5


@pytest.mark.parametrize("text", ['{"scores": [[0', "[]", '{"scores": []}'])
def test_a_damaged_sequence_is_named(text: str, tmp_path: Path) -> None:
    import continual

    (tmp_path / "finetune-256-0.json").write_text(text)
    with pytest.raises(BadCheckpoint, match=r"finetune-256-0\.json is damaged: delete it"):
        continual.read("finetune", 0, 256, tmp_path)


def test_the_page_counts_what_is_played_again() -> None:
    import continual

    said = continual._played_again(20_000)
    assert "10,000 and 2,000 states" in said and "40,000, 8,000 and 40,000 steps" in said
    assert said in (continual.OUT / "continual.md").read_text()


def test_the_command_of_a_table_has_the_first_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import strategies

    given = ["--first-seed", "3", "--runs", str(tmp_path), "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["strategies.py", "--pairs", "", "--no-controls", *given])
    monkeypatch.setattr(strategies, "setup", lambda name: name)
    monkeypatch.setattr(strategies, "run", lambda *_, **__: None)
    monkeypatch.setattr(strategies, "markdown", lambda *_: "")
    monkeypatch.setattr(strategies, "rows", lambda *_: "")
    monkeypatch.setattr(strategies, "_refusals", lambda _: [])
    assert strategies.main() == 0
    command = f"--seeds 5 --first-seed 3 --no-controls --out {tmp_path}`"
    assert command in (tmp_path / "table.md").read_text()


def test_starts_are_written_as_they_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import meta

    row = ("reptile, randomized", meta.HELD_OUT[0], 0, 0.25, 0.5, 0.25, 0.25)
    monkeypatch.setattr(meta, "run", lambda *_: [row])
    monkeypatch.setattr(meta, "page", lambda *_: "")
    assert meta.main(["--out", str(tmp_path)]) == 0
    for path in (tmp_path / "meta.csv", meta.OUT / "meta.csv"):
        with path.open() as file:
            rows = list(csv.DictReader(file))
        assert "reptile, randomized" in {one["start"] for one in rows}
        assert all(
            float(one["gain"]) == float(one["auc"]) - float(one["auc_scratch"]) for one in rows
        )


@pytest.mark.slow
def test_the_strategy_table_in_tiny(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "strategies.py"), "--pairs", "cartpole-swapped"]
    command += ["--strategies", "full,kickstart", "--seeds", "1", "--no-controls", "--jobs", "1"]
    command += ["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    table = (tmp_path / "out" / "table.md").read_text()
    assert "| full |" in table and "Every strategy applies to every pair." in table
    with (tmp_path / "out" / "rows.csv").open() as file:
        assert [row["strategy"] for row in csv.DictReader(file)] == ["scratch", "full", "kickstart"]
