"""Methods that keep a network able to learn, and the numbers that show whether it is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from transfer_cases import KINDS, SMALL, adapted, moments, tensors, toy, train

import rltransfer as rlt
from rltransfer.describe import describe
from rltransfer.engine.options import EngineOptions
from rltransfer.errors import RecipeError
from rltransfer.methods import (
    L2SP,
    L2Init,
    ReDo,
    ShrinkPerturb,
    SoftShrinkPerturb,
    SourceTrajectories,
)
from rltransfer.recipe import Recipe
from rltransfer.training.plasticity import STEPS, dormant, effective_rank, saturated
from rltransfer.training.terms.renew import idle_units
from rltransfer.training.units import hidden_layers, outputs

FAR = "rlt/CartPoleFar-v0"
BRIEF: dict[str, Any] = {"n_envs": 4, "n_steps": 64, "batch_size": 64, "n_epochs": 5}


def begun(recipe: Recipe, **options: Any) -> Any:
    return rlt.adapt("cartpole", FAR, recipe, **{"seed": 0, **BRIEF, **options})


@pytest.fixture
def relu() -> Iterator[Any]:
    """A model of ReLUs after an update, with two killed units in the actor's first layer."""
    with adapted("relu", KINDS["relu"].task(), Recipe(renew=ReDo(every=2, tau=0))) as model:
        model.learn(32)
        first = model.policy.mlp_extractor.policy_net[0]
        with torch.no_grad():
            first.bias[[1, 5]] = -1e3
        yield model


def test_copied_weights_shrink_and_fresh_ones_perturb_them() -> None:
    plain = begun(Recipe())
    shrunk = begun(Recipe(renew=ShrinkPerturb(shrink=0.4, perturb=0)))
    whole = begun(Recipe(renew=ShrinkPerturb(shrink=0, perturb=1)))
    mixed = begun(Recipe(renew=ShrinkPerturb(shrink=0.4, perturb=0.6)))
    source, fresh = tensors(plain), tensors(whole)
    for name, found in tensors(mixed).items():
        assert torch.allclose(found, 0.4 * source[name] + 0.6 * fresh[name], atol=1e-6), name
        assert torch.allclose(tensors(shrunk)[name], 0.4 * source[name])
    first = fresh["mlp_extractor.policy_net.2.weight"]
    assert torch.allclose(first @ first.T, 2 * torch.eye(64), atol=1e-4), "as SB3 initializes"
    assert "weights: copied ones that train times 0.4, plus 0.6" in describe(mixed)
    assert "weights:" not in describe(plain)


def test_shrinking_leaves_random_streams_and_what_never_trains_alone() -> None:
    recipe = Recipe(freeze=["actor.0"], reset=["critic.*"], renew=ShrinkPerturb())
    states = []
    for one in (recipe, recipe.but(renew=())):
        model = begun(one)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)
    plain, changed = tensors(model), tensors(begun(recipe))
    same = {name for name in plain if torch.equal(plain[name], changed[name])}
    assert same == {name for name in plain if "policy_net.0" in name or "value_net" in name}


def test_deviations_and_recurrent_learners() -> None:
    shrink = Recipe(renew=ShrinkPerturb(perturb=0))
    for kind in ("box", "recurrent", "maskable"):
        with (
            adapted(kind, KINDS[kind].task()) as plain,
            adapted(kind, KINDS[kind].task(), shrink) as model,
        ):
            before, after = tensors(plain), tensors(model)
            for name in before:
                factor = 1 if name == "log_std" else 0.5
                assert torch.allclose(after[name], factor * before[name]), name


def test_drift_and_anchors_know_the_unchanged_source() -> None:
    recipe = Recipe(renew=ShrinkPerturb(perturb=0), regularize=[L2SP(), L2Init()])
    model = begun(recipe, learning_rate=0.0)
    model.learn(256)
    logged = model.logger.name_to_value
    assert logged["transfer/drift/actor.0"] == pytest.approx(0.5)
    assert logged["transfer/l2_sp/loss"] > 1 and logged["transfer/l2_init/loss"] == 0


def test_nothing_to_shrink_is_refused() -> None:
    with pytest.raises(RecipeError, match="copies none that train"):
        begun(Recipe(reset=["*"], renew=ShrinkPerturb()))


