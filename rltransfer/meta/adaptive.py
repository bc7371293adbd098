"""A contextual policy that infers its context while it acts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from gymnasium import spaces

from rltransfer.agents import Agent
from rltransfer.errors import BadArgument, SpaceMismatch
from rltransfer.meta import saving
from rltransfer.meta.estimator import ContextEstimator
from rltransfer.meta.history import Floats, History, encoded
from rltransfer.normalizing import observation_normalizer


class Estimator(Protocol):
    """What infers a context."""

    @property
    def length(self) -> int:
        """Transitions that it looks at."""
        ...

    def estimate(self, history: History) -> Floats:
        """Infer the context of each row, each number from -1 to 1, (rows, parameters)."""
        ...


class Known(NamedTuple):
    """The estimator that knows better than to look: one context, whatever happens.

    Attributes:
        context: The context, each number from -1 to 1.
        length: Transitions that it looks at, as every estimator has it.
    """

    context: tuple[float, ...]
    length: int = 1

    def estimate(self, history: History) -> Floats:
        """The same for each row."""
        return np.tile(np.array(self.context, np.float32), (len(history.window), 1))


class State(NamedTuple):
    """What an adaptive policy carries from one step to the next.

    Attributes:
        history: Recent transitions.
        context: Last estimate, (rows, parameters).
        recurrent: State of the policy's own memory, if it has one.
    """

    history: History
    context: Floats
    recurrent: Any


class AdaptivePolicy:
    """Acts by a contextual agent where nobody tells the context (Yu et al. 2017, UP-OSI).

    It is used as a Stable-Baselines3 model is: ``predict`` takes observations without a context,
    and :func:`rltransfer.evaluate` takes the whole.

    Args:
        agent: Agent trained with ``randomized(..., context=True)``; its policy sees the context
            behind the observation.
        estimator: What infers the context.
        count: Number of parameters in the context.

    Raises:
        BadArgument: The agent needs masks of actions, of which ``predict`` is not told.
        SpaceMismatch: The agent's observations have no place for a context.

    Attributes:
        agent: The agent.
        policy: The agent's policy.
        device: Where it computes.
        observation_space: What the environment gives, without a context.
        action_space: What the policy gives.
        estimator: What infers the context.
    """

    def __init__(self, agent: Agent, estimator: Estimator, count: int) -> None:
        if agent.algorithm == "maskable_ppo":
            raise BadArgument(
                f"{agent.card.name!r} needs masks of actions, and a policy that infers its context "
                "is not told any: train it with algorithm='ppo'"
            )
        space = agent.observation_space
        if not isinstance(space, spaces.Box) or len(space.shape) != 1 or space.shape[0] <= count:
            raise SpaceMismatch(
                f"a context of {count} number(s) behind the observation does not fit {space}: give"
                " an agent trained on a task of randomized(..., context=True)"
            )
        self.agent = agent
        self._model: Any = agent.build()
        self._normalize = observation_normalizer(space, agent.normalization)
        self.estimator = estimator
        self.policy: torch.nn.Module = self._model.policy
        self.device: torch.device = self._model.device
        self.observation_space = spaces.Box(
            space.low[:-count], space.high[:-count], dtype=space.dtype.type
        )
        self.action_space: spaces.Space = agent.action_space

    @classmethod
    def load(cls, path: str | Path, *, classes: Mapping[str, type] | None = None) -> AdaptivePolicy:
        """Read what :meth:`save` wrote; nothing in the files is executed.

        Args:
            path: With or without ``.safetensors`` or ``.json``.
            classes: Your own classes that the agent was built with, by name.

        Raises:
            BadCheckpoint: A file is missing, corrupt, or of another agent.
            BadArgument: A class of yours is needed and was not given.
        """
        agent = Agent.read(path, classes=classes)
        estimator = saving.read(saving.context_path(path), agent)
        return cls(agent, estimator, len(estimator.names))

    def save(self, path: str | Path) -> Path:
        """Write the agent as :meth:`rltransfer.Agent.save` does, and ``PATH.context.safetensors``.

        A crash between the two leaves a pair of which :meth:`load` says that it does not belong
        together.

        Args:
            path: With or without ``.safetensors`` or ``.json``; the folder must exist.

        Returns:
            The path of the agent's JSON file.

        Raises:
            BadArgument: The context is known, or inferred by something of yours, and not by what
                :func:`rltransfer.meta.identify` fitted; or the path ends in ``.zip``.
            NotWritable: It could not be written.
        """
        if not isinstance(self.estimator, ContextEstimator):
            raise BadArgument(
                f"a {type(self.estimator).__name__} is no network that identify fitted: save the"
                " agent, policy.agent.save(path), and make the estimator anew in your script"
            )
        written = self.agent.save(path)
        saving.write(saving.context_path(path), self.estimator, self.agent)
        return written

    def predict(
        self,
        observation: Any,
        state: State | None = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, State]:
        """Choose actions; as ``predict`` of Stable-Baselines3 does.

        Args:
            observation: One observation (n,), or a batch (rows, n).
            state: What the last call returned; None at first.
            episode_start: Whether each row begins an episode, (rows,); by default where ``state``
                is None.
            deterministic: Take the most likely action; else sample.

        Returns:
            The action or actions, and the state for the next call.
        """
        given = np.asarray(observation, np.float32)
        observations = given.reshape(-1, *self.observation_space.shape)
        rows = len(observations)
        starts = np.full(rows, state is None) if episode_start is None else episode_start
        history = state.history if state else self._blank(rows)
        history = history.observe(observations, np.asarray(starts, bool))
        context = self.estimator.estimate(history)
        actions, recurrent = self._model.predict(
            self._normalize(np.concatenate([observations, context], axis=1)),
            state=state.recurrent if state else None,
            episode_start=np.asarray(starts),
            deterministic=deterministic,
        )
        history = history.act(encoded(self.action_space, actions))
        chosen = actions if given.ndim > 1 else actions[0]
        return chosen, State(history, context, recurrent)

    def _blank(self, rows: int) -> History:
        observed = self.observation_space.shape[0]
        acted = spaces.flatdim(self.action_space)
        return History.empty(rows, self.estimator.length, observed, acted)
