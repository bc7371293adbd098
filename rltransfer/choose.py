"""The ``auto`` recipe: what the zero-shot score on the target says about what to keep.

A source that already acts well on the target should keep all it has; one that does not act better
than at random has a head that is confidently wrong, while its trunk may still hold useful features
and its critic may still know good states from bad ones. The score is normalized, so that 0 is
random and 1 the task's reference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from gymnasium import spaces

from rltransfer.probe import Probe
from rltransfer.recipe import Recipe

GOOD = 0.5
POOR = 0.1
CRITIC_FITS = 0.3
# Entropy, as a fraction of its maximum, under which a middling source hardly explores.
ENTROPY_FLOOR = 0.4
STD_FLOOR = math.log(0.5)


@dataclass(frozen=True)
class Choice:
    """What ``auto`` measured, and what it decided.

    Attributes:
        recipe: The recipe to follow.
        score: Normalized zero-shot score on the target; nan if the source could not act there.
        critic_fit: Explained variance of the source critic there; nan if unknown.
        steps: Environment steps that this took; they count in the budget.
        reason: The decision in a sentence.
    """

    recipe: Recipe
    score: float
    critic_fit: float
    steps: int
    reason: str


def choose(wanted: Recipe, probe: Probe, action_space: spaces.Space) -> Choice:
    """Choose a recipe from a probe.

    Args:
        wanted: The recipe with ``select``; its index maps are kept.
        probe: How the unchanged source did on the target.
        action_space: The target's actions.
    """
    base = wanted.but(select=None)
    if probe.score >= GOOD:
        recipe, what = base, "everything is kept"
    elif probe.score >= POOR:
        recipe, what = _loosened(base, probe, action_space)
    else:
        recipe, what = _new_heads(base, probe, action_space)
    reason = f"zero-shot score {probe.score:.2f}, critic fit {probe.critic_fit:.2f}: {what}"
    return Choice(recipe, probe.score, probe.critic_fit, probe.steps, reason)


def choose_unfit(wanted: Recipe, unfit: Sequence[str], *, stats_fit: bool = True) -> Choice:
    """Choose for a source that cannot act on the target, since some of its groups do not fit.

    Args:
        wanted: The recipe with ``select``; its index maps are kept.
        unfit: Names of the groups that do not fit.
        stats_fit: Whether the observation statistics do.
    """
    recipe = _fresh_outputs(wanted.but(select=None), unfit)
    recipe = recipe if stats_fit else recipe.but(obs_stats="reset")
    reason = f"the spaces differ, so {', '.join(unfit)} start fresh and the rest is kept"
    return Choice(recipe, math.nan, math.nan, 0, reason)


def _loosened(base: Recipe, probe: Probe, action_space: spaces.Space) -> tuple[Recipe, str]:
    if isinstance(action_space, spaces.Box):
        words = f"everything is kept, with a standard deviation of at least {math.exp(STD_FLOOR)}"
        return base.but(log_std=STD_FLOOR), words
    temperature = _temperature(probe.logits)
    words = f"everything is kept, the logits softened by {temperature:g}"
    return base.but(temperature=temperature), words


def _new_heads(base: Recipe, probe: Probe, action_space: spaces.Space) -> tuple[Recipe, str]:
    reset = ["actor.head", *(["actor.std"] if isinstance(action_space, spaces.Box) else [])]
    base = _fresh_outputs(base, reset)
    if probe.critic_fit >= CRITIC_FITS:
        return base, "the actor's outputs start fresh, the critic is kept"
    words = "the actor's outputs start fresh, the critic head is refitted"
    return base.but(critic="refit"), words


def _fresh_outputs(base: Recipe, reset: Sequence[str]) -> Recipe:
    """Outputs that start fresh need no map from the source's."""
    return base.but(reset=reset, outputs=None if "actor.head" in reset else base.outputs)


def _temperature(logits: np.ndarray | None) -> float:
    """Smallest softening that brings the mean entropy to :data:`ENTROPY_FLOOR` of its maximum."""
    if logits is None or len(logits) == 0 or logits.shape[1] < 2:
        return 1.0
    for temperature in (1.0, 1.5, 2.0, 3.0, 5.0):
        scaled = logits / temperature
        log_p = scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True)
        entropy = -(np.exp(log_p) * log_p).sum(axis=1).mean() / math.log(logits.shape[1])
        if entropy >= ENTROPY_FLOOR:
            return temperature
    return 10.0
