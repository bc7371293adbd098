"""Checkpoints are whole or not there, and every changed byte is noticed."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGKILL
from typing import Any

import numpy as np
import pytest
import resume_cases as cases
import torch
from checkpoint_child import RUN, checkpoint
from processes import environment

from rltransfer.agents.files import STALE_SECONDS
from rltransfer.errors import BadArgument, BadCheckpoint, NotWritable
from rltransfer.experiments.checkpoints import Checkpoint, Checkpoints, seal, unseal

HERE = Path(__file__).parent


def same(one: Checkpoint | None, other: Checkpoint) -> bool:
    return (
        one is not None
        and (one.run, one.part, one.state) == (other.run, other.part, other.state)
        and one.tensors.keys() == other.tensors.keys()
        and all(torch.equal(value, other.tensors[name]) for name, value in one.tensors.items())
    )


def rich() -> Checkpoint:
    """Every kind of tensor that a run has, and a state that looks like the header."""
    tensors = {
        "policy/weight": torch.randn(7, 3),
        "curve/steps": torch.arange(4),
        "refit/dones/0": torch.tensor([[True], [False]]),
        "returns/count": torch.tensor(1e-4, dtype=torch.float64),
        "empty": torch.zeros(0, 2),
    }
    state = {"text": '"sha256":"' + "0" * 64, "none": None, "number": 0.1, "list": [1, {"é": "\n"}]}
    return Checkpoint(run=RUN, part=12, tensors=tensors, state=state)


def test_what_is_read_is_what_was_written() -> None:
    written = rich()
    assert same(unseal(seal(written)), written)


def test_the_bytes_follow_from_the_content() -> None:
    one, other = seal(checkpoint(3)), seal(checkpoint(3))
    assert len(one) == len(other)
    assert same(unseal(one), unseal(other))


def test_every_flipped_byte_is_noticed() -> None:
    """All bytes of the header, and of the tensors a sample; each bit at some place."""
    content, rng = seal(rich()), np.random.default_rng(0)
    places = [*range(len(content)), *rng.integers(len(content), size=2000).tolist()]
    for count, place in enumerate(places):
        damaged = bytearray(content)
        damaged[place] ^= 1 << count % 8
        with pytest.raises(BadCheckpoint):
            unseal(bytes(damaged))
    assert len(places) > 2500


def test_every_truncation_and_addition_is_noticed() -> None:
    content = seal(rich())
    for length in range(len(content)):
        with pytest.raises(BadCheckpoint):
            unseal(content[:length])
    for more in (b"\0", b"{}", content):
        for changed in (content + more, more + content):
            with pytest.raises(BadCheckpoint):
                unseal(changed)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 8, b"\xff" * 80, b'\x10\0\0\0\0\0\0\0{"sha256":"' + b"0" * 64],
)
def test_what_is_no_checkpoint_is_refused(content: bytes) -> None:
    with pytest.raises(BadCheckpoint):
        unseal(content)


def test_a_damaged_one_is_reported_and_the_one_before_is_used(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, RUN)
    kept.save(checkpoint(1))
    kept.save(checkpoint(2))
    newest = tmp_path / "part-2.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.warns(RuntimeWarning, match=r"part-2\.safetensors is not used: damaged"):
        assert same(kept.latest(), checkpoint(1))
    (tmp_path / "part-1.safetensors").write_bytes(b"")
    with pytest.warns(RuntimeWarning) as reported:
        assert kept.latest() is None
    assert [str(one.message).split(" ")[0].rpartition("/")[2] for one in reported] == [
        "part-2.safetensors",
        "part-1.safetensors",
    ]


def test_a_folder_in_its_place_is_damage_too(tmp_path: Path) -> None:
    (tmp_path / "part-4.safetensors").mkdir()
    with pytest.warns(RuntimeWarning, match="expected a regular file"):
        assert Checkpoints(tmp_path, RUN).latest() is None


def test_checkpoints_of_another_run_are_refused(tmp_path: Path) -> None:
    Checkpoints(tmp_path, RUN).save(checkpoint(1))
    with pytest.raises(BadArgument, match="a run with other settings: choose another folder"):
        Checkpoints(tmp_path, RUN[::-1]).latest()


def test_the_last_two_are_kept_by_number(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path / "deep" / "er", RUN)
    for part in (8, 9, 10, 11):
        kept.save(checkpoint(part))
    assert sorted(os.listdir(kept.folder)) == ["part-10.safetensors", "part-11.safetensors"]
    found = kept.latest()
    assert found is not None and found.part == 11


def test_leftovers_are_removed_when_they_are_old_or_the_run_is_over(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path / "c", RUN)
    kept.save(checkpoint(1))
    old, new = (kept.folder / f".part-1.safetensors.{name}.tmp" for name in ("old", "new"))
    foreign = kept.folder / "notes.txt"
    for path in (old, new, foreign):
        path.write_bytes(b"x")
    then = time.time() - STALE_SECONDS - 1
    os.utime(old, (then, then))
    assert kept.latest() is not None
    assert not old.exists() and new.exists() and foreign.exists()
    kept.remove()
    assert os.listdir(kept.folder) == ["notes.txt"]
    foreign.unlink()
    kept.remove()
    assert not kept.folder.exists()
    kept.remove()
    assert kept.latest() is None and not kept.exist()


class Child:
    """The process that writes checkpoints, and is killed."""

    def __init__(self) -> None:
        self._process: Any = subprocess.Popen(
            [sys.executable, str(HERE / "checkpoint_child.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            text=True,
        )
        assert self.answer() == "ready"

    def ask(self, *command: Any) -> str:
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self.answer()

    def answer(self) -> str:
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture
def child() -> Iterator[Child]:
    started = Child()
    yield started
    started.close()


def sound(folder: Path) -> Checkpoint | None:
    """The newest checkpoint, with no damaged one beside it: warnings are errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return Checkpoints(folder, RUN).latest()


