"""States that a source visits on its own task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.utils import get_action_masks
from stable_baselines3.common.vec_env import VecEnv

from rltransfer.agents import Agent
from rltransfer.agents.multitask.names import of_one_task
from rltransfer.errors import BadArgument, UnknownName
from rltransfer.evaluation.given import require_fit, trained_on
from rltransfer.evaluation.undisturbed import seeded
from rltransfer.normalizing import observation_normalizer
from rltransfer.training.terms.teacher import concatenated
from rltransfer.training.threads import few_threads
from rltransfer.vec import make_vec

ENVS = 4
"""Few, so that even a small number of states reaches the ends of long episodes."""
# Apart from the seeds of training, of held-out episodes and of probes.
SOURCE_SEED = 3_000_000


@dataclass(frozen=True, eq=False)
class SourceStates:
    """N steps of a source on its own task, one environment after the other.

    Attributes:
        observations: What it acted upon, not normalized, images with channels first: shape
            (N, ...), or a dict of such.
        actions: What it did, as its environment took it, shape (N, ...).
        rewards: Not normalized, shape (N,).
        dones: Whether the episode ended with that step, shape (N,).
        cuts: Whether the next row is not the next state: an end, or the last row of an
            environment; shape (N,).
        steps: Environment steps that this took, at least N.
    """

    observations: Any
    actions: np.ndarray
    rewards: np.ndarray
    dones: np.ndarray
    cuts: np.ndarray
    steps: int


def source_states(
    agent: Agent, count: int, seed: int | None = None, *, device: torch.device | str = "cpu"
) -> SourceStates:
    """Let a source play its own task (``agent.card.task``), with actions that it samples.

    Environments and random streams are made for this; the process-wide ones go on as they were.

    Args:
        agent: The source, of any algorithm.
        count: Number of states, at least 1.
        seed: Seed of environments and actions; the same gives the same states. None is 0.
        device: Where its policy runs.

    Raises:
        BadArgument: ``count`` is out of range, or the agent does not say which task it was
            trained on.
        SpaceMismatch: That task has other spaces than the agent.
    """
    if type(count) is not int or count < 1:
        raise BadArgument(f"count is {count!r}: expected a whole number of states >= 1")
    of_one_task(agent, "source_states")
    first = SOURCE_SEED + ENVS * (seed or 0)
    model = agent.build(device=device)
    venv = _own_task(agent, first)
    try:
        require_fit(model, venv, agent.card.task, agent.normalization)
        venv = model._wrap_env(venv, monitor_wrapper=False)
        with few_threads(model.policy.parameters()), seeded(first, model.device):
            return _play(model, agent, venv, count)
    finally:
        venv.close()


def _own_task(agent: Agent, seed: int) -> VecEnv:
    try:
        return make_vec(trained_on(agent), ENVS, seed=seed)
    except (BadArgument, UnknownName) as error:
        raise BadArgument(
            f"the states that {agent.card.name!r} visits on its own task are needed, and its card "
            f"names the task {agent.card.task!r:.100}, which cannot be made here: import the "
            "module that registers it, or name it with agent.with_card(task='CartPole-v1')"
        ) from error


def _play(model: Any, agent: Agent, venv: VecEnv, count: int) -> SourceStates:
    normalize = observation_normalizer(venv.observation_space, agent.normalization)
    masked = isinstance(model, MaskablePPO)
    if getattr(model, "use_sde", False):
        model.policy.reset_noise(ENVS)
    seen: list[Any] = []
    rest: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    state, starts, observations = None, np.ones(ENVS, dtype=bool), venv.reset()
    while len(rest) * ENVS < count:
        masks = {"action_masks": get_action_masks(venv)} if masked else {}
        actions, state = model.predict(
            normalize(observations), state=state, episode_start=starts, deterministic=False, **masks
        )
        seen.append(observations)
        observations, rewards, starts, _ = venv.step(actions)
        rest.append((actions, rewards, starts))
    actions, rewards, dones = (_rows(part)[:count] for part in zip(*rest, strict=True))
    ends = np.arange(1, count + 1) % len(rest) == 0
    return SourceStates(
        observations=_observed(seen, count),
        actions=actions,
        rewards=rewards,
        dones=dones,
        cuts=dones | ends,
        steps=len(rest) * ENVS,
    )


def _observed(steps: Sequence[Any], count: int) -> Any:
    if isinstance(steps[0], dict):
        return {key: _rows([one[key] for one in steps])[:count] for key in steps[0]}
    return _rows(steps)[:count]


def _rows(steps: Sequence[np.ndarray]) -> np.ndarray:
    """From one array for each step to rows, one environment after the other."""
    stacked = np.stack(steps, axis=1)
    return stacked.reshape(-1, *stacked.shape[2:])


def states_on(
    agent: Agent,
    tasks: Sequence[str],
    count: int,
    seed: int | None = None,
    *,
    device: torch.device | str = "cpu",
) -> SourceStates:
    """Let a source play several tasks one after the other, for equally many steps each.

    Args:
        agent: The source.
        tasks: Their ids, of the agent's spaces; none for its own task.
        count: Number of states in all, at least one for each task.
        seed: As for :func:`source_states`.
        device: Where its policy runs.

    Raises:
        BadArgument: As for :func:`source_states`.
        SpaceMismatch: A task has other spaces than the agent.
    """
    if not tasks:
        return source_states(agent, count, seed, device=device)
    shares = [len(part) for part in np.array_split(np.arange(count), len(tasks))]
    parts = [
        source_states(agent.with_card(task=task), share, seed, device=device)
        for task, share in zip(tasks, shares, strict=True)
    ]
    return SourceStates(
        observations=concatenated([part.observations for part in parts]),
        actions=np.concatenate([part.actions for part in parts]),
        rewards=np.concatenate([part.rewards for part in parts]),
        dones=np.concatenate([part.dones for part in parts]),
        cuts=np.concatenate([part.cuts for part in parts]),
        steps=sum(part.steps for part in parts),
    )
