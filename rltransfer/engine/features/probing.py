"""How much of a features extractor may be computed once: what is frozen, steady and in a row."""

from __future__ import annotations

import math
from typing import Any

import torch
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from rltransfer.engine.features.branch import Branch
from rltransfer.engine.features.observing import Call, Run, leaves_of, observe, undisturbed
from rltransfer.engine.hooks import hooks_of, is_foreign

# Relative to the largest number. A batch of another size may be computed by another kernel, which
# on a GPU may round to the 10 bits of TF32; what depends on other rows differs by far more.
SAME = 1e-5
SAME_ROW = 1e-2


def find_branch(policy: Any, extractor: nn.Module, observation: Any) -> Branch:
    """Cut an extractor as deep as its layers are frozen, deterministic and alike for each row.

    Args:
        policy: The policy.
        extractor: One of its extractors.
        observation: Some observations, as ``obs_as_tensor`` gives them, at least two that differ.

    Returns:
        The branch; an empty one if there is nothing to save.
    """
    nothing = Branch(policy, extractor, (), 0)
    if type(extractor) is FlattenExtractor or _hooked(extractor) or all_trains(extractor):
        return nothing
    try:
        with undisturbed(policy):
            return _cut(policy, extractor, observation) or nothing
    except Exception:  # whatever an extractor says of observations that are none of its task's
        return nothing


def all_trains(extractor: nn.Module) -> bool:
    """Tell whether every layer of an extractor that has tensors trains.

    Layers may have buffers alone, which never train.
    """
    layers = [layer for layer in leaves_of(extractor) if _has_tensors(layer)]
    parameters = list(extractor.parameters())
    fixed = any(not list(layer.parameters()) for layer in layers)
    return bool(parameters) and not fixed and all(p.requires_grad for p in parameters)


def _cut(policy: Any, extractor: nn.Module, observation: Any) -> Branch | None:
    acting = observe(policy, extractor, observation, training=False)
    alone = observe(policy, extractor, _first(observation), training=False)
    # Last, so that modules are still in the mode in which they train.
    training = observe(policy, extractor, observation, training=True)
    layers = _chain(acting)
    if layers != _chain(training) or not _own_all(layers, training.moved):
        layers = []
    if _is_frozen(extractor) and _is_steady(extractor, acting, alone, training):
        return Branch(policy, extractor, layers, None)
    cut = _steady_layers(acting, alone, training)
    worthwhile = any(map(_has_tensors, layers[:cut]))
    return Branch(policy, extractor, layers, cut) if worthwhile else None


def _chain(run: Run) -> list[nn.Module]:
    """Layers, each of which reads the very tensor, unchanged, that the one before it returned.

    Returns:
        The layers from the observation to the features; empty if they are no such chain.
    """
    last = run.given
    for call in run.calls:
        if last is None or not _is_same(call.given, last):
            return []
        last = call.returned
    return [call.module for call in run.calls] if _is_same(run.returned, last) else []


def _own_all(layers: list[nn.Module], moved: frozenset[int]) -> bool:
    """Tell whether running the layers alone, without what holds them, moves all these buffers."""
    return moved <= {id(buffer) for layer in layers for buffer in layer.buffers()}


def _is_same(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return False
    return one.tensor is other.tensor and one.version == other.version


def _is_steady(extractor: nn.Module, acting: Run, alone: Run, training: Run) -> bool:
    """Tell whether an extractor computes the same in training, for one row, and leaves no trace."""
    return (
        not training.moved
        and not _drops(extractor)
        and _is_close(acting.value, training.value, SAME)
        and _is_close(acting.value[:1], alone.value, SAME_ROW)
    )


def _steady_layers(acting: Run, alone: Run, training: Run) -> int:
    """Number of layers, from the first, that are frozen and steady."""
    count = 0
    for calls in zip(acting.calls, alone.calls, training.calls, strict=False):
        module = calls[0].module
        if any(call.module is not module for call in calls) or not _is_frozen(module):
            break
        moved = any(id(buffer) in training.moved for buffer in module.buffers())
        if moved or _drops(module) or not _calls_agree(*calls):
            break
        count += 1
    return count


def _calls_agree(acting: Call, alone: Call, training: Call) -> bool:
    if acting.value is None or alone.value is None or training.value is None:
        return False
    return _is_close(acting.value, training.value, SAME) and _is_close(
        acting.value[:1], alone.value, SAME_ROW
    )


def _is_frozen(module: nn.Module) -> bool:
    return not any(p.requires_grad for p in module.parameters())


def _has_tensors(module: nn.Module) -> bool:
    return any(True for _ in (*module.parameters(), *module.buffers()))


def _hooked(extractor: nn.Module) -> bool:
    """Tell whether someone else watches or changes what the extractor's modules do."""
    return any(is_foreign(hook) for module in extractor.modules() for hook in hooks_of(module))


def _drops(module: nn.Module) -> bool:
    """Tell whether a module, or one in it, draws random masks in the mode it was last run in."""
    return any(
        isinstance(part, _DropoutNd) and part.training and part.p > 0 for part in module.modules()
    )


def _first(observation: Any) -> Any:
    if isinstance(observation, dict):
        return {key: part[:1] for key, part in observation.items()}
    return observation[:1]


def _is_close(one: Tensor, other: Tensor, tolerance: float) -> bool:
    if one.shape != other.shape:
        return False
    if not one.is_floating_point() or not one.numel():
        return torch.equal(one, other)
    scale = one.abs().max().item()
    return math.isfinite(scale) and torch.allclose(one, other, rtol=0.0, atol=tolerance * scale)