def test_weights_move_a_little_towards_new_fresh_ones_after_each_update() -> None:
    model = begun(Recipe(renew=SoftShrinkPerturb(rate=0.1), freeze=["actor.0"]), learning_rate=0.0)
    before = tensors(model)
    model.learn(256)
    once = tensors(model)
    names = [name for name in before if name.endswith("policy_net.2.weight")]
    fresh = [(once[name] - 0.9 * before[name]) / 0.1 for name in names]
    model.learn(256, reset_num_timesteps=False)
    again = [(tensors(model)[name] - 0.9 * once[name]) / 0.1 for name in names]
    for one, other in zip(fresh, again, strict=True):
        assert torch.allclose(one @ one.T, 2 * torch.eye(64), atol=1e-3)
        assert not torch.allclose(one, other, atol=0.1)
    frozen = [name for name in before if "policy_net.0" in name]
    assert all(torch.equal(before[name], tensors(model)[name]) for name in frozen)


def test_soft_shrinking_loses_what_was_copied() -> None:
    apart = []
    for rate in (1e-9, 0.3):
        model = begun(Recipe(renew=SoftShrinkPerturb(rate=rate)))
        model.learn(1024)
        apart.append(model.logger.name_to_value["transfer/drift/actor.1"])
    assert apart[1] > 2 * apart[0]


def test_dead_units_come_back_without_a_change_of_outputs(relu: Any) -> None:
    policy, seen = relu.policy, torch.randn(64, 4)
    first, second = (policy.mlp_extractor.policy_net[i] for i in (0, 2))
    assert (outputs(policy, seen)["actor.0"][:, [1, 5]] == 0).all()
    before = policy.get_distribution(seen).distribution.logits
    kept, old = first.weight[0].clone(), moments(relu, ["mlp_extractor.policy_net.0.weight"])
    count = sum(
        int(idle_units(one.activation, outputs(policy, seen)[one.name], 0).sum())
        for one in hidden_layers(policy)
    )
    relu.transfer.terms.terms[0].begin(SimpleNamespace(observations=seen))
    assert relu.transfer.terms.terms[0].end() == {"units": count} and count >= 2
    after = policy.get_distribution(seen).distribution.logits
    assert torch.allclose(before, after, atol=1e-6)
    assert (outputs(policy, seen)["actor.0"][:, [1, 5]] > 0).any(0).all()
    assert (second.weight[:, [1, 5]] == 0).all() and torch.equal(first.weight[0], kept)
    (state,) = moments(relu, ["mlp_extractor.policy_net.0.weight"]).values()
    (then,) = old.values()
    for key in ("exp_avg", "exp_avg_sq"):
        assert (state[key][[1, 5]] == 0).all()
        assert torch.equal(state[key][[0, 2]], then[key][[0, 2]]) and then[key][0].any()
    assert state["step"] == then["step"] > 0
    (out,) = moments(relu, ["mlp_extractor.policy_net.2.weight"]).values()
    assert (out["exp_avg"][:, [1, 5]] == 0).all() and out["exp_avg"][:, 0].any()


def test_units_come_back_in_training(relu: Any) -> None:
    first = relu.policy.mlp_extractor.policy_net[0]
    relu.learn(32, reset_num_timesteps=False)
    assert (first.bias[[1, 5]] > -1).all()
    assert relu.logger.name_to_value["transfer/redo/units"] >= 2
    relu.learn(32, reset_num_timesteps=False)
    assert "transfer/redo/units" not in relu.logger.name_to_value, "every second update"


def test_without_it_dead_units_stay_dead() -> None:
    with adapted("relu", KINDS["relu"].task()) as model:
        first = model.policy.mlp_extractor.policy_net[0]
        with torch.no_grad():
            first.bias[[1, 5]] = -1e3
        model.learn(96)
        assert (first.bias[[1, 5]] < -999).all()


