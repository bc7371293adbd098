from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from agent_cases import OWN, agent, assert_same_tensors

from rltransfer.agents import Agent, bundle, document, files, load
from rltransfer.agents.jsondata import parse, render
from rltransfer.errors import BadCheckpoint, NotWritable, TransferError


@pytest.fixture(scope="module")
def sample() -> Agent:
    return agent("normalized")


@pytest.fixture
def saved(sample: Agent, tmp_path: Path) -> Path:
    sample.save(tmp_path / "a")
    return tmp_path / "a"


def refused(path: Path) -> str:
    """Load, and return the one line that says why it is refused."""
    with pytest.raises(BadCheckpoint) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path.parent) in message
    return message


# ---- every change is noticed ----


def test_nothing_but_the_two_files_stays(saved: Path, sample: Agent) -> None:
    assert {path.name for path in saved.parent.iterdir()} == {"a.safetensors", "a.json"}
    data = json.loads(saved.with_suffix(".json").read_text())
    content = saved.with_suffix(".safetensors").read_bytes()
    # What a person can check by hand with sha256sum.
    assert data["weights"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert data["sha256"] == sample.sha256 == load(saved).sha256


def test_saving_is_deterministic(saved: Path, sample: Agent, tmp_path: Path) -> None:
    load(saved).save(tmp_path / "b")
    for suffix in bundle.SUFFIXES:
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", bundle.SUFFIXES)
def test_truncation_at_any_length_is_noticed(saved: Path, suffix: str) -> None:
    path = saved.with_suffix(suffix)
    whole = path.read_bytes()
    lengths = [*range(12), *range(len(whole) - 12, len(whole))]
    lengths += random.Random(0).sample(range(12, len(whole) - 12), min(len(whole) - 24, 1000))
    for length in lengths:
        path.write_bytes(whole[:length])
        refused(saved)
    path.write_bytes(whole + b"\0")
    refused(saved)
    path.write_bytes(whole)
    load(saved)


@pytest.mark.parametrize("suffix", bundle.SUFFIXES)
def test_any_changed_byte_is_noticed(saved: Path, suffix: str) -> None:
    """2,000 changes of one byte over both files, half of them of one bit only."""
    path = saved.with_suffix(suffix)
    whole = path.read_bytes()
    draw = random.Random(1)
    positions = [*range(16), *(draw.randrange(len(whole)) for _ in range(984))]
    for count, position in enumerate(positions):
        changed = bytearray(whole)
        changed[position] ^= 1 << draw.randrange(8) if count % 2 else draw.randrange(1, 256)
        path.write_bytes(changed)
        refused(saved)
    path.write_bytes(whole)
    load(saved)


def test_any_replaced_byte_of_the_text_is_noticed(saved: Path) -> None:
    path = saved.with_suffix(".json")
    whole = path.read_bytes()
    draw = random.Random(2)
    # Other white space, digits and escapes of equal meaning would be the hard ones to see.
    for position in draw.sample(range(len(whole)), 150):
        for other in (b" ", b"\n", b"\t", b"0", b"e", b"E", b'"'):
            changed = whole[:position] + other + whole[position + 1 :]
            if changed != whole:
                path.write_bytes(changed)
                refused(saved)


def test_line_ends_of_a_checkout_are_tolerated(saved: Path, sample: Agent) -> None:
    path = saved.with_suffix(".json")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert load(saved).sha256 == sample.sha256


@pytest.mark.parametrize("suffix", bundle.SUFFIXES)
def test_missing_file_is_named(saved: Path, suffix: str) -> None:
    saved.with_suffix(suffix).unlink()
    assert f"a{suffix} is missing" in refused(saved)


@pytest.mark.parametrize("suffix", bundle.SUFFIXES)
def test_file_of_another_agent_is_noticed(saved: Path, sample: Agent, suffix: str) -> None:
    other = dataclasses.replace(
        sample, weights={name: value + 1 for name, value in sample.weights.items()}
    )
    other.save(saved.parent / "b")
    os.replace(saved.parent / f"b{suffix}", saved.with_suffix(suffix))
    assert "of another agent" in refused(saved)


def test_files_that_are_no_agent(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.with_suffix(".safetensors").write_bytes(b"")
    path.with_suffix(".json").write_text('{"name": "package"}')
    assert "not an agent of rltransfer" in refused(path)
    path.with_suffix(".json").unlink()
    path.with_suffix(".json").mkdir()
    assert "regular file" in refused(path)
    path.with_suffix(".json").rmdir()
    os.mkfifo(path.with_suffix(".json"))
    assert "regular file" in refused(path)


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Be somebody whom permissions hold for, also where the tests run as root."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can enter; pytest's own are private."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_unreadable_file(sample: Agent, open_folder: Path) -> None:
    sample.save(open_folder / "a")
    for path in bundle.pair(open_folder / "a"):
        path.chmod(0)
        with unprivileged():
            message = refused(open_folder / "a")
        assert f"{path.name}: cannot be read: Permission denied" in message
        path.chmod(0o644)


def test_too_large_file_is_not_read(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with saved.with_suffix(".safetensors").open("r+b") as file:
        file.truncate(bundle.MAX_TENSORS + 1)  # sparse: nothing is written
    monkeypatch.setattr(bundle, "MAX_TENSORS", 4096)
    assert "larger than 4096 bytes" in refused(saved)


# ---- files with a right hash and a wrong content ----


def forge(path: Path, change: Callable[[dict[str, Any]], Any], sample: Agent) -> str:
    """Store an agent whose document was changed before it was sealed."""
    tensors, data = document.write(sample)
    change(data)
    bundle.write(path, tensors, data)
    return refused(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("card"), "'card' is missing"),
        (lambda d: d["card"].pop("task"), "'task' is missing"),
        (lambda d: d["card"].update(steps="many"), "'steps' is 'many': expected a whole number"),
        (lambda d: d["card"].update(steps=True), "'steps' is True"),
        (lambda d: d["card"].update(mood=1), "unknown fields 'mood'"),
        (lambda d: d["card"].update(score={"mean": 1}), "is missing"),
        (lambda d: d.update(more=1), "unknown fields 'more'"),
        (lambda d: d.update(algorithm="dqn"), "no algorithm is named 'dqn'"),
        (lambda d: d.update(algorithm=["ppo"]), "expected text"),
        (lambda d: d["hyperparameters"].update(n_epochs=10**15), "n_epochs"),
        (lambda d: d["hyperparameters"].update(predict="owned"), "no hyperparameter is named"),
        (lambda d: d["hyperparameters"].pop("gamma"), "gamma is missing"),
        (lambda d: d["policy_kwargs"].update(net_arch={"$eval": "1"}), "malformed"),
        (lambda d: d["observation_space"].update(shape=[10**12]), "too large"),
        (lambda d: d["observation_space"].update(type="Text"), "no space is named 'Text'"),
        (lambda d: d.update(observation_space=d["action_space"]), "observation statistics"),
        (lambda d: d["normalization"].update(clip_obs=-1.0), "clip_obs"),
        (lambda d: d["normalization"].update(gamma="x"), "expected a number"),
        (lambda d: d["normalization"].update(obs_stats=["x"]), "stats/obs/x/mean"),
        (lambda d: d["normalization"].update(obs_stats=False), "belongs to nothing"),
        (lambda d: d.update(normalization=None), "belongs to nothing"),
        (lambda d: d.update(optimizer=False), "belongs to nothing"),
        (
            lambda d: d.update(version=2),
            "format version 2, this rltransfer reads 1: install a newer",
        ),
    ],
)
def test_wrong_content_is_refused(
    change: Callable[[dict[str, Any]], Any], message: str, sample: Agent, tmp_path: Path
) -> None:
    assert message in forge(tmp_path / "a", change, sample)


def store(path: Path, tensors: dict[str, torch.Tensor], sample: Agent) -> None:
    bundle.write(path, tensors, document.write(sample)[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.update({"policy/log_std": torch.full((2,), torch.nan)}), "holds NaN or inf"),
        (lambda t: t.update({"policy/log_std": torch.full((2,), torch.inf)}), "holds NaN or inf"),
        (lambda t: t.update({"stats/obs/var": -t["stats/obs/var"]}), "at least 0"),
        (lambda t: t.update({"stats/obs/mean": t["stats/obs/mean"].float()}), "no running stat"),
        (lambda t: t.update({"stats/obs/count": torch.ones(3).double()}), "no running stat"),
        (lambda t: t.pop("stats/return/var"), "stats/return/var"),
        (lambda t: t.update({"policy/log_std": torch.zeros(2, dtype=torch.cfloat)}), "dtype"),
        (lambda t: t.update({"elsewhere": torch.zeros(1)}), "belongs to nothing"),
        (lambda t: [t.pop(n) for n in list(t) if n.startswith("policy/")], "has no weights"),
    ],
)
def test_wrong_tensors_are_refused(
    change: Callable[[dict[str, torch.Tensor]], Any], message: str, sample: Agent, tmp_path: Path
) -> None:
    tensors = document.write(sample)[0]
    change(tensors)
    store(tmp_path / "a", tensors, sample)
    assert message in refused(tmp_path / "a")


