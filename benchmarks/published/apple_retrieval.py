"""Whether a policy forgets the states it does not reach, and the more so the farther they are.

    python benchmarks/published/apple_retrieval.py                     # 1 minute

The task is a line of cells. In phase 1 the agent walks from home, x = 0, to an apple at x = M; in
phase 2 it walks back. It observes -c in phase 1 and c in phase 2, and gets 1 for a step in the
right direction, -1 for one in the other. An episode ends at home with the apple, or after 100
steps. The policy goes right with probability sigmoid(w o + b) and learns by REINFORCE. It is
pretrained on phase 2 alone, from x = M and from w = b = 0, and fine-tuned on the whole.

The paper does not give the rest. Chosen here, on seeds that are not used below: x stays >= 0;
returns are discounted by 0.9 a step, with no baseline (without a discount nothing is gained by
hurrying home, since every way home from x = M pays M); plain gradient ascent at 0.001, 10 episodes
an update, 1,000 updates; pretraining lasts until phase 2 goes left with probability 0.95, so that
all start alike; the distances are compared at c = 0.25. Two of these choices are made otherwise at
the end of the page. The measures below were settled in the same trial runs.

What is forgotten is measured in three ways. `lost` is the loss of the success rate on phase 2
alone, from the apple home in 100 steps, averaged over fine-tuning; it is computed, not sampled.
`peak` is the largest, and `mean_loss` the average loss of the probability of going left in phase 2;
unlike the first, these do not depend on M by themselves. `reached` is the share of training
episodes that got to the apple in the first tenth of fine-tuning, `success` the share that came home
over all of it, `ratio` is |b| / |w| after pretraining.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from apple_reinforce import RATE, chances, gradient, home_alone, play, pretrain
from claims import Claim, Row, conclude, document, interval, options, table, verdict, written

from rltransfer.metrics import auc, forgetting

NAME = "apple_retrieval"
COMMAND = f"python benchmarks/published/{NAME}.py"
SOURCE = (
    "Wolczyk et al. 2024, Fine-tuning Reinforcement Learning Models is Secretly a Forgetting "
    "Mitigation Problem, arXiv:2402.02868, appendix A.2, figures 10 (distance M) and 11 (constant "
    "c, at M = 30). The paper gives curves, not numbers, and does not spell out its measure of "
    "forgetting: only the order is compared."
)
DISTANCES, AT_C = (5, 10, 20, 30, 40), 0.25
CONSTANTS, AT_M = (0.25, 0.5, 1.0, 2.0), 30
UPDATES, AGENTS, SEED, POINTS = 1_000, 20, 0, 50
NONE = 1e-3
# Choices that the paper leaves open, made otherwise: c and the step size.
OTHERS = {"c = 0.5": (0.5, RATE), "ten times the step size": (AT_C, 10 * RATE)}


def finetune(
    c: float,
    distance: int,
    rate: float = RATE,
    *,
    agents: int = AGENTS,
    updates: int = UPDATES,
    seed: int = SEED,
) -> list[Row]:
    """Pretrain on phase 2 and fine-tune on both; one row an agent.

    Args:
        c: Size of the observation.
        distance: M, cells from home to the apple.
        rate: Step size of fine-tuning.
        agents: Agents, trained side by side.
        updates: Updates of fine-tuning, at least ``POINTS``.
        seed: Seed of their actions, together with c and the distance.
    """
    rng = np.random.default_rng((seed, distance, round(1000 * c)))
    weights = pretrain(c, distance, agents, rng)
    ratio = np.abs(weights[1] / weights[0])
    left, able, reached, home = [], [], [], []
    for update in range(updates + 1):
        rights = chances(weights, c)
        left.append(1 - rights[1])
        if update % (updates // POINTS) == 0:
            able.append(home_alone(rights[1], distance))
        played = play(rights, distance, rng)
        reached.append(played.reached.mean(axis=1))
        home.append(played.home.mean(axis=1))
        weights += rate * np.stack(gradient(played, rights, c))
    columns = {
        "ratio": ratio,
        "lost": average_loss(able),
        "peak": left[0] - np.min(left, axis=0),
        "mean_loss": average_loss(left),
        "reached": np.mean(reached[: updates // 10], axis=0),
        "success": np.mean(home, axis=0),
    }
    setting = {"M": distance, "c": c, "rate": rate}
    return [
        {**setting, "agent": i, **{k: round(float(v[i]), 6) for k, v in columns.items()}}
        for i in range(agents)
    ]


def average_loss(scores: Sequence[np.ndarray]) -> np.ndarray:
    """What was forgotten on average, shape (agents,), of scores of shape (times, agents)."""
    curve = np.array(scores).T
    return np.asarray(forgetting(curve[:, 0], auc(np.arange(len(scores)), curve)))


def run(
    distances: Sequence[int] = DISTANCES,
    constants: Sequence[float] = CONSTANTS,
    *,
    agents: int = AGENTS,
    updates: int = UPDATES,
    seed: int = SEED,
) -> list[Row]:
    """Both experiments, and that on distances with other choices; one row an agent."""
    chosen = [(AT_C, RATE), *OTHERS.values()]
    settings = [(c, distance, rate) for c, rate in chosen for distance in distances]
    rows = []
    for setting in dict.fromkeys([*settings, *((c, AT_M, RATE) for c in constants)]):
        rows += finetune(*setting, agents=agents, updates=updates, seed=seed)
        print("c {}, M {}, rate {}: done".format(*setting), flush=True)
    return rows


def groups(
    rows: Sequence[Row], by: str, column: str, *, c: float = AT_C, rate: float = RATE
) -> dict[float, np.ndarray]:
    """Values of a column, shape (agents,), by distance at one c, or by constant at M = 30."""
    fixed = {"c": c} if by == "M" else {"M": AT_M}
    chosen = [r for r in rows if all(r[k] == v for k, v in {**fixed, "rate": rate}.items())]
    return {
        value: np.array([row[column] for row in chosen if row[by] == value])
        for value in sorted({row[by] for row in chosen})
    }


def trend(
    rows: Sequence[Row], by: str, column: str, sign: int, text: str, **setting: float
) -> Claim:
    """Judge whether a column goes up (sign 1) or down (sign -1) with M or with c.

    It agrees where the last value differs from the first by more than 0.001 beyond the interval,
    and no step between goes the other way as clearly; only the former is agreement in direction.
    The agents are independent, so that those of two values may be paired as they come.
    """
    found = groups(rows, by, column, **setting)
    values = [sign * value for value in found.values()]
    steps = [interval(after - before) for before, after in pairwise(values)]
    far = interval(values[-1] - values[0])[1] > NONE
    ends = list(found)
    return Claim(
        published=text,
        ours=f"`{column}` from {written(found[ends[0]], 3)} at {by} = {ends[0]:g} to "
        f"{written(found[ends[-1]], 3)} at {by} = {ends[-1]:g}",
        verdict=verdict(agrees=far and all(high > -NONE for _, _, high in steps), direction=far),
    )


CLAIMS = (
    ("M", "lost", 1, "figure 10, left: forgetting grows with M"),
    ("M", "peak", 1, "the same, by the largest loss of probability"),
    ("M", "mean_loss", 1, "a stricter reading: so does the average loss of probability"),
    ("M", "reached", -1, "figure 10, right: fewer early episodes reach phase 2 as M grows"),
    ("M", "success", -1, "figure 10, center: overall performance falls with M"),
    ("c", "lost", -1, "figure 11, left: forgetting is greater for smaller c"),
    ("c", "peak", -1, "the same, by the largest loss of probability"),
    ("c", "success", 1, "figure 11, center: success is smaller for smaller c"),
    (
        "c",
        "ratio",
        -1,
        "figure 11: smaller c leads pretraining to a higher ratio of b to w (in size)",
    ),
)
COLUMNS = ("ratio", "lost", "peak", "mean_loss", "reached", "success")
NOTES = """\
Means over agents with 95 % bootstrap intervals; what the columns mean is in the script's text.
A trend agrees where its ends differ by more than 0.001 beyond the interval and no step between goes
the other way as clearly; the former alone is agreement in direction. All agents start fine-tuning
with a probability of 0.95 of going left in phase 2.

