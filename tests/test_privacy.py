"""Private distillation: bounds and noise by hand, what the accountant says, and what leaks."""

from __future__ import annotations

import copy
import dataclasses
import math
import sys
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
import torch
from agent_cases import CARD, CASES
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from opacus.accountants import RDPAccountant

import rltransfer as rlt
from rltransfer.agents import Agent, Normalization, RunningStats
from rltransfer.errors import BadArgument, BadEnvironment, MissingExtra, SpaceMismatch
from rltransfer.privacy import distill_private, epsilon_of, noise_for, public_statistics, record
from rltransfer.privacy.descent import PrivateDescent, clip_factor
from rltransfer.privacy.distilling import _student, acting_parameters
from rltransfer.training.terms.actions import Actions, kl

OPEN: dict[str, Any] = {"noise_multiplier": 0.0, "clip": math.inf, "delta": 1e-9}
STEP: dict[str, Any] = {"sample_rate": 1.0, "steps": 1, "optimizer": "sgd", "learning_rate": 0.1}


@pytest.fixture(scope="module")
def source() -> Agent:
    """Two layers of 8, on 5 numbers, that choose among 3 actions."""
    found = Agent.from_model(CASES["discrete"](), card=CARD)
    # As sure as a trained one.
    weights = {name: 4 * tensor for name, tensor in found.weights.items()}
    return dataclasses.replace(found, weights=weights, optimizer=None)


@pytest.fixture(scope="module")
def trajectories() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.uniform(-2, 2, (n, 5)).astype(np.float32) for n in (3, 20, 7, 50)]


def start(source: Agent, seed: int = 5) -> Any:
    """The student before its first step."""
    return _student(source, None, None, torch.Generator().manual_seed(seed)).policy


def distance(one: Any, other: Any) -> float:
    keys = [name for name in one if not name.startswith("value_net")]
    return math.sqrt(sum(float((one[k] - other[k]).double().square().sum()) for k in keys))


# ---- steps by hand ----


def test_a_gradient_is_clipped_as_a_whole() -> None:
    gradient = [torch.tensor([3.0]), torch.tensor([[4.0]])]
    assert clip_factor(gradient, 1.0) == pytest.approx(0.2)
    assert clip_factor(gradient, 10.0) == clip_factor(gradient, math.inf) == 1.0
    assert clip_factor([torch.tensor([math.inf])], 1.0) == 0.0
    assert clip_factor([torch.zeros(2)], 1.0) == 1.0


def test_a_step_is_the_mean_of_clipped_gradients_over_the_expected_number() -> None:
    weight = torch.zeros(2, requires_grad=True)
    descent = PrivateDescent(
        [weight],
        torch.optim.SGD([weight], lr=0.5),
        **{"clip": 1.0, "noise": 0.0, "expected": 4.0, "generator": torch.Generator()},
    )
    descent.step(weight @ torch.tensor(row) for row in ([0.6, 0.0], [0.0, 100.0]))
    torch.testing.assert_close(weight.detach(), torch.tensor([-0.5 * 0.6 / 4, -0.5 * 1.0 / 4]))


def test_noise_has_the_deviation_that_was_asked_for() -> None:
    weight = torch.zeros(20_000, requires_grad=True)
    generator = torch.Generator().manual_seed(0)
    descent = PrivateDescent(
        [weight],
        torch.optim.SGD([weight], lr=1.0),
        **{"clip": 3.0, "noise": 6.0, "expected": 2.0, "generator": generator},
    )
    descent.step([])  # an empty sample is a step too
    assert weight.std().item() == pytest.approx(6.0 / 2.0, rel=0.02)
    assert abs(weight.mean().item()) < 0.1


def test_one_huge_trajectory_moves_the_student_by_at_most_clip_times_rate(source: Agent) -> None:
    huge = [np.full((1000, 5), 2.0, np.float32)]
    settings = {**STEP, "noise_multiplier": 0.0, "delta": 0.1, "seed": 5}
    for clip in (1e-3, 1e-2):
        student = distill_private(source, huge, **settings, clip=clip)
        moved = distance(start(source).state_dict(), student.weights)
        assert moved == pytest.approx(clip * 0.1, rel=1e-3)


