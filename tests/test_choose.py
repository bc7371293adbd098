"""How ``auto`` measures, what it costs, and that what it chooses can be followed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from transfer_cases import (
    ACTIONS,
    KINDS,
    LENGTH,
    SMALL,
    Toy,
    adapted,
    fading,
    same,
    samples,
    source,
    tensors,
    toy,
    train,
    without_score,
)

import rltransfer.trial_episodes as trying
from rltransfer import registry
from rltransfer.choose import SELECTORS, Choice, Evidence, choose
from rltransfer.errors import BadArgument, RecipeError
from rltransfer.evaluate import evaluate, random_score
from rltransfer.probe import Probe, probe
from rltransfer.recipe import Recipe
from rltransfer.recipe_rules import SELECT
from rltransfer.selectors.similarity import INSTANCES
from rltransfer.selectors.zero_shot import _temperature
from rltransfer.similarity.closeness import Closeness
from rltransfer.trial_episodes import EPISODES, TRIAL_SEED

AUTO = Recipe(select="zero_shot")
BOTH = {"actor.head", "actor.std"}
SIMILAR = Recipe(select="similarity")
PLAYED = EPISODES * LENGTH


def evidence(
    wanted: Recipe,
    action: str = "d2",
    *,
    probe: Probe | None = None,
    closeness: Closeness | None = None,
    **known: Any,
) -> Evidence:
    """Evidence that was measured; reading other evidence fails."""
    return Evidence(
        **{"wanted": wanted, "target": "toy", "algorithm": "ppo", **known},
        action_space=ACTIONS[action],
        run_probe=lambda start, episodes: given(probe),
        run_comparison=lambda: given(closeness),
    )


def given(measured: Any) -> Any:
    assert measured is not None, "it was measured, and nobody needs it"
    return measured


def close(value: float) -> Closeness:
    """Tasks that look the same, and whose dynamics make up that closeness."""
    return Closeness(0.5, 0.0, 2.0, value**2, 1.0, 30, 40)


@pytest.fixture(autouse=True)
def _no_open_environments() -> Iterator[None]:
    before = set(Toy.open)
    yield
    assert Toy.open == before, "environments were left open"


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registrations of a test end with it."""
    monkeypatch.setattr(registry, "_tasks", dict(registry._tasks))


# -- what is measured -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["discrete", "box", "normalized", "maskable", "recurrent", "dict"])
@pytest.mark.parametrize("seed", [0, 3])
def test_the_score_is_that_of_deterministic_episodes_on_its_own_seeds(kind: str, seed: int) -> None:
    """The same episodes by way of evaluate, which is another implementation."""
    agent, task = source(kind), KINDS[kind].task(flip=True)
    first = TRIAL_SEED + EPISODES * seed
    played = evaluate(agent, task, episodes=EPISODES, seed=first)
    chance = random_score(task, episodes=EPISODES, seed=first).returns.mean()
    with adapted(kind, task) as model:
        found = probe(model, agent, task, seed=seed)
    expected = (played.mean - chance) / (agent.card.score.mean - chance)  # pyright: ignore
    assert found.score == pytest.approx(expected, abs=1e-6)


def test_the_levels_of_a_registered_task_are_used(tasks: None) -> None:
    task = toy(flip=True, scale=2.0)
    registry.register_task(task, random=1.0, reference=5.0)
    agent = source("discrete")
    played = evaluate(agent, task, episodes=EPISODES, seed=TRIAL_SEED).mean
    with adapted(agent, task) as model:
        found = probe(model, agent, task, seed=None)
    assert found.score == pytest.approx((played - 1) / 4)
    assert found.steps == PLAYED, "nothing was played at random"


def test_the_critic_is_measured_on_the_rewards_it_was_trained_on() -> None:
    """A fitted critic explains the returns of a fading number; a fresh one does not."""
    agent = train(fading(), 64, policy_kwargs={"net_arch": [32]}, gamma=0.9, normalize_reward=True)
    recipe = Recipe(critic="refit")
    with adapted(agent, fading(), recipe, gamma=0.9, n_envs=8, batch_size=64) as model:
        model.learn(256, callback=None)
        good = probe(model, agent, fading(), seed=0)
    assert good.critic_fit > 0.5
    with adapted(agent, fading(), "scratch", gamma=0.9) as model:
        assert probe(model, agent, fading(), seed=0).critic_fit < 0.5