def test_weights_of_another_policy_are_refused_when_built(sample: Agent, tmp_path: Path) -> None:
    tensors, data = document.write(sample)
    data["policy_kwargs"]["net_arch"] = [16, 16]
    bundle.write(tmp_path / "a", tensors, data)
    with pytest.raises(BadCheckpoint, match="weights do not fit MlpPolicy"):
        load(tmp_path / "a").build()
    data["policy_kwargs"] = {"lstm_hidden_size": 3}
    bundle.write(tmp_path / "a", tensors, data)
    with pytest.raises(BadCheckpoint, match="no MlpPolicy can be built"):
        load(tmp_path / "a").build()


@pytest.mark.parametrize("width", [[10**9, 10**9], [10**7, 10**7], [5000] * 50])
def test_description_that_asks_for_all_memory_is_refused(
    width: list[int], sample: Agent, tmp_path: Path
) -> None:
    tensors, data = document.write(sample)
    data["policy_kwargs"]["net_arch"] = width
    bundle.write(tmp_path / "a", tensors, data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadCheckpoint, match="no MlpPolicy can be built"):
        load(tmp_path / "a").build()
    # Kilobytes on Linux.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        struct.pack("<Q", 2**62) + b"{}",
        struct.pack("<Q", 2**24 + 1) + b" " * 32,
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 4) + b"nope",
        *(
            struct.pack("<Q", len(header)) + header + b"\0" * 8
            for header in (
                b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}',
                b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
                b'{"a":{"dtype":"X99","shape":[2],"data_offsets":[0,8]}}',
                b'{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}',
                b'{"a":{"dtype":"F32","shape":[4611686018427387906],"data_offsets":[0,8]}}',
                b'{"a":{"dtype":"U64","shape":[1],"data_offsets":[0,8]}}',
                b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
                b'"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
            )
        ),
    ],
    ids=range(13),
)
def test_malformed_safetensors_are_refused(content: bytes) -> None:
    with pytest.raises(BadCheckpoint):
        bundle.unpack(content)


