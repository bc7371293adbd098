"""Agents of several tasks: stored, taken apart, extended and joined."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from agent_cases import agent, assert_same_tensors, venv
from multitask_cases import (
    KINDS,
    SIMPLE,
    SPACES,
    multi,
    normalized,
    observations,
    outputs,
    outputs_of_one,
    seen_by_sb3,
    spaces_of,
)
from stable_baselines3 import PPO
from stranger import WITHOUT_RLTRANSFER
from torch import nn

import rltransfer as rlt
from rltransfer.agents import Agent, Card, Score, bundle, document, load
from rltransfer.agents.loading import is_file, label_of
from rltransfer.errors import BadArgument, BadCheckpoint, SpaceMismatch, UnknownName
from rltransfer.registry import make

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


STRANGER = (
    WITHOUT_RLTRANSFER
    + """
for case in cases:
    model = PPO.load(f"{folder}/{case}.zip", device="cpu")
    expected = np.load(f"{folder}/{case}.npz")
    actions, _ = model.predict(expected["batch"], deterministic=True)
    values = model.policy.predict_values(torch.as_tensor(expected["batch"])).detach().numpy()
    assert np.array_equal(actions, expected["actions"]), case
    assert np.array_equal(values, expected["values"]), case
assert not [name for name in sys.modules if name.startswith("rltransfer")]
print("strangers act in", *cases)
"""
)

NEW = spaces_of("image")


def assert_close(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> None:
    for name, value in first.items():
        np.testing.assert_allclose(second[name], value, rtol=2e-5, atol=2e-5, err_msg=name)


def assert_exact(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> None:
    """Equal in double precision, but for what is rounded: actions, and the value head's layer."""
    for name, value in first.items():
        room = {"values": 1e-5, "actions": 1e-6}.get(name, 1e-10)
        np.testing.assert_allclose(second[name], value, rtol=room, atol=room, err_msg=name)


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
    taken = multi(KINDS, fields=fields)
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
        space = one.observation_space
        assert_close(outputs(agent, f"test/{name}-v0"), outputs_of_one(one, space))
        # What is copied, and neither folded nor normalized by VecNormalize, is the same exactly.
        if "normalize_observations" not in VARIANTS[variant] and (
            not plain or "conditioning" not in VARIANTS[variant]
        ):
            expected = outputs(agent, f"test/{name}-v0", double=True)
            assert_exact(expected, outputs_of_one(one, space, double=True))


@pytest.mark.parametrize("trunk", [{}, {**MOORE, **EMBEDDING}], ids=["mlp", "moore"])
@pytest.mark.parametrize("name", KINDS)
def test_one_task_of_every_kind_of_space(name: str, trunk: dict[str, Any]) -> None:
    agent = multi(["vector", name] if name != "vector" else [name], **trunk)
    one = agent.for_task(f"test/{name}-v0")
    kinds = {"image": "CnnPolicy", "dict": "MultiInputPolicy"}
    assert one.policy == kinds.get(name, "MlpPolicy")
    expected = outputs(agent, f"test/{name}-v0", double=True)
    assert_exact(expected, outputs_of_one(one, SPACES[name][0], double=True))
    assert ("features_extractor_class" in one.policy_kwargs) == bool(trunk or name in kinds)


def test_grid_of_cells() -> None:
    agent = multi(["grid", "flat grid"], encoder_kind="grid")
    for name in ("grid", "flat grid"):
        one = agent.for_task(f"test/{name}-v0")
        expected = outputs(agent, one.card.task, double=True)
        assert_exact(expected, outputs_of_one(one, SPACES[name][0], double=True))
    agent = multi(["vector", "small"])
    one = agent.for_task("test/small-v0")
    assert one.policy == "CnnPolicy"
    expected = outputs(agent, one.card.task, double=True)
    assert_exact(expected, outputs_of_one(one, SPACES["small"][0], double=True))
    agent = multi(["grid", "flat grid"], encoder_kind="grid", normalize_observations=True)
    assert agent.for_task("test/grid-v0").normalization is None
    assert agent.for_task("test/flat grid-v0").normalization


