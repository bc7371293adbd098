"""The benchmark of learning many tasks: its runs, what it keeps of them, and its numbers."""

from __future__ import annotations

import csv
import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import multitask  # noqa: E402
from multitask_parts import (  # noqa: E402
    backbone,
    family,
    learning,
    pool,
    retention,
    rooms,
    settings,
    stats,
)
from multitask_parts.jobs import Job, with_needs  # noqa: E402

from rltransfer.errors import BadArgument, UnknownName  # noqa: E402

TINY = {
    **{"tasks": ["CartPole-v1", "Pendulum-v1"], "task_options": {}, "steps_per_task": 32},
    **{"n_envs": 2, "vec": "sync", "batch_per_task": 16, "points": 1, "episodes": 2},
    **{"final_episodes": 2, "stochastic": False, "hyperparameters": {"n_steps": 16}},
    "policy": {"normalize_observations": True, "width": 8, "trunk_kwargs": {"sizes": [8]}},
}


def job(name: str = "multi", seed: int = 0, **changes: Any) -> Job:
    return Job(part="classic4", arm=name, seed=seed, settings={**TINY, **changes})


def test_a_command_writes_a_page_rows_and_a_figure_and_repeats_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = json.dumps(["CartPole-v1", "Pendulum-v1"])
    arms = "multi,single-CartPole-v1,single-Pendulum-v1"
    command = ["--smoke", "--part", "a", "--arms", arms, "--jobs", "1", "--seeds", "1"]
    command += ["--set", f"classic4.tasks={tasks}", "--set", "classic4.task_options={}"]
    assert multitask.main([*command, "--out", str(tmp_path)]) == 0
    page = (tmp_path / "multitask.md").read_text()
    assert "| CartPole-v1 | " in page
    assert "128 steps in all" in page
    rows = list(csv.DictReader((tmp_path / "classic4.csv").read_text().splitlines()))
    finals = {
        (row["arm"], row["task"]): float(row["normalized"])
        for row in rows
        if row["measure"] == "final_return"
    }
    ratio = next(row for row in rows if row["measure"] == "ratio_to_single")
    expected = finals["multi", ratio["task"]] / finals[f"single-{ratio['task']}", ratio["task"]]
    assert float(ratio["value"]) == pytest.approx(expected, rel=1e-4)
    assert (tmp_path / "classic4.png").read_bytes()[:4] == b"\x89PNG"
    capsys.readouterr()
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}
    assert len(times) == 3
    assert multitask.main([*command, "--out", str(tmp_path)]) == 0
    assert "3 runs are there already" in capsys.readouterr().out
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}


def test_a_frozen_trunk_retains_all(tmp_path: Path) -> None:
    command = ["--smoke", "--part", "d", "--jobs", "1", "--seeds", "1", "--out", str(tmp_path)]
    assert multitask.main(command) == 0
    rows = list(csv.DictReader((tmp_path / "retention.csv").read_text().splitlines()))
    kept = {
        row["measure"]: float(row["value"])
        for row in rows
        if row["arm"] == "frozen" and row["measure"].startswith("retention_")
    }
    assert kept == {"retention_CartPole-v1": 0.0, "retention_Pendulum-v1": 0.0}
    assert {row["arm"] for row in rows if row["seed"] == "all"} == set(retention.WORDS)


def test_the_same_run_gives_the_same_numbers_and_counts_its_steps(tmp_path: Path) -> None:
    results = []
    for folder in ("one", "two"):
        assert pool.run_one(job(), tmp_path / folder) is None
        result = job().read(tmp_path / folder)
        assert result is not None
        results.append(result)
    assert results[0]["curve"] == results[1]["curve"]
    assert results[0]["final"] == results[1]["final"]
    assert results[0]["steps"] == 64  # 32 for each of two tasks
    assert [row["steps"] for row in results[0]["curve"]] == [0, 0, 64, 64]


def test_other_settings_are_another_run(tmp_path: Path) -> None:
    done = job()
    done.write(tmp_path, {"seconds": 1.0})
    assert done.read(tmp_path)
    assert job(n_envs=4).read(tmp_path) is None
    assert job(seed=1).read(tmp_path) is None
    done.path(tmp_path).write_text("{broken")
    assert done.read(tmp_path) is None


def test_a_run_depends_on_the_settings_of_what_it_needs() -> None:
    before, after = (
        Job(part="family", arm="x", seed=0, settings={}, needs={"source": job(n_envs=n)})
        for n in (2, 4)
    )
    assert before.digest != after.digest
    assert [one.arm for one in with_needs([before])] == ["multi", "x"]


class Deadly(dict):
    """Settings that end the process that receives them."""

    def __reduce__(self) -> Any:
        return os._exit, (3,)


def test_runs_that_fail_or_die_are_named_and_the_others_go_on(tmp_path: Path) -> None:
    wrong = job("wrong", tasks=["NoSuchTask-v0"])
    needing = Job(part="classic4", arm="needing", seed=0, settings=TINY, needs={"source": wrong})
    deadly = Job(part="classic4", arm="deadly", seed=0, settings=Deadly())
    finished = pool.run_all([deadly, needing, job()], tmp_path, 1)
    assert set(finished.results) == {job().name}
    assert "exit code 3" in finished.failed[deadly.name]
    assert "NoSuchTask-v0" in finished.failed[wrong.name]
    assert "NoSuchTask-v0" in wrong.path(tmp_path).with_suffix(".failed").read_text()
    assert finished.failed[needing.name] == f"it needs {wrong.name}, which failed"


