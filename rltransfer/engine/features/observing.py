"""Finding out, by running it, what a features extractor does with an observation."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import BaseModel
from stable_baselines3.common.utils import obs_as_tensor
from torch import Tensor, nn

SAMPLES = 3
# Made-up observations lie within this range where the space has none that is smaller.
SPREAD = 6.0


class Versioned(NamedTuple):
    """A tensor, and how often it had been changed in place at some moment."""

    tensor: Tensor
    version: int


class Call(NamedTuple):
    """One call of a module that counts as one layer.

    Attributes:
        module: The module.
        given: Its input; None unless it was one tensor.
        returned: Its output; None unless it was one tensor.
        value: A copy of the output.
    """

    module: nn.Module
    given: Versioned | None
    returned: Versioned | None
    value: Tensor | None


class KeptBuffer(NamedTuple):
    """A buffer, where it belongs, and a copy of its value at some moment."""

    module: nn.Module
    name: str
    buffer: Tensor
    value: Tensor

    def has_moved(self) -> bool:
        """Tell whether it was replaced or changed since (BatchNorm's do not count versions)."""
        now = self.module._buffers[self.name]
        return now is not self.buffer or not torch.equal(self.buffer, self.value)


class Run(NamedTuple):
    """One run of an extractor.

    Attributes:
        given: The preprocessed observation; None unless it was one tensor.
        calls: Calls of its layers, in order; see :func:`leaves_of`.
        returned: The features.
        value: A copy of the features.
        moved: Identities of the buffers that the run changed.
    """

    given: Versioned | None
    calls: list[Call]
    returned: Versioned | None
    value: Tensor
    moved: frozenset[int]


def observe(policy: Any, extractor: nn.Module, observation: Any, *, training: bool) -> Run:
    """Run an extractor as SB3 does while acting or while training.

    Args:
        policy: The policy; its mode is set.
        extractor: One of its extractors.
        observation: Observations as ``obs_as_tensor`` gives them; not modified.
        training: Whether in training mode.
    """
    policy.set_training_mode(training)
    before = _snapshot(extractor)
    seen: list[Versioned | None] = []

    def run(preprocessed: Any) -> Any:
        seen.append(_versioned(preprocessed))
        return extractor(preprocessed)

    # SB3 normalizes images and encodes numbers here, whatever comes after.
    extract: Any = BaseModel.extract_features
    with _recording(extractor) as calls:
        features = extract(policy, _copied(observation), run)
    moved = frozenset(id(kept.buffer) for kept in before if kept.has_moved())
    return Run(seen[0], calls, _versioned(features), features.clone(), moved)


def leaves_of(module: nn.Module) -> Iterator[nn.Module]:
    """Modules without children, and those that say they are ``computed_as_one``, in order."""
    children = list(module.children())
    if not children or getattr(module, "computed_as_one", False):
        yield module
        return
    for child in children:
        yield from leaves_of(child)


@contextmanager
def undisturbed(policy: nn.Module) -> Iterator[None]:
    """Put random streams, attributes, modes and buffers of a policy back as they were.

    Running a policy in training mode draws Dropout masks and moves BatchNorm statistics, and a
    user's own module may count or average what it sees.
    """
    attributes = [(module, dict(vars(module))) for module in policy.modules()]
    arrays = [
        (value, copy.copy(value) if isinstance(value, np.ndarray) else value.clone())
        for _, held in attributes
        for value in held.values()
        if isinstance(value, np.ndarray | Tensor)
    ]
    streams = random.getstate(), np.random.get_state()
    before = _snapshot(policy)
    devices = {p.device for p in policy.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(list(devices)), torch.no_grad():
        try:
            yield
        finally:
            random.setstate(streams[0])
            np.random.set_state(streams[1])
            for module, held in attributes:
                vars(module).clear()
                vars(module).update(held)
            for array, value in arrays:
                array[...] = value  # pyright: ignore[reportArgumentType]
            for kept in before:
                if kept.has_moved():
                    kept.module._buffers[kept.name] = kept.buffer.copy_(kept.value)


def more_observations(space: spaces.Space, observation: Any) -> Any:
    """Append made-up rows to a batch of observations, so that not all are alike.

    Args:
        space: Observation space of the policy.
        observation: Observations as ``obs_as_tensor`` gives them.

    Returns:
        A larger batch, of the same types, on the same device. The space's own random stream is
        not touched.
    """
    if isinstance(space, spaces.Dict):
        return {key: more_observations(space[key], part) for key, part in observation.items()}
    samples: Any = obs_as_tensor(_samples(space), observation.device)
    samples = samples.reshape(-1, *observation.shape[1:]).to(observation.dtype)
    return torch.cat([observation, samples])


@contextmanager
def _recording(extractor: nn.Module) -> Iterator[list[Call]]:
    calls: list[Call] = []
    inputs: list[Versioned | None] = []

    def before(module: nn.Module, args: Any, kwargs: Any) -> None:
        inputs.append(_versioned(args[0]) if len(args) == 1 and not kwargs else None)

    def after(module: nn.Module, args: Any, output: Any) -> None:
        value = output.clone() if isinstance(output, Tensor) else None
        calls.append(Call(module, inputs.pop(), _versioned(output), value))

    leaves = list(dict.fromkeys(leaves_of(extractor)))
    hooks = [leaf.register_forward_pre_hook(before, with_kwargs=True) for leaf in leaves]
    hooks += [leaf.register_forward_hook(after) for leaf in leaves]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def _snapshot(module: nn.Module) -> list[KeptBuffer]:
    return [
        KeptBuffer(part, name, buffer, buffer.clone())
        for part in module.modules()
        for name, buffer in part._buffers.items()
        if buffer is not None
    ]


def _samples(space: spaces.Space) -> np.ndarray:
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
        low = np.minimum(np.maximum(space.low, -SPREAD / 2), space.high)
        high = np.minimum(space.high, low + SPREAD)
        drawn = np.random.default_rng(0).random((SAMPLES, *space.shape))
        return (low + drawn * (high - low)).astype(space.dtype)
    own = copy.deepcopy(space)
    own.seed(0)
    return np.stack([own.sample() for _ in range(SAMPLES)])


def _copied(observation: Any) -> Any:
    if isinstance(observation, dict):
        return {key: part.clone() for key, part in observation.items()}
    return observation.clone()


def _versioned(value: Any) -> Versioned | None:
    return Versioned(value, value._version) if isinstance(value, Tensor) else None
