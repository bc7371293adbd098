"""Collecting a rollout: SB3's loop, with everything that can wait done once at its end."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common import callbacks as sb3_callbacks
from stable_baselines3.common.callbacks import BaseCallback, ConvertCallback
from stable_baselines3.common.preprocessing import is_image_space, maybe_transpose
from stable_baselines3.common.utils import obs_as_tensor
from stable_baselines3.common.vec_env import VecEnv

from rltransfer.engine.acting import Actor
from rltransfer.engine.replaced import replaced_methods
from rltransfer.engine.returns import compute_returns

Timeouts = list[tuple[int, int, Any]]


def collect(
    model: Any,
    env: VecEnv,
    callback: BaseCallback,
    buffer: Any,
    n_steps: int,
    new_actor: Callable[[], Actor],
) -> bool:
    """Fill the rollout buffer, as ``OnPolicyAlgorithm.collect_rollouts`` does.

    Values, log probabilities and the values of states where a time limit cut an episode are
    computed for all steps together after the last one, which is cheaper and gives the same up to
    rounding. A callback that might look at the first two gets them at every step, and as it might
    change the weights, states are evaluated at once.

    Args:
        model: The algorithm.
        env: Its environments.
        callback: Called at every step.
        buffer: A ``RolloutBuffer`` or ``DictRolloutBuffer``.
        n_steps: Steps of each environment.
        new_actor: Makes what chooses the actions; called when ``on_rollout_start`` of the callback
            has changed what it wants to.

    Returns:
        False if the callback ended the training.
    """
    model.policy.set_training_mode(False)
    buffer.reset()
    if model.use_sde:
        model.policy.reset_noise(env.num_envs)
    callback.on_rollout_start()
    actor = new_actor()
    actor.begin(n_steps, env.num_envs)
    seen = {"self": model, "env": env, "callback": callback}
    seen |= {"rollout_buffer": buffer, "n_rollout_steps": n_steps}
    watched, timeouts = looks_at_values(callback), []
    may_wait = actor.may_wait and not watched
    bounded = to_environment(model)
    for step in range(n_steps):
        if model.use_sde and model.sde_sample_freq > 0 and step % model.sde_sample_freq == 0:
            model.policy.reset_noise(env.num_envs)
        observations: Any = model._last_obs
        actions = actor.act(observations, step)
        clipped_actions = bounded(actions)
        new_obs, rewards, dones, infos = env.step(clipped_actions)
        model.num_timesteps += env.num_envs
        seen.update(n_steps=step, actions=actions, clipped_actions=clipped_actions)
        seen.update(new_obs=new_obs, rewards=rewards, dones=dones, infos=infos)
        if watched:
            seen["obs_tensor"] = obs_as_tensor(observations, model.device)
            seen["values"], seen["log_probs"] = actor.evaluated(step)
        callback.update_locals(seen)
        if not callback.on_step():
            _evaluate(buffer, step, actor)
            _bootstrap(model, buffer, timeouts, actor)
            return False
        model._update_info_buffer(infos, dones)
        _store(buffer, step, observations, actions, rewards, model._last_episode_starts)
        if dones.any():
            timeouts += _timeouts(step, dones, infos)
            while timeouts and not may_wait:
                _bootstrap(model, buffer, [timeouts.pop(0)], actor)
        model._last_obs = new_obs
        model._last_episode_starts = dones
    _evaluate(buffer, n_steps, actor)
    _bootstrap(model, buffer, timeouts, actor)
    buffer.full = n_steps == buffer.buffer_size
    last_values = actor.predict_values(model._last_obs)
    compute_returns(buffer, last_values, model._last_episode_starts)
    seen.update(n_steps=n_steps, values=torch.from_numpy(last_values)[:, None].to(model.device))
    callback.update_locals(seen)
    callback.on_rollout_end()
    return True


def looks_at_values(callback: BaseCallback) -> bool:
    """Tell whether a callback might read values or log probabilities: all but those we know."""
    kind = type(callback)
    if isinstance(callback, ConvertCallback) and callback.callback is not None:
        return True  # a user's function
    known = kind.__module__ == sb3_callbacks.__name__ or kind.__module__.startswith("rltransfer.")
    known = known and not replaced_methods(callback)
    return not known or any(looks_at_values(inner) for inner in _inner(callback))


def _inner(callback: BaseCallback) -> list[BaseCallback]:
    held = {name: value for name, value in vars(callback).items() if name != "parent"}
    listed = held.pop("callbacks", [])
    return [one for one in (*listed, *held.values()) if isinstance(one, BaseCallback)]


def to_environment(model: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Build the function from actions of the policy to actions of the environment."""
    space = model.action_space
    if not isinstance(space, spaces.Box):
        return lambda actions: actions
    if model.policy.squash_output:
        return model.policy.unscale_action
    low, high = space.low, space.high
    # np.clip checks its arguments for longer than it clips.
    return lambda actions: np.minimum(np.maximum(actions, low), high)


def _store(
    buffer: Any, step: int, observations: Any, actions: Any, rewards: Any, starts: Any
) -> None:
    stored = buffer.observations
    if isinstance(stored, dict):
        for key, rows in stored.items():
            rows[step] = np.reshape(observations[key], rows.shape[1:])
    else:
        stored[step] = observations.reshape(stored.shape[1:])
    buffer.actions[step] = actions.reshape(buffer.actions.shape[1:])
    buffer.rewards[step] = rewards
    buffer.episode_starts[step] = starts


def _timeouts(step: int, dones: np.ndarray, infos: Any) -> Timeouts:
    """Where a time limit cut an episode, and what was observed last."""
    return [
        # A copy, as environments may hand out the same array again.
        (step, int(index), copy.deepcopy(infos[index]["terminal_observation"]))
        for index in np.flatnonzero(dones)
        if infos[index].get("terminal_observation") is not None
        and infos[index].get("TimeLimit.truncated", False)
    ]


def _evaluate(buffer: Any, filled: int, actor: Actor) -> None:
    """Evaluate the steps that are there."""
    actor.finish(buffer)
    buffer.pos = filled
    buffer.values[filled:] = buffer.log_probs[filled:] = 0.0


def _bootstrap(model: Any, buffer: Any, timeouts: Timeouts, actor: Actor) -> None:
    """Add the values of the states that a time limit hid to the rewards before them.

    See Pardo et al. 2018, section 3.
    """
    if timeouts:
        steps, indices, terminal = zip(*timeouts, strict=True)
        values = actor.predict_values(_stacked(terminal, model.observation_space))
        buffer.rewards[steps, indices] += discounts(buffer, indices) * values


def discounts(buffer: Any, indices: Sequence[int]) -> Any:
    """Discount factors of some environments: a number, or an array where they differ."""
    gamma = buffer.gamma
    return gamma[list(indices)] if isinstance(gamma, np.ndarray) else gamma


def _stacked(observations: Sequence[Any], space: spaces.Space) -> Any:
    if isinstance(space, spaces.Dict):
        return {
            key: _stacked([one[key] for one in observations], part)
            for key, part in space.spaces.items()
        }
    if is_image_space(space):
        observations = [maybe_transpose(one, space) for one in observations]
    return np.stack(observations).reshape(-1, *(space.shape or ()))
