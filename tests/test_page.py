"""The pages and files of many comparisons: what they say, how large they are, how they look."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from rltransfer import report
from rltransfer.errors import BadArgument
from rltransfer.report import svg
from rltransfer.report.curve_bands import band

METHODS = ("full", "auto")
CONTROLS = ("scratch-longer", "zero-shot", "permuted", "random-frozen", "unrelated", "reset-heads")
VOID = ("meta", "br")


def compared(
    label: str,
    gain: float,
    *,
    sources: tuple[str, ...] = ("a", "b"),
    seeds: int = 8,
    controls: tuple[str, ...] = CONTROLS,
    methods: tuple[str, ...] = METHODS,
    **fields: object,
) -> report.Comparison:
    """Methods that are ``gain`` above scratch all along, and controls that are where it is."""
    rng = np.random.default_rng(len(label))
    steps = np.arange(0, 1001, 100)

    def runs(names: tuple[str, ...], above: float, last: int = 1000) -> list[report.Curve]:
        found = []
        for source in names:
            for seed in range(seeds):
                at = np.arange(0, last + 1, 100)
                scores = np.minimum(0.6, at / 1500) + above + rng.normal(0, 0.02, len(at))
                found.append(
                    report.Curve(
                        seed=seed, steps=at, scores=scores, stochastic=scores, source=source
                    )
                )
        return found

    arms = {"scratch": report.Arm(recipe="scratch", runs=runs(("",), 0))}
    for name in methods:
        arms[name] = report.Arm(recipe=name, runs=runs(sources, gain))
    for name in controls:
        longer = name == "scratch-longer"
        made = runs(("",) if longer else sources, 0, 3000 if longer else int(steps[-1]))
        arms[name] = report.Arm(recipe=name, runs=made, kind="control")
    given = {
        "label": label,
        "source": "pole",
        "target": "my/Pole-v0",
        "budget": 1000,
        "source_steps": 2000,
        "arms": arms,
        "random": 10.0,
        "reference": 210.0,
    }
    return report.Comparison(**{**given, **fields})  # pyright: ignore[reportArgumentType]


class Page(HTMLParser):
    """Collects tags, attributes and text, and checks that tags are balanced."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


GIVEN = {
    "title": "What <transfer> gained",
    "command": "rltransfer benchmark --pair 'pole <long>'",
    "versions": {"torch": "2.13.0"},
    "details": {"Machine": "2 cores & no GPU", "Raw results": "runs/<id>.json"},
}


@pytest.fixture(scope="module")
def several() -> list[report.Comparison]:
    return [
        compared("pole-long", 0.2),
        compared("pole-<heavy>", 0.0),
        compared("pole-flipped", -0.2, expect="hurt"),
    ]


@pytest.fixture(scope="module")
def summaries(several: list[report.Comparison]) -> list[report.Summary]:
    return [report.summarize(c) for c in several]