def test_a_kill_at_any_call_leaves_the_old_or_the_new(child: Child, tmp_path: Path) -> None:
    found, number, status = set(), 0, "-9"
    while status == "-9":
        number += 1
        folder = tmp_path / str(number)
        for part in (1, 2):
            Checkpoints(folder, RUN).save(checkpoint(part))
        status = child.ask("die", str(folder), number)
        newest = sound(folder)
        assert newest is not None and same(newest, checkpoint(newest.part))
        found.add(newest.part)
    assert status == "0" and number > 5 and found == {2, 3}


@pytest.mark.slow
def test_two_hundred_kills_while_writing_leave_no_unreadable_checkpoint(
    child: Child, tmp_path: Path
) -> None:
    rng, last, strays = np.random.default_rng(0), 0, 0
    for _ in range(200):
        pid = int(child.ask("loop", str(tmp_path), last + 1))
        time.sleep(float(rng.uniform(0.005, 0.08)))
        os.kill(pid, SIGKILL)
        assert child.answer() == "-9"
        newest = sound(tmp_path)
        if newest is not None:
            assert same(newest, checkpoint(newest.part)) and newest.part >= last
            last = newest.part
    strays = len([name for name in os.listdir(tmp_path) if name.endswith(".tmp")])
    assert last > 200
    assert strays > 0, "no kill came while a file was being written"


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """What a full disk does, for any file beyond a size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, RUN)
    kept.save(checkpoint(1))
    size = len(seal(checkpoint(2)))
    for allowed in (0, 1, 8, *range(100, size, size // 20)):
        with largest_file(allowed), pytest.raises(NotWritable, match=r"part-2.*free some space"):
            kept.save(checkpoint(2))
        assert os.listdir(tmp_path) == ["part-1.safetensors"]
    assert same(sound(tmp_path), checkpoint(1))


# TensorBoard's writing thread reports the same error once more.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("allowed", [0, 1000, 4000, 8000])
def test_a_run_whose_events_or_checkpoints_do_not_fit_ends_and_goes_on(
    allowed: int, tmp_path: Path
) -> None:
    spec = cases.spec_of("cartpole")
    place, folder = tmp_path / "c", tmp_path / "events"
    cases.interrupted("cartpole", spec, 192, place)
    before = (place / "part-1.safetensors").read_bytes()
    with (
        largest_file(allowed),
        pytest.raises(NotWritable, match="File too large; free some space"),
        cases.executed("cartpole", spec, place, folder=folder),
    ):
        pass
    assert (place / "part-1.safetensors").read_bytes() == before
    shutil.rmtree(folder)
    with cases.executed("cartpole", spec, place, folder=folder) as found:
        assert cases.digest(*found) == cases.whole("cartpole", spec)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_named_and_the_old_checkpoint_is_used(small_disk: Path) -> None:
    spec = cases.spec_of("cartpole")
    cases.interrupted("cartpole", spec, 192, small_disk)
    (filler := small_disk / "filler").write_bytes(b"")
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(b"x" * 512)
    before = (small_disk / "part-1.safetensors").read_bytes()
    with (
        pytest.raises(NotWritable, match="No space left on device; free some space"),
        cases.executed("cartpole", spec, small_disk),
    ):
        pass
    assert sorted(os.listdir(small_disk)) == ["filler", "part-1.safetensors"]
    assert (small_disk / "part-1.safetensors").read_bytes() == before
    filler.unlink()
    with cases.executed("cartpole", spec, small_disk) as found:
        assert cases.digest(*found) == cases.whole("cartpole", spec)