def test_one_more_trajectory_changes_a_step_by_no_more_than_its_share(
    source: Agent, trajectories: list[np.ndarray]
) -> None:
    settings = {**STEP, "noise_multiplier": 0.0, "delta": 1e-3, "seed": 5, "clip": 0.01}
    odd = [*trajectories[:3], -5 * trajectories[3]]
    one, other = (distill_private(source, t, **settings) for t in (trajectories, odd))
    # Taken out and put in: two shares.
    assert 0 < distance(one.weights, other.weights) <= 2 * 0.01 * 0.1 / 4 * (1 + 1e-3)


def test_without_noise_and_bound_it_is_plain_distillation(
    source: Agent, trajectories: list[np.ndarray]
) -> None:
    settings = {**STEP, **OPEN, "steps": 5, "seed": 5}
    student = distill_private(source, trajectories, **settings)
    policy, teacher = start(source), source.build().policy
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        losses = []
        for states in map(torch.from_numpy, trajectories):
            wanted = Actions.of(teacher.get_distribution(states)).detach()
            losses.append(kl(wanted, Actions.of(policy.get_distribution(states))).mean())
        torch.stack(losses).mean().backward()
        optimizer.step()
    for name, tensor in policy.state_dict().items():
        torch.testing.assert_close(student.weights[name], tensor)


# ---- the accountant ----


def test_epsilon_is_the_accountants() -> None:
    accountant = RDPAccountant()
    for _ in range(300):
        accountant.step(noise_multiplier=1.3, sample_rate=0.05)
    options = {"noise_multiplier": 1.3, "sample_rate": 0.05, "steps": 300, "delta": 1e-5}
    assert epsilon_of(**options) == pytest.approx(accountant.get_epsilon(1e-5), rel=1e-3)


def test_epsilon_of_whole_batches_is_that_of_the_gaussian_mechanism() -> None:
    """Renyi divergence of two normal distributions: alpha steps / (2 noise ** 2)."""
    noise, steps, delta = 20.0, 100, 1e-5
    orders = np.linspace(1.01, 200, 20_000)
    renyi = orders * steps / (2 * noise**2)
    turned = renyi + np.log1p(-1 / orders) - (math.log(delta) + np.log(orders)) / (orders - 1)
    found = epsilon_of(noise_multiplier=noise, sample_rate=1.0, steps=steps, delta=delta)
    assert found == pytest.approx(turned.min(), rel=0.01) and found >= turned.min() - 1e-6


@pytest.mark.parametrize("epsilon", [0.3, 1.0, 8.0])
def test_noise_is_the_least_that_is_enough(epsilon: float) -> None:
    options: dict[str, Any] = {"sample_rate": 0.1, "steps": 50, "delta": 1e-5}
    noise = noise_for(epsilon=epsilon, **options)
    assert epsilon_of(noise_multiplier=noise, **options) <= epsilon
    assert epsilon_of(noise_multiplier=0.99 * noise, **options) > epsilon
    assert epsilon_of(noise_multiplier=0, **options) == math.inf


# ---- the student ----


def test_the_card_tells_what_is_private(source: Agent, trajectories: list[np.ndarray]) -> None:
    student = distill_private(source, trajectories, epsilon=2.0, steps=3, delta=1e-5)
    words = student.card.notes
    assert "(epsilon=" in words and "delta=1e-05)" in words and "one whole trajectory" in words
    spent = float(words.partition("epsilon=")[2].partition(",")[0])
    assert 1.9 < spent <= 2.0
    assert student.card.source == CARD.name and student.optimizer is None
    assert student.card.score is None and student.card.seed is None
    open_one = distill_private(source, trajectories, steps=1, **OPEN)
    assert "no differential privacy" in open_one.card.notes


def test_nothing_of_the_source_is_in_the_student_but_its_answers(
    source: Agent, trajectories: list[np.ndarray]
) -> None:
    private = RunningStats(mean=np.full(5, 0.25), var=np.full(5, 4.0), count=1e6)
    spec = Normalization(
        **{"obs": True, "reward": True, "obs_stats": private},
        return_stats=RunningStats(mean=np.array(1.0), var=np.array(2.0), count=10.0),
    )
    normalized = dataclasses.replace(source, normalization=spec)
    with pytest.raises(BadArgument, match="statistics of public states"):
        distill_private(normalized, trajectories, steps=1, **OPEN)
    public = RunningStats(mean=np.zeros(5), var=np.ones(5), count=100.0)
    student = distill_private(normalized, trajectories, steps=1, statistics=public, **OPEN)
    assert student.normalization is not None and student.normalization.obs_stats is public
    assert student.normalization.return_stats is None
    shared = [
        name
        for name, tensor in student.weights.items()
        if tensor.numel() > 1 and tensor.any() and torch.equal(tensor, source.weights[name])
    ]
    assert not shared
    with pytest.raises(BadArgument, match="drop statistics"):
        distill_private(source, trajectories, statistics=public, **OPEN)


