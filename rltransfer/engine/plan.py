"""Which path a model takes, and why not a faster one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.buffers import DictRolloutBuffer, RolloutBuffer
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor
from torch import nn

from rltransfer.engine import closed_form
from rltransfer.engine.features import FrozenFront
from rltransfer.engine.options import EngineOptions, Path
from rltransfer.engine.replaced import replaced_methods

ORDER: tuple[Path, ...] = ("closed_form", "autograd", "stock")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The path of a rollout or an update.

    Attributes:
        path: The path.
        why: Why none of the faster paths, by path; empty for the fastest.
    """

    path: Path
    why: tuple[tuple[Path, str], ...] = ()


def choose(model: Any, options: EngineOptions, front: FrozenFront | None) -> Plan:
    """Choose the fastest path that covers a model.

    Args:
        model: The algorithm.
        options: What the user allows.
        front: The frozen layers of the features extractor, if any.
    """
    why = []
    for path in ORDER:
        reason = _hindrance(path, model, options, front)
        if reason is None:
            return Plan(path=path, why=tuple(why))
        why.append((path, reason))
    raise AssertionError("nothing hinders SB3's own code")


def is_stock(model: Any, options: EngineOptions) -> bool:
    """Tell whether a model runs on SB3's own code, without looking at the faster paths."""
    return options.path == "stock" or _not_autograd(model) is not None


def has_plain_observations(model: Any) -> bool:
    """Tell whether observations are features as they are: vectors, flattened."""
    policy, space = model.policy, model.observation_space
    return (
        isinstance(space, spaces.Box)
        and not (policy.normalize_images and is_image_space(space))
        and all(type(extractor) is FlattenExtractor for extractor in _extractors(policy))
    )


def _hindrance(
    path: Path, model: Any, options: EngineOptions, front: FrozenFront | None
) -> str | None:
    if path == "stock":
        return None
    if options.path != "auto" and ORDER.index(path) < ORDER.index(options.path):
        return f"options ask for {options.path}"
    # What autograd cannot do, closed form cannot either.
    reason = _not_autograd(model)
    return reason if reason or path == "autograd" else _not_closed_form(model, front)


def _not_autograd(model: Any) -> str | None:
    kinds = (RolloutBuffer, DictRolloutBuffer)
    if type(model.rollout_buffer) not in kinds:
        return f"the rollout buffer is a {type(model.rollout_buffer).__name__}"
    for name in replaced_methods(model.rollout_buffer):
        return f"{name} of the rollout buffer was replaced"
    if not isinstance(model.policy, ActorCriticPolicy):
        return f"the policy is a {type(model.policy).__name__}, no ActorCriticPolicy"
    return None


def _not_closed_form(model: Any, front: FrozenFront | None) -> str | None:
    kept = model.action_space.dtype
    if isinstance(model.action_space, spaces.Box) and not np.can_cast(np.float32, kept):
        return f"the rollout buffer rounds actions to {kept}"
    reason = closed_form.unsupported(model.policy, model.policy.optimizer)
    if reason is None and not _needs_no_gradient(model, front):
        return "the features extractor trains"
    return reason


def _needs_no_gradient(model: Any, front: FrozenFront | None) -> bool:
    if front is not None:
        return front.whole
    # Any other extractor without parameters might draw random numbers.
    return all(_only_flattens(module) for module in _extractors(model.policy))


def _extractors(policy: Any) -> tuple[nn.Module, ...]:
    return policy.features_extractor, policy.pi_features_extractor, policy.vf_features_extractor


def _only_flattens(extractor: nn.Module) -> bool:
    leaves = [module for module in extractor.modules() if not list(module.children())]
    return type(extractor) in (FlattenExtractor, CombinedExtractor) and all(
        type(leaf) in (FlattenExtractor, nn.Flatten) for leaf in leaves
    )
