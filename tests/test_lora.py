"""Changes of low rank."""

from __future__ import annotations

import pytest
import torch

from rltransfer.engine.autograd.gradient import Gradient
from rltransfer.methods import LoRA
from rltransfer.recipe import Recipe
from rltransfer.training.streams import stream
from rltransfer.training.terms.lora import LowRank
from tests.transfer_cases import KINDS, adapted, tensors

FIRST, SECOND = "mlp_extractor.policy_net.0", "mlp_extractor.policy_net.2"


def test_factors_get_the_gradients_of_the_product() -> None:
    weight = torch.randn(5, 3, requires_grad=True)
    layer = LowRank(weight, 2, 1.5, stream(0, "test"))
    layer.left.normal_(generator=stream(0, "left"))
    origin, seen = weight.detach().clone(), torch.randn(7, 3)
    layer.merge()
    (seen @ weight.T).square().sum().backward()
    layer.differentiate()
    left, right = (one.clone().requires_grad_() for one in (layer.left, layer.right))
    (seen @ (origin + 1.5 * left @ right).T).square().sum().backward()
    assert weight.grad is None
    assert torch.allclose(layer.left.grad, left.grad, rtol=1e-4)  # type: ignore[arg-type]
    assert torch.allclose(layer.right.grad, right.grad, rtol=1e-4)  # type: ignore[arg-type]


def test_changes_keep_their_rank_and_biases_stay() -> None:
    with adapted("normalized", KINDS["normalized"].task(), Recipe(grow=LoRA(rank=2))) as model:
        before = tensors(model)
        model.learn(256)
        after = tensors(model)
    for key in (f"{FIRST}.weight", f"{SECOND}.weight", "action_net.weight"):
        change = (after[key] - before[key]).double()
        values = torch.linalg.svdvals(change)
        assert values[0] > 0 and (values[2:] < 1e-5 * values[0]).all(), key
    assert (
        torch.linalg.matrix_rank(
            (after[f"{SECOND}.weight"] - before[f"{SECOND}.weight"]), rtol=1e-5
        )
        == 2
    )
    for name in (FIRST, SECOND, "action_net"):
        assert torch.equal(after[f"{name}.bias"], before[f"{name}.bias"])
    trained = [
        k for k in before if k.startswith(("value_net", "mlp_extractor.value_net", "log_std"))
    ]
    assert len(trained) == 7 and not any(torch.equal(after[k], before[k]) for k in trained)


def test_layers_that_start_fresh_train_in_full() -> None:
    recipe = Recipe(grow=LoRA(rank=1), reset=["actor.1"])
    with adapted("discrete", KINDS["discrete"].task(), recipe) as model:
        before = tensors(model)
        model.learn(256)
        change = tensors(model)[f"{SECOND}.weight"] - before[f"{SECOND}.weight"]
    assert torch.linalg.matrix_rank(change, rtol=1e-4) > 2


def test_factors_are_clipped_together_and_the_policy_s_optimizer_skips_their_matrices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    norms, held = [], []
    step = Gradient.step

    def looked_at(self: Gradient) -> None:
        term = model.transfer.terms.terms[0]
        grads = [one.grad for one in term._factors().values()]
        norms.append(torch.stack([one.norm() for one in grads]).norm().item())
        held.append({k for k, one in model.policy.named_parameters() if one.grad is None})
        step(self)

    monkeypatch.setattr(Gradient, "step", looked_at)
    with adapted(
        "discrete", KINDS["discrete"].task(), Recipe(grow=LoRA()), max_grad_norm=0.01
    ) as model:
        model.learn(64)
    assert max(norms) == pytest.approx(0.01, rel=1e-3)
    own = {
        f"{name}.{kind}" for name in (FIRST, SECOND, "action_net") for kind in ("weight", "bias")
    }
    assert all(one == own for one in held)


def test_the_learning_rate_of_factors_follows_the_recipe_s() -> None:
    """Adam's first step is as long as the learning rate, for every entry with a gradient."""
    recipe = Recipe(grow=LoRA(rank=1, lr_scale=5), lr_scale={"actor.head": 0.1})
    task, options = (
        KINDS["discrete"].task(),
        {"n_epochs": 1, "batch_size": 32, "learning_rate": 1e-3},
    )
    with adapted("discrete", task, recipe, **options) as model:
        model.learn(32)
        layers = model.transfer.terms.terms[0].layers
        for name, rate in ((f"{SECOND}.weight", 5e-3), ("action_net.weight", 5e-4)):
            assert layers[name].left.abs().median().item() == pytest.approx(rate, rel=0.1), name
