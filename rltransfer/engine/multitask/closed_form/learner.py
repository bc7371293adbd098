"""Acting with, and updating, a multi-task policy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from rltransfer.engine.closed_form.kernels import kernels
from rltransfer.engine.multitask.closed_form.inputs import Inputs
from rltransfer.engine.multitask.closed_form.layout import Matrices
from rltransfer.engine.multitask.closed_form.network import TaskNetwork
from rltransfer.engine.multitask.closed_form.rows import Parts, Rows, within
from rltransfer.engine.multitask.closed_form.stream import Stream
from rltransfer.engine.multitask.closed_form.update import CHUNK, Update
from rltransfer.engine.multitask.closed_form.workspace import Workspace
from rltransfer.engine.multitask.records import MultiTaskStatistics
from rltransfer.engine.records import Rollout, Settings


@dataclass(frozen=True, eq=False)
class Seats:
    """What acting keeps for one assignment of tasks to rows.

    Attributes:
        rows: The rows by task.
        block: Whether inputs of the encoders are a block.
        inputs: Room for them.
        space: Arrays of the actor.
    """

    rows: Rows
    block: bool
    inputs: np.ndarray
    space: Workspace


class MultiTaskLearner:
    """A multi-task policy, in numpy.

    Observations and actions are packed; their rows may be of any tasks in any order.

    Args:
        policy: A policy for which :func:`unsupported` has no objection.
        optimizer: Its ``torch.optim.Adam``.
        compiled: Whether the innermost loops are numba's.
    """

    # More assignments than an environment has.
    KEPT = 16

    def __init__(self, policy: Any, optimizer: Any, *, compiled: bool) -> None:
        self._policy = policy
        self._optimizer = optimizer
        self._network = TaskNetwork(policy, kernels(compiled=compiled))
        self._inputs = Inputs(policy, self._network.layout)
        self._noise = [policy.noise.get(task.key) for task in policy.tasks]
        self._width = int(policy.packing.action_space.shape[0])
        self._seats: dict[bytes, Seats] = {}
        self.read()

    def read(self) -> None:
        """Take the weights and the statistics of observations and returns from the policy."""
        self._network.layout.read(self._network.state.views[0])  # an update reads for itself
        self._inputs.read()

    def act(self, observations: np.ndarray) -> np.ndarray:
        """Draw actions, with the same use of torch's generator as ``policy.forward``.

        Args:
            observations: Packed, shape (n, 1 + P).

        Returns:
            Packed actions, shape (n, A), float32.

        Raises:
            BadArgument: A row is of no task of the policy.
            ValueError: The actor's outputs are not numbers.
        """
        seats, network = self._seated(observations), self._network
        rows, space = seats.rows, seats.space
        self._inputs.fill(seats.inputs, rows.sort(observations), rows.parts, block=seats.block)
        with np.errstate(all="ignore"):
            network.actor.forward(network.state.actor, space, seats.inputs)
            if not math.isfinite(space.flat_outputs.dot(space.flat_outputs)):
                network.check(space)
            actions = np.zeros((len(observations), self._width), np.float32)
            for j, task in enumerate(space.tasks):
                drawn = self._draw(task, space.outputs[j])
                actions[space.columns[j], : network.sizes[task]] = drawn
        return rows.unsort(actions)

    def predict_values(self, observations: np.ndarray) -> np.ndarray:
        """Values in units of each task's return, shape (n,), of packed observations."""
        network, values = self._network, self._policy.value_heads
        units = [
            (float(values[task.key].mean), float(values[task.key].std))
            for task in self._policy.tasks
        ]

        def evaluate(task: int, outputs: np.ndarray, rows: slice) -> np.ndarray:
            mean, std = units[task]
            return mean + std * outputs[0]

        return self._evaluated(
            Rows.of(observations, self._policy.tasks),
            observations,
            network.critic,
            network.state.critic,
            evaluate,
        )

    def log_prob(self, observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Log probabilities of actions.

        Args:
            observations: Packed, shape (n, 1 + P).
            actions: Packed, shape (n, A).

        Returns:
            Shape (n,).
        """
        rows, network = Rows.of(observations, self._policy.tasks), self._network
        given, log_stds = rows.sort(actions), network.state.log_stds

        def evaluate(task: int, outputs: np.ndarray, part: slice) -> np.ndarray:
            prepared = network.prepare(task, given[part])
            return network.heads[task].log_prob(outputs, log_stds[task], prepared)

        return self._evaluated(rows, observations, network.actor, network.state.actor, evaluate)

    def train(
        self, observations: np.ndarray, rollout: Rollout, settings: Settings
    ) -> MultiTaskStatistics:
        """Update policy and optimizer by PPO.

        Both hold the result of whole minibatches, also when an exception or Ctrl-C ends it.
        Encoders and heads that no row of a minibatch reaches stay as they are, with their moments;
        it is fastest where every minibatch holds rows of every task.

        Args:
            observations: Packed, shape (n, 1 + P).
            rollout: What was collected; actions packed, values and returns normalized.
            settings: Hyperparameters.

        Raises:
            BadArgument: A row is of no task of the policy.
            ValueError: The actor's outputs are not numbers.
        """
        self._inputs.read()
        rows = Rows.of(observations, self._policy.tasks)
        count = min(settings.batch_size, len(observations))
        block = self._network.actor.encoders.together(len(rows.parts), count)
        inputs = self._inputs.pack(rows.sort(observations), rows.parts, block=block)
        return Update(self._network, self._optimizer, rows, rollout, settings).run(inputs)

    def _seated(self, observations: np.ndarray) -> Seats:
        key = observations[:, 0].tobytes()
        found = self._seats.get(key)
        if found is None:
            if len(self._seats) >= self.KEPT:
                self._seats.clear()
            rows = Rows.of(observations, self._policy.tasks)
            space = self._network.actor.workspace(rows.parts)
            block = self._network.actor.encoders.together(len(rows.parts), len(observations))
            inputs = self._inputs.empty(rows.parts, block=block)
            found = self._seats[key] = Seats(rows, block, inputs, space)
        return found

    def _draw(self, task: int, outputs: np.ndarray) -> np.ndarray:
        head, log_std = self._network.heads[task], self._network.state.log_stds[task]
        noise = self._noise[task]
        if noise is None:
            return head.sample(outputs, log_std)
        white = torch.randn(outputs.shape[::-1], dtype=getattr(torch, outputs.dtype.name))
        return outputs.T + np.exp(log_std) * noise.mix(white.numpy())

    def _evaluated(
        self,
        rows: Rows,
        observations: np.ndarray,
        stream: Stream,
        weights: Matrices,
        evaluate: Callable[[int, np.ndarray, slice], np.ndarray],
    ) -> np.ndarray:
        """Evaluate each task's outputs, in chunks."""
        inputs = self._inputs.pack(rows.sort(observations), rows.parts, block=False)
        found = np.empty(len(inputs), inputs.dtype)
        with np.errstate(all="ignore"):
            for begin, parts in _chunks(rows.parts, len(inputs)):
                given = inputs[begin : begin + CHUNK]
                space = stream.workspace(parts)
                outputs = stream.forward(weights, space, given)
                for (task, start, stop), one in zip(parts, outputs, strict=True):
                    part = slice(begin + start, begin + stop)
                    found[part] = evaluate(task, one, part)
        return rows.unsort(found)


def _chunks(parts: Parts, rows: int) -> Iterator[tuple[int, Parts]]:
    for begin in range(0, rows, CHUNK):
        yield begin, within(parts, begin, begin + CHUNK)
