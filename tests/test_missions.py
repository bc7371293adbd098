"""Missions as vectors: by a language model, behind observations, and with the control."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

import rltransfer as rlt
from rltransfer.adapters import adapter
from rltransfer.errors import (
    BadArgument,
    BadCheckpoint,
    BadEnvironment,
    MissingExtra,
    SpaceMismatch,
)
from rltransfer.missions import AppendMission, missions_of, vectors_of
from rltransfer.policies.language_model import SentenceEncoder
from rltransfer.policies.sentences import embed
from rltransfer.pretrain import fresh

DOOR = "minigrid:MiniGrid-GoToDoor-5x5-v0"
MISSIONS = ("pull the lever", "push the button", "turn the wheel", "ring the bell")
WORDS = ["[UNK]", "go", "to", "the", "red", "blue", "door", "walk"]


class Machine(gym.Env):
    """One step: the mission alone says which of four actions is rewarded."""

    def __init__(self) -> None:
        noise = spaces.Box(-1.0, 1.0, (2,), np.float32)
        text = spaces.Text(40, charset="".join(MISSIONS))
        self.observation_space = spaces.Dict({"image": noise, "mission": text})
        self.action_space = spaces.Discrete(len(MISSIONS))

    def _observe(self) -> dict[str, Any]:
        noise = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return {"image": noise, "mission": MISSIONS[self.task]}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.task = int(self.np_random.integers(len(MISSIONS)))
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        return self._observe(), float(action == self.task), True, False, {}


def machine(id: str, **arguments: Any) -> str:
    """The machine behind an adapter that shows its mission."""
    if "test/Machine-v0" not in gym.registry:
        gym.register("test/Machine-v0", Machine, max_episode_steps=2)
    arguments = {"vectors": vectors_of(MISSIONS, embed), **arguments}
    return rlt.adapted("test/Machine-v0", id, [adapter("AppendMission", **arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny language model with random weights, as transformers saves it."""
    path = tmp_path_factory.mktemp("language") / "tiny"
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, "[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()  # type: ignore[assignment]
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[UNK]"
    )
    wrapped.save_pretrained(path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
        config = BertConfig(vocab_size=len(WORDS), intermediate_size=32, **sizes)
        BertModel(config).eval().save_pretrained(path)
    return path


# ---- the language model ----


def test_a_vector_is_the_mean_over_tokens(folder: Path) -> None:
    encoder = SentenceEncoder(folder, normalize=False)
    model = BertModel.from_pretrained(folder).eval()
    with torch.no_grad():
        tokens = model(torch.tensor([[1, 2, 3, 4, 6]])).last_hidden_state[0]
    (vector,) = encoder(["go to the red door"])
    assert vector.shape == (encoder.size,) == (16,) and vector.dtype == np.float32
    np.testing.assert_allclose(vector, tokens.mean(0).numpy(), rtol=1e-5, atol=1e-6)
    (unit,) = SentenceEncoder(folder)(["go to the red door"])
    np.testing.assert_allclose(unit, vector / np.linalg.norm(vector), rtol=1e-5)


def test_a_vector_depends_on_its_sentence_alone(folder: Path) -> None:
    sentences = ["go to the red door", "walk", "go to the blue door"]
    together = SentenceEncoder(folder)(sentences)
    alone = [SentenceEncoder(folder)([one])[0] for one in sentences]
    np.testing.assert_array_equal(together, alone)
    assert not np.allclose(together[0], together[2])


def test_a_sentence_is_embedded_once_and_draws_nothing(folder: Path) -> None:
    before = torch.get_rng_state()
    encoder = SentenceEncoder(folder)
    calls: list[str] = []
    compute = encoder._embed
    encoder._embed = lambda sentence: calls.append(sentence) or compute(sentence)  # type: ignore
    first = encoder(["walk", "go", "walk"])
    np.testing.assert_array_equal(encoder(["walk"]), first[:1])
    assert calls == ["walk", "go"] and encoder([]).shape == (0, 16)
    assert torch.equal(torch.get_rng_state(), before)


def test_it_conditions_multi_task_policies(folder: Path) -> None:
    model = rlt.fresh_multitask(
        ["CartPole-v1", "Acrobot-v1"],
        conditioning="sentence",
        missions={"CartPole-v1": "go to the door", "Acrobot-v1": "walk"},
        embed=SentenceEncoder(folder),
    )
    assert model.policy.context.vectors.shape == (2, 16)


def test_what_is_no_language_model(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match=r"no config\.json"):
        SentenceEncoder(tmp_path)
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in folder.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "model.safetensors").rename(broken / "pytorch_model.bin")
    with pytest.raises(BadCheckpoint, match="no language model can be read"):
        SentenceEncoder(broken)
    with pytest.raises(BadArgument, match="is no sentence"):
        SentenceEncoder(folder)([" "])


