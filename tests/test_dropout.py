"""Dropout with the same mask for the old and the new probability of an action."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from torch import nn
from transfer_cases import KINDS, SMALL, adapted, toy, train

import rltransfer as rlt
from rltransfer.errors import RecipeError
from rltransfer.methods import Dropout
from rltransfer.recipe import Recipe
from rltransfer.training.terms.dropout import hashed, mixed

FAR = "rlt/CartPoleFar-v0"
# The only minibatch is the first.
ONCE: dict[str, Any] = {"n_envs": 4, "n_steps": 64, "batch_size": 256, "n_epochs": 1}


class DroppingTanh(nn.Sequential):
    """Dropout as a user of Stable-Baselines3 would write it."""

    def __init__(self) -> None:
        super().__init__(nn.Tanh(), nn.Dropout(0.3))


def dropping(rate: float = 0.3, critic: bool = False, **options: Any) -> Any:
    recipe = Recipe(regularize=Dropout(rate=rate, critic=critic))
    return rlt.adapt("cartpole", FAR, recipe, **{"seed": 0, **ONCE, **options})


def test_the_first_minibatch_has_ratios_of_one_unlike_plain_dropout() -> None:
    model = dropping()
    model.learn(256)
    logged = model.logger.name_to_value
    assert abs(logged["train/approx_kl"]) < 1e-6 and logged["train/clip_fraction"] == 0
    settings = {k: v for k, v in ONCE.items() if k != "n_envs"}
    kwargs = {"activation_fn": DroppingTanh}
    plain = PPO(
        "MlpPolicy", model.get_env(), seed=0, device="cpu", policy_kwargs=kwargs, **settings
    )
    plain.policy.load_state_dict(rlt.adapt("cartpole", FAR, seed=0).policy.state_dict())
    plain.learn(256)
    logged = plain.logger.name_to_value
    assert logged["train/approx_kl"] > 1e-4 and logged["train/clip_fraction"] > 0


@pytest.mark.parametrize("critic", [False, True])
def test_units_drop_out_in_rollouts_and_updates_alone(critic: bool) -> None:
    model = dropping(critic=critic)
    policy, seen = model.policy, 0.1 * torch.randn(64, 4)
    plain = copy.deepcopy(policy)
    for name in ("forward", "evaluate_actions"):
        delattr(plain, name)
    actions = torch.zeros(64)
    with torch.no_grad():
        same = policy.get_distribution(seen).distribution.logits
        assert torch.equal(same, plain.get_distribution(seen).distribution.logits)
        assert torch.equal(policy.predict_values(seen), plain.predict_values(seen))
        values, log_prob, _ = policy.evaluate_actions(seen, actions)
        value, log, _ = plain.evaluate_actions(seen, actions)
        assert torch.isclose(log_prob, log, rtol=1e-4).float().mean() < 0.5
        assert torch.equal(values, value) != critic
        taken, values, log_prob = policy(seen)
        again = policy.evaluate_actions(seen, taken)
        assert torch.equal(values, again[0]) and torch.equal(log_prob, again[1])


def test_outputs_with_masks_by_hand() -> None:
    model = dropping(rate=0.5)
    policy, term = model.policy, model.transfer.terms.terms[0]
    seen = torch.randn(32, 4)
    first, _, second, _ = policy.mlp_extractor.policy_net
    with torch.no_grad(), term._dropping(seen):
        masks = [term.mask(place, 64) for place in (0, 1)]
        assert set(torch.cat(masks).unique().tolist()) == {0, 2}
        hidden = torch.tanh(first(seen))
        hidden = torch.tanh((hidden * masks[0]) @ second.weight.T + second.bias)
        logits = (hidden * masks[1]) @ policy.action_net.weight.T + policy.action_net.bias
    with torch.no_grad():
        _, found, _ = policy.evaluate_actions(seen, torch.ones(32))
    assert torch.allclose(found, logits.log_softmax(-1)[:, 1], atol=1e-6)


def test_masks_differ_by_rollout_state_layer_unit_and_seed() -> None:
    seen = torch.randn(500, 4)

    def mask(model: Any, place: int = 0) -> torch.Tensor:
        term = model.transfer.terms.terms[0]
        with term._dropping(seen):
            return (term.mask(place, 64) > 0).float()

    model = dropping(rate=0.3)
    before, other_layer = mask(model), mask(model, 1)
    assert torch.equal(before, mask(model)) and torch.equal(before, mask(dropping(rate=0.3)))
    model.transfer.terms.terms[0].end()
    after, other_seed = mask(model), mask(dropping(rate=0.3, seed=1))
    for one in (before, other_layer, after, other_seed):
        assert one.mean().item() == pytest.approx(0.7, abs=0.01)
        assert one.mean(0).std() < 0.03 and one.mean(1).std() < 0.08
    for other in (other_layer, after, other_seed):
        pair = torch.stack([before.flatten(), other.flatten()])
        assert abs(torch.corrcoef(pair)[0, 1].item()) < 0.02
    # Neither neighbouring units nor states share their fate.
    for one, other in ((before[:, 1:], before[:, :-1]), (before[1:], before[:-1])):
        assert abs(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1]) < 0.02


def test_observations_hash_alike_wherever_they_are_kept() -> None:
    seen = torch.randn(6, 3, dtype=torch.float64)
    kept = seen.float()
    assert torch.equal(hashed(seen), hashed(kept))
    assert torch.equal(hashed(kept)[2:4], hashed(kept[2:4]))
    assert len(set(hashed(kept).tolist())) == 6
    assert len(set(hashed(kept + 1e-6).tolist()) | set(hashed(kept).tolist())) == 12
    assert torch.equal(hashed(torch.tensor([3, 4])), hashed(torch.tensor([[3], [4]])))
    pair = {"b": kept, "a": torch.arange(6)}
    assert torch.equal(hashed(pair), hashed(dict(reversed(pair.items()))))


def test_numbers_are_mixed_as_by_splitmix64() -> None:
    """Against the generator's published first outputs from the seed 1234567."""
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    step, found = 0x9E3779B97F4A7C15, []
    for i in range(3):
        state = (1234567 + i * step) % 2**64
        signed = state - 2**64 if state >= 2**63 else state
        found.append(mixed(torch.tensor(signed)).item() % 2**64)
    assert found == published


