"""Reports of learning curves whose answers are known."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from rltransfer import metrics, report
from rltransfer.errors import BadArgument, NotWritable, UnknownName
from rltransfer.report.forest import pairs_figure
from rltransfer.report.learning_curves import curves_figure

STEPS = np.arange(0, 1001, 100)


def arm(recipe: str, start: float, end: float, seeds: int = 8, noise: float = 0.02) -> report.Arm:
    """Runs that rise in a straight line from start to end, up to noise."""
    rng = np.random.default_rng([len(recipe), round(1e6 * abs(start - end)), seeds])
    runs = []
    for seed in range(seeds):
        scores = np.linspace(start, end, len(STEPS)) + rng.normal(0, noise, len(STEPS))
        runs.append(
            report.Curve(
                seed=seed, steps=STEPS, scores=scores, stochastic=scores - 0.1, raw=100 * scores
            )
        )
    return report.Arm(recipe=recipe, runs=runs)


def compare(*arms: report.Arm, **fields: object) -> report.Comparison:
    given = {
        "label": "pole-long",
        "source": "pole",
        "target": "my/PoleLong-v0",
        "budget": 1000,
        "source_steps": 5000,
        "arms": {arm.recipe: arm for arm in arms},
        "random": 10.0,
        "reference": 210.0,
    }
    return report.Comparison(**{**given, **fields})  # pyright: ignore[reportArgumentType]


def runs(recipe: str, *scores: list[float], first: int = 0) -> report.Arm:
    """Runs with given scores at steps 0, 10, ..."""
    return report.Arm(
        recipe=recipe,
        runs=[
            report.Curve(seed=first + i, steps=np.arange(len(s)) * 10, scores=np.array(s))
            for i, s in enumerate(scores)
        ],
    )


SCRATCH, FULL = arm("scratch", 0.0, 0.8), arm("full", 0.5, 1.0)
HEAD, SAME = arm("head", 0.0, 0.3), arm("same", 0.0, 0.8)


@pytest.fixture(scope="module")
def comparison() -> report.Comparison:
    return compare(SCRATCH, FULL, HEAD, SAME, notes={"full": "chosen, as Z = 0.5"})


@pytest.fixture(scope="module")
def summary(comparison: report.Comparison) -> report.Summary:
    return report.summarize(comparison)


# Numbers


def test_a_row_by_hand() -> None:
    scratch = runs("scratch", [0, 0, 0.5, 0.5, 0.5], [0, 0, 0, 0, 1])
    full = runs("full", [0.5, 0.5, 0.5, 1, 1], [0, 0.5, 0.5, 0.5, 0.5])
    found = report.summarize(compare(scratch, full, budget=40, source_steps=120))
    assert found["scratch"].auc == pytest.approx((1.25 + 0.5) / 2 / 4)
    row = found["full"]
    assert row.auc == pytest.approx((2.75 + 1.75) / 2 / 4)
    assert row.gain.mean == pytest.approx((1.5 + 1.25) / 2 / 4)
    # Half the range of two differences is their standard error; t at 1 degree is 12.706.
    assert row.gain.high - row.gain.mean == pytest.approx(12.7062047 * 0.125 / 4)
    assert row.gain.low + row.gain.high == pytest.approx(2 * row.gain.mean)
    assert row.p == 0.5
    assert row.jumpstart.mean == 0.25
    # The last tenth, from step 36: scratch 0.5 and 0.8, full 1 and 0.5.
    assert row.asymptote == pytest.approx(0.75)
    assert row.asymptote_gain.mean == pytest.approx(0.1)
    assert row.transfer_ratio == pytest.approx(2.75 / 1.75)
    assert row.forward_transfer == pytest.approx(2.75 / 8 / (1 - 1.75 / 8))
    half = row.times[1]
    assert half.threshold == 0.5
    # Scratch: 20 and censored at 40. Full: 0 and 10.
    assert (half.steps, half.reached, half.runs, half.scratch_reached) == (5, 2, 2, 1)
    assert (half.speed_up, half.saved, half.break_even) == (6, 25, 120 / 25)
    assert found["scratch"].times[1].steps == 30
    assert found["scratch"].times[1].median == 20
    assert found.metrics_version == metrics.METRICS_VERSION


def test_verdicts_of_clear_cases(summary: report.Summary) -> None:
    assert [row.verdict for row in summary.rows] == [
        "baseline", "helped", "hurt", "no clear difference",
    ]  # fmt: skip
    assert summary["full"].gain.mean == pytest.approx(0.35, abs=0.02)
    assert summary["full"].p == 2 / 2**8
    assert summary["full"].p_holm == pytest.approx(3 * 2 / 2**8)
    assert summary["full"].negative == 0
    assert summary["head"].negative == 1
    with pytest.raises(UnknownName, match="Did you mean 'full'"):
        summary["ful"]


@pytest.mark.parametrize(
    ("gain", "p", "p_holm", "seeds", "word"),
    [
        ((0.3, 0.2, 0.4), 0.01, 0.04, 8, "helped"),
        ((-0.3, -0.4, -0.2), 0.01, 0.04, 8, "hurt"),
        ((0.3, 0.2, 0.4), 0.01, 0.05, 8, "likely helped"),
        ((-0.3, -0.4, -0.2), 0.0625, 0.25, 5, "likely hurt"),
        ((0.3, 0.2, 0.4), 0.07, 0.07, 8, "no clear difference"),
        ((0.3, -0.1, 0.4), 0.01, 0.01, 8, "no clear difference"),
        ((0.3, 0.0, 0.4), 0.01, 0.01, 8, "no clear difference"),
        ((0.3, 0.2, 0.4), 0.001, 0.001, 4, "too few seeds"),
        ((0.3, math.nan, math.nan), 1, 1, 1, "too few seeds"),
    ],
)
def test_the_rule_of_the_verdict(gain: tuple, p: float, p_holm: float, seeds: int, word) -> None:
    assert report.verdict(report.Estimate(*gain), p, p_holm, seeds) == word


@pytest.mark.parametrize(
    ("seeds", "recipes", "word"),
    [
        (4, 1, "too few seeds"),
        (5, 1, "likely helped"),
        (6, 1, "helped"),
        (6, 2, "likely helped"),
        (7, 3, "helped"),
        (7, 4, "likely helped"),
        (8, 4, "helped"),
    ],
)
def test_seeds_that_a_verdict_takes(seeds: int, recipes: int, word: str) -> None:
    others = [arm(f"full{'+' * i}", 0.5, 1, seeds) for i in range(recipes)]
    found = report.summarize(compare(arm("scratch", 0, 0.8, seeds), *others))
    assert {row.verdict for row in found.transferred} == {word}


def test_a_false_claim_is_rare_when_transfer_does_nothing() -> None:
    rng = np.random.default_rng(0)

    def flat(recipe: str) -> report.Arm:
        return runs(recipe, *(np.full(4, level).tolist() for level in rng.normal(0.5, 0.1, 8)))

    words = [
        report.summarize(compare(flat("scratch"), flat("full"), flat("head"), budget=30))[
            "full"
        ].verdict
        for _ in range(100)
    ]
    assert sum(word in ("helped", "hurt") for word in words) <= 5


def test_runs_are_paired_by_seed_and_the_others_named() -> None:
    scratch = runs("scratch", [0] * 4, [0.2] * 4, [0.4] * 4)
    full = runs("full", [0.3] * 4, [0.5] * 4, [0.9] * 4, first=1)  # seeds 1, 2, 3
    found = report.summarize(compare(scratch, full, budget=30))
    assert found["full"].seeds == (1, 2)
    assert found["full"].gain.mean == pytest.approx(0.1)
    assert found["full"].auc == pytest.approx(0.4)
    assert found["scratch"].auc == pytest.approx(0.2)
    assert "seeds 0, 3 do not count" in found.notes["full (seeds)"]
    with pytest.raises(BadArgument, match="both with the same seeds"):
        report.summarize(compare(scratch, runs("full", [1] * 4, first=7), budget=30))


def test_the_order_of_the_runs_does_not_matter(comparison: report.Comparison) -> None:
    backwards = {
        name: report.Arm(recipe=name, runs=arm.runs[::-1]) for name, arm in comparison.arms.items()
    }
    assert str(report.summarize(replace(comparison, arms=backwards))) == str(
        report.summarize(comparison)
    )


def test_evaluations_past_the_budget_are_not_used() -> None:
    scratch = runs("scratch", [0, 0, 0, 0, 99])
    full = runs("full", [0.4, 0.4, 0.4, 0.4, -99])
    found = report.summarize(compare(scratch, full, budget=30))
    assert found["full"].gain.mean == pytest.approx(0.4)
    assert found["scratch"].times[0].reached == 0


def test_the_last_score_is_held_over_less_than_one_interval() -> None:
    scratch, full = runs("scratch", [0, 0, 0]), runs("full", [0, 0, 1])
    found = report.summarize(compare(scratch, full, budget=25))
    assert found["full"].auc == pytest.approx((5 + 5) / 25)
    with pytest.raises(BadArgument, match=r"seed 0 of 'scratch' .* up to step 20 of 30"):
        compare(scratch, full, budget=30)


def test_returns_without_a_scale_leave_out_what_needs_one() -> None:
    scratch, full = runs("scratch", [-200] * 4), runs("full", [-100] * 4)
    found = report.summarize(compare(scratch, full, budget=30, normalized=False))
    row = found["full"]
    assert row.gain.mean == 100
    assert row.times == ()
    assert math.isnan(row.transfer_ratio)
    assert math.isnan(row.forward_transfer)
    assert len(report.blocks(found)) == 2
    assert "+100.0" in report.table(found)


def test_scores_below_random_have_no_ratio_but_forward_transfer_of_clipped_ones() -> None:
    scratch, full = runs("scratch", [-0.2] * 4), runs("full", [1.5] * 4)
    row = report.summarize(compare(scratch, full, budget=30))["full"]
    assert math.isnan(row.transfer_ratio)
    assert row.forward_transfer == 1
    assert row.gain.mean == pytest.approx(1.7)


def test_thresholds_that_nobody_reached_have_no_speed_up() -> None:
    scratch, full = runs("scratch", [0.1] * 4), runs("full", [0.3] * 4)
    low, half, _ = report.summarize(compare(scratch, full, budget=30))["full"].times
    assert (low.reached, low.speed_up) == (1, math.inf)
    assert (half.reached, half.steps) == (0, 30)
    assert math.isnan(half.speed_up)
    assert math.isnan(half.break_even)


def test_too_few_evaluations_for_a_time_are_said() -> None:
    scratch, full = runs("scratch", [0, 0.5]), runs("full", [0.6, 0.9])
    found = report.summarize(compare(scratch, full, budget=10))
    assert math.isnan(found["full"].times[0].steps)
    assert "fewer than 3 evaluations" in report.table(found)


def test_stochastic_scores_can_be_compared_instead(comparison: report.Comparison) -> None:
    other = report.summarize(comparison.stochastic())
    assert other["full"].auc == pytest.approx(report.summarize(comparison)["full"].auc - 0.1)
    with pytest.raises(BadArgument, match="without stochastic scores"):
        compare(runs("scratch", [0, 0]), budget=10).stochastic()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"budget": 0}, "budget of 0"),
        ({"source_steps": -1}, "-1 source"),
        ({"thresholds": ()}, "ascending"),
        ({"thresholds": (0.5, 0.25)}, "ascending"),
        ({"thresholds": (0.5, 1.5)}, "ascending"),
        ({"random": 5.0, "reference": 5.0}, "both random and reference"),
        ({"arms": {"full": FULL}}, "named 'scratch'"),
        ({"arms": {"scratch": FULL}}, "is named 'full'"),
    ],
)
def test_contradictory_comparisons_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(BadArgument, match=message):
        compare(SCRATCH, FULL, **fields)


def test_contradictory_arms_and_curves_are_refused() -> None:
    with pytest.raises(BadArgument, match="at least one run"):
        report.Arm(recipe="full", runs=())
    with pytest.raises(BadArgument, match="each seed once"):
        report.Arm(recipe="full", runs=[*FULL.runs, FULL.runs[0]])
    with pytest.raises(BadArgument, match="step 0"):
        report.Curve(seed=0, steps=np.array([5, 10]), scores=np.zeros(2))
    with pytest.raises(BadArgument, match="stochastic of seed 3"):
        report.Curve(seed=3, steps=STEPS, scores=STEPS, stochastic=np.zeros((2, 11)))


def test_curves_keep_their_own_read_only_copy() -> None:
    scores = np.zeros(2)
    curve = report.Curve(seed=0, steps=np.array([0, 1]), scores=scores)
    scores[:] = 9
    assert curve.scores.tolist() == [0, 0]
    with pytest.raises(ValueError, match="read-only"):
        curve.scores[0] = 1


# Words and tables


def test_sentences_carry_the_numbers_and_claim_no_more(summary: report.Summary) -> None:
    assert report.headline(summary) == (
        "Transfer helped with full; hurt with head; no clear difference with same."
    )
    said = report.sentence(summary["full"])
    row = summary["full"]
    assert said.startswith(f"full helped, +{row.gain.mean:.3f} AUC against scratch (95% interval")
    assert "8 paired seeds" in said
    few = report.summarize(compare(arm("scratch", 0, 0.8, 3), arm("full", 0.5, 1, 3)))
    assert "too few to tell (5 or more are needed)" in report.sentence(few["full"])
    assert report.headline(few) == "Too few seeds to tell for full: at least 5 are needed."
    alone = report.summarize(compare(SCRATCH))
    assert report.headline(alone).startswith("No method was run")


def test_a_negative_control_that_helped_is_pointed_out() -> None:
    hurt = report.summarize(compare(SCRATCH, HEAD, expect="hurt"))
    assert "negative control" in report.headline(hurt)
    helped = report.summarize(compare(SCRATCH, FULL, expect="hurt"))
    assert "look closer" in report.headline(helped)


def test_text_table_is_aligned_ascii_and_fits(summary: report.Summary) -> None:
    text = report.table(summary)
    assert text.isascii()
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert not any(line.endswith(" ") for line in lines)
    top = next(i for i, line in enumerate(lines) if line.startswith("recipe"))
    block = lines[top : top + 6]
    assert len({line.index("[") for line in block if "[+" in line or "[-" in line}) == 1
    assert block[3].split()[:2] == ["full", "helped"]
    assert "full: chosen, as Z = 0.5" in lines


def test_table_states_every_number_of_the_summary(summary: report.Summary) -> None:
    text = report.table(summary)
    for row in summary.transferred:
        for value in (row.gain, row.jumpstart, row.asymptote_gain):
            assert f"{value.mean:+.3f} [{value.low:+.3f}, {value.high:+.3f}]" in text
        assert f"{row.p_holm:.3f}" in text
        for time in row.times:
            assert f"{time.steps:,.0f} ({time.reached}/{time.runs})" in text


def test_numbers_that_censoring_makes_a_bound_are_marked() -> None:
    scratch = runs("scratch", [0] * 3 + [0.5] * 4, [0.2] * 7)
    own = runs("own", [0] * 4 + [0.5] * 3, [0.3] * 7)
    sure = runs("sure", [0] * 2 + [0.5] * 5, [0] + [0.6] * 6)
    found = report.summarize(compare(scratch, own, sure, budget=60, source_steps=600))
    cells = {row[0]: row for row in report.blocks(found)[2].rows}
    assert cells["scratch"][2] == ">=45 (1/2)"
    assert cells["own"][2:] == (">=50 (1/2)", ">=60 (0/2)", "~0.9x", "never")
    assert cells["sure"][2:] == ("15 (2/2)", ">=60 (0/2)", ">=3.0x", "<=20.0")


def test_markdown_table_is_well_formed(summary: report.Summary) -> None:
    odd = replace(summary, rows=(summary.rows[0], replace(summary.rows[1], recipe="a|b<c")))
    text = report.table(odd, "markdown")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert "| a\\|b&lt;c | helped |" in text
    bars = [line.replace("\\|", "").count("|") for line in rows]
    assert bars == [8] * 4 + [7] * 4 + [7] * 4
    assert text.startswith("### pole-long")
    with pytest.raises(BadArgument, match="'text' or 'markdown'"):
        report.table(summary, "latex")  # pyright: ignore[reportArgumentType]


# Plots


def drawn(figure: Figure) -> list[Text]:
    return [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_visible()]


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in drawn(figure))


def test_learning_curves_show_means_runs_and_levels(comparison: report.Comparison) -> None:
    figure = curves_figure(comparison)
    axes = figure.axes[0]
    lines = [np.asarray(line.get_ydata()) for line in axes.lines]
    for shown in comparison.arms.values():
        scores = np.stack([run.scores for run in shown.runs])
        for curve in [scores.mean(axis=0), *scores]:
            assert any(y.shape == curve.shape and np.allclose(y, curve) for y in lines)
    assert len(axes.collections) == len(comparison.arms)  # the intervals
    assert axes.get_xlim() == (0, 1000)
    words = texts(figure)
    for word in ("random", "reference", "full", "scratch", "pole \u2192 my/PoleLong-v0"):
        assert word in words


def test_the_interval_shown_is_that_of_the_mean() -> None:
    c = compare(SCRATCH)
    band = curves_figure(c).axes[0].collections[0].get_paths()[0].vertices
    scores = np.stack([run.scores for run in SCRATCH.runs])
    intervals = [metrics.crossed_mean(column).interval() for column in scores.T]
    for ends in np.array(intervals).T:
        for point in zip(STEPS, ends, strict=True):
            assert np.isclose(band, point).all(axis=1).any()


def test_plot_writes_a_png_the_same_each_time(
    comparison: report.Comparison, tmp_path: Path
) -> None:
    first = report.plot(comparison, tmp_path / "a.png")
    second = report.plot(comparison, str(tmp_path / "b.PNG"), stochastic=False)
    assert first.read_bytes() == second.read_bytes()
    with Image.open(first) as image:
        assert image.format == "PNG"
        assert min(image.size) > 600
        assert len(set(image.convert("RGB").resize((200, 140)).get_flattened_data())) > 50
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.PNG"]


def test_plot_has_a_panel_for_the_stochastic_policy(comparison: report.Comparison) -> None:
    left, right = curves_figure(comparison, stochastic=True).axes[:2]
    means = [
        next(np.asarray(x.get_ydata()) for x in ax.lines if x.get_linewidth() > 2)
        for ax in (left, right)
    ]
    assert means[0] - means[1] == pytest.approx(np.full(11, 0.1))


def test_names_are_shown_as_they_are(tmp_path: Path) -> None:
    odd = compare(SCRATCH, arm("_a$b$ \\frac", 0.5, 1.0), source="x$_{\\", label="$y$")
    report.plot(odd, tmp_path / "odd.png")
    found = report.summarize(odd)
    report.plot_pairs([found], tmp_path / "pairs.png", title="$z")
    for figure in (curves_figure(odd), pairs_figure([found])):
        named = [text for text in drawn(figure) if "$" in text.get_text()]
        assert "_a$b$ \\frac" in [text.get_text() for text in named]
        assert not any(text.get_parse_math() for text in named)


def test_one_seed_and_unscaled_returns_are_drawn_without_interval(tmp_path: Path) -> None:
    c = compare(runs("scratch", [-200, 50]), budget=10, normalized=False, reference=None)
    figure = curves_figure(c)
    assert len(figure.axes[0].collections) == 0
    assert "Mean episode return" in texts(figure)
    assert "reference" not in texts(figure)
    assert report.plot(c, tmp_path / "one.png").stat().st_size > 5000


def test_plotting_leaves_no_global_figures(comparison: report.Comparison, tmp_path: Path) -> None:
    import matplotlib.pyplot as plt

    before = dict(plt.rcParams), plt.get_fignums()
    report.plot(comparison, tmp_path / "a.png")
    assert (dict(plt.rcParams), plt.get_fignums()) == before


def test_forest_plot_shows_every_gain_and_marks_controls(summary: report.Summary) -> None:
    control = report.summarize(compare(SCRATCH, HEAD, label="control", expect="hurt"))
    arms = arm("scratch", 0, 0.8, 5), arm("full", 0.5, 1, 5)
    few = report.summarize(compare(*arms, label="few", expect="help"))
    figure = pairs_figure([summary, control, few])
    axes = figure.axes[0]
    points = [np.asarray(line.get_xdata(), dtype=float) for line in axes.lines]
    marks = {float(x[0]): line for x, line in zip(points, axes.lines, strict=True) if x.size == 1}
    bars = [tuple(x.tolist()) for x in points if x.size == 2]
    for row in (*summary.transferred, *control.transferred, *few.transferred):
        assert (row.gain.low, row.gain.high) in bars
        mark = marks[row.gain.mean]
        look = (mark.get_fillstyle(), mark.get_markerfacecolor() == "white")
        assert (
            look
            == {
                "helped": ("full", False),
                "hurt": ("full", False),
                "likely helped": ("bottom", False),
                "no clear difference": ("full", True),
            }[row.verdict]
        )
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["pole-long\n8 seeds", "control\n8 seeds, expected to hurt", "few\n5 seeds"]
    assert len(axes.patches) == 1  # the tint behind the control


def test_forest_plot_refuses_what_it_cannot_show(summary: report.Summary, tmp_path: Path) -> None:
    raw = report.summarize(compare(SCRATCH, FULL, normalized=False))
    with pytest.raises(BadArgument, match="do not share an axis"):
        report.plot_pairs([summary, raw], tmp_path / "a.png")
    for nothing in ([], [report.summarize(compare(SCRATCH))]):
        with pytest.raises(BadArgument, match="no recipe"):
            report.plot_pairs(nothing, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


# The page


class Page(HTMLParser):
    """Collects tags, attributes and visible text, and checks that tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text, self.open = "", []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.tags if name == tag]


