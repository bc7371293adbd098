"""Small agents of several tasks with all kinds of spaces, and what their policies compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from agent_cases import venv
from gymnasium import spaces
from sb3_contrib import RecurrentPPO
from stable_baselines3 import PPO
from torch import nn

from rltransfer.agents import Agent, Card
from rltransfer.policies.multitask import MultiTaskPolicy
from rltransfer.policies.recurrent import MultiTaskLstmPolicy
from rltransfer.policies.tasks import PolicyTask
from rltransfer.vec.multitask import MultiTaskVecEnv

VECTOR = spaces.Box(-2.0, 2.0, (5,), np.float32)
SMALL = spaces.Box(-1.0, 1.0, (2,), np.float32)
IMAGE = spaces.Box(0, 255, (36, 36, 3), np.uint8)
GRID = spaces.Box(0, 255, (5, 5, 3), np.uint8)
MOVE = spaces.Box(-1.0, 1.0, (2,), np.float32)
PRESS = spaces.Discrete(3)
SPACES: dict[str, tuple[gym.Space, gym.Space]] = {
    "vector": (VECTOR, PRESS),
    "moving": (SMALL, MOVE),
    "table": (spaces.Box(-3.0, 3.0, (2, 3), np.float32), spaces.MultiDiscrete([2, 3])),
    "classes": (spaces.Discrete(6), spaces.MultiBinary(3)),
    "several": (spaces.MultiDiscrete([3, 4]), spaces.Box(-1.0, 1.0, (1, 2), np.float32)),
    "flags": (spaces.MultiBinary(4), PRESS),
    "image": (IMAGE, PRESS),
    "dict": (spaces.Dict({"image": IMAGE, "speed": SMALL, "gear": spaces.Discrete(3)}), MOVE),
}
KINDS = tuple(SPACES)
SPACES |= {
    "grid": (GRID, PRESS),
    "flat grid": (spaces.Box(0, 10, (75,), np.uint8), MOVE),
    "tiny": (spaces.Box(0, 255, (2, 2, 3), np.uint8), PRESS),
    "small": (spaces.Box(0, 255, (8, 8, 3), np.uint8), PRESS),
    "late": (VECTOR, spaces.Discrete(3, start=1)),
}
SIMPLE = ("vector", "moving", "table", "flags")


def spaces_of(name: str) -> dict[str, Any]:
    observed, acted = SPACES[name]
    return {"observation_space": observed, "action_space": acted}


def task(name: str, **fields: Any) -> PolicyTask:
    return PolicyTask(id=f"test/{name}-v0", **spaces_of(name), **fields)


def model(
    tasks: Sequence[PolicyTask], *, learn: bool = False, memory: bool = False, **policy_kwargs: Any
) -> Any:
    """A model on environments that draw observations from the spaces; untrained by default."""

    def make(index: int, n: int, _: Any) -> Any:
        return venv(tasks[index].observation_space, tasks[index].action_space, n)

    env = MultiTaskVecEnv(tasks, [2] * len(tasks), make)
    kind: Any = RecurrentPPO if memory else PPO
    made = kind(
        MultiTaskLstmPolicy if memory else MultiTaskPolicy,
        env,
        policy_kwargs={"tasks": list(tasks), "width": 8, **policy_kwargs},
        n_steps=8,
        batch_size=16,
        n_epochs=1,
        seed=0,
        device="cpu",
    )
    return made.learn(16 * len(tasks)) if learn else made


def scrambled(made: Any, seed: int = 0) -> Any:
    """The model with every tensor redrawn, statistics too, so that none has a trivial value."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in made.policy.state_dict().items():
            part = name.rpartition(".")[2]
            noise = torch.randn(tensor.shape, generator=draw)
            if part == "mean_square":
                tensor.copy_(noise.abs() * 50 + 900)
            elif part in ("var", "count"):
                tensor.copy_(noise.abs() + 0.2)
            elif part in ("mean", "bias"):
                tensor.copy_(noise * (5 if "value_heads" in name and part == "mean" else 0.4))
            elif part not in ("vectors",):
                tensor.copy_(noise * (0.6 if tensor.dim() > 1 else 0.3))
    return made


