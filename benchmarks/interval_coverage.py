"""How often the intervals of the reports hold the truth, by simulation.

    python benchmarks/interval_coverage.py                    # writes benchmarks/results/coverage
    python benchmarks/interval_coverage.py --repetitions 200 --out /tmp/coverage

Each case draws many experiments whose true answer is known, and counts the nominal 95 % intervals
that hold it: of the mean paired gain, the interquartile mean, the chance to beat scratch and one
point of a performance profile; for one source and for several, on one pair and on five. Beside the
intervals in use stand those that were considered: the percentile bootstrap with and without
expanded percentiles, the bootstrap-t, and for several sources Satterthwaite's interval and the
hierarchical bootstrap. numpy alone, seeded; the whole takes a few minutes.
"""

from __future__ import annotations

import argparse
import csv
import io
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from coverage_cases import SHAPES, Experiments, Truth, draw, truth
from coverage_page import PUBLISHED, Case, page

from rltransfer import metrics
from rltransfer.agents.files import atomic_write

SEEDS = (5, 10, 20)
SOURCES = (2, 3, 5)
BETWEEN = (0.0, 0.5, 1.0, 2.0)
_RESAMPLES, _FEW = 1_000, 500
Ends = tuple[np.ndarray, np.ndarray]


def single(shape: str, seeds: int, repetitions: int) -> Iterator[Case]:
    """One source, one pair."""
    rng = np.random.default_rng([SHAPES.index(shape), seeds])
    made, true = draw(rng, shape, repetitions=repetitions, seeds=seeds), truth(shape)
    x, y = made.x[:, 0, 0], made.y[:, 0]
    where = {"shape": shape, "seeds": seeds}
    for how, ends in {
        "t (in use)": _each(lambda i: metrics.crossed_mean(x[i] - y[i]).interval(), repetitions),
        "percentile": _percentile(x - y, np.mean),
        "expanded percentile (in use for bands)": metrics.bootstrap_interval(
            (x - y).T, resamples=_RESAMPLES
        ),
        "bootstrap-t": _bootstrap_t(x - y),
    }.items():
        yield _case("mean gain", how, ends, true.gain, **where)
    for how, ends in {
        "stretched bootstrap (in use)": _each(lambda i: _iqm([x[i]]), repetitions),
        "percentile": _percentile(x, metrics.iqm),
        "expanded percentile": metrics.bootstrap_interval(x.T, metrics.iqm, resamples=_RESAMPLES),
    }.items():
        yield _case("IQM", how, ends, true.iqm, **where)
    yield from _shares(made, true, where)


def several(shape: str, sources: int, between: float, repetitions: int) -> Iterator[Case]:
    """Several sources with 10 seeds each, which share the runs from scratch."""
    rng = np.random.default_rng([SHAPES.index(shape), sources, int(10 * between)])
    made = draw(rng, shape, repetitions=repetitions, seeds=10, sources=sources, between=between)
    true = truth(shape, between=between)
    gains = made.x[:, 0] - made.y
    where = {"shape": shape, "seeds": 10, "sources": sources, "between": between}
    for how, ends in {
        "crossed (in use)": _each(lambda i: metrics.crossed_mean(gains[i]).interval(), repetitions),
        "Satterthwaite": _satterthwaite(gains),
        "hierarchical percentile": _hierarchical(gains),
    }.items():
        yield _case("mean gain", how, ends, true.gain, **where)
    tables = made.x[:, 0]
    ends = _each(lambda i: _iqm([tables[i]]), repetitions)
    yield _case("IQM", "stretched bootstrap (in use)", ends, true.iqm, **where)
    yield from _shares(made, true, where)


def many_pairs(
    shape: str, seeds: int, sources: int, between: float, repetitions: int
) -> Iterator[Case]:
    """Five pairs."""
    rng = np.random.default_rng([SHAPES.index(shape), seeds, sources, int(10 * between), 5])
    layout = {"seeds": seeds, "sources": sources, "between": between, "pairs": 5}
    made = draw(rng, shape, repetitions=repetitions, **layout)
    true = truth(shape, between=between, pairs=5)
    where = {"shape": shape, **layout}
    gains = made.x - made.y[:, :, None]

    def mean(i: int) -> metrics.Interval:
        return metrics.mean_of_means([metrics.crossed_mean(g) for g in gains[i]]).interval()

    yield _case("mean gain", "crossed (in use)", _each(mean, repetitions), true.gain, **where)
    ends = _each(lambda i: _iqm(list(made.x[i])), repetitions)
    yield _case("IQM", "stretched bootstrap (in use)", ends, true.iqm, **where)
    if sources == 1:
        ends = _stratified_iqm(made.x[:, :, 0])
        yield _case("IQM", "stratified percentile", ends, true.iqm, **where)
    yield from _shares(made, true, where)


def _shares(made: Experiments, true: Truth, where: dict) -> Iterator[Case]:
    n = len(made.x)
    ends = _each(lambda i: metrics.improvement_interval(list(made.x[i]), list(made.y[i]))[1], n)
    yield _case("P(X > scratch)", "influence, Wilson (in use)", ends, true.improvement, **where)

    def point(i: int) -> metrics.Interval:
        ends = metrics.profile_interval(list(made.x[i]), [true.tau])[1]
        return metrics.Interval(*np.ravel(ends))

    yield _case("profile", "influence, Wilson (in use)", _each(point, n), true.share, **where)


