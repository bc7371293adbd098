"""How environments are divided among tasks."""

from __future__ import annotations

from typing import Any

import numpy as np
import packed_cases as cases
import pytest

import rltransfer as rlt
from rltransfer.errors import BadArgument, UnknownName
from rltransfer.training.multitask import LearningProgress, shares
from rltransfer.training.multitask.mixin import _moved
from rltransfer.training.multitask.sampling import divide

IDS = ("A", "B", "C")


def test_shares_are_in_proportion() -> None:
    assert shares(None, IDS, 24) == [8, 8, 8]
    assert shares({"A": 2, "B": 1, "C": 1}, IDS, 24) == [12, 6, 6]
    assert sum(shares({"A": 5, "B": 1, "C": 0.1}, IDS, 24)) == 24
    found = shares({"C": 10, "B": 1, "A": 1}, IDS, 24)
    assert found == [2, 2, 20], "by name, not by order"
    assert shares({"A": 1, "B": 1, "C": 1e-9}, IDS, 24)[2] == 1, "each task has at least one"
    assert shares({"A": 2, "B": 1, "C": 1e-9}, IDS, 10) == [6, 3, 1]
    assert shares({"A": 3, "B": 1, "C": 2}, IDS, 24, block=4) == [12, 4, 8]


@pytest.mark.parametrize("count", range(1, 60))
def test_equal_weights_of_as_many_as_there_are(count: int) -> None:
    assert divide([1 / count] * count, count) == [1] * count


@pytest.mark.parametrize("seed", range(5))
def test_what_is_divided_is_all_there_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights, count = rng.exponential(size=7), int(rng.integers(7, 60))
    found = divide(weights, count)
    assert sum(found) == count and min(found) >= 1
    many = np.flatnonzero(np.array(found) > 1)
    exact = weights[many] / weights[many].sum() * (count - (7 - len(many)))
    assert np.abs(np.array(found)[many] - exact).max(initial=0) < 1.5


@pytest.mark.parametrize(
    ("weights", "count", "block", "words"),
    [
        ({"A": 1, "B": -1, "C": 1}, 24, 1, "weight of B is -1: give"),
        ({"A": 1, "B": 0, "C": 1}, 24, 1, "weight of B is 0"),
        ({"A": 1, "B": 1}, 24, 1, "weight of C is None"),
        ({"A": 1, "B": True, "C": 1}, 24, 1, "weight of B is True"),
        ({"A": 1, "B": float("inf"), "C": 1}, 24, 1, "weight of B is inf"),
        (None, 2, 1, "at least 3"),
        (None, 25, 2, "a multiple of 2"),
    ],
)
def test_shares_that_cannot_be(weights: Any, count: int, block: int, words: str) -> None:
    with pytest.raises(BadArgument, match=words):
        shares(weights, IDS, count, block=block)


def test_a_weight_of_another_task() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'Acrobot'"):
        shares({"Acrobo": 1.0}, ("Acrobot", "B"), 8)


def test_progress_goes_where_returns_change() -> None:
    sampling = LearningProgress(IDS, every=1, floor=0.3, scales={id: (0.0, 100.0) for id in IDS})
    assert sampling.weights() == pytest.approx([1 / 3] * 3), "evenly until something is known"
    for step in range(10):
        assert sampling.observe({"A": [10.0 * step], "B": [50.0], "C": [90.0 - 5 * step]})
    rising, still, falling = sampling.weights()
    assert rising > falling > still == pytest.approx(0.1), "forgetting counts, too"
    assert rising + still + falling == pytest.approx(1)
    # |fast - slow| of the two exponential averages, by hand, after one change from 0 to 10.
    alone = LearningProgress(("A", "B"), floor=0.0, scales={"A": (0, 10), "B": (0, 10)})
    alone.observe({"A": [0.0], "B": [0.0]})
    alone.observe({"A": [10.0], "B": [2.0]})
    assert alone.weights() == pytest.approx([0.25 * 10 / (0.25 * 12), 0.25 * 2 / (0.25 * 12)])


def test_tasks_without_a_scale_are_measured_by_what_was_seen() -> None:
    sampling = LearningProgress(("A", "B"), floor=0.0)
    for value in (0.0, 1.0):
        sampling.observe({"A": [value], "B": [1000 * value]})
    assert sampling.weights() == pytest.approx([0.5, 0.5])


def test_progress_is_due_every_few_rollouts() -> None:
    sampling = LearningProgress(IDS, every=3)
    assert [sampling.observe({}) for _ in range(7)] == [False, False, True] * 2 + [False]


@pytest.mark.parametrize("wrong", [{"every": 0}, {"every": 1.5}, {"floor": -0.1}, {"floor": 2}])
def test_options_of_progress_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadArgument, match=f"{next(iter(wrong))} is"):
        LearningProgress(IDS, **wrong)


def test_as_few_blocks_as_possible_move() -> None:
    assert _moved([0, 0, 1, 2], [1, 2, 1]) == [0, 1, 1, 2]
    assert _moved([0, 0, 0, 0], [1, 1, 2]) == [0, 1, 2, 2]
    assert _moved([2, 1, 0], [1, 1, 1]) == [2, 1, 0]


@pytest.fixture
def small() -> None:
    cases.register()


SMALL: dict[str, Any] = {"n_envs": 4, "n_steps": 8, "batch_size": 24, "n_epochs": 1, "width": 8}


def rows(model: Any) -> list[int]:
    env = model.tasks_env
    return np.bincount(env.task_of_row, minlength=len(env.tasks)).tolist()


def test_weights_decide_how_many_steps_a_task_gets(small: None) -> None:
    ids = ["small/vector-v0", "small/other-v0", "small/continuous-v0"]
    weights = dict(zip(ids, (4, 1, 1), strict=True))
    model = rlt.fresh_multitask(ids, weights=weights, **SMALL)
    assert rows(model) == shares(weights, ids, 12) == [8, 2, 2]
    model.learn(96)
    packed = model.rollout_buffer.observations[..., 0].astype(int)
    assert np.bincount(packed.ravel()).tolist() == [8 * n for n in rows(model)]
    model.tasks_env.close()


def test_training_moves_environments_to_tasks_that_learn(small: None) -> None:
    ids = ["small/vector-v0", "small/other-v0", "small/continuous-v0"]
    model = rlt.fresh_multitask(ids, weights="progress", seed=0, **SMALL)
    sampling: Any = model.progress_sampling
    assert rows(model) == [4, 4, 4] and len(model.tasks_env.blocks) == 12
    sampling.every, sampling._floor = 2, 0.0
    sampling.weights = lambda: [1e-9, 1 - 2e-9, 1e-9]
    model.learn(96)
    assert rows(model) == [4, 4, 4], "not yet due"
    model.learn(96)
    assert rows(model) == [1, 10, 1]
    packed = model._last_obs
    assert np.array_equal(packed[:, 0].astype(int), model.tasks_env.task_of_row)
    assert model._last_episode_starts.sum() == 6, "as few as possible were moved"
    model.learn(96)
    seen = np.bincount(model.rollout_buffer.observations[..., 0].astype(int).ravel())
    assert seen.tolist() == [8, 80, 8]
    model.tasks_env.close()
