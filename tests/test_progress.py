"""What a sweep says while it runs: counts by status, bars, time left, and TensorBoard's curves."""

from __future__ import annotations

import io
import math
import threading
from pathlib import Path

import pytest
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rltransfer.cli import progress
from rltransfer.cli.progress import watching
from rltransfer.cli.tally import SPEED_SECONDS, Tally
from rltransfer.errors import NotWritable
from rltransfer.experiments.outcome import Outcome


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def failed(name: str, status: str = "diverged", message: str = "loss is nan") -> Outcome:
    return Outcome(id="0" * 20, name=name, status=status, message=message)  # pyright: ignore


def test_runs_are_counted_by_what_became_of_them() -> None:
    tally = Tally(700, runs=7)
    assert tally.counts == {"done": 0, "reused": 0, "running": 0, "waiting": 7}
    assert tally.told("found", 100, 100) == "found"
    for name in ("a", "b", "c", "d"):
        assert tally.told(name, 0, 100) == "started"
    assert tally.told("a", 50, 100) is None
    assert tally.told("a", 100, 100) == "finished"
    assert tally.told("a", 100, 100) is None
    tally.ended(failed("b"))
    tally.ended(failed("c", "hung"))
    tally.ended(failed("never started", "bad environment"))
    assert tally.counts == {
        **{"done": 1, "reused": 1, "running": 1, "waiting": 1},
        **{"bad environment": 1, "diverged": 1, "hung": 1},
    }
    assert tally.failed == 3
    assert [run.name for run in tally.running] == ["d"]


def test_a_failed_run_that_starts_again_is_running() -> None:
    tally = Tally(100, runs=1)
    tally.told("a", 60, 100)
    tally.ended(failed("a", "lost"))
    assert (tally.failed, tally.counts["running"]) == (1, 0)
    tally.told("a", 50, 100)
    assert (tally.failed, tally.counts["running"], tally.steps) == (0, 1, 50)
    tally.told("a", 100, 100)
    tally.ended(failed("a", "lost"))  # its result is there, whatever became of the process
    assert (tally.failed, tally.counts["done"]) == (0, 1)


def test_time_left_is_by_the_speed_of_finished_runs_weighted_by_their_steps() -> None:
    clock = Clock()
    tally = Tally(10_000, runs=10, clock=clock)
    assert math.isnan(tally.left)
    tally.told("short", 0, 100)
    tally.told("long", 0, 2900)
    clock.now += 5
    tally.told("long", 0, 2900)
    assert math.isnan(tally.left)
    clock.now += 5
    tally.told("short", 100, 100)  # 10 steps a second
    clock.now += 20
    tally.told("long", 2900, 2900)  # 96.7 steps a second; together 3000 steps in 40 s
    tally.told("x", 0, 1000)
    tally.told("y", 0, 1000)
    assert tally.left == pytest.approx(7000 / (2 * 3000 / 40))
    tally.told("reused", 5000, 5000)  # says nothing of speed, only that less remains
    assert tally.left == pytest.approx(2000 / (2 * 75))
    tally.ended(failed("x"))  # its steps will not be trained; the other run needs all of its own
    assert tally.left == pytest.approx(1000 / 75)
    assert Tally(0).left is not None and math.isnan(Tally(0).left)


def test_before_a_run_is_finished_those_under_way_tell_the_time() -> None:
    clock = Clock()
    tally = Tally(4000, runs=4, clock=clock)
    tally.told("a", 500, 1000)  # goes on from a checkpoint: nothing of it was trained here
    tally.told("b", 0, 1000)
    clock.now += 5
    tally.told("a", 600, 1000)
    tally.told("b", 100, 1000)
    assert tally.speed == pytest.approx(40)
    assert tally.left == pytest.approx(3300 / 40)


def test_the_speed_of_a_run_is_that_of_the_last_minutes() -> None:
    clock = Clock()
    tally = Tally(10**6, clock=clock)
    for second in range(0, 2000, 10):
        clock.now = second
        tally.told("a", second if second < 1000 else 1000 + 5 * (second - 1000), 10**6)
    (run,) = tally.running
    assert run.speed == pytest.approx(5)
    assert len(run._recent) <= SPEED_SECONDS / 10 + 1
    assert run.trained == 5950 and run.seconds == 1990


