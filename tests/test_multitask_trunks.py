"""The layers that several tasks share: what they compute, by hand and by other means."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.policies import BasePolicy
from torch import nn

from rltransfer.errors import BadArgument, UnknownName
from rltransfer.policies.trunks import (
    TRUNKS,
    MlpTrunk,
    MooreTrunk,
    SoftModularTrunk,
    Trunk,
    make_trunk,
    trunk_options,
)
from rltransfer.policies.trunks.moore import gram_schmidt

KINDS = (
    ("mlp", {"sizes": [5, 4]}),
    ("soft_modular", {"layers": 3, "modules": 2, "width": 4, "gating_width": 6}),
    ("moore", {"experts": 3, "sizes": (5, 4)}),
)
MIXING = KINDS[1:]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def inputs(rows: int = 8, *, features: int = 3, tasks: int = 2) -> tuple[torch.Tensor, ...]:
    context = torch.eye(tasks)[torch.arange(rows) % tasks]
    return torch.randn(rows, features), context


# ---- what all have in common ----


def test_the_cases_are_all_kinds() -> None:
    assert {kind for kind, _ in KINDS} == set(TRUNKS)


@pytest.mark.parametrize(("kind", "options"), KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shapes_and_dtypes(kind: str, options: dict[str, Any], dtype: torch.dtype) -> None:
    trunk = make_trunk(kind, 3, 2, activation_fn=nn.ReLU, **options).to(dtype)
    features, context = (x.to(dtype) for x in inputs())
    output = trunk(features, context)
    assert isinstance(trunk, Trunk) and trunk.out_features == 4
    assert output.shape == (8, 4) and output.dtype == dtype
    assert trunk(features[:0], context[:0]).shape == (0, 4)


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_rows_do_not_see_each_other(kind: str, options: dict[str, Any]) -> None:
    trunk = make_trunk(kind, 3, 2, **options).double()
    features, context = (x.double() for x in inputs())
    together = trunk(features, context)
    alone = torch.cat([trunk(features[i : i + 1], context[i : i + 1]) for i in range(8)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_gradients_reach_every_parameter(kind: str, options: dict[str, Any]) -> None:
    trunk = make_trunk(kind, 3, 2, **options)
    features, context = inputs(64)
    trunk(features, context).square().sum().backward()
    for name, parameter in trunk.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_gradients_are_those_of_finite_differences(kind: str, options: dict[str, Any]) -> None:
    trunk = make_trunk(kind, 3, 2, **options).double()
    features, context = (x.double().requires_grad_() for x in inputs(3))
    assert torch.autograd.gradcheck(trunk, (features, context))


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_every_parameter_is_in_one_layer_group(kind: str, options: dict[str, Any]) -> None:
    trunk = make_trunk(kind, 3, 2, **options)
    grouped = [id(p) for layer in trunk.layers for p in layer.parameters()]
    assert sorted(grouped) == sorted(id(p) for p in trunk.parameters())
    assert all(any(True for _ in layer.parameters()) for layer in trunk.layers)


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_the_context_changes_the_output(kind: str, options: dict[str, Any]) -> None:
    trunk = make_trunk(kind, 3, 2, **options)
    features, _ = inputs()
    one, other = (trunk(features, torch.eye(2)[[task] * 8]) for task in (0, 1))
    assert (one - other).abs().max() > 1e-3


@pytest.mark.parametrize(("kind", "options"), KINDS)
@pytest.mark.parametrize("activation_fn", [nn.Tanh, nn.ReLU])
def test_zeros_give_finite_outputs_and_gradients(
    kind: str, options: dict[str, Any], activation_fn: type[nn.Module]
) -> None:
    trunk = make_trunk(kind, 3, 2, activation_fn=activation_fn, **options)
    for layer in trunk.modules():
        if isinstance(layer, nn.Linear) and layer.bias is not None:
            nn.init.zeros_(layer.bias)
    features = torch.zeros(4, 3, requires_grad=True)
    output = trunk(features, torch.zeros(4, 2))
    output.sum().backward()
    everything = [output, features.grad, *(p.grad for p in trunk.parameters())]
    assert all(torch.isfinite(x).all() for x in everything if x is not None)


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_sb3_initialises_every_weight(kind: str, options: dict[str, Any]) -> None:
    trunk = make_trunk(kind, 3, 2, **options)
    trunk.apply(partial(BasePolicy.init_weights, gain=math.sqrt(2)))
    for name, parameter in trunk.named_parameters():
        if parameter.ndim == 1:
            assert not parameter.any(), name
        else:
            wide = parameter if parameter.shape[0] <= parameter.shape[1] else parameter.T
            torch.testing.assert_close(wide @ wide.T, 2 * torch.eye(len(wide)), msg=name)


@pytest.mark.parametrize(("kind", "options"), MIXING)
def test_what_mixes_by_task_needs_a_context(kind: str, options: dict[str, Any]) -> None:
    assert TRUNKS[kind].needs_context and not MlpTrunk.needs_context
    with pytest.raises(BadArgument, match="got no context: give the policy a task context"):
        make_trunk(kind, 3, 0, **options)


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_a_context_must_come_as_agreed(kind: str, options: dict[str, Any]) -> None:
    features, context = inputs()
    with pytest.raises(BadArgument, match="for a context of 2 numbers and got none"):
        make_trunk(kind, 3, 2, **options)(features, None)
    with pytest.raises(BadArgument, match=r"of 0 numbers and got one of shape \(8, 2\)"):
        MlpTrunk(3)(features, context)


# ---- by name ----


def test_unknown_kinds_and_options_get_a_suggestion() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'moore'"):
        make_trunk("more", 3, 2)
    with pytest.raises(BadArgument, match=r"option of the 'moore' trunk .* mean 'experts'"):
        make_trunk("moore", 3, 2, expert=3)
    # The activation is the policy's to choose.
    assert trunk_options("moore") == {"experts": 2, "sizes": (64,)}


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("mlp", {"sizes": 64}, "give a list of widths"),
        ("mlp", {"sizes": "64"}, "give a list of widths"),
        ("mlp", {"sizes": [8, 0]}, r"sizes\[1\] is 0"),
        ("mlp", {"sizes": [8.5]}, r"sizes\[0\] is 8.5"),
        ("mlp", {"sizes": []}, "cannot use its task context"),
        ("soft_modular", {"layers": 0}, "layers is 0"),
        ("soft_modular", {"modules": -1}, "modules is -1"),
        ("soft_modular", {"width": True}, "width is True"),
        ("soft_modular", {"gating_width": "6"}, "gating_width is '6'"),
        ("moore", {"experts": 0}, "experts is 0"),
        ("moore", {"experts": 5, "sizes": [8, 4]}, "at most 4 experts"),
        ("moore", {"sizes": []}, "sizes is empty"),
    ],
)
def test_options_out_of_range(kind: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(BadArgument, match=words):
        make_trunk(kind, 3, 2, **options)


# ---- the plain one ----


def test_an_mlp_is_a_sequence_of_its_layers() -> None:
    trunk = MlpTrunk(3, 2, sizes=[5, 4], activation_fn=nn.ReLU)
    features, context = inputs()
    plain = nn.Sequential(*trunk.layers)
    assert torch.equal(trunk(features, context), plain(torch.cat([features, context], 1)))
    assert len(trunk.layers) == 2


def test_no_layers_pass_the_features_on() -> None:
    features, _ = inputs()
    trunk = MlpTrunk(3, sizes=[])
    assert trunk(features) is features and trunk.out_features == 3


# ---- soft modularization ----


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_routing_weights_sum_to_one(layers: int) -> None:
    trunk: Any = SoftModularTrunk(3, 2, layers=layers, modules=3, width=4)
    routing = trunk.routing(*inputs())
    assert [tuple(w.shape) for w in routing] == [(8, 3, 3)] * (layers - 1) + [(8, 1, 3)]
    for weights in routing:
        assert (weights > 0).all()
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))


@pytest.mark.parametrize("layers", [1, 3])
def test_one_module_a_layer_is_an_mlp(layers: int) -> None:
    modular: Any = SoftModularTrunk(3, 2, layers=layers, modules=1, width=4)
    plain = MlpTrunk(3, sizes=[4] * layers)
    for ours, theirs in zip(plain.layers, modular.layers, strict=False):
        ours.load_state_dict(theirs[0].state_dict())
    features, context = inputs()
    torch.testing.assert_close(modular(features, context), plain(features), rtol=0, atol=1e-6)


def test_equal_weights_average_the_modules() -> None:
    trunk: Any = SoftModularTrunk(3, 2, layers=2, modules=2, width=4).double()
    for down in trunk.layers[-1].downs:
        nn.init.zeros_(down.weight)
        nn.init.zeros_(down.bias)
    features, context = (x.double() for x in inputs())
    first, second = (list(layer) for layer in list(trunk.layers)[:2])
    mixed = (first[0](features) + first[1](features)) / 2
    expected = (second[0](mixed) + second[1](mixed)) / 2
    torch.testing.assert_close(trunk(features, context), expected, rtol=0, atol=1e-12)


def test_routing_by_hand() -> None:
    """One number in, two modules of width 1; see eq. 3-6."""
    trunk: Any = SoftModularTrunk(1, 1, layers=2, modules=2, width=1, gating_width=1).double()
    with torch.no_grad():
        for parameter in trunk.parameters():
            parameter.zero_()
        router: Any = trunk.layers[-1]
        router.features.weight.fill_(2.0)
        router.context.weight.fill_(3.0)
        router.downs[0].weight.copy_(
            torch.tensor([[0.0], [0.1], [0.2], [0.0]], dtype=torch.float64)
        )
        router.ups[0].weight.copy_(torch.tensor([[1.0, 0.0, 0.0, 1.0]]))
        router.downs[1].weight.copy_(torch.tensor([[0.0], [0.5]]))
        for layer, weights in enumerate([(1.0, -2.0), (0.3, 0.7)]):
            for module, weight in zip(trunk.layers[layer], weights, strict=True):
                module[0].weight.fill_(weight)
    # embedding = 2 x 0.5 * 3 x 1 = 3; logits of layer 0: rows (0, 0.3), (0.6, 0).
    p01, p10 = 1 / (1 + math.exp(-0.3)), 1 / (1 + math.exp(-0.6))
    a, b = math.tanh(0.5), math.tanh(-1.0)
    mixed = ((1 - p01) * a + p01 * b, p10 * a + (1 - p10) * b)
    # hidden = ((1 - p01) + (1 - p10)) * 3, logits (0, hidden / 2).
    last = 1 / (1 + math.exp(-0.5 * 3 * (2 - p01 - p10)))
    expected = (1 - last) * math.tanh(0.3 * mixed[0]) + last * math.tanh(0.7 * mixed[1])
    given = torch.tensor([[0.5]]).double(), torch.tensor([[1.0]]).double()
    assert trunk(*given).item() == pytest.approx(expected, abs=1e-12)
    # An embedding of -3 ends at the ReLU: all ways count the same.
    mixed = ((a + b) / 2,) * 2
    expected = (math.tanh(0.3 * mixed[0]) + math.tanh(0.7 * mixed[1])) / 2
    assert trunk(given[0], -given[1]).item() == pytest.approx(expected, abs=1e-12)


# ---- orthogonal experts ----


@pytest.mark.parametrize(("k", "d"), [(1, 1), (2, 5), (4, 64), (5, 5)])
def test_gram_schmidt_is_that_of_qr(k: int, d: int) -> None:
    vectors = torch.randn(20, k, d, dtype=torch.float64)
    basis = gram_schmidt(vectors)
    gram = basis @ basis.transpose(1, 2)
    torch.testing.assert_close(gram, torch.eye(k).double().expand(20, k, k), rtol=0, atol=1e-10)
    q, r = np.linalg.qr(vectors.numpy().transpose(0, 2, 1))
    signs = np.sign(np.diagonal(r, axis1=1, axis2=2))
    expected = (q * signs[:, None, :]).transpose(0, 2, 1)
    np.testing.assert_allclose(basis.numpy(), expected, rtol=0, atol=1e-10)


def test_gram_schmidt_by_hand() -> None:
    vectors = torch.tensor([[[3.0, 4.0, 0.0], [5.0, 0.0, 2.0]]]).double()
    # 5 * 0.6 = 3 along (0.6, 0.8, 0): left is (3.2, -2.4, 2), of length sqrt(20).
    expected = [[0.6, 0.8, 0.0], np.array([3.2, -2.4, 2.0]) / math.sqrt(20)]
    np.testing.assert_allclose(gram_schmidt(vectors)[0], expected, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("vectors", "directions"),
    [
        ([[0, 0, 0], [1, 0, 0], [0, 2, 0]], [0, 1, 1]),
        ([[1, 2, 3], [-2, -4, -6], [0, 0, 1]], [1, 0, 1]),
        ([[0.1, 0.2, 0.3], [1e4, 2e4, 3e4], [0, 0, 1e3]], [1, 0, 1]),
        ([[0, 0, 0], [0, 0, 0], [0, 0, 0]], [0, 0, 0]),
        ([[1, 1, 1], [1, 2, 3], [2, 3, 4]], [1, 1, 0]),
        ([[1e-30, 0, 0], [0, 1, 0], [1e8, 0, 1e8]], None),
    ],
)
def test_dependent_vectors_get_no_direction_and_break_nothing(
    dtype: torch.dtype, vectors: list[list[float]], directions: list[float] | None
) -> None:
    given = torch.tensor([vectors], dtype=dtype, requires_grad=True)
    basis = gram_schmidt(given)
    (basis * torch.randn_like(basis)).sum().backward()
    assert given.grad is not None and torch.isfinite(given.grad).all()
    assert torch.isfinite(basis).all()
    if directions is not None:
        lengths = basis.detach().norm(dim=-1)[0].double()
        np.testing.assert_allclose(lengths, directions, atol=1e-3)


def test_the_last_layer_of_experts_is_linear_and_the_sum_is_activated() -> None:
    trunk: Any = MooreTrunk(3, 2, experts=2, sizes=[5, 4], activation_fn=nn.Tanh).double()
    features, context = (x.double() for x in inputs())
    first, second, mixing = trunk.layers
    raw = [second[k][0](first[k][0](features).tanh()) for k in range(2)]
    basis = gram_schmidt(torch.stack(raw, dim=1))
    weights = mixing.linear.weight.T[torch.arange(8) % 2]
    expected = torch.tanh((weights[:, :, None] * basis).sum(1))
    torch.testing.assert_close(trunk(features, context), expected, rtol=0, atol=1e-12)
    assert mixing.linear.bias is None
