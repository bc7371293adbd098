"""Gradient surgery, against numbers computed by hand and the algorithm written out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from rltransfer.engine.multitask.pcgrad import flatten, project, unflatten


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def written_out(gradients: np.ndarray, seed: int) -> np.ndarray:
    """Algorithm 1 of Yu et al. 2020 on the vectors themselves; the mean instead of the sum."""
    orders = rng(seed)
    projected = []
    for i, gradient in enumerate(gradients):
        left = gradient.copy()
        for j in orders.permutation(len(gradients)):
            other = gradients[j]
            if j != i and left @ other < 0:
                left = left - left @ other / (other @ other) * other
        projected.append(left)
    return np.mean(projected, axis=0)


def test_two_tasks_by_hand() -> None:
    # g1 . g2 = -1. g1 loses (-1/2) g2: (1, 0) + (-0.5, 0.5) = (0.5, 0.5).
    # g2 loses (-1/1) g1: (-1, 1) + (1, 0) = (0, 1). Their mean: (0.25, 0.75).
    result = project(torch.tensor([[1.0, 0.0], [-1.0, 1.0]]), rng())
    torch.testing.assert_close(result.gradient, torch.tensor([0.25, 0.75]))
    assert result.conflicts == 1.0


def test_projecting_the_others_as_given_not_as_projected() -> None:
    # Were g2 projected against what is left of g1, (0.5, 0.5), nothing would conflict:
    # the mean would be (-0.25, 0.75).
    result = project(torch.tensor([[1.0, 0.0], [-1.0, 1.0]]), rng())
    assert result.gradient[0] > 0


def test_three_tasks_by_hand_depend_on_the_order() -> None:
    gradients = torch.tensor([[1.0, 0.0], [-1.0, 1.0], [-1.0, -2.0]], dtype=torch.float64)
    # Products: 12: -1, 13: -1, 23: -1; squares 1, 2, 5. Worked out for each order:
    # g1 by 2: (0.5, 0.5), then by 3, product -1.5: + 0.3 g3 = (0.2, -0.1).
    # g1 by 3: (0.8, -0.4), then by 2, product -1.2: + 0.6 g2 = (0.2, 0.2).
    # g2 by 1: (0, 1), then by 3, product -2: + 0.4 g3 = (-0.4, 0.2).
    # g2 by 3: (-1.2, 0.6), then by 1, product -1.2: + 1.2 g1 = (0, 0.6).
    # g3 by 1: (0, -2), then by 2, product -2: + g2 = (-1, -1).
    # g3 by 2: (-1.5, -1.5), then by 1, product -1.5: + 1.5 g1 = (0, -1.5).
    ends = [
        [(0.2, -0.1), (0.2, 0.2)],
        [(-0.4, 0.2), (0.0, 0.6)],
        [(-1.0, -1.0), (0.0, -1.5)],
    ]
    possible = {
        tuple(np.round(np.mean(choice, axis=0), 9) + 0.0) for choice in itertools.product(*ends)
    }
    found = set()
    for seed in range(60):
        result = project(gradients, rng(seed))
        assert result.conflicts == 1.0
        found.add(tuple(np.round(result.gradient.numpy(), 9) + 0.0))
    assert found == possible and len(possible) == 8


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(("tasks", "size"), [(2, 3), (3, 100), (5, 4), (8, 50)])
def test_it_is_the_algorithm_written_out(tasks: int, size: int, seed: int) -> None:
    gradients = rng(100 + seed).normal(size=(tasks, size))
    result = project(torch.as_tensor(gradients), rng(seed))
    np.testing.assert_allclose(result.gradient, written_out(gradients, seed), rtol=0, atol=1e-12)
    products = gradients @ gradients.T
    pairs = [(i, j) for i in range(tasks) for j in range(tasks) if i != j]
    assert result.conflicts == pytest.approx(np.mean([products[pair] < 0 for pair in pairs]))


def test_single_precision_stays_close() -> None:
    gradients = rng().normal(size=(4, 5000)) * np.array([[1e-3], [1.0], [1e3], [1.0]])
    result = project(torch.as_tensor(gradients, dtype=torch.float32), rng(3))
    expected = written_out(gradients, 3)
    assert result.gradient.dtype == torch.float32
    np.testing.assert_allclose(result.gradient, expected, rtol=0, atol=1e-5 * abs(expected).max())


def test_one_generator_gives_one_result() -> None:
    gradients = torch.as_tensor(rng().normal(size=(6, 3)))
    same = [project(gradients, rng(7)).gradient for _ in range(2)]
    assert torch.equal(*same)
    others = {tuple(project(gradients, rng(seed)).gradient.tolist()) for seed in range(8)}
    assert len(others) > 1


def test_without_conflict_it_is_the_mean() -> None:
    gradients = torch.as_tensor(rng().uniform(0, 1, size=(4, 30)))
    result = project(gradients, rng())
    torch.testing.assert_close(result.gradient, gradients.mean(0), rtol=0, atol=1e-15)
    assert result.conflicts == 0.0


def test_no_task_pulls_against_a_projected_one() -> None:
    gradients = torch.tensor([[1.0, 2.0, -0.5], [-2.0, 0.5, 1.0]], dtype=torch.float64)
    assert gradients[0] @ gradients[1] < 0
    result = project(gradients, rng())
    # With two tasks, following the result makes neither task worse, to first order.
    assert (gradients @ result.gradient >= -1e-12).all()


def test_opposite_gradients_cancel() -> None:
    result = project(torch.tensor([[1.0, -2.0], [-1.0, 2.0]]), rng())
    assert torch.equal(result.gradient, torch.zeros(2)) and result.conflicts == 1.0


def test_zero_gradients_are_safe() -> None:
    gradients = torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 1.0]])
    result = project(gradients, rng())
    torch.testing.assert_close(result.gradient, torch.tensor([0.5, 1.5]) / 3)
    assert result.conflicts == pytest.approx(2 / 6)
    assert torch.equal(project(torch.zeros(3, 4), rng()).gradient, torch.zeros(4))


def test_gradients_whose_squares_vanish_are_safe() -> None:
    # 1e-25 squared is zero in single precision, its product with the other one is not.
    result = project(torch.tensor([[1e-25, 0.0], [-1e10, 1.0]]), rng())
    torch.testing.assert_close(result.gradient, torch.tensor([-5e9, 0.5]))


def test_one_task_is_left_alone() -> None:
    gradient = torch.randn(1, 5)
    result = project(gradient, rng())
    assert torch.equal(result.gradient, gradient[0]) and result.conflicts == 0.0


def test_what_is_not_finite_stays_visible() -> None:
    gradients = torch.tensor([[1.0, 2.0], [float("nan"), 1.0]])
    assert not torch.isfinite(project(gradients, rng()).gradient).all()


def test_gradients_there_and_back() -> None:
    layers = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    parameters = [*layers.parameters(), nn.Parameter(torch.tensor(3.0))]
    loss = layers[0](torch.ones(4, 3)).square().sum()
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    flat = flatten(gradients, parameters)
    assert flat.shape == (6 + 2 + 2 + 1 + 1,) and not flat[8:].any()
    back = unflatten(flat, parameters, used=[g is not None for g in gradients])
    for gradient, piece in zip(gradients, back, strict=True):
        if gradient is None:
            assert piece is None
        else:
            assert piece is not None and torch.equal(gradient, piece)
    for piece, parameter in zip(unflatten(flat, parameters), parameters, strict=True):
        assert piece is not None and piece.shape == parameter.shape


def test_no_parameters_and_wrong_sizes() -> None:
    assert flatten([], []).shape == (0,) and unflatten(torch.zeros(0), []) == []
    with pytest.raises(ValueError, match=r"expected a vector of 2 numbers, got \(3,\)"):
        unflatten(torch.zeros(3), [torch.zeros(2)])
    with pytest.raises(ValueError):
        flatten([None], [])
