"""Online system identification: learning to infer the parameters of a task while acting in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from rltransfer import registry
from rltransfer.agents import Agent, load
from rltransfer.agents.numbers import check_steps, whole
from rltransfer.errors import BadArgument
from rltransfer.evaluation.undisturbed import seeded
from rltransfer.meta.adaptive import AdaptivePolicy
from rltransfer.meta.estimator import ContextEstimator, fit
from rltransfer.meta.history import Floats, History, width
from rltransfer.training.threads import one_thread

_ROWS = 16
_HELD_OUT = 0.2
# Chance that an episode is broken off: long ones would show few parameters in many steps.
_BREAK = 0.02


def identify(
    agent: Agent | str | Path,
    task: str | None = None,
    *,
    steps: int = 20_000,
    history: int = 16,
    rounds: int = 3,
    epochs: int = 20,
    seed: int = 0,
) -> AdaptivePolicy:
    """Teach a contextual agent to infer its context from what it has done and seen.

    The agent first acts with the true context, and a network learns to regress it from the last
    transitions. In later rounds the agent acts by what the network infers, so that it learns from
    the states that it will meet (Yu et al. 2017, algorithm 1; Kumar et al. 2021, section III-C).
    Episodes are broken off after 50 steps on average: many parameters teach more than long episodes
    of a few do.

    Args:
        agent: Agent trained on a task of ``randomized(..., context=True)``, or the path of one.
        task: That task; by default what the agent's card says.
        steps: Environment steps of all rounds together, at least 32 for each.
        history: Transitions that the network sees.
        rounds: Rounds of acting and fitting, at least 1; the first one is told the context.
        epochs: Passes over all data so far, in each round.
        seed: Seed of the network, of actions and of environments; equal seeds give equal bits.
            Random streams of the process are left as they were.

    Returns:
        A policy for tasks of the same family without a context, ``policy.estimator.r2`` says how
        well it infers each parameter.

    Raises:
        BadArgument: The task tells no context, the agent needs masks of actions, or a number is out
            of range.
        UnknownName: There is no such task.
        SpaceMismatch: The agent was trained with other observations.
    """
    agent = agent if isinstance(agent, Agent) else load(agent)
    id = agent.card.task if task is None else task
    check_steps(steps)
    seed = whole("seed", seed)
    for name, value in {"history": history, "rounds": rounds, "epochs": epochs}.items():
        if type(value) is not int or value < 1:
            raise BadArgument(f"{name} is {value!r}: give a whole number, at least 1")
    count = -(-int(steps) // (rounds * _ROWS))
    if count < 2:
        raise BadArgument(
            f"steps is {steps}: each of {rounds} rounds takes at least two steps in each of {_ROWS}"
            f" environments, as the first shows no transition; give {2 * rounds * _ROWS} or more"
        )
    with seeded(seed), one_thread(), _environments(id) as envs:
        names = [*envs[0].get_wrapper_attr("ranges")]
        _require_seen(agent, envs[0], id)
        observed = agent.observation_space.shape[0] - len(names)  # pyright: ignore
        each = width(observed, spaces.flatdim(agent.action_space))
        estimator = ContextEstimator(names, history, each)
        samples: list[_Samples] = []
        for number in range(rounds):
            acting = estimator if number else _Told(len(names), history)
            policy = AdaptivePolicy(agent, acting, len(names))
            samples += _collect(policy, envs, count, seed + number * _ROWS, told=not number)
            fit(estimator, *_joined(samples), epochs=epochs)
        return AdaptivePolicy(agent, estimator, len(names))


class _Told:
    """The estimator that is told the truth."""

    def __init__(self, count: int, length: int) -> None:
        self.length = length
        self.context = np.zeros((1, count), np.float32)

    def estimate(self, history: History) -> Floats:
        return self.context


_Samples = tuple[Floats, Floats, np.ndarray]


def _collect(
    policy: AdaptivePolicy, envs: list[gym.Env], count: int, seed: int, *, told: bool
) -> Iterator[_Samples]:
    """Act, and yield windows, true contexts and which of them are held out, step by step."""
    seen = np.stack([env.reset(seed=seed + row)[0] for row, env in enumerate(envs)])
    size = policy.observation_space.shape[0]  # pyright: ignore[reportOptionalSubscript]
    starts, state = np.ones(len(envs), bool), None
    held_out = np.random.random(len(envs)) < _HELD_OUT
    for _ in range(count):
        if told:
            policy.estimator.context = seen[:, size:]  # pyright: ignore
        # Sampled actions at first, as they excite the system more; then what will be done.
        actions, state = policy.predict(seen[:, :size], state, starts, deterministic=not told)
        yield state.history.window, seen[:, size:].copy(), held_out.copy()
        for row, env in enumerate(envs):
            seen[row], _, terminated, truncated, _ = env.step(actions[row])
            starts[row] = terminated or truncated or np.random.random() < _BREAK
            if starts[row]:
                seen[row] = env.reset()[0]
                held_out[row] = np.random.random() < _HELD_OUT


def _joined(samples: list[_Samples]) -> _Samples:
    windows, contexts, held_out = zip(*samples, strict=True)
    return np.concatenate(windows), np.concatenate(contexts), np.concatenate(held_out)


@contextmanager
def _environments(id: str) -> Iterator[list[gym.Env]]:
    with ExitStack() as stack:
        envs = [registry.make(id) for _ in range(_ROWS)]
        for env in envs:
            stack.callback(env.close)
        contextual = envs[0].has_wrapper_attr("ranges") and envs[0].get_wrapper_attr("context")
        if not contextual:
            raise BadArgument(
                f"{id} tells no context: train the agent on a task of randomized(...,"
                " context=True), or name that task"
            )
        yield envs


def _require_seen(agent: Agent, env: gym.Env, id: str) -> None:
    if agent.observation_space.shape != env.observation_space.shape:
        raise BadArgument(
            f"the agent observes {agent.observation_space}, {id} gives {env.observation_space}:"
            " give the task that it was trained on"
        )
