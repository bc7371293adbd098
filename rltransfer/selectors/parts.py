"""Changes of a recipe that several selectors make."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gymnasium import spaces

from rltransfer.choice import Choice
from rltransfer.errors import BadArgument
from rltransfer.probe import Probe
from rltransfer.recipe import Recipe
from rltransfer.selectors.evidence import Evidence


def fresh_unfit(evidence: Evidence) -> Choice:
    """Choose for a source that cannot act on the target: what does not fit starts fresh."""
    recipe = fresh_outputs(evidence.wanted.but(select=None), evidence.unfit)
    recipe = recipe if evidence.stats_fit else recipe.but(obs_stats="reset")
    reason = f"the spaces differ, so {', '.join(evidence.unfit)} start fresh and the rest is kept"
    return Choice(recipe, math.nan, math.nan, 0, reason)


def fresh_outputs(base: Recipe, reset: Sequence[str]) -> Recipe:
    """Let groups start fresh; outputs among them need no map from the source's."""
    return base.but(reset=reset, outputs=None if "actor.head" in reset else base.outputs)


def fresh_actor(base: Recipe, action_space: spaces.Space) -> Recipe:
    """Let the outputs of the actor start fresh, and with them its exploration."""
    continuous = isinstance(action_space, spaces.Box)
    return fresh_outputs(base, ["actor.head", *(["actor.std"] if continuous else [])])


def require_score(probe: Probe, target: str) -> Probe:
    """Refuse a score of the unchanged source that nothing can judge.

    Args:
        probe: How it did.
        target: Gymnasium id of the target.

    Raises:
        BadArgument: Nothing says what a good score is.
    """
    if math.isnan(probe.score):
        raise _no_reference(target)
    return probe


def _no_reference(target: str) -> BadArgument:
    return BadArgument(
        f"recipe 'auto' needs a level to compare with: give {target!r} a reference score with "
        "register_task(..., reference=...), or the source a score on its card: "
        "agent.with_card(score=rltransfer.evaluate(agent, episodes=100).score), or on the command "
        "line `rltransfer import AGENT.zip --out NAME --episodes 100`; or name another recipe, "
        "such as 'full'"
    )
