"""Policy distillation: many teachers, one student in their spaces."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv

from rltransfer.agents import Agent, Card, load
from rltransfer.agents.multitask.names import of_one_task
from rltransfer.agents.numbers import check_steps, whole
from rltransfer.errors import BadArgument, SpaceMismatch
from rltransfer.evaluate import Evaluator, evaluate
from rltransfer.evaluation.given import trained_on
from rltransfer.evaluation.undisturbed import seeded
from rltransfer.fits import same_arrays
from rltransfer.lessons import ENVS, N_STEPS, Lesson, gathered, learn
from rltransfer.normalizing import observation_normalizer
from rltransfer.pretrain import CARD_EPISODES, versions
from rltransfer.training.build import build_model, pick_device
from rltransfer.training.terms import Teacher
from rltransfer.training.threads import few_threads
from rltransfer.vec import make_vec, normalize

_ROLLOUT = ("n_envs", "n_steps", "batch_size")


def distill(
    teachers: Sequence[Agent | str | Path],
    *,
    steps: int,
    student: Agent | str | Path | None = None,
    seed: int = 0,
    learning_rate: float = 1e-3,
    batch_size: int = 256,
    n_epochs: int = 4,
    episodes: int = CARD_EPISODES,
    max_steps: int | None = None,
    device: str = "auto",
    classes: Mapping[str, type] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Agent:
    """Teach one policy what several agents do, each on its own task (Rusu et al. 2015).

    The student plays the tasks of all teachers, as Parisotto et al. (2015) let it, and learns in
    the states that it comes to: ``KL(teacher(.|s) || student(.|s))``, with the teacher of the task.
    Rewards are not looked at. It is not told which task it plays, so teachers should not want
    different actions where observations are alike. Its critic learns nothing: give a recipe that
    fine-tunes it ``critic="reset"``.

    Args:
        teachers: PPO agents with the same observations and actions, or their names or paths.
        steps: Environment steps in all, shared equally by the tasks; rounded up to whole rounds of
            512 steps of each task.
        student: Agent to start from; a fresh one like the first teacher by default.
        seed: Seed of weights, actions and environments.
        learning_rate: Of Adam, > 0.
        batch_size: States of a minibatch, of all tasks together, >= 1.
        n_epochs: Passes over the states of a round, >= 1.
        episodes: Held-out episodes for the student's score on each task, at least 2.
        max_steps: Steps after which such an episode ends at the latest; needed where a task has no
            time limit of its own.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        classes: Your own classes that the agents were built with, by name.
        progress: Called with (steps done, steps in all) after every round.

    Returns:
        The student. Its card has its score on each teacher's task in ``scores``, and in ``score``
        that on the first one's, which it calls its task. The process-wide random streams are as
        they were.

    Raises:
        BadArgument: There is no teacher, an agent is no PPO agent of one task, or does not say
            which task it was trained on, or a number is out of range, or ``max_steps`` is needed.
        SpaceMismatch: Teachers observe or do different things.
    """
    _check(steps, learning_rate, batch_size, n_epochs, episodes)
    seed = whole("seed", seed)
    agents = [_loaded(one, classes) for one in _several(teachers)]
    pattern = agents[0] if student is None else _loaded(student, classes)
    _require_same_spaces([*agents, pattern])
    for agent in agents:  # what would refuse to score the student does so now, not afterwards
        Evaluator(trained_on(agent), episodes=1, max_steps=max_steps).close()
    device = pick_device(device, pattern.policy_class(classes))
    with ExitStack() as stack, seeded(seed, torch.device(device)):
        venvs = _environments(agents, pattern, seed, stack, fresh=student is None)
        model = _student(pattern, venvs[0], seed, device, classes, fresh=student is None)
        lessons = [
            Lesson(*both) for both in zip(_teachers(agents, model, classes), venvs, strict=True)
        ]
        stack.enter_context(few_threads(model.policy.parameters()))
        optimizer = torch.optim.Adam(model.policy.parameters(), lr=learning_rate)
        done, divergence = 0, math.nan
        while done < steps:
            wanted, states = gathered([lesson.round(model) for lesson in lessons])
            done += len(lessons) * ENVS * N_STEPS
            for _ in range(n_epochs):
                divergence = learn(model, optimizer, wanted, states, batch_size)
            if progress:
                progress(min(done, steps), steps)
        found = Agent.from_model(
            model,
            card=_card(agents, pattern, done, seed, divergence, fresh=student is None),
            optimizer=False,
            hyperparameters={name: pattern.hyperparameters[name] for name in _ROLLOUT},
        )
    return _scored(found, agents, episodes, max_steps)


def _teachers(agents: Sequence[Agent], model: Any, classes: Any) -> Iterator[Teacher]:
    for agent in agents:
        policy = agent.build(device=model.device, classes=classes).policy
        yield Teacher(policy, observation_normalizer(agent.observation_space, agent.normalization))


def _student(
    pattern: Agent, venv: VecEnv, seed: int, device: str, classes: Any, *, fresh: bool
) -> Any:
    model = build_model(
        pattern.algorithm,
        pattern.policy_class(classes),
        venv,
        policy_kwargs=pattern.live_policy_kwargs(classes),
        # Its own rollouts are never collected: they need no room.
        hyperparameters={**pattern.hyperparameters, "n_steps": 2, "batch_size": 2 * ENVS},
        seed=seed,
        device=device,
    )
    if not fresh:
        model.policy.load_state_dict(pattern.weights)
    return model


def _environments(
    agents: Sequence[Agent], pattern: Agent, seed: int, stack: ExitStack, *, fresh: bool
) -> list[VecEnv]:
    """Make the tasks; where the student normalizes, all of them share its statistics."""
    spec = pattern.normalization
    if spec is not None:
        kept = None if fresh else spec.obs_stats
        spec = replace(spec, reward=False, return_stats=None, obs_stats=kept)
    venvs: list[Any] = []
    for index, agent in enumerate(agents):
        venv = make_vec(trained_on(agent), ENVS, seed=seed + ENVS * index)
        stack.callback(venv.close)
        venvs.append(normalize(PPO._wrap_env(venv, monitor_wrapper=False), spec, training=True))
        if spec is not None and spec.obs:
            venvs[-1].obs_rms = venvs[0].obs_rms
    return venvs


def _scored(student: Agent, agents: Sequence[Agent], episodes: int, longest: int | None) -> Agent:
    tasks = dict.fromkeys(agent.card.task for agent in agents)
    scores = {
        task: evaluate(student, task, episodes=episodes, max_steps=longest).score for task in tasks
    }
    return student.with_card(score=scores[student.card.task], scores=scores)


def _card(
    agents: Sequence[Agent], pattern: Agent, steps: int, seed: int, left: float, *, fresh: bool
) -> Card:
    names = ", ".join(agent.card.name for agent in agents)
    return Card(
        name="distilled",
        task=agents[0].card.task,
        steps=steps,
        seed=seed,
        versions=versions(),
        created=datetime.now(UTC).date().isoformat(),
        source=names if fresh else pattern.card.name,
        notes=f"distilled from {names}; mean divergence from them at last {left:.3g} nats",
    )


def _several(teachers: Any) -> list[Any]:
    single = isinstance(teachers, Agent | str | Path)
    if single or not isinstance(teachers, Iterable) or not (listed := list(teachers)):
        raise BadArgument(f"teachers is {teachers!r:.80}: give a list of agents, at least one")
    return listed


def _loaded(given: Agent | str | Path, classes: Any) -> Agent:
    agent = of_one_task(
        given if isinstance(given, Agent) else load(given, classes=classes), "distill"
    )
    if agent.algorithm != "ppo":
        raise BadArgument(
            f"distill takes agents of PPO, and {agent.card.name!r} is one of {agent.algorithm}, "
            "whose actions depend on memory or masks: train a PPO agent on its task"
        )
    return agent


def _require_same_spaces(agents: Sequence[Agent]) -> None:
    first = agents[0]
    for agent in agents[1:]:
        same = same_arrays(first.observation_space, agent.observation_space)
        if not same or first.action_space != agent.action_space:
            raise SpaceMismatch(
                f"one student acts for all teachers, and {first.card.name!r} has "
                f"{first.observation_space} and {first.action_space}, {agent.card.name!r} "
                f"{agent.observation_space} and {agent.action_space}: for tasks with different "
                "spaces train one agent of several tasks, with rltransfer.multitask"
            )


def _check(steps: Any, learning_rate: Any, batch_size: Any, n_epochs: Any, episodes: Any) -> None:
    check_steps(steps)
    if not isinstance(learning_rate, int | float) or not 0 < learning_rate < math.inf:
        raise BadArgument(f"learning_rate is {learning_rate!r}: expected a number above 0")
    for name, value, least in (
        ("batch_size", batch_size, 1),
        ("n_epochs", n_epochs, 1),
        ("episodes", episodes, 2),
    ):
        if type(value) is not int or value < least:
            raise BadArgument(f"{name} is {value!r}: expected a whole number >= {least}")
