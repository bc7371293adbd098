from __future__ import annotations

import base64
import dataclasses
import errno
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from agent_cases import (
    BOTH,
    CARD,
    CASES,
    IMAGE,
    MOVE,
    OWN,
    PRESS,
    SMALL,
    VECTOR,
    agent,
    assert_same_predictions,
    assert_same_tensors,
    train,
    venv,
)
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from stranger import WITHOUT_RLTRANSFER

from rltransfer.agents import Agent
from rltransfer.errors import BadArgument, NotWritable

STRANGER = (
    WITHOUT_RLTRANSFER
    + """
class Masked(gym.Wrapper):
    def action_masks(self):
        return np.array([True] * int(self.action_space.n - 1) + [False])

for case in cases:
    kind = {"maskable": MaskablePPO, "recurrent": RecurrentPPO}.get(case, PPO)
    model = kind.load(f"{folder}/{case}.zip", device="cpu")
    expected = np.load(f"{folder}/{case}.npz")
    state = None
    for index, observation in enumerate(expected["observations"]):
        action, state = model.predict(observation, state, deterministic=True)
        assert np.array_equal(action, expected["actions"][index]), (case, index)
    task = "Pendulum-v1" if case in ("pendulum", "normalized") else "CartPole-v1"
    venv = DummyVecEnv([lambda: Masked(gym.make(task)) if case == "maskable" else gym.make(task)])
    if case == "normalized":
        venv = VecNormalize.load(f"{folder}/{case}.vecnormalize.pkl", venv)
        assert np.array_equal(venv.obs_rms.mean, expected["mean"])
        assert venv.training and venv.obs_rms.count > 60
        assert np.array_equal(venv.normalize_obs(expected["raw"]), expected["observations"])
    assert model.num_timesteps == 64 and model.policy.optimizer.state
    before = {name: value.clone() for name, value in model.policy.state_dict().items()}
    trained_on = kind.load(f"{folder}/{case}.zip", env=venv, device="cpu").learn(64)
    after = trained_on.policy.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert all(torch.isfinite(value).all() for value in after.values())
    trained_on.save(f"{folder}/{case}-more")

assert not [name for name in sys.modules if name.startswith("rltransfer")]
print("strangers are happy with", *cases)
"""
)


TASKS = ("discrete", "pendulum", "normalized", "maskable", "recurrent")
SETTINGS: dict[str, Any] = {
    **{"n_steps": 32, "batch_size": 16, "n_epochs": 2, "seed": 0, "device": "cpu"},
    "policy_kwargs": {"net_arch": [16]},
}


class Masked(gym.Wrapper):
    def action_masks(self) -> np.ndarray:
        return np.array([True, False])


def trained(case: str) -> Any:
    """Train a little on a real task."""
    if case == "maskable":
        env = make_vec_env("CartPole-v1", 2, wrapper_class=Masked)
        model = MaskablePPO("MlpPolicy", env, **SETTINGS)
    elif case == "recurrent":
        small = {"net_arch": [16], "lstm_hidden_size": 8}
        env = make_vec_env("CartPole-v1", 2)
        model = RecurrentPPO("MlpLstmPolicy", env, **{**SETTINGS, "policy_kwargs": small})
    elif case == "normalized":
        model = PPO("MlpPolicy", VecNormalize(make_vec_env("Pendulum-v1", 2)), **SETTINGS)
    elif case == "pendulum":
        model = PPO("MlpPolicy", make_vec_env("Pendulum-v1", 2), use_sde=True, **SETTINGS)
    else:
        schedule = LinearSchedule(1e-3, 1e-4, 1.0)
        env = make_vec_env("CartPole-v1", 2)
        model = PPO("MlpPolicy", env, learning_rate=schedule, **SETTINGS)
    return model.learn(64)


def open_statistics(path: Path, env: VecEnv) -> Any:
    return VecNormalize.load(str(path), env)


def write_expectations(model: Any, path: Path) -> None:
    """Store observations, and what the original model does with them."""
    raw = [model.observation_space.sample() for _ in range(32)]
    normalizer = model.get_vec_normalize_env()
    extra = {"mean": normalizer.obs_rms.mean} if normalizer else {}
    observations = normalizer.normalize_obs(np.stack(raw)) if normalizer else np.stack(raw)
    actions, state = [], None
    for observation in observations:
        action, state = model.predict(observation, state, deterministic=True)
        actions.append(action)
    np.savez(path, raw=np.stack(raw), observations=observations, actions=actions, **extra)


def test_strangers_open_the_zip_and_train_on(tmp_path: Path) -> None:
    for case in TASKS:
        model = trained(case)
        card = dataclasses.replace(CARD, steps=model.num_timesteps)
        taken = Agent.from_model(model, card=card)
        taken.save(tmp_path / case)
        # From the files, as an agent of the zoo would be exported.
        Agent.read(tmp_path / case).to_sb3(tmp_path / case)
        write_expectations(model, tmp_path / f"{case}.npz")
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, str(tmp_path), *TASKS],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("strangers are happy")
    for case in TASKS:
        assert (tmp_path / f"{case}-more.zip").exists()


