"""What identify made, on disk and back."""

import json
import math

import numpy as np
import pytest
import safetensors.torch
import torch

from rltransfer.agents import load
from rltransfer.errors import BadArgument, BadCheckpoint, NotWritable
from rltransfer.evaluate import evaluate
from rltransfer.meta import AdaptivePolicy, Known, identify, saving
from rltransfer.pretrain import pretrain
from rltransfer.randomizing import randomized

RANGES = {"force_mag": (-15, 15), "gravity": (5, 20)}


@pytest.fixture(scope="module")
def adaptive():
    told = randomized("CartPole-v1", "my/Saved-v0", RANGES, context=True)
    agent = pretrain(told, 512, n_steps=64, normalize_obs=True, episodes=2)
    return identify(agent, told, steps=128, rounds=1, history=3, epochs=1)


@pytest.fixture
def saved(adaptive, tmp_path):
    adaptive.save(tmp_path / "pole")
    return tmp_path / "pole"


def _edited(path, change):
    """Write a file's estimator again with something else in it."""
    content = path.read_bytes()
    tensors = safetensors.torch.load(content)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    about = json.loads(header["__metadata__"]["rltransfer"])
    del about["sha256"]
    change(tensors, about)
    path.write_bytes(saving.seal(tensors, about))


def test_a_policy_comes_back_as_it_was(adaptive, saved):
    before = torch.get_rng_state()
    again = AdaptivePolicy.load(f"{saved}.json")
    assert torch.equal(before, torch.get_rng_state())
    assert again.agent.sha256 == adaptive.agent.sha256 == load(saved).sha256
    assert again.estimator.names == ("force_mag", "gravity") and again.estimator.length == 3
    assert again.estimator.r2 == adaptive.estimator.r2 != {}
    hidden = randomized("CartPole-v1", "my/SavedHidden-v0", RANGES)
    scores = [evaluate(one, hidden, episodes=5).returns.tolist() for one in (adaptive, again)]
    assert scores[0] == scores[1]
    state = other = None
    for row in np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32):
        action, state = adaptive.predict(row, state, deterministic=True)
        same, other = again.predict(row, other, deterministic=True)
        assert action == same and (state.context == other.context).all()


def test_an_agent_is_identified_by_its_path(adaptive, saved):
    again = identify(saved, steps=128, rounds=1, history=3, epochs=1)
    assert again.estimator.r2 == adaptive.estimator.r2


def test_it_is_saved_again_over_itself(adaptive, saved):
    before = [path.read_bytes() for path in sorted(saved.parent.iterdir())]
    AdaptivePolicy.load(saved).save(saved)
    assert before == [path.read_bytes() for path in sorted(saved.parent.iterdir())]
    assert len(before) == 3


def test_a_share_that_nothing_has_is_kept_as_none(adaptive, saved):
    adaptive.estimator.r2, kept = {"force_mag": -math.inf, "gravity": 0.5}, adaptive.estimator.r2
    adaptive.save(saved)
    adaptive.estimator.r2 = kept
    r2 = AdaptivePolicy.load(saved).estimator.r2
    assert math.isnan(r2["force_mag"]) and r2["gravity"] == 0.5


def test_only_what_was_fitted_is_saved(adaptive, tmp_path):
    with pytest.raises(BadArgument, match=r"policy\.agent\.save"):
        AdaptivePolicy(adaptive.agent, Known((0.0, 0.0)), 2).save(tmp_path / "known")
    with pytest.raises(BadArgument, match="to_sb3"):
        adaptive.save(tmp_path / "pole.zip")
    with pytest.raises(NotWritable):
        adaptive.save(tmp_path / "nowhere/pole")
    assert not list(tmp_path.iterdir())


def test_the_estimator_of_another_agent_is_refused(adaptive, saved):
    adaptive.agent.with_card(name="other").save(saved)
    with pytest.raises(BadCheckpoint, match="another agent than 'other'"):
        AdaptivePolicy.load(saved)


def test_what_is_missing_is_named(adaptive, tmp_path):
    adaptive.agent.save(tmp_path / "alone")
    with pytest.raises(BadCheckpoint, match=r"alone\.context\.safetensors"):
        AdaptivePolicy.load(tmp_path / "alone")
    with pytest.raises(BadCheckpoint, match="no agent at"):
        AdaptivePolicy.load(tmp_path / "nobody")


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors, about: about.update(length=4),
        lambda tensors, about: about.update(length=2**40),
        lambda tensors, about: about.update(length="3"),
        lambda tensors, about: about.update(names=["gravity"]),
        lambda tensors, about: about.update(names=["gravity"] * 9),
        lambda tensors, about: about.update(names=[1, 2]),
        lambda tensors, about: about.update(format="other"),
        lambda tensors, about: about.update(version=2),
        lambda tensors, about: about.update(r2=[1.0, 1.0]),
        lambda tensors, about: about.update(r2={"force_mag": "good", "gravity": 0.1}),
        lambda tensors, about: about.update(r2={"mass": 0.1}),
        lambda tensors, about: about.update(r2={}),
        lambda tensors, about: about.update(more=1),
        lambda tensors, about: about.pop("names"),
        lambda tensors, about: tensors.pop("net.2.bias"),
        lambda tensors, about: tensors.update({"net.8.bias": torch.zeros(2)}),
        lambda tensors, about: tensors.update({"net.0.bias": torch.tensor(1.0)}),
        lambda tensors, about: tensors.update(std=torch.zeros(3)),
        lambda tensors, about: tensors.update(std=tensors["std"].double()),
        lambda tensors, about: tensors.update(mean=tensors["mean"] * math.nan),
    ],
)
def test_a_file_that_does_not_fit_is_refused(saved, change):
    path = saved.with_name("pole.context.safetensors")
    _edited(path, lambda tensors, about: None)
    AdaptivePolicy.load(saved)
    _edited(path, change)
    with pytest.raises(BadCheckpoint, match=r"pole\.context\.safetensors"):
        AdaptivePolicy.load(saved)


def test_no_byte_changes_unnoticed(adaptive, saved):
    path, agent = saved.with_name("pole.context.safetensors"), adaptive.agent
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    for place in [*range(end), *range(end, len(content), 97), len(content) - 1]:
        flipped = bytes([content[place] ^ 1 << place % 8])
        for damaged in (content[:place], content[:place] + flipped + content[place + 1 :]):
            path.write_bytes(damaged)
            with pytest.raises(BadCheckpoint):
                saving.read(path, agent)
    path.write_bytes(content)
    saving.read(path, agent)
