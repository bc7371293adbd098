"""Small tasks with every kind of space, and small sources of every kind of policy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

import rltransfer as rlt
from rltransfer.agents import Agent, Card, Score
from rltransfer.layers import select
from rltransfer.pretrain import fresh


def _box(*shape: int) -> spaces.Box:
    return spaces.Box(-1.0, 1.0, shape, np.float32)


OBSERVATIONS: dict[str, spaces.Space] = {
    "v4": _box(4),
    "v6": _box(6),
    "v3": _box(3),
    "grid": _box(2, 2),
    "classes5": spaces.Discrete(5),
    "classes7": spaces.Discrete(7),
    "classes4": spaces.Discrete(4),
    "pairs": spaces.MultiDiscrete([3, 2]),
    "morepairs": spaces.MultiDiscrete([4, 2]),
    "image": spaces.Box(0, 255, (36, 36, 1), np.uint8),
    "dict": spaces.Dict({"a": _box(2), "b": spaces.Discrete(3)}),
    "moredict": spaces.Dict({"a": _box(2), "b": spaces.Discrete(3), "c": _box(2)}),
    "mixed": spaces.Dict({"image": spaces.Box(0, 255, (36, 36, 1), np.uint8), "v": _box(2)}),
    "nomix": spaces.Dict({"v": _box(2)}),
    "wide": spaces.Dict({"v": _box(10)}),
    "far4": spaces.Box(-5.0, 5.0, (4,), np.float32),
}
ACTIONS: dict[str, spaces.Space] = {
    "d2": spaces.Discrete(2),
    "d3": spaces.Discrete(3),
    "box1": _box(1),
    "box2": _box(2),
    "box3": _box(3),
    "number": _box(),
    "square": _box(2, 2),
    "multi": spaces.MultiDiscrete([2, 3]),
    "imult": spaces.MultiDiscrete([3, 2]),
    "bits2": spaces.MultiBinary(2),
    "bits3": spaces.MultiBinary(3),
}


class Toy(gym.Env):
    """Match the sign (or the value) of the first number that is observed.

    Args:
        observation: Name in ``OBSERVATIONS``.
        action: Name in ``ACTIONS``.
        flip: Match the opposite instead.
        scale: Factor on the rewards.
        fails_at: Step at which the first observation is NaN; None for never.
    """

    open: ClassVar[set[int]] = set()

    def __init__(
        self,
        observation: str,
        action: str,
        flip: bool = False,
        scale: float = 1.0,
        fails_at: int | None = None,
    ) -> None:
        self.observation_space = OBSERVATIONS[observation]
        self.action_space = ACTIONS[action]
        self._sign = -1.0 if flip else 1.0
        self._scale = scale
        self._fails_at = fails_at
        self._steps = 0
        self._seen: Any = None
        Toy.open.add(id(self))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self._steps = 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        self._steps += 1
        signal = self._sign * _first(self._seen)
        given = float(np.asarray(action).reshape(-1)[0])
        if isinstance(self.action_space, spaces.Box):
            reward = 1.0 - abs(given - signal)
        else:
            reward = float((given > 0) == (signal > 0))
        return self._observe(), self._scale * reward, False, False, {}

    def close(self) -> None:
        Toy.open.discard(id(self))

    def action_masks(self) -> np.ndarray:
        space = self.action_space
        if isinstance(space, spaces.MultiDiscrete):
            return np.ones(int(space.nvec.sum()), dtype=bool)
        if isinstance(space, spaces.MultiBinary):
            return np.ones(2 * int(space.n), dtype=bool)
        return np.ones(int(getattr(space, "n", 1)), dtype=bool)

    def _observe(self) -> Any:
        self._seen = _draw(self.observation_space, self.np_random)
        if self._steps == self._fails_at:
            self._seen[0] = np.nan
        return self._seen


def _draw(space: spaces.Space, rng: np.random.Generator) -> Any:
    if isinstance(space, spaces.Dict):
        return {key: _draw(part, rng) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Discrete):
        return int(rng.integers(space.n))
    if isinstance(space, spaces.MultiDiscrete):
        return rng.integers(space.nvec)
    if space.dtype == np.uint8:
        return rng.integers(0, 256, space.shape or (), dtype=np.uint8)
    return rng.uniform(-1.0, 1.0, space.shape or ()).astype(np.float32)


def _first(observation: Any) -> float:
    if isinstance(observation, dict):
        return _first(next(iter(observation.values())))
    value = np.asarray(observation).reshape(-1)[0]
    return float(value) if value.dtype.kind == "f" else float(value) % 2 * 2 - 1


class Fading(gym.Env):
    """A number that fades; the reward is the number, whatever one does."""

    def __init__(self, scale: float = 1.0) -> None:
        self.observation_space = _box(2)
        self.action_space = spaces.Discrete(2)
        self._scale = scale
        self._x = 0.0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self._x = float(self.np_random.uniform(-1, 1))
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        reward = self._scale * self._x
        self._x *= 0.95
        return self._observe(), reward, False, False, {}

    def _observe(self) -> np.ndarray:
        return np.array([self._x, 1.0], dtype=np.float32)


LENGTH = 8


def toy(observation: str = "v4", action: str = "d2", **kwargs: Any) -> str:
    """Register a toy once, and return its id."""
    tail = "".join(f"-{key}{value}" for key, value in kwargs.items())
    name = "".join(c for c in f"{observation}-{action}{tail}" if c.isalnum() or c in "-_")
    return _register(
        f"toy/{name}-v0", Toy, {"observation": observation, "action": action, **kwargs}
    )


def fading(scale: float = 1.0, limit: int | None = 16) -> str:
    """Register a fading task once, and return its id."""
    return _register(f"toy/Fading{int(scale)}-{limit}-v0", Fading, {"scale": scale}, limit)


def _register(id: str, entry: type, kwargs: dict[str, Any], limit: int | None = LENGTH) -> str:
    if id not in gym.registry:
        gym.register(id, entry, kwargs=kwargs, max_episode_steps=limit)
    return id


class Normed(BaseFeaturesExtractor):
    """A user's extractor with BatchNorm and Dropout."""

    def __init__(self, observation_space: spaces.Box, dropout: float = 0.5) -> None:
        super().__init__(observation_space, 6)
        self.net = nn.Sequential(
            nn.Linear(observation_space.shape[0], 6),
            nn.BatchNorm1d(6),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(6, 6),
            nn.Dropout(dropout),
        )

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return self.net(observations)


