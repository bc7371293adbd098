"""Weights that train entry by entry."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rltransfer.errors import BadArgument
from rltransfer.training.terms.masks import MaskTerm


def _parameter() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))


def _step(weight: torch.nn.Parameter, optimizer: Any, term: MaskTerm | None = None) -> None:
    optimizer.zero_grad()
    weight.square().sum().backward()
    if term:
        term.differentiated()
    optimizer.step()
    if term:
        term.stepped()


@pytest.mark.parametrize(
    "make",
    [
        lambda weights: torch.optim.Adam(weights, lr=0.1),
        lambda weights: torch.optim.AdamW(weights, lr=0.1, weight_decay=0.5),
        lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9),
    ],
)
def test_held_entries_stay_bit_for_bit_with_live_moments_and_weight_decay(make: Any) -> None:
    weight = _parameter()
    optimizer = make([weight])
    _step(weight, optimizer)  # now there are moments
    before = weight.detach().clone()
    mask = torch.tensor([[True, False], [False, True]])
    term = MaskTerm("held", {"w": weight}, {"w": mask})
    for _ in range(3):
        _step(weight, optimizer, term)
    assert torch.equal(weight[~mask], before[~mask])
    assert not torch.isclose(weight[mask], before[mask]).any()
    assert term.held == term.end()["held"] == 2


def test_zeroed_gradients_alone_would_not_hold_them() -> None:
    weight = _parameter()
    optimizer = torch.optim.Adam([weight], lr=0.1)
    _step(weight, optimizer)
    before, term = weight.detach().clone(), MaskTerm("", {"w": weight}, {"w": torch.tensor(False)})
    weight.square().sum().backward()
    term.differentiated()
    optimizer.step()
    assert not weight.grad.any()  # type: ignore[union-attr]
    assert not torch.isclose(weight, before).any()
    term.stepped()
    assert torch.equal(weight, before)


def test_rows_and_columns_are_masked_at_once() -> None:
    weight = _parameter()
    rows = MaskTerm("", {"w": weight}, {"w": torch.tensor([[True], [False]])})
    _step(weight, torch.optim.SGD([weight], lr=0.1), rows)
    assert torch.allclose(weight, torch.tensor([[0.8, 1.6], [3.0, 4.0]]))
    columns = MaskTerm("", {"w": weight}, {"w": torch.tensor([True, False])})
    assert columns.masks["w"].tolist() == [[True, False], [True, False]]


def test_a_frozen_parameter_may_have_a_mask() -> None:
    weight = _parameter().requires_grad_(False)
    term = MaskTerm("", {"w": weight}, {"w": torch.tensor(False)})
    term.differentiated()
    term.stepped()
    assert torch.equal(weight, _parameter())


@pytest.mark.parametrize(
    ("masks", "match"),
    [
        ({"v": torch.tensor(True)}, "no parameter"),
        ({"w": torch.ones(2, 2)}, r"torch\.bool"),
        ({"w": torch.ones(3, 2, dtype=torch.bool)}, r"expected \(2, 2\)"),
    ],
)
def test_masks_that_do_not_fit_are_refused(masks: Any, match: str) -> None:
    with pytest.raises(BadArgument, match=match):
        MaskTerm("", {"w": _parameter()}, masks)
