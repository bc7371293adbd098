"""Zips of the installed Stable-Baselines3: what is read equals what its own ``load`` gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from agent_cases import (
    BOTH,
    CASES,
    IMAGE,
    MOVE,
    OWN,
    PRESS,
    SMALL,
    VECTOR,
    Sampled,
    assert_same_tensors,
    normalized,
    train,
    venv,
)
from gymnasium import spaces
from sb3_contrib import TRPO, MaskablePPO, RecurrentPPO
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from sb3_contrib.common.recurrent.type_aliases import RNNStates
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.policies import ActorCriticCnnPolicy, ActorCriticPolicy
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from stable_baselines3.common.torch_layers import FlattenExtractor, NatureCNN
from stable_baselines3.common.utils import ConstantSchedule, LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import nn

from rltransfer.agents import Agent, sb3

N_OBSERVATIONS = 1_000
FLOATS = spaces.Box(
    np.array([[-1.0, -np.inf], [0.0, -np.inf]], np.float32),
    np.array([[1.0, np.inf], [np.inf, 0.5]], np.float32),
)
GREY = spaces.Box(0, 255, (1, 36, 36), np.uint8)
UNIT_IMAGE = spaces.Box(0.0, 1.0, (3, 36, 36), np.float32)
MIXED = spaces.Dict(
    {
        "z": spaces.Discrete(4),
        "a": spaces.MultiDiscrete([3, 2]),
        "m": spaces.MultiBinary(3),
        "speed": spaces.Box(-1.0, 1.0, (2,), np.float32),
    }
)
OBSERVATIONS: dict[str, gym.Space] = {
    "box": VECTOR,
    "box of two dimensions, partly open": FLOATS,
    "box of float64": spaces.Box(-1.0, 1.0, (3,), np.float64),
    "box of int": spaces.Box(-3, 3, (4,), np.int64),
    "discrete": spaces.Discrete(4),
    "multidiscrete": spaces.MultiDiscrete([3, 2, 4]),
    "multibinary": spaces.MultiBinary(6),
    "multibinary of two dimensions": spaces.MultiBinary([2, 3]),
}
ACTIONS: dict[str, gym.Space] = {
    "box": MOVE,
    "uneven box": spaces.Box(np.array([-2.0, 0.0], np.float32), np.array([0.5, 3.0], np.float32)),
    "discrete": PRESS,
    "multidiscrete": spaces.MultiDiscrete([2, 3]),
    "multibinary": spaces.MultiBinary(3),
}
ALGORITHMS: dict[str, Any] = {
    **{"ppo": PPO, "a2c": A2C, "trpo": TRPO},
    **{"maskable": MaskablePPO, "recurrent": RecurrentPPO},
}
LSTM = {"net_arch": [6], "lstm_hidden_size": 5}
TINY_CNN = {"net_arch": [8], "features_extractor_kwargs": {"features_dim": 8}}
TINY_BOTH = {"net_arch": [8], "features_extractor_kwargs": {"cnn_output_dim": 8}}


class Masking(Sampled):
    """Like the one it is made from, for every kind of action that can be masked."""

    def action_masks(self) -> np.ndarray:
        return masks_of(self.action_space, 1 + self.steps)[-1]


def masks_of(space: Any, n: int) -> np.ndarray:
    """Forbid the second choice of one dimension, another one each time; shape (n, choices)."""
    sizes = [int(space.n)] if isinstance(space, spaces.Discrete) else [2] * (space.shape[0])
    if isinstance(space, spaces.MultiDiscrete):
        sizes = [int(size) for size in space.nvec]
    seconds = np.cumsum([0, *sizes[:-1]]) + 1
    allowed = np.ones((n, sum(sizes)), dtype=bool)
    allowed[np.arange(n), seconds[np.arange(n) % len(sizes)]] = False
    return allowed


def kwargs_for(name: str, kind: str) -> dict[str, Any]:
    small = {"Mlp": SMALL, "Cnn": TINY_CNN, "MultiInput": TINY_BOTH}[kind]
    return {**small, **({"lstm_hidden_size": 5} if name == "recurrent" else {})}


def trained(
    name: str,
    observations: gym.Space = VECTOR,
    actions: gym.Space = PRESS,
    *,
    kind: str = "Mlp",
    env: Any = None,
    steps: int = 32,
    **changes: Any,
) -> Any:
    """Train a little with an algorithm, on one space or another."""
    make = Masking if name == "maskable" else Sampled
    env = env or DummyVecEnv([lambda: make(observations, actions)] * 2)
    policy = changes.pop("policy", f"{kind}LstmPolicy" if name == "recurrent" else f"{kind}Policy")
    own = {"a2c": {}, "trpo": {"batch_size": 16}}.get(name, {"batch_size": 16, "n_epochs": 1})
    settings = {"n_steps": 16, "device": "cpu", "seed": 3, **own}
    settings["policy_kwargs"] = kwargs_for(name, kind)
    return ALGORITHMS[name](policy, env, **{**settings, **changes}).learn(steps)


def with_arguments(name: str = "ppo", **arguments: Any) -> Callable[[], Any]:
    base = LSTM if name == "recurrent" else SMALL
    return lambda: trained(name, actions=MOVE, policy_kwargs={**base, **arguments})


def gsde(**arguments: Any) -> Callable[[], Any]:
    return lambda: trained(
        "ppo", actions=MOVE, use_sde=True, sde_sample_freq=4, policy_kwargs={**SMALL, **arguments}
    )


def rates(**schedules: Any) -> Callable[[], Any]:
    return lambda: trained("ppo", **schedules)


def fits(name: str, actions: str) -> bool:
    # sb3-contrib fails in the first update of a RecurrentPPO with binary actions.
    unfit = {"maskable": ("box", "uneven box"), "recurrent": ("multibinary",)}
    return actions not in unfit.get(name, ())


MODELS: dict[str, Callable[[], Any]] = {
    **CASES,
    **{
        f"observations: {key}": lambda space=space: trained("ppo", space)
        for key, space in OBSERVATIONS.items()
    },
    **{
        f"{name}: {key} actions": lambda name=name, space=space: trained(name, actions=space)
        for name in ALGORITHMS
        for key, space in ACTIONS.items()
        if fits(name, key)
    },
    **{
        f"{name}: {kind}": lambda name=name, kind=kind, space=space: trained(name, space, kind=kind)
        for name in ALGORITHMS
        for kind, space in (("Cnn", IMAGE), ("MultiInput", BOTH))
    },
    "dict of every kind": lambda: trained("ppo", MIXED, kind="MultiInput", policy_kwargs=SMALL),
    "grey image, channels first": lambda: trained("ppo", GREY, kind="Cnn"),
    "image that is normalized already": lambda: trained(
        "ppo", UNIT_IMAGE, kind="Cnn", policy_kwargs=_unit_image()
    ),
    "image in a dict that is not normalized": lambda: trained(
        "ppo", BOTH, kind="MultiInput", policy_kwargs={**TINY_BOTH, "normalize_images": False}
    ),
    "image, separate extractors": lambda: trained(
        "ppo", IMAGE, kind="Cnn", policy_kwargs={**TINY_CNN, "share_features_extractor": False}
    ),
    "image, flattened": lambda: trained("ppo", IMAGE, policy_kwargs={"net_arch": [4]}),
    "extractor by name": lambda: trained(
        "ppo", IMAGE, policy_kwargs={**TINY_CNN, "features_extractor_class": NatureCNN}
    ),
    "flat extractor by name": with_arguments(features_extractor_class=FlattenExtractor),
    "separate flat extractors": with_arguments(share_features_extractor=False),
    "no layers": with_arguments(net_arch=[]),
    "critic alone has layers": with_arguments(net_arch={"vf": [7, 5]}),
    "default layers": lambda: trained("ppo", policy_kwargs={}),
    "plain initialization": with_arguments(ortho_init=False, log_std_init=-1.5),
    **{
        f"activation {kind.__name__}": with_arguments(activation_fn=kind)
        for kind in (nn.ReLU, nn.ELU, nn.LeakyReLU, nn.SiLU, nn.GELU, nn.Sigmoid)
    },
    "AdamW": with_arguments(
        optimizer_class=torch.optim.AdamW,
        optimizer_kwargs={"betas": (0.8, 0.99), "weight_decay": 0.1, "amsgrad": True},
    ),
    "SGD with momentum": with_arguments(
        optimizer_class=torch.optim.SGD, optimizer_kwargs={"momentum": 0.5, "nesterov": True}
    ),
    "SGD without state": with_arguments(optimizer_class=torch.optim.SGD),
    "RMSprop like TensorFlow": with_arguments(
        optimizer_class=RMSpropTFLike, optimizer_kwargs={"alpha": 0.9, "eps": 1e-4}
    ),
    "Adam of another eps": with_arguments(optimizer_kwargs={"eps": 1e-7}),
    "gSDE, expln": gsde(use_expln=True),
    "gSDE, squashed": gsde(squash_output=True),
    "gSDE, one deviation an action": gsde(full_std=False),
    "gSDE, all": gsde(use_expln=True, squash_output=True, full_std=False, log_std_init=-1.0),
    "a2c: gSDE": lambda: trained("a2c", actions=MOVE, use_sde=True),
    "a2c: Adam": lambda: trained("a2c", use_rms_prop=False),
    "trpo: gSDE": lambda: trained("trpo", actions=MOVE, use_sde=True),
    "recurrent: shared LSTM": with_arguments(
        "recurrent", shared_lstm=True, enable_critic_lstm=False
    ),
    "recurrent: no LSTM of the critic": with_arguments("recurrent", enable_critic_lstm=False),
    "recurrent: two layers": with_arguments("recurrent", n_lstm_layers=2),
    "recurrent: no bias": with_arguments("recurrent", lstm_kwargs={"bias": False}),
    "recurrent: separate extractors": lambda: trained(
        "recurrent",
        IMAGE,
        kind="Cnn",
        policy_kwargs={**TINY_CNN, "lstm_hidden_size": 5, "share_features_extractor": False},
    ),
    "recurrent: multibinary actions, untrained": lambda: trained(
        "recurrent", actions=ACTIONS["multibinary"], steps=0
    ),
    "recurrent: gSDE": lambda: trained("recurrent", actions=MOVE, use_sde=True, policy_kwargs=LSTM),
    "policy by class": lambda: trained("ppo", policy=ActorCriticPolicy),
    "image policy by class": lambda: trained(
        "ppo", IMAGE, policy=ActorCriticCnnPolicy, policy_kwargs=TINY_CNN
    ),
    "recurrent policy by class": lambda: trained(
        "recurrent", policy=RecurrentActorCriticPolicy, policy_kwargs=LSTM
    ),
    "linear schedules": rates(
        learning_rate=LinearSchedule(1e-3, 1e-5, 0.7), clip_range=LinearSchedule(0.3, 0.1, 1.0)
    ),
    "constant schedules": rates(learning_rate=ConstantSchedule(2e-3), clip_range_vf=0.4),
    "other settings": rates(
        gamma=0.9,
        gae_lambda=0.8,
        ent_coef=0.02,
        vf_coef=0.3,
        max_grad_norm=0.9,
        target_kl=0.4,
        normalize_advantage=False,
    ),
    "observations normalized alone": lambda: trained("ppo", env=normalized(norm_reward=False)),
    "rewards normalized alone": lambda: trained("ppo", env=normalized(norm_obs=False)),
    "some keys normalized": lambda: trained(
        "ppo", kind="MultiInput", env=VecNormalize(venv(BOTH, PRESS), norm_obs_keys=["speed"])
    ),
}


def _unit_image() -> dict[str, Any]:
    return {
        "net_arch": [8],
        "features_extractor_kwargs": {"features_dim": 8, "normalized_image": True},
        "normalize_images": False,
    }


def saved(case: str, folder: Path) -> tuple[Any, Path]:
    """Train a case, and save it as plain Stable-Baselines3 does."""
    model = MODELS[case]()
    path = folder / "model.zip"
    model.save(path)
    if model.get_vec_normalize_env() is not None:
        model.get_vec_normalize_env().save(str(folder / "vecnormalize.pkl"))
    return model, path


def read(path: Path) -> Agent:
    return sb3.read(path, classes=OWN).agent


def random_observations(space: Any, n: int = N_OBSERVATIONS) -> Any:
    """Draw observations, shape (n, ...), by key for a Dict."""
    space.seed(5)
    rows = [space.sample() for _ in range(n)]
    if isinstance(space, spaces.Dict):
        return {key: np.stack([row[key] for row in rows]) for key in space.spaces}
    return np.stack(rows)


def answers(model: Any) -> list[np.ndarray]:
    """Actions, values, log-probabilities and entropies of 1,000 observations; LSTM states too."""
    observations = random_observations(model.observation_space)
    tensors, _ = model.policy.obs_to_tensor(observations)
    extra: tuple[Any, ...] = ()
    state: list[np.ndarray] = []
    if hasattr(model.policy, "lstm_actor"):
        actions, state, extra = _one_after_another(model, observations)
    elif isinstance(model, MaskablePPO):
        extra = (masks_of(model.action_space, N_OBSERVATIONS),)
        actions, _ = model.predict(observations, deterministic=True, action_masks=extra[0])
    else:
        actions, _ = model.predict(observations, deterministic=True)
    with torch.no_grad():
        parts = model.policy.evaluate_actions(tensors, torch.as_tensor(actions).float(), *extra)
    return [actions, *state, *(part.numpy() for part in parts if part is not None)]


def _one_after_another(model: Any, observations: Any) -> tuple[np.ndarray, list, tuple]:
    """Walk through the observations as through episodes of 50 steps."""
    starts = np.arange(N_OBSERVATIONS) % 50 == 0
    state, actions = None, []
    for index, start in enumerate(starts):
        row = (
            {key: part[index : index + 1] for key, part in observations.items()}
            if isinstance(observations, dict)
            else observations[index : index + 1]
        )
        action, state = model.predict(row, state, np.array([start]), deterministic=True)
        actions.append(action[0])
    layers, _, size = model.policy.lstm_hidden_state_shape
    zeros = torch.zeros(layers, 1, size)
    states = RNNStates((zeros, zeros), (zeros, zeros))
    assert state is not None
    return np.stack(actions), list(state), (states, torch.as_tensor(starts).float())


@pytest.mark.parametrize("case", MODELS)
def test_rebuilt_policy_equals_that_of_plain_load(case: str, tmp_path: Path) -> None:
    model, path = saved(case, tmp_path)
    plain = type(model).load(path, device="cpu")
    plain.policy.set_training_mode(False)
    agent = read(path)
    built = agent.build()
    assert built.policy.__class__ is plain.policy.__class__
    assert built.observation_space == plain.observation_space
    assert built.action_space == plain.action_space
    assert_same_tensors(plain.policy.state_dict(), built.policy.state_dict())
    pairs = list(zip(answers(plain), answers(built), strict=True))
    assert len(pairs) >= 3 and pairs[0][0].shape[0] == N_OBSERVATIONS
    for ours, theirs in pairs:
        assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
    # Not the answers of an untrained or constant policy.
    assert len(np.unique(pairs[1][0])) > 1
    if type(model) in (PPO, MaskablePPO, RecurrentPPO):
        _assert_is_what_a_live_model_gives(agent, plain)


def _assert_is_what_a_live_model_gives(agent: Agent, plain: Any) -> None:
    live = Agent.from_model(plain, card=agent.card)
    assert agent.algorithm == live.algorithm and agent.policy == live.policy
    assert agent.policy_kwargs == live.policy_kwargs
    assert agent.hyperparameters == live.hyperparameters
    assert_same_tensors(live.optimizer, agent.optimizer)


RESUMED = (
    *("box", "discrete", "gsde", "multidiscrete", "image", "dict", "maskable", "recurrent"),
    *("normalized", "AdamW", "SGD with momentum", "RMSprop like TensorFlow", "linear schedules"),
    *("recurrent: shared LSTM", "image, separate extractors", "maskable: multidiscrete actions"),
    *("some keys normalized", "other settings"),
)


@pytest.mark.parametrize("case", RESUMED)
def test_training_goes_on_as_that_of_plain_load(case: str, tmp_path: Path) -> None:
    model, path = saved(case, tmp_path)
    results = []
    plain = type(model).load(path, device="cpu")
    for candidate in (plain, read(path).build()):
        candidate.set_env(_environment(model, tmp_path))
        candidate.set_random_seed(7)
        candidate.learn(64)
        results.append(candidate.policy.state_dict())
    assert_same_tensors(*results)
    before = type(model).load(path, device="cpu").policy.state_dict()
    assert any(not torch.equal(before[name], results[0][name]) for name in before)


def _environment(model: Any, folder: Path) -> Any:
    make = Masking if isinstance(model, MaskablePPO) else Sampled
    first = model.get_env().envs[0].unwrapped
    env = DummyVecEnv([lambda: make(first.observation_space, first.action_space)] * 2)
    statistics = folder / "vecnormalize.pkl"
    return VecNormalize.load(str(statistics), env) if statistics.exists() else env


def test_optimizer_state_makes_a_difference(tmp_path: Path) -> None:
    """Without it, training would go on otherwise: the test above would notice its loss."""
    model, path = saved("box", tmp_path)
    results = []
    for fresh in (False, True):
        candidate = read(path).build()
        if fresh:
            candidate.policy.optimizer.state.clear()
        candidate.set_env(_environment(model, tmp_path))
        candidate.set_random_seed(7)
        candidate.learn(64)
        results.append(candidate.policy.state_dict())
    assert any(not torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_gsde_explores_with_the_deviation_that_was_learned(tmp_path: Path) -> None:
    model = MODELS["gsde"]()
    with torch.no_grad():
        model.policy.log_std.fill_(5.0)
    model.save(tmp_path / "a.zip")
    torch.manual_seed(5)
    before = torch.get_rng_state()
    noise = read(tmp_path / "a.zip").build().policy.action_dist.exploration_mat
    assert torch.equal(torch.get_rng_state(), before)
    # exp(5) is 148, and that of the first weights 1: of these, none is beyond 6.
    assert noise.numel() > 8 and noise.abs().max() > 20


def test_function_as_schedule_is_replaced_and_reported(tmp_path: Path) -> None:
    model = train(
        PPO,
        "MlpPolicy",
        venv(VECTOR, MOVE),
        policy_kwargs=SMALL,
        learning_rate=lambda progress: 1e-3 * progress**2 + 1e-4,
    )
    model.save(tmp_path / "a.zip")
    imported = sb3.read(tmp_path / "a.zip")
    last = model.policy.optimizer.param_groups[0]["lr"]
    assert imported.report.lost == ("learning_rate",)
    assert imported.agent.hyperparameters["learning_rate"] == last
    assert "learning_rate is a function" in imported.agent.card.notes
    given = sb3.read(tmp_path / "a.zip", hyperparameters={"learning_rate": 2e-4})
    assert given.agent.hyperparameters["learning_rate"] == 2e-4
    assert given.report.lost == ()
    plain = PPO.load(tmp_path / "a.zip", device="cpu")
    for ours, theirs in zip(answers(imported.agent.build()), answers(plain), strict=True):
        assert np.array_equal(ours, theirs)