def test_a_stuck_unit_of_tanh_moves_into_the_biases() -> None:
    model = begun(Recipe(renew=ReDo(every=1)), learning_rate=0.0)
    first, _, second, _ = model.policy.mlp_extractor.policy_net
    with torch.no_grad():
        first.bias[3], second.weight[:, 3] = -50, 1
    seen = torch.randn(32, 4)
    before = model.policy.get_distribution(seen).distribution.logits
    model.learn(256)
    assert first.bias[3] == 0 and (second.weight[:, 3] == 0).all()
    after = model.policy.get_distribution(seen).distribution.logits
    assert torch.allclose(before, after, atol=1e-5)


def test_idle_units_by_hand() -> None:
    said = torch.tensor([[0.0, 1.0, 0.01, -2.0], [0.0, 3.0, 0.01, 2.0]])
    assert idle_units(nn.ReLU(), said, 0.0).tolist() == [True, False, False, False]
    assert idle_units(nn.ReLU(), said, 0.1).tolist() == [True, False, True, False]
    assert idle_units(nn.ReLU(), torch.zeros(2, 3), 0.0).all()
    tanh = torch.tensor([[1.0, 0.99, -0.98, 0.5, 0.0], [-1.0, 0.99, -0.97, 0.5, 0.0]])
    assert idle_units(nn.Tanh(), tanh, 0.025).tolist() == [False, True, True, False, False]


def test_units_that_explore_stay_as_they_are() -> None:
    """The noise of gSDE is made of what the actor's last hidden units say."""
    with adapted("gsde", KINDS["gsde"].task(), Recipe(renew=ReDo(every=1, tau=0.02))) as model:
        nets = model.policy.mlp_extractor.policy_net, model.policy.mlp_extractor.value_net
        with torch.no_grad():
            for net in nets:
                for layer in (net[0], net[2]):
                    layer.weight[:2], layer.bias[:2] = 0, 9.0
        model.learn(32)
        assert (nets[0][2].bias[:2] > 8).all() and (nets[1][2].bias[:2] < 8).all()
        assert (nets[0][0].bias[:2] < 8).all()


def test_nothing_is_renewed_or_shrunk_by_a_rollout_without_an_update() -> None:
    first = SourceTrajectories(states=32, epochs=1, learning_rate=1e-12)
    model = begun(Recipe(imitate=first, renew=SoftShrinkPerturb(rate=0.3)))
    before = tensors(model)
    model.learn(256)
    assert not model._n_updates
    for name, value in tensors(model).items():
        assert torch.allclose(value, before[name], atol=1e-6), name


def test_frozen_units_stay_as_they_are() -> None:
    recipe = Recipe(freeze=["actor.0"], renew=ReDo(every=1))
    with adapted("relu", KINDS["relu"].task(), recipe) as model:
        first = model.policy.mlp_extractor.policy_net[0]
        with torch.no_grad():
            first.bias[1] = -1e3
        model.learn(64)
        assert first.bias[1] == -1e3


def test_units_of_actors_and_critics_are_found() -> None:
    with adapted("uneven", KINDS["uneven"].task()) as model:
        names = [one.name for one in hidden_layers(model.policy)]
        assert names == ["actor.0", "critic.0", "critic.1", "critic.2"]
        assert names == [name for name in model.transfer.scheduler.groups if "head" not in name]
        seen = torch.randn(7, 4)
        said = outputs(model.policy, seen)
        latent = model.policy.mlp_extractor(seen)
        assert torch.equal(said["actor.0"], latent[0]) and torch.equal(said["critic.2"], latent[1])
        head = hidden_layers(model.policy)[-1].outgoing
        assert head is model.policy.value_net


