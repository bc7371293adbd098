"""The rule that the strategy table came to.

Of all strategies in ``benchmarks/results/strategies/development``, two were ahead, each where the
other was not: a full copy where the source acts well on the target, and fresh outputs of the actor
on the source's trunk, with the source's critic, where it does not. A source that is wrong is sure
of what it does, so that keeping its outputs, however regularized, costs more than they are worth;
its critic still knows good states from bad ones, and fitting another on the first rollouts of an
actor that is bad costs more than it gains. Probing costs steps as well, and one long episode says
enough for a choice between two.
"""

from __future__ import annotations

from rltransfer.choice import Choice
from rltransfer.selectors.evidence import Evidence
from rltransfer.selectors.parts import fresh_actor, fresh_unfit, require_score

GOOD = 0.5
"""Normalized score (0 is random, 1 the reference) from which on a source acts well."""


def by_table(evidence: Evidence) -> Choice:
    """Choose by the score of the unchanged source on the target.

    Args:
        evidence: Of it, the brief probe is read.

    Raises:
        BadArgument: Nothing says what a good score is.
    """
    if evidence.unfit:
        return fresh_unfit(evidence)
    probe = require_score(evidence.brief_probe, evidence.target)
    recipe = evidence.wanted.but(select=None)
    what = "everything is kept"
    if probe.score < GOOD:
        recipe = fresh_actor(recipe, evidence.action_space)
        what = "the actor's outputs start fresh, trunk and critic are kept"
    return Choice(
        recipe=recipe,
        score=probe.score,
        critic_fit=probe.critic_fit,
        steps=probe.steps,
        reason=f"zero-shot score {probe.score:.2f}: {what}",
    )
