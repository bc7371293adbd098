"""Changes that are found, agents that are fine-tuned for them, and what agents do unchanged."""

import csv
import math
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import register
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

from rltransfer.agents import load
from rltransfer.changes import Cusum, Detector, alarms
from rltransfer.errors import BadArgument, SpaceMismatch, UnknownName
from rltransfer.evaluate import evaluate
from rltransfer.online import online
from rltransfer.online.acting import Player, Watch
from rltransfer.recipe import Recipe
from rltransfer.zero_shot import zero_shot

SWAPPED = "rlt/CartPoleSwapped-v0"


def test_the_sum_by_hand():
    detector = Detector(Cusum(warmup=2, slack=0.5, threshold=3.0))
    assert not detector.update(9.0) and not detector.update(11.0)  # mean 10, deviation sqrt(2)
    assert not detector.update(7.0)
    assert detector.statistic == pytest.approx(3 / math.sqrt(2) - 0.5)
    assert not detector.update(12.0)
    assert detector.statistic == 0.0  # a rise is no debt
    assert not detector.update(7.0) and detector.update(7.0)
    detector.clear()
    assert not detector.update(7.0) and detector.update(7.0)
    detector.reset()
    assert not detector.update(7.0) and detector.statistic == 0.0


def test_constant_returns_have_a_least_deviation():
    assert alarms([500.0] * 100) == []
    assert alarms([500.0] * 40 + [9.0] * 40) == [40]
    # 2 % of 500 is 10: a fall of 5 is half a deviation, less than the slack.
    assert alarms([500.0] * 40 + [495.0] * 200) == []
    assert alarms([0.0] * 40 + [-1.0]) == [40]


def test_alarms_are_rare_without_a_change_and_quick_after_one():
    rng = np.random.default_rng(0)
    quiet = rng.normal(100, 10, (100, 200))
    assert np.mean([bool(alarms(one)) for one in quiet]) < 0.1
    fallen = np.concatenate([quiet[:, :60], rng.normal(80, 10, (100, 60))], axis=1)
    found = [alarms(one) for one in fallen]
    delays = [one[0] - 59 for one in found if one]
    assert len(delays) == 100 and 4 <= np.median(delays) <= 9
    # A rise is no reason to train.
    risen = np.concatenate([quiet[:, :60], rng.normal(120, 10, (100, 60))], axis=1)
    assert np.mean([bool(alarms(one)) for one in risen]) < 0.1


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"warmup": 1}, "warmup"),
        ({"slack": -1}, "slack"),
        ({"threshold": 0}, "threshold"),
        ({"least": "a"}, "least"),
    ],
)
def test_settings_out_of_range_are_refused(settings, name):
    with pytest.raises(BadArgument, match=name):
        Cusum(**settings)


def test_a_value_that_is_not_finite_is_refused():
    with pytest.raises(BadArgument, match="finite"):
        alarms([1.0, math.nan])


def test_the_old_normal_holds_until_it_is_regained_or_given_up():
    settings = Cusum(warmup=3, slack=0.5, threshold=3.0)

    def heard(values, retries):
        watch = Watch(Detector(settings), retries)
        return [index for index, value in enumerate(values) if watch.alarms(value)]

    normal = [9.0, 10.0, 11.0]
    # Given up after two: what remains is the new normal, and a fall from there is an alarm.
    assert heard([*normal, *[0.0] * 6, -50.0], 2) == [3, 4, 9]
    # Regained at once, and a second change is a change of its own.
    assert heard([*normal, 0.0, *[10.0] * 3, *normal, 0.0], 2) == [3, 10]


def test_an_agent_is_trained_when_the_world_changes_and_not_before(tmp_path):
    settings = Cusum(warmup=4)
    stream = [("CartPole-v1", 6), (SWAPPED, 8)]
    options = {"n_envs": 8, "n_steps": 128, "learning_rate": 1e-3}
    run = online("cartpole", stream, "scratch", steps=15_000, detector=settings, **options)
    assert run.tasks == ("CartPole-v1",) * 6 + (SWAPPED,) * 8
    assert run.alarms[0] == 6 and run.retrainings[0].task == SWAPPED
    assert run.trained == sum(one.steps for one in run.retrainings) >= 15_000
    assert run.played == run.returns.sum()  # a reward of 1 a step
    assert run.returns[:6].min() == 500 and run.returns[6] < 20
    assert run.returns[-1] > 100
    assert run.agent.card.task == SWAPPED and run.agent.card.source == "cartpole"
    with run.write_csv(tmp_path / "run.csv").open() as file:
        assert [float(row["return"]) for row in csv.DictReader(file)] == run.returns.tolist()
    lines = (tmp_path / "run.csv").read_text().splitlines()
    assert len(lines) == 15 and lines[7].startswith(f"6,{SWAPPED},") and lines[7].endswith(",1")
    assert "fine-tuned" in str(run)


def test_without_a_change_nothing_is_trained():
    source = load("cartpole")
    run = online(source, [("CartPole-v1", 8)], steps=1_000, detector=Cusum(warmup=3))
    assert run.retrainings == () and run.trained == 0
    assert all(torch.equal(run.agent.weights[n], w) for n, w in source.weights.items())