@pytest.mark.parametrize("case", CASES)
def test_plain_load_gives_the_same_model(case: str, tmp_path: Path) -> None:
    model = CASES[case]()
    path = Agent.from_model(model, card=CARD).to_sb3(tmp_path / "a")
    assert path == tmp_path / "a.zip"
    loaded = type(model).load(path, device="cpu")
    assert_same_predictions(model, loaded)
    assert_same_tensors(model.policy.state_dict(), loaded.policy.state_dict())
    assert model.policy.optimizer.state_dict().keys() == loaded.policy.optimizer.state_dict().keys()
    again = Agent.from_model(loaded, card=CARD)
    assert_same_tensors(Agent.from_model(model, card=CARD).optimizer, again.optimizer)
    assert again.hyperparameters == Agent.from_model(model, card=CARD).hyperparameters


def test_zip_holds_nothing_of_rltransfer(tmp_path: Path) -> None:
    path = agent("normalized").to_sb3(tmp_path / "a.zip")
    with zipfile.ZipFile(path) as archive:
        data = json.loads(archive.read("data"))
    pickled = [v for v in data.values() if isinstance(v, dict) and ":serialized:" in v]
    pickles = [base64.b64decode(value[":serialized:"]) for value in pickled]
    pickles.append((tmp_path / "a.vecnormalize.pkl").read_bytes())
    assert len(pickles) > 5
    assert not any(b"rltransfer" in content for content in pickles)


def test_statistics_open_in_plain_sb3(tmp_path: Path) -> None:
    model = CASES["normalized"]()
    source = model.get_vec_normalize_env()
    Agent.from_model(model, card=CARD).to_sb3(tmp_path / "a.v2.zip")
    loaded = open_statistics(tmp_path / "a.v2.vecnormalize.pkl", venv(VECTOR, MOVE, 3))
    assert loaded.__class__ is VecNormalize and loaded.num_envs == 3
    assert loaded.action_space == MOVE and loaded.observation_space == VECTOR
    for name in ("clip_obs", "clip_reward", "gamma", "epsilon", "norm_obs", "norm_reward"):
        assert getattr(loaded, name) == getattr(source, name)
    assert loaded.obs_rms.count == source.obs_rms.count
    observation = np.linspace(-2, 2, 5)
    assert np.array_equal(loaded.normalize_obs(observation), source.normalize_obs(observation))
    reward = np.array([0.3, -4.0])
    assert np.array_equal(loaded.normalize_reward(reward), source.normalize_reward(reward))
    PPO.load(tmp_path / "a.v2.zip", env=loaded, device="cpu").learn(48)
    assert loaded.obs_rms.count == source.obs_rms.count + 3 * (16 + 1)


def test_statistics_of_dict_observations_with_images_open(tmp_path: Path) -> None:
    env = VecNormalize(venv(BOTH, PRESS), norm_obs_keys=["speed"])
    model = train(PPO, "MultiInputPolicy", env, n_epochs=1, policy_kwargs=SMALL)
    assert model.policy.observation_space["image"].shape == (3, 36, 36)
    Agent.from_model(model, card=CARD).to_sb3(tmp_path / "a")
    loaded = open_statistics(tmp_path / "a.vecnormalize.pkl", venv(BOTH, PRESS))
    assert loaded.observation_space == BOTH and set(loaded.obs_rms) == {"speed"}
    PPO.load(tmp_path / "a.zip", env=loaded, device="cpu").learn(32)


def test_reward_statistics_of_image_tasks_open(tmp_path: Path) -> None:
    env = VecNormalize(venv(IMAGE, PRESS), norm_obs=False)
    model = train(PPO, "CnnPolicy", env, n_epochs=1)
    taken = Agent.from_model(model, card=CARD)
    assert taken.observation_space.shape == (3, 36, 36)
    taken.to_sb3(tmp_path / "a")
    loaded = open_statistics(tmp_path / "a.vecnormalize.pkl", venv(IMAGE, PRESS))
    assert loaded.ret_rms.var == env.ret_rms.var
    PPO.load(tmp_path / "a.zip", env=loaded, device="cpu").learn(32)


def test_export_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = agent()
    path = taken.to_sb3(tmp_path / "a")
    old = path.read_bytes()
    with pytest.raises(NotWritable, match="choose a folder"):
        taken.to_sb3(tmp_path / "nowhere" / "a")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NotWritable, match="No space left on device; free some space"):
        taken.with_card(steps=1).to_sb3(path)
    assert path.read_bytes() == old
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zip"]


def test_own_classes_are_asked_for(tmp_path: Path) -> None:
    agent("own extractor").save(tmp_path / "a")
    read = Agent.read(tmp_path / "a")
    with pytest.raises(BadArgument, match="pass classes="):
        read.to_sb3(tmp_path / "a")
    assert not (tmp_path / "a.zip").exists()
    model = PPO.load(read.to_sb3(tmp_path / "a", classes=OWN), device="cpu")
    assert type(model.policy.features_extractor) is OWN["Doubling"]
