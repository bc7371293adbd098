"""Every agent of the zoo is what its card says, and as good as published ones."""

from __future__ import annotations

import re
import shlex
from datetime import date
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import PPO

import rltransfer as rlt
import rltransfer_zoo
from rltransfer import registry
from rltransfer.errors import BadCheckpoint, MissingExtra
from rltransfer.pretrain import PACKAGES
from rltransfer_zoo import train

FOLDER = Path(rltransfer_zoo.__file__).parent
EVERY = sorted(path.stem for path in FOLDER.glob("*.json"))
NAMES = [name for name in EVERY if name not in train.MULTITASK_AGENTS]
# Mean returns of PPO agents in rl-baselines3-zoo, benchmark.md, deterministic.
PUBLISHED = {
    "CartPole-v1": 500.0,
    "Acrobot-v1": -73.5,
    "Pendulum-v1": -172.0,
    "MountainCarContinuous-v0": 88.0,
    "LunarLander-v3": 242.0,
    "rlt/DoorKey-5x5-v0": 0.964,
}
PLAIN = {"ppo": PPO, "maskable_ppo": MaskablePPO, "recurrent_ppo": RecurrentPPO}


def make_or_skip(task: str) -> gym.Env:
    try:
        return registry.make(task)
    except MissingExtra as error:
        pytest.skip(str(error))


def test_the_zoo_is_there() -> None:
    assert list(rlt.agents()) == EVERY
    assert {card.task for card in rlt.agents().values()} >= set(PUBLISHED)
    assert set(NAMES) <= set(train.AGENTS)


@pytest.mark.parametrize("name", NAMES)
def test_the_card_is_complete(name: str) -> None:
    agent = rlt.load(name)
    card, score = agent.card, agent.card.score
    settings = train.AGENTS[name]
    assert card.name == name and card.task == settings["task"] == rlt.task(card.task).id
    assert settings["steps"] <= card.steps < settings["steps"] + 50_000 and card.seed is not None
    assert card.source == "" and date.fromisoformat(card.created) >= date(2026, 1, 1)
    assert set(card.versions) == set(PACKAGES)
    assert all(re.match(r"\d+\.\d+", version) for version in card.versions.values())
    assert score is not None and score.episodes == 100 and score.deterministic
    assert score.ci_low <= score.mean <= score.ci_high
    assert score.mean >= PUBLISHED.get(card.task, -np.inf)
    assert re.fullmatch(r"[0-9a-f]{64}", agent.sha256) and agent.sha256 in str(agent)
    for suffix in (".safetensors", ".json"):
        assert (FOLDER / (name + suffix)).stat().st_size < 1_000_000


@pytest.mark.parametrize("name", NAMES)
def test_the_command_on_the_card_would_train_it_again(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    agent = rlt.load(name)
    asked: list[tuple[str, Path, int]] = []
    monkeypatch.setattr(
        train, "train", lambda name, folder, *, seed: asked.append((name, folder, seed))
    )
    python, module, package, *args = shlex.split(agent.card.command)
    assert (python, module, package) == ("python", "-m", "rltransfer_zoo.train")
    assert train.main(args) == 0
    assert asked == [(name, FOLDER, agent.card.seed)]
    # With these settings it would be the same training.
    for key, value in train.AGENTS[name].items():
        if key in agent.hyperparameters:
            assert agent.hyperparameters[key] == value, key
    norm, settings = agent.normalization, train.AGENTS[name]
    assert (norm is not None and norm.obs) == settings.get("normalize_obs", False)
    assert (norm is not None and norm.reward) == settings.get("normalize_reward", False)


@pytest.mark.parametrize("name", NAMES)
def test_it_plays_as_well_as_the_card_says(name: str) -> None:
    agent = rlt.load(name)
    make_or_skip(agent.card.task).close()
    card = agent.card.score
    assert card is not None
    result = rlt.evaluate(agent, episodes=5, seed=card.seed or 0)
    # The card's episodes begin with these five; single ones may be far from the mean.
    known = rlt.task(agent.card.task)
    worst = known.random if known.random is not None else -np.inf
    assert (result.returns > worst).all()
    spread = max(card.ci_high - card.ci_low, 0.02 * abs(card.mean))
    assert abs(result.mean - card.mean) <= 10 * spread


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_score_on_the_card_is_reproduced_exactly(name: str) -> None:
    agent = rlt.load(name)
    make_or_skip(agent.card.task).close()
    card = agent.card.score
    assert card is not None and card.seed is not None
    result = rlt.evaluate(agent, episodes=card.episodes, seed=card.seed)
    assert (result.mean, *result.ci) == (card.mean, card.ci_low, card.ci_high)


@pytest.mark.parametrize("name", NAMES)
def test_the_zip_opens_in_plain_sb3_and_acts_the_same(name: str, tmp_path: Path) -> None:
    agent = rlt.load(name)
    path = agent.to_sb3(tmp_path / name)
    plain = PLAIN[agent.algorithm].load(path, device="cpu")
    assert type(plain) is PLAIN[agent.algorithm]
    own = agent.build()
    space = plain.observation_space
    space.seed(0)
    seen = np.stack([np.nan_to_num(space.sample(), posinf=1, neginf=-1) for _ in range(32)])
    first, _ = plain.predict(seen, deterministic=True)
    second, _ = own.predict(seen, deterministic=True)
    assert np.array_equal(first, second)
    statistics = tmp_path / f"{name}.vecnormalize.pkl"
    assert statistics.exists() == (agent.normalization is not None)


@pytest.mark.parametrize("name", [n for n, pair in rlt.pairs().items() if pair.agent])
def test_the_agent_of_a_pair_was_trained_on_its_source(name: str) -> None:
    pair = rlt.pairs()[name]
    assert pair.agent in NAMES
    assert rlt.agents()[str(pair.agent)].task == pair.source


def test_a_damaged_zoo_is_noticed(tmp_path: Path) -> None:
    name = NAMES[0]
    for suffix in (".safetensors", ".json"):
        content = bytearray((FOLDER / (name + suffix)).read_bytes())
        (tmp_path / (name + suffix)).write_bytes(content)
    assert rlt.load(tmp_path / name).sha256 == rlt.load(name).sha256
    content = bytearray((tmp_path / f"{name}.safetensors").read_bytes())
    content[len(content) // 2] ^= 4
    (tmp_path / f"{name}.safetensors").write_bytes(content)
    with pytest.raises(BadCheckpoint, match="sha256"):
        rlt.load(tmp_path / name)


def test_training_stores_the_agent_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = {"task": "CartPole-v1", "steps": 64, "n_envs": 2, "n_steps": 32, "n_epochs": 1}
    monkeypatch.setitem(train.AGENTS, "cartpole", small)
    assert train.main(["cartpole", "--seed", "3", "--out", str(tmp_path / "new")]) == 0
    assert capsys.readouterr().out.startswith("cartpole: ")
    card = rlt.load(tmp_path / "new/cartpole").card
    assert (card.name, card.seed) == ("cartpole", 3)
    assert card.command == "python -m rltransfer_zoo.train cartpole --seed 3"

    (tmp_path / "blocked").touch()
    assert train.main(["cartpole", "--out", str(tmp_path / "blocked")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "cannot be written" in error
    with pytest.raises(SystemExit):
        train.main(["cartpol"])
