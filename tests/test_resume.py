"""A run that was interrupted gives the same numbers as one that was not: by sha256, to the bit."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import resume_cases as cases
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rltransfer.experiments.checkpoints import Checkpoints
from rltransfer.experiments.run import Run
from rltransfer.training.critic import CriticRefit

GRID = [(name, recipe) for name in cases.SETTINGS_OF for recipe in cases.RECIPES]
FAST = [
    ("cartpole", "gradual"),
    ("cartpole", "auto"),
    ("pendulum", "refit"),
    ("acrobot", "fixed"),
    ("mountaincar", "moments"),
    ("dict", "discriminative"),
    ("image", "head"),
    ("maskable", "full"),
    ("recurrent", "refit"),
]


def check(name: str, recipe: str, folder: Path, points: Sequence[int] = cases.POINTS) -> None:
    spec = cases.spec_of(name, recipe)
    expected = cases.whole(name, spec)
    for steps in points:
        place = folder / str(steps)
        cases.interrupted(name, spec, steps, place)
        newest = Checkpoints(place, spec.id).latest()
        assert newest is not None
        heard = cases.Heard()
        with cases.executed(name, spec, place, report=heard) as found:
            assert heard[0] == newest.state["counters"]["num_timesteps"] > 0
            assert cases.digest(*found) == expected, steps


@pytest.mark.parametrize(("name", "recipe"), FAST)
def test_a_run_goes_on_as_if_nothing_had_happened(name: str, recipe: str, tmp_path: Path) -> None:
    check(name, recipe, tmp_path, cases.POINTS[-1:])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "recipe"), GRID)
def test_every_recipe_goes_on_everywhere(name: str, recipe: str, tmp_path: Path) -> None:
    check(name, recipe, tmp_path, cases.AUTO_POINTS if recipe == "auto" else cases.POINTS)


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", ["cartpole", "pendulum", "image", "recurrent"])
def test_a_run_on_a_gpu_goes_on(name: str, tmp_path: Path) -> None:
    spec = cases.spec_of(name, "gradual", device="cuda")
    expected = cases.whole(name, spec)
    cases.interrupted(name, spec, 384, tmp_path)
    with cases.executed(name, spec, tmp_path) as found:
        assert cases.digest(*found) == expected


def test_a_run_may_die_again_and_again(tmp_path: Path) -> None:
    spec = cases.spec_of("pendulum", "gradual")
    expected = cases.whole("pendulum", spec)
    for steps in (64, 192, 192, 320, 384, 448):
        cases.interrupted("pendulum", spec, steps, tmp_path)
    with cases.executed("pendulum", spec, tmp_path) as found:
        assert cases.digest(*found) == expected


def test_checkpoints_are_those_of_the_last_two_cuts(tmp_path: Path) -> None:
    spec = cases.spec_of("cartpole")
    cases.interrupted("cartpole", spec, 384, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "part-2.safetensors",
        "part-3.safetensors",
    ]
    found = Checkpoints(tmp_path, spec.id).latest()
    assert found is not None and found.part == 3
    assert found.state["counters"]["num_timesteps"] == 320


def test_writing_checkpoints_changes_nothing(tmp_path: Path) -> None:
    spec = cases.spec_of("acrobot", "gradual")
    with cases.executed("acrobot", spec, tmp_path) as found:
        assert cases.digest(*found) == cases.whole("acrobot", spec)


def test_a_run_within_one_part_is_not_cut(tmp_path: Path) -> None:
    cut, whole, longer = (
        cases.whole("cartpole", cases.spec_of("cartpole", checkpoint_every=every))
        for every in (cases.EVERY, cases.STEPS, 10**9)
    )
    assert whole == longer != cut
    with cases.executed("cartpole", cases.spec_of("cartpole", checkpoint_every=512), tmp_path):
        assert not list(tmp_path.iterdir())


def test_a_checkpoint_does_not_depend_on_the_state_of_the_process(tmp_path: Path) -> None:
    spec = cases.spec_of("pendulum")
    expected = cases.whole("pendulum", spec)
    cases.interrupted("pendulum", spec, 384, tmp_path)
    random.seed(99)
    np.random.seed(99)
    torch.manual_seed(99)
    with cases.executed("pendulum", spec, tmp_path) as found:
        assert cases.digest(*found) == expected


def test_a_refit_is_cut_in_the_middle(tmp_path: Path) -> None:
    spec = cases.spec_of("cartpole", "refit")
    cases.interrupted("cartpole", spec, 128, tmp_path)
    found = Checkpoints(tmp_path, spec.id).latest()
    assert found is not None and found.state["refit"] == 1
    held = [name for name in found.tensors if name.startswith("refit/")]
    assert len(held) == 2 * len(CriticRefit(1).state())


def test_time_is_that_of_all_attempts(tmp_path: Path) -> None:
    spec = cases.spec_of("cartpole")
    cases.interrupted("cartpole", spec, 448, tmp_path)
    found = Checkpoints(tmp_path, spec.id).latest()
    assert found is not None and found.state["seconds"] > 0
    with cases.executed("cartpole", spec, tmp_path) as (run, _):
        assert run.seconds > found.state["seconds"]


def events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Every scalar but the speed, as TensorBoard shows it."""
    loaded = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    tags = [tag for tag in loaded.Tags()["scalars"] if not tag.startswith("time/")]
    return {tag: [(p.step, p.value) for p in loaded.Scalars(tag)] for tag in sorted(tags)}


def test_tensorboard_shows_one_curve(tmp_path: Path) -> None:
    spec = cases.spec_of("cartpole", "gradual")
    with cases.executed("cartpole", spec, folder=tmp_path / "whole"):
        expected = events(tmp_path / "whole")
    for steps in (192, 384, 384):
        cases.interrupted("cartpole", spec, steps, tmp_path / "c", folder=tmp_path / "parts")
    before = events(tmp_path / "parts")
    assert before["train/loss"][-1][0] == 384  # points after the checkpoint at 320
    with cases.executed("cartpole", spec, tmp_path / "c", folder=tmp_path / "parts"):
        found = events(tmp_path / "parts")
    assert repr(found) == repr(expected)  # NaN is NaN here
    assert [step for step, _ in found["eval/mean_return"]] == [0, 192, 320, 512]


def test_the_run_is_the_same_data_whether_it_was_interrupted(tmp_path: Path) -> None:
    spec = cases.spec_of("dict", "gradual")
    cases.interrupted("dict", spec, 256, tmp_path)
    runs: list[Run] = []
    for place in (tmp_path, None):
        with cases.executed("dict", spec, place) as (run, _):
            runs.append(run)
    assert runs[0].spec == runs[1].spec and runs[0].description == runs[1].description
    assert (runs[0].choice, runs[0].versions) == (runs[1].choice, runs[1].versions)