def test_closed_form_does_not_ignore_it() -> None:
    model = dropping()
    assert "evaluate_actions of the policy was replaced" in model.engine_report()
    plain = rlt.adapt("cartpole", FAR, seed=0, **ONCE)
    assert "was replaced" not in plain.engine_report()


def test_nothing_of_it_is_saved(tmp_path: Path) -> None:
    model = dropping(n_epochs=3)
    model.learn(512)
    model.save(tmp_path / "model.zip")
    plain = PPO.load(tmp_path / "model.zip", device="cpu")
    assert not {"forward", "evaluate_actions"} & vars(plain.policy).keys()
    assert not any(module._forward_pre_hooks for module in plain.policy.modules())
    seen = torch.randn(16, 4)
    logits = [one.policy.get_distribution(seen).distribution.logits for one in (model, plain)]
    assert torch.equal(*logits)


def test_a_copy_of_the_policy_drops_out_on_its_own() -> None:
    model = dropping()
    twin, seen = copy.deepcopy(model.policy), torch.randn(8, 4)
    with torch.no_grad():
        twin.action_net.weight.zero_()
        found = [one.evaluate_actions(seen, torch.zeros(8))[1] for one in (model.policy, twin)]
    assert not torch.allclose(*found)


@pytest.mark.parametrize("kind", ["box", "gsde", "normalized", "dict", "multibinary"])
def test_it_works_with_all_kinds_of_observations_and_actions(kind: str) -> None:
    options = {"batch_size": 32, "n_epochs": 1}
    recipe = Recipe(regularize=Dropout(rate=0.3))
    with adapted(kind, KINDS[kind].task(), recipe, **options) as model:
        model.learn(64)
        assert model.logger.name_to_value["train/clip_fraction"] == 0
        assert abs(model.logger.name_to_value["train/approx_kl"]) < 1e-5
        assert np.isfinite(model.rollout_buffer.log_probs).all()


def test_it_works_with_several_choices() -> None:
    task = toy("v4", "multi")
    agent = train(task, 32, policy_kwargs=SMALL)
    with adapted(agent, task, Recipe(regularize=Dropout()), batch_size=32, n_epochs=1) as model:
        model.learn(32)
        assert abs(model.logger.name_to_value["train/approx_kl"]) < 1e-5


@pytest.mark.parametrize("kind", ["shallow", "image"])
def test_a_policy_without_hidden_layers_is_refused(kind: str) -> None:
    with (
        pytest.raises(RecipeError, match="no linear layers"),
        adapted(kind, KINDS[kind].task(), Recipe(regularize=Dropout())),
    ):
        pass


@pytest.mark.parametrize("given", [{"rate": 0}, {"rate": 1}, {"rate": "half"}, {"critic": None}])
def test_values_out_of_range_are_refused(given: Any) -> None:
    with pytest.raises(RecipeError, match="expected"):
        Dropout(**given)
