"""Probing: a few episodes of the unchanged source on the target, before anything is decided."""

from __future__ import annotations

import math
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
from rltransfer.training.critic import bootstrapped_returns, explained_variance
from rltransfer.training.threads import few_threads
from rltransfer.trial_episodes import (
    EPISODES,
    Act,
    Trial,
    first_seed,
    random_level,
    task_of,
    try_out,
)


@dataclass(frozen=True)
class Probe:
    """What the unchanged source did on the target.

    Attributes:
        score: Normalized zero-shot score of deterministic actions: 0 is random, 1 the reference;
            nan if there is no reference.
        critic_fit: Explained variance of the source critic on the returns; nan if unknown.
        logits: Logits of a Discrete policy in the states it visited, (states, actions); else None.
        steps: Environment steps that the probe took: those of its episodes, and ``measuring``.
            Episodes are played side by side; what the copy of a finished one goes on to do until
            the last one ends is not looked at, and not counted.
        levels: Returns that score 0 and 1, in the target's units; nan for what is unknown.
        measuring: Of the steps, those at random that measured the first of these levels; 0 where it
            was known.
    """

    score: float
    critic_fit: float
    logits: np.ndarray | None
    steps: int
    levels: tuple[float, float] = (math.nan, math.nan)
    measuring: int = 0


def probe(
    model: Any,
    agent: Agent,
    target: str | EnvSpec,
    *,
    seed: int | None,
    start: int = 0,
    episodes: int = EPISODES,
    levels: tuple[float, float] | None = None,
) -> Probe:
    """Run the source, already carried over to the target, for a few episodes.

    Args:
        model: The model on the target, all of it copied from the source.
        agent: The source; its own score is the reference if the target has none.
        target: The target.
        seed: Shifts the probe's episodes, so that runs with several seeds see different ones.
        start: Number of the first of these episodes.
        episodes: How many are played.
        levels: Of an earlier probe, where there was one: measuring them takes steps.

    Raises:
        BadArgument: The target's reference score is not above what random actions return.
    """
    first, asked = first_seed(seed) + start, _Asked()
    with few_threads(model.policy.parameters()):
        trial = try_out(target, _source_actions(model, asked), first, episodes)
    low, high, extra = (*levels, 0) if levels else _levels(agent, target, first)
    return Probe(
        score=(trial.score - low) / (high - low) if high != low else math.nan,
        critic_fit=_critic_fit(model, trial, asked),
        logits=np.concatenate(asked.logits) if asked.logits else None,
        steps=trial.steps + extra,
        levels=(low, high),
        measuring=extra,
    )


@dataclass
class _Asked:
    """What a policy said on the way, by step: of all rows, or of those alive."""

    values: list[np.ndarray] = field(default_factory=list)
    logits: list[np.ndarray] = field(default_factory=list)


def _source_actions(model: Any, asked: _Asked) -> Act:
    """Deterministic actions of a model, which notes values and logits on the way."""
    state: Any = None

    def act(venv: VecEnv, observations: Any, starts: np.ndarray, alive: np.ndarray) -> np.ndarray:
        nonlocal state
        seen = _normalized(model, observations)
        actions, state = model.predict(
            seen, state=state, episode_start=starts, deterministic=True, **_masks(model, venv)
        )
        _note_policy(model, seen, alive, asked)
        return actions

    return act


def _normalized(model: Any, observations: Any) -> Any:
    normalizer = model.get_vec_normalize_env()
    return normalizer.normalize_obs(observations) if normalizer else observations


def _masks(model: Any, venv: VecEnv) -> dict[str, np.ndarray]:
    return {"action_masks": get_action_masks(venv)} if isinstance(model, MaskablePPO) else {}


@torch.no_grad()
def _note_policy(model: Any, seen: Any, alive: np.ndarray, asked: _Asked) -> None:
    """Values and logits; a recurrent policy's depend on hidden states that predict keeps."""
    if hasattr(model.policy, "lstm_actor"):
        return
    tensor, _ = model.policy.obs_to_tensor(seen)
    asked.values.append(model.policy.predict_values(tensor).cpu().numpy()[:, 0])
    if isinstance(model.action_space, spaces.Discrete):
        logits = model.policy.get_distribution(tensor).distribution.logits
        asked.logits.append(logits.cpu().numpy()[alive])


def _critic_fit(model: Any, trial: Trial, asked: _Asked) -> float:
    if not asked.values:
        return float("nan")
    values, alive = np.stack(asked.values), trial.alive
    normalizer = model.get_vec_normalize_env()
    rewards = normalizer.normalize_reward(trial.rewards) if normalizer else trial.rewards
    returns = bootstrapped_returns(rewards, trial.dones, trial.truncated, values, model.gamma)
    return explained_variance(values[alive], returns[alive])


def _levels(agent: Agent, target: str | EnvSpec, seed: int) -> tuple[float, float, int]:
    """Random and reference level of the target, nan if unknown, and the steps measuring took."""
    known = task_of(target)
    low, steps = random_level(target, seed)
    high = known.reference
    if high is not None and high <= low:
        raise BadArgument(
            f"the reference score of {known.id} is {high:.4g}, and random actions return {low:.4g}:"
            " register it with the return of a good agent"
        )
    if high is None and agent.card.score and agent.card.score.mean > low:
        high = agent.card.score.mean
    return low, math.nan if high is None else high, steps
