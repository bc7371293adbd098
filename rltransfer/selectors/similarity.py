"""The rule "the more similar, the more of the source's data; the less, the more of its model".

A common rule of thumb (as in Zhuang et al. 2021's division into instance, feature and parameter
transfer) sends near tasks to instance transfer, middling ones to feature transfer and far ones to
model transfer. For PPO the three are taken to be:

==========  ================  ==================================================================
instance    closeness >= 2/3  everything is kept, and data of the source is used again: what it does
                              in states of its own task is cloned, ever less (Cloning)
feature     1/3 to 2/3        the trunk is kept, the outputs of actor and critic start fresh
model       closeness < 1/3   all parameters are where training starts, and all of them train
==========  ================  ==================================================================

The thresholds cut the range of :attr:`Closeness.value` into thirds; they were not tuned. Evidence
from reinforcement learning speaks against the rule: a full copy is near the best where tasks are
alike, and the risky choice where they are not. It is here to be compared with ``"zero_shot"``;
``benchmarks/similarity.py`` does.
"""

from __future__ import annotations

import math

from rltransfer.choice import Choice
from rltransfer.methods import Cloning
from rltransfer.recipe import Recipe
from rltransfer.selectors.evidence import Evidence
from rltransfer.selectors.parts import fresh_actor, fresh_unfit

HIGH = 2 / 3
LOW = 1 / 3
INSTANCES = Cloning(fade="exponential", until=0.4)
"""Fades as :class:`Kickstart` does, so that the learner may leave its source behind."""


def by_similarity(evidence: Evidence) -> Choice:
    """Choose by the closeness of the two tasks.

    Args:
        evidence: Of it, the closeness is read.

    Raises:
        TransferError: The source's task cannot be made.
    """
    if evidence.unfit:
        return fresh_unfit(evidence)
    closeness = evidence.closeness
    recipe, what = _by_value(closeness.value, evidence)
    reason = (
        f"similarity {closeness.value:.2f} (telling observations apart "
        f"{closeness.observation_auc:.2f}, dynamics explained {closeness.dynamics_fit:.2f}): {what}"
    )
    return Choice(recipe, math.nan, math.nan, closeness.steps, reason)


def _by_value(value: float, evidence: Evidence) -> tuple[Recipe, str]:
    base = evidence.wanted.but(select=None)
    if value >= HIGH:
        return _instances(base, evidence.algorithm)
    if value >= LOW:
        recipe = fresh_actor(base, evidence.action_space).but(critic="refit")
        return recipe, "features: the trunk is kept, the outputs start fresh"
    return base, "model: everything is kept, and everything trains"


def _instances(base: Recipe, algorithm: str) -> tuple[Recipe, str]:
    if algorithm != "ppo":  # whose updates are sb3-contrib's own code
        return base, f"instances: everything is kept; {algorithm} cannot clone the source"
    words = "instances: everything is kept, and the source's actions in its own task are cloned"
    return base.but(retain=INSTANCES), words