def test_settings_can_be_changed_by_name() -> None:
    changed = settings.settings(
        smoke=False, steps_per_task=7, changes=["classic4.hyperparameters.n_epochs=3"]
    )
    assert changed["classic4"]["hyperparameters"]["n_epochs"] == 3
    assert changed["family"]["steps_per_task"] == 7
    assert settings.SETTINGS["classic4"]["hyperparameters"]["n_epochs"] != 3
    for wrong, error in (("classic5.n=1", UnknownName), ("n=1", BadArgument), ("a.b", BadArgument)):
        with pytest.raises(error):
            settings.settings(smoke=False, steps_per_task=None, changes=[wrong])


def test_the_backbone_is_carried_and_the_heads_are_not(tmp_path: Path) -> None:
    def model(tasks: list[str], seed: int) -> Any:
        options = {id: {"encoder": "shared"} for id in tasks}
        return learning.build({**TINY, "task_options": options}, tasks, seed)

    tasks = ["CartPole-v1", "rlt/CartPoleLong-v0"]
    source, target = model(tasks[:1], 0), model(tasks, 1)
    source.policy.observation_stats["shared"].mean += 3
    heads = target.policy.action_heads["CartPole-v1"].weight.clone()
    backbone.save(source, tmp_path / "source")
    weights = backbone.load(tmp_path / "source")
    assert backbone.put(target, weights) == []
    for stream in ("actor", "critic"):
        one, other = getattr(source.policy, stream), getattr(target.policy, stream)
        for a, b in zip(one.parameters(), other.parameters(), strict=True):
            assert torch.equal(a, b)
    assert torch.equal(target.policy.action_heads["CartPole-v1"].weight, heads)
    assert target.policy.observation_stats["shared"].mean[0] == 3
    shuffled = backbone.permuted(weights, 0)
    key = "actor.trunk.layers.0.0.weight"
    assert not torch.equal(shuffled[key], weights[key])
    assert torch.equal(shuffled[key].flatten().sort()[0], weights[key].flatten().sort()[0])
    assert torch.equal(shuffled["observation_stats.shared.mean"],
                       weights["observation_stats.shared.mean"])  # fmt: skip
    for one in (source, target):
        one.get_env().close()


def test_areas_over_rooms_and_their_difference() -> None:
    def result(arm: str, seed: int, first: float, last: float) -> dict[str, Any]:
        curve = [
            {"steps": steps, "task": task, "mean": value + shift}
            for steps, value in ((0, first), (10, last))
            for task, shift in (("a", 0.0), ("b", 0.2))
        ]
        final = {"a": {"mean": last}, "b": {"mean": last + 0.2}}
        return {"settings": {"label": arm}, "seed": seed, "curve": curve, "final": final}

    results = [
        *(result("scratch", seed, 0.0, 0.4) for seed in (0, 1)),
        *(result("transfer", seed, 0.2, 0.6 + seed / 10) for seed in (0, 1)),
    ]
    scratch, transfer = (
        rooms.scores(results, arm, ["a", "b"], "auc", "mean") for arm in ("scratch", "transfer")
    )
    assert scratch == pytest.approx({0: 0.3, 1: 0.3})
    assert transfer == pytest.approx({0: 0.5, 1: 0.55})
    found = stats.difference(transfer, scratch)
    # Mean 0.225, standard error 0.025, and 12.706 is the quantile for one degree of freedom.
    assert found == pytest.approx((0.225, 0.225 - 12.706 * 0.025, 0.225 + 12.706 * 0.025), abs=1e-3)


def test_the_best_single_source_is_chosen_by_its_mean() -> None:
    given = {"tasks": ["CartPole-v1", "rlt/CartPoleGravity-v0"], "recipes": ["full"]}
    given["targets"] = ["rlt/CartPoleLong-v0"]
    scores = {"multi": (100, 300), "CartPole-v1": (500, 20), "CartPoleGravity-v0": (200, 250)}
    results = [
        {
            **{"seed": seed, "zero_shot": value},
            "settings": {"target": given["targets"][0], "label": f"{origin}-full"},
        }
        for origin, values in scores.items()
        for seed, value in enumerate(values)
    ]
    (found,) = family.comparisons(given, results, "zero-shot")
    assert found["name"] == "CartPole-v1"
    expected = learning.normalized(given["targets"][0], np.array(scores["multi"]))
    assert list(found["multi"].values()) == pytest.approx(expected.tolist())


def test_sign_tests_and_ratios_by_hand() -> None:
    assert stats.sign_test([1, 1, 1, 1, 1, 0]) == (5, 0, 0.0625)
    assert stats.sign_test([1, -1, 0]) == (1, 1, 1.0)
    value, low, high = stats.ratio({0: 2.0, 1: 4.0, 2: 9.0}, {0: 1.0, 1: 2.0, 3: 1.0})
    assert value == low == high == 2.0
    assert math.isnan(stats.ratio({0: 1.0}, {0: 2.0}).low)
    assert str(stats.mean([1.0])) == "1.000"
