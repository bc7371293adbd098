"""What the zero-shot score on the target says about what to keep.

A source that already acts well on the target should keep all it has; one that does not act better
than at random has a head that is confidently wrong, while its trunk may still hold useful features
and its critic may still know good states from bad ones. The score is normalized, so that 0 is
random and 1 the task's reference.
"""

from __future__ import annotations

import math

import numpy as np
from gymnasium import spaces

from rltransfer.choice import Choice
from rltransfer.probe import Probe
from rltransfer.recipe import Recipe
from rltransfer.selectors.evidence import Evidence
from rltransfer.selectors.parts import fresh_actor, fresh_unfit, require_score

GOOD = 0.5
POOR = 0.1
CRITIC_FITS = 0.3
# Entropy, as a fraction of its maximum, under which a middling source hardly explores.
ENTROPY_FLOOR = 0.4
STD_FLOOR = math.log(0.5)


def by_zero_shot(evidence: Evidence) -> Choice:
    """Choose by the score of the unchanged source on the target.

    Args:
        evidence: Of it, the probe is read.

    Raises:
        BadArgument: Nothing says what a good score is.
    """
    if evidence.unfit:
        return fresh_unfit(evidence)
    probe, base = require_score(evidence.probe, evidence.target), evidence.wanted.but(select=None)
    if probe.score >= GOOD:
        recipe, what = base, "everything is kept"
    elif probe.score >= POOR:
        recipe, what = _loosened(base, probe, evidence.action_space)
    else:
        recipe, what = _new_heads(base, probe, evidence.action_space)
    reason = f"zero-shot score {probe.score:.2f}, critic fit {probe.critic_fit:.2f}: {what}"
    return Choice(recipe, probe.score, probe.critic_fit, probe.steps, reason)


def _loosened(base: Recipe, probe: Probe, action_space: spaces.Space) -> tuple[Recipe, str]:
    if isinstance(action_space, spaces.Box):
        words = f"everything is kept, with a standard deviation of at least {math.exp(STD_FLOOR)}"
        return base.but(log_std=STD_FLOOR), words
    temperature = _temperature(probe.logits)
    words = f"everything is kept, the logits softened by {temperature:g}"
    return base.but(temperature=temperature), words


def _new_heads(base: Recipe, probe: Probe, action_space: spaces.Space) -> tuple[Recipe, str]:
    base = fresh_actor(base, action_space)
    if probe.critic_fit >= CRITIC_FITS:
        return base, "the actor's outputs start fresh, the critic is kept"
    words = "the actor's outputs start fresh, the critic head is refitted"
    return base.but(critic="refit"), words


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