def test_random_safetensors_headers_never_escape(sample: Agent) -> None:
    content = safetensors.torch.save(document.write(sample)[0])
    draw = random.Random(3)
    read = 0
    for _ in range(300):
        changed = bytearray(content)
        for _ in range(draw.randrange(1, 4)):
            changed[draw.randrange(1200)] = draw.randrange(256)
        try:
            bundle.unpack(bytes(changed))
            read += 1
        except BadCheckpoint:
            pass
    # Some changes (of a name, of the padding) leave a valid file: there the sha256 is needed.
    assert read < 300


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"nul",
        b'{"a": 1, "a": 1}',
        b'{"b": {"a": 1, "a": 2}}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": "\xff"}',
        b'{"a": ' + b"[" * 100_000 + b"}",
        b'{"a": 1} {}',
    ],
    ids=range(12),
)
def test_malformed_json_is_refused(text: bytes) -> None:
    with pytest.raises(BadCheckpoint):
        parse(text)


def test_deep_json_with_a_right_hash_is_refused() -> None:
    for depth in (100, 900, 990, 5000):
        body = b'{"format": "rltransfer-agent", "a": ' + b"[" * depth + b"]" * depth + b"}"
        with pytest.raises(BadCheckpoint):
            bundle.unseal(body)


def test_loading_runs_no_code_from_the_files(saved: Path) -> None:
    watching, events = False, []

    def hook(event: str, args: Any) -> None:
        if watching and event in _CODE_EVENTS:
            events.append((event, args))

    sys.addaudithook(hook)
    load(saved).build()  # what torch imports on first use is imported now
    watching = True
    load(saved).build()
    assert events == []
    eval("1")  # the hook does see such things
    watching = False
    assert events


