"""A rollout of many tasks for a policy with memory: collecting it, and minibatches of sequences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from sb3_contrib.common.recurrent.buffers import RecurrentRolloutBuffer
from sb3_contrib.common.recurrent.type_aliases import RecurrentRolloutBufferSamples
from stable_baselines3.common.utils import obs_as_tensor

from rltransfer.engine.multitask.rollout import rows_by_task
from rltransfer.engine.returns import compute_returns
from rltransfer.engine.rollout import discounts, to_environment

STATES = ("hidden_states_pi", "cell_states_pi", "hidden_states_vf", "cell_states_vf")
NUMBERS = ("observations", "actions", "values", "log_probs", "advantages", "returns")


class TaskSequences(RecurrentRolloutBuffer):
    """A recurrent rollout buffer whose minibatches have of each task what the rollout has of it.

    sb3-contrib's goes through the environments one after the other, so that a minibatch would often
    be of one task alone.
    """

    def get(self, batch_size: int | None = None) -> Iterator[RecurrentRolloutBufferSamples]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Give the minibatches of an epoch.

        The rows of each task, environment by environment in random order, are a ring that is cut at
        a random place, and then into one piece for each minibatch.

        Args:
            batch_size: Rows of a minibatch, up to one more or less for each task; None for all.
        """
        if not self.generator_ready:
            self._by_environment()
        count = self.buffer_size * self.n_envs
        batches = -(-count // (batch_size or count))
        tasks = rows_by_task(self.observations)
        # More than the rows of any task would leave some of them empty.
        batches = min(batches, max(map(len, tasks.values())))
        pieces = [np.array_split(self._ring(rows), batches) for rows in tasks.values()]
        for batch in zip(*pieces, strict=True):
            begins = np.zeros((count, 1), bool)
            begins[:: self.buffer_size] = True
            begins[[piece[0] for piece in batch if len(piece)]] = True
            yield self._get_samples(np.concatenate(batch), begins)

    def _by_environment(self) -> None:
        """Bring all rows into the order of environments, then steps, as sb3-contrib does."""
        arrays = vars(self)
        for name in STATES:
            arrays[name] = arrays[name].swapaxes(1, 2)
        for name in (*STATES, *NUMBERS, "episode_starts"):
            arrays[name] = self.swap_and_flatten(arrays[name])
        self.generator_ready = True

    def _ring(self, rows: np.ndarray) -> np.ndarray:
        by_environment = rows.reshape(-1, self.buffer_size)
        shuffled = by_environment[np.random.permutation(len(by_environment))].ravel()
        return np.roll(shuffled, np.random.randint(len(shuffled)))


def collect(model: Any, env: Any, callback: Any, buffer: Any, n_steps: int) -> bool:
    """Fill the rollout buffer, as ``RecurrentPPO.collect_rollouts`` does.

    sb3-contrib's own has one discount factor for the values of states that a time limit hid; here
    each environment has its own.

    Args:
        model: A RecurrentPPO.
        env: Its environments.
        callback: Called at every step.
        buffer: Its rollout buffer, whose ``gamma`` is a number or one for each environment.
        n_steps: Steps of each environment.

    Returns:
        False if the callback ended the training.
    """
    policy, device = model.policy, model.device
    policy.set_training_mode(False)
    buffer.reset()
    callback.on_rollout_start()
    seen = {"self": model, "env": env, "callback": callback}
    seen |= {"rollout_buffer": buffer, "n_rollout_steps": n_steps}
    bounded = to_environment(model)
    for step in range(n_steps):
        obs_tensor = obs_as_tensor(model._last_obs, device)
        starts = _flags(model._last_episode_starts, device)
        with torch.no_grad():
            actions, values, log_probs, states = policy(obs_tensor, model._last_lstm_states, starts)
        actions = actions.cpu().numpy()
        clipped_actions = bounded(actions)
        new_obs, rewards, dones, infos = env.step(clipped_actions)
        model.num_timesteps += env.num_envs
        seen.update(n_steps=step, obs_tensor=obs_tensor, episode_starts=starts, actions=actions)
        seen.update(clipped_actions=clipped_actions, values=values, log_probs=log_probs)
        seen.update(lstm_states=states, new_obs=new_obs, rewards=rewards, dones=dones, infos=infos)
        callback.update_locals(seen)
        if not callback.on_step():
            return False
        model._update_info_buffer(infos, dones)
        rows = _timeouts(dones, infos)
        if rows:
            rewards[rows] += discounts(buffer, rows) * _hidden(policy, infos, rows, states.vf)
        buffer.add(
            *(model._last_obs, actions, rewards, model._last_episode_starts, values, log_probs),
            lstm_states=model._last_lstm_states,
        )
        model._last_obs, model._last_episode_starts = new_obs, dones
        model._last_lstm_states = states
    with torch.no_grad():
        ended = _flags(model._last_episode_starts, device)
        observed = obs_as_tensor(model._last_obs, device)
        values = policy.predict_values(observed, model._last_lstm_states.vf, ended)
    compute_returns(buffer, values.cpu().numpy().ravel(), model._last_episode_starts)
    seen.update(n_steps=n_steps, values=values)
    callback.update_locals(seen)
    callback.on_rollout_end()
    return True


def _timeouts(dones: np.ndarray, infos: Any) -> list[int]:
    """Rows whose episode a time limit cut."""
    return [
        row
        for row in np.flatnonzero(dones).tolist()
        if infos[row].get("terminal_observation") is not None
        and infos[row].get("TimeLimit.truncated", False)
    ]


def _hidden(policy: Any, infos: Any, rows: list[int], states: tuple[torch.Tensor, ...]) -> Any:
    """Values of the states that a time limit hid, shape (rows,)."""
    terminal = np.stack([infos[row]["terminal_observation"] for row in rows])
    observed = obs_as_tensor(terminal, policy.device)
    remembered = tuple(one[:, rows].contiguous() for one in states)
    going_on = _flags(np.zeros(len(rows)), policy.device)
    with torch.no_grad():
        values = policy.predict_values(observed, remembered, going_on)
    return values.cpu().numpy().ravel()


def _flags(flags: Any, device: torch.device) -> torch.Tensor:
    return torch.as_tensor(np.asarray(flags, np.float32), device=device)
