"""Whether forward transfer and forgetting are what Continual World defines, on curves made by hand.

    python benchmarks/published/continual_world.py                     # a second

Three tasks are learned one after the other, each for D = 4 units of time; T = 12. The success rate
on task i is p_i(t), that of training on it alone is b_i(t), both linear between the knots below.
The definitions, with N tasks and task i trained from (i-1) D to i D:

    AUC_i = 1/D * integral of p_i over its own training    AUC^b_i = 1/D * integral_0^D b_i
    FT_i  = (AUC_i - AUC^b_i) / (1 - AUC^b_i)              FT      = mean of FT_i
    F_i   = p_i(i D) - p_i(T)                              F       = mean of F_i
    P(t)  = mean of p_i(t)                                 reported: P(T)

Worked out by hand:

    task 1: p rises from 0 to 1, as b does: AUC 1/2, AUC^b 1/2, FT 0. It falls to 0.4: F 0.6.
    task 2: p rises from 0.2 to 1: AUC 0.6. b rises from 0 to 0.8: AUC^b 0.4. FT 0.2 / 0.6 = 1/3.
            It falls to 0.9: F 0.1.
    task 3: p is 0, 0, 0.1, 0.4, 1 at its five knots: AUC (0 + 0.05 + 0.25 + 0.7) / 4 = 0.25. b
            rises from 0 to 1: AUC^b 0.5. FT -0.25 / 0.5 = -1/2. It is the last task: F 0.
    FT (0 + 1/3 - 1/2) / 3 = -1/18, F (0.6 + 0.1 + 0) / 3 = 7/30, P(T) (0.4 + 0.9 + 1) / 3 = 23/30.

The authors' code (awarelab/continual_world, results_processing/tables.py and sac.py) takes other
ways to the same quantities: it evaluates after every 20,000 of a task's 1,000,000 steps, never
before the first; an area is the mean of these 50 points, not an integral; a success rate "at the
end" is the mean of the last 5 evaluations; areas are averaged over seeds before FT_i is taken. The
last column of the table is what these ways give on the same curves, and so their size: largest on
curves that still move when training ends, as these do.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from claims import Claim, Row, conclude, document, options, table, verdict

from rltransfer.metrics import auc, forgetting, forward_transfer, on_grid

NAME = "continual_world"
COMMAND = f"python benchmarks/published/{NAME}.py"
SOURCE = (
    "Wolczyk et al. 2021, Continual World: A Robotic Benchmark for Continual Reinforcement "
    "Learning, arXiv:2105.10919, section 4.2 (metrics); code at github.com/awarelab/"
    "continual_world, results_processing/tables.py."
)
SPAN = 4
KNOTS = np.arange(3 * SPAN + 1)
SUCCESS = np.array(
    [
        [0, 0.25, 0.5, 0.75, 1, 0.925, 0.85, 0.775, 0.7, 0.625, 0.55, 0.475, 0.4],
        [0, 0.05, 0.1, 0.15, 0.2, 0.4, 0.6, 0.8, 1, 0.975, 0.95, 0.925, 0.9],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.1, 0.4, 1],
    ]
)
ALONE = np.array([[0, 0.25, 0.5, 0.75, 1], [0, 0.2, 0.4, 0.6, 0.8], [0, 0.25, 0.5, 0.75, 1]])
BY_HAND = {
    "forward transfer": (Fraction(0), Fraction(1, 3), Fraction(-1, 2), Fraction(-1, 18)),
    "forgetting": (Fraction(3, 5), Fraction(1, 10), Fraction(0), Fraction(7, 30)),
    "average performance": (Fraction(23, 30),),
}
ROUNDING = 1e-12
EVALUATIONS, TAIL = 50, 5


def ours() -> dict[str, list[float]]:
    """The metrics as this library computes them: each task, then the mean; P(T) alone."""
    own = np.arange(SPAN + 1)
    parts = [SUCCESS[i, i * SPAN : (i + 1) * SPAN + 1] for i in range(len(SUCCESS))]
    transfer = [
        forward_transfer(float(auc(own, part)), float(auc(own, alone)))
        for part, alone in zip(parts, ALONE, strict=True)
    ]
    lost = forgetting([part[-1] for part in parts], SUCCESS[:, -1])
    at_end = on_grid(KNOTS, SUCCESS, [KNOTS[-1]])
    return _tabulate(transfer, np.asarray(lost), at_end)


def theirs(evaluations: int = EVALUATIONS, tail: int = TAIL) -> dict[str, list[float]]:
    """The same metrics by the conventions of the authors' code, on the same curves.

    Args:
        evaluations: Evaluations in each task's training, the last one at its end.
        tail: How many of them are averaged into a success rate "at the end".
    """
    every = np.arange(1, len(SUCCESS) * evaluations + 1) * SPAN / evaluations
    points = on_grid(KNOTS, SUCCESS, every)
    own = [points[i, i * evaluations : (i + 1) * evaluations] for i in range(len(SUCCESS))]
    alone = on_grid(np.arange(SPAN + 1), ALONE, every[:evaluations])
    transfer = [
        forward_transfer(float(p.mean()), float(b.mean())) for p, b in zip(own, alone, strict=True)
    ]
    at_end = points[:, -tail:].mean(axis=1)
    lost = forgetting([p[-tail:].mean() for p in own], at_end)
    return _tabulate(transfer, np.asarray(lost), at_end)


def _tabulate(transfer: list[float], lost: np.ndarray, at_end: np.ndarray) -> dict[str, list]:
    return {
        "forward transfer": [*transfer, float(np.mean(transfer))],
        "forgetting": [*lost.tolist(), float(lost.mean())],
        "average performance": [float(at_end.mean())],
    }


def run() -> list[Row]:
    """One row for each quantity and task, and for the means over tasks."""
    mine, code = ours(), theirs()
    return [
        {
            "quantity": quantity,
            "task": str(i + 1) if i < 3 and len(answers) > 1 else "mean",
            "by_hand": float(answer),
            "ours": mine[quantity][i],
            "their_code": code[quantity][i],
        }
        for quantity, answers in BY_HAND.items()
        for i, answer in enumerate(answers)
    ]


def page(rows: Sequence[Row], *, command: str = COMMAND) -> str:
    """The document of the check, from its rows alone."""
    claims = []
    for quantity, answers in BY_HAND.items():
        off = [abs(r["ours"] - r["by_hand"]) for r in rows if r["quantity"] == quantity]
        text = ", ".join(str(answer) for answer in answers)
        claims.append(
            Claim(
                published=f"{quantity}, by the formula: {text}",
                ours=f"the same, to {max(*off, 1e-16):.0e}",
                verdict=verdict(agrees=max(off) < ROUNDING),
            )
        )
    apart = [row["their_code"] - row["ours"] for row in rows]
    same_sides = all(r["their_code"] * r["ours"] >= 0 for r in rows)
    claims.append(
        Claim(
            published="the same quantities by the conventions of the authors' code",
            ours=f"differ from the formulas by up to {max(map(abs, apart)):.3f}",
            verdict=verdict(agrees=max(map(abs, apart)) < ROUNDING, direction=same_sides),
        )
    )
    lines = [["quantity", "task", "by hand", "rltransfer", "authors' code", "difference"]]
    for row, gap in zip(rows, apart, strict=True):
        numbers = (f"{row[key]:+.4f}" for key in ("by_hand", "ours", "their_code"))
        lines.append([row["quantity"], str(row["task"]), *numbers, f"{gap:+.4f}"])
    return document(
        title="The metrics of Continual World, on curves made by hand",
        source=SOURCE,
        command=command,
        claims=claims,
        body=f"{table(lines)}\n{NOTES}",
    )


NOTES = """\
The curves and the answers are worked out in the script's text. What the authors' code does
differently, and what it does to these curves:

- An area is the mean of 50 evaluations, each after 20,000 steps, none at step 0. For n evaluations
  it is larger than the integral by (p(end) - p(start)) / 2n: at most 0.01 at n = 50. Both areas of
  forward transfer move, so that it moves by about 0.01.
- A success rate "at the end" is the mean of the last 5 evaluations, which lags by two evaluations.
  Where the curve still rises by its whole range in the last task, as here, forgetting moves by
  0.05; where it is flat, by nothing. It also averages noise, which one evaluation does not.
- Areas are averaged over seeds before FT_i is taken. For areas 0.6 and 0.8 against 0.4 and 0.6 this
  gives (0.7 - 0.5) / (1 - 0.5) = 0.400, and the mean of the two seeds' own FT_i is 0.417. The
  reports of rltransfer average first, too.
- `rltransfer.metrics.forward_transfer` is nan from AUC^b = 0.99 on, where the formula divides by
  almost nothing; the code divides.
- F of the last task is 0 by definition, and is part of the mean over tasks in both.
"""


def main() -> int:
    parser = options(__doc__, NAME)
    args = parser.parse_args()
    return conclude(parser, args, NAME, lambda: run(), page)


if __name__ == "__main__":
    sys.exit(main())
