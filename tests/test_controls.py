"""Control arms, comparisons over several source checkpoints, and the tuning of scratch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from processes import tiny_agent

import rltransfer as rlt
from rltransfer.agents import Agent
from rltransfer.errors import BadArgument, UnknownName
from rltransfer.experiments import controls, tuning
from rltransfer.experiments.controls import CONTROLS, control, scaled_rate
from rltransfer.experiments.planning import Comparing
from rltransfer.experiments.run import Run
from rltransfer.presets import recipe
from rltransfer.report import KNOWLEDGE_CONTROLS

TARGET = "rlt/CartPoleLong-v0"
SMALL: dict[str, Any] = {"points": 2, "episodes": 2}


@pytest.fixture(scope="module")
def sources() -> list[Agent]:
    return [tiny_agent(seed=seed, name=f"tiny{seed}", normalize_obs=True) for seed in (0, 1)]


@pytest.fixture(scope="module")
def other() -> Agent:
    return rlt.pretrain(
        "Acrobot-v1", 64, n_envs=2, n_steps=32, batch_size=32, n_epochs=1, episodes=2,
        policy_kwargs={"net_arch": [8, 8]}, name="other",
    )  # fmt: skip


def comparing(sources: list[Agent], **changes: Any) -> Comparing:
    recipes = {name: recipe(name) for name in ("scratch", "full")}
    settings: dict[str, Any] = {"label": "x", "target": TARGET, "recipes": recipes, "steps": 128}
    return Comparing(sources=sources, settings=SMALL, **{**settings, **changes})


# Agents of controls


def test_shuffled_weights_are_the_same_numbers_in_other_places(sources: list[Agent]) -> None:
    changed = controls.permuted(sources[0], 3)
    for name, tensor in sources[0].weights.items():
        shuffled = changed.weights[name]
        assert shuffled.shape == tensor.shape
        assert torch.equal(shuffled.flatten().sort().values, tensor.flatten().sort().values)
    name = "mlp_extractor.policy_net.0.weight"
    assert not torch.equal(changed.weights[name], sources[0].weights[name])
    assert changed.sha256 == controls.permuted(sources[0], 3).sha256
    assert changed.sha256 != controls.permuted(sources[0], 4).sha256
    assert changed.normalization is sources[0].normalization


def test_fresh_weights_are_drawn_as_ppo_draws_them(sources: list[Agent]) -> None:
    before = torch.random.get_rng_state()
    drawn = controls.fresh(sources[0], 5)
    assert torch.equal(before, torch.random.get_rng_state())
    weight = drawn.weights["mlp_extractor.policy_net.2.weight"]
    # Orthogonal with gain sqrt(2), as SB3 initializes hidden layers.
    assert torch.allclose(weight @ weight.T, 2 * torch.eye(8), atol=1e-5)
    assert drawn.sha256 == controls.fresh(sources[0], 5).sha256
    assert drawn.sha256 != controls.fresh(sources[0], 6).sha256


def test_the_trunk_of_an_unrelated_agent_is_fitted_to_the_inputs(
    sources: list[Agent], other: Agent
) -> None:
    name, head = "mlp_extractor.policy_net.0.weight", "action_net.weight"
    mixed = controls.unrelated(sources[0], other)
    # Acrobot has six inputs, CartPole four.
    assert torch.equal(mixed.weights[name], other.weights[name][:, :4])
    assert torch.equal(mixed.weights[head], sources[0].weights[head])
    back = controls.unrelated(other, sources[0])
    columns = [0, 1, 2, 3, 0, 1]
    assert torch.equal(back.weights[name], sources[0].weights[name][:, columns])


def test_an_unrelated_agent_must_be_one(sources: list[Agent]) -> None:
    with pytest.raises(BadArgument, match="trained on CartPole-v1 like the source"):
        controls.unrelated(sources[0], sources[1])


def test_an_unrelated_agent_needs_the_same_hidden_layers(sources: list[Agent]) -> None:
    with pytest.raises(BadArgument, match="give one with the same hidden layers"):
        controls.unrelated(sources[0], rlt.load("acrobot"))


def test_rates_are_scaled_as_numbers_and_as_schedules() -> None:
    assert scaled_rate(1e-3, 3.0) == pytest.approx(3e-3)
    schedule = {"start": 1e-3, "end": 0.0, "end_fraction": 0.5}
    assert scaled_rate(schedule, 0.5) == {"start": 5e-4, "end": 0.0, "end_fraction": 0.5}


def test_controls_are_named_and_suggested() -> None:
    assert {name for name, one in CONTROLS.items() if one.knowledge} == set(KNOWLEDGE_CONTROLS)
    with pytest.raises(UnknownName, match="'permuted'"):
        control("permutted")


# Plans


def test_what_is_shared_by_sources_is_run_once(sources: list[Agent], other: Agent) -> None:
    one = comparing(sources, controls=tuple(CONTROLS), unrelated=other, tuned_rate=3.0)
    plan = one.plan([0, 1])
    names = [job.name for job in plan.jobs]
    assert len(set(names)) == len(names)
    assert len({job.spec.id for job in plan.jobs}) == len(names)
    counts = {name: sum(job.spec.label == name for job in plan.jobs) for name in one.recipes}
    assert counts == {"scratch": 2, "full": 4}
    assert one.size(2) == (len(plan.jobs), sum(job.spec.steps for job in plan.jobs))
    assert set(plan.agents) == {job.spec.source_hash for job in plan.jobs}
    for job in plan.jobs:
        shared = job.spec.label in ("scratch", "scratch-tuned", "scratch-longer")
        assert job.source == ("" if shared else job.spec.source)


def test_sources_that_were_trained_otherwise_have_no_common_scratch(sources: list[Agent]) -> None:
    changed = tiny_agent(name="changed", normalize_obs=True, gamma=0.9)
    with pytest.raises(BadArgument, match="'tiny0' and 'changed' differ in hyperparameters"):
        comparing([sources[0], changed])


@pytest.mark.parametrize("names", [[], ["tiny0", "tiny0"]])
def test_sources_are_different_checkpoints(sources: list[Agent], names: list[str]) -> None:
    with pytest.raises(BadArgument, match="expected different checkpoints"):
        comparing([sources[0] for _ in names])


def test_controls_say_what_they_need(sources: list[Agent]) -> None:
    with pytest.raises(BadArgument, match="give unrelated=AGENT"):
        comparing(sources, controls=("unrelated",))
    with pytest.raises(BadArgument, match="tune scratch first"):
        comparing(sources, controls=("scratch-tuned",)).plan([0])
    with pytest.raises(BadArgument, match="'permuted' is a control"):
        recipes = {"scratch": recipe("scratch"), "permuted": recipe("full")}
        comparing(sources, controls=("permuted",), recipes=recipes)


# Tuning


def _run(spec: Any, level: float) -> Run:
    returns = np.full((2, spec.episodes), level)
    return Run(spec=spec, steps=np.array([0, spec.steps]), returns=returns, stochastic=returns)


@pytest.mark.parametrize(("levels", "best"), [((1, 2, 3), 3.0), ((9, 2, 3), 0.3), ((5, 5, 5), 1.0)])
def test_scratch_gets_the_rate_that_did_best(
    sources: list[Agent], levels: tuple[float, ...], best: float
) -> None:
    one = comparing(sources, controls=("scratch-tuned",))
    jobs = tuning.tuning_jobs(one)
    rates = [job.spec.hyperparameters["learning_rate"] for job in jobs]
    assert rates == pytest.approx([3e-4 * f for f in (0.3, 1.0, 3.0) for _ in tuning.SEEDS])
    assert {job.spec.seed for job in jobs} == set(tuning.SEEDS)
    results = [_run(job.spec, levels[i // len(tuning.SEEDS)]) for i, job in enumerate(jobs)]
    found = tuning.tuned(one, results)
    assert found.tuned_rate == best
    (spec,) = (j.spec for j in found.plan([0]).jobs if j.spec.label == "scratch-tuned")
    assert spec.hyperparameters["learning_rate"] == pytest.approx(3e-4 * best)
    assert tuning.tuning_jobs(replace(one, tuned_rate=1.0)) == []


def test_seeds_that_something_was_tuned_on_are_not_reported(sources: list[Agent]) -> None:
    one = comparing(sources, controls=("scratch-tuned",))
    with pytest.raises(BadArgument, match="seeds 901 are those"):
        tuning.check_seeds(one, [0, 901])
    tuning.check_seeds(comparing(sources), [0, 901])


# All together


def test_a_comparison_with_all_controls(sources: list[Agent], other: Agent, tmp_path: Any) -> None:
    arguments: dict[str, Any] = {
        "steps": 128, "seeds": 2, "out": tmp_path, "controls": list(CONTROLS), "unrelated": other,
    }  # fmt: skip
    gain = rlt.measure(sources, TARGET, ["full"], **arguments, **SMALL)
    runs = {(r.spec.label, r.spec.source, r.spec.seed): r for r in gain.runs}
    for source in ("tiny0", "tiny1"):
        start, held = runs["full", source, 1], runs["zero-shot", source, 1]
        assert held.steps.tolist() == [0, 128]
        assert (held.returns == start.returns[0]).all()
    longer = next(r for r in gain.runs if r.spec.label == "scratch-longer")
    assert longer.spec.steps == 128 + sources[0].card.steps == longer.steps[-1]
    kinds = {name: arm.kind for name, arm in gain.comparison.arms.items()}
    assert kinds == {"scratch": "baseline", "full": "method", **dict.fromkeys(CONTROLS, "control")}
    told: list[tuple[int, int]] = []
    again = rlt.measure(
        sources, TARGET, ["full"], **arguments, **SMALL,
        watch=lambda name, steps, total: told.append((steps, total)),
    )  # fmt: skip
    assert all(steps == total for steps, total in told), "a run was trained again"
    assert str(again) == str(gain)
