"""Learning one task after the other."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import register

from rltransfer import source_states
from rltransfer.continual import STRATEGIES, ContinualRun, continual, stage
from rltransfer.continual.learning import _with_ids
from rltransfer.continual.packnet import FREE, PackNet, _cut
from rltransfer.continual.stage import Plan
from rltransfer.errors import BadArgument, RecipeError, SpaceMismatch, UnknownName
from rltransfer.evaluate import evaluate
from rltransfer.methods import EWC, Cloning
from rltransfer.registry import register_task, spec

TASKS = ("rlt/CartPoleSlowControl-v0", "rlt/CartPoleSwapped-v0", "rlt/CartPoleHeavyPole-v0")
SMALL: dict[str, Any] = {
    **{"n_envs": 4, "n_steps": 32, "batch_size": 64, "n_epochs": 4},
    **{"policy_kwargs": {"net_arch": [16, 16]}, "points": 2, "episodes": 3},
}


def given(scores: list[list[float]], areas: list[float], **changes: Any) -> ContinualRun:
    settings = {"method": "x", "tasks": ("a", "b", "c"), "steps": 10, "seed": 0, "agents": []}
    return ContinualRun(
        **{**settings, "scores": np.array(scores), "areas": np.array(areas), **changes}
    )


SCORES = [[0.0, 0.1, 0.0], [0.9, 0.3, 0.1], [0.5, 0.8, 0.2], [0.4, 0.9, 1.0]]


def test_forgetting_and_transfer_by_hand() -> None:
    run = given(SCORES, [0.5, 0.75, 0.5])
    assert run.final == pytest.approx((0.4 + 0.9 + 1.0) / 3)
    assert run.forgetting.tolist() == pytest.approx([0.9 - 0.4, 0.8 - 0.9])
    assert run.backward_transfer == pytest.approx(-(0.5 - 0.1) / 2)
    assert run.zero_shot.tolist() == pytest.approx([0.3 - 0.1, 0.2 - 0.0])
    baseline = given(SCORES, [0.5, 0.5, 0.75])
    assert run.forward_transfer(baseline).tolist() == pytest.approx([0, 0.5, -1])
    for other in (
        given(SCORES, [0, 0, 0], steps=11),
        given(SCORES, [0, 0, 0], tasks=("a", "c", "b")),
    ):
        with pytest.raises(BadArgument, match="compare alike"):
            run.forward_transfer(other)


def test_scores_are_shown_and_written(tmp_path: Path) -> None:
    run = given(SCORES, [0.5, 0.75, 0.5])
    lines = str(run).splitlines()
    assert lines[0] == "x: 3 tasks, 10 steps each" and lines[-1] == "final 0.77, forgetting 0.20"
    written = run.write(tmp_path / "scores.csv").read_text().splitlines()
    assert written[0] == "after,a,b,c" and written[-1] == "c,0.4,0.9,1"


@pytest.mark.parametrize("method", STRATEGIES)
def test_every_method_learns_a_sequence(method: str) -> None:
    run = continual(TASKS, method, steps=256, **SMALL)
    assert run.scores.shape == (4, 3) and np.isfinite(run.scores).all()
    assert run.areas.shape == (3,) and len(run.agents) == 3
    again = continual(TASKS, method, steps=256, **SMALL)
    assert np.array_equal(run.scores, again.scores)


@pytest.mark.parametrize("method", ["scratch", "packnet", "progressive"])
def test_methods_that_keep_an_agent_for_each_task_forget_nothing(method: str) -> None:
    run = continual(TASKS, method, steps=256, **SMALL)
    assert run.forgetting.tolist() == [0, 0]


def test_the_task_is_shown_at_the_end_of_observations() -> None:
    run = continual(TASKS[:2], "finetune", steps=256, **SMALL)
    agent = run.agents[0]
    assert agent.observation_space.shape == (6,)
    env = spec(agent.card.task).make()
    seen, _ = env.reset(seed=0)
    assert seen[4:].tolist() == [0, 1]
    env.close()


def test_what_packnet_gave_to_a_task_stays() -> None:
    """The last network, with what later tasks own at 0, is the first task's agent, bit for bit."""
    options = {key: value for key, value in SMALL.items() if key not in ("points", "episodes")}
    plan = Plan(tasks=[*TASKS[:2]], steps=512, seed=1, points=1, episodes=2, options=options)
    packed = PackNet(plan)
    packed.learn(0)
    first = packed.kept[0]
    shares = [float((owners == 0).float().mean()) for owners in packed.owners.values()]
    matrices = [s for s, o in zip(shares, packed.owners.values(), strict=True) if o.dim() > 1]
    assert all(abs(share - 0.5) < 0.05 for share in matrices)
    packed.learn(1)
    last = packed.kept[1]
    moved = False
    for name, owners in packed.owners.items():
        assert not (owners == FREE).any()
        of_first = torch.where(owners == 0, last.weights[name], torch.zeros(()))
        assert torch.equal(of_first, first.weights[name]), name
        moved |= bool((last.weights[name] != first.weights[name]).any())
    assert moved
    scores = [
        evaluate(agent, TASKS[0], episodes=2).returns.tolist()
        for agent in (first, packed.player(0))
    ]
    assert scores[0] == scores[1]