def test_task_with_masks_is_one_of_maskable_ppo() -> None:
    agent = multi(fields={"flags": {"masked": True}, "table": {"masked": True}})
    for name in ("flags", "table"):
        one = agent.for_task(f"test/{name}-v0")
        assert one.algorithm == "maskable_ppo"
        policy, many = one.build().policy, agent.build().policy
        batch = observations(SPACES[name][0], 16)
        index = many.index(one.card.task)
        masks = np.random.default_rng(0).random((16, many.packing.masks[index])) < 0.5
        masks[:, [0, -1]] = True
        chosen = policy.predict(batch, deterministic=True, action_masks=masks)[0]
        assert np.array_equal(chosen, many.act(one.card.task, batch, masks=masks))


def test_card_and_settings_of_one_task() -> None:
    score = Score(mean=3.0, ci_low=2.0, ci_high=4.0, episodes=5, deterministic=True)
    agent = multi(fields={"moving": {"gamma": 0.9, "log_std": -1.5}})
    agent = agent.with_card(scores={"test/moving-v0": score})
    one = agent.for_task("test/moving-v0")
    assert one.card.name == "trunk#test/moving-v0" and one.card.source == "trunk"
    assert one.card.score == score and not one.card.scores
    assert one.hyperparameters["gamma"] == 0.9 and one.policy_kwargs["log_std_init"] == -1.5
    # Its share of 8 environments of 4 tasks, and of a minibatch, which fits their rollout.
    size = one.hyperparameters["batch_size"]
    assert one.hyperparameters["n_envs"] == 2 and size == agent.hyperparameters["batch_size"] // 4
    assert 2 * one.hyperparameters["n_steps"] % size == 0
    assert agent.for_task("test/vector-v0").card.score is None
    assert "test/moving-v0: 3 (95%" in str(agent) and "test/flags-v0: not measured" in str(agent)


def test_numbers_that_begin_elsewhere_are_refused() -> None:
    agent = multi(["late", "vector"])
    with pytest.raises(SpaceMismatch, match="do not begin at 0"):
        agent.for_task("test/late-v0")


def test_strangers_open_the_zip_of_a_plain_task(tmp_path: Path) -> None:
    agent = multi(SIMPLE, conditioning="embedding", normalize_observations=True)
    for name in SIMPLE:
        one = agent.for_task(f"test/{name}-v0")
        one.to_sb3(tmp_path / name)
        model = one.build()
        batch = observations(SPACES[name][0])
        actions, _ = model.predict(batch, deterministic=True)
        values = model.policy.predict_values(torch.as_tensor(batch)).detach().numpy()
        np.savez(tmp_path / f"{name}.npz", batch=batch, actions=actions, values=values)
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, str(tmp_path), *SIMPLE],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"strangers act in {' '.join(SIMPLE)}\n"


def test_zip_of_task_features_is_opened_with_rltransfer(tmp_path: Path) -> None:
    agent = multi(["image", "dict"], **MOORE, **EMBEDDING)
    for name in ("image", "dict"):
        one = agent.for_task(f"test/{name}-v0")
        again = PPO.load(one.to_sb3(tmp_path / name), device="cpu")
        assert_same_tensors(again.policy.state_dict(), one.build().policy.state_dict())
    one.save(tmp_path / "own")
    assert load(tmp_path / "own").sha256 == one.sha256


def test_unknown_task_is_suggested() -> None:
    agent = multi()
    with pytest.raises(UnknownName, match="Did you mean 'test/vector-v0'"):
        agent.for_task("test/vectors-v0")
    one = agent.for_task("test/vector-v0")
    assert one.for_task("test/vector-v0") is one and one.tasks == ("test/vector-v0",)
    assert not one.multitask
    with pytest.raises(UnknownName, match="task of agent 'trunk#test/vector-v0'"):
        one.for_task("test/moving-v0")


# ---- with memory ----

MEMORY: dict[str, dict[str, Any]] = {
    "separate": {"normalize_observations": True, "conditioning": "one-hot"},
    "shared": {"share_critic": True, "n_lstm_layers": 2},
    "moore": {**MOORE, **EMBEDDING},
}


def remembered(act: Any, batches: list[Any]) -> np.ndarray:
    """Actions of three rows over several steps; one of them starts anew on the way."""
    state, actions = None, []
    for step, batch in enumerate(batches):
        starts = np.array([step == 0, step in (0, 2), step == 0])
        action, state = act(batch, state, starts)
        actions.append(action)
    return np.stack(actions)