class Inline(BaseFeaturesExtractor):
    """A user's extractor that drops out by function, as many do."""

    def __init__(self, observation_space: spaces.Box) -> None:
        super().__init__(observation_space, 6)
        self.linear = nn.Linear(observation_space.shape[0], 6)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(self.linear(observations), 0.5, training=self.training)


class Named(ActorCriticPolicy):
    """A user's policy that names its own layers."""

    def layer_groups(self) -> Mapping[str, Sequence[str]]:
        return {
            "actor.body": ["mlp_extractor.policy_net"],
            "critic.body": ["mlp_extractor.value_net"],
            "actor.head": ["action_net"],
            "critic.head": ["value_net"],
        }


class Forgetful(ActorCriticPolicy):
    """A user's policy with a tensor that it does not name."""

    def layer_groups(self) -> Mapping[str, Sequence[str]]:
        return {"actor.body": ["mlp_extractor"], "actor.head": ["action_net"]}


class Gated(ActorCriticPolicy):
    """A user's policy with a parameter of its own, which no standard name fits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gate = nn.Parameter(torch.ones(1))


SMALL = {"net_arch": [8, 8]}
TINY_CNN = {"features_extractor_kwargs": {"features_dim": 8}}
SETTINGS: dict[str, Any] = {
    **{"n_envs": 2, "n_steps": 16, "batch_size": 16, "n_epochs": 2, "device": "cpu"},
    **{"learning_rate": 1e-2, "seed": 5},
}


@dataclass(frozen=True)
class Kind:
    """A source: what it was trained on, and as what."""

    observation: str
    action: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def task(self, **kwargs: Any) -> str:
        return toy(self.observation, self.action, **kwargs)


def _mlp(observation: str, action: str, **options: Any) -> Kind:
    return Kind(observation, action, {"policy_kwargs": SMALL, **options})


def _lstm(**kwargs: Any) -> dict[str, Any]:
    return {
        "algorithm": "recurrent_ppo",
        "policy_kwargs": {"net_arch": [8], "lstm_hidden_size": 6, **kwargs},
    }


KINDS: dict[str, Kind] = {
    "discrete": _mlp("v4", "d2"),
    "box": _mlp("v4", "box2"),
    "multidiscrete": _mlp("pairs", "multi"),
    "multibinary": _mlp("classes5", "bits3"),
    "gsde": _mlp("v4", "box2", use_sde=True),
    "normalized": _mlp("v4", "box1", normalize_obs=True, normalize_reward=True),
    "uneven": Kind("v4", "d2", {"policy_kwargs": {"net_arch": {"pi": [8], "vf": [8, 6, 4]}}}),
    "shallow": Kind("v4", "box1", {"policy_kwargs": {"net_arch": []}}),
    "prelu": Kind("v4", "d2", {"policy_kwargs": {**SMALL, "activation_fn": nn.PReLU}}),
    "relu": Kind("v4", "d2", {"policy_kwargs": {**SMALL, "activation_fn": nn.ReLU}}),
    "dict": _mlp("dict", "d2"),
    "image": Kind("image", "d3", {"policy_kwargs": TINY_CNN}),
    "mixed": Kind(
        "mixed",
        "box2",
        {
            "learning_rate": 1e-3,
            "policy_kwargs": {
                **SMALL,
                "share_features_extractor": False,
                "features_extractor_kwargs": {"cnn_output_dim": 8},
            },
        },
    ),
    "batchnorm": Kind("v4", "d2", {"policy_kwargs": {**SMALL, "features_extractor_class": Normed}}),
    "separate": Kind(
        "v4",
        "d2",
        {
            "policy_kwargs": {
                **SMALL,
                "features_extractor_class": Normed,
                "share_features_extractor": False,
            }
        },
    ),
    "named": Kind("v4", "d2", {"policy": Named, "policy_kwargs": SMALL}),
    "maskable": _mlp("v4", "d3", algorithm="maskable_ppo"),
    "recurrent": Kind("v4", "d2", _lstm()),
    "recurrent box": Kind("v4", "box2", _lstm(enable_critic_lstm=False)),
    "recurrent shared": Kind("v4", "d2", _lstm(enable_critic_lstm=False, shared_lstm=True)),
    "stacked": Kind("v4", "d2", _lstm(n_lstm_layers=2, lstm_kwargs={"dropout": 0.3})),
}


@cache
def source(kind: str, steps: int = 64) -> Agent:
    """Train a small source, once."""
    return train(KINDS[kind].task(), steps, **KINDS[kind].options)


def train(task: str, steps: int, **options: Any) -> Agent:
    """Train an agent that remembers its optimizer; its score is made up."""
    model = fresh(task, **{**SETTINGS, **options})
    model.learn(steps)
    model.get_env().close()
    score = Score(mean=7.0, ci_low=6.5, ci_high=7.5, episodes=5, deterministic=True, seed=1_000_000)
    return Agent.from_model(model, card=Card(name="small", task=task, steps=steps, score=score))


def without_score(agent: Agent) -> Agent:
    return replace(agent, card=replace(agent.card, score=None))


@contextmanager
def adapted(agent: Agent | str, target: Any, recipe: Any = "full", **options: Any) -> Iterator[Any]:
    """Adapt, and close the environments in the end."""
    given = agent if isinstance(agent, Agent) else source(agent)
    model = rlt.adapt(given, target, recipe, **{"seed": 0, "device": "cpu", **options})
    try:
        yield model
    finally:
        model.get_env().close()


def tensors(model: Any) -> dict[str, torch.Tensor]:
    """Copies of all weights and buffers."""
    return {name: value.clone() for name, value in model.policy.state_dict().items()}


def layer_keys(model: Any, *patterns: str) -> set[str]:
    """Names of the tensors of some layer groups."""
    groups = rlt.layer_groups(model.policy)
    return {key for name in select(patterns, groups) for key in groups[name].keys}


def moments(model: Any, names: Sequence[str]) -> dict[str, Any]:
    """Copies of the optimizer's state, by parameter name."""
    parameters = dict(model.policy.named_parameters())
    state = model.policy.optimizer.state
    return {
        name: {
            key: torch.as_tensor(value).clone() for key, value in state[parameters[name]].items()
        }
        for name in names
        if parameters[name] in state
    }