_CODE_EVENTS = (
    *("pickle.find_class", "import", "exec", "compile", "marshal.loads", "os.system", "os.exec"),
    *("os.posix_spawn", "os.fork", "subprocess.Popen", "ctypes.dlopen", "socket.connect"),
)


# ---- what cannot be written ----


def test_unwritable_places(sample: Agent, tmp_path: Path) -> None:
    with pytest.raises(NotWritable, match="No such file or directory; choose a folder"):
        sample.save(tmp_path / "nowhere" / "a")
    (tmp_path / "file").write_text("")
    with pytest.raises(NotWritable, match="Not a directory"):
        sample.save(tmp_path / "file" / "a")
    assert {path.name for path in tmp_path.iterdir()} == {"file"}
    for suffix in bundle.SUFFIXES:
        (tmp_path / f"b{suffix}").mkdir()
        with pytest.raises(NotWritable):
            sample.save(tmp_path / "b")
        (tmp_path / f"b{suffix}").rmdir()


def test_folder_without_permission(sample: Agent, open_folder: Path) -> None:
    open_folder.chmod(0o555)
    with unprivileged(), pytest.raises(NotWritable, match="Permission denied"):
        sample.save(open_folder / "a")
    open_folder.chmod(0o755)
    assert not list(open_folder.iterdir())