@pytest.mark.parametrize("kind", ["box", "gsde", "normalized", "dict", "separate", "multibinary"])
def test_it_works_with_all_kinds_of_observations_and_actions(kind: str) -> None:
    recipe = Recipe(renew=[ReDo(every=1, tau=0.3), SoftShrinkPerturb(), ShrinkPerturb()])
    with adapted(kind, KINDS[kind].task(), recipe) as model:
        model.learn(64)
        assert "transfer/redo/units" in model.logger.name_to_value


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"policy_kwargs": {"net_arch": []}}, "no linear"),
        ({"policy_kwargs": {**SMALL, "activation_fn": nn.Sigmoid}}, "Sigmoid units of actor.0"),
        ({"policy_kwargs": {**SMALL, "activation_fn": nn.PReLU}}, "no linear"),
    ],
)
def test_units_that_it_does_not_know_are_refused(options: Any, match: str) -> None:
    task = toy("v4", "d2")
    agent = train(task, 32, **options)
    with pytest.raises(RecipeError, match=match), adapted(agent, task, Recipe(renew=ReDo())):
        pass


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (ShrinkPerturb, {"shrink": 1.1}),
        (ShrinkPerturb, {"perturb": -0.1}),
        (SoftShrinkPerturb, {"rate": 0}),
        (SoftShrinkPerturb, {"rate": 1}),
        (ReDo, {"tau": 1}),
        (ReDo, {"every": 0}),
        (ReDo, {"every": 2.5}),
    ],
)
def test_values_out_of_range_are_refused(kind: Any, given: Any) -> None:
    with pytest.raises(RecipeError, match="expected"):
        kind(**given)


def test_effective_rank_by_hand() -> None:
    assert effective_rank(torch.eye(5)) == pytest.approx(5)
    assert effective_rank(torch.ones(9, 4)) == pytest.approx(1, abs=1e-5)
    assert effective_rank(torch.zeros(9, 4)) == 0
    pair = torch.diag(torch.tensor([3.0, 1.0]))
    by_hand = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert effective_rank(pair) == pytest.approx(by_hand)


def test_shares_of_units_by_hand() -> None:
    said = torch.tensor([[0.0, 1.0, 0.01], [0.0, 3.0, 0.0]])
    assert dormant(said).tolist() == [True, False, True]
    assert saturated(torch.tensor([[0.995, 0.5], [-0.995, -1.0]])).tolist() == [1, 0.5]


def test_plasticity_is_logged_after_the_first_update_and_then_now_and_then() -> None:
    model = begun(Recipe(), n_steps=256)
    counts = []
    for _ in range(2 * STEPS // 1024 + 1):
        model.learn(1024, reset_num_timesteps=False)
        logged = model.logger.name_to_value
        counts.append("transfer/plasticity/weight_norm" in logged)
    assert counts == [True, False, False, False, True, False, False, False, True]
    found = {name.rpartition("/")[2] for name in logged if "plasticity" in name}
    assert found == {"saturated", "effective_rank", "weight_norm"}
    assert 1 < logged["transfer/plasticity/effective_rank"] < 64
    assert 0 <= logged["transfer/plasticity/saturated"] < 1
    squares = sum(one.square().sum().item() for one in model.policy.parameters())
    assert logged["transfer/plasticity/weight_norm"] == pytest.approx(squares**0.5)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("relu", {"dormant", "effective_rank", "weight_norm"}),
        ("normalized", {"saturated", "effective_rank", "weight_norm"}),
        ("shallow", {"weight_norm"}),
        ("dict", {"weight_norm"}),
        ("image", {"weight_norm"}),
        ("batchnorm", {"weight_norm"}),
        ("maskable", set()),
        ("recurrent", set()),
    ],
)
def test_plasticity_of_other_policies(kind: str, names: set[str]) -> None:
    with adapted(kind, KINDS[kind].task()) as model:
        model.learn(32)
        logged = {n.rpartition("/")[2] for n in model.logger.name_to_value if "plasticity" in n}
        assert logged == names
        assert all(one.training for one in model.policy.modules()) or kind == "batchnorm"


def test_sb3s_own_update_trains_and_shows_plasticity() -> None:
    found = []
    for path in ("stock", "autograd"):
        model = begun(Recipe())
        model.engine_options = EngineOptions(path=path)
        model.learn(256)
        found.append({n: v for n, v in model.logger.name_to_value.items() if "plasticity" in n})
    assert len(found[0]) == 3 and found[0] == pytest.approx(found[1], rel=1e-3)


def test_dead_units_count_as_dormant() -> None:
    with adapted("relu", KINDS["relu"].task()) as model:
        for net in (model.policy.mlp_extractor.policy_net, model.policy.mlp_extractor.value_net):
            with torch.no_grad():
                net[0].bias[:4] = -1e3
        model.learn(32)
        assert model.logger.name_to_value["transfer/plasticity/dormant"] >= 8 / 32