@pytest.mark.parametrize("variant", MEMORY)
def test_agent_with_memory(variant: str, tmp_path: Path) -> None:
    given = {"memory": True, "lstm_hidden_size": 5, "learn": True, **MEMORY[variant]}
    names = ("vector", "moving", "dict")
    old = multi(names, **given)
    old.save(tmp_path / "trunk")
    agent = load(tmp_path / "trunk")
    assert agent.sha256 == old.sha256 and agent.multitask and agent.optimizer
    assert agent.policy == "rltransfer.MultiTaskLstmPolicy" and not agent.classes
    new = agent.add_task("test/image-v0", **NEW)
    policy, later = agent.build().policy, new.without("test/vector-v0").build().policy
    for name in names:
        space = SPACES[name][0]
        one = agent.for_task(f"test/{name}-v0")
        assert one.algorithm == "recurrent_ppo"
        assert one.policy == ("MultiInputLstmPolicy" if name == "dict" else "MlpLstmPolicy")
        made = one.build()
        batches = [observations(space, 3, seed) for seed in range(4)]
        given_to_it = [normalized(one, seen_by_sb3(space, batch)) for batch in batches]
        expected = remembered(lambda *a, n=name: policy.act(f"test/{n}-v0", *a), batches)
        found = remembered(lambda *a, m=made: m.predict(*a, deterministic=True), given_to_it)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        if name != "vector":
            again = remembered(lambda *a, n=name: later.act(f"test/{n}-v0", *a), batches)
            assert np.array_equal(again, expected)


def test_memory_and_masks_are_refused_together() -> None:
    agent = multi(["vector", "flags"], memory=True, fields={"flags": {"masked": True}})
    with pytest.raises(BadArgument, match="action masks and the policy a memory"):
        agent.for_task("test/flags-v0")
    with pytest.raises(BadArgument, match="memory between trunk and heads"):
        agent.add_task("test/moving-v0", source=source(), **spaces_of("moving"))


# ---- one task of them, wherever an agent is named ----


@pytest.fixture
def saved(tmp_path: Path) -> str:
    multi().save(tmp_path / "trunk")
    return str(tmp_path / "trunk")


def test_task_behind_a_path(saved: str) -> None:
    whole = load(saved)
    one = load(f"{saved}#test/moving-v0")
    assert one.sha256 == whole.for_task("test/moving-v0").sha256
    assert load(Path(f"{saved}.json#test/moving-v0")).sha256 == one.sha256
    assert is_file(f"{saved}#test/moving-v0") and not is_file("nothing#test/moving-v0")
    assert label_of(f"{saved}#test/moving-v0") == "trunk-moving-v0"
    with pytest.raises(UnknownName, match="Did you mean 'test/moving-v0'"):
        load(f"{saved}#test/moving-v1")
    with pytest.raises(BadArgument, match="expected AGENT#TASK"):
        load(f"{saved}#")
    assert load("cartpole#CartPole-v1").sha256 == load("cartpole").sha256
    with pytest.raises(UnknownName, match="task of agent 'cartpole'"):
        load("cartpole#Acrobot-v1")


def test_module_of_a_task_may_be_left_out() -> None:
    trunk = multi(["vector"]).add_task("my_tasks:my/Pole-v0", **NEW)
    assert trunk.for_task("my/Pole-v0").card.task == "my_tasks:my/Pole-v0"
    assert trunk.without("my/Pole-v0").tasks == ("test/vector-v0",)


def test_number_sign_in_a_file_name_is_no_task(tmp_path: Path) -> None:
    multi().save(tmp_path / "run#1")
    assert load(tmp_path / "run#1").multitask
    assert load(f"{tmp_path}/run#1#test/vector-v0").card.task == "test/vector-v0"


@pytest.mark.parametrize(
    "verb",
    [
        lambda agent: rlt.adapt(agent, "CartPole-v1"),
        lambda agent: rlt.finetune(agent, "CartPole-v1", steps=8),
        lambda agent: rlt.measure(agent, "CartPole-v1", steps=8),
        lambda agent: rlt.evaluate(agent),
        lambda agent: rlt.evaluate(agent, "CartPole-v1"),
        lambda agent: load(agent).to_sb3("nowhere"),
    ],
    ids=["adapt", "finetune", "measure", "evaluate", "evaluate on", "to_sb3"],
)
def test_verbs_for_one_task_list_the_tasks(verb: Any, saved: str) -> None:
    with pytest.raises(BadArgument, match="'trunk#test/vector-v0', 'trunk#test/moving-v0'"):
        verb(saved)


