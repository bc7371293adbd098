"""Going on with an agent: old tasks, new tasks, and what is kept of those that are not played."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import packed_cases as cases
import pytest
import torch

import rltransfer as rlt
from rltransfer.errors import BadArgument, RecipeError, SpaceMismatch, UnknownName
from rltransfer.policies.sentences import embed

VECTOR, OTHER, CONTINUOUS = "small/vector-v0", "small/other-v0", "small/continuous-v0"
CLASSES = "small/classes-v0"
TINY: dict[str, Any] = {"n_envs": 2, "n_steps": 16, "n_epochs": 2, "episodes": 3, "points": 1}
KEY = "small/vector-v0"


@pytest.fixture(autouse=True, scope="module")
def _registered() -> None:
    cases.register()
    rlt.register_task(VECTOR, random=15.0, reference=20.0, mission="count to one")


@pytest.fixture(scope="module")
def trunk(_registered: None) -> rlt.Agent:
    small = {"width": 8, "sizes": [8, 6]}
    options = {CONTINUOUS: {"gamma": 0.7}}
    return rlt.multitask(
        [VECTOR, CONTINUOUS], 128, name="trunk", task_options=options, **small, **TINY
    ).agent


@pytest.fixture(scope="module")
def single(_registered: None) -> rlt.Agent:
    kwargs = {"net_arch": [8, 8, 6]}
    return rlt.pretrain(
        VECTOR, 64, n_envs=2, n_steps=16, batch_size=32, episodes=3, name="single",
        policy_kwargs=kwargs, normalize_obs=True,
    )  # fmt: skip


def moved(before: Any, after: Any) -> set[str]:
    return {k for k in before if not torch.equal(before[k], after[k])}


def of_groups(run: Any, *names: str) -> set[str]:
    groups = rlt.layer_groups(run.model.policy)
    return {key for name in names for key in groups[name].keys}


def test_old_tasks_train_on(trunk: rlt.Agent) -> None:
    run = rlt.multitask([VECTOR, CONTINUOUS], 128, start=trunk, **TINY)
    assert run.before == trunk.card.scores, "it begins where it was"
    assert run.agent.tasks == trunk.tasks and run.agent.card.source == "trunk"
    assert run.agent.card.name == "trunk" and run.retention == {}
    groups = rlt.layer_groups(run.model.policy)
    changed = moved(trunk.weights, run.agent.weights)
    assert all(changed & set(group.keys) for group in groups.values())
    assert [task.gamma for task in run.model.policy.tasks] == [0.99, 0.7]
    changed = rlt.multitask(
        [VECTOR], 64, start=trunk, gamma=0.6, task_options={VECTOR: {"gamma": 0.8}}, **TINY
    )
    assert [task.gamma for task in changed.model.policy.tasks] == [0.8, 0.7]


def test_a_path_is_a_start(trunk: rlt.Agent, tmp_path: Path) -> None:
    trunk.save(tmp_path / "trunk")
    run = rlt.multitask([VECTOR], 64, start=tmp_path / "trunk", seed=4, **TINY)
    same = rlt.multitask([VECTOR], 64, start=trunk, seed=4, **TINY)
    assert not moved(run.agent.weights, same.agent.weights)


def test_tasks_that_are_not_played_are_frozen_and_measured(trunk: rlt.Agent) -> None:
    run = rlt.multitask([CONTINUOUS, CLASSES], 128, start=trunk, learning_rate=0.05, **TINY)
    own = of_groups(run, *(f"{part}.{KEY}" for part in ("encoder", "actor.head", "critic.head")))
    changed = moved(trunk.weights, run.agent.weights)
    assert own and not changed & own, "frozen to the bit: weights, statistics, PopArt"
    assert changed & of_groups(run, "trunk.0")
    assert run.trained == (CONTINUOUS, CLASSES)
    assert set(run.before) == set(run.after) == {VECTOR, CONTINUOUS, CLASSES}
    assert run.before[VECTOR] == trunk.card.scores[VECTOR]
    difference = (run.after[VECTOR].mean - run.before[VECTOR].mean) / 5
    assert run.retention == {VECTOR: pytest.approx(difference)}
    assert f"not trained: {difference:+.2f}" in str(run)
    assert run.agent.card.name == "trunk+classes-v0"
    assert run.agent.card.scores == run.after
    assert {row.task for row in run.curve} == {VECTOR, CONTINUOUS, CLASSES}


def test_a_frozen_trunk_forgets_nothing(trunk: rlt.Agent) -> None:
    run = rlt.multitask([OTHER], 128, start=trunk, recipe="head", learning_rate=0.05, **TINY)
    assert not moved(trunk.weights, run.agent.weights) & set(run.agent.weights)
    assert run.retention[VECTOR] == 0 and run.before[CONTINUOUS] == run.after[CONTINUOUS]
    for id in (VECTOR, CONTINUOUS):
        before, after = trunk.for_task(id), run.agent.for_task(id)
        assert not moved(before.weights, after.weights)
    table = rlt.describe(run.model)
    new = [line for line in table.splitlines() if OTHER in line and "|" in line]
    assert len(new) == 3 and all("fresh" in line and "the start" in line for line in new)
    old = [line for line in table.splitlines() if line.startswith("trunk.")]
    assert all("| trunk " in line and "never (frozen)" in line for line in old)


def test_new_parts_train_unless_named(trunk: rlt.Agent) -> None:
    fixed = rlt.Recipe(freeze=["trunk.*", f"encoder.{OTHER}"])
    run = rlt.multitask([OTHER], 64, start=trunk, recipe=fixed, **TINY)
    frozen = run.model.transfer.scheduler.frozen
    assert f"encoder.{OTHER}" in frozen and f"actor.head.{OTHER}" not in frozen
    run = rlt.multitask([OTHER], 64, start=trunk, recipe=rlt.Recipe(freeze=["trunk"]), **TINY)
    assert f"encoder.{OTHER}" not in run.model.transfer.scheduler.frozen


def test_a_recipe_slows_and_thaws_groups(trunk: rlt.Agent) -> None:
    recipe = rlt.Recipe(
        freeze=["trunk.0"], thaw={"trunk.0": 0.5}, lr_scale={"trunk.*": 0.1}, lr_decay=0.5
    )
    model = rlt.fresh_multitask(
        [VECTOR], start=trunk, recipe=recipe, n_envs=2, n_steps=16, n_epochs=1
    )
    plans = model.transfer.scheduler.plans  # pyright: ignore[reportOptionalMemberAccess]
    assert plans["trunk.0"].trains_from == 0.5
    assert plans["trunk.0"].lr_scale == pytest.approx(0.1 * 0.25)
    assert plans["trunk.1"].lr_scale == pytest.approx(0.1 * 0.5)
    assert model.transfer.scheduler.frozen == [  # pyright: ignore[reportOptionalMemberAccess]
        f"encoder.{CONTINUOUS}",
        "trunk.0",
        *(f"{part}.{CONTINUOUS}" for part in ("actor.std", "actor.head", "critic.head")),
    ]
    model.tasks_env.close()


def test_reset_and_moments(trunk: rlt.Agent) -> None:
    recipe = rlt.Recipe(reset=["actor.*"], optimizer="source")
    given: dict[str, Any] = {"n_envs": 2, "n_steps": 16, "seed": 9}
    model: Any = rlt.fresh_multitask([VECTOR], start=trunk, recipe=recipe, **given)
    groups = rlt.layer_groups(model.policy)
    changed = moved(trunk.weights, model.policy.state_dict())
    head = f"actor.head.{VECTOR}"
    assert changed and changed <= set(groups[head].keys), "not those of tasks that are not played"
    parameters = dict(model.policy.named_parameters())
    for name, parameter in parameters.items():
        state = model.policy.optimizer.state.get(parameter, {})
        assert bool(state) == (name not in groups[head].keys)
        if state:
            assert torch.equal(state["exp_avg"], trunk.optimizer[f"{name}/exp_avg"])  # pyright: ignore
    assert model.policy.optimizer.param_groups[0]["params"] == list(parameters.values())
    model.learn(32)
    model.tasks_env.close()
    plain: Any = rlt.fresh_multitask([VECTOR], start=trunk, **given)
    assert not plain.policy.optimizer.state, "fresh by default"
    plain.tasks_env.close()


def test_a_single_task_agent_becomes_one_of_many(single: rlt.Agent) -> None:
    run = rlt.multitask([VECTOR, CONTINUOUS], 64, start=single, **TINY)
    assert run.before[VECTOR] == single.card.score
    assert run.agent.tasks == (VECTOR, CONTINUOUS)
    assert run.agent.card.name == "single+continuous-v0" and run.agent.card.source == "single"


def test_a_new_task_begins_with_its_own_agent(trunk: rlt.Agent, single: rlt.Agent) -> None:
    without = trunk.without(VECTOR)
    given: dict[str, Any] = {"n_envs": 2, "n_steps": 16}
    options = {VECTOR: {"source": single}}
    model: Any = rlt.fresh_multitask([VECTOR], start=without, task_options=options, **given)
    assert torch.equal(
        model.policy.actor.encoders[VECTOR][0].weight,
        single.weights["mlp_extractor.policy_net.0.weight"],
    )
    table = rlt.describe(model)
    own = [line for line in table.splitlines() if line.startswith((f"encoder.{VECTOR}", "critic"))]
    assert "| single " in own[0] and "| trunk " in own[1]
    model.tasks_env.close()


def test_a_shared_encoder_trains(trunk: rlt.Agent) -> None:
    run = rlt.multitask([OTHER], 128, start=trunk, encoders="shared", learning_rate=0.05, **TINY)
    assert {task.encoder for task in run.model.policy.tasks} == {VECTOR, CONTINUOUS}
    assert moved(trunk.weights, run.agent.weights) & of_groups(run, f"encoder.{VECTOR}")
    frozen = rlt.Recipe(freeze=[f"encoder.{VECTOR}"])
    run = rlt.multitask([OTHER], 64, start=trunk, encoders="shared", recipe=frozen, **TINY)
    assert not moved(trunk.weights, run.agent.weights) & of_groups(run, f"encoder.{VECTOR}")


def test_new_missions() -> None:
    given = {"width": 8, "sizes": [8], "conditioning": "sentence", **TINY}
    start = rlt.multitask([VECTOR], 64, **given).agent
    run = rlt.multitask([OTHER], 64, start=start, missions={OTHER: "count to two"}, **TINY)
    vectors = run.model.policy.context.vectors
    assert torch.equal(vectors, torch.from_numpy(embed(["count to one", "count to two"])))
    with pytest.raises(BadArgument, match=f"{OTHER} has no mission"):
        rlt.multitask([OTHER], 64, start=start, **TINY)


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"start": "trunc"}, UnknownName, "no agent is named 'trunc'"),
        ({"algorithm": "recurrent_ppo"}, BadArgument, "was trained by 'ppo': leave it out"),
        ({"width": 16}, BadArgument, "width is 16, but start .trunk. was built with 8"),
        ({"trunk": "moore"}, BadArgument, "trunk is 'moore', but start"),
        ({"sizes": [8]}, BadArgument, "trunk_kwargs is"),
        ({"trunk_kwargs": {"experts": 2}}, BadArgument, "trunk_kwargs is"),
        ({"conditioning": "one-hot"}, BadArgument, "conditioning is 'one-hot', but start"),
        ({"share_critic": True}, BadArgument, "share_critic is True, but start"),
        ({"normalize_obs": False}, BadArgument, "normalize_observations is False, but start"),
        ({"missions": {VECTOR: "x"}}, BadArgument, "for new tasks of a start"),
        ({"task_options": {VECTOR: {"head": "h"}}}, BadArgument, "have head, but start"),
        ({"task_options": {VECTOR: {"source": "cartpole"}}}, BadArgument, "have source, but"),
        ({"task_options": {VECTOR: {"noise": 0.5}}}, BadArgument, "continuous actions alone"),
        ({"recipe": "scratch"}, RecipeError, "has .*critic.*to begin anew, leave start out"),
        ({"recipe": "auto"}, RecipeError, "has select, and training on many tasks takes freeze"),
        ({"recipe": rlt.Recipe(obs_stats="freeze", critic="reset")}, RecipeError,
         "obs_stats, critic, and"),
        ({"recipe": rlt.Recipe(freeze=["actor.0"])}, UnknownName, "no layer group is named"),
        ({"recipe": rlt.Recipe(lr_scale={f"encoder.{CONTINUOUS}": 2.0})}, RecipeError,
         "lr_scale names .* not played"),
        ({"recipe": rlt.Recipe(reset=[f"actor.head.{CONTINUOUS}"])}, RecipeError,
         "reset names .* not played"),
        ({"recipe": rlt.Recipe(freeze=["*"], thaw={f"encoder.{CONTINUOUS}": 0.5})}, RecipeError,
         "frozen at the start|not played"),
        ({"recipe": rlt.Recipe(freeze=["trunk.*", f"*{VECTOR}"])}, RecipeError,
         "nothing trains at the start"),
    ],
)  # fmt: skip
def test_what_is_refused(trunk: Any, changes: dict[str, Any], kind: Any, words: str) -> None:
    with pytest.raises(kind, match=words) as raised:
        rlt.multitask([VECTOR], 64, **{"start": trunk, **TINY, **changes})
    assert "\n" not in str(raised.value)


def test_values_that_are_the_starts_may_be_repeated(trunk: rlt.Agent) -> None:
    model = rlt.fresh_multitask(
        [VECTOR], start=trunk, width=8, sizes=(8, 6), trunk="mlp", conditioning="heads",
        share_critic=False, normalize_obs=True, n_envs=2, n_steps=16,
    )  # fmt: skip
    model.tasks_env.close()


def test_a_start_without_moments_has_none_to_go_on_with(trunk: rlt.Agent) -> None:
    bare = rlt.multitask([VECTOR], 32, width=8, **TINY)
    agent = rlt.Agent.from_model(bare.model, card=bare.agent.card, optimizer=False)
    with pytest.raises(RecipeError, match="carries no optimizer moments"):
        rlt.multitask([VECTOR], 32, start=agent, recipe=rlt.Recipe(optimizer="source"), **TINY)


def test_a_task_that_gymnasium_does_not_know(trunk: rlt.Agent) -> None:
    del gym.registry[CONTINUOUS]
    with pytest.raises(UnknownName, match=rf"begin with agent.without\('{CONTINUOUS}'\)"):
        rlt.multitask([VECTOR], 64, start=trunk, **TINY)
    run = rlt.multitask([VECTOR], 64, start=trunk.without(CONTINUOUS), **TINY)
    assert run.agent.tasks == (VECTOR,)
    untold = rlt.multitask([VECTOR], 64, start=trunk, **TINY | {"points": 0})
    assert untold.agent.tasks == trunk.tasks, "what is not evaluated need not be there"


@pytest.mark.parametrize("played", [VECTOR, CONTINUOUS])
def test_a_task_that_has_changed(trunk: rlt.Agent, played: str) -> None:
    del gym.registry[VECTOR]
    made: Any = cases.Small
    gym.register(VECTOR, made, max_episode_steps=5, kwargs={"kind": "classes"})
    with pytest.raises(SpaceMismatch, match=f"knows {VECTOR} with .* register the new one"):
        rlt.multitask([played], 64, start=trunk, **TINY)


def test_environments_move_among_the_tasks_that_are_played(trunk: rlt.Agent) -> None:
    given = {"n_envs": 4, "n_steps": 8, "n_epochs": 1}
    played = [CONTINUOUS, CLASSES]
    model = rlt.fresh_multitask(played, start=trunk, weights="progress", seed=0, **given)
    sampling: Any = model.progress_sampling
    assert sampling.ids == (CONTINUOUS, CLASSES)
    sampling.every, sampling.weights = 1, lambda: [1e-9, 1 - 1e-9]
    model.learn(128)
    assert sorted(set(model.tasks_env.task_of_row.tolist())) == [1, 2], "0 is not played"
    assert (model.tasks_env.task_of_row == 2).sum() == 7
    model.tasks_env.close()


def test_ids_with_a_module(trunk: rlt.Agent, tmp_path: Path, monkeypatch: Any) -> None:
    code = "import packed_cases\npacked_cases.gym.register('mine/Small-v0', packed_cases.Small, "
    (tmp_path / "mine_tasks.py").write_text(code + "max_episode_steps=5)\n")
    monkeypatch.syspath_prepend(tmp_path)
    id = "mine_tasks:mine/Small-v0"
    run = rlt.multitask([id], 64, start=trunk, **TINY)
    assert run.agent.tasks == (VECTOR, CONTINUOUS, id) and set(run.after) == set(run.agent.tasks)
    again = rlt.multitask(["mine/Small-v0"], 64, start=run.agent, **TINY)
    assert again.agent.tasks == run.agent.tasks and again.trained == (id,)
    assert again.before[id] == run.after[id]
    monkeypatch.delitem(__import__("sys").modules, "mine_tasks")
    with pytest.raises(UnknownName, match="import the module that registers it"):
        rlt.multitask([VECTOR], 64, start=run.agent, **TINY)


def test_memory_goes_on(trunk: rlt.Agent) -> None:
    kwargs = {"width": 8, "sizes": [8], "policy_kwargs": {"lstm_hidden_size": 6}}
    start = rlt.multitask([VECTOR], 64, algorithm="recurrent_ppo", **kwargs, **TINY).agent
    run = rlt.multitask([CONTINUOUS], 64, start=start, recipe="head", **TINY)
    assert isinstance(run.model, rlt.TransferRecurrentPPO) and run.agent.tasks[1] == CONTINUOUS
    assert run.before[VECTOR] == start.card.scores[VECTOR]
    assert "actor.lstm" in run.model.transfer.scheduler.frozen
    assert run.retention[VECTOR] == 0
    with pytest.raises(BadArgument, match="lstm_hidden_size is 7, but start"):
        rlt.multitask([VECTOR], 64, start=start, policy_kwargs={"lstm_hidden_size": 7}, **TINY)
    with pytest.raises(BadArgument, match="trained by 'recurrent_ppo'"):
        rlt.multitask([VECTOR], 64, start=start, algorithm="ppo", **TINY)