def test_noise_differs_from_run_to_run_unless_a_seed_is_given(
    source: Agent, trajectories: list[np.ndarray]
) -> None:
    settings: dict[str, Any] = {"noise_multiplier": 1.0, "steps": 2, "delta": 1e-3}
    runs = [distill_private(source, trajectories, seed=s, **settings) for s in (1, 1, None, None)]
    assert runs[0].sha256 == runs[1].sha256
    assert len({run.sha256 for run in runs}) == 3


def test_the_global_random_streams_are_left_alone(
    source: Agent, trajectories: list[np.ndarray]
) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
    distill_private(source, trajectories, noise_multiplier=1.0, steps=2, delta=1e-3)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # type: ignore[index]


def test_only_what_acts_is_trained(source: Agent) -> None:
    policy = start(source)
    acting = {id(one) for one in acting_parameters(policy, torch.zeros(1, 5))}
    names = {name for name, one in policy.named_parameters() if id(one) in acting}
    kept = {name for name, _ in policy.named_parameters() if "value_net" not in name}
    assert names == kept and len(names) == 4


@pytest.mark.parametrize("case", ["box", "multidiscrete", "multibinary"])
def test_other_actions_and_observations(case: str) -> None:
    agent = Agent.from_model(CASES[case](), card=CARD)
    space = copy.deepcopy(agent.observation_space)
    if case != "box":
        with pytest.raises(BadArgument, match="takes Box observations"):
            distill_private(agent, [np.zeros((1, *(space.shape or ())))], **OPEN)
        return
    space.seed(0)
    states = [np.stack([space.sample() for _ in range(10)])]
    student = distill_private(agent, states, seed=0, steps=300, sample_rate=1.0, **OPEN)
    wanted, found = (
        one.build().policy.get_distribution(torch.from_numpy(states[0])).distribution.mean
        for one in (agent, student)
    )
    torch.testing.assert_close(found, wanted, rtol=0.1, atol=0.05)


def test_a_student_does_what_its_source_does_and_pays_for_privacy() -> None:
    states = [one[::10] for one in record("cartpole", episodes=100, seed=0)]
    settings: dict[str, Any] = {"steps": 60, "sample_rate": 0.1, "seed": 0, "delta": 1e-3}
    scores = {
        noise: rlt.evaluate(
            distill_private("cartpole", states, noise_multiplier=noise, **settings),
            "CartPole-v1",
            episodes=20,
        ).mean
        for noise in (0.0, 0.5, 50.0)
    }
    assert scores[0.0] > 300 and scores[0.5] > 100 and scores[50.0] < 100


# ---- trajectories and statistics ----


def test_trajectories_are_episodes() -> None:
    one, two = (record("cartpole", "rlt/CartPoleLong-v0", episodes=2, seed=3) for _ in range(2))
    assert len(one) == 2 and all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert one[0].shape[1:] == (4,) and np.abs(one[0][0]).max() <= 0.05


def test_public_statistics_are_those_of_random_actions() -> None:
    found = public_statistics("CartPole-v1", steps=500)
    assert found.shape == (4,) and found.count == 501 and (found.var > 0).all()
    with pytest.raises(BadArgument, match="statistics are of a Box"):
        public_statistics("FrozenLake-v1", steps=5)


# ---- what is refused ----


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"noise_multiplier": 0.5}, "inf only without noise"),
        ({"noise_multiplier": -1.0, "clip": 1.0}, "at least 0"),
        ({"epsilon": 1.0}, "and not both"),
        ({"noise_multiplier": None}, "and not both"),
        ({"noise_multiplier": None, "epsilon": 0.0, "clip": 1.0}, "positive number"),
        ({"noise_multiplier": None, "epsilon": 1e-9, "clip": 1.0}, "no noise is enough"),
        ({"clip": 0.0}, "clip is"),
        ({"delta": 0.5}, "far below 0.25"),
        ({"sample_rate": 0.0}, "sample_rate is"),
        ({"steps": 0}, "steps is"),
        ({"optimizer": "lbfgs"}, "'adam' or 'sgd'"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"learning_rate": True}, "learning_rate is True"),
        ({"delta": "1e-5"}, "delta is '1e-5'"),
        ({"sample_rate": None}, "sample_rate is None"),
        ({"noise_multiplier": "1", "clip": 1.0}, "noise_multiplier is '1'"),
        ({"noise_multiplier": None, "epsilon": "1", "clip": 1.0}, "epsilon is '1'"),
        ({"policy_kwargs": "small"}, "policy_kwargs is 'small'"),
        ({"policy_kwargs": {"arch": [8]}}, "no student can be built: .*'arch'"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"clip": "a"}, "clip is 'a'"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"statistics": 5}, "drop statistics"),
    ],
)
def test_options_out_of_range(
    changes: dict[str, Any], words: str, source: Agent, trajectories: list[np.ndarray]
) -> None:
    with pytest.raises(BadArgument, match=words):
        distill_private(source, trajectories, **{**OPEN, **changes})