def test_one_task_is_adapted_and_evaluated(tmp_path: Path) -> None:
    trunk = load("acrobot").as_multitask()
    trunk.save(tmp_path / "trunk")
    name = f"{tmp_path}/trunk#Acrobot-v1"
    assert rlt.evaluate(name, episodes=3).mean == rlt.evaluate("acrobot", episodes=3).mean
    model = rlt.adapt(name, "Acrobot-v1", n_envs=2, seed=0)
    model.get_env().close()  # pyright: ignore[reportOptionalMemberAccess]
    first = trunk.weights["actor.encoders.Acrobot-v1.0.weight"]
    found = model.policy.state_dict()["mlp_extractor.policy_net.0.weight"]
    assert torch.equal(found, first)


# ---- one task more, one task less ----


def assert_old_tasks_are_the_same(old: Agent, new: Agent) -> None:
    """All tensors the same bits, all outputs too, of the whole policy and of each task alone."""
    shared = {name: new.weights[name] for name in old.weights if not name.startswith("context.")}
    assert_same_tensors(shared, {name: old.weights[name] for name in shared})
    assert old.optimizer and new.optimizer
    moments = {n: value for n, value in old.optimizer.items() if not n.startswith("context.")}
    assert moments.keys() == new.optimizer.keys()
    assert_same_tensors(moments, new.optimizer)
    for id in set(old.tasks) & set(new.tasks):
        for rows in (1, 7, 64):
            assert_equal(outputs(old, id, rows), outputs(new, id, rows))
        before, after = old.for_task(id), new.for_task(id)
        assert_same_tensors(before.weights, after.weights)
        assert before.policy_kwargs.keys() == after.policy_kwargs.keys()


def options_of(variant: str) -> dict[str, Any]:
    return {"vector": [0.1, 0.2, 0.3]} if "sentence" in variant else {}


@pytest.mark.parametrize("variant", VARIANTS)
def test_added_task_changes_nothing_for_the_others(variant: str, tmp_path: Path) -> None:
    old = multi(learn=True, **VARIANTS[variant])
    new = old.add_task("test/image-v0", seed=5, **NEW, **options_of(variant))
    assert new.tasks == (*old.tasks, "test/image-v0")
    # The packed width has grown from 7 to that of an image.
    assert old.observation_space.shape == (7,)
    assert new.observation_space.shape == (1 + 36 * 36 * 3,)
    assert_old_tasks_are_the_same(old, new)
    one = new.for_task("test/image-v0")
    expected = outputs(new, "test/image-v0", double=True)
    assert_exact(expected, outputs_of_one(one, NEW["observation_space"], double=True))
    new.save(tmp_path / "new")
    assert load(tmp_path / "new").sha256 == new.sha256


@pytest.mark.parametrize("variant", VARIANTS)
def test_task_that_is_dropped_again_leaves_no_trace(variant: str) -> None:
    old = multi(learn=True, **VARIANTS[variant])
    new = old.add_task("test/image-v0", **NEW, **options_of(variant)).without("test/image-v0")
    assert new.tasks == old.tasks and new.observation_space == old.observation_space
    assert {n for n in new.weights if "context" not in n} == {
        n for n in old.weights if "context" not in n
    }
    assert_old_tasks_are_the_same(old, new)
    fewer = old.without("test/moving-v0")
    assert not any("moving" in name for name in [*fewer.weights, *(fewer.optimizer or {})])
    for id in fewer.tasks:
        assert_equal(outputs(old, id), outputs(fewer, id))


def test_what_is_new_depends_on_the_seed_alone() -> None:
    first, second = multi(), multi(["flags"], trunk_kwargs={"sizes": [3, 64]})
    one = first.add_task("test/image-v0", seed=1, **NEW).weights
    torch.manual_seed(7)
    state = torch.get_rng_state()
    again = second.add_task("test/image-v0", seed=1, **NEW).weights
    assert torch.equal(torch.get_rng_state(), state)
    other = first.add_task("test/image-v0", seed=2, **NEW).weights
    added = one.keys() - first.weights.keys()
    matrices = [name for name in added if name.endswith("weight")]
    assert len(matrices) > 8 and all(torch.equal(one[name], again[name]) or "head" in name
                                     for name in added)  # fmt: skip
    assert not any(torch.equal(one[name], other[name]) for name in matrices)


