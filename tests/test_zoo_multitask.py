"""Every agent of several tasks in the zoo is what its card says, task by task."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from stable_baselines3 import PPO

import rltransfer as rlt
import rltransfer_zoo
from rltransfer import registry
from rltransfer.errors import BadArgument, MissingExtra
from rltransfer.pretrain import PACKAGES
from rltransfer_zoo import train

FOLDER = Path(rltransfer_zoo.__file__).parent
NAMES = list(train.MULTITASK_AGENTS)
EACH = [(name, id) for name in NAMES for id in train.MULTITASK_AGENTS[name]["tasks"]]


def make_or_skip(task: str) -> None:
    try:
        registry.make(task).close()
    except MissingExtra as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", NAMES)
def test_the_card_is_complete(name: str) -> None:
    agent, settings = rlt.load(name), train.MULTITASK_AGENTS[name]
    card = agent.card
    assert agent.multitask and list(agent.tasks) == settings["tasks"] == list(card.scores)
    assert card.name == name and card.score is None and card.source == ""
    assert settings["steps"] <= card.steps < settings["steps"] + 50_000 and card.seed is not None
    assert card.command == f"python -m rltransfer_zoo.train {name} --seed {card.seed}"
    assert set(card.versions) == set(PACKAGES)
    for key in ("n_steps", "n_epochs", "batch_size", "ent_coef"):
        assert agent.hyperparameters[key] == settings.get(key, agent.hyperparameters[key]), key
    for suffix in (".safetensors", ".json"):
        assert (FOLDER / (name + suffix)).stat().st_size < 1_000_000


@pytest.mark.parametrize(("name", "id"), EACH)
def test_each_task_was_learned(name: str, id: str) -> None:
    score, task = rlt.load(name).card.scores[id], rlt.task(id)
    assert score.episodes == train.CARD_EPISODES and score.deterministic
    assert score.ci_low <= score.mean <= score.ci_high
    assert task.random is not None and task.reference is not None
    assert task.normalize(score.mean) >= 0.9


@pytest.mark.parametrize(("name", "id"), EACH)
def test_each_task_is_played_as_well_as_the_card_says(name: str, id: str) -> None:
    make_or_skip(id)
    card = rlt.load(name).card.scores[id]
    result = rlt.evaluate(f"{name}#{id}", episodes=5, seed=card.seed or 0)
    spread = max(card.ci_high - card.ci_low, 0.02 * abs(card.mean))
    assert abs(result.mean - card.mean) <= 10 * spread


@pytest.mark.slow
@pytest.mark.parametrize(("name", "id"), EACH)
def test_the_scores_on_the_card_are_reproduced_exactly(name: str, id: str) -> None:
    make_or_skip(id)
    card = rlt.load(name).card.scores[id]
    result = rlt.evaluate(f"{name}#{id}", episodes=card.episodes, seed=card.seed or 0)
    assert (result.mean, *result.ci) == (card.mean, card.ci_low, card.ci_high)


@pytest.mark.parametrize(("name", "id"), EACH)
def test_each_task_opens_in_plain_sb3_and_acts_the_same(name: str, id: str, tmp_path: Path) -> None:
    agent = rlt.load(f"{name}#{id}")
    plain = PPO.load(agent.to_sb3(tmp_path / "one"), device="cpu")
    assert type(plain) is PPO and agent.card.task == id
    space = plain.observation_space
    space.seed(0)
    seen = np.stack([np.nan_to_num(space.sample(), posinf=1, neginf=-1) for _ in range(32)])
    own = agent.build().predict(seen, deterministic=True)[0]
    assert np.array_equal(plain.predict(seen, deterministic=True)[0], own)


def test_a_task_has_to_be_named() -> None:
    with pytest.raises(BadArgument, match=re.escape("classic4#Pendulum-v1")):
        rlt.adapt("classic4", "CartPole-v1")


def test_the_list_of_agents_shows_all_their_scores() -> None:
    command = [sys.executable, "-m", "rltransfer", "ls", "agents"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for name in NAMES:
        assert name in listed and all(id in listed for id in rlt.load(name).tasks)


@pytest.mark.parametrize("name", NAMES)
def test_the_command_on_the_card_would_train_it_again(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, Path, int]] = []
    monkeypatch.setattr(train, "train", lambda name, out, *, seed: asked.append((name, out, seed)))
    card = rlt.load(name).card
    assert train.main(shlex.split(card.command)[3:]) == 0
    assert asked == [(name, FOLDER, card.seed)]


def test_training_stores_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = ["CartPole-v1", "Pendulum-v1"]
    small = {"tasks": tasks, "steps": 128, "n_envs": 2, "n_steps": 32, "n_epochs": 1}
    monkeypatch.setitem(train.MULTITASK_AGENTS, "classic4", small)
    monkeypatch.setattr(train, "CARD_EPISODES", 2)
    assert train.main(["classic4", "--seed", "3", "--out", str(tmp_path)]) == 0
    assert rlt.load(tmp_path / "classic4").tasks == tuple(tasks)