def _iqm(tables: Sequence[np.ndarray]) -> metrics.Interval:
    return metrics.iqm_interval(tables, resamples=_FEW)


def _case(what: str, how: str, ends: Ends, true: float, **where: object) -> Case:
    low, high = np.asarray(ends[0]), np.asarray(ends[1])
    return Case(
        what=what,
        how=how,
        coverage=float(np.mean((low <= true) & (true <= high))),
        width=float(np.median(high - low)),
        repetitions=low.size,
        **where,  # pyright: ignore[reportArgumentType]
    )


def _each(interval: Callable[[int], metrics.Interval], repetitions: int) -> Ends:
    low, high = np.array([interval(i) for i in range(repetitions)], dtype=float).T
    return low, high


def _percentile(values: np.ndarray, statistic: metrics.Statistic) -> Ends:
    """Plain percentile bootstrap; the repetitions share the resampled runs."""
    pick = np.random.default_rng(0).integers(values.shape[1], size=(_RESAMPLES, values.shape[1]))
    drawn = np.stack([statistic(values[:, p], axis=1) for p in pick])
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return low, high


def _bootstrap_t(values: np.ndarray) -> Ends:
    n = values.shape[1]
    pick = np.random.default_rng(0).integers(n, size=(_RESAMPLES, n))
    mean = values.mean(axis=1)
    error = values.std(axis=1, ddof=1) / np.sqrt(n)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.stack(
            [
                (values[:, p].mean(axis=1) - mean) / (values[:, p].std(axis=1, ddof=1) / np.sqrt(n))
                for p in pick
            ]
        )
    low, high = np.nanquantile(t, [0.025, 0.975], axis=0)
    return mean - high * error, mean - low * error


def _satterthwaite(tables: np.ndarray) -> Ends:
    """One t quantile for the whole variance, with degrees of freedom by Satterthwaite's formula."""
    _, sources, seeds = tables.shape
    by_source = tables.mean(axis=2).var(axis=1, ddof=1) / sources
    by_seed = tables.mean(axis=1).var(axis=1, ddof=1) / seeds
    total = tables.var(axis=(1, 2)) * sources * seeds
    rest = total - seeds * sources * ((sources - 1) * by_source + (seeds - 1) * by_seed)
    own = rest / ((sources - 1) * (seeds - 1)) / (sources * seeds)
    variance = np.maximum(by_source + by_seed - own, np.maximum(by_source, by_seed))
    parts = by_source**2 / (sources - 1) + by_seed**2 / (seeds - 1)
    df = np.maximum(1, variance**2 / parts)
    half = metrics.t_quantile(0.975, df) * np.sqrt(variance)
    mean = tables.mean(axis=(1, 2))
    return mean - half, mean + half


def _hierarchical(tables: np.ndarray) -> Ends:
    """Percentile bootstrap of sources, and of seeds within each."""
    _, sources, seeds = tables.shape
    rng, drawn = np.random.default_rng(0), []
    for _ in range(_RESAMPLES):
        source = rng.integers(sources, size=(sources, 1))
        drawn.append(tables[:, source, rng.integers(seeds, size=(sources, seeds))].mean((1, 2)))
    low, high = np.quantile(np.stack(drawn), [0.025, 0.975], axis=0)
    return low, high


def _stratified_iqm(tables: np.ndarray) -> Ends:
    """Percentile bootstrap of the runs within each pair."""
    n, pairs, seeds = tables.shape
    rng, drawn = np.random.default_rng(0), []
    for _ in range(_RESAMPLES):
        pick = rng.integers(seeds, size=(pairs, seeds))
        resampled = tables[:, np.arange(pairs)[:, None], pick]
        drawn.append(metrics.iqm(resampled.reshape(n, -1), axis=1))
    low, high = np.quantile(np.stack(drawn), [0.025, 0.975], axis=0)
    return low, high


def simulate(repetitions: int) -> list[Case]:
    """All cases; the same for the same number of repetitions."""
    found: list[Case] = []
    for shape in SHAPES:
        for seeds in SEEDS:
            found += single(shape, seeds, repetitions)
        for sources in SOURCES:
            for between in BETWEEN:
                found += several(shape, sources, between, repetitions)
        for layout in ((5, 1, 0.0), (10, 1, 0.0), (10, 3, 1.0)):
            found += many_pairs(shape, *layout, max(1, repetitions // 2))
        print(f"{shape}: {len(found)} cases", flush=True)
    return found


def main(arguments: Sequence[str]) -> None:
    """Simulate and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=1000, help="experiments per case")
    parser.add_argument("--out", type=Path, default=PUBLISHED, help="folder for the results")
    args = parser.parse_args(arguments)
    cases = simulate(args.repetitions)
    args.out.mkdir(parents=True, exist_ok=True)
    command = shlex.join(["python", "benchmarks/interval_coverage.py", *arguments])
    text = io.StringIO()
    rows = csv.DictWriter(text, list(cases[0].row()), lineterminator="\n")
    rows.writeheader()
    rows.writerows(case.row() for case in cases)
    atomic_write(args.out / "coverage.csv", text.getvalue().encode())
    atomic_write(args.out / "coverage.md", page(cases, command).encode())


if __name__ == "__main__":
    main(sys.argv[1:])