def test_added_task_may_share_an_encoder_and_a_head() -> None:
    old = multi(normalize_observations=True)
    given = spaces_of("vector")
    new = old.add_task("test/twin-v0", encoder="test/vector-v0", head="test/vector-v0", **given)
    assert new.weights.keys() - old.weights.keys() == {
        f"value_heads.test/twin-v0.{name}"
        for name in ("linear.weight", "linear.bias", "mean", "mean_square", "count")
    }
    assert_equal(
        {"actions": outputs(old, "test/vector-v0")["actions"]}, outputs(new, "test/twin-v0")
    )
    # What is shared stays when one of the two goes, and is not shared by chance when it returns.
    fewer = new.without("test/vector-v0")
    assert "actor.encoders.test/vector-v0.0.weight" in fewer.weights
    again = fewer.add_task("test/vector-v0", **given)
    assert "actor.encoders.test/vector-v0_2.0.weight" in again.weights
    with pytest.raises(SpaceMismatch, match="share the encoder 'test/vector-v0'"):
        old.add_task("test/image-v0", encoder="test/vector-v0", **NEW)


def test_added_task_comes_from_the_registry() -> None:
    new = multi().add_task("Pendulum-v1", gamma=0.9, noise=0.5, log_std=-1.0)
    made = new.build().policy.tasks[-1]
    assert (made.gamma, made.noise, made.log_std, made.masked) == (0.9, 0.5, -1.0, False)
    assert made.action_space == make("Pendulum-v1").action_space
    assert new.weights["log_stds.Pendulum-v1"].tolist() == [-1.0]
    assert new.card.task.endswith(", Pendulum-v1")


