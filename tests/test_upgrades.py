"""Agents of every version of the format stay readable."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from agent_cases import agent, assert_same_tensors

from rltransfer.agents import Agent, bundle, document, load, upgrades
from rltransfer.agents.jsondata import render
from rltransfer.errors import BadCheckpoint

DATA = Path(__file__).parent / "data/bundle"


@pytest.fixture(scope="module")
def sample() -> Agent:
    return agent("box")


@pytest.mark.parametrize("version", range(1, bundle.VERSION + 1))
def test_agent_that_was_stored_by_every_version_acts_as_it_did(version: int) -> None:
    expected = json.loads((DATA / f"version{version}.expected.json").read_text())
    text = json.loads((DATA / f"version{version}.json").read_text())
    assert text["version"] == version and text["sha256"] == expected["sha256"]
    found = load(DATA / f"version{version}")
    model = found.build()
    observations = np.array(expected["observations"], dtype=np.float32)
    actions, _ = model.predict(observations, deterministic=True)
    values = model.policy.predict_values(torch.as_tensor(observations)).detach().numpy()[:, 0]
    # Not to the last bit: the file is read on every kind of machine.
    np.testing.assert_allclose(actions, expected["actions"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(values, expected["values"], rtol=1e-5, atol=1e-6)
    assert found.normalization is not None and found.optimizer
    np.testing.assert_array_equal(found.normalization.obs_stats.mean, expected["obs_mean"])


def test_format_has_not_changed_without_a_new_version() -> None:
    """What reads the newest fixture writes it again, byte for byte."""
    path = DATA / f"version{bundle.VERSION}"
    content, text, digest = bundle.seal(*document.write(load(path)))
    assert content == path.with_suffix(".safetensors").read_bytes()
    assert text == path.with_suffix(".json").read_bytes()
    assert digest == json.loads(text)["sha256"]


def test_no_version_is_left_out_of_the_table() -> None:
    assert set(upgrades.UPGRADES) == set(range(1, bundle.VERSION))


def store(path: Path, sample: Agent, **changes: Any) -> None:
    """Write an agent whose sealed document says something else."""
    tensors, data = document.write(sample)
    bundle.write(path, tensors, {**data, **changes})


def _rename(data: dict[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in data.items() if name != "title"}
    return rest | {"card": {**data["card"], "name": data["title"]}}


def _lengthen(data: dict[str, Any]) -> dict[str, Any]:
    return data | {"card": {**data["card"], "notes": f"{data['version']}, {data['card']['name']}"}}


@pytest.fixture
def version_3(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A later rltransfer, which knows how to read versions 1 and 2."""
    monkeypatch.setattr(bundle, "VERSION", 3)
    monkeypatch.setattr(upgrades, "UPGRADES", {1: _rename, 2: _lengthen})
    return monkeypatch


def test_document_of_an_older_version_goes_through_every_step(
    version_3: pytest.MonkeyPatch, sample: Agent, tmp_path: Path
) -> None:
    store(tmp_path / "a", sample, version=1, title="old")
    found = load(tmp_path / "a")
    assert (found.card.name, found.card.notes) == ("old", "2, old")
    assert_same_tensors(found.weights, sample.weights)
    # Saved again, it is an agent of the new version, which needs no step.
    found.save(tmp_path / "b")
    assert json.loads((tmp_path / "b.json").read_text())["version"] == 3
    version_3.setattr(upgrades, "UPGRADES", {})
    assert load(tmp_path / "b").sha256 == found.sha256


def test_document_of_the_version_before_skips_earlier_steps(
    version_3: pytest.MonkeyPatch, sample: Agent, tmp_path: Path
) -> None:
    store(tmp_path / "a", sample, version=2)
    assert load(tmp_path / "a").card.notes == "2, test"


@pytest.mark.parametrize("table", [{}, {1: _rename}, {2: _lengthen}], ids=["1 2", "2", "1"])
def test_gap_in_the_table_is_refused(
    table: dict[int, Any], version_3: pytest.MonkeyPatch, sample: Agent, tmp_path: Path
) -> None:
    version_3.setattr(upgrades, "UPGRADES", table)
    store(tmp_path / "a", sample, version=1, title="old")
    with pytest.raises(BadCheckpoint, match="format version 1, which this rltransfer cannot turn"):
        load(tmp_path / "a")


@pytest.mark.parametrize("version", [0, -1, -(10**30)])
def test_version_that_never_was_is_refused(version: int, sample: Agent, tmp_path: Path) -> None:
    store(tmp_path / "a", sample, version=version)
    with pytest.raises(BadCheckpoint, match=f"format version {version}"):
        load(tmp_path / "a")


@pytest.mark.parametrize("version", ["1", 1.0, True, None])
def test_version_that_is_no_number_is_refused(version: Any, sample: Agent, tmp_path: Path) -> None:
    store(tmp_path / "a", sample, version=version)
    with pytest.raises(BadCheckpoint, match=r"'version' is .* expected a whole number"):
        load(tmp_path / "a")


def test_newer_version_is_refused_with_the_cure(sample: Agent, tmp_path: Path) -> None:
    store(tmp_path / "a", sample, version=bundle.VERSION + 1)
    with pytest.raises(BadCheckpoint, match="install a newer rltransfer"):
        load(tmp_path / "a")


def test_seal_is_verified_before_a_document_is_upgraded(
    version_3: pytest.MonkeyPatch, sample: Agent, tmp_path: Path
) -> None:
    calls = []
    version_3.setattr(upgrades, "UPGRADES", {1: calls.append, 2: calls.append})
    store(tmp_path / "a", sample, version=1)
    data = json.loads((tmp_path / "a.json").read_text())
    data["card"]["name"] = "edited"
    (tmp_path / "a.json").write_bytes(render(data))
    with pytest.raises(BadCheckpoint, match="edited after it was saved"):
        load(tmp_path / "a")
    assert not calls


def test_upgrade_may_not_change_which_tensors_the_text_names(
    version_3: pytest.MonkeyPatch, sample: Agent, tmp_path: Path
) -> None:
    other = {"weights": {"sha256": hashlib.sha256(b"").hexdigest()}}
    version_3.setattr(upgrades, "UPGRADES", {2: lambda data: data | other})
    store(tmp_path / "a", sample, version=2)
    with pytest.raises(BadCheckpoint, match="its sha256 does not fit"):
        load(tmp_path / "a")
