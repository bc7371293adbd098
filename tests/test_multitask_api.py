"""Training one policy on many tasks: what comes out, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import packed_cases as cases
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import rltransfer as rlt
from rltransfer.engine.multitask.options import MultiTaskOptions
from rltransfer.errors import BadArgument, RecipeError, TransferError, UnknownName
from rltransfer.multitask import CurveRow
from rltransfer.multitask.playing import BATCH, ROLLOUT
from rltransfer.policies.sentences import embed

VECTOR, OTHER, CONTINUOUS = "small/vector-v0", "small/other-v0", "small/continuous-v0"
MASKED, DICT, CLASSES = "small/masked-v0", "small/dict-v0", "small/classes-v0"
ALL = (VECTOR, OTHER, CONTINUOUS, MASKED, DICT, CLASSES)
TINY: dict[str, Any] = {
    "n_envs": 2,
    "n_steps": 16,
    "n_epochs": 2,
    "width": 8,
    "sizes": [8],
    "episodes": 3,
    "points": 1,
}


@pytest.fixture(autouse=True, scope="module")
def _registered() -> None:
    cases.register()
    rlt.register_task(VECTOR, random=15.0, reference=20.0, mission="count to one")


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.policy.state_dict().items()}


def same(one: Any, other: Any) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one | other)


def test_what_comes_out() -> None:
    told: list[tuple[int, int]] = []
    run = rlt.multitask(
        ALL,
        400,
        seed=3,
        name="six",
        command="typed",
        progress=lambda steps, total: told.append((steps, total)),
        task_options={CONTINUOUS: {"gamma": 0.5, "noise": 0.9, "log_std": -1.0}},
        gamma=0.8,
        **TINY | {"points": 2},
    )
    assert isinstance(run, rlt.MultiTaskRun) and run.steps == 576 and run.trained == ALL
    assert told == [(0, 400), (192, 400), (384, 400), (576, 400)]
    assert run.agent.tasks == ALL and run.agent.multitask
    card = run.agent.card
    assert (card.name, card.steps, card.seed, card.command) == ("six", 576, 3, "typed")
    assert card.source == "" and card.scores == run.after and set(run.before) == set(ALL)
    assert [row.step for row in run.curve] == [0] * 6 + [384] * 6 + [576] * 6
    last = [row for row in run.curve if row.step == 576]
    assert [row.task for row in last] == list(ALL)
    for row in last:
        score = run.after[row.task]
        assert (row.mean, row.ci_low, row.ci_high) == (score.mean, score.ci_low, score.ci_high)
        assert score.episodes == 3 and score.deterministic
    first = CurveRow(0, VECTOR, *run.curve[0][2:])
    assert run.curve[0] == first and first.normalized == pytest.approx((first.mean - 15) / 5)
    assert math.isnan(run.curve[1].normalized) and math.isnan(run.normalized[OTHER])
    assert run.retention == {}
    gammas = {task.id: (task.gamma, task.noise) for task in run.model.policy.tasks}
    assert gammas[CONTINUOUS] == (0.5, 0.9) and gammas[VECTOR] == (0.8, 0.0)
    lines = str(run).splitlines()
    assert lines[0] == "six: 576 steps on 6 task(s)" and len(lines) == 8
    assert VECTOR in lines[2] and "not trained" not in str(run)


def test_a_stored_agent_is_the_same(tmp_path: Path) -> None:
    run = rlt.multitask([VECTOR, CONTINUOUS], 64, **TINY)
    run.agent.save(tmp_path / "two")
    again = rlt.load(tmp_path / "two")
    assert again.sha256 == run.agent.sha256 and again.card.scores == run.after
    assert same(again.weights, weights(run.model))


@pytest.mark.parametrize("id", [VECTOR, CONTINUOUS])
def test_scores_are_those_of_the_agent_of_one_task(id: str) -> None:
    run = rlt.multitask([VECTOR, CONTINUOUS], 64, **TINY)
    alone = run.agent.for_task(id)
    assert rlt.evaluate(alone, id, episodes=3).score == run.after[id] == alone.card.score


@pytest.mark.parametrize("path", ["auto", "autograd"])
def test_equal_seeds_give_equal_bits(path: Any) -> None:
    def trained(seed: int, **options: Any) -> Any:
        ids = [VECTOR, CONTINUOUS] if path == "auto" else [VECTOR, CONTINUOUS, MASKED, DICT]
        tasks = {CONTINUOUS: {"noise": 0.8}}
        engine = rlt.EngineOptions(path=path)
        given = TINY | {"task_options": tasks, "engine": engine} | options
        model = rlt.multitask(ids, 400, seed=seed, **given).model
        words = "closed form" if path == "auto" else "autograd"
        assert words in model.engine_report()
        return weights(model)

    first = trained(5)
    assert same(first, trained(5))
    assert same(first, trained(5, points=0)), "evaluating disturbs nothing"
    assert same(first, trained(5, points=4, episodes=2))
    assert not same(first, trained(6))


def test_without_evaluation_there_are_no_scores() -> None:
    run = rlt.multitask([VECTOR], 32, **TINY | {"points": 0})
    assert run.curve == () and run.before == run.after == {} and run.agent.card.scores == {}
    assert "not evaluated" in str(run)


def test_memory() -> None:
    run = rlt.multitask(
        [VECTOR, MASKED], 64, algorithm="recurrent_ppo",
        policy_kwargs={"lstm_hidden_size": 8}, **TINY
    )  # fmt: skip
    assert isinstance(run.model, rlt.TransferRecurrentPPO)
    assert set(run.after) == {VECTOR, MASKED}


def test_tensorboard_has_each_task(tmp_path: Path) -> None:
    rlt.register_task(OTHER, random=15.0, reference=25.0)
    run = rlt.multitask([VECTOR, OTHER, CONTINUOUS], 192, tensorboard_log=str(tmp_path), **TINY)
    (folder,) = tmp_path.iterdir()
    events = EventAccumulator(str(folder))
    events.Reload()
    tags = events.Tags()["scalars"]
    for id in (VECTOR, OTHER, CONTINUOUS):
        assert [e.step for e in events.Scalars(f"eval/{id}/mean")] == [0, 192]
        assert events.Scalars(f"eval/{id}/mean")[-1].value == pytest.approx(run.after[id].mean)
        assert f"{id}/share_of_steps" in tags and f"{id}/ep_rew_mean" in tags
    scores = [run.normalized[VECTOR], run.normalized[OTHER]]
    assert events.Scalars("eval/mean_normalized")[-1].value == pytest.approx(np.mean(scores))
    assert events.Scalars("eval/worst_normalized")[-1].value == pytest.approx(min(scores))
    assert f"eval/{CONTINUOUS}/normalized" not in tags


def built(tasks: Any = (VECTOR, OTHER), **options: Any) -> Any:
    small = {"n_envs": 2, "n_steps": 16, "width": 8, "sizes": [8]}
    model = rlt.fresh_multitask(tasks, **{**small, **options})
    model.tasks_env.close()
    return model


def test_defaults() -> None:
    model = rlt.fresh_multitask([VECTOR, OTHER, CONTINUOUS])
    assert model.n_envs == 24 and model.n_steps * model.n_envs == 3 * ROLLOUT
    assert model.batch_size == 3 * BATCH and model.n_epochs == 10
    assert [model.lr_schedule(left) for left in (1.0, 0.5, 0.0)] == pytest.approx([1e-3, 5e-4, 0])
    policy: Any = model.policy
    assert policy.actor.trunk.out_features == 64 and policy.critic is not policy.actor
    assert policy.context is None and len(policy.observation_stats) == 3
    assert [task.gamma for task in policy.tasks] == [0.99] * 3
    model.tasks_env.close()


@pytest.mark.parametrize(("n_envs", "n_steps"), [(1, None), (6, None), (7, 24), (3, 100), (5, 7)])
def test_minibatches_are_equal_whatever_the_rollout(n_envs: int, n_steps: int | None) -> None:
    given = {} if n_steps is None else {"n_steps": n_steps}
    model = built([VECTOR, OTHER], **{"n_envs": n_envs, "n_steps": 1024, **given})
    assert (model.n_steps * model.n_envs) % model.batch_size == 0


def test_encoders_and_heads_are_shared_where_spaces_are_equal() -> None:
    policy = built(ALL, encoders="shared").policy
    names = {task.id: (task.encoder, task.head) for task in policy.tasks}
    assert names[VECTOR][0] == names[OTHER][0] == policy.tasks[0].key
    assert len({encoder for encoder, _ in names.values()}) == 5 == len(policy.actor.encoders)
    assert len({head for _, head in names.values()}) == 6
    apart = built([VECTOR, OTHER], encoders="shared", task_options={OTHER: {"encoder": "mine"}})
    assert [task.encoder for task in apart.policy.tasks] == [apart.policy.tasks[0].key, "mine"]
    twins = built([VECTOR, "CartPole-v1"], heads="shared").policy
    assert len(twins.action_heads) == 1 and len(twins.actor.encoders) == 2


def test_what_is_chosen_reaches_the_policy() -> None:
    model = built(
        trunk="moore", trunk_kwargs={"experts": 3}, conditioning="one-hot", share_critic=True,
        normalize_obs=False, options=MultiTaskOptions(gradient="pcgrad"),
        policy_kwargs={"activation_fn": torch.nn.ReLU},
    )  # fmt: skip
    policy = model.policy
    assert policy.critic is policy.actor and policy.context.size == 2
    assert policy.activation_fn is torch.nn.ReLU and not len(policy.observation_stats)
    assert model.multitask_options.gradient == "pcgrad"
    assert policy._options["trunk_kwargs"] == {"experts": 3, "sizes": [8]}
    assert built(trunk="moore").policy.context.size == 2, "trunks that must know the task do"


def test_missions_tell_the_trunk_what_to_do() -> None:
    policy = built(conditioning="sentence", missions={OTHER: "count to two"}).policy
    expected = torch.from_numpy(embed(["count to one", "count to two"]))
    assert torch.equal(policy.context.vectors, expected)
    seen: list[list[str]] = []

    def mine(texts: list[str]) -> list[list[int]]:
        seen.append(texts)
        return [[len(text), 1] for text in texts]

    vectors = built(conditioning="sentence", missions={OTHER: "go"}, embed=mine).policy.context
    assert vectors.vectors.tolist() == [[12, 1], [2, 1]] and seen == [["count to one", "go"]]


def test_a_recipe_without_a_start() -> None:
    model = built(recipe=rlt.Recipe(freeze=["trunk.*"], lr_scale={"encoder.*": 0.1}))
    before = weights(model)
    model = rlt.fresh_multitask(
        [VECTOR, OTHER], n_envs=2, n_steps=16, width=8, sizes=[8], seed=1, recipe="head"
    )
    before = weights(model)
    model.learn(64)
    after = weights(model)
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert moved and all(name.startswith(("action_heads", "value_heads")) for name in moved)
    model.tasks_env.close()


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"tasks": []}, BadArgument, "tasks is empty"),
        ({"tasks": VECTOR}, BadArgument, "give a list"),
        ({"tasks": [VECTOR, 3]}, BadArgument, "tasks holds 3"),
        ({"tasks": [VECTOR, OTHER, VECTOR]}, BadArgument, f"names '{VECTOR}' twice"),
        ({"tasks": [VECTOR, f"packed_cases:{VECTOR}"]}, BadArgument, "twice"),
        ({"tasks": ["CartPool-v1"]}, UnknownName, "Did you mean 'CartPole-v1'"),
        ({"steps": 0}, BadArgument, "steps is 0"),
        ({"steps": 63}, BadArgument, r"one rollout takes 64 \(n_steps=16 in each of 4"),
        ({"points": -1}, BadArgument, "points is -1"),
        ({"episodes": 1}, BadArgument, "episodes is 1"),
        ({"n_envs": 0}, BadArgument, "n_envs is 0"),
        ({"weights": {VECTOR: 1, OTHER: -2}}, BadArgument, f"weight of {OTHER} is -2"),
        ({"weights": {VECTOR: 1}}, BadArgument, f"weight of {OTHER} is None"),
        ({"weights": {"small/vectr-v0": 1}}, UnknownName, f"Did you mean '{VECTOR}'"),
        ({"weights": "even"}, BadArgument, "weights is 'even'"),
        ({"task_options": {"small/othr-v0": {}}}, UnknownName, f"Did you mean '{OTHER}'"),
        ({"task_options": {OTHER: {"gama": 0.9}}}, UnknownName, "Did you mean 'gamma'"),
        ({"task_options": {OTHER: {"gamma": 2}}}, BadArgument, "gamma of small/other-v0 is 2"),
        ({"task_options": {OTHER: {"noise": 0.5}}}, BadArgument, "continuous actions alone"),
        ({"task_options": {OTHER: {"source": "cartpole"}}}, BadArgument, "there is no start"),
        ({"task_options": [OTHER]}, BadArgument, "give options by task"),
        ({"encoders": "all"}, BadArgument, "encoders is 'all': choose one of own, shared"),
        ({"heads": None}, BadArgument, "heads is None"),
        ({"sizes": [8], "trunk_kwargs": {"sizes": [4]}}, BadArgument, "sizes is given twice"),
        ({"policy_kwargs": {"width": 4}}, BadArgument, "width is given twice"),
        ({"policy_kwargs": {"net_arch": [4]}}, UnknownName, "argument of the policy"),
        ({"trunk": "moor"}, UnknownName, "Did you mean 'moore'"),
        ({"trunk": "moore", "conditioning": "heads"}, BadArgument, "got no context"),
        ({"conditioning": "one_hot"}, UnknownName, "Did you mean 'one-hot'"),
        ({"conditioning": "sentence"}, BadArgument, f"{OTHER} has no mission"),
        ({"missions": {OTHER: "x"}}, BadArgument, "are for conditioning='sentence'"),
        ({"embed": embed}, BadArgument, "are for conditioning='sentence'"),
        (
            {"conditioning": "sentence", "missions": {"small/othe-v0": "x"}},
            UnknownName, f"Did you mean '{OTHER}'",
        ),
        (
            {"conditioning": "sentence", "missions": {OTHER: "x"}, "embed": lambda _: [[1.0]]},
            BadArgument, r"embed gave an array of shape \(1, 1\) for 2 missions",
        ),
        ({"normalize_advantage": False}, BadArgument, "MultiTaskOptions"),
        ({"learning_rat": 1}, UnknownName, "Did you mean 'learning_rate'"),
        ({"condition": "sentence"}, UnknownName, "Did you mean 'conditioning'"),
        ({"learning_rate": lambda _: 1e-3}, BadArgument, "cannot be stored as data"),
        ({"algorithm": "maskable_ppo"}, UnknownName, "algorithm for many tasks"),
        ({"recipe": "heads"}, UnknownName, "Did you mean 'head'"),
        ({"recipe": "scratch"}, RecipeError, "has reset, .* without a start takes"),
        ({"recipe": rlt.Recipe(optimizer="source")}, RecipeError, "give start"),
        ({"recipe": rlt.Recipe(freeze=["actor.0"])}, UnknownName, "no layer group is named"),
        ({"recipe": rlt.Recipe(lr_scale={"trunk.7": 0.1})}, UnknownName, "trunk.7"),
        ({"recipe": rlt.Recipe(freeze=["*"])}, RecipeError, "every layer group is frozen"),
        ({"recipe": rlt.Recipe(pad_inputs=True)}, RecipeError, "has pad_inputs"),
    ],
)  # fmt: skip
def test_what_is_refused(changes: dict[str, Any], kind: type[TransferError], words: str) -> None:
    given = {"tasks": [VECTOR, OTHER], "steps": 64, **TINY, **changes}
    if "trunk_kwargs" not in changes and "trunk" in changes:
        del given["sizes"]
    with pytest.raises(kind, match=words) as raised:
        rlt.multitask(**given)
    assert "\n" not in str(raised.value)


def test_pretrain_sends_several_tasks_elsewhere() -> None:
    with pytest.raises(BadArgument, match=r"rltransfer\.multitask learns 2 at once"):
        rlt.pretrain([VECTOR, OTHER], 64)  # pyright: ignore[reportArgumentType]