def multi(
    names: Sequence[str] = SIMPLE,
    *,
    learn: bool = False,
    fields: Mapping[str, Mapping[str, Any]] | None = None,
    **policy_kwargs: Any,
) -> Agent:
    tasks = [task(name, **(fields or {}).get(name, {})) for name in names]
    made = scrambled(model(tasks, learn=learn, **policy_kwargs))
    card = Card(name="trunk", task=", ".join(t.id for t in tasks), steps=64)
    return Agent.from_model(made, card=card)


def observations(space: gym.Space, n: int = 24, seed: int = 0) -> Any:
    """A batch of samples of a space."""
    space.seed(seed)
    samples = [space.sample() for _ in range(n)]
    if isinstance(space, spaces.Dict):
        return {key: np.stack([np.asarray(s[key]) for s in samples]) for key in space.spaces}
    return np.stack([np.asarray(sample) for sample in samples])


def seen_by_sb3(space: Any, batch: Any) -> Any:
    """The batch as SB3 gives it to a policy: images have their channels first."""
    if isinstance(space, spaces.Dict):
        return {key: seen_by_sb3(part, batch[key]) for key, part in space.spaces.items()}
    if len(space.shape or ()) == 3:
        return np.moveaxis(batch, -1, 1)
    return batch


def normalized(agent: Agent, batch: Any) -> Any:
    """The batch as ``VecNormalize`` gives it."""
    spec = agent.normalization
    if spec is None or not spec.obs:
        return batch
    stats: Any = spec.obs_stats
    scaled = (batch - stats.mean) / np.sqrt(stats.var + spec.epsilon)
    return np.clip(scaled, -spec.clip_obs, spec.clip_obs).astype(np.float32)


class Doubled(nn.Module):
    """Features in double precision."""

    def __init__(self, extractor: nn.Module) -> None:
        super().__init__()
        self.extractor = extractor

    def forward(self, observations: Any) -> torch.Tensor:
        return self.extractor(observations).double()


def outputs(agent: Agent, id: str, n: int = 24, *, double: bool = False) -> dict[str, np.ndarray]:
    """Actions, values, log probabilities and entropies of one task of a multi-task agent."""
    policy = agent.build().policy
    policy = policy.double() if double else policy
    described = policy.tasks[policy.index(id)]
    batch = observations(described.observation_space, n)
    flags = policy.packing.masks[policy.index(id)]
    masks = np.ones((n, flags), bool) if flags else None
    packed = torch.as_tensor(policy.packing.observations(policy.index(id), batch, masks))
    packed = packed.double() if double else packed
    own = observations(described.action_space, n, seed=1).reshape(n, -1)
    actions = torch.zeros(n, *policy.action_space.shape, dtype=packed.dtype)
    actions[:, : own.shape[1]] = torch.as_tensor(own)
    with torch.no_grad():
        values, log_prob, entropy = policy.evaluate_actions(packed, actions)
    acted = policy.act(id, batch, masks=masks)
    tensors = {"values": values[:, 0], "log_prob": log_prob, "entropy": entropy}
    return {"actions": acted, **{name: value.numpy() for name, value in tensors.items()}}


def outputs_of_one(
    agent: Agent, space: gym.Space, n: int = 24, *, double: bool = False
) -> dict[str, np.ndarray]:
    """The same of an agent of one task."""
    made = agent.build()
    if double:
        made.policy.double()
        for name in ("features_extractor", "pi_features_extractor", "vf_features_extractor"):
            setattr(made.policy, name, Doubled(getattr(made.policy, name)))
    batch = normalized(agent, seen_by_sb3(space, observations(space, n)))
    actions, _ = made.predict(batch, deterministic=True)
    tensor, _ = made.policy.obs_to_tensor(batch)
    given = torch.as_tensor(observations(agent.action_space, n, seed=1)).double()
    given = given.flatten(1) if given.dim() > 1 else given
    with torch.no_grad():
        values, log_prob, entropy = made.policy.evaluate_actions(tensor, given)
    return {
        "actions": actions,
        "values": values[:, 0].numpy(),
        "log_prob": log_prob.numpy(),
        "entropy": np.zeros(n) + (entropy.numpy() if entropy is not None else 0),
    }