def write(comparisons: list[report.Comparison], path: Path) -> Page:
    found = report.html(
        comparisons,
        path,
        title="Poles & <script>alert(1)</script>",
        command="rltransfer benchmark --pair 'pole <long>' --seeds 8",
        versions={"torch": "2.13.0", "numpy": "2.4.6"},
    )
    return Page(found.read_text(encoding="utf-8"))


def test_page_stands_alone(comparison: report.Comparison, tmp_path: Path) -> None:
    page = write([comparison], tmp_path / "gain.html")
    assert page.all("script") == page.all("link") == page.all("iframe") == page.all("img") == []
    images = [image for image in page.all("svg") if image.get("role") == "img"]
    assert len(images) == 2  # deterministic and stochastic
    assert all(image["aria-label"] for image in images)
    raw = (tmp_path / "gain.html").read_text()
    assert "http" not in raw.replace("http-equiv", "")
    assert "url(" not in raw
    assert "viewport" in [meta.get("name") for meta in page.all("meta")]


def test_page_says_the_verdict_first_and_how_to_repeat_it(
    comparison: report.Comparison, summary: report.Summary, tmp_path: Path
) -> None:
    text = write([comparison], tmp_path / "gain.html").text
    assert text.index(report.headline(summary)) < text.index("Area under the learning curve")
    assert report.sentence(summary["head"]) in text
    assert "full: chosen, as Z = 0.5" in text
    for block in report.blocks(summary):
        for row in block.rows:
            assert "".join(row) in text
    assert "rltransfer benchmark --pair 'pole <long>' --seeds 8" in text
    assert "torch 2.13.0\nnumpy 2.4.6" in text
    assert "Poles & <script>alert(1)</script>" in text