The average loss of probability is the one measure that M does not raise: a farther apple asks for a
firmer policy, whose gradients also restore phase 2 faster once the apple is reached. What the loss
costs grows with M all the same, since a longer way home asks for more.

That c decides can be read off the update: pretraining moves (w, b) along (c, 1), so the ratio is
1 / c; a step on phase 1 alone moves them along (-c, 1), and with them the logit of phase 2 by
1 - c^2 for every 1 + c^2 of phase 1. Below c = 1 learning phase 1 unlearns phase 2, at 1 it leaves
it alone, above it helps.

The paper leaves the step size open, and does not say at which c the distances were compared. With
other choices the claims about M come out like this:
"""


def page(rows: Sequence[Row], *, command: str = COMMAND) -> str:
    """The document of the check, from its rows alone."""
    claims = [trend(rows, *claim) for claim in CLAIMS]
    agents = len({row["agent"] for row in rows})
    tables = []
    for by in ("M", "c"):
        lines = [[by, *COLUMNS]]
        for value in groups(rows, by, "lost"):
            cells = [written(groups(rows, by, column)[value]) for column in COLUMNS]
            lines.append([f"{value:g}", *cells])
        fixed = f"c = {AT_C:g}" if by == "M" else f"M = {AT_M:g}"
        tables.append(f"By {by}, at {fixed}, {agents} agents each:\n\n{table(lines)}")
    return document(
        title="Forgetting in AppleRetrieval",
        source=SOURCE,
        command=command,
        claims=claims,
        body="\n".join([*tables, NOTES, table(_otherwise(rows))]),
    )


def _otherwise(rows: Sequence[Row]) -> list[list[str]]:
    about_m = [claim for claim in CLAIMS if claim[0] == "M"]
    lines = [["the claims about M", *(f"`{column}`" for _, column, _, _ in about_m)]]
    for name, (c, rate) in OTHERS.items():
        found = [trend(rows, *claim, c=c, rate=rate) for claim in about_m]
        lines.append([name, *(f"{x.ours.partition(' from ')[2]}: {x.verdict}" for x in found)])
    return lines


def main() -> int:
    parser = options(__doc__, NAME)
    parser.add_argument("--agents", type=int, default=AGENTS, help="agents of each setting")
    parser.add_argument("--updates", type=int, default=UPDATES, help="updates of fine-tuning")
    parser.add_argument("--seed", type=int, default=SEED)
    args = parser.parse_args()
    return conclude(
        parser,
        args,
        NAME,
        lambda: run(agents=args.agents, updates=args.updates, seed=args.seed),
        page,
    )


if __name__ == "__main__":
    sys.exit(main())
