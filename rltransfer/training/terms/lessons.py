"""What the source did on its own task, for a learner on the target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from rltransfer.errors import RecipeError
from rltransfer.training.terms.setting import Setting


class Lessons:
    """Transitions of a source on its own task, in the target's actions.

    Args:
        setting: Source and learner.
        count: Number of transitions.

    Attributes:
        states: The same, as the source had them.

    Raises:
        RecipeError: Observations or actions are not the target's.
    """

    def __init__(self, setting: Setting, count: int) -> None:
        policy = setting.model.policy
        if policy.squash_output:
            raise RecipeError(
                "a method of the recipe asks how likely the source's actions are, which is not "
                "defined at the bounds of squashed actions: use squash_output=False"
            )
        self.states = setting.source_states(count)
        actions = translated(
            self.states.actions,
            setting.agent.action_space,
            policy.action_space,
            setting.recipe.outputs,
        )
        kept = torch.as_tensor(actions, device=policy.device)
        # Coins are floats to torch, and boxes of any shape are rows, as in the rollout buffer.
        classes = isinstance(policy.action_space, spaces.Discrete | spaces.MultiDiscrete)
        boxes = isinstance(policy.action_space, spaces.Box)
        kept = kept.reshape(len(kept), -1) if boxes else kept
        self.actions = kept.long() if classes else kept.float()

    def log_prob(self, policy: Any, seen: Any, rows: Tensor) -> Tensor:
        """Log probabilities of the source's actions in some transitions, shape (B,)."""
        part = {k: v[rows] for k, v in seen.items()} if isinstance(seen, dict) else seen[rows]
        return policy.get_distribution(part).log_prob(self.actions[rows])


def translated(
    actions: np.ndarray,
    source: spaces.Space,
    target: spaces.Space,
    outputs: Sequence[int | None] | None,
) -> np.ndarray:
    """Say actions of the source in those of the target.

    Args:
        actions: As the source's environment takes them, shape (N, ...).
        source: Action space of the source.
        target: Action space of the target.
        outputs: For each output on the target the source's, or None; None if they agree.

    Raises:
        RecipeError: The spaces differ and are not mapped, or an action has no counterpart.
    """
    if outputs is None and _alike(source, target):
        return actions
    kinds = spaces.Discrete, spaces.Box
    mapped = outputs is not None and any(
        isinstance(source, kind) and isinstance(target, kind) for kind in kinds
    )
    if not mapped or outputs is None:
        raise RecipeError(
            f"a method of the recipe repeats what the source does, whose actions are {source}, and "
            f"the target's are {target}: map them with outputs, which works for Discrete and Box "
            "spaces, or drop the method"
        )
    if isinstance(source, spaces.Box):
        places = [index for index in outputs if index is not None]
        if len(places) < len(outputs):
            raise RecipeError(
                "a method of the recipe repeats what the source does, but outputs has None, of "
                "which the source's actions say nothing: drop one of the two"
            )
        return actions[:, places]
    counterparts = {index: place for place, index in enumerate(outputs)}
    lost = sorted(set(actions.tolist()) - counterparts.keys())
    if lost:
        raise RecipeError(
            f"a method of the recipe repeats what the source does, and outputs has no counterpart "
            f"of its action {lost[0]}: drop one of the two"
        )
    return np.array([counterparts[action] for action in actions.tolist()])


def _alike(source: spaces.Space, target: spaces.Space) -> bool:
    boxes = isinstance(source, spaces.Box) and isinstance(target, spaces.Box)
    return source.shape == target.shape if boxes else source == target