def test_page_of_several_comparisons_starts_with_an_overview(
    comparison: report.Comparison, tmp_path: Path
) -> None:
    control = compare(SCRATCH, HEAD, label="<control>", expect="hurt")
    page = write([comparison, control], tmp_path / "all.html")
    ids = {attrs["id"] for attrs in page.all("h2") if re.fullmatch("c[0-9]+", attrs["id"])}
    links = {attrs["href"].removeprefix("#") for attrs in page.all("a")}
    assert links == ids
    assert len(ids) == 2
    assert len([image for image in page.all("svg") if image.get("role") == "img"]) == 7
    assert page.text.index("<control>") < page.text.index("Area under")


def test_page_is_the_same_each_time_and_mixes_units(
    comparison: report.Comparison, tmp_path: Path
) -> None:
    raw = compare(runs("scratch", [-9, 5]), runs("full", [1, 2]), budget=10, normalized=False)
    write([comparison, raw], tmp_path / "a.html")
    write([comparison, raw], tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    with pytest.raises(BadArgument, match="no comparison"):
        write([], tmp_path / "c.html")
    assert not (tmp_path / "c.html").exists()


def test_files_that_cannot_be_written_are_said(
    comparison: report.Comparison, summary: report.Summary, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    nowhere = tmp_path / "file" / "gain"
    with pytest.raises(NotWritable, match="gain"):
        report.plot(comparison, nowhere.with_suffix(".png"))
    with pytest.raises(NotWritable, match="gain"):
        report.plot_pairs([summary], nowhere.with_suffix(".png"))
    with pytest.raises(NotWritable, match="gain"):
        write([comparison], nowhere.with_suffix(".html"))
    with pytest.raises(BadArgument, match=r"end the name in \.png"):
        report.plot(comparison, tmp_path / "gain.svg")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
