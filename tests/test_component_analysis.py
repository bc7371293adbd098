"""Transfer component analysis against cases that can be worked out, and as observations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from transfer_cases import toy

import rltransfer as rlt
from rltransfer import registry
from rltransfer.component_analysis import random_observations, tca
from rltransfer.errors import BadArgument, BadEnvironment, SpaceMismatch
from rltransfer.projections import Projection, gaussian_kernel
from rltransfer.training.terms.align import squared_mmd

SHIFT = 4.0


def two_tasks(count: int = 150) -> tuple[np.ndarray, np.ndarray]:
    """One number that both tasks share, and one whose mean differs."""
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(2, count, 2))
    return source * [1.0, 0.1], target * [1.0, 0.1] + [0.0, SHIFT]


def mmd(source: np.ndarray, target: np.ndarray) -> float:
    return squared_mmd(torch.as_tensor(source), torch.as_tensor(target)).item()


def test_the_closed_form_is_that_of_the_paper() -> None:
    source, target = two_tasks(20)
    z = np.concatenate([source, target])
    z = (z - z.mean(0)) / z.std(0)
    apart = np.square(z[:, None] - z).sum(-1)
    width = np.median(apart[np.triu_indices(40, 1)])
    k = np.exp(-apart / width)
    e = np.repeat([1 / 20, -1 / 20], 20)
    h = np.eye(40) - 1 / 40
    values, vectors = np.linalg.eig(
        np.linalg.solve(k @ np.outer(e, e) @ k + 0.1 * np.eye(40), k @ h @ k)
    )
    expected = k @ vectors.real[:, np.argsort(-values.real)[:3]]
    found = tca(source, target, 3, mu=0.1)(np.concatenate([source, target]))
    assert found.std(0) == pytest.approx(np.ones(3))
    for one, other in zip(found.T, (expected / expected.std(0)).T, strict=True):
        sign = np.sign(one @ other)
        np.testing.assert_allclose(one, sign * other, atol=1e-6)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_the_first_component_is_what_both_tasks_share(kernel: Any) -> None:
    source, target = two_tasks()
    projected = tca(source, target, 1, mu=1e-3, kernel=kernel)(source)[:, 0]
    assert abs(np.corrcoef(projected, source[:, 0])[0, 1]) > 0.9


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_tasks_look_more_alike_than_before(kernel: Any) -> None:
    source = random_observations("CartPole-v1", 400)
    target = random_observations("rlt/CartPoleOffset-v0", 400, seed=1)
    before = tca(source, source, 4, kernel="linear")  # nothing but standardized and turned
    found = tca(source, target, 2, mu=1e-3, kernel=kernel)
    assert mmd(found(source), found(target)) < 0.5 * mmd(before(source), before(target))


def test_units_and_offsets_of_sensors_do_not_matter() -> None:
    source, target = two_tasks(60)
    factors, offset = np.array([10.0, 0.01]), np.array([-3.0, 7.0])
    plain = tca(source, target, 2)
    other = tca(source * factors + offset, target * factors + offset, 2)
    np.testing.assert_allclose(plain(source), other(source * factors + offset), atol=1e-6)


def test_a_linear_projection_is_a_matrix_and_a_constant_sensor_does_no_harm() -> None:
    source, target = two_tasks(60)
    still = np.full((60, 1), 3.0)
    found = tca(np.hstack([source, still]), np.hstack([target, still]), 2, kernel="linear")
    assert found.landmarks is None and found.weights.shape == (3, 2)
    assert np.isfinite(found.weights).all()


def test_long_samples_are_thinned_evenly() -> None:
    source, target = two_tasks(150)
    found = tca(source, target, 2, limit=50)
    assert found.landmarks is not None and len(found.landmarks) == 100
    last = (source[-1] - found.mean) / found.scale
    np.testing.assert_allclose(found.landmarks[49], last)


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test registers is its own."""
    monkeypatch.setattr(registry, "_tasks", dict(registry._tasks))
    before = dict(gym.registry)
    yield
    gym.registry.clear()
    gym.registry.update(before)