def test_one_hot_codes_become_the_embedding_of_the_same_codes() -> None:
    old = multi(conditioning="one-hot")
    new = old.add_task("test/image-v0", **NEW)
    table = new.weights["context.table.weight"]
    assert torch.equal(table[:4], torch.eye(4)) and table.shape == (5, 4)
    torch.testing.assert_close(table[4].norm(), torch.tensor(1.0))


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda a: a.add_task("test/vector-v0", **NEW), BadArgument, "two tasks are called"),
        (lambda a: a.add_task("test/new-v0", noise=0.5, **NEW), BadArgument, "noise of test/new"),
        (lambda a: a.add_task("test/new-v0", vector=[1.0], **NEW), BadArgument, "drop it"),
        (lambda a: a.add_task("Nothing-v0"), UnknownName, "Nothing-v0"),
        (
            lambda a: a.add_task("test/tiny-v0", **spaces_of("tiny")),
            SpaceMismatch,
            "no encoder of 'trunk' reads what test/tiny-v0 observes",
        ),
        (lambda a: a.without("test/vectors-v0"), UnknownName, "Did you mean 'test/vector-v0'"),
        (lambda a: load("cartpole").add_task("Acrobot-v1"), BadArgument, "as_multitask"),
        (lambda a: load("cartpole").without("CartPole-v1"), BadArgument, "as_multitask"),
        (
            lambda a: load("cartpole").as_multitask().without("CartPole-v1"),
            BadArgument,
            "the only task",
        ),
    ],
)
def test_changes_that_are_refused(change: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        change(multi())


def test_sentence_of_an_added_task_is_needed() -> None:
    agent = multi(**VARIANTS["sentence"])
    with pytest.raises(BadArgument, match="give its vector of 3 numbers"):
        agent.add_task("test/image-v0", **NEW)
    with pytest.raises(BadArgument, match="vector has 2 numbers: give 3"):
        agent.add_task("test/image-v0", vector=[1.0, 2.0], **NEW)


# ---- agents of one task that join ----

JOINING = ("cartpole", "acrobot", "doorkey-5x5", "lunarlander")


@pytest.mark.parametrize("name", JOINING)
def test_agent_of_the_zoo_as_a_multi_task_agent(name: str) -> None:
    source = load(name)
    agent = source.as_multitask()
    id = source.card.task
    assert agent.tasks == (id,) and agent.as_multitask() is agent
    assert agent.card.scores == {id: source.card.score} and agent.card.score is None
    found = outputs(agent, id, 64)
    expected = outputs_of_one(source, source.observation_space, 64)
    spec = source.normalization
    if spec and spec.reward:
        scale = np.sqrt(spec.return_stats.var + spec.epsilon)  # pyright: ignore
        expected["values"] = expected["values"] * scale
    assert_close(found, expected)
    assert_close(expected, outputs_of_one(agent.for_task(id), source.observation_space, 64))
    # The weights are the same bits under other names, and so is the state of the optimizer.
    sizes = sorted(value.shape for value in source.weights.values())
    kept = {n: v for n, v in agent.weights.items() if n.endswith(("weight", "bias"))}
    assert sorted(value.shape for value in kept.values()) == sizes
    assert source.optimizer and agent.optimizer
    assert len(agent.optimizer) == len(source.optimizer)
    again = Agent.from_model(agent.build(), card=agent.card)
    assert again.sha256 == agent.sha256


@pytest.mark.parametrize("name", ["pendulum", "mountaincar-continuous"])
def test_gsde_is_replaced_only_where_that_is_asked_for(name: str) -> None:
    source = load(name)
    with pytest.raises(BadArgument, match=r"explores by gSDE.*as_multitask\(log_std=-0\.5\)"):
        source.as_multitask()
    agent = source.as_multitask(log_std=-0.7, noise=0.9)
    id = source.card.task
    torch.testing.assert_close(agent.weights[f"log_stds.{id}"], torch.tensor([-0.7]))
    assert not any("log_std" in name for name in agent.optimizer or {})
    expected = outputs_of_one(source, source.observation_space)["actions"]
    np.testing.assert_allclose(outputs(agent, id)["actions"], expected, rtol=1e-4, atol=1e-5)
    made = agent.build().policy.tasks[0]
    assert made.noise == 0.9 and made.gamma == source.hyperparameters["gamma"]


def test_agents_join_a_trunk_with_their_encoders_and_heads() -> None:
    trunk = load("acrobot").as_multitask()
    source = load("mountaincar-continuous")
    with pytest.raises(BadArgument, match="gSDE"):
        trunk.add_task("MountainCarContinuous-v0", source=source)
    new = trunk.add_task("MountainCarContinuous-v0", source=source, log_std=-1.0)
    assert_old_tasks_are_the_same(trunk, new)
    pairs = {
        "mlp_extractor.policy_net.0.weight": "actor.encoders.MountainCarContinuous-v0.0.weight",
        "mlp_extractor.value_net.0.bias": "critic.encoders.MountainCarContinuous-v0.0.bias",
        "action_net.weight": "action_heads.MountainCarContinuous-v0.weight",
        "value_net.weight": "value_heads.MountainCarContinuous-v0.linear.weight",
    }
    for theirs, ours in pairs.items():
        assert torch.equal(source.weights[theirs], new.weights[ours])
    stats: Any = source.normalization
    assert stats is not None
    mean = new.weights["observation_stats.MountainCarContinuous-v0.mean"]
    np.testing.assert_allclose(mean, stats.obs_stats.mean, rtol=1e-6)
    square = new.weights["value_heads.MountainCarContinuous-v0.mean_square"]
    np.testing.assert_allclose(square, stats.return_stats.var + 1e-8, rtol=1e-6)
    assert new.build().policy.tasks[1].gamma == 0.999


def test_source_that_does_not_normalize_goes_on_seeing_what_it_saw() -> None:
    trunk = load("acrobot").as_multitask()
    new = trunk.add_task("Pendulum-v1", source=load("pendulum"), log_std=-1.0)
    stats = new.build().policy.observation_stats["Pendulum-v1"]
    seen = torch.tensor([[-1.0, 0.5, 8.0]])
    assert torch.equal(stats(seen), seen)
    stats.update(np.full((1000, 3), 7.0))
    torch.testing.assert_close(stats(seen), seen, rtol=1e-4, atol=1e-4)
    with pytest.raises(SpaceMismatch, match="clips them at 10"):
        trunk.add_task("CartPole-v1", source=load("cartpole"))
    with pytest.raises(SpaceMismatch, match="'acrobot' normalizes observations, and 'cartpole'"):
        load("cartpole").as_multitask().add_task("Acrobot-v1", source=load("acrobot"))


def source(**policy_kwargs: Any) -> Agent:
    """An agent of one task in the spaces of test/moving-v0."""
    made = PPO(
        "MlpPolicy",
        venv(*SPACES["moving"]),
        policy_kwargs={"net_arch": [8, 8], **policy_kwargs},
        device="cpu",
        seed=1,
    )
    return Agent.from_model(made, card=Card(name="one", task="test/moving-v0", steps=0))


def test_source_of_fitting_layers_joins() -> None:
    trunk = multi(["vector"], trunk_kwargs={"sizes": [8]})
    given = spaces_of("moving")
    new = trunk.add_task("test/moving-v0", source=source(log_std_init=-0.25), **given)
    assert new.weights["log_stds.test/moving-v0"].tolist() == [-0.25, -0.25]
    assert new.build().policy.tasks[1].log_std == -0.25


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"net_arch": [16, 8]},
            [
                "mlp_extractor.policy_net.0.weight is (16, 2), and (8, 2) is needed",
                "mlp_extractor.value_net.0.weight is (16, 2)",
            ],
        ),
        ({"net_arch": [8, 6]}, ["action_net.weight is (2, 6), and (2, 8) is needed"]),
        ({"net_arch": [8, 8, 8]}, ["it has 3 hidden layers, and encoder and trunk have 2"]),
        (
            {"activation_fn": nn.ReLU},
            ["its activation_fn is torch.nn.ReLU, and torch.nn.Tanh is needed"],
        ),
    ],
)
def test_source_of_other_layers_is_refused_whole(
    arguments: dict[str, Any], words: list[str]
) -> None:
    trunk = multi(["vector"], trunk_kwargs={"sizes": [8]})
    given = spaces_of("moving")
    with pytest.raises(SpaceMismatch, match="'one' does not fit 'trunk'") as caught:
        trunk.add_task("test/moving-v0", source=source(**arguments), **given)
    for text in [*words, "add the task without a source"]:
        assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("recurrent", "recurrent_ppo with MlpLstmPolicy"),
        ("image", "CnnPolicy"),
        ("own extractor", "a features extractor"),
        ("discrete", r"\(8, 5\), those of mlp_extractor.value_net \(9, 5\), \(7, 9\)"),
        ("normalized", "clip_obs=5"),
        ("gsde", "gSDE"),
    ],
)
def test_other_policies_do_not_join(case: str, message: str) -> None:
    with pytest.raises(BadArgument, match=message):
        agent(case).as_multitask()