def test_a_recurrent_critic_and_a_continuous_policy_are_not_measured() -> None:
    with adapted("recurrent", toy()) as model:
        found = probe(model, source("recurrent"), toy(), seed=0)
        assert math.isnan(found.critic_fit) and found.logits is None
    with adapted("box", toy("v4", "box2")) as model:
        assert probe(model, source("box"), toy("v4", "box2"), seed=0).logits is None


def test_logits_are_those_of_the_states_it_visited() -> None:
    with adapted("discrete", toy()) as model:
        found = probe(model, source("discrete"), toy(), seed=0)
        assert found.logits is not None and found.logits.shape == (PLAYED, 2)
        assert np.allclose(np.exp(found.logits).sum(axis=1), 1, atol=1e-5)


def test_the_critic_is_probed_although_gamma_differs() -> None:
    """The probe is of the unchanged source, before a refit would blank the critic's head."""
    agent = train(fading(), 1024, policy_kwargs={"net_arch": [32]}, gamma=0.9, n_envs=4)
    fits = []
    for gamma in (0.9, 0.91):
        with adapted(agent, fading(), "auto", gamma=gamma) as model:
            fits.append(model.transfer.report.choice.critic_fit)
    assert fits[0] == pytest.approx(fits[1], abs=0.1) and fits[0] != 0


# -- what it costs --------------------------------------------------------------------------------


def test_the_steps_of_the_probe_count_in_the_budget(tasks: None) -> None:
    task = toy(flip=True)
    with adapted("discrete", task, "auto") as model:
        spent = model.transfer.report.choice.steps
        assert spent == model.transfer.spent == 2 * PLAYED, "the source's episodes, and chance's"
        model.learn(160)
        rollouts = math.ceil((160 - spent) / 32)
        assert model.num_timesteps == spent + 32 * rollouts
        refitted = 1 if "refit" in model.transfer.report.notes["critic"] else 0
        assert model._n_updates == model.n_epochs * (rollouts - refitted)
        model.learn(64)
        assert model.num_timesteps == 64, "they are charged once"


def test_the_steps_of_the_probe_count_when_counting_goes_on() -> None:
    with adapted("discrete", toy(flip=True), "auto") as model:
        spent = model.transfer.spent
        model.learn(spent + 32, reset_num_timesteps=False)
        assert model.num_timesteps == spent + 32


@pytest.mark.parametrize("steps", [1, 2 * PLAYED])
def test_a_budget_that_the_probe_has_spent_is_refused(steps: int) -> None:
    with adapted("discrete", toy(flip=True), "auto") as model:
        with pytest.raises(BadArgument, match=f"steps is {steps}, but .* took 80"):
            model.learn(steps)
        model.learn(2 * PLAYED + 1)
        assert model.num_timesteps == 2 * PLAYED + 32


def test_other_recipes_cost_nothing() -> None:
    with adapted("discrete", toy(), "full") as model:
        assert model.transfer.spent == 0 and model.transfer.report.choice is None


@pytest.mark.parametrize("kind", ["discrete", "normalized", "gsde"])
def test_the_probe_leaves_no_trace(kind: str) -> None:
    """The chosen recipe, given by name, starts from the same weights and learns the same."""
    task = KINDS[kind].task(flip=True)
    with adapted(kind, task, "auto", seed=2) as model:
        chosen = model.transfer.report.recipe
        model.transfer.spent = 0
        model.learn(64)
        first = tensors(model)
    with adapted(kind, task, chosen, seed=2) as model:
        model.learn(64)
        assert same(first, tensors(model)) == set(first)


def test_episodes_without_a_time_limit_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trying, "LONGEST", 20)
    endless = fading(limit=None)
    agent = train(endless, 64, policy_kwargs=SMALL)
    with adapted(agent, endless, "auto") as model:
        assert model.transfer.spent == 2 * 20 * EPISODES


# -- what it needs --------------------------------------------------------------------------------


def test_without_any_reference_there_is_nothing_to_compare_with(tasks: None) -> None:
    task, agent = toy(flip=True, scale=3.0), without_score(source("discrete"))
    with pytest.raises(BadArgument, match=r"register_task\(\.\.\., reference=\.\.\.\)"):
        adapted(agent, task, "auto").__enter__()
    registry.register_task(task, reference=20.0)
    with adapted(agent, task, "auto") as model:
        assert math.isfinite(model.transfer.report.choice.score)


