"""PPO in one file, in the manner of CleanRL (Huang et al. 2022): plain torch, plain Gymnasium."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import FlattenObservation, RecordEpisodeStatistics
from torch import nn
from torch.distributions import Categorical, Independent, Normal

GAMMA, LAMBDA, CLIP, VALUE, NORM = 0.99, 0.95, 0.2, 0.5, 0.5
LEARNING_RATE = 3e-4


def mlp(inputs: int, outputs: int, gain: float) -> nn.Sequential:
    """Two hidden layers of 64 tanh units, orthogonal at first."""
    layers: list[nn.Module] = []
    for size, width in pairwise((inputs, 64, 64)):
        layers += [_orthogonal(nn.Linear(size, width), 2**0.5), nn.Tanh()]
    return nn.Sequential(*layers, _orthogonal(nn.Linear(64, outputs), gain))


def _orthogonal(layer: nn.Linear, gain: float) -> nn.Linear:
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class Agent(nn.Module):
    """Actor and critic without common layers."""

    def __init__(self, inputs: int, action_space: gym.Space) -> None:
        super().__init__()
        self.discrete = isinstance(action_space, gym.spaces.Discrete)
        outputs = int(action_space.n) if self.discrete else int(np.prod(action_space.shape or ()))  # pyright: ignore[reportAttributeAccessIssue]
        self.actor = mlp(inputs, outputs, 0.01)
        self.critic = mlp(inputs, 1, 1.0)
        self.log_std = nn.Parameter(torch.zeros(outputs))

    def distribution(self, observations: torch.Tensor) -> Any:
        """Distribution of actions."""
        outputs = self.actor(observations)
        if self.discrete:
            return Categorical(logits=outputs)
        return Independent(Normal(outputs, self.log_std.exp().expand_as(outputs)), 1)

    def value(self, observations: torch.Tensor) -> torch.Tensor:
        """Values, shape (batch,)."""
        return self.critic(observations).squeeze(-1)


class PPO:
    """PPO (Schulman et al. 2017); truncated episodes count as terminated, as in CleanRL.

    Args:
        task: Gymnasium id.
        n_envs: Environments.
        n_steps: Steps of each in a rollout.
        batch_size: Rows of a minibatch.
        n_epochs: Passes over a rollout.
        seed: Seed.
        device: Torch device.
    """

    def __init__(
        self,
        task: str,
        *,
        n_envs: int,
        n_steps: int,
        batch_size: int,
        n_epochs: int,
        seed: int,
        device: str,
    ) -> None:
        torch.manual_seed(seed)
        self.rng = np.random.default_rng(seed)

        def make() -> gym.Env:
            return RecordEpisodeStatistics(FlattenObservation(gym.make(task)))

        self.envs = SyncVectorEnv([make] * n_envs, autoreset_mode=AutoresetMode.SAME_STEP)
        self.n_steps, self.batch_size, self.n_epochs = n_steps, batch_size, n_epochs
        self.device = torch.device(device)
        actions, inputs = self.envs.single_action_space, self.envs.single_observation_space.shape
        assert inputs is not None
        self.agent = Agent(inputs[0], actions).to(self.device)
        self.optimizer = torch.optim.Adam(self.agent.parameters(), LEARNING_RATE, eps=1e-5)
        rows = (n_steps, n_envs)
        self.observations = torch.zeros((*rows, *inputs), device=self.device)
        self.actions = torch.zeros((*rows, *(actions.shape or ())), device=self.device)
        self.rewards, self.values, self.log_probs = torch.zeros((3, *rows), device=self.device)
        self.dones = torch.zeros((n_steps + 1, n_envs), device=self.device)
        self.next = self._tensor(self.envs.reset(seed=seed)[0])

    def get_env(self) -> SyncVectorEnv:
        """The environments."""
        return self.envs

    def learn(self, total_timesteps: int, reset_num_timesteps: bool = True) -> None:
        """Train for so many environment steps."""
        for _ in range(total_timesteps // self.rewards.numel()):
            self.collect_rollouts()
            self.train()

    @torch.no_grad()
    def collect_rollouts(self) -> None:
        """Act for ``n_steps`` steps."""
        self.dones[0] = self.dones[-1]
        for step in range(self.n_steps):
            self.observations[step] = self.next
            distribution = self.agent.distribution(self.next)
            action = distribution.sample()
            self.actions[step] = action
            self.values[step] = self.agent.value(self.next)
            self.log_probs[step] = distribution.log_prob(action)
            observations, rewards, terminated, truncated, _ = self.envs.step(self._clip(action))
            self.rewards[step] = self._tensor(rewards)
            self.dones[step + 1] = self._tensor(terminated | truncated)
            self.next = self._tensor(observations)
        self._estimate_advantages()

    def train(self) -> None:
        """Update on the rollout."""
        rows = self.rewards.numel()
        data = [
            tensor.flatten(0, 1)
            for tensor in (
                self.observations,
                self.actions,
                self.log_probs,
                self.advantages,
                self.advantages + self.values,
            )
        ]
        for _ in range(self.n_epochs):
            order = torch.as_tensor(self.rng.permutation(rows), device=self.device)
            for chosen in order.split(self.batch_size):
                self._minibatch(*(tensor[chosen] for tensor in data))

    def _minibatch(
        self,
        observations: torch.Tensor,
        actions: torch.Tensor,
        log_probs: torch.Tensor,
        advantages: torch.Tensor,
        returns: torch.Tensor,
    ) -> None:
        distribution = self.agent.distribution(observations)
        ratio = (distribution.log_prob(actions) - log_probs).exp()
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        clipped = advantages * ratio.clamp(1 - CLIP, 1 + CLIP)
        policy_loss = -torch.min(advantages * ratio, clipped).mean()
        value_loss = (self.agent.value(observations) - returns).square().mean()
        self.optimizer.zero_grad()
        (policy_loss + VALUE * value_loss).backward()
        nn.utils.clip_grad_norm_(self.agent.parameters(), NORM)
        self.optimizer.step()

    def _estimate_advantages(self) -> None:
        """GAE (Schulman et al. 2016)."""
        self.advantages = torch.zeros_like(self.rewards)
        advantage, following = torch.zeros_like(self.rewards[0]), self.agent.value(self.next)
        for step in reversed(range(self.n_steps)):
            alive = 1.0 - self.dones[step + 1]
            delta = self.rewards[step] + GAMMA * following * alive - self.values[step]
            advantage = delta + GAMMA * LAMBDA * alive * advantage
            self.advantages[step], following = advantage, self.values[step]

    def _clip(self, action: torch.Tensor) -> np.ndarray:
        space = self.envs.single_action_space
        values = action.cpu().numpy()
        if isinstance(space, gym.spaces.Box):
            return np.clip(values, space.low, space.high)
        return values

    def _tensor(self, values: Any) -> torch.Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=self.device)