@pytest.mark.parametrize("case", ["box", "multidiscrete", "multibinary", "maskable"])
def test_all_spaces_of_an_mlp_policy_join(case: str) -> None:
    one = agent(case)
    many = one.as_multitask()
    again = many.for_task(one.card.task)
    assert again.algorithm == one.algorithm
    assert_same_tensors(again.weights, one.weights)
    first, second = outputs(many, one.card.task), outputs_of_one(one, one.observation_space)
    assert_close(first, second)


def test_sources_of_several_tasks_and_other_spaces_are_refused() -> None:
    trunk = multi(["vector"], trunk_kwargs={"sizes": [8]})
    with pytest.raises(BadArgument, match="'trunk#test/vector-v0'"):
        trunk.add_task("test/image-v0", source=trunk, **NEW)
    with pytest.raises(SpaceMismatch, match=r"it observes Box.*it acts in Box"):
        trunk.add_task("test/image-v0", source=source(), **NEW)
    shared = multi(["vector"], trunk_kwargs={"sizes": [8]}, share_critic=True)
    given = spaces_of("moving")
    with pytest.raises(BadArgument, match="share their layers"):
        shared.add_task("test/moving-v0", source=source(), **given)


# ---- files of others ----


def stored(path: Path, change: Any) -> None:
    """Write an agent whose sealed policy_kwargs say something else."""
    tensors, data = document.write(multi(learn=True, **EMBEDDING))
    data = json.loads(json.dumps(data))
    change(data["policy_kwargs"])
    bundle.write(path, tensors, data)