@pytest.fixture(scope="module")
def page(
    several: list[report.Comparison],
    summaries: list[report.Summary],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    found = report.overview(several, summaries)
    return report.html(several, path, found=found, **GIVEN)  # pyright: ignore


def test_importing_the_package_does_not_import_matplotlib() -> None:
    code = "import rltransfer, rltransfer.report, sys; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_page_needs_nothing_and_runs_nothing(page: Path) -> None:
    found = Page(page)
    for tag in ("script", "link", "iframe", "img"):
        assert found.all(tag) == []
    drawn = [attrs for attrs in found.all("svg") if attrs.get("role") == "img"]
    assert len(drawn) > 10 and all(attrs["aria-label"] for attrs in drawn)
    text = page.read_text()
    assert "http" not in text.replace("http-equiv", "") and "url(" not in text
    assert not [name for _, attrs in found.tags for name in attrs if name.startswith("on")]
    assert "nan" not in re.sub("<(h2|td|text|b|p|summary|a).*?</", "", text)


def test_one_sentence_says_what_transfer_did_over_all_pairs(page: Path) -> None:
    text = Page(page).text
    said = "Over 2 pairs, 8 seeds and 2 source checkpoints each, auto helped on 1, hurt on 0 and "
    assert said + "was not clear on 1: mean AUC gain +0." in text
    assert "knowledge was shown to be transferred on 1 of the 2 pairs tested" in text
    assert "Where transfer was expected to hurt, auto came out as follows: pole-flipped:" in text
    assert text.index(said) < text.index("on every pair")


def test_every_pair_is_linked_and_told_with_its_controls(page: Path) -> None:
    found = Page(page)
    ids = {attrs.get("id") for attrs in found.all("h2")}
    links = {str(attrs["href"]).removeprefix("#") for attrs in found.all("a")}
    assert links == {"c0", "c1", "c2"} and links <= ids
    for words in (
        *("Controls, against scratch", "Was knowledge transferred?", "by source checkpoint"),
        *("that had the steps of the source as well", "Performance profile", "Power: "),
        *("2 cores & no GPU", "runs/<id>.json", "pole-<heavy>", "torch 2.13.0"),
        *("rltransfer benchmark --pair 'pole <long>'", "10 = random, 210 = reference"),
    ):
        assert words in found.text, words


def test_the_same_results_give_the_same_bytes(
    page: Path, several: list[report.Comparison], tmp_path: Path
) -> None:
    again = report.html(several, tmp_path / "a.html", **GIVEN)  # pyright: ignore
    assert again.read_bytes() == page.read_bytes()


def test_pages_of_pairs_and_the_overview_link_to_each_other(
    several: list[report.Comparison], summaries: list[report.Summary], tmp_path: Path
) -> None:
    labels = ["a b", "A/b", "../x"]
    several = [compared(label, 0.1, seeds=5, controls=()) for label in labels]
    top, *rest = report.pages(several, tmp_path, **GIVEN)  # pyright: ignore
    assert [p.relative_to(tmp_path).as_posix() for p in (top, *rest)] == [
        *("report.html", "pairs/a-b.html", "pairs/A-b-2.html", "pairs/x.html"),
    ]
    assert [a["href"] for a in Page(top).all("a")] == [f"pairs/{p.name}" for p in rest]
    for path, label in zip(rest, labels, strict=True):
        found = Page(path)
        assert [a["href"] for a in found.all("a")] == ["../report.html"]
        assert label in found.text and "Area under the learning curve" in found.text
    with pytest.raises(BadArgument, match="no comparison"):
        report.pages([], tmp_path / "none", **GIVEN)  # pyright: ignore


def test_without_controls_nothing_is_said_of_knowledge(tmp_path: Path) -> None:
    two = [compared(f"pole-{i}", 0.2, controls=(), methods=("full",)) for i in range(2)]
    text = Page(report.html(two, tmp_path / "a.html", **GIVEN)).text  # pyright: ignore
    assert "full helped on 2, hurt on 0:" in text
    assert "no control was run that could show that knowledge was transferred" in text
    assert "Was knowledge transferred?" not in text
    some = [compared(f"pole-{i}", 0.2, controls=("permuted",)) for i in range(2)]
    text = Page(report.html(some, tmp_path / "b.html", **GIVEN)).text  # pyright: ignore
    assert "not every control was run, so nothing is claimed of knowledge" in text
    assert "was not tested against random-frozen, reset-heads and unrelated" in text


def test_returns_without_a_scale_and_single_seeds_are_told(tmp_path: Path) -> None:
    raw = compared("raw", 0.2, normalized=False, reference=None, controls=(), seeds=1)
    mixed = [compared("pole", 0.2, controls=(), seeds=1, sources=("",)), raw]
    text = Page(report.html(mixed, tmp_path / "a.html", **GIVEN)).text  # pyright: ignore
    assert "had too few seeds to tell on 2" in text
    assert "raw: the scores are returns without a common scale" in text
    assert "mean episode return" in text


def test_bands_are_the_intervals_of_the_table() -> None:
    arm = compared("pole", 0.2).arms["full"]
    found = band(arm, np.array([0.0, 500.0]))
    at = np.stack([[r.scores[5] for r in arm.runs if r.source == s] for s in ("a", "b")])
    from rltransfer import metrics

    mean = metrics.crossed_mean(at)
    assert found.mean[1] == pytest.approx(mean.value)
    assert (found.low[1], found.high[1]) == pytest.approx(tuple(mean.interval()))


def test_axes_have_round_numbers_within_their_ends() -> None:
    for low, high in ((0, 1), (-0.31, 0.42), (-1213, 88), (0, 50_000), (1e-4, 3e-4)):
        found = svg.ticks(low, high)
        assert 3 <= len(found) <= 6 and low <= found[0] < found[-1] <= high * (1 + 1e-9)
        assert len({round(b - a, 9) for a, b in pairwise(found)}) == 1


def test_every_number_is_in_the_csv(summaries: list[report.Summary]) -> None:
    lines = list(csv.DictReader(io.StringIO(report.rows_csv(summaries).decode())))
    assert len(lines) == sum(len(s.rows) for s in summaries)
    line = next(x for x in lines if x["pair"] == "pole-long" and x["recipe"] == "auto")
    row = summaries[0]["auto"]
    assert row.knowledge is not None and row.knowledge.claimed
    for name, value in (
        *(("gain", row.gain.mean), ("gain_low", row.gain.low), ("p_holm", row.p_holm)),
        *(("steps_50%", row.times[1].steps), ("final", row.asymptote), ("auc", row.auc)),
    ):
        assert float(line[name]) == pytest.approx(value, rel=1e-5)
    assert (line["knowledge"], line["untested"], line["sources"]) == ("True", "", "a b")
    scratch = next(x for x in lines if x["recipe"] == "scratch")
    assert scratch["gain"] == scratch["p"] == "" and scratch["kind"] == "baseline"


def test_the_csv_of_all_pairs_counts_them(
    several: list[report.Comparison], summaries: list[report.Summary]
) -> None:
    found = report.overall(several, summaries)
    lines = list(csv.DictReader(io.StringIO(report.overall_csv(found).decode())))
    auto = next(x for x in lines if x["recipe"] == "auto")
    assert (auto["pairs"], auto["runs"], auto["helped"]) == ("2", "32", "pole-long")
    assert float(auto["gain"]) == pytest.approx(0.1, abs=0.02)


def test_markdown_starts_with_tables_of_all_pairs(
    several: list[report.Comparison], summaries: list[report.Summary]
) -> None:
    text = report.gains_markdown(report.overview(several, summaries))
    assert text.startswith("**Over 2 pairs, 8 seeds") and text.endswith("\n")
    assert "| pole-long | helped, +0.2" in text and "| pole-&lt;heavy> |" in text
    for title in ("All pairs together", "Controls, against scratch", "expected to hurt, together"):
        assert title in text
    for lines in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.replace("\\|", "").count("|") for line in lines.splitlines()}) == 1


BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium")
@pytest.mark.parametrize("width", [360, 390, 1280])
def test_a_browser_shows_the_page_without_scrolling_sideways(
    page: Path, width: int, tmp_path: Path
) -> None:
    """In a frame, as a window cannot be as narrow as a phone; every section open."""
    text = re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text())
    report_size = """<script>addEventListener("load", () => {
        const small = [...document.querySelectorAll("svg[role=img] text")].map(
            t => t.getBoundingClientRect().width ? parseFloat(getComputedStyle(t).fontSize)
                * t.ownerSVGElement.getBoundingClientRect().width / 360 : 99);
        const root = document.documentElement;
        parent.postMessage([root.scrollWidth, innerWidth, Math.min(...small)].join(" "), "*");
    })</script></body>"""
    text = text.replace("<details", "<details open").replace("</body>", report_size)
    (tmp_path / "inner.html").write_text(text)
    (tmp_path / "outer.html").write_text(
        '<script>onmessage = e => document.title = "got " + e.data</script>'
        f'<iframe src="inner.html" style="width:{width}px;height:800px;border:0"></iframe>'
    )
    options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000")
    done = subprocess.run(
        [
            *(str(BROWSER), *options, f"--user-data-dir={tmp_path / 'profile'}"),
            *("--window-size=1400,900", "--dump-dom", (tmp_path / "outer.html").as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=600,
    )
    found = re.search(r"<title>got (\d+) (\d+) ([\d.]+)", done.stdout)
    assert found, done.stdout[-500:] + done.stderr[-500:]
    assert int(found[1]) <= int(found[2]) <= width
    assert float(found[3]) >= 10  # pixels of the smallest text in a figure
