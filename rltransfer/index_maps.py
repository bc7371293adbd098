"""Which source column or row each column or row of the target's tensors comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_flattened_obs_dim

from rltransfer.agents import Agent
from rltransfer.errors import RecipeError
from rltransfer.layers import LayerGroup, input_groups
from rltransfer.recipe import Recipe

Indices = tuple[int | None, ...]
# An LSTM's weights on its own state, on a projection of it, and of its upper layers.
_NOT_ON_INPUTS = re.compile(r"weight_(hh|hr)_l\d+|weight_ih_l[1-9]")


@dataclass(frozen=True)
class IndexMaps:
    """Which source column or row each target column or row comes from; None where all agree.

    Attributes:
        inputs: Source column for each target column, None for a new one.
        outputs: Source row for each target row, None for a new one.
        source_inputs: Width of the source's flattened observation.
        source_outputs: Number of the source's outputs.
        entry: Layer groups that the observation enters.
        columns: ``state_dict`` keys of the matrices that multiply the observation.
        other_inputs: Whether equally many inputs mean something else in the target, such as one
            Discrete observation instead of four numbers.
        other_outputs: Whether equally many outputs do, such as a mean instead of a logit.
        softmax: Whether outputs compete, so that an average bias makes a new one neutral.
    """

    inputs: Indices | None
    outputs: Indices | None
    source_inputs: int
    source_outputs: int
    entry: tuple[str, ...]
    columns: frozenset[str] = frozenset()
    other_inputs: bool = False
    other_outputs: bool = False
    softmax: bool = False

    @property
    def pads(self) -> bool:
        """Whether the source's columns stay where they are, and the target only has more."""
        return self.inputs is not None and all(
            index is None or index == i for i, index in enumerate(self.inputs)
        )


def index_maps(
    agent: Agent, policy: Any, groups: Mapping[str, LayerGroup], recipe: Recipe
) -> IndexMaps:
    """Resolve ``pad_inputs``, ``inputs`` and ``outputs`` against both pairs of spaces.

    Raises:
        RecipeError: A map has the wrong length, names an index that the source does not have, or
            could mean several matrices of a layer group.
    """
    seen, shown = agent.observation_space, policy.observation_space
    source_in, target_in = get_flattened_obs_dim(seen), get_flattened_obs_dim(shown)
    source_out, target_out = count_outputs(agent.action_space), count_outputs(policy.action_space)
    inputs = padding(seen, shown) if recipe.pad_inputs else _tuple(recipe.inputs)
    outputs = _tuple(recipe.outputs)
    _check_map("inputs", inputs, source_in, target_in)
    _check_map("outputs", outputs, source_out, target_out)
    entry = tuple(input_groups(groups))
    mapped = entry if inputs is not None else ()
    columns = [_columns_of(agent, policy, groups[name], source_in) for name in mapped]
    other_in = source_in == target_in and _columns(seen) != _columns(shown)
    other_out = _outputs(agent.action_space) != _outputs(policy.action_space)
    return IndexMaps(
        inputs=inputs,
        outputs=outputs,
        source_inputs=source_in,
        source_outputs=source_out,
        entry=entry,
        columns=frozenset().union(*columns),
        other_inputs=other_in and inputs is None,
        other_outputs=source_out == target_out and other_out and outputs is None,
        softmax=isinstance(policy.action_space, (spaces.Discrete, spaces.MultiDiscrete)),
    )


def _columns_of(agent: Agent, policy: Any, group: LayerGroup, width: int) -> set[str]:
    """Keys of the matrix of an entry group that multiplies the observation, if it has one."""
    found = [name for name in group.parameters if _multiplies(agent.weights.get(name), name, width)]
    if len(found) > 1:
        raise RecipeError(
            f"{group.name} has {len(found)} matrices with {width} columns ({', '.join(found)}), "
            "and only that on the observation is mapped: let layer_groups() name them one by one"
        )
    tensors = policy.state_dict(keep_vars=True)
    return {key for key in group.keys if found and tensors[key] is tensors[found[0]]}


def _multiplies(tensor: torch.Tensor | None, name: str, width: int) -> bool:
    matrix = tensor is not None and tensor.dim() == 2 and tensor.shape[1] == width
    return matrix and name != "log_std" and not _NOT_ON_INPUTS.search(name)


def padding(source: spaces.Space, target: spaces.Space) -> Indices:
    """Source column for each target column when new inputs come last.

    Raises:
        RecipeError: The target does not observe what the source did and then more.
    """
    count, more = get_flattened_obs_dim(source), get_flattened_obs_dim(target)
    if more < count:
        raise RecipeError(
            f"pad_inputs is for targets that observe more, but source has {count} inputs and "
            f"target {more}: wrap the target in rltransfer.adapters.PadObservation"
        )
    if not _extends(_columns(source), _columns(target)):
        raise RecipeError(
            f"pad_inputs cannot tell which inputs are new in {target}, seen from {source}: "
            f"use inputs, {more} source indices (None where new) over the flattened observation"
        )
    return tuple(i if i < count else None for i in range(more))


def count_outputs(space: spaces.Space) -> int:
    """Number of outputs of the actor head for an action space."""
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    if isinstance(space, spaces.MultiDiscrete):
        return int(space.nvec.sum())
    return get_flattened_obs_dim(space)


def _columns(space: spaces.Space) -> tuple[Any, ...]:
    """How the flattened observation is laid out, in parts."""
    if isinstance(space, spaces.Dict):
        return tuple(("key", key, _columns(part)) for key, part in space.spaces.items())
    if isinstance(space, spaces.MultiDiscrete):
        return tuple(("classes", int(n)) for n in space.nvec.reshape(-1))
    if isinstance(space, spaces.Discrete):
        return (("classes", int(space.n)),)
    return (("numbers", get_flattened_obs_dim(space), len(space.shape or ())),)


def _outputs(space: spaces.Space) -> tuple[Any, ...]:
    if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete)):
        return _columns(space)
    return (type(space).__name__, count_outputs(space))


def _extends(source: tuple[Any, ...], target: tuple[Any, ...]) -> bool:
    """Whether the target's columns are the source's and then more."""
    if source == target[: len(source)]:
        return True
    # One vector, or one class out of several, that grew; a growing image or matrix is laid out
    # row by row, so that its new columns do not come last.
    grew = len(source) == len(target) == 1 and source[0][0] == target[0][0]
    return grew and source[0][2:] == target[0][2:] and source[0][2:] in ((), (1,))


def _tuple(indices: Sequence[int | None] | None) -> Indices | None:
    return None if indices is None else tuple(indices)


def _check_map(name: str, indices: Sequence[int | None] | None, source: int, target: int) -> None:
    if indices is None:
        return
    if len(indices) != target:
        raise RecipeError(
            f"{name} has {len(indices)} entries, but the target has {target}: "
            "give one source index, or None, for each"
        )
    beyond = [i for i in indices if i is not None and i >= source]
    if beyond:
        raise RecipeError(f"{name} names {beyond[0]}, but the source has only 0..{source - 1}")
