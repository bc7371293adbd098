"""Refitting the head of a critic to the returns of the first rollouts.

A new critic head that starts at zero moves by at most the learning rate per update, so on raw
returns it may never reach their scale, and every advantage is wrong until it does. A closed-form
fit on the critic's own features puts it there at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.utils import obs_as_tensor

from rltransfer.heartbeat import beat

RIDGE = 1.0
# Returns of unfinished episodes lean on the fit itself; a few passes settle that.
PASSES = 10
_COLLECTED = ("features", "rewards", "dones", "truncated")


class CriticRefit:
    """Collects rollouts, then fits ``critic.head`` by ridge regression.

    Attributes:
        remaining: Rollouts that are still to be collected.
        explained_variance: 1 - Var(returns - fit) / Var(returns) after the fit, nan before.
    """

    def __init__(self, rollouts: int) -> None:
        self.remaining = rollouts
        self.explained_variance = float("nan")
        self._features: list[np.ndarray] = []
        self._rewards: list[np.ndarray] = []
        self._dones: list[np.ndarray] = []
        self._truncated: list[np.ndarray] = []
        self._cut: list[list[bool]] = []

    def observe(self, infos: list[dict[str, Any]]) -> None:
        """Note which environments were cut by a time limit at this step."""
        self._cut.append([bool(info.get("TimeLimit.truncated", False)) for info in infos])

    def consume(self, model: Any) -> bool:
        """Take the rollout that the model has just collected.

        Args:
            model: PPO, MaskablePPO or RecurrentPPO with a full rollout buffer.

        Returns:
            Whether this was the last one needed, and the head has been fitted.
        """
        buffer = model.rollout_buffer
        if self._dones:
            self._close_interrupted(buffer.episode_starts[0].astype(bool))
        self._features.append(critic_features(model))
        self._rewards.append(np.array(buffer.rewards))
        following = np.concatenate([buffer.episode_starts[1:], model._last_episode_starts[None]])
        self._dones.append(following.astype(bool))
        # A rollout that was interrupted left its steps in front of these.
        self._truncated.append(np.array(self._cut[-len(following) :]))
        self._cut.clear()
        self.remaining -= 1
        if self.remaining == 0:
            self._fit(model)
        return self.remaining == 0

    def state(self) -> dict[str, list[np.ndarray]]:
        """Return the rollouts collected so far, by what they hold, for :meth:`restore`."""
        return {name: list(getattr(self, f"_{name}")) for name in _COLLECTED}

    def restore(self, remaining: int, state: Mapping[str, Sequence[np.ndarray]]) -> None:
        """Go on where another one was between two rollouts.

        Args:
            remaining: Rollouts that are still to be collected.
            state: What :meth:`state` gave.
        """
        self.remaining = remaining
        for name in _COLLECTED:
            setattr(self, f"_{name}", list(state[name]))
        self._cut.clear()

    def _close_interrupted(self, starts: np.ndarray) -> None:
        """Where ``learn`` was interrupted and began anew, the episodes before were cut."""
        cut = starts & ~self._dones[-1][-1]
        self._dones[-1][-1] |= cut
        self._truncated[-1][-1] |= cut

    def _fit(self, model: Any) -> None:
        features = np.concatenate(self._features).astype(np.float64)
        rewards, dones = np.concatenate(self._rewards), np.concatenate(self._dones)
        truncated = np.concatenate(self._truncated)
        weight, bias = np.zeros(features.shape[-1]), 0.0
        returns = values = np.zeros_like(rewards, dtype=np.float64)
        for _ in range(PASSES):
            returns = bootstrapped_returns(rewards, dones, truncated, values, model.gamma)
            weight, bias = ridge(features.reshape(-1, len(weight)), returns.reshape(-1))
            values = features @ weight + bias
        self.explained_variance = explained_variance(values, returns)
        _set_head(model.policy.value_net, weight, bias)


@torch.no_grad()
def _set_head(head: Any, weight: np.ndarray, bias: float) -> None:
    head.weight.copy_(torch.as_tensor(weight[None], dtype=head.weight.dtype))
    head.bias.fill_(bias)


def ridge(features: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit ``targets ~ features @ weight + bias`` with an L2 penalty on the weight.

    Args:
        features: Shape (samples, width).
        targets: Shape (samples,).

    Returns:
        Weight of shape (width,), and bias.
    """
    center, mean = features.mean(axis=0), targets.mean()
    x = features - center
    gram = x.T @ x + RIDGE * np.eye(x.shape[1])
    weight = np.linalg.solve(gram, x.T @ (targets - mean))
    return weight, float(mean - center @ weight)


def bootstrapped_returns(
    rewards: np.ndarray, dones: np.ndarray, truncated: np.ndarray, values: np.ndarray, gamma: float
) -> np.ndarray:
    """Discounted returns; where an episode was cut, the value of its last state stands in.

    Args:
        rewards: Shape (steps, envs).
        dones: Whether the episode ended at that step, same shape.
        truncated: Whether it was cut by a time limit, same shape.
        values: Current value estimates, same shape.
        gamma: Discount factor.

    Returns:
        Returns, same shape.
    """
    returns = np.zeros_like(values)
    following = values[-1]
    for t in reversed(range(len(rewards))):
        ahead = np.where(dones[t], np.where(truncated[t], values[t], 0.0), following)
        returns[t] = following = rewards[t] + gamma * ahead
    return returns


def explained_variance(values: np.ndarray, returns: np.ndarray) -> float:
    """Fraction of the variance of the returns that the values explain; nan if they are constant."""
    spread = float(np.var(returns))
    return 1.0 - float(np.var(returns - values)) / spread if spread > 0 else float("nan")


@torch.no_grad()
def critic_features(model: Any) -> np.ndarray:
    """Inputs of the critic head for every state in the rollout buffer.

    Returns:
        Shape (steps, envs, width).
    """
    caught: list[torch.Tensor] = []
    head = model.policy.value_net
    handle = head.register_forward_pre_hook(lambda module, args: caught.append(args[0]))
    model.policy.set_training_mode(False)
    try:
        for t in range(model.rollout_buffer.buffer_size):
            _predict_values(model, t)
            beat()
    finally:
        handle.remove()
    return torch.stack(caught).cpu().numpy()


def _predict_values(model: Any, t: int) -> None:
    buffer = model.rollout_buffer
    stored = buffer.observations
    step = {k: v[t] for k, v in stored.items()} if isinstance(stored, dict) else stored[t]
    observations = obs_as_tensor(step, model.device)
    if not hasattr(buffer, "hidden_states_vf"):
        model.policy.predict_values(observations)
        return
    states = tuple(
        torch.as_tensor(s[t], device=model.device)
        for s in (buffer.hidden_states_vf, buffer.cell_states_vf)
    )
    starts = torch.as_tensor(buffer.episode_starts[t], device=model.device)
    model.policy.predict_values(observations, states, starts)