def same(first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor]) -> set[str]:
    """Names of the tensors that are bit-identical."""
    assert set(first) == set(second)
    return {name for name in first if torch.equal(first[name], second[name])}


def samples(space: spaces.Space, n: int = 12) -> Any:
    """A batch of observations, the same each time."""
    rng = np.random.default_rng(7)
    drawn = [_draw(space, rng) for _ in range(n)]
    if isinstance(space, spaces.Dict):
        return {key: np.stack([np.asarray(d[key]) for d in drawn]) for key in space.spaces}
    return np.stack([np.asarray(d) for d in drawn])


@torch.no_grad()
def outputs(model: Any, observations: Any) -> dict[str, torch.Tensor]:
    """Parameters of the action distribution, and the values, for a batch of observations."""
    policy = model.policy
    policy.set_training_mode(False)
    tensor, _ = policy.obs_to_tensor(observations)
    count = len(next(iter(tensor.values())) if isinstance(tensor, dict) else tensor)
    if isinstance(model, RecurrentPPO):
        shape = (policy.lstm_hidden_state_shape[0], count, policy.lstm_hidden_state_shape[2])
        generator = torch.Generator().manual_seed(0)
        state = (torch.randn(shape, generator=generator), torch.randn(shape, generator=generator))
        starts = torch.zeros(count)
        distribution, _ = policy.get_distribution(tensor, state, starts)
        values = policy.predict_values(tensor, state, starts)
    else:
        distribution = policy.get_distribution(tensor)
        values = policy.predict_values(tensor)
    return {"values": values, **_parameters(distribution)}


def _parameters(distribution: Any) -> dict[str, torch.Tensor]:
    inner = getattr(distribution, "distribution", None)
    many = getattr(distribution, "distributions", None) or inner
    if isinstance(many, list):
        return {f"logits{i}": one.logits for i, one in enumerate(many)}
    if hasattr(many, "logits"):
        return {"logits": many.logits}
    return {"mean": many.mean, "std": many.stddev}


def assert_same_outputs(
    first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor], *, atol: float = 0.0
) -> None:
    assert set(first) == set(second)
    for name, value in first.items():
        assert value.shape == second[name].shape, name
        assert torch.allclose(value, second[name], rtol=0, atol=atol), name
