"""A training that diverges is named at the update where it does, and stops there."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import torch
import transfer_cases as cases
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from resume_cases import agent_of, executed, spec_of

import rltransfer as rlt
from rltransfer.engine.options import EngineOptions
from rltransfer.errors import Diverged
from rltransfer.experiments.checkpoints import Checkpoints
from rltransfer.experiments.run import execute
from rltransfer.experiments.spec import RunSpec
from rltransfer.presets import recipe
from rltransfer.training.divergence import require_finite

# numpy's, where SB3 computes the variance of returns that are too large.
pytestmark = pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered")
# Every way to act and to update.
KINDS = ("discrete", "box", "gsde", "dict", "image", "maskable", "recurrent", "recurrent box")


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_that_are_not_finite_are_named(kind: str) -> None:
    with (
        cases.adapted(kind, cases.KINDS[kind].task(), learning_rate=1e20) as model,
        pytest.raises(
            Diverged, match=r"diverged at step \d+ with learning rate 1e\+20: "
        ) as raised,
    ):
        model.learn(256)
    assert "--set learning_rate=1e+19" in str(raised.value)
    assert raised.value.details["learning_rate"] == 1e20
    assert raised.value.details["step"] == model.num_timesteps


class Rich(CartPoleEnv):
    """CartPole, whose rewards are finite and far too large from some step on, in all copies."""

    steps = 0
    begins = 0

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        type(self).steps += 1
        seen, reward, *rest = super().step(action)
        return seen, 3e38 if self.steps > self.begins else float(reward), *rest


def rich(begins: int) -> str:
    Rich.steps, Rich.begins = 0, begins
    gym.register("diverged/Rich-v0", Rich, max_episode_steps=20)
    return "diverged/Rich-v0"


@pytest.mark.parametrize("path", ["closed_form", "autograd", "stock"])
@pytest.mark.parametrize("epochs", [1, 2])
def test_rewards_that_are_too_large_end_the_first_update(path: Any, epochs: int) -> None:
    """In one minibatch the loss and the weights show it, in the second the outputs."""
    task = rich(begins=0)
    with cases.adapted("discrete", task, n_epochs=epochs, batch_size=32) as model:
        model.engine_options = EngineOptions(path=path, compiled=False)
        with pytest.raises(Diverged) as raised:
            model.learn(256)
    assert model.num_timesteps == 32
    if epochs == 1:
        assert "the loss is " in str(raised.value)
        assert "critic.head" in raised.value.details["groups"]
    else:
        assert "the policy's outputs are not finite: " in str(raised.value)


@pytest.mark.parametrize("kind", ["discrete", "image", "recurrent"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_weight_gradient_or_buffer_is_enough(kind: str, value: float) -> None:
    with cases.adapted(kind, cases.KINDS[kind].task(), "full") as model:
        model.learn(32)
        require_finite(model)
        weight = model.policy.action_net.weight
        for tensor in (weight.data, weight.grad):
            before = tensor[0, 0].item()
            tensor[0, 0] = value
            with pytest.raises(Diverged, match=r"not finite in actor\.head;"):
                require_finite(model)
            tensor[0, 0] = before
        require_finite(model)


def test_large_numbers_are_finite() -> None:
    with cases.adapted("discrete", cases.KINDS["discrete"].task()) as model:
        model.learn(32)
        model.policy.action_net.weight.data[0] = 3e38  # their squares overflow
        require_finite(model)


def test_a_model_that_was_not_adapted_names_tensors() -> None:
    task = cases.KINDS["discrete"].task()
    with pytest.raises(Diverged, match="diverged at step"):
        rlt.pretrain(task, 256, n_envs=2, n_steps=16, batch_size=16, learning_rate=1e20)


def late_run(tmp_path: Path) -> tuple[RunSpec, Path, Path]:
    """A run that diverges in the update after step 192, in its second part.

    Its evaluation at step 0 takes 16 to 40 steps, which count as well.
    """
    agent = agent_of("cartpole")
    spec = RunSpec.of(
        agent, rich(begins=172), recipe("full"), label="full", steps=480, seed=0, points=1,
        episodes=1, device="cpu", checkpoint_every=100,
    )  # fmt: skip
    return spec, tmp_path / "events", tmp_path / "checkpoints"


def test_the_last_checkpoint_is_kept_and_the_place_is_written_down(tmp_path: Path) -> None:
    spec, folder, place = late_run(tmp_path)
    with pytest.raises(Diverged) as raised:
        execute(spec, agent_of("cartpole"), folder, checkpoints=place)
    found = Checkpoints(place, spec.id).latest()
    assert found is not None and found.part == 1
    assert all(torch.isfinite(t).all() for t in found.tensors.values() if t.is_floating_point())
    data = json.loads((folder / "repro.json").read_text())
    assert RunSpec(**data["spec"]).id == spec.id
    assert (data["part"], data["step"]) == (1, 192) == (1, raised.value.details["step"])
    assert data["groups"] == raised.value.details["groups"] and data["message"] == str(raised.value)


def test_it_is_neither_tried_again_nor_hidden(tmp_path: Path) -> None:
    spec, _, _ = late_run(tmp_path)
    heard: list[int] = []
    with pytest.raises(Diverged):
        execute(spec, agent_of("cartpole"), None, lambda done, _: heard.append(done))
    assert heard == [0, 64, 128]


def test_a_sound_run_is_left_alone() -> None:
    with executed("pendulum", spec_of("pendulum")) as (run, _):
        assert run.steps[-1] >= 480