def test_a_policy_is_pretrained_and_fine_tuned_on_projections(forgetful: None) -> None:
    found = tca(
        random_observations("CartPole-v1", 200),
        random_observations("rlt/CartPoleScaled-v0", 200),
        3,
        limit=40,
    )
    source = rlt.adapted("CartPole-v1", "test/PoleProjected-v0", [found.adapter()])
    target = rlt.adapted("rlt/CartPoleScaled-v0", "test/ScaledProjected-v0", [found.adapter()])
    env = gym.make(gym.spec(source))
    raw = gym.make("CartPole-v1").reset(seed=3)[0]
    np.testing.assert_allclose(env.reset(seed=3)[0], found(raw), rtol=1e-5)
    again = gym.make(gym.envs.registration.EnvSpec.from_json(gym.spec(source).to_json()))
    np.testing.assert_array_equal(again.reset(seed=3)[0], env.reset(seed=3)[0])
    small: dict[str, Any] = {"n_envs": 4, "n_steps": 32, "batch_size": 64}
    agent = rlt.pretrain(source, 256, episodes=2, **small)
    model = rlt.adapt(agent, target, "full", seed=0, **small).learn(256)
    assert model.observation_space.shape == (3,)
    with pytest.raises(SpaceMismatch, match="projects 4 observations"):
        rlt.adapted("MountainCar-v0", "test/Wrong-v0", [found.adapter()])


def test_random_observations_are_the_same_for_the_same_seed() -> None:
    first, second = (random_observations("CartPole-v1", 50, seed=4) for _ in range(2))
    assert first.shape == (50, 4)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, random_observations("CartPole-v1", 50, seed=5))


def test_what_cannot_be_observed_is_refused() -> None:
    for count in (0, -1, "a"):
        with pytest.raises(BadArgument, match="count is"):
            random_observations("CartPole-v1", count)  # pyright: ignore[reportArgumentType]
    with pytest.raises(BadArgument, match="expected arrays"):
        random_observations(toy("dict"), 5)
    with pytest.raises(BadEnvironment, match=r"at step 2 .* is nan"):
        random_observations(toy(fails_at=2), 20)


def test_kernels_by_hand() -> None:
    found = gaussian_kernel(np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[1.0, 1.0]]), 4.0)
    np.testing.assert_allclose(found, [[np.exp(-0.5)], [1.0]])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"dims": 0}, "dims is 0: give a whole number from 1 to 10"),
        ({"dims": 3, "kernel": "linear"}, "dims is 3: give a whole number from 1 to 2"),
        ({"dims": 1.0}, "dims is 1.0"),
        ({"mu": 0.0}, "mu is 0.0"),
        ({"mu": np.nan}, "mu is nan"),
        ({"kernel": "cubic"}, "kernel is 'cubic': give one of rbf, linear"),
        ({"limit": 1}, "limit is 1"),
        ({"source": np.zeros((5, 3))}, "source has 3 columns and target 2"),
        ({"source": np.zeros(5)}, "source has shape"),
        ({"target": np.full((5, 2), np.nan)}, "target has shape .* finite numbers"),
    ],
)
def test_what_cannot_be_fitted_is_refused(changes: dict[str, Any], says: str) -> None:
    source, target = two_tasks(5)
    with pytest.raises(BadArgument, match=says):
        tca(**{"source": source, "target": target, "dims": 1, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"scale": np.zeros(2)},
        {"scale": np.ones(3)},
        {"weights": np.ones((3, 1))},
        {"weights": np.full((2, 1), np.inf)},
        {"landmarks": np.ones((2, 5))},
        {"width": 0.0},
    ],
)
def test_what_is_no_projection_is_refused(changes: dict[str, Any]) -> None:
    given = {"mean": np.zeros(2), "scale": np.ones(2), "weights": np.ones((2, 1))}
    with pytest.raises(BadArgument, match="a projection"):
        Projection(**{**given, **changes})