@pytest.mark.parametrize(
    ("name", "content"), [("model.safetensors", b"abc"), ("config.json", b"[]")]
)
def test_damaged_files_of_a_language_model(
    name: str, content: bytes, folder: Path, tmp_path: Path
) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadCheckpoint, match="no language model can be read"):
        SentenceEncoder(tmp_path)


def test_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match=r"rltransfer\[language\]"):
        SentenceEncoder(folder)


# ---- the adapter ----


def test_a_mission_is_shown_behind_the_view() -> None:
    missions = missions_of(DOOR)
    assert len(missions) == 6 and "go to the red door" in missions
    vectors = vectors_of(missions, embed)
    show = ["image", "direction"]
    task = rlt.adapted(DOOR, "test/Door-v0", [adapter("AppendMission", vectors=vectors, show=show)])
    env, plain = gym.make(task), gym.make(DOOR)
    shown, (raw, _) = env.reset(seed=3)[0], plain.reset(seed=3)
    direction = np.eye(4)[raw["direction"]]
    expected = np.concatenate([raw["image"].ravel(), direction, vectors[raw["mission"]]])
    np.testing.assert_array_equal(shown, expected.astype(np.float32))
    assert shown.shape == (147 + 4 + 64,) and env.observation_space.contains(shown)
    assert env.spec is not None
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))  # as a worker process gets it
    np.testing.assert_array_equal(again.reset(seed=3)[0], shown)


def test_shuffled_episodes_are_the_same_but_for_the_mission() -> None:
    shown, shuffled = (
        gym.make(machine(f"test/{name}-v0", shuffle=shuffle))
        for name, shuffle in (("True", False), ("Shuffled", True))
    )
    episodes = [(shown.reset(seed=s)[0], shuffled.reset(seed=s)[0]) for s in range(200)]
    assert all(np.array_equal(one[:2], other[:2]) for one, other in episodes)
    same = np.mean([np.array_equal(one, other) for one, other in episodes])
    assert 0.15 < same < 0.35  # one of four by chance
    assert np.array_equal(shuffled.reset(seed=5)[0], shuffled.reset(seed=5)[0])


def test_a_learner_that_reads_its_mission_beats_one_that_cannot() -> None:
    scores = {}
    for shuffle in (False, True):
        task = machine(f"test/Machine{shuffle}-v0", shuffle=shuffle)
        model = fresh(task, n_envs=8, n_steps=32, batch_size=64, learning_rate=3e-3, seed=0)
        model.learn(4096)
        scores[shuffle] = rlt.evaluate(model, task, episodes=200).mean
    assert scores[False] > 0.95 and scores[True] < 0.45


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"vectors": {}}, BadArgument, "mapping from missions"),
        ({"vectors": {"a": [1.0], "b": [1.0, 2.0]}}, BadArgument, "of one length"),
        ({"vectors": {"a": [float("nan")]}}, BadArgument, "finite"),
        ({"vectors": {"a": ["x"]}}, BadArgument, "not numbers"),
        ({"show": ["sound"]}, SpaceMismatch, "what can be shown is"),
        ({"show": ["mission"]}, SpaceMismatch, "what can be shown is"),
        ({"mission": "task"}, SpaceMismatch, "a text 'task'"),
    ],
)
def test_what_the_adapter_refuses(changes: dict[str, Any], error: type, words: str) -> None:
    arguments = {"vectors": vectors_of(MISSIONS, embed), **changes}
    with pytest.raises(error, match=words):
        AppendMission(Machine(), **arguments)


def test_missions_of_minigrid_cannot_be_shown() -> None:
    from minigrid.envs import GoToDoorEnv

    with pytest.raises(SpaceMismatch, match=r"what can be shown is .*'image'"):
        AppendMission(GoToDoorEnv(5), vectors_of(MISSIONS, embed), show=("foo",))


def test_what_is_no_list_of_missions_or_no_vectors() -> None:
    with pytest.raises(BadArgument, match="give a list"):
        vectors_of("go", embed)
    with pytest.raises(BadArgument, match="embed gave 'x'"):
        vectors_of(MISSIONS, lambda texts: "x")


def test_missions_without_a_vector() -> None:
    env = AppendMission(Machine(), vectors_of(["wait"], embed))
    with pytest.raises(BadEnvironment, match="has no vector"):
        env.reset(seed=0)
    with pytest.raises(SpaceMismatch, match="a text 'mission'"):
        missions_of("CartPole-v1")
    machine("test/Any-v0")
    with pytest.raises(BadArgument, match="list them yourself"):
        missions_of("test/Machine-v0")
    with pytest.raises(BadArgument, match="embed gave an array of shape"):
        vectors_of(MISSIONS, lambda texts: np.zeros(3))
