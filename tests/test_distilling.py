"""Many teachers, one student."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from transfer_cases import KINDS, source, train

import rltransfer as rlt
from rltransfer.agents import Agent
from rltransfer.distilling import distill
from rltransfer.errors import BadArgument, SpaceMismatch

OFFSET = "rlt/CartPoleOffset-v0"


def _teacher(name: str) -> Agent:
    """A stored agent that balances for all 500 steps, on CartPole or with an offset.

    From ``pretrain(TASK, STEPS, seed=100, episodes=10, **QUICK)`` with layers of 32 and 32, 12,000
    and 24,000 steps, where QUICK is that of ``test_retain.py``. Another processor rounds
    otherwise, and as short a training then ends anywhere.
    """
    return Agent.read(Path(__file__).parent / "data/agents" / name)


def test_one_student_does_what_two_teachers_do() -> None:
    teachers = [_teacher("balancing"), _teacher("balancing-offset")]
    student = distill(teachers, steps=24_576, seed=100, episodes=10)
    assert not student.multitask and list(student.card.scores) == ["CartPole-v1", OFFSET]
    for teacher in teachers:
        reached, wanted = student.card.scores[teacher.card.task], teacher.card.score
        assert wanted is not None and wanted.mean > 150
        assert reached.mean > 0.6 * wanted.mean, (teacher.card.task, reached.mean, wanted.mean)
    assert student.card.score == student.card.scores["CartPole-v1"]
    assert student.card.source == ", ".join(teacher.card.name for teacher in teachers)
    assert f"also on          {OFFSET}: " in student.describe()


def test_it_gives_the_same_again_and_leaves_random_streams_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    first, again = (distill(["cartpole"], steps=512, seed=100, episodes=2) for _ in range(2))
    assert torch.equal(torch.rand(2), expected)
    assert all(torch.equal(first.weights[name], again.weights[name]) for name in first.weights)


@pytest.mark.parametrize(
    "kind",
    ["discrete", "box", "multidiscrete", "multibinary", "normalized", "gsde", "dict", "image"],
)
def test_the_divergence_falls(kind: str) -> None:
    KINDS[kind].task()
    found = [
        distill([source(kind)], steps=steps, seed=100, n_epochs=8, episodes=2).card
        for steps in (1, 1_537)
    ]
    assert [card.steps for card in found] == [512, 2_048]
    before, after = (float(card.notes.split()[-2]) for card in found)
    assert 0 <= after < 0.8 * before


def test_teachers_share_the_students_statistics() -> None:
    """Each sees through its own; the student through those of all tasks together."""
    tasks = [KINDS["normalized"].task(), KINDS["normalized"].task(scale=2)]
    teachers = [train(task, 64, **KINDS["normalized"].options) for task in tasks]
    student = distill(teachers, steps=1_024, seed=100, episodes=2)
    stats: Any = student.normalization.obs_stats  # type: ignore[union-attr]
    assert stats.count == pytest.approx(2 * 4 * (128 + 1), abs=1)
    assert np.allclose(stats.var, 1 / 3, rtol=0.2)


def test_a_student_goes_on_from_where_it_was() -> None:
    start = rlt.load("cartpole")
    student = distill([start], steps=1, student=start, seed=100, episodes=2)
    assert student.card.source == "cartpole" and student.card.score.mean == 500  # type: ignore
    critics = [name for name in start.weights if "value_net" in name]
    assert critics and all(torch.equal(start.weights[n], student.weights[n]) for n in critics)


@pytest.mark.parametrize(
    ("teachers", "options", "error", "match"),
    [
        ([], {}, BadArgument, "at least one"),
        ("cartpole", {}, BadArgument, "a list of agents"),
        (["cartpole", "pendulum"], {}, SpaceMismatch, "rltransfer.multitask"),
        (["cartpole", "acrobot"], {}, SpaceMismatch, "rltransfer.multitask"),
        (["cartpole-family"], {}, BadArgument, "for_task"),
        (["cartpole"], {"student": "pendulum"}, SpaceMismatch, "one student"),
        (["cartpole"], {"steps": 0}, BadArgument, "steps"),
        (["cartpole"], {"n_epochs": 0}, BadArgument, "n_epochs"),
        (["cartpole"], {"batch_size": 1.5}, BadArgument, "batch_size"),
        (["cartpole"], {"learning_rate": -1}, BadArgument, "learning_rate"),
        (["cartpole"], {"episodes": 1}, BadArgument, "episodes"),
        (["cartpole"], {"seed": None}, BadArgument, "seed"),
        (["cartpole"], {"seed": True}, BadArgument, "seed"),
    ],
)
def test_what_cannot_work_is_refused(
    teachers: Any, options: Any, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        distill(teachers, **{"steps": 512, **options})


@pytest.mark.parametrize(
    ("task", "options", "match"),
    [("my/Endless-v0", {}, "give max_steps"), ("CartPole-v1", {"max_steps": 0}, "max_steps is 0")],
)
def test_what_cannot_be_scored_is_not_trained(task: str, options: Any, match: str) -> None:
    gym.register("my/Endless-v0", "gymnasium.envs.classic_control.cartpole:CartPoleEnv")
    done: list[tuple[int, int]] = []
    teacher = rlt.load("cartpole").with_card(task=task)
    with pytest.raises(BadArgument, match=match):
        distill([teacher], steps=512, progress=lambda *step: done.append(step), **options)
    assert not done


@pytest.mark.parametrize("kind", ["maskable", "recurrent"])
def test_other_algorithms_are_refused(kind: str) -> None:
    KINDS[kind].task()
    with pytest.raises(BadArgument, match="memory or masks"):
        distill([source(kind)], steps=512)