def test_a_reference_below_random_returns_is_refused(tasks: None) -> None:
    task = toy(flip=True, scale=5.0)
    registry.register_task(task, reference=-1e6)
    with pytest.raises(BadArgument, match=r"reference score of .* is -1e\+06, and random actions"):
        adapted("discrete", task, "auto").__enter__()


def test_a_source_that_is_worse_than_chance_is_no_reference() -> None:
    agent = source("discrete")
    score = replace(agent.card.score, mean=-50.0, ci_low=-60.0, ci_high=-40.0)  # pyright: ignore
    poor = replace(agent, card=replace(agent.card, score=score))
    with pytest.raises(BadArgument, match="needs a level to compare with"):
        adapted(poor, toy(), "auto").__enter__()


def test_a_target_may_be_a_spec_that_nobody_registered() -> None:
    spec = gym.envs.registration.EnvSpec(
        "toy/Nowhere-v0", Toy, kwargs={"observation": "v4", "action": "d2"}, max_episode_steps=8
    )
    with adapted("discrete", spec, "auto") as model:
        assert model.transfer.spent == 2 * PLAYED


# -- what is chosen -------------------------------------------------------------------------------


def probes(action: str) -> list[Probe]:
    """From hopeless to perfect, with a critic that fits, does not, or is unknown."""
    space = ACTIONS[action]
    logits = None
    if isinstance(space, gym.spaces.Discrete):
        logits = np.log(np.full((6, int(space.n)), 1e-6) + np.eye(6, int(space.n)))
    scores, fits = (-3.0, 0.0, 0.3, 0.45, 0.7, 1.2), (-9.0, 0.5, 1.0, float("nan"))
    pairs = itertools.product(scores, fits)
    return [Probe(score=s, critic_fit=f, logits=logits, steps=40) for s, f in pairs]


FOLLOWED = ["discrete", "box", "gsde", "multidiscrete", "multibinary", "maskable", "recurrent box"]


@pytest.mark.parametrize("kind", FOLLOWED)
def test_whatever_is_chosen_can_be_followed(kind: str) -> None:
    seen: set[Recipe] = set()
    action = KINDS[kind].action
    for one in probes(action):
        choice = choose(evidence(AUTO, action, probe=one))
        assert isinstance(choice, Choice)
        assert (choice.score, choice.steps) == (one.score, 40)
        assert choice.recipe.select is None
        assert "\n" not in choice.reason and f"{one.score:.2f}" in choice.reason
        if choice.recipe not in seen:
            seen.add(choice.recipe)
            with adapted(kind, KINDS[kind].task(flip=True), choice.recipe) as model:
                model.learn(64)
    assert len(seen) > 1, "the score decides"


@pytest.mark.parametrize(("action", "fresh"), [("d2", {"actor.head"}), ("box2", BOTH)])
def test_auto_keeps_the_critic_and_drops_an_actor_that_acts_badly(
    action: str, fresh: set[str]
) -> None:
    wanted = Recipe(select="auto")
    for score, reset in ((0.5, set()), (0.49, fresh), (-1.0, fresh)):
        probe = Probe(score=score, critic_fit=-3.0, logits=None, steps=7)
        choice = choose(evidence(wanted, action, probe=probe))
        assert set(choice.recipe.reset) == reset and choice.recipe.critic == "auto"
        assert choice.recipe.but(reset=()) == Recipe() and choice.steps == 7 + 7
        assert f"zero-shot score {score:.2f}" in choice.reason


@pytest.mark.parametrize(
    ("length", "asked", "score"),
    [(40, [(0, 1), (1, 4)], 0.8), (400, [(0, 1), (1, 1)], 0.5), (501, [(0, 1)], 0.0)],
)
def test_a_brief_probe_plays_fewer_long_episodes(
    length: int, asked: list[tuple[int, int]], score: float
) -> None:
    """Of a source that scores 0 in its first episode and 1 in all others."""
    calls = []

    def run(start: int, episodes: int) -> Probe:
        calls.append((start, episodes))
        steps = length * episodes
        return Probe(score=float(start > 0), critic_fit=0.0, logits=None, steps=steps)

    brief = replace(evidence(Recipe(select="auto")), run_probe=run).brief_probe
    assert calls == asked and brief.score == pytest.approx(score)
    assert brief.steps == length * sum(episodes for _, episodes in asked)


