"""The page and the tables of the benchmark of similarities."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from rltransfer.agents.files import csv_of
from rltransfer.experiments import Gain
from rltransfer.similarity import MEASURES
from similarity_parts.choices import Difference, chosen
from similarity_parts.correlations import FEWEST, Correlation
from similarity_parts.settings import ARMS, FINAL, SELECTORS

Table = Mapping[str, Mapping[str, float]]


def page(
    *,
    command: str,
    machine: str,
    seeds: int,
    sources: int,
    measure_seeds: int,
    measures: Table,
    gains: Table,
    found: Mapping[str, Sequence[Correlation]],
    differences: Mapping[tuple[str, str], Difference],
    runs: Sequence[Gain],
) -> str:
    """Write the page in Markdown.

    Args:
        command: Command line that repeats it.
        machine: What it ran on.
        seeds: Paired seeds of each arm.
        sources: Source checkpoints of each pair, at most.
        measure_seeds: Seeds of each measure.
        measures: Value of each measure by pair.
        gains: Gain of each arm by pair.
        found: Correlations by gain.
        differences: Differences by the two arms.
        runs: All runs by pair.
    """
    parts = [
        _heading(command, machine, seeds, sources, measure_seeds, len(gains)),
        *(_correlations(name, some) for name, some in found.items()),
        _selectors(differences),
        _choices(runs),
        _pairs(measures, gains),
    ]
    return "\n\n".join(parts) + "\n"


def _heading(
    command: str, machine: str, seeds: int, sources: int, measure_seeds: int, pairs: int
) -> str:
    checkpoints = "one source checkpoint" if sources == 1 else f"{sources} source checkpoints"
    return (
        "# Does similarity say what transfer will gain?\n\n"
        f"Made by `{command}`. {machine}.\n\n"
        f"On each of {pairs} pairs of a source and a target, {seeds} paired seeds of every recipe "
        f"from {checkpoints}, and of training from scratch. A gain is the difference in area "
        "under the learning curve of the normalized score (0 is random play, 1 the reference), "
        "recipe minus scratch. Every "
        f"measure is the mean over source checkpoints and {measure_seeds} seeds, taken before "
        "anything is transferred; for `cka` alone a network is trained on the target, briefly. A "
        "correlation of 1 means that the pairs that a measure calls more similar are "
        "exactly those that gained more, 0 that it says nothing, below 0 that it says the "
        "opposite; measures that fall with similarity are turned round. Brackets hold 95 % "
        "bootstrap intervals over pairs: one that contains 0 is compatible with a measure that "
        "says nothing. The p-value (permutations of the pairs) is adjusted for all "
        "measures and all gains of this page (Holm).\n\n"
        "Pairs of one family have a source in common and are no independent evidence, so "
        "intervals and p-values are too good by an unknown amount. The last column counts only "
        "comparisons within a family, where a measure gets no credit for telling families apart. "
        'The "best" gain is that of the recipe that did best on the pair, known afterwards; it is '
        "biased upwards. A learning curve begins with the score before training, which for `full` "
        "is the zero-shot score itself, so that some of its correlation with an area is built in; "
        f"`{FINAL}` is the gain in the last tenth of training, where it is not.\n\n"
        "p-values of differences between ways of choosing are those of each comparison alone."
    )


def _correlations(gain: str, found: Sequence[Correlation]) -> str:
    clear = [one for one in found if one.p_holm < 0.05]
    said = [f"`{one.measure}` ({one.spearman[0]:+.2f})" for one in clear]
    words = (
        f"Measures whose order of the pairs is clearly no chance: {', '.join(said)}."
        if said
        else "No measure orders the pairs clearly better than chance would."
    )
    rows = [
        (
            f"`{one.measure}`",
            MEASURES[one.measure].meaning,
            str(one.pairs),
            _estimate(one.spearman),
            _estimate(one.kendall),
            _chance(one.p),
            _chance(one.p_holm),
            _number(one.within),
        )
        for one in found
    ]
    head = ("measure", "what it is", "pairs", "Spearman", "Kendall", "p", "p (Holm)", "within")
    few = (
        f" Fewer than {FEWEST} pairs say nothing."
        if any(one.pairs < FEWEST for one in found)
        else ""
    )
    return f"## Similarity and the gain of `{gain}`\n\n{words}{few}\n\n{_table(head, rows)}"


def _selectors(differences: Mapping[tuple[str, str], Difference]) -> str:
    rows = [
        (
            f"`{one}` - `{other}`",
            _estimate((d.mean, d.low, d.high), sign=True),
            _chance(d.p),
            f"{d.better} of {d.pairs}",
        )
        for (one, other), d in differences.items()
    ]
    head = ("difference of gains", "mean over pairs", "p", "better on")
    return (
        "## Ways of choosing a recipe\n\n"
        "`auto` and `zero_shot` choose by the score of the unchanged source on the target: `auto` "
        "after a brief probe and between two recipes, `zero_shot` after a longer one, and by the "
        "critic's fit as well. `similarity` chooses by "
        "the rule that similar tasks share instances, middling ones features, and others a model "
        "(see `rltransfer.selectors`). The steps that each takes to choose are part of its "
        f"budget.\n\n{_table(head, rows)}"
    )


def _choices(runs: Sequence[Gain]) -> str:
    rows = [
        (gain.summary.label, *(_counted(chosen(gain, arm)) for arm in SELECTORS)) for gain in runs
    ]
    return "## What they chose\n\n" + _table(("pair", *SELECTORS), rows)


def _counted(counts: Mapping[str, int]) -> str:
    return "<br>".join(f"{count} x {words}" for words, count in counts.items())


def _pairs(measures: Table, gains: Table) -> str:
    arms = [arm for arm in ARMS if arm != "scratch"]
    gained = [(pair, *(f"{by[arm]:+.2f}" for arm in arms)) for pair, by in gains.items()]
    measured = [(pair, *(_number(by[name]) for name in MEASURES)) for pair, by in measures.items()]
    return (
        f"## Gains by pair\n\n{_table(('pair', *arms), gained)}\n\n"
        f"## Measures by pair\n\n{_table(('pair', *MEASURES), measured)}"
    )


def pairs_csv(measures: Table, gains: Table) -> bytes:
    """One line for each pair, with the measures and the gains."""
    arms = [arm for arm in ARMS if arm != "scratch"]
    head = ["pair", *MEASURES, *(f"gain_{arm}" for arm in arms)]
    rows = [
        [pair, *(measures[pair][name] for name in MEASURES), *(by[arm] for arm in arms)]
        for pair, by in gains.items()
    ]
    return _csv(head, rows)


def correlations_csv(found: Mapping[str, Sequence[Correlation]]) -> bytes:
    """One line for each measure and gain."""
    ends = ("", "_low", "_high")
    head = ["gain", "measure", "pairs", *(f"spearman{end}" for end in ends)]
    head += [*(f"kendall{end}" for end in ends), "p", "p_holm", "within"]
    rows = [
        [
            one.gain,
            one.measure,
            one.pairs,
            *one.spearman,
            *one.kendall,
            one.p,
            one.p_holm,
            one.within,
        ]
        for some in found.values()
        for one in some
    ]
    return _csv(head, rows)


def _csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    cells = (
        ["" if v != v else f"{v:.6g}" if isinstance(v, float) else v for v in row] for row in rows
    )
    return csv_of([head, *cells])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _estimate(ends: tuple[float, float, float], *, sign: bool = False) -> str:
    value, low, high = ends
    if math.isnan(value):
        return ""
    shown = f"{value:+.2f}" if sign else f"{value:.2f}"
    return shown if math.isnan(low) else f"{shown} [{low:.2f}, {high:.2f}]"


def _chance(p: float) -> str:
    return "< 0.001" if p < 0.001 else _number(p, 3)


def _number(value: float, digits: int = 2) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"
