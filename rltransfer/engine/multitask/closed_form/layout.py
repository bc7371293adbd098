"""The parameters of a multi-task policy in one flat vector."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from rltransfer.engine.closed_form.activations import activation_of
from rltransfer.engine.closed_form.segments import FlatVector, Layer


@dataclass(frozen=True, eq=False)
class Matrices:
    """Matrices of a stream in a flat vector, each None if it was not asked for.

    Attributes:
        encoders: Of each task's encoder.
        trunk: Of each layer of the trunk.
        heads: Of each task's head.
        stack: Of the heads of all tasks together, each transposed; only where the layout says so.
        block: Of all encoders together, below each other.
    """

    encoders: tuple[Any, ...]
    trunk: tuple[Any, ...]
    heads: tuple[Any, ...]
    stack: Any
    block: Any


@dataclass(frozen=True, eq=False)
class StreamLayout:
    """Layers of the actor, or of the critic.

    Attributes:
        encoders: The encoder of each task; tasks may share one.
        trunk: Layers of the trunk.
        heads: The head of each task; tasks may share one.
    """

    encoders: tuple[Layer, ...]
    trunk: tuple[Layer, ...]
    heads: tuple[Layer, ...]

    def of(self, flat: np.ndarray, wanted: Set[int] | None = None) -> Matrices:
        """View the matrices in a flat vector.

        Args:
            flat: The vector.
            wanted: Identities of parameters; layers with none of them are left out.
        """

        def views(layers: Iterable[Layer]) -> tuple[Any, ...]:
            return tuple(
                layer.of(flat)
                if wanted is None or wanted & {id(layer.weight), id(layer.bias)}
                else None
                for layer in layers
            )

        heads, stack = views(self.heads), None
        if self.stack and any(one is not None for one in heads):
            start, length = self.heads[0].start, self.heads[0].shape[0]
            stack = flat[start : start + len(heads) * length].reshape(len(heads), length)
        encoders, block = views(self.encoders), None
        if any(one is not None for one in encoders):
            width = self.encoders[0].shape[1]
            start = min(layer.start for layer in self.encoders)
            block = flat[start : start + self.block_inputs * width].reshape(-1, width)
        return Matrices(encoders, views(self.trunk), heads, stack, block)

    @property
    def block_inputs(self) -> int:
        """Inputs of all encoders together."""
        return sum({layer.start: layer.shape[0] for layer in self.encoders}.values())

    @property
    def places(self) -> list[int]:
        """Where each task's inputs begin among them: encoders lie behind each other."""
        start, width = min(layer.start for layer in self.encoders), self.encoders[0].shape[1]
        return [(layer.start - start) // width for layer in self.encoders]

    @property
    def stack(self) -> bool:
        """Whether the heads have one output each, and lie behind each other."""
        length = self.heads[0].shape[0]
        starts = [self.heads[0].start + i * length for i in range(len(self.heads))]
        outputs = {head.shape[1] for head in self.heads}
        return outputs == {1} and [head.start for head in self.heads] == starts

    def used(self, task: int) -> list[Layer]:
        """Layers that rows of a task pass."""
        return [*self.trunk, self.encoders[task], self.heads[task]]


class TaskLayout(FlatVector):
    """Order of a multi-task policy's parameters in one flat vector.

    Attributes:
        actor: Layers from packed observations to the parameters of the action distributions.
        critic: Layers from packed observations to the normalized values.
        log_stds: Logarithm of each task's standard deviation; None for discrete actions.
    """

    def __init__(self, policy: Any) -> None:
        super().__init__()
        heads = {name: (f"action_heads.{name}", one) for name, one in policy.action_heads.items()}
        values = {
            key: (f"value_heads.{key}.linear", one.linear)
            for key, one in policy.value_heads.items()
        }
        self._tasks = policy.tasks
        self.actor = self._stream("actor", policy.actor, heads, [t.head for t in self._tasks])
        stds = {name: self._append(f"log_stds.{name}", p) for name, p in policy.log_stds.items()}
        self.log_stds = [stds.get(task.head) for task in self._tasks]
        self.critic = self._stream("critic", policy.critic, values, [t.key for t in self._tasks])

    def log_stds_of(self, flat: np.ndarray) -> list[np.ndarray]:
        """View each task's logarithm of the standard deviation, empty for discrete actions."""
        return [flat[:0] if segment is None else segment.of(flat) for segment in self.log_stds]

    def owners(self, tasks: Iterable[int]) -> dict[str, frozenset[int]]:
        """Which of some tasks reach a parameter with their rows, by its name."""
        found: dict[int, set[int]] = {}
        for task in tasks:
            layers = [*self.actor.used(task), *self.critic.used(task)]
            own = [tensor for layer in layers for tensor in (layer.weight, layer.bias)]
            own += [one.parameter for one in self.log_stds[task : task + 1] if one]
            for parameter in own:
                found.setdefault(id(parameter), set()).add(task)
        named = {one.name: found.get(id(one.parameter)) for one in self.segments}
        return {name: frozenset(own) for name, own in named.items() if own}

    def _stream(
        self, prefix: str, stream: Any, heads: dict[str, tuple[str, Any]], names: list[str]
    ) -> StreamLayout:
        encoders = {
            name: self._block(f"{prefix}.encoders.{name}", encoder)
            for name, encoder in stream.encoders.items()
        }
        trunk = [
            self._block(f"{prefix}.trunk.layers.{i}", block)
            for i, block in enumerate(stream.trunk.layers)
        ]
        tops = {name: self._layer(path, one, None) for name, (path, one) in heads.items()}
        return StreamLayout(
            tuple(encoders[task.encoder] for task in self._tasks),
            tuple(trunk),
            tuple(tops[name] for name in names),
        )

    def _block(self, path: str, block: Any) -> Layer:
        linear, after = block
        return self._layer(f"{path}.0", linear, activation_of(after))