def test_steps_that_measure_the_random_level_do_not_make_a_probe_brief() -> None:
    calls = []

    def run(start: int, episodes: int) -> Probe:
        calls.append((start, episodes))
        measuring = 0 if start else 2_500
        steps = 70 * episodes + measuring
        return Probe(score=1.0, critic_fit=0.0, logits=None, steps=steps, measuring=measuring)

    brief = replace(evidence(Recipe(select="auto")), run_probe=run).brief_probe
    assert calls == [(0, 1), (1, 4)] and brief.steps == 5 * 70 + 2_500


def test_a_perfect_source_keeps_its_actor_and_a_hopeless_one_does_not() -> None:
    for action in ("d2", "box2"):
        perfect = Probe(score=1.0, critic_fit=0.9, logits=None, steps=1)
        assert not choose(evidence(AUTO, action, probe=perfect)).recipe.reset
        hopeless = Probe(score=-1.0, critic_fit=-1.0, logits=None, steps=1)
        assert choose(evidence(AUTO, action, probe=hopeless)).recipe != Recipe()


@pytest.mark.parametrize("score", [-1.0, 0.3, 1.0])
def test_maps_are_kept_as_far_as_they_are_needed(score: float) -> None:
    wanted = AUTO.but(inputs=[1, 0, 2, 3], outputs=[1, 0])
    one = Probe(score=score, critic_fit=0.0, logits=None, steps=1)
    recipe = choose(evidence(wanted, probe=one)).recipe
    assert recipe.inputs == (1, 0, 2, 3)
    assert recipe.outputs == (None if "actor.head" in recipe.reset else (1, 0))
    with adapted("discrete", toy(), recipe) as model:
        model.learn(32)


def test_softening_stops_when_the_policy_explores_enough() -> None:
    """The logits of a sharp policy are softened, those of an even one are left alone."""
    even = np.zeros((5, 3))
    sharp = np.tile([8.0, 0.0, 0.0], (5, 1))
    sharper = np.tile([80.0, 0.0, 0.0], (5, 1))
    assert _temperature(even) == 1
    assert 1 < _temperature(sharp) <= _temperature(sharper)
    assert _temperature(None) == 1
    assert _temperature(np.zeros((5, 1))) == 1, "one action leaves nothing to explore"


UNFIT: list[tuple[str, str, str]] = [
    ("discrete", "v6", "d2"),
    ("discrete", "v4", "d3"),
    ("discrete", "v4", "box2"),
    ("box", "v4", "d2"),
    ("box", "v4", "box3"),
    ("normalized", "v6", "box1"),
    ("normalized", "v6", "d2"),
    ("recurrent", "v6", "d3"),
    ("multidiscrete", "pairs", "imult"),
    ("mixed", "nomix", "box2"),
    ("image", "image", "d2"),
]


@pytest.mark.parametrize(("kind", "seen", "acts"), UNFIT, ids=str)
def test_auto_starts_fresh_what_does_not_fit(kind: str, seen: str, acts: str) -> None:
    with adapted(kind, toy(seen, acts), "auto") as model:
        report = model.transfer.report
        assert report.choice.steps == 0 and math.isnan(report.choice.score)
        assert report.recipe.reset and all(g in report.choice.reason for g in report.recipe.reset)
        fresh = {c.group for c in report.tensors if c.action in ("reset", "refit")}
        assert set(report.recipe.reset) <= fresh
        model.learn(64)
        assert np.isfinite(model.predict(samples(model.observation_space, 1))[0]).all()


def test_auto_with_a_bridge_probes_the_bridged_source() -> None:
    with adapted("discrete", toy("v6"), AUTO.but(pad_inputs=True)) as model:
        assert math.isfinite(model.transfer.report.choice.score)
        assert model.transfer.report.recipe.pad_inputs


def test_unfit_statistics_start_fresh_too() -> None:
    for wanted in (AUTO, SIMILAR):
        known = choose(evidence(wanted, unfit=["actor.0"]))
        assert known.recipe == Recipe(reset=["actor.0"]) and known.steps == 0
        fresh = choose(evidence(wanted, unfit=["actor.0"], stats_fit=False)).recipe
        assert fresh == Recipe(reset=["actor.0"], obs_stats="reset")
    with adapted("normalized", toy("v6", "box1"), AUTO) as model:
        assert model.transfer.report.notes["observation statistics"] == "fresh"