def test_streams_that_cannot_be_played_are_refused():
    with pytest.raises(BadArgument, match="empty"):
        online("cartpole", [], steps=10)
    with pytest.raises(BadArgument, match="whole"):
        online("cartpole", [("CartPole-v1", 0)], steps=10)
    with pytest.raises(BadArgument, match="retries"):
        online("cartpole", [("CartPole-v1", 1)], steps=10, retries=0)
    detector: Any = "cusum"
    with pytest.raises(BadArgument, match="detector is 'cusum'"):
        online("cartpole", [("CartPole-v1", 1)], steps=10, detector=detector)
    with pytest.raises(UnknownName):
        online("cartpole", [("CartPole-v1", 1)], "fulll", steps=10)
    for wrong in (5, "CartPole-v1", ["CartPole-v1"], [("CartPole-v1", 1, 1)], [(None, 2)]):
        with pytest.raises(BadArgument, match="give tasks and episodes"):
            online("cartpole", wrong, steps=10)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("second", "options", "error"),
    [
        ("Pendulum-v1", {}, SpaceMismatch),
        ("CartPole-v7", {}, UnknownName),
        ("my/Endless-v0", {}, BadArgument),
        ("CartPole-v1", {"learning_rte": 3}, UnknownName),
        ("CartPole-v1", {"seed": "x"}, BadArgument),
        ("CartPole-v1", {"recipe": Recipe(freeze=["trunc"])}, UnknownName),
    ],
)
def test_nothing_is_played_before_all_is_checked(second, options, error, monkeypatch):
    register("my/Endless-v0", "gymnasium.envs.classic_control.cartpole:CartPoleEnv")
    played = []
    monkeypatch.setattr(Player, "play", lambda *given: played.append(given))
    with pytest.raises(error):
        online("cartpole", [("CartPole-v1", 1), (second, 1)], **{"steps": 10, **options})
    assert not played


class _Cut(CartPoleEnv):
    """Ends every episode after 10 steps: there is nothing to learn."""

    def reset(self, **options):
        self.taken = 0
        return super().reset(**options)

    def step(self, action):
        self.taken += 1
        state, reward, ended, cut, info = super().step(action)
        return state, reward, ended or self.taken >= 10, cut, info


def test_auto_goes_on_to_compare_with_the_score_of_the_first_agent():
    register("my/Cut-v0", lambda **given: _Cut(**given), max_episode_steps=500)
    settings = {"detector": Cusum(warmup=4), "n_envs": 2, "n_steps": 64, "batch_size": 64}
    stream = iter([("CartPole-v1", 4), ("my/Cut-v0", 6)])
    run = online("cartpole", stream, "auto", steps=512, **settings)
    assert len(run.returns) == 10 and len(run.retrainings) >= 2
    assert run.agent.card.score is None, "what nobody measured is not on the card"


def test_a_matrix_is_what_single_evaluations_say(tmp_path):
    tasks = ["CartPole-v1", "rlt/CartPoleFar-v0", "rlt/CartPoleWeak-v0", "Pendulum-v1"]
    matrix = zero_shot(["cartpole", "pendulum"], tasks, episodes=4)
    assert matrix.agents == ("cartpole", "pendulum") and matrix.scores.shape == (2, 4, 4)
    assert matrix.normalized == (True, True, False, True)
    for column, task in enumerate(tasks[:3]):
        alone = evaluate("cartpole", task, episodes=4)
        scores = alone.normalized() if matrix.normalized[column] else alone.returns
        np.testing.assert_array_equal(matrix.scores[0, column], scores)
    assert matrix.mean[0, 0] == 1.0 and matrix.mean[1, 3] > 0.8
    unfit = np.isnan(matrix.mean)
    np.testing.assert_array_equal(unfit, [[False] * 3 + [True], [True] * 3 + [False]])
    np.testing.assert_array_equal(np.isnan(matrix.ci[..., 0]), unfit)
    low, high = matrix.ci[0, 1]
    assert low <= matrix.mean[0, 1] <= high
    assert "rlt/CartPoleWeak-v0 (return)" in str(matrix)
    lines = matrix.write_csv(tmp_path / "matrix.csv").read_text().splitlines()
    assert len(lines) == 9 and lines[4] == "cartpole,Pendulum-v1,normalized,nan,nan,nan,4"


def test_names_with_commas_stay_in_their_column(tmp_path):
    matrix = zero_shot({"a pole, balanced": "cartpole"}, ["CartPole-v1"], episodes=2)
    with matrix.write_csv(tmp_path / "matrix.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["agent"] == "a pole, balanced" and row["episodes"] == "2"


def test_matrices_that_cannot_be_are_refused():
    with pytest.raises(BadArgument, match="at least one"):
        zero_shot([], ["CartPole-v1"])
    with pytest.raises(BadArgument, match="list"):
        zero_shot(["cartpole"], "CartPole-v1")
    with pytest.raises(BadArgument, match="list"):
        zero_shot("cartpole", ["CartPole-v1"])
    for wrong in (None, 5, iter(["CartPole-v1"])):
        with pytest.raises(BadArgument, match="list"):
            zero_shot(["cartpole"], wrong)  # pyright: ignore[reportArgumentType]
    with pytest.raises(BadArgument, match="give a list"):
        zero_shot(None, ["CartPole-v1"])  # pyright: ignore[reportArgumentType]
    with pytest.raises(BadArgument, match="same name"):
        zero_shot(["cartpole", "cartpole"], ["CartPole-v1"])
    with pytest.raises(BadArgument, match="episodes"):
        zero_shot(["cartpole"], ["CartPole-v1"], episodes=1)
    with pytest.raises(UnknownName):
        zero_shot(["cartpole"], ["CartPole-v7"])
