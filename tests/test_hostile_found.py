"""What hostile files broke once, one by one."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from agent_cases import agent
from hostile import archives, opcodes, shapes
from hostile.archives import change
from hostile.bases import Base, Bases
from hostile.observer import write
from hostile.samples import Sample

import rltransfer as rlt
from rltransfer.agents import Normalization, bundle, document, load, sb3
from rltransfer.agents.inert import Budget, Limits, array, examine, read_tensors
from rltransfer.agents.sb3.report import Ledger, printable
from rltransfer.errors import BadArgument, BadCheckpoint


@pytest.fixture
def base(bases: Bases) -> Base:
    return bases["box"]


@pytest.fixture
def read(tmp_path: Path) -> Callable[[dict[str, bytes]], sb3.Imported]:
    def read(files: dict[str, bytes]) -> sb3.Imported:
        write(Sample(files), tmp_path / "files")
        return sb3.read(tmp_path / "files/agent.zip")

    return read


def refusal(action: Callable[[], Any]) -> str:
    """Return why a file is refused, which takes less than a second."""
    start = time.process_time()
    with pytest.raises(BadCheckpoint) as caught:
        action()
    assert time.process_time() - start < 1
    message = str(caught.value)
    assert message.isprintable() and len(message) < 1000
    return message


# ---- pickles ----


@pytest.mark.parametrize(
    "line", [rb"S'\q'", rb"S'\400'", rb"S'\x4'", b"S'" + rb"\101" * 10**5 + rb"\8'"]
)
def test_texts_with_odd_escapes_raise_no_warning(line: bytes) -> None:
    assert "malformed text" in refusal(lambda: examine(line + b"\n.", Budget()))


def test_texts_with_sound_escapes_are_read() -> None:
    assert examine(rb"S'\x41\101\n\\\''" + b"\n.", Budget())[0] == "AA\n\\'"


@pytest.mark.parametrize("shape", [(0, 2**30, 2**30), (2**30, 2**30, 0)])
def test_empty_arrays_of_impossible_shape(shape: tuple[int, ...]) -> None:
    pickle = opcodes.join(opcodes.array(b"", shape).code, protocol=5)
    assert "too large a shape" in refusal(lambda: array(examine(pickle, Budget())[0]))


def test_empty_tensors_of_impossible_shape(base: Base) -> None:
    tree = archives.tree(base.members["policy.pth"])
    name = next(iter(tree))
    tree[name] = change(tree[name], size=(0, 2**30, 2**30), stride=(1, 1, 1))
    content = archives.write(tree)
    assert "too large a shape" in refusal(lambda: read_tensors(content, Budget()))


def test_classes_by_value_with_control_characters(base: Base, read: Callable[..., Any]) -> None:
    code = shapes.SHAPES["class by value '\\x1b[31m' 'own'"]()
    files = base.with_field("policy_class", code, twin=False)
    assert "policy_class" in refusal(lambda: read(files))


@pytest.mark.parametrize("shape", ["wide space", "space bomb 7 5", "space bomb 3 1000"])
def test_one_space_very_often(shape: str, base: Base, read: Callable[..., Any]) -> None:
    files = base.with_field("observation_space", shapes.SHAPES[shape](), twin=False)
    assert "observation_space" in refusal(lambda: read(files))


def test_numbers_as_keys_that_collide(base: Base, read: Callable[..., Any]) -> None:
    files = base.with_field("policy_kwargs", shapes.SHAPES["colliding keys"](), twin=False)
    assert "no text or small number" in refusal(lambda: read(files))


# ---- costs that grew with the square of something ----


def test_very_many_unknown_names_and_notes() -> None:
    ledger, start = Ledger(), time.process_time()
    for number in range(Limits().opcodes):
        ledger.name(f"m.{number}")
        ledger.note(f"note {number}")
    assert time.process_time() - start < 1
    assert len(ledger.foreign) == len(ledger.notes) == Limits().opcodes


def test_very_many_weights(base: Base, read: Callable[..., Any]) -> None:
    tree = archives.tree(base.members["policy.pth"])
    one = tree["log_std"]
    files = base.files({"policy.pth": archives.write(tree | {f"x{i}": one for i in range(1000)})})
    assert "the weights have x0" in refusal(lambda: read(files))


def test_long_texts_beside_a_pickle(base: Base, read: Callable[..., Any]) -> None:
    data = base.data()
    data["observation_space"]["low"] = "1 " * 7_000_000
    assert "disagree about low" in refusal(lambda: read(base.with_data(data)))


def test_long_values_in_a_report() -> None:
    start = time.process_time()
    assert printable("k" * 50_000_000) == "k" * 57 + "..."
    assert time.process_time() - start < 0.1


# ---- beside the zip ----


@pytest.mark.parametrize("name", ["x" * 3000, "é" * 200])
def test_names_of_tasks_that_no_folder_can_have(
    name: str, base: Base, read: Callable[..., Any]
) -> None:
    files = {**base.files(), "args.yml": f"env: {name}".encode()}
    assert read(files).agent.card.task == ""


@pytest.mark.parametrize("field", ["clip_obs", "clip_reward", "epsilon"])
def test_settings_without_an_end_cannot_be_stored(field: str) -> None:
    with pytest.raises(BadArgument, match=f"{field}=inf: expected a positive finite number"):
        Normalization(obs=True, reward=True, **{field: float("inf")})


# ---- our own format ----


def test_bounds_beyond_the_dtype_raise_no_warning(tmp_path: Path) -> None:
    tensors, data = document.write(agent("box"))
    data["action_space"]["high"] = 1e308
    bundle.write(tmp_path / "a", tensors, data)
    assert "Box" in refusal(lambda: load(tmp_path / "a"))


def test_very_many_tensors(tmp_path: Path) -> None:
    many = {f"policy/{i}": torch.zeros(0) for i in range(10_000)}
    message = refusal(lambda: bundle.unpack(safetensors.torch.save(many)))
    assert "too large a header" in message
    with pytest.raises(BadArgument, match="too large"):
        bundle.write(tmp_path / "a", many, {})


def test_very_many_values(tmp_path: Path) -> None:
    text = b'{"format": "rltransfer-agent", "a": [' + b"1," * 2_000_000 + b"1]}"
    assert "sha256 does not fit" in refusal(lambda: bundle.unseal(text))
    tensors, data = document.write(agent("box"))
    with pytest.raises(BadArgument, match="too large"):
        bundle.write(tmp_path / "a", tensors, {**data, "a": [1] * 2_000_000})


def test_state_of_an_optimizer_that_is_incomplete() -> None:
    whole = agent("multidiscrete")
    assert whole.optimizer
    lacking = dict(whole.optimizer)
    del lacking[next(name for name in lacking if name.endswith("/step"))]
    broken = dataclasses.replace(whole, optimizer=lacking)
    assert "the optimizer state is none of RMSprop" in refusal(broken.build)


def test_names_of_arguments_with_control_characters() -> None:
    odd = {**agent("box").policy_kwargs, "\x1b[31m": 1}
    broken = dataclasses.replace(agent("box"), policy_kwargs=odd)
    assert "unexpected keyword argument '?[31m'" in refusal(broken.build)


# ---- a module that a file names ----


@pytest.mark.parametrize("stored", [False, True])
def test_no_module_is_imported_because_a_file_says_so(
    stored: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "surprise.py").write_text("open('hostile-marker', 'w').close()")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    given: Any = agent("box").with_card(task="surprise:CartPole-v1")
    if stored:
        given.save(tmp_path / "a")
        given = tmp_path / "a"
    with pytest.raises(BadArgument, match="give the task yourself"):
        rlt.evaluate(given, episodes=1)
    assert "surprise" not in sys.modules and not (tmp_path / "hostile-marker").exists()


def test_a_task_of_a_module_that_is_imported_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = agent("box").with_card(task=f"{json.__name__}:rlt/None-v0")
    with pytest.raises(rlt.errors.UnknownName):
        rlt.evaluate(given, episodes=1)
