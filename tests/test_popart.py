"""Value heads that follow the scale of their task's returns (PopArt)."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from rltransfer.errors import BadArgument, Diverged
from rltransfer.policies.value_head import ValueHead


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def statistics(head: ValueHead) -> tuple[float, float, float, float]:
    return head.mean.item(), head.mean_square.item(), head.std.item(), head.count.item()


def test_a_new_head_has_the_units_of_its_layer() -> None:
    head = ValueHead(3)
    features = torch.randn(5, 3)
    values = head(features)
    assert values.shape == (5,)
    assert torch.equal(values, head.linear(features)[:, 0])
    assert torch.equal(head.denormalize(values), values)
    assert statistics(head) == (0.0, 1.0, 1.0, 0.0)
    assert {n: tuple(b.shape) for n, b in head.named_buffers()} == {
        "mean": (),
        "mean_square": (),
        "count": (),
    }


def test_numbers_by_hand() -> None:
    head = ValueHead(1).double()
    with torch.no_grad():
        head.linear.weight.fill_(2.0)
        head.linear.bias.fill_(1.0)
    # Wholly the batch's: mean 3, mean square 13, variance 4. From v = 2 h + 1, in own units:
    # (2 h + 1 - 3) / 2 = h - 1.
    assert head.update(np.array([1.0, 5.0]), beta=0.25)
    assert statistics(head) == pytest.approx((3.0, 13.0, 2.0, 1.0), abs=1e-12)
    assert head.linear.weight.item() == pytest.approx(1.0, abs=1e-12)
    assert head.linear.bias.item() == pytest.approx(-1.0, abs=1e-12)
    # Step max(0.25, 1/2): mean (3 + 7) / 2 = 5, mean square (13 + 49) / 2 = 31, variance 6.
    assert head.update(np.array([7.0]), beta=0.25)
    assert statistics(head) == pytest.approx((5.0, 31.0, 6**0.5, 2.0), abs=1e-12)
    assert head.linear.weight.item() == pytest.approx(2 / 6**0.5, abs=1e-12)
    assert head.linear.bias.item() == pytest.approx((2 * -1 + 3 - 5) / 6**0.5, abs=1e-12)
    # Steps 1/3 and 1/4, then 0.25 for good.
    for step in (1 / 3, 1 / 4, 0.25, 0.25):
        before = head.mean.item()
        head.update(np.array([0.0, 2.0]), beta=0.25)
        assert head.mean.item() == pytest.approx(before + step * (1 - before), abs=1e-12)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_estimates_stay_what_they_were(kind: str) -> None:
    head = ValueHead(6).double()
    features = torch.randn(50, 6, dtype=torch.float64)
    expected = head.denormalize(head(features)).detach()
    rng = np.random.default_rng(0)
    for scale, shift in ((1e3, 5e3), (1e-3, 0.0), (10.0, -200.0), (0.0, -200.0), (1.0, 0.0)):
        returns: Any = rng.normal(shift, scale, size=(16, 4))
        head.update(torch.as_tensor(returns) if kind == "torch" else returns, beta=0.3)
        now = head.denormalize(head(features))
        torch.testing.assert_close(now, expected, rtol=0, atol=1e-10)


def test_estimates_stay_what_they_were_in_single_precision() -> None:
    head = ValueHead(6)
    features = torch.randn(50, 6)
    expected = head.denormalize(head(features)).detach()
    for scale in (1e3, 10.0, 1.0):
        returns = np.random.default_rng(0).normal(scale, scale, 64).astype(np.float32)
        head.update(returns, beta=0.5)
    torch.testing.assert_close(head.denormalize(head(features)), expected, rtol=0, atol=1e-3)


def test_the_first_returns_count_wholly_and_become_normal() -> None:
    head = ValueHead(2)
    returns = np.random.default_rng(0).normal(300.0, 20.0, 4096)
    head.update(returns, beta=1e-3)
    normal = head.normalize(returns)
    assert normal.mean() == pytest.approx(0, abs=1e-3)
    assert normal.std() == pytest.approx(1, abs=1e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [0.0, 1.0, 497.3, -1e4, 1e-9])
def test_constant_returns(dtype: torch.dtype, value: float) -> None:
    head = ValueHead(4).to(dtype)
    features = torch.randn(9, 4, dtype=dtype)
    for _ in range(5):
        head.update(np.full(32, value), beta=0.1)
    assert 1e-4 * 0.999 <= head.std.item() <= max(1e-4, 1e-3 * abs(value)) * 1.001
    for tensor in (*head.state_dict().values(), head.denormalize(head(features))):
        assert torch.isfinite(tensor).all()
    normal = head.normalize(np.full(3, value))
    assert np.isfinite(normal).all()


@pytest.mark.parametrize("std", [10.0, 1.0, 0.1, 0.01])
def test_rounding_of_the_moments_never_makes_normalized_returns_huge(std: float) -> None:
    for seed in range(20):
        head = ValueHead(4)
        returns = np.random.default_rng(seed).normal(1e3, std, 4096)
        head.update(returns, beta=0.1)
        assert head.std.item() == pytest.approx(max(std, 0.977), rel=0.1)
        assert abs(head.normalize(returns)).max() < 6


@pytest.mark.parametrize("frozen", ["weight", "bias", "both"])
def test_a_frozen_head_keeps_everything(frozen: str) -> None:
    head = ValueHead(4)
    head.update(np.array([1.0, 9.0]), beta=0.1)
    for name, parameter in head.linear.named_parameters():
        parameter.requires_grad_(frozen not in (name, "both"))
    before = copy.deepcopy(head.state_dict())
    assert head.update(np.array([100.0, 200.0]), beta=0.1) is False
    assert all(torch.equal(value, before[name]) for name, value in head.state_dict().items())


def test_no_returns_change_nothing() -> None:
    head = ValueHead(4)
    before = copy.deepcopy(head.state_dict())
    assert head.update(np.zeros(0), beta=0.1) is False
    assert all(torch.equal(value, before[name]) for name, value in head.state_dict().items())


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30])
def test_returns_that_cannot_be_normalized_change_nothing(bad: float) -> None:
    head = ValueHead(4)
    before = copy.deepcopy(head.state_dict())
    with pytest.raises(Diverged, match="cannot be normalized"):
        head.update(np.array([0.0, bad]), beta=0.1)
    assert all(torch.equal(value, before[name]) for name, value in head.state_dict().items())


@pytest.mark.parametrize("beta", [-0.1, 1.5, float("nan")])
def test_a_step_outside_its_range(beta: float) -> None:
    with pytest.raises(BadArgument, match="give a step between 0 and 1"):
        ValueHead(4).update(np.ones(3), beta=beta)


def test_units_there_and_back_for_arrays_and_tensors_alike() -> None:
    head = ValueHead(4)
    head.update(np.array([-10.0, 30.0, 70.0]), beta=0.1)
    returns = np.array([[5.0, -7.0]], np.float32)
    normal = head.normalize(returns)
    assert isinstance(normal, np.ndarray) and normal.dtype == np.float32
    as_tensor = head.normalize(torch.as_tensor(returns))
    assert isinstance(as_tensor, torch.Tensor) and as_tensor.dtype == torch.float32
    np.testing.assert_allclose(as_tensor.numpy(), normal, rtol=1e-6)
    np.testing.assert_allclose(head.denormalize(normal), returns, rtol=1e-5)
    np.testing.assert_allclose(head.denormalize(as_tensor).numpy(), returns, rtol=1e-5)


def test_values_in_own_units_are_differentiable() -> None:
    head = ValueHead(2)
    head.update(np.array([-10.0, 30.0]), beta=0.1)
    head.denormalize(head(torch.ones(1, 2))).sum().backward()
    gradient = head.linear.weight.grad
    assert gradient is not None
    torch.testing.assert_close(gradient, head.std.expand(1, 2))
    assert not head.mean.requires_grad and not head.std.requires_grad


def test_statistics_travel_with_the_weights() -> None:
    head, other = ValueHead(3), ValueHead(3)
    head.update(np.array([5.0, 6.0, 9.0]), beta=0.1)
    other.load_state_dict(head.state_dict())
    features = torch.randn(4, 3)
    assert torch.equal(other.denormalize(other(features)), head.denormalize(head(features)))