def test_without_a_terminal_each_end_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with watching(400, runs=4) as watch:
        watch("pole [full] seed 0", 0, 100)
        watch("pole [full] seed 0", 50, 100)
        watch("pole [full] seed 0", 100, 100)
        watch("old", 100, 100)
        watch("bad", 30, 100)
        watch.ended(failed("bad"))
        watch.ended(Outcome(id="0" * 20, name="old", status="done"))
    assert capsys.readouterr().err.splitlines() == [
        " 25%  finished pole [full] seed 0",
        " 50%  found old",
        " 57%  diverged: bad: loss is nan",
    ]


def test_a_single_run_says_nothing_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with watching(100, alone=True) as watch:
        watch("a", 0, 100)
        watch("a", 100, 100)
    assert capsys.readouterr().err == ""


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    text = io.StringIO()
    monkeypatch.setattr(
        progress,
        "Console",
        lambda stderr: Console(file=text, force_terminal=True, width=100, height=9, _environ={}),
    )
    return text


def test_a_terminal_shows_counts_bars_and_failures(terminal: io.StringIO) -> None:
    with watching(20_000, runs=20) as watch:
        watch("found", 1000, 1000)
        for i in range(8):
            watch(f"pole [full] seed {i}", 0, 1000)
            watch(f"pole [full] seed {i}", 12 * (i + 1), 1000)
        watch.ended(failed("pole [full] seed 7", "hung", "no news for 600 s"))
    shown = terminal.getvalue()
    assert "0 done, 1 reused, 7 running, 11 waiting, 1 hung" in shown
    assert "all runs" in shown and "1,432/20,000" in shown and "/s" in shown and "left" in shown
    last = shown[shown.rindex("all runs") :]
    assert "pole [full] seed 0" in last and "12/1,000" in last and "━" in last
    assert "pole [full] seed 6" not in last and "and 2 more" in last
    assert "hung: pole [full] seed 7: no news for 600 s" in shown


def test_the_bar_of_a_single_run_stays(terminal: io.StringIO) -> None:
    with watching(2000, alone=True) as watch:
        for steps in (0, 500, 2000):
            watch("my/Pole-v0", steps, 2000)
    shown = terminal.getvalue()
    last = shown[shown.rindex("my/Pole-v0") :]
    assert "2,000/2,000" in last and "all runs" not in shown
    assert "0/2,000" in shown


def test_news_of_many_threads_do_not_disturb_the_table(terminal: io.StringIO) -> None:
    def work(name: str) -> None:
        for steps in range(0, 2001):
            watch(name, steps, 2000)

    with watching(16_000, runs=8) as watch:
        threads = [threading.Thread(target=work, args=(f"run {i}",)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert "8 done" in terminal.getvalue() and "Traceback" not in terminal.getvalue()


def scalars(folder: Path) -> dict[str, list[float]]:
    (file,) = folder.glob("events.out.tfevents.*")
    events = EventAccumulator(str(file)).Reload()
    return {tag: [p.value for p in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_is_told_how_far_the_sweep_is(tmp_path: Path) -> None:
    for start in (1, 2):
        with watching(300, runs=3, events=tmp_path / "_sweep") as watch:
            watch("found", 100, 100)
            watch("a", 0, 100)
            watch("a", 40, 100)
            watch("a", 100, 100)
            watch("b", 0, 100)
            watch.ended(failed("b"))
        found = scalars(tmp_path / f"_sweep/{start}")
        assert found["sweep/runs_done"][-1] == 2
        assert found["sweep/runs_failed"][-1] == 1
        assert found["sweep/eta_minutes"][-1] == 0
        assert "sweep/steps_per_second" in found


def test_curves_are_closed_when_the_sweep_is_interrupted(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), watching(100, events=tmp_path) as watch:
        watch("found", 50, 50)
        raise KeyboardInterrupt
    assert scalars(tmp_path / "1")["sweep/runs_done"][-1] == 1


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file/inside"):
        with pytest.raises(NotWritable, match="file"), watching(100, events=place):
            pass