def first_task(data: dict[str, Any], **changes: Any) -> None:
    data["tasks"][0]["$task"].update(changes)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("tasks"),
        lambda d: d.update(tasks=[]),
        lambda d: d.update(tasks=3),
        lambda d: d.update(tasks=["CartPole-v1"]),
        lambda d: d.update(tasks=[{"$task": 3}]),
        lambda d: d["tasks"].append(d["tasks"][0]),
        lambda d: d["tasks"][0]["$task"].pop("gamma"),
        lambda d: first_task(d, more=1),
        lambda d: first_task(d, id=3),
        lambda d: first_task(d, id="\x1b[31m"),
        lambda d: first_task(d, id=""),
        lambda d: first_task(d, gamma=2.0),
        lambda d: first_task(d, gamma="0.9"),
        lambda d: first_task(d, encoder="a.b"),
        lambda d: first_task(d, encoder=""),
        lambda d: first_task(d, noise=0.5),
        lambda d: first_task(d, masked=1),
        lambda d: first_task(d, action_space={"type": "Tuple", "spaces": []}),
        lambda d: first_task(d, observation_space={"type": "Box"}),
        lambda d: d["tasks"].__setitem__(0, {"$space": {"type": "Nothing"}}),
        lambda d: d["tasks"].__setitem__(0, {**d["tasks"][0], "more": 1}),
        lambda d: d.update(width=9),
        lambda d: d.update(width=0),
        lambda d: d.update(width="64"),
        lambda d: d.update(trunk="moo"),
        lambda d: d.update(trunk_kwargs={"depth": 3}),
        lambda d: d.update(trunk_kwargs={"sizes": [2**40]}),
        lambda d: d.update(trunk="soft_modular", trunk_kwargs={"modules": 2**40}),
        lambda d: d.update(trunk="moore", trunk_kwargs={"experts": 10**6, "sizes": [10**6]}),
        lambda d: d.update(conditioning="heads"),
        lambda d: d.update(conditioning_kwargs={"size": 2**50}),
        lambda d: d.update(conditioning="sentence", conditioning_kwargs={"vectors": [1, 2]}),
        lambda d: d.update(encoder_kind="grid"),
        lambda d: d.update(nothing=1),
        lambda d: d.update(activation_fn={"$class": "rltransfer.MultiTaskPolicy"}),
        lambda d: d.update(share_critic=True),
    ],
)
def test_malformed_description_is_refused(change: Any, tmp_path: Path) -> None:
    stored(tmp_path / "a", change)
    with pytest.raises(BadCheckpoint) as caught:
        load(tmp_path / "a").build()
    assert "\n" not in str(caught.value) and str(caught.value).isprintable()


def test_spaces_of_many_tasks_may_not_take_all_memory(tmp_path: Path) -> None:
    image = {"type": "Box", "dtype": "uint8", "shape": [1000, 1000], "low": 0, "high": 255}

    def many(data: dict[str, Any]) -> None:
        task = data["tasks"][0]["$task"]
        data["tasks"] = [
            {"$task": {**task, "id": f"test/{i}-v0", "observation_space": image}} for i in range(50)
        ]

    stored(tmp_path / "a", many)
    with pytest.raises(BadCheckpoint, match="elements, too many"):
        load(tmp_path / "a")


def test_features_of_another_space_are_refused(tmp_path: Path) -> None:
    one = multi(**MOORE, **EMBEDDING).for_task("test/vector-v0")
    tensors, data = document.write(one)
    kwargs = json.loads(json.dumps(data["policy_kwargs"]))
    kwargs["features_extractor_kwargs"]["space"]["$space"]["shape"] = [6]
    bundle.write(tmp_path / "a", tensors, {**data, "policy_kwargs": kwargs})
    with pytest.raises(BadCheckpoint, match="the features are of a task that observes"):
        load(tmp_path / "a").build()


def test_scores_are_stored_and_checked(tmp_path: Path) -> None:
    score = Score(mean=3.0, ci_low=2.0, ci_high=4.0, episodes=5, deterministic=True)
    scored = multi().with_card(scores={"test/moving-v0": score})
    scored.save(tmp_path / "a")
    assert load(tmp_path / "a").card.scores == {"test/moving-v0": score}
    assert load(tmp_path / "a").sha256 == scored.sha256 != multi().sha256
    assert not load("cartpole").card.scores
    tensors, data = document.write(scored)
    for wrong in ([], {"a": 3}, {"a": {}}, {"\x1b": data["card"]["scores"]["test/moving-v0"]}):
        card = {**data["card"], "scores": wrong}
        bundle.write(tmp_path / "b", tensors, {**data, "card": card})
        with pytest.raises(BadCheckpoint):
            load(tmp_path / "b")