@pytest.mark.parametrize("kind", [Cloning, EWC])
def test_states_of_other_tasks_are_retained(kind: Any) -> None:
    assert kind(tasks=["a", "b"]).to_dict()["tasks"] == ["a", "b"]
    for wrong in ("CartPole-v1", [1]):
        with pytest.raises(RecipeError, match="expected a list of texts"):
            kind(tasks=wrong)


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"method": "ewk"}, UnknownName, "ewc"),
        ({"tasks": TASKS[:1]}, BadArgument, "at least two"),
        ({"tasks": (TASKS[0], TASKS[0])}, BadArgument, "at least two"),
        ({"tasks": TASKS[0]}, BadArgument, "at least two"),
        ({"tasks": (TASKS[0], "CartPole-v9")}, UnknownName, "CartPole-v1"),
        ({"seed": 1000}, BadArgument, "0 to 999"),
        ({"tasks": (TASKS[0], "Acrobot-v1")}, SpaceMismatch, "CartPole.* Acrobot-v1 has Box"),
        ({"steps": 0}, BadArgument, "whole number"),
        ({"tasks": (TASKS[0], None)}, BadArgument, "at least two"),
        ({"tasks": 5}, BadArgument, "at least two"),
        ({"tasks": ("CartPole-v1", "gymnasium:CartPole-v1")}, BadArgument, "at least two"),
        ({"method": None}, UnknownName, "ewc"),
        ({"seed": "a"}, BadArgument, "whole number"),
        ({"seed": True}, BadArgument, "whole number"),
        ({"method": "packnet", "steps": 128}, BadArgument, "more than 128"),
        ({"method": "packnet", "algorithm": "recurrent_ppo"}, BadArgument, "finetune or scratch"),
        ({"method": "replay", "algorithm": "maskable_ppo"}, BadArgument, "finetune or scratch"),
    ],
)
def test_bad_sequences_are_refused(changes: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        continual(**{"tasks": TASKS, "steps": 256, **SMALL, **changes})


def test_tasks_of_the_same_short_name_are_told_apart() -> None:
    register("my/CartPole-v1", "gymnasium.envs.classic_control.cartpole:CartPoleEnv")
    register_task("my/CartPole-v1", random=20, reference=100)
    names = [_with_ids([id, TASKS[0]])[0] for id in ("CartPole-v1", "my/CartPole-v1")]
    assert names[0] != names[1]
    assert _with_ids(["gymnasium:CartPole-v1", TASKS[0]])[0] == names[0]


@pytest.mark.parametrize(("method", "states"), [("ewc", 2_000), ("replay", 10_000)])
def test_earlier_tasks_are_played_again_in_equal_shares(
    method: str, states: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    played: list[tuple[str, int]] = []
    play = source_states.source_states

    def counted(agent: Any, count: int, *args: Any, **kwargs: Any) -> Any:
        played.append((agent.card.task, count))
        return play(agent, 8, *args, **kwargs)

    monkeypatch.setattr(source_states, "source_states", counted)
    continual(TASKS, method, steps=128, task_ids=False, **SMALL)
    half = states // 2
    assert played == [(TASKS[0], states), (TASKS[0], half), (TASKS[1], half)]


@pytest.fixture
def endless() -> list[str]:
    """Two tasks without a time limit."""
    ids = ["my/Endless-v0", "my/EndlessToo-v0"]
    for id in ids:
        register(id, "gymnasium.envs.classic_control.cartpole:CartPoleEnv")
        register_task(id, random=20, reference=100)
    return ids


def test_a_student_is_scored_on_tasks_without_a_time_limit(endless: list[str]) -> None:
    run = continual(iter(endless), "distill", steps=128, max_steps=30, **SMALL)
    assert run.agents[0].card.score is not None and run.agents[0].card.score.episodes == 3


@pytest.mark.parametrize("method", ["finetune", "packnet"])
def test_options_of_the_training_hold_for_every_task(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []
    adapt = stage.adapt

    def watched(*args: Any, **kwargs: Any) -> Any:
        model = adapt(*args, **kwargs)
        given.append((kwargs["vec"], model.tensorboard_log, str(model.device)))
        return model

    monkeypatch.setattr(stage, "adapt", watched)
    options: Any = {"vec": "sync", "tensorboard_log": str(tmp_path), "device": "cpu"}
    continual(TASKS[:2], method, steps=256, **SMALL, **options)
    assert given and set(given) == {("sync", str(tmp_path), "cpu")}


@pytest.mark.parametrize(
    ("steps", "rollout", "first"),
    [(20_000, 1_024, 16_000), (512, 256, 256), (384, 128, 256), (129, 128, 104), (4, 2, 2)],
)
def test_packnet_takes_no_more_rollouts_than_others(steps: int, rollout: int, first: int) -> None:
    assert _cut(steps, PackNet.RETRAINED, rollout) == first
    rollouts = [math.ceil(part / rollout) for part in (first, steps - first, steps)]
    assert rollouts[0] + rollouts[1] == rollouts[2] and min(rollouts) > 0


@pytest.mark.slow
def test_retention_keeps_what_finetuning_loses() -> None:
    options = {**SMALL, "policy_kwargs": {"net_arch": [64, 64]}, "n_epochs": 10, "episodes": 10}
    runs = {
        method: continual(TASKS[:2], method, steps=20_000, seed=7, **options)
        for method in ("finetune", "replay")
    }
    assert runs["replay"].forgetting[0] < runs["finetune"].forgetting[0] - 0.2
    assert runs["replay"].final > runs["finetune"].final
