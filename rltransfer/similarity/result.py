"""All measures of similarity between a source and a target, and what they mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple


class Measure(NamedTuple):
    """What one measure is.

    Attributes:
        meaning: In a line.
        alike: Its value where source and target are the same; None where there is no such value.
        sign: 1 if more is more similar, -1 if less is.
    """

    meaning: str
    alike: float | None
    sign: int


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "zero_shot": Measure("normalized score of the unchanged source", None, 1),
        "critic_fit": Measure("explained variance of the source's critic", None, 1),
        "observation_auc": Measure("telling random observations apart", 0.5, -1),
        "observation_mmd": Measure("distance of random observations", 0.0, -1),
        "dynamics_gap": Measure("error of the source's dynamics, target over source", 1.0, -1),
        "dynamics_fit": Measure("what the source's dynamics explain of the target", 1.0, 1),
        "control_cosine": Measure("what actions do", 1.0, 1),
        "closeness": Measure("observations and dynamics together", 1.0, 1),
        "gradient_cosine": Measure("direction of the source's policy gradients", 1.0, 1),
        "fisher_cosine": Measure("parameters that actions depend on", 1.0, 1),
        "cka": Measure("actor's features, source against briefly trained", None, 1),
        "logme": Measure("evidence of the critic's features for returns", None, 1),
    }
)
"""Every measure by the field of :class:`Similarity` that holds it."""


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """How similar a target is to a source, by several measures; nan where one cannot be had.

    None of them was shown to say what a transfer will gain; ``benchmarks/similarity.py`` ranks
    them. ``print`` it for a table.

    Attributes:
        source: Name of the source agent.
        target: Gymnasium id of the target.
        zero_shot: Normalized score of the unchanged source, acting deterministically; 0 is random
            play, 1 the reference. See :mod:`rltransfer.probe`.
        critic_fit: Explained variance of its critic on the returns of these episodes.
        observation_auc: See :func:`rltransfer.similarity.two_sample.classifier_auc`.
        observation_mmd: See :func:`rltransfer.similarity.mmd.mmd`.
        dynamics_gap: See :class:`rltransfer.similarity.dynamics.DynamicsFit`.
        dynamics_fit: The same, ``retained``.
        control_cosine: The same, ``control``.
        closeness: See :attr:`rltransfer.similarity.closeness.Closeness.value`.
        gradient_cosine: Cosine between the gradients of PPO's policy loss on a rollout of the
            source in its own task and one in the target.
        fisher_cosine: Cosine of the diagonal Fisher information of its actor in the two; see
            :func:`rltransfer.similarity.gradients.fisher_cosine`.
        cka: Linear CKA between what the source's actor head reads and what that of a network reads
            that was trained on the target from scratch, briefly; on the states that the latter
            visits, which do not depend on how well the source does.
        logme: See :func:`rltransfer.similarity.logme.logme`, of what the source's critic head reads
            in the target for the returns there.
        steps: Environment steps on the target that all this took.
        source_steps: Environment steps on the source's task.
    """

    source: str
    target: str
    zero_shot: float = math.nan
    critic_fit: float = math.nan
    observation_auc: float = math.nan
    observation_mmd: float = math.nan
    dynamics_gap: float = math.nan
    dynamics_fit: float = math.nan
    control_cosine: float = math.nan
    closeness: float = math.nan
    gradient_cosine: float = math.nan
    fisher_cosine: float = math.nan
    cka: float = math.nan
    logme: float = math.nan
    steps: int = 0
    source_steps: int = 0

    def __str__(self) -> str:
        rows = [("measure", "value", "alike", "what it is")]
        for name, one in MEASURES.items():
            alike = "" if one.alike is None else f"{one.alike:g}"
            more = "more" if one.sign > 0 else "less"
            value = getattr(self, name)
            shown = "-" if math.isnan(value) else f"{value:.3f}"
            rows.append((name, shown, alike or more, one.meaning))
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = [_line(row, widths) for row in rows]
        title = f"{self.source} -> {self.target}"
        cost = f"{self.steps:,} steps on the target, {self.source_steps:,} on the source's task"
        return "\n".join([title, lines[0], "-" * len(lines[0]), *lines[1:], cost])


def _line(row: tuple[str, str, str, str], widths: list[int]) -> str:
    name, value, alike, meaning = row
    left, middle, right = widths
    return f"{name.ljust(left)}  {value.rjust(middle)}  {alike.rjust(right)}  {meaning}".rstrip()
