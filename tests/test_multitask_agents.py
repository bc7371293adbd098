"""Agents of several tasks: stored, taken apart, extended and joined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from agent_cases import assert_same_tensors
from multitask_cases import SIMPLE, SPACES, multi, outputs, outputs_of_one
from torch import nn

from rltransfer.agents import Agent, load
from rltransfer.errors import UnknownName

SENTENCES = [[0.3, -1.0, 0.5], [1.0, 0.2, -0.4], [0.0, 0.7, 0.1], [-0.6, 0.4, 0.9]]
MOORE = {"trunk": "moore", "trunk_kwargs": {"experts": 2, "sizes": [8, 6]}}
SOFT = {"trunk": "soft_modular", "trunk_kwargs": {"width": 7, "gating_width": 5}}
EMBEDDING = {"conditioning": "embedding", "conditioning_kwargs": {"size": 3}}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "deep relu": {"trunk_kwargs": {"sizes": [9, 6]}, "activation_fn": nn.ReLU},
    "no layers": {"trunk_kwargs": {"sizes": []}},
    "shared critic": {"share_critic": True, "normalize_observations": True},
    "normalized": {"normalize_observations": True},
    "one-hot": {"conditioning": "one-hot", "normalize_observations": True},
    "embedding": EMBEDDING,
    "sentence": {"conditioning": "sentence", "conditioning_kwargs": {"vectors": SENTENCES}},
    "moore": {**MOORE, "conditioning": "one-hot", "normalize_observations": True},
    "moore shared": {**MOORE, **EMBEDDING, "share_critic": True},
    "soft modular": {**SOFT, **EMBEDDING, "normalize_observations": True},
    "soft sentence": {
        **SOFT,
        "conditioning": "sentence",
        "conditioning_kwargs": {"vectors": SENTENCES},
    },
}


def assert_close(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> None:
    for name, value in first.items():
        np.testing.assert_allclose(second[name], value, rtol=2e-5, atol=2e-5, err_msg=name)


def assert_equal(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> None:
    for name, value in first.items():
        assert np.array_equal(second[name], value), name


# ---- stored ----


@pytest.mark.parametrize("variant", VARIANTS)
def test_read_agent_is_the_same_agent(variant: str, tmp_path: Path) -> None:
    taken = multi(learn=True, **VARIANTS[variant])
    taken.save(tmp_path / "trunk")
    read = load(tmp_path / "trunk")
    assert read.multitask and read.tasks == tuple(f"test/{name}-v0" for name in SIMPLE)
    assert read.sha256 == taken.sha256 and read.policy == "rltransfer.MultiTaskPolicy"
    assert not read.classes
    again = Agent.from_model(read.build(), card=read.card)
    assert_same_tensors(again.weights, taken.weights)
    assert taken.optimizer and again.optimizer
    assert_same_tensors(again.optimizer, taken.optimizer)
    assert again.sha256 == taken.sha256
    for id in read.tasks:
        assert_equal(outputs(taken, id, 8), outputs(read, id, 8))


def test_all_spaces_are_stored(tmp_path: Path) -> None:
    fields = {"moving": {"noise": 0.5, "gamma": 0.9, "log_std": -1.0}, "flags": {"masked": True}}
    taken = multi(list(SPACES), fields=fields)
    taken.save(tmp_path / "trunk")
    read = load(tmp_path / "trunk")
    assert read.build().policy.tasks == taken.build().policy.tasks
    assert read.sha256 == taken.sha256


# ---- one task of them ----


@pytest.mark.parametrize("variant", VARIANTS)
def test_one_task_has_the_same_outputs(variant: str) -> None:
    agent = multi(**VARIANTS[variant])
    for name in SIMPLE:
        one = agent.for_task(f"test/{name}-v0")
        plain = variant not in ("moore", "moore shared", "soft modular", "soft sentence")
        assert ("features_extractor_class" in one.policy_kwargs) != plain
        assert one.policy == "MlpPolicy" and one.action_space == SPACES[name][1]
        assert_close(outputs(agent, f"test/{name}-v0"), outputs_of_one(one, one.observation_space))


@pytest.mark.parametrize("trunk", [{}, {**MOORE, **EMBEDDING}], ids=["mlp", "moore"])
@pytest.mark.parametrize("name", SPACES)
def test_one_task_of_every_kind_of_space(name: str, trunk: dict[str, Any]) -> None:
    agent = multi(["vector", name] if name != "vector" else [name], **trunk)
    one = agent.for_task(f"test/{name}-v0")
    kinds = {"image": "CnnPolicy", "dict": "MultiInputPolicy"}
    assert one.policy == kinds.get(name, "MlpPolicy")
    assert_close(outputs(agent, f"test/{name}-v0"), outputs_of_one(one, SPACES[name][0]))


def test_unknown_task_is_suggested() -> None:
    agent = multi()
    with pytest.raises(UnknownName, match="Did you mean 'test/vector-v0'"):
        agent.for_task("test/vectors-v0")
    one = agent.for_task("test/vector-v0")
    assert one.for_task("test/vector-v0") is one and one.tasks == ("test/vector-v0",)
    assert not one.multitask
    with pytest.raises(UnknownName, match="task of agent 'trunk#test/vector-v0'"):
        one.for_task("test/moving-v0")
