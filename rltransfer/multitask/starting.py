"""Starting from an agent: with the tasks that it knows, and with new ones."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch

from rltransfer.agents import Agent, load
from rltransfer.carry import moments_of
from rltransfer.errors import BadArgument, UnknownName
from rltransfer.multitask.architecture import Embed, mission_vectors
from rltransfer.multitask.tasks import Sharing, key_of, look_at, shared
from rltransfer.policies.tasks import PolicyTask, policy_tasks


@dataclass(frozen=True, kw_only=True, eq=False)
class Start:
    """An agent to begin with, which knows all tasks that are to be played.

    Attributes:
        agent: The agent, with new tasks added.
        tasks: Its tasks.
        known: Ids of the tasks that it knew before.
    """

    agent: Agent
    tasks: tuple[PolicyTask, ...]
    known: tuple[str, ...]


def as_start(start: Agent | str | Path) -> Agent:
    """Load what training starts from, and make a single-task agent one of many tasks.

    Raises:
        UnknownName: No agent has that name.
        BadArgument: It is no agent, or one that cannot be turned into a multi-task agent.
    """
    agent = start if isinstance(start, Agent) else load(start)
    return agent if agent.multitask else agent.as_multitask()


def tasks_of(agent: Agent) -> tuple[PolicyTask, ...]:
    """Tasks of a multi-task agent."""
    return policy_tasks(agent.live_policy_kwargs()["tasks"])
