"""What users give to multi-task training that once did something else than it says."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import packed_cases as cases
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.logger import KVWriter, Logger

import rltransfer as rlt
from rltransfer.errors import BadArgument, SpaceMismatch
from rltransfer.multitask import multitask
from rltransfer.policies.tasks import PolicyTask

VECTOR, OTHER, CONTINUOUS = "small/vector-v0", "small/other-v0", "small/continuous-v0"
TINY: dict[str, Any] = {"n_envs": 2, "n_steps": 16, "n_epochs": 2, "width": 8, "sizes": [8]}


class Flags(gym.Env):
    def __init__(self) -> None:
        self.observation_space = spaces.Box(-1, 1, (3,), np.float32)
        self.action_space = spaces.MultiBinary(3)

    def action_masks(self) -> np.ndarray:
        return np.array([1, 1, 0, 1, 1, 0], bool)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(3, np.float32), {}

    def step(self, action: Any) -> Any:
        assert action[1]
        assert not action[2]
        self.steps += 1
        seen = self.np_random.uniform(-1, 1, 3).astype(np.float32)
        return seen, float(action[0]), self.steps >= 5, False, {}


@pytest.fixture(autouse=True, scope="module")
def _registered() -> None:
    cases.register()
    if "broken/Flags-v0" not in gym.registry:
        made: Any = Flags
        gym.register("broken/Flags-v0", made, max_episode_steps=5)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_embeddings_of_tasks_that_are_not_played_stay(decay: float) -> None:
    kwargs: dict[str, Any] = {
        "optimizer_class": torch.optim.AdamW,
        "optimizer_kwargs": {"weight_decay": decay},
    }
    given = {"conditioning": "embedding", "policy_kwargs": kwargs, "points": 0}
    start = multitask([VECTOR, OTHER], 256, **given, **TINY).agent
    going_on = {**TINY, "recipe": rlt.Recipe(optimizer="source"), "points": 0}
    agent = multitask([VECTOR], 256, start=start, **going_on).agent
    name = "context.table.weight"
    assert torch.equal(agent.weights[name][1], start.weights[name][1])
    assert not torch.equal(agent.weights[name][0], start.weights[name][0])
    assert start.optimizer is not None
    assert agent.optimizer is not None
    moments = f"{name}/exp_avg"
    assert start.optimizer[moments][1].any()
    assert torch.equal(agent.optimizer[moments][1], start.optimizer[moments][1])


class Seen(KVWriter):
    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def write(self, key_values: Any, key_excluded: Any, step: int = 0) -> None:
        self.values |= key_values

    def close(self) -> None:
        pass


@pytest.mark.parametrize("path", ["closed_form", "autograd"])
def test_divergence_of_a_task_is_that_of_the_last_epoch(path: Any) -> None:
    engine = rlt.EngineOptions(path=path)
    model = rlt.fresh_multitask([VECTOR], **TINY, seed=0, learning_rate=0.01, engine=engine)
    seen = Seen()
    model.set_logger(Logger(None, [seen]))
    model.learn(64)
    model.logger.dump(64)
    assert seen.values["train/approx_kl"] != 0
    assert seen.values[f"{VECTOR}/approx_kl"] == pytest.approx(seen.values["train/approx_kl"])


def test_memory_with_minibatches_of_fewer_rows_than_tasks() -> None:
    given: dict[str, Any] = {**TINY, "algorithm": "recurrent_ppo", "batch_size": 2}
    assert multitask([VECTOR, OTHER, CONTINUOUS], 96, points=0, **given).steps == 96


def test_one_task_of_flags_with_masks(tmp_path: Any) -> None:
    from sb3_contrib import MaskablePPO

    run = multitask(["broken/Flags-v0", VECTOR], 128, points=1, episodes=2, **TINY)
    policy = run.model.policy
    observations = np.random.default_rng(0).uniform(-1, 1, (20, 3)).astype(np.float32)
    masks = np.tile(np.array([1, 1, 1, 1, 1, 0], bool), (20, 1))
    chosen = policy.act("broken/Flags-v0", observations, masks=masks)
    one = run.agent.for_task("broken/Flags-v0")
    one.to_sb3(tmp_path / "one.zip")
    stats = policy.observation_stats["broken/Flags-v0"]
    with torch.no_grad():
        normalized = stats(torch.from_numpy(observations)).numpy()
    model = MaskablePPO.load(tmp_path / "one.zip")
    again, _ = model.predict(normalized, deterministic=True, action_masks=masks)
    assert np.array_equal(chosen, again)
    assert rlt.evaluate(one, "broken/Flags-v0", episodes=2).mean == pytest.approx(
        run.after["broken/Flags-v0"].mean
    )


@pytest.mark.parametrize(
    "space", [spaces.MultiDiscrete(np.array([[2, 3], [4, 5]])), spaces.Box(-1, 1, (), np.float32)]
)
def test_one_task_whose_shape_sb3_does_not_read(space: gym.Space) -> None:
    agent = multitask([VECTOR], 64, points=0, **TINY).agent
    odd = agent.add_task("odd", observation_space=space, action_space=spaces.Discrete(2))
    with pytest.raises(SpaceMismatch, match="no such shape"):
        odd.for_task("odd")


WRONG: list[dict[str, Any]] = [
    {"sizes": 64},
    {"sizes": ["a"]},
    {"sizes": [1.5]},
    {"trunk": ["mlp"]},
    {"algorithm": ["ppo"]},
    {"encoder_kind": "foo"},
    {"policy_kwargs": {"encoder_kind": "foo"}},
    {"policy_kwargs": 5},
    {"trunk_kwargs": 5},
    {"share_critic": "no"},
    {"normalize_obs": "no"},
    {"weights": [1, 2]},
    {"options": {"gradient": "pcgrad"}},
    {"engine": "autograd"},
    {"seed": "a"},
    {"seed": -1},
    {"gamma": "a"},
    {"conditioning": "sentence", "missions": ["a"]},
    {"conditioning": "sentence", "embed": "model"},
    {"task_options": {CONTINUOUS: {"gamma": None}}},
    {"task_options": {CONTINUOUS: {"noise": "a"}}},
    {"task_options": {CONTINUOUS: {"log_std": [0.0]}}},
    {"task_options": {CONTINUOUS: {"encoder": 5}}},
    {"task_options": {CONTINUOUS: {"head": "keys"}}},
    {"task_options": {VECTOR: {"log_std": -1.0}}},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_arguments_of_the_wrong_kind(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadArgument):
        rlt.fresh_multitask([VECTOR, CONTINUOUS], **{**TINY, **wrong})


@pytest.mark.parametrize("wrong", [{"name": 5}, {"command": 5}, {"progress": 5}], ids=str)
def test_arguments_of_the_wrong_kind_of_a_run(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadArgument, match=next(iter(wrong))):
        multitask([VECTOR], 64, points=0, **TINY, **wrong)


@pytest.mark.parametrize("vectors", [[[1.0], [1.0, 2.0]], [[], []], [["a"], ["b"]]])
def test_embeddings_that_are_none(vectors: Any) -> None:
    missions = {VECTOR: "one", CONTINUOUS: "two"}
    with pytest.raises(BadArgument, match="embed gave"):
        rlt.fresh_multitask(
            [VECTOR, CONTINUOUS],
            **TINY,
            conditioning="sentence",
            missions=missions,
            embed=lambda texts: vectors,
        )


def test_task_with_a_name_that_torch_keeps() -> None:
    box = spaces.Box(-1, 1, (2,), np.float32)
    with pytest.raises(BadArgument, match="under another id"):
        PolicyTask(id="keys", observation_space=box, action_space=box)


@pytest.mark.parametrize(
    "wrong", [{"popart": "no"}, {"normalize_advantage": 5}, {"seed": -1}, {"popart_beta": "a"}]
)
def test_options_of_the_wrong_kind(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadArgument, match=next(iter(wrong))):
        rlt.MultiTaskOptions(**wrong)


def test_source_that_is_no_agent() -> None:
    agent = multitask([VECTOR], 64, points=0, **TINY).agent
    source: Any = "cartpole"
    with pytest.raises(BadArgument, match=r"rltransfer\.load\('cartpole'\)"):
        agent.add_task(OTHER, source=source)
