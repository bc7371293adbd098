"""Malformed and hostile files: each is read or refused, quickly, in little memory, without effect.

The files and the process that reads them are in the package ``hostile``; how to look at one of them
is said there, and in every failure.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile import families, opcodes, payloads, samples
from hostile.bases import Bases
from hostile.observer import Figures, Observer, complaints, sound

HERE = Path(__file__).parent
_PART = 300


def _parts(*, many: bool) -> list[tuple[str, int, int]]:
    """Split the families, so that two processes can share them."""
    counts = {f.name: f.many if many else f.count for f in families.FAMILIES.values()}
    return [
        (name, at, min(at + _PART, count))
        for name, count in counts.items()
        for at in range(0, count, _PART)
    ]


@pytest.fixture(scope="session")
def observer(bases: Bases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observer]:
    watched = Observer(tmp_path_factory.mktemp("observed"), bases)
    yield watched
    watched.close()


def check(name: str, start: int, stop: int, observer: Observer) -> None:
    figures = Figures()
    for index in range(start, stop):
        observer.judge(name, index, figures)
    print(f"{name}: {figures}")
    cure = f"see it with: cd tests; python -m hostile {name} NUMBER --out FOLDER"
    assert not figures.complaints, "\n".join([*figures.complaints[:5], cure])


@pytest.mark.parametrize(("name", "start", "stop"), _parts(many=False))
def test_hostile_files(name: str, start: int, stop: int, observer: Observer) -> None:
    check(name, start, stop, observer)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "start", "stop"), _parts(many=True))
def test_many_hostile_files(name: str, start: int, stop: int, observer: Observer) -> None:
    check(name, start, stop, observer)


def test_there_are_enough_of_them() -> None:
    assert sum(family.count for family in families.FAMILIES.values()) >= 5_000
    assert sum(family.many for family in families.FAMILIES.values()) >= 50_000
    assert len({call[:2] for call in payloads.CALLS}) >= 110


def test_a_number_names_the_same_file_everywhere(bases: Bases, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from test_hostile import digest;"
        "from hostile import bases; print(digest(bases.load(Path(sys.argv[1]))))"
    )
    paths = os.pathsep.join([str(HERE), *sys.path])
    again = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],  # where nothing was made yet
        env={**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert again.stdout.strip() == digest(bases)


def digest(bases: Bases) -> str:
    """Sha256 of the first files of every family."""
    whole = hashlib.sha256()
    for family in families.FAMILIES.values():
        for index in range(min(family.count, 5)):
            sample = samples.make(family.name, index, bases)
            for name, content in sample.files.items():
                whole.update(name.encode() + content)
    return whole.hexdigest()


# ---- what these tests look for is noticed ----


def test_code_that_runs_is_noticed(bases: Bases, tmp_path: Path) -> None:
    """PPO.load runs what a file says: the process sees it, and the payload leaves its mark."""
    call = payloads.ENCODINGS["stack global"]("os", "system", (f"touch {payloads.MARKER}",))
    content = opcodes.join(call, protocol=4)
    sample = samples.Sample(bases["box"].with_field("ep_info_buffer", content))
    observer = Observer(tmp_path, bases, warm=False)
    try:
        answer = observer.read(sample, reader="unsafe")
        found = [*complaints(sample, answer), *observer.traces(sample)]
    finally:
        observer.close()
    assert any(event.startswith("os.system") for event in answer["events"])
    assert any(event.startswith("pickle.find_class") for event in answer["events"])
    assert any(text.startswith("event while reading: ") for text in found)
    assert f"left {payloads.MARKER} behind" in found


def test_time_memory_and_other_errors_are_noticed(bases: Bases, observer: Observer) -> None:
    sample = sound(bases, "box", own=False)
    found = complaints(sample, observer.read(sample, reader="waste"))
    assert [text.partition(" by ")[0] for text in found if "grew" in text] == ["the process grew"]
    assert any(text.startswith("took ") for text in found)
    found = complaints(sample, observer.read(sample, reader="break"))
    assert any("ValueError: no error of rltransfer" in text for text in found)
    assert any(text.startswith("event while reading: open") for text in found)
    assert observer.traces(sample) == ["changed the files"]
    # And nothing of a sound one.
    assert not complaints(sample, observer.read(sample)) and not observer.traces(sample)


def test_a_file_that_loads_and_should_not_is_noticed(bases: Bases, observer: Observer) -> None:
    sample = sound(bases, "box", own=False)
    wrong = samples.Sample(sample.files, expect="refused")
    assert complaints(wrong, observer.read(wrong)) == ["should be refused"]
    broken = samples.Sample({"agent.zip": b""}, expect="loads")
    assert complaints(broken, observer.read(broken))[0].startswith("should load")
