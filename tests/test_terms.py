"""Terms against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from rltransfer.methods import L2SP, Kickstart
from rltransfer.training.terms.actions import Actions, kl
from rltransfer.training.terms.fading import faded
from rltransfer.training.terms.regularize import L2SPTerm


def test_divergence_of_choices_by_hand() -> None:
    p = Actions((2,), torch.tensor([[0.5, 0.5]]).log())
    q = Actions((2,), torch.tensor([[0.9, 0.1]]).log())
    by_hand = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    assert kl(p, q).item() == pytest.approx(by_hand, rel=1e-6)
    assert kl(p, p).item() == pytest.approx(0, abs=1e-7)


def test_divergence_of_coins_is_that_of_two_sides() -> None:
    coins = Actions((1, 1), torch.tensor([[0.3, -1.0]])), Actions((1, 1), torch.zeros(1, 2))
    sides = Actions((2, 2), torch.tensor([[0.3, 0, -1.0, 0]])), Actions((2, 2), torch.zeros(1, 4))
    assert kl(*coins).item() == pytest.approx(kl(*sides).item(), rel=1e-6)


def test_divergence_of_normal_distributions_is_torchs() -> None:
    normal = torch.distributions.Normal
    mean, std = torch.randn(5, 3), torch.rand(5, 3) + 0.1
    other, wide = torch.randn(5, 3), torch.rand(5, 3) + 0.1
    expected = torch.distributions.kl_divergence(normal(mean, std), normal(other, wide)).sum(-1)
    found = kl(Actions((), mean, std.log()), Actions((), other, wide.log()))
    assert torch.allclose(found, expected, rtol=1e-5)


def test_strengths_fade() -> None:
    linear = Kickstart(strength=2, fade="linear", until=0.5)
    assert [faded(linear, at) for at in (0, 0.25, 0.5, 1)] == [2, 1, 0, 0]
    exponential = Kickstart(strength=1, until=0.4)
    assert faded(exponential, 0.2) == pytest.approx(0.05**0.5)
    assert faded(exponential, 0.4) == 0
    ratio = Kickstart(strength=1, fade="performance", until=1)
    assert faded(ratio, 0.9, ratio=0.25) == 0.75 and faded(ratio, 0.1, ratio=2) == 0


def test_l2_sp_by_hand() -> None:
    copied, fresh = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([3.0])
    term = L2SPTerm(L2SP(strength=0.1, fresh=0.05), {"w": copied}, [fresh])
    with torch.no_grad():
        copied += 1
    loss = term.loss(None)  # type: ignore[arg-type]
    assert loss is not None
    assert 0.1 * loss.item() == pytest.approx(0.1 / 2 * 2 + 0.05 / 2 * 9)
