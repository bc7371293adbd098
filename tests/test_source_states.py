"""States that a source visits on its own task."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from transfer_cases import KINDS, LENGTH, source

import rltransfer as rlt
from rltransfer.errors import BadArgument, SpaceMismatch
from rltransfer.source_states import ENVS, SourceStates, source_states


def _rows(observations: Any) -> int:
    return len(
        next(iter(observations.values())) if isinstance(observations, dict) else observations
    )


def _played(kind: str, count: Any, seed: int | None = None) -> SourceStates:
    KINDS[kind].task()  # which a test that ended may have forgotten
    return source_states(source(kind), count, seed)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_policy_plays_its_task(kind: str) -> None:
    found = _played(kind, 50, seed=100)
    lengths = {len(found.actions), len(found.rewards), len(found.dones), _rows(found.observations)}
    assert lengths == {50} and found.steps == 52


def test_rows_are_steps_of_one_environment_after_the_other() -> None:
    found = _played("discrete", 10 * ENVS, seed=100)
    assert np.flatnonzero(found.dones).tolist() == [7, 17, 27, 37], "episodes have 8 steps"
    assert np.flatnonzero(found.cuts).tolist() == [7, 9, 17, 19, 27, 29, 37, 39]
    # The toy pays where the action has the sign of the first number that was observed.
    paid = (found.actions > 0) == (found.observations[:, 0] > 0)
    assert np.array_equal(found.rewards, paid.astype(np.float32))
    assert LENGTH == 8


def test_observations_are_raw() -> None:
    found = _played("normalized", 2_000, seed=100)
    # Uniform in [-1, 1]; normalized ones have a standard deviation of 1.
    assert np.abs(found.observations).max() <= 1
    assert np.std(found.observations) == pytest.approx(1 / 3**0.5, rel=0.05)


def test_images_come_with_channels_first() -> None:
    assert _played("image", 4).observations.shape == (4, 1, 36, 36)


def test_the_same_seed_gives_the_same_and_random_streams_go_on() -> None:
    torch.manual_seed(5)
    np.random.seed(5)
    expected = torch.rand(3), np.random.rand(3)
    torch.manual_seed(5)
    np.random.seed(5)
    first = _played("box", 40, seed=100)
    assert torch.equal(torch.rand(3), expected[0])
    assert np.array_equal(np.random.rand(3), expected[1])
    again, other = (_played("box", 40, seed=s) for s in (100, 101))
    assert np.array_equal(first.actions, again.actions)
    assert not np.array_equal(first.actions, other.actions)


def test_actions_are_sampled() -> None:
    """A policy that has hardly learnt does both in the same kind of state."""
    found = _played("discrete", 400, seed=100)
    assert 0.2 < found.actions.mean() < 0.8


@pytest.mark.parametrize("task", ["", "toy/Unknown-v0", "nowhere_at_all:Task-v0"])
def test_a_task_that_is_not_known_is_refused_with_the_cure(task: str) -> None:
    agent = source("discrete").with_card(task=task)
    with pytest.raises(BadArgument, match="with_card"):
        source_states(agent, 4)


def test_a_task_with_other_spaces_is_refused() -> None:
    agent = source("discrete")
    with pytest.raises(SpaceMismatch, match="Pendulum"):
        source_states(replace(agent, card=replace(agent.card, task="Pendulum-v1")), 4)


@pytest.mark.parametrize("count", [0, 2.0, True])
def test_a_count_that_is_none_is_refused(count: Any) -> None:
    with pytest.raises(BadArgument, match="whole number"):
        _played("discrete", count)


def test_an_agent_of_several_tasks_is_refused() -> None:
    with pytest.raises(BadArgument, match="for_task"):
        source_states(rlt.load("cartpole-family"), 4)
