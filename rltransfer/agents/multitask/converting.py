"""An agent of one task as a multi-task agent of that task alone."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch

from rltransfer.agents import classes as named
from rltransfer.agents.multitask import sources
from rltransfer.agents.multitask.parts import PASSED_ON, with_tasks
from rltransfer.errors import BadArgument
from rltransfer.policies.packing import action_size
from rltransfer.policies.tasks import PolicyTask

if TYPE_CHECKING:
    from rltransfer.agents.agent import Agent

WHAT = "as_multitask"


def as_multitask(agent: Agent, *, noise: float = 0.0, log_std: float | None = None) -> Agent:
    """Convert an agent; see :meth:`Agent.as_multitask`."""
    if agent.multitask:
        return agent
    sources.check_source(agent, WHAT, log_std=log_std)
    layers = sources.hidden_layers(agent)
    task = task_of_source(agent, noise=noise, log_std=log_std)
    weights = {
        **sources.renamed(agent, task, layers),
        **sources.value_statistics(agent, task),
        **own_log_std(task, log_std),
    }
    if sources.normalizes(agent):
        weights |= sources.observation_statistics(agent, task)
    moments = sources.renamed_moments(agent, task, layers)
    if moments and log_std is not None:
        moments = {k: v for k, v in moments.items() if not k.startswith(f"log_stds.{task.head}/")}
    width, *sizes = layers.widths
    given = {name: agent.policy_kwargs[name] for name in PASSED_ON if name in agent.policy_kwargs}
    scores = {} if agent.card.score is None else {task.id: agent.card.score}
    return with_tasks(
        dataclasses.replace(agent, card=dataclasses.replace(agent.card, scores=scores)),
        [task],
        weights=weights,
        optimizer=moments,
        policy_kwargs={
            **given,
            "width": width,
            "trunk_kwargs": {"sizes": sizes},
            "normalize_observations": sources.normalizes(agent),
        },
        algorithm="ppo",
        policy=named.MULTITASK,
        hyperparameters={**agent.hyperparameters, "use_sde": False, "sde_sample_freq": -1},
        normalization=None,
    )


def task_of_source(agent: Agent, *, noise: float, log_std: float | None) -> PolicyTask:
    """The task of an agent, as a multi-task policy sees it.

    Raises:
        BadArgument: The card names no task, or a value is outside its range.
        SpaceMismatch: A space is of a kind that such a policy does not have.
    """
    if not agent.card.task:
        raise BadArgument(
            f"{agent.card.name!r} does not say what its task is: agent.with_card(task='...')"
        )
    start = agent.policy_kwargs.get("log_std_init", 0.0) if log_std is None else log_std
    return PolicyTask(
        id=agent.card.task,
        observation_space=agent.observation_space,
        action_space=agent.action_space,
        gamma=float(agent.hyperparameters["gamma"]),
        noise=noise,
        log_std=float(start),
        masked=agent.algorithm == "maskable_ppo",
    )


def own_log_std(task: PolicyTask, log_std: float | None) -> dict[str, torch.Tensor]:
    """The standard deviation that was asked for instead of the source's."""
    if log_std is None or not task.continuous:
        return {}
    return {f"log_stds.{task.head}": torch.full((action_size(task.action_space),), float(log_std))}