# -- choosing by similarity -----------------------------------------------------------------------


def test_recipes_name_the_selectors_that_there_are() -> None:
    assert set(SELECT) == {None, *SELECTORS}


@pytest.mark.parametrize("action", ["d2", "box2"])
def test_the_rule_of_similarity(action: str) -> None:
    std = ["actor.std"] if action == "box2" else []
    features = Recipe(reset=["actor.head", *std], critic="refit")
    thirds = {0.99: "instances", 0.67: "instances", 0.66: "features", 0.34: "features"}
    expected = {"instances": Recipe(retain=INSTANCES), "features": features, "model": Recipe()}
    for value, words in {**thirds, 0.33: "model", 0.0: "model"}.items():
        choice = choose(evidence(SIMILAR, action, closeness=close(value)))
        assert choice.recipe == expected[words] and words in choice.reason, value
        assert choice.steps == 30 and math.isnan(choice.score)
        assert f"similarity {value:.2f}" in choice.reason


def test_closeness_is_a_geometric_mean() -> None:
    assert Closeness(0.75, 0.1, 2.0, 0.5, 1.0, 1, 1).value == pytest.approx(0.5)
    assert Closeness(0.4, 0.0, 1.0, 1.0, 1.0, 1, 1).value == 1, (
        "a classifier can be worse than chance"
    )
    assert Closeness(0.75, 0.1, math.nan, math.nan, math.nan, 1, 1).value == pytest.approx(0.5)
    assert math.isnan(Closeness(*[math.nan] * 5, 1, 1).value)


@pytest.mark.parametrize("kind", FOLLOWED)
def test_whatever_similarity_chooses_can_be_followed(kind: str) -> None:
    KINDS[kind].task()  # where the source's states are from
    for value in (0.9, 0.5, 0.1):
        known = evidence(
            SIMILAR,
            KINDS[kind].action,
            closeness=close(value),
            algorithm=source(kind).algorithm,
        )
        with adapted(kind, KINDS[kind].task(flip=True), choose(known).recipe) as model:
            model.learn(96)  # of which the first update is within what fades


def test_similar_tasks_transfer_instances_and_the_steps_count() -> None:
    with adapted("discrete", toy(), SIMILAR) as model:
        choice = model.transfer.report.choice
        assert model.transfer.report.recipe == Recipe(retain=INSTANCES)
        assert "similarity 1.00" in choice.reason
        assert choice.steps == model.transfer.spent == 2_048


@pytest.fixture
def home() -> None:
    """The task of the source, which the fixtures of other tests may have taken back."""
    toy()


@pytest.mark.usefixtures("home")
def test_other_rewards_are_another_task() -> None:
    with adapted("discrete", toy(flip=True), SIMILAR) as model:
        assert "similarity 1.00" not in model.transfer.report.choice.reason


@pytest.mark.usefixtures("home")
def test_similarity_leaves_no_trace() -> None:
    with adapted("discrete", toy(flip=True), SIMILAR, seed=2) as model:
        chosen = model.transfer.report.recipe
        model.transfer.spent = 0
        model.learn(96)
        first = tensors(model)
    with adapted("discrete", toy(flip=True), chosen, seed=2) as model:
        model.learn(96)
        assert same(first, tensors(model)) == set(first)


def test_similarity_of_unlike_spaces_is_not_asked() -> None:
    with adapted("discrete", toy("v6"), SIMILAR) as model:
        assert model.transfer.spent == 0 and model.transfer.report.recipe.reset
    for bridge in ({"pad_inputs": True}, {"inputs": [0, 1, 2, 3]}, {"outputs": [1, 0]}):
        with pytest.raises(RecipeError, match=f"which {next(iter(bridge))} says they do not have"):
            Recipe(select="similarity", **bridge)


def test_a_source_that_does_not_say_where_it_is_from_cannot_be_compared() -> None:
    agent = source("discrete")
    lost = replace(agent, card=replace(agent.card, task=""))
    with pytest.raises(BadArgument, match="which task it was trained on"):
        adapted(lost, toy(flip=True), SIMILAR).__enter__()
