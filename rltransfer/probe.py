"""Probing: a few episodes of the unchanged source on the target, before anything is decided."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.utils import get_action_masks
from stable_baselines3.common.vec_env import VecEnv

from rltransfer.agents import Agent
from rltransfer.errors import BadArgument
from rltransfer.evaluate import random_score
from rltransfer.registry import Task, task, tasks
from rltransfer.training.critic import bootstrapped_returns, explained_variance
from rltransfer.training.threads import few_threads
from rltransfer.vec import make_vec

EPISODES = 5
# Apart from the training seeds 0, 1, 2, ... and from the held-out evaluation seeds.
PROBE_SEED = 2_000_000
# Ends the episodes of an environment without a time limit.
LONGEST = 5_000


@dataclass(frozen=True)
class Probe:
    """What the unchanged source did on the target.

    Attributes:
        score: Normalized zero-shot score of deterministic actions: 0 is random, 1 the reference.
        critic_fit: Explained variance of the source critic on the returns; nan if unknown.
        logits: Logits of a Discrete policy in the states it visited, (states, actions); else None.
        steps: Environment steps that the probe took.
    """

    score: float
    critic_fit: float
    logits: np.ndarray | None
    steps: int


@dataclass
class _Trace:
    """Arrays over (steps, episodes); after an episode's end, ``alive`` is False."""

    rewards: list[np.ndarray] = field(default_factory=list)
    values: list[np.ndarray] = field(default_factory=list)
    logits: list[np.ndarray] = field(default_factory=list)
    dones: list[np.ndarray] = field(default_factory=list)
    truncated: list[np.ndarray] = field(default_factory=list)
    alive: list[np.ndarray] = field(default_factory=list)


def probe(model: Any, agent: Agent, target: str | EnvSpec, *, seed: int | None) -> Probe:
    """Run the source, already carried over to the target, for :data:`EPISODES` episodes.

    Args:
        model: The model on the target, all of it copied from the source.
        agent: The source; its own score is the reference if the target has none.
        target: The target.
        seed: Shifts the probe's episodes, so that runs with several seeds see different ones.
    """
    first = PROBE_SEED + EPISODES * (seed or 0)
    with few_threads(model.policy.parameters()):
        trace = _run(model, target, first)
    alive = np.stack(trace.alive)
    score = float((np.stack(trace.rewards) * alive).sum(axis=0).mean())
    low, high, extra = _levels(agent, target, first)
    return Probe(
        score=(score - low) / (high - low),
        critic_fit=_critic_fit(model, trace, alive),
        logits=np.concatenate(trace.logits) if trace.logits else None,
        steps=int(alive.sum()) + extra,
    )


def _run(model: Any, target: str | EnvSpec, seed: int) -> _Trace:
    venv = make_vec(target, EPISODES, seed=seed)
    try:
        return _episodes(model, venv)
    finally:
        venv.close()


def _episodes(model: Any, venv: VecEnv) -> _Trace:
    trace, state = _Trace(), None
    observations, starts = venv.reset(), np.ones(venv.num_envs, dtype=bool)
    alive = np.ones(venv.num_envs, dtype=bool)
    while alive.any() and len(trace.alive) < LONGEST:
        seen = _normalized(model, observations)
        actions, state = model.predict(
            seen, state=state, episode_start=starts, deterministic=True, **_masks(model, venv)
        )
        _note_policy(model, seen, alive, trace)
        observations, rewards, dones, infos = venv.step(actions)
        trace.rewards.append(rewards)
        trace.dones.append(dones.copy())
        trace.truncated.append(np.array([i.get("TimeLimit.truncated", False) for i in infos]))
        trace.alive.append(alive.copy())
        starts, alive = dones, alive & ~dones
    return trace


def _normalized(model: Any, observations: Any) -> Any:
    normalizer = model.get_vec_normalize_env()
    return normalizer.normalize_obs(observations) if normalizer else observations


def _masks(model: Any, venv: VecEnv) -> dict[str, np.ndarray]:
    return {"action_masks": get_action_masks(venv)} if isinstance(model, MaskablePPO) else {}


@torch.no_grad()
def _note_policy(model: Any, seen: Any, alive: np.ndarray, trace: _Trace) -> None:
    """Values and logits; a recurrent policy's depend on hidden states that predict keeps."""
    if hasattr(model.policy, "lstm_actor"):
        return
    tensor, _ = model.policy.obs_to_tensor(seen)
    trace.values.append(model.policy.predict_values(tensor).cpu().numpy()[:, 0])
    if isinstance(model.action_space, spaces.Discrete):
        logits = model.policy.get_distribution(tensor).distribution.logits
        trace.logits.append(logits.cpu().numpy()[alive])


def _critic_fit(model: Any, trace: _Trace, alive: np.ndarray) -> float:
    if not trace.values:
        return float("nan")
    rewards, values = np.stack(trace.rewards), np.stack(trace.values)
    normalizer = model.get_vec_normalize_env()
    scaled = normalizer.normalize_reward(rewards) if normalizer else rewards
    dones, truncated = np.stack(trace.dones), np.stack(trace.truncated)
    returns = bootstrapped_returns(scaled, dones, truncated, values, model.gamma)
    return explained_variance(values[alive], returns[alive])


def _levels(agent: Agent, target: str | EnvSpec, seed: int) -> tuple[float, float, int]:
    """Random and reference level of the target, and the steps that measuring them took."""
    known = task(target) if isinstance(target, str) else _task_of(target)
    low, high, steps = known.random, known.reference, 0
    if low is None:
        measured = random_score(target, episodes=EPISODES, seed=seed, max_steps=LONGEST)
        low, steps = float(measured.returns.mean()), int(measured.lengths.sum())
    if high is None and agent.card.score and agent.card.score.mean > low:
        high = agent.card.score.mean
    if high is None or high == low:
        raise BadArgument(
            f"recipe 'auto' needs a level to compare with: give {known.id!r} a reference score "
            "with register_task(..., reference=...), or the source a score on its card: "
            "agent.with_card(score=rltransfer.evaluate(agent, episodes=100).score), or on the "
            "command line `rltransfer import AGENT.zip --out NAME --episodes 100`; or name another "
            "recipe, such as 'full'"
        )
    return low, high, steps


def _task_of(spec: EnvSpec) -> Task:
    """Return the task of a spec, which Gymnasium need not have registered."""
    return tasks().get(spec.id) or Task(id=spec.id)
