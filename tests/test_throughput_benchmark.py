"""The benchmarks of training: their statistics, their clocks, and their workers."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import same_learning  # noqa: E402
import same_learning_results as results  # noqa: E402
import throughput  # noqa: E402
from equivalence import equivalence, student_t_cdf, student_t_quantile  # noqa: E402
from throughput_workers import cleanrl_style, environments, summary  # noqa: E402
from throughput_workers.clocks import Clocks  # noqa: E402
from throughput_workers.networks import ResNet18  # noqa: E402
from throughput_workers.pool import Setup, workers  # noqa: E402
from throughput_workers.workloads import (  # noqa: E402
    CEILINGS,
    IMPLEMENTATIONS,
    WORKLOADS,
    Workload,
)


def report(seconds: float, update: float, iterations: int = 2) -> dict[str, Any]:
    phases = {"env": 0.0, "rollout": seconds - update, "update": update, "other": 0.0}
    return {
        **{"iterations": iterations, "seconds": seconds, "cpu_seconds": seconds / 2},
        **{"phases": phases, "peak_mib": 100.0},
    }


def test_ratios_pair_the_rounds() -> None:
    # The machine slowed down tenfold in the second round, for both.
    baseline, times = np.array([1.0, 10.0, 1.0]), np.array([0.5, 5.0, 0.25])
    ratio, low, high = summary.paired_ratio(baseline, times)
    assert ratio == 2.0
    assert 2.0 <= low <= ratio <= high <= 4.0


def test_a_summary_counts_iterations_phases_and_the_ceiling() -> None:
    rounds = {
        "sb3": [report(2.0, 1.0), report(4.0, 2.0)],
        "ours": [report(2.0, 0.5, iterations=8), report(4.0, 1.0, iterations=8)],
        "env": [report(0.5, 0.0), report(0.5, 0.0)],
    }
    rows = summary.summarize(rounds, 1000, {"sb3": "env-sb3", "ours": "env"})
    assert rows["sb3"]["ratio"] == [1.0, 1.0, 1.0]
    assert rows["ours"]["ratio"] == [4.0, 4.0, 4.0]
    assert rows["ours"]["cpu_ratio"] == [4.0, 4.0, 4.0]
    assert rows["ours"]["update_ratio"] == [8.0, 8.0, 8.0]
    assert rows["ours"]["shares"]["update"] == pytest.approx(0.25)
    assert rows["sb3"]["steps_per_second"] == pytest.approx((1000 + 500) / 2)
    assert rows["sb3"]["of_ceiling"] is None
    assert rows["ours"]["of_ceiling"] == pytest.approx(3000 / 4000)
    assert rows["env"]["ratio"] is None


def test_clocks_charge_the_innermost_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def work(seconds: float) -> None:
        nonlocal now
        now += seconds

    # Sleeping takes longer than asked on a loaded machine, in one phase more than in another.
    monkeypatch.setattr(time, "perf_counter", lambda: now)

    class Venv:
        def step(self) -> None:
            self.step_async()
            self.step_wait()

        def step_async(self) -> None:
            work(0.02)

        def step_wait(self) -> None:
            work(0.02)

    class Learner:
        venv = Venv()

        def get_env(self) -> Venv:
            return self.venv

        def collect_rollouts(self) -> None:
            work(0.03)
            self.venv.step()
            self.venv.step_async()

        def train(self) -> None:
            work(0.05)

    learner, clocks = Learner(), Clocks()
    clocks.attach(learner)
    clocks.start()
    learner.collect_rollouts()
    learner.train()
    work(0.01)
    seconds = clocks.stop()
    expected = {"env": 0.06, "rollout": 0.03, "update": 0.05, "other": 0.01}
    assert seconds == pytest.approx(expected)
    assert clocks.entries == {"env": 2, "rollout": 1, "update": 1}
    assert "collect_rollouts" not in vars(Learner()), "only the learner that was given is wrapped"


def test_each_workload_has_the_baseline_and_knows_its_ceilings() -> None:
    for name, workload in WORKLOADS.items():
        assert "sb3" in workload.implementations, name
        assert set(workload.implementations) <= set(IMPLEMENTATIONS)
        for implementation in workload.implementations:
            ceiling = throughput.ceiling(workload, implementation)
            assert ceiling == "" or ceiling in workload.implementations
    assert throughput.ceiling(WORKLOADS["doorkey-8x128"], "ours-envpool") == "env-envpool"
    assert throughput.ceiling(WORKLOADS["nature-frozen"], "sb3") == "env"
    assert set(CEILINGS.values()) <= set(IMPLEMENTATIONS)


def test_synthetic_images_are_what_sb3_trains_on() -> None:
    venv = environments.SyntheticImages(2)
    model = PPO("CnnPolicy", venv, n_steps=100, batch_size=200, n_epochs=1, device="cpu")
    assert model.get_env() is venv, "channels come first, so nothing has to be transposed"
    model.learn(environments.EPISODE * 2)
    assert len(model.ep_info_buffer or ()) == 2
    first, second = venv.reset(), venv.step(np.zeros(2, np.int64))[0]
    assert first.dtype == np.uint8 and first.shape == (2, *environments.SHAPE)
    assert not np.array_equal(first, second)


def test_resnet18_has_the_size_of_the_paper_and_ignores_the_batch() -> None:
    torch.manual_seed(0)
    network = ResNet18(spaces.Box(0, 255, environments.SHAPE, np.uint8))
    weights = sum(p.numel() for p in network.parameters())
    # torchvision's has 11,176,512 without its last layer, of which 9,600 are of batch
    # normalization, and a first layer of 3 channels.
    assert weights == 11_176_512 - 9_600 + 64 * 7 * 7
    images = torch.rand(3, *environments.SHAPE)
    with torch.no_grad():
        together, alone = network(images), network(images[:1])
    assert together.shape == (3, 512)
    assert 0 < float(together.std()) < 1e3
    torch.testing.assert_close(together[:1], alone, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("task", ["CartPole-v1", "Pendulum-v1"])
def test_ppo_in_one_file_trains_actor_and_critic(task: str) -> None:
    model = cleanrl_style.PPO(
        task,
        **{"n_envs": 2, "n_steps": 16, "batch_size": 8, "n_epochs": 2, "seed": 0},
        device="cpu",
    )
    before = {name: value.clone() for name, value in model.agent.named_parameters()}
    model.learn(2 * 32)
    moved = {
        name for name, value in model.agent.named_parameters() if not value.equal(before[name])
    }
    assert moved == before.keys() - ({"log_std"} if task == "CartPole-v1" else set())
    assert model.rewards.abs().sum() > 0 and model.observations.isfinite().all()


def test_the_command_measures_and_writes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    chosen = "--workload cartpole-8x128 --implementations sb3,ours,env-sb3,sbx"
    short = "--quick --rounds 2 --seconds 0.01 --warm-up 1"
    monkeypatch.setattr(
        sys, "argv", ["throughput.py", *chosen.split(), *short.split(), "--out", str(tmp_path)]
    )
    assert throughput.main() == 0
    result = json.loads((tmp_path / "cpu-cartpole-8x128.json").read_text())
    facts, measured, rows = (result[key] for key in ("implementations", "measured", "rows"))
    assert measured.keys() >= {"sb3", "ours", "env-sb3"}
    # --quick leaves what was asked for.
    assert {len(reports) for reports in measured.values()} == {result["rounds"]} == {2}
    assert "sbx" in measured or "sbx" in facts["sbx"]["skipped"]
    for report in (report for reports in measured.values() for report in reports):
        assert sum(report["phases"].values()) == pytest.approx(report["seconds"])
        assert report["phases"]["env"] > 0 and report["peak_mib"] > 10
        assert 0 < report["cpu_seconds"] < 2 * report["seconds"] + 0.1
    assert all(measured[name][0]["phases"]["update"] > 0 for name in ("sb3", "ours"))
    assert "acts and updates by" in facts["ours"]["engine"]
    assert rows["sb3"]["ratio"] == [1.0, 1.0, 1.0] and rows["ours"]["ratio"][0] > 0
    page = (tmp_path / "cpu.md").read_text()
    assert page.count("\n| sb3 |") == 1
    assert "| sb3 |" in capsys.readouterr().out


def test_a_worker_that_fails_is_told_from_one_that_is_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(WORKLOADS, "broken", Workload(title="", env="CartPole-v1"))  # pyright: ignore[reportArgumentType]
    setup = Setup(sbx_python=Path("/nowhere/python"))
    with workers("broken", ["env-sb3", "sbx"], setup) as (ready, facts):
        assert not ready
    # The worker has not been patched, and knows no such workload.
    assert "KeyError" in facts["env-sb3"]["failed"]
    assert "/nowhere/python" in facts["sbx"]["failed"]


@pytest.mark.parametrize(
    ("benchmark", "arguments", "words"),
    [
        (throughput, "--workload chess", "cartpole-8x128"),
        (throughput, "--seconds 0", "--seconds 0.0: expected more"),
        (throughput, "--threads 4096", "--threads 4096: expected 1 to"),
        (same_learning, "--jobs 0", "--jobs 0: expected at least 1"),
    ],
)
def test_the_commands_refuse_what_does_not_exist(
    benchmark: Any,
    arguments: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *arguments.split()])
    with pytest.raises(SystemExit) as ended:
        benchmark.main()
    assert ended.value.code == 2 and words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("probability", "freedom", "expected"),
    # Tables of Student's t distribution.
    [(0.95, 9, 1.833113), (0.95, 1, 6.313752), (0.975, 30, 2.042272), (0.95, 1e5, 1.644869)],
)
def test_student_t(probability: float, freedom: float, expected: float) -> None:
    assert student_t_quantile(probability, freedom) == pytest.approx(expected, abs=2e-5)
    assert student_t_cdf(expected, freedom) == pytest.approx(probability, abs=1e-6)
    assert student_t_cdf(-expected, freedom) == pytest.approx(1 - probability, abs=1e-6)


def test_equivalence_of_one_group_is_the_paired_t_test() -> None:
    differences = [0.01, -0.02, 0.03, 0.0, -0.01]
    test = equivalence([differences], margin=0.05)
    error = np.std(differences, ddof=1) / math.sqrt(5)
    assert test.mean == pytest.approx(0.002)
    assert test.high - test.mean == pytest.approx(2.131847 * error, rel=1e-5)
    assert test.shown and test.p < 0.05
    tight = equivalence([differences], margin=0.015)
    assert not tight.shown and tight.p > 0.05


def test_equivalence_is_not_shown_by_a_difference_or_by_noise() -> None:
    rng = np.random.default_rng(0)
    assert not equivalence([(0.2 + 0.01 * rng.normal(size=10)).tolist()], 0.05).shown
    assert not equivalence([(0.5 * rng.normal(size=10)).tolist()], 0.05).shown
    assert equivalence([[0.0, 0.0]], 0.05).p == 0.0
    with pytest.raises(ValueError, match="2 differences"):
        equivalence([[0.1]], 0.05)


def test_the_tests_of_equivalence_keep_their_level() -> None:
    """At a true difference of the margin, at most 5 % of the tests show equivalence."""
    rng = np.random.default_rng(1)
    shown = [
        equivalence(
            [rng.normal(0.05, 0.04, 10).tolist(), rng.normal(0.05, 0.02, 10).tolist()], 0.05
        )
        for _ in range(2000)
    ]
    assert 0.03 < np.mean([test.shown for test in shown]) < 0.07


def run(implementation: str, seed: int, episodes: Sequence[tuple[int, float]]) -> dict[str, Any]:
    settings = {"steps": 2000, "random": 0.0, "reference": 100.0}
    return {
        **{"task": "Task", "implementation": implementation, "seed": seed, "settings": settings},
        **{"episodes": list(episodes), "engine": None, "versions": {}},
    }


def test_a_curve_is_normalized_and_filled() -> None:
    curve = results.curve(run("sb3", 0, [(100, 10.0), (100, 30.0), (1500, 50.0), (2048, 100.0)]))
    assert curve.shape == (results.PARTS,)
    assert curve[0] == pytest.approx(0.2), "the mean of the episodes of a part"
    assert curve[14] == pytest.approx(0.5)
    assert curve[7] == pytest.approx(0.35), "between its neighbors"
    assert curve[-1] == pytest.approx(1.0), "the last rollout goes past the budget"
    with pytest.raises(ValueError, match="no episode"):
        results.curve(run("sb3", 0, []))


def test_runs_are_the_same_until_an_episode_differs() -> None:
    episodes = [(100, 10.0), (200, 20.0), (300, 30.0)]
    one = run("sb3", 0, episodes)
    assert results.same_until(one, run("ours", 0, episodes)) == 2000
    assert results.same_until(one, run("ours", 0, [*episodes[:2], (300, 31.0)])) == 300
    assert results.same_until(one, run("ours", 0, episodes[:2])) == 300


def test_the_summary_pairs_seeds() -> None:
    runs = [
        run(implementation, seed, [(100, 10.0 * seed + bonus), (2000, 50.0)])
        for seed in range(4)
        for implementation, bonus in (("sb3", 0.0), ("ours", 2.0))
    ]
    found = results.summarize(runs)
    task = found["tasks"]["Task"]
    assert task["differences"] == pytest.approx([0.01] * 4)
    assert task["equivalence"]["high"] - task["equivalence"]["low"] == pytest.approx(0, abs=1e-9)
    page = results.document(
        {"command": "x", "margin": results.MARGIN, "task_margin": results.TASK_MARGIN, **found}
    )
    assert "+0.010" in page and "same" in page


@pytest.mark.parametrize("implementation", results.IMPLEMENTATIONS)
def test_a_training_run_is_recorded_and_reused(implementation: str, tmp_path: Path) -> None:
    settings = {
        **{"steps": 400, "random": -1208.0, "reference": -168.0, "n_envs": 2, "normalize": True},
        "hyperparameters": {"n_steps": 32, "batch_size": 32, "n_epochs": 1},
    }
    case = ("Pendulum-v1", settings, implementation, 1000, tmp_path)
    trained = same_learning.run_once(*case)
    # Two environments, whose episodes of 200 steps end in the rollout of steps 192 to 224, and
    # their own rewards, whatever is normalized.
    assert [steps for steps, _ in trained["episodes"]] == [448, 448]
    assert all(-2000 < score < -200 for _, score in trained["episodes"])
    (path,) = tmp_path.iterdir()
    written = path.stat().st_mtime_ns
    assert same_learning.run_once(*case)["episodes"] == [list(e) for e in trained["episodes"]]
    assert path.stat().st_mtime_ns == written
    same_learning.run_once("Pendulum-v1", {**settings, "steps": 64}, *case[2:])
    assert path.stat().st_mtime_ns != written, "other settings are another run"


def test_every_episode_of_a_rollout_is_recorded() -> None:
    model = PPO(
        "MlpPolicy",
        make_vec_env("FrozenLake-v1", 8, seed=0),
        **{"n_steps": 256, "batch_size": 2048, "n_epochs": 1, "seed": 0, "device": "cpu"},
    )
    episodes = same_learning.record(model, 2048)
    # SB3 itself remembers 100.
    assert len(episodes) > 150
    assert {steps for steps, _ in episodes} == {2048}
    assert {score for _, score in episodes} == {0.0, 1.0}
