"""Whether a gain is due to what the source agent knew."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rltransfer import metrics
from rltransfer.report.summary import ALPHA, Knowledge, Verdict

KNOWLEDGE_CONTROLS = ("permuted", "random-frozen", "unrelated", "reset-heads")
"""Arms that start like a transfer and carry no (or less) knowledge of the source task."""


def judge(verdict: Verdict, tables: Mapping[str, np.ndarray]) -> Knowledge:
    """Say which controls a method beat, and whether knowledge may be claimed.

    A control is beaten when the paired difference in AUC is positive, its 95 % interval excludes 0,
    and its sign-flip p-value, adjusted by Holm's method for the number of controls, is below 0.05.
    With four controls that takes at least 8 paired seeds.

    Args:
        verdict: That of the method against scratch.
        tables: Control to paired differences in AUC, method minus control, shape
            ``(sources, seeds)``, ``nan`` for missing runs. Controls that were not run with the
            same seeds are left out.

    Returns:
        Knowledge is claimed if the method helped and beat all of :data:`KNOWLEDGE_CONTROLS`. One
        that is left out prevents the claim.
    """
    tested = [name for name in KNOWLEDGE_CONTROLS if name in tables]
    by_seed = [np.nanmean(tables[name], axis=0) for name in tested]
    p_values = metrics.holm([metrics.sign_flip_test(differences) for differences in by_seed])
    beats = tuple(
        name
        for name, p in zip(tested, p_values, strict=True)
        if p < ALPHA and metrics.crossed_mean(tables[name]).interval().low > 0
    )
    not_beaten = tuple(name for name in tested if name not in beats)
    untested = tuple(name for name in KNOWLEDGE_CONTROLS if name not in tables)
    return Knowledge(
        claimed=verdict == "helped" and not not_beaten and not untested,
        beats=beats,
        not_beaten=not_beaten,
        untested=untested,
    )