@pytest.fixture
def limit_files() -> Iterator[Callable[[int], None]]:
    """Let no file grow beyond some size, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


def test_full_disk_leaves_the_old_agent(
    saved: Path, sample: Agent, limit_files: Callable[[int], None]
) -> None:
    changed = sample.with_card(notes="new " * 3000)
    tensors, text, _ = bundle.seal(*document.write(changed))
    assert len(text) > len(tensors)
    sizes = [0, 1, len(tensors) // 2, len(tensors) - 1, len(tensors), len(text) - 1]
    for size in sizes:
        limit_files(size)
        try:
            with pytest.raises(NotWritable, match="free some space"):
                changed.save(saved)
        finally:
            limit_files(resource.RLIM_INFINITY)
        assert load(saved).sha256 == sample.sha256
        assert {path.name for path in saved.parent.iterdir()} == {"a.safetensors", "a.json"}
    changed.save(saved)
    assert load(saved).sha256 == changed.sha256


def test_temporary_files_of_killed_writers_are_swept(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    old, young, foreign = (files.stage(name, b"x") for name in (path, path, tmp_path / "b.json"))
    for temporary in (old, foreign):
        yesterday = time.time() - 86_400
        os.utime(temporary, (yesterday, yesterday))
    files.atomic_write(path, b"new")
    assert {p.name for p in tmp_path.iterdir()} == {"a.json", young.name, foreign.name}


def test_atomic_write_keeps_the_umask(tmp_path: Path) -> None:
    files.atomic_write(tmp_path / "a", b"1")
    (tmp_path / "b").write_bytes(b"1")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


# ---- what a kill leaves ----


class Saver:
    """Talks with ``crash_child.py``, which saves two agents in processes that die."""

    def __init__(self, process: subprocess.Popen[str], old: Agent, new: Agent) -> None:
        self.process, self.old, self.new = process, old, new
        self.agents = {one.sha256: one for one in (old, new)}
        assert self.answer() == "ready"

    def answer(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def ask(self, *command: Any) -> str:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def outcome(self, path: Path) -> str:
        """Load what a kill left, check it tensor by tensor, and return which agent it is."""
        left = load(path)
        known = self.agents[left.sha256]
        assert_same_tensors(left.weights, known.weights)
        assert_same_tensors(left.optimizer, known.optimizer)
        assert left.card == known.card
        return "new" if known is self.new else "old"

    def kill_rounds(self, rounds: int, path: Path) -> dict[str, int]:
        """Kill a process that saves in a loop, at random moments, and count what is left."""
        counts = {"old": 0, "new": 0}
        draw = random.Random(4)
        self.old.save(path)
        for _ in range(rounds):
            before = path.with_suffix(".json").stat().st_ino
            pid = int(self.ask("loop", str(path)))
            start = time.monotonic()
            while path.with_suffix(".json").stat().st_ino == before:
                assert time.monotonic() < start + 120
                time.sleep(0.001)
            # One save has passed since the start: spread the kills over the next three.
            time.sleep(draw.uniform(0, 3 * (time.monotonic() - start)))
            os.kill(pid, signal.SIGKILL)
            assert self.answer() == str(-signal.SIGKILL)
            counts[self.outcome(path)] += 1
        return counts


@pytest.fixture(scope="module")
def saver(sample: Agent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Saver]:
    weights = {name: value * 2 for name, value in sample.weights.items()}
    new = dataclasses.replace(sample.with_card(notes="new"), weights=weights)
    folder = tmp_path_factory.mktemp("agents")
    sample.save(folder / "old")
    new.save(folder / "new")
    script = Path(__file__).with_name("crash_child.py")
    # Leaving the block closes the child's input, which ends it.
    with subprocess.Popen(
        [sys.executable, str(script), str(folder / "old"), str(folder / "new")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        text=True,
    ) as process:
        yield Saver(process, sample, new)


@pytest.mark.parametrize("first", [True, False], ids=["first save", "second save"])
def test_dying_at_any_call_leaves_old_or_new(first: bool, saver: Saver, tmp_path: Path) -> None:
    seen = []
    for deadly in range(1, 60):
        path = tmp_path / f"a{deadly}"
        if not first:
            saver.old.save(path)
        status = int(saver.ask("die", str(path), 1, deadly))
        if status == 0:
            break
        assert status == -signal.SIGKILL
        try:
            seen.append(saver.outcome(path))
        except BadCheckpoint as error:
            # Before the very first save is through there is no agent, but never half of one.
            assert first and "no agent at" in str(error)
            seen.append("nothing")
        saver.old.save(path)  # what was left does not stand in the way
        assert saver.outcome(path) == "old"
    else:
        pytest.fail("the save made more calls than expected")
    # What was there up to one call, and the new agent from there on.
    before = "nothing" if first else "old"
    assert seen == [before] * seen.count(before) + ["new"] * seen.count("new")
    assert seen.count(before) > 5 and seen.count("new") > 5


def test_kill_at_random_moments_leaves_old_or_new(saver: Saver, tmp_path: Path) -> None:
    assert sum(saver.kill_rounds(40, tmp_path / "a").values()) == 40


@pytest.mark.slow
def test_many_kills_leave_old_or_new(saver: Saver, tmp_path: Path) -> None:
    counts = saver.kill_rounds(400, tmp_path / "a")
    assert all(count > 40 for count in counts.values()), counts


def test_half_finished_save_is_finished_by_the_reader(saved: Path, sample: Agent) -> None:
    """The state between the two renames, with the old text and the new tensors."""
    new = agent("box")
    tensors, text, digest = bundle.seal(*document.write(new))
    saved.with_suffix(".safetensors").write_bytes(tensors)
    saved.with_name("a.json.new").write_bytes(text)
    assert load(saved).sha256 == digest
    saved.with_suffix(".json").unlink()
    assert load(saved).sha256 == digest
    # A pending text alone names tensors that are not there: the old agent holds.
    sample.save(saved)
    saved.with_name("a.json.new").write_bytes(text)
    assert load(saved).sha256 == sample.sha256


def test_every_refusal_is_typed_and_short(saved: Path) -> None:
    draw = random.Random(5)
    text = saved.with_suffix(".json").read_bytes()
    for _ in range(200):
        # Valid JSON with a right hash, and one value replaced by something else.
        data = json.loads(text)
        data.pop("sha256")
        node: Any = data
        parent: Any = data
        key: Any = "card"
        while isinstance(node, dict | list) and node:
            parent = node
            key = draw.choice(list(node) if isinstance(node, dict) else range(len(node)))
            node = node[key]
            if draw.random() < 0.2:
                break
        parent[key] = draw.choice([None, -1, 10**30, 0.5, "", "x" * 500, [], {}, [[]], True])
        digest = hashlib.sha256(render(data)).hexdigest()
        saved.with_suffix(".json").write_bytes(render({**data, "sha256": digest}))
        try:
            load(saved, classes=OWN).build()
        except TransferError as error:
            assert "\n" not in str(error) and len(str(error)) < 1500
