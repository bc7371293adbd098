"""Signs of life from within: whoever watches a run sees that it gets on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import resume_cases as cases
from stable_baselines3.common.callbacks import BaseCallback

from rltransfer import heartbeat
from rltransfer.evaluate import Evaluator
from rltransfer.experiments.run import build, close
from rltransfer.vec import make_vec


@pytest.fixture
def beats() -> Iterator[list[int]]:
    """Beats so far; nobody listens at first."""
    yield []
    heartbeat.listen(None)


def listen(beats: list[int]) -> None:
    heartbeat.listen(lambda: beats.append(1))


class AfterRollout(BaseCallback):
    """Listens to the update alone."""

    def __init__(self, beats: list[int]) -> None:
        super().__init__()
        self._beats = beats

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        listen(self._beats)


@pytest.mark.parametrize("name", ["cartpole", "pendulum", "image", "maskable", "recurrent"])
def test_every_step_of_an_update_is_one(name: str, beats: list[int]) -> None:
    model: Any = build(cases.spec_of(name), cases.agent_of(name))
    model.learn(64, callback=AfterRollout(beats))
    close(model)
    rows = model.n_steps * model.n_envs
    assert len(beats) == model.n_epochs * -(-rows // model.batch_size)


def test_refitting_a_critic_gives_some(beats: list[int]) -> None:
    model: Any = build(cases.spec_of("cartpole", "refit"), cases.agent_of("cartpole"))
    model.learn(64, callback=AfterRollout(beats))
    close(model)
    assert len(beats) == model.n_steps


@pytest.mark.parametrize("vec", ["sync", "subproc"])
def test_making_and_resetting_environments_gives_some(vec: Any, beats: list[int]) -> None:
    listen(beats)
    venv = make_vec("CartPole-v1", 2, vec=vec)
    made = len(beats)
    venv.reset()
    venv.close()
    assert made >= 1 and len(beats) - made >= 2


def test_evaluation_gives_one_for_each_environment(beats: list[int]) -> None:
    listen(beats)
    with Evaluator("Pendulum-v1", episodes=3) as evaluator:
        assert len(beats) == 3
        evaluator.random()
    assert len(beats) >= 3 + 3
