"""Agents that are trained from scratch, and what their cards say."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import rltransfer as rlt
from rltransfer import pretrain as pretrain_function
from rltransfer.agents import Agent, RunningStats
from rltransfer.errors import BadArgument, BadEnvironment, TransferError, UnknownName
from rltransfer.pretrain import PACKAGES, as_agent, fresh, versions

TINY: dict[str, Any] = {
    "n_envs": 2,
    "n_steps": 32,
    "batch_size": 32,
    "n_epochs": 2,
    "policy_kwargs": {"net_arch": [8, 8]},
}
CARTPOLE = "CartPole-v1"


class Seen(gym.Env):
    """Shows samples of a space, for a few steps."""

    def __init__(self, kind: str = "image") -> None:
        image = spaces.Box(0, 255, (36, 36, 3), np.uint8)
        kinds = {
            "image": image,
            "dict": spaces.Dict({"image": image, "speed": spaces.Box(-1, 1, (2,), np.float32)}),
            "vector": spaces.Box(-1, 1, (3,), np.float32),
            "number": spaces.Discrete(5),
            "late": spaces.Discrete(5, start=2),
            "dot": spaces.Box(-1, 1, (), np.float32),
            "nested": spaces.Dict({"inner": spaces.Dict({"number": spaces.Discrete(5)})}),
        }
        self.observation_space = kinds.get(kind, kinds["vector"])
        self.action_space = spaces.Discrete(2, start=int(kind == "late acts"))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        return self.observation_space.sample(), float(action), False, False, {}

    def action_masks(self) -> np.ndarray:
        return np.array([True, False])


made: Any = Seen
limit: Any = {"max_episode_steps": 5}
for kind in ("image", "dict", "vector", "number", "late", "late acts", "dot", "nested"):
    gym.register(f"pre/{kind.replace(' ', '-')}-v0", made, kwargs={"kind": kind}, **limit)
gym.register("pre/Endless-v0", made, kwargs={"kind": "vector"})


def test_the_card_says_how_it_was_made_and_how_good_it_is(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    agent = pretrain_function(
        CARTPOLE,
        100,
        seed=5,
        command="typed",
        episodes=10,
        progress=lambda steps, total: told.append((steps, total)),
        learning_rate={"start": 1e-3, "end": 0.0, "end_fraction": 1.0},
        **TINY,
    )
    card = agent.card
    assert (card.name, card.task, card.steps, card.seed) == (CARTPOLE, CARTPOLE, 128, 5)
    assert card.command == "typed" and card.source == "" and len(card.created) == 10
    assert told == [(0, 100), (64, 100), (128, 100)]
    assert set(card.versions) == set(PACKAGES)
    assert card.versions["torch"] == version("torch")
    assert card.versions["rltransfer"] == version("rltransfer") == rlt.__version__

    agent.save(tmp_path / "a")
    score = card.score
    assert score is not None and score.episodes == 10 and score.deterministic
    again = rlt.evaluate(tmp_path / "a", episodes=10)
    assert (again.mean, *again.ci) == (score.mean, score.ci_low, score.ci_high)
    rate = Agent.read(tmp_path / "a").hyperparameters["learning_rate"]
    assert rate == {"start": 1e-3, "end": 0.0, "end_fraction": 1.0}


def test_the_same_seed_gives_the_same_agent() -> None:
    first, same, other = (
        pretrain_function(CARTPOLE, 64, seed=seed, episodes=2, **TINY) for seed in (1, 1, 2)
    )
    assert first.sha256 == same.sha256 != other.sha256


@pytest.mark.parametrize(
    ("kind", "algorithm", "policy"),
    [
        ("vector", "ppo", "MlpPolicy"),
        ("number", "ppo", "MlpPolicy"),
        ("image", "ppo", "CnnPolicy"),
        ("dict", "ppo", "MultiInputPolicy"),
        ("vector", "maskable_ppo", "MlpPolicy"),
        ("vector", "recurrent_ppo", "MlpLstmPolicy"),
        ("dict", "recurrent_ppo", "MultiInputLstmPolicy"),
    ],
)
def test_the_policy_follows_from_what_is_observed(kind: str, algorithm: str, policy: str) -> None:
    agent = pretrain_function(
        f"pre/{kind}-v0",
        8,
        algorithm=algorithm,
        episodes=2,
        **{**TINY, "n_steps": 4, "batch_size": 8},
    )
    assert agent.policy == policy and agent.algorithm == algorithm
    masked = algorithm == "maskable_ppo"
    assert agent.card.score is not None
    assert agent.card.score.mean == 0.0 if masked else 0.0 <= agent.card.score.mean <= 5.0


def test_statistics_travel_with_the_agent() -> None:
    agent = pretrain_function(
        CARTPOLE, 64, normalize_obs=True, normalize_reward=True, gamma=0.9, episodes=2, **TINY
    )
    spec = agent.normalization
    assert spec is not None and spec.obs and spec.reward and spec.gamma == 0.9
    assert isinstance(spec.obs_stats, RunningStats) and spec.obs_stats.count > 64
    assert spec.return_stats is not None and spec.return_stats.count > 64


@pytest.mark.parametrize(
    ("task", "options", "error", "words"),
    [
        (CARTPOLE, {"episodes": 1}, BadArgument, "episodes is 1"),
        (CARTPOLE, {"episodes": 2.0}, BadArgument, "episodes is 2.0"),
        (CARTPOLE, {"seed": -1}, BadArgument, "seed"),
        (CARTPOLE, {"n_envs": 0}, BadArgument, "n_envs"),
        (CARTPOLE, {"algorithm": "pp0"}, UnknownName, "'ppo'"),
        (CARTPOLE, {"algorithm": "maskable_ppo"}, BadArgument, "action_masks"),
        (CARTPOLE, {"gama": 0.9}, UnknownName, "'gamma'"),
        (CARTPOLE, {"gamma": 1.5}, BadArgument, "gamma"),
        (CARTPOLE, {"device": "tpu"}, BadArgument, "tpu"),
        (
            CARTPOLE,
            {"policy_kwargs": "small"},
            BadArgument,
            "is .small.: give a dict",
        ),
        ("NoSuch-v0", {}, UnknownName, "NoSuch-v0"),
        ("pre/Endless-v0", {}, BadArgument, "max_steps"),
        ("pre/late-v0", {}, BadArgument, "do not begin at 0"),
        ("pre/late-acts-v0", {}, BadArgument, "do not begin at 0"),
        ("pre/dot-v0", {}, BadArgument, "without an axis"),
        ("pre/nested-v0", {}, BadEnvironment, "FlattenObservation"),
    ],
)
def test_what_cannot_work_is_refused_before_training(
    task: str, options: dict, error: type[TransferError], words: str, monkeypatch: Any
) -> None:
    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("it trained")

    for kind in (rlt.TransferPPO, rlt.TransferMaskablePPO):
        monkeypatch.setattr(kind, "learn", never)
    with pytest.raises(error, match=words):
        pretrain_function(task, 64, **{**TINY, **options})


def test_a_task_without_time_limit_is_scored_with_one() -> None:
    agent = pretrain_function("pre/Endless-v0", 64, episodes=2, max_steps=7, **TINY)
    assert agent.card.score is not None and 0 <= agent.card.score.mean <= 7


def test_environments_are_closed_when_training_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []
    monkeypatch.setattr(Seen, "close", lambda self: closed.append(True))
    monkeypatch.setattr(Seen, "step", lambda self, action: 1 / 0)
    with pytest.raises(BadEnvironment, match="ZeroDivisionError"):
        pretrain_function("pre/vector-v0", 64, **TINY)
    assert len(closed) >= 2
    closed.clear()
    with pytest.raises(UnknownName):
        fresh("pre/vector-v0", n_envs=3, no_such=1)
    assert len(closed) == 3


def test_a_model_trained_further_becomes_an_agent() -> None:
    model = rlt.adapt(pretrain_function(CARTPOLE, 64, episodes=2, **TINY), CARTPOLE)
    model.learn(64)
    agent = as_agent(model, task=CARTPOLE, name="more", source="first", episodes=2)
    assert (agent.card.name, agent.card.source, agent.card.steps) == ("more", "first", 64)
    with pytest.raises(BadArgument, match="episodes is 0"):
        as_agent(model, task=CARTPOLE, episodes=0)


def test_versions_do_without_an_installed_package(monkeypatch: pytest.MonkeyPatch) -> None:
    # The module, which the function of the same name hides in the package.
    module = sys.modules["rltransfer.pretrain"]
    monkeypatch.setattr(module, "PACKAGES", ("numpy", "no-such-package"))
    assert versions() == {"numpy": version("numpy"), "no-such-package": "not installed"}


def test_numbers_of_numpy_go_to_the_card_as_those_of_python(tmp_path: Path) -> None:
    numbers = {"seed": np.int64(4), "n_envs": np.int32(2), "episodes": np.int64(2)}
    agent = pretrain_function(CARTPOLE, np.int64(64), **{**TINY, **numbers})
    agent.save(tmp_path / "agent")
    assert type(agent.card.seed) is int and agent.card.seed == 4
    assert agent.card.score is not None and agent.card.score.episodes == 2