def test_sources_and_trajectories_that_do_not_fit(source: Agent) -> None:
    with pytest.raises(BadArgument, match="without gSDE"):
        distill_private(Agent.from_model(CASES["gsde"](), card=CARD), [np.zeros((1, 5))], **OPEN)
    with pytest.raises(BadArgument, match="recurrent_ppo"):
        recurrent = Agent.from_model(CASES["recurrent"](), card=CARD)
        distill_private(recurrent, [np.zeros((1, 5))], **OPEN)
    with pytest.raises(BadArgument, match="record takes agents of ppo"):
        record(recurrent, "CartPole-v1", episodes=1)
    for states in (np.zeros((3, 4)), np.zeros((0, 5)), np.full((1, 5), np.nan)):
        with pytest.raises(SpaceMismatch, match="a trajectory has shape"):
            distill_private(source, [states], **OPEN)
    nothing: Any = None
    for states in (nothing, [[[0.0] * 5, [0.0]]]):
        with pytest.raises(BadArgument, match="no list of arrays"):
            distill_private(source, states, **OPEN)
    with pytest.raises(BadArgument, match="hold no numbers"):
        distill_private(source, [np.array(["a"])], **OPEN)
    with pytest.raises(BadArgument, match="trajectories is empty"):
        distill_private(source, [], **OPEN)
    with pytest.raises(BadArgument, match="episodes is 0"):
        record("cartpole", episodes=0)


@pytest.mark.parametrize("spec", [Normalization(obs=flag, reward=True) for flag in (False, True)])
def test_statistics_that_do_not_fit(spec: Normalization, source: Agent) -> None:
    """Those that would be left out, and what are none."""
    normalizing = dataclasses.replace(source, normalization=spec)
    given: Any = {"statistics": RunningStats(mean=np.zeros(5), var=np.ones(5), count=1.0)}
    wrong = {"statistics": 5} if spec.obs else given
    with pytest.raises(BadArgument, match="instead of 5" if spec.obs else "drop statistics"):
        distill_private(normalizing, [np.zeros((1, 5))], **{**OPEN, **wrong})


class _Broken(CartPoleEnv):
    """Breaks in its third step, in one of several ways."""

    open: ClassVar[int] = 0

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.taken = how, 0
        type(self).open += 1
        if how == "dict":
            self.observation_space = gym.spaces.Dict({"pole": self.observation_space})

    def step(self, action: Any) -> Any:
        self.taken += 1
        state, *rest = super().step(action)
        if self.taken == 3 and self.how == "raises":
            raise RuntimeError("stuck")
        return state * (np.nan if self.taken == 3 and self.how == "nan" else 1), *rest

    def close(self) -> None:
        type(self).open -= 1
        super().close()


@pytest.mark.parametrize(
    ("how", "limit", "error"),
    [
        ("raises", 50, BadEnvironment),
        ("nan", 50, BadEnvironment),
        ("dict", 50, BadArgument),
        ("endless", None, BadArgument),
    ],
)
def test_what_breaks_is_named_and_closed(
    how: str, limit: int | None, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Broken, "open", 0)
    gym.register("my/Broken-v0", lambda: _Broken(how), max_episode_steps=limit)
    with pytest.raises(error):
        record("cartpole", "my/Broken-v0", episodes=3)
    if how != "endless":
        with pytest.raises(error):
            public_statistics("my/Broken-v0", steps=10)
    assert _Broken.open == 0
    with pytest.raises(SpaceMismatch):
        record("cartpole", "Acrobot-v1", episodes=1)


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opacus.accountants", None)
    with pytest.raises(MissingExtra, match=r"rltransfer\[private\]"):
        epsilon_of(noise_multiplier=1.0, sample_rate=0.1, steps=1, delta=1e-5)
