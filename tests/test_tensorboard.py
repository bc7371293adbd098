"""What TensorBoard is given: curves from step 0, and what the transfer does to each layer group."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from processes import tiny_agent
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.plugins.hparams.metadata import EXPERIMENT_TAG, SESSION_START_INFO_TAG

import rltransfer as rlt
from rltransfer.experiments.gain import Gain

TASK = "CartPole-v1"
# 16 rollouts of 64 steps.
STEPS, ROLLOUT = 1024, 64
GROUPS = ("actor.0", "critic.0", "actor.1", "critic.1", "actor.head", "critic.head")


class Events:
    """The events of one run."""

    def __init__(self, folder: Path) -> None:
        (file,) = folder.glob("events.out.tfevents.*")
        self._events = EventAccumulator(str(file), size_guidance={"scalars": 0}).Reload()

    @property
    def tags(self) -> set[str]:
        return set(self._events.Tags()["scalars"])

    def curve(self, tag: str) -> tuple[np.ndarray, np.ndarray]:
        points = self._events.Scalars(tag)
        return np.array([p.step for p in points]), np.array([p.value for p in points])

    def hyperparameters(self) -> tuple[dict[str, Any], list[str]]:
        """Chosen values, and the metrics to show beside them."""
        summaries = self._events.summary_metadata
        kind: Any = plugin_data_pb2
        data = {
            tag: kind.HParamsPluginData.FromString(summaries[tag].plugin_data.content)
            for tag in (SESSION_START_INFO_TAG, EXPERIMENT_TAG)
        }
        chosen = data[SESSION_START_INFO_TAG].session_start_info.hparams
        metrics = [info.name.tag for info in data[EXPERIMENT_TAG].experiment.metric_infos]
        kinds = ("string_value", "number_value", "bool_value")
        values = {
            name: next(getattr(v, kind) for kind in kinds if v.HasField(kind))
            for name, v in chosen.items()
        }
        return values, metrics


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def gain(out: Path) -> Gain:
    return rlt.measure(
        tiny_agent(),
        TASK,
        ["gradual", "head"],
        steps=STEPS,
        seeds=[4],
        out=out,
        label="pair",
        points=4,
        episodes=3,
    )


@pytest.fixture(scope="module")
def gradual(gain: Gain, out: Path) -> Events:
    return Events(out / "events/pair/seed4/gradual")


def test_runs_of_one_seed_lie_beside_each_other(gain: Gain, out: Path) -> None:
    runs = {str(p.parent.relative_to(out)) for p in out.rglob("events.out.tfevents.*")}
    assert runs == {f"events/pair/seed4/{name}" for name in ("scratch", "gradual", "head")}


@pytest.mark.parametrize("recipe", ["scratch", "gradual", "head"])
def test_the_curve_begins_at_step_0_and_is_the_stored_one(
    gain: Gain, out: Path, recipe: str
) -> None:
    (run,) = (run for run in gain.runs if run.spec.label == recipe)
    events = Events(out / "events/pair/seed4" / recipe)
    for tag, returns in (
        ("eval/mean_return", run.returns),
        ("eval/mean_return_stochastic", run.stochastic),
    ):
        steps, values = events.curve(tag)
        assert steps.tolist() == run.steps.tolist() == [0, 256, 512, 768, 1024]
        assert values == pytest.approx(returns.mean(axis=1), rel=1e-6)
    assert events.curve("eval/ep_length")[0].tolist() == run.steps.tolist()
    assert {"rollout/ep_rew_mean", "rollout/ep_len_mean", "train/loss"} <= events.tags
    assert {"train/approx_kl", "train/explained_variance", "time/fps"} <= events.tags


def test_a_gradual_recipe_thaws_from_the_heads_down(gradual: Events) -> None:
    steps, trainable = gradual.curve("transfer/trainable_params")
    assert (np.diff(trainable) >= 0).all() and len(set(trainable)) == 3
    heads = 8 * 2 + 2 + 8 + 1
    second, first = 2 * (8 * 8 + 8), 2 * (4 * 8 + 8)
    assert sorted(set(trainable)) == [heads, heads + second, heads + second + first]
    # The half of the budget by which all has thawed is over, plus the rollout that noticed.
    assert trainable[steps <= STEPS / 4][-1] == heads
    assert trainable[steps >= STEPS / 2 + 2 * ROLLOUT][0] == heads + second + first


def test_a_frozen_group_has_no_learning_rate_and_no_drift(gradual: Events) -> None:
    for group in GROUPS:
        steps, rates = gradual.curve(f"transfer/lr/{group}")
        drift_steps, drift = gradual.curve(f"transfer/drift/{group}")
        assert steps.tolist() == drift_steps.tolist()
        frozen = rates == 0.0
        if group.endswith("head"):
            assert not frozen.any()
        else:
            assert frozen[0] and not frozen[-1] and (np.diff(frozen.astype(int)) <= 0).all()
        assert (drift[frozen] == 0.0).all()  # exactly
        assert (drift[~frozen] > 0.0).all()
        # Relative to the weights: those of a fresh head are tiny, the others are not.
        assert group.endswith("head") or (drift < 1.0).all()
    depths = [int((gradual.curve(f"transfer/lr/actor.{i}")[1] == 0).sum()) for i in (0, 1)]
    assert depths[0] > depths[1] > 0


def test_never_thawed_groups_stay_where_they_were(gain: Gain, out: Path) -> None:
    head = Events(out / "events/pair/seed4/head")
    for group in ("actor.0", "actor.1", "critic.0", "critic.1"):
        assert not head.curve(f"transfer/drift/{group}")[1].any()
        assert not head.curve(f"transfer/lr/{group}")[1].any()
    assert len(set(head.curve("transfer/trainable_params")[1])) == 1


def test_scratch_has_no_source_to_drift_from(gain: Gain, out: Path) -> None:
    scratch = Events(out / "events/pair/seed4/scratch")
    assert not any(tag.startswith("transfer/drift") for tag in scratch.tags)
    assert (scratch.curve("transfer/lr/actor.0")[1] > 0).all()


def test_hyperparameters_tell_the_runs_apart(gain: Gain, out: Path) -> None:
    for recipe in ("scratch", "gradual"):
        values, metrics = Events(out / "events/pair/seed4" / recipe).hyperparameters()
        assert values["recipe"] == recipe and values["target"] == TASK
        assert values["source"] == "tiny" and values["seed"] == 4 and values["steps"] == STEPS
        assert values["learning_rate"] == pytest.approx(3e-4) and values["gamma"] == 0.99
        assert metrics == ["eval/mean_return"]


def test_a_task_with_known_scores_shows_normalized_ones(out: Path) -> None:
    gym.register("tb/Scored-v0", "gymnasium.envs.classic_control:CartPoleEnv", max_episode_steps=9)
    rlt.register_task("tb/Scored-v0", random=1.0, reference=9.0)
    done = rlt.finetune(
        tiny_agent(), "tb/Scored-v0", "full", steps=64, out=out / "x", points=1, episodes=2
    )
    _, values = Events(out / "x").curve("eval/normalized_score")
    assert values == pytest.approx((done.run.returns.mean(axis=1) - 1) / 8, rel=1e-6)
