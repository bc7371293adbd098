"""Methods that keep a learner close to its source: by hand, and for what they are there."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.envs.registration import EnvSpec
from transfer_cases import KINDS, Toy, adapted, source, toy, train

import rltransfer as rlt
from rltransfer import registry
from rltransfer.agents import Agent
from rltransfer.equipping import ROLES
from rltransfer.errors import RecipeError
from rltransfer.experiments.finetuning import finetune
from rltransfer.methods import EWC, METHODS, Cloning, Fading, Kickstart, ProximalDistillation
from rltransfer.normalizing import observation_normalizer
from rltransfer.recipe import Recipe
from rltransfer.training.terms import Seen, Teacher
from rltransfer.training.terms.actions import Actions, kl
from rltransfer.training.terms.ewc import EWCTerm
from rltransfer.training.terms.fisher import fisher
from rltransfer.training.terms.performance import Performance
from rltransfer.training.terms.pull import Pulled
from rltransfer.training.terms.retain import ProximalDistillationTerm
from rltransfer.training.terms.teacher import see

QUICK: dict[str, Any] = {
    "n_envs": 8,
    "n_steps": 32,
    "batch_size": 256,
    "n_epochs": 10,
    "learning_rate": 1e-3,
    "gamma": 0.98,
    "gae_lambda": 0.8,
}
CURVED = ["discrete", "multidiscrete", "multibinary", "box", "gsde", "dict"]


def _fades(name: str) -> bool:
    """Whether a method for updates takes what others refuse: a strength that fades by returns."""
    kind: Any = METHODS[name]
    if not issubclass(kind, Fading) or kind.role not in ROLES:
        return False
    try:
        kind(fade="performance")
    except RecipeError:
        return False
    return True


def _teacher(agent: Agent) -> Teacher:
    normalize = observation_normalizer(agent.observation_space, agent.normalization)
    return Teacher(agent.build().policy, normalize)


def _term(model: Any, index: int = 0) -> Any:
    return model.transfer.terms.terms[index]


# -- by hand --------------------------------------------------------------------------------------


def test_proximal_distillation_by_hand() -> None:
    wanted = Actions((2,), torch.tensor([[0.5, 0.5], [0.9, 0.1]]).log())
    learner = Actions((2,), torch.tensor([[0.8, 0.2], [0.8, 0.2]]).log())
    term = ProximalDistillationTerm(
        ProximalDistillation(strength=3.0),
        SimpleNamespace(actions=lambda raw: wanted),  # type: ignore[arg-type]
    )
    model = SimpleNamespace(clip_range=lambda left: 0.2 * left)
    term.begin(Seen(model=model, observations=None, raw=None, progress=0.5))
    log_prob = torch.tensor([1.5, 0.4]).log().requires_grad_()
    batch: Any = SimpleNamespace(
        index=torch.tensor([0, 1]),
        distribution=learner,
        log_prob=log_prob,
        old_log_prob=torch.zeros(2),
    )
    loss = term.loss(batch)
    assert loss is not None and term.strength == 3.0
    far = kl(wanted, learner)
    assert loss.item() == pytest.approx((1.5 * far[0] + 0.9 * far[1]).item() / 2)
    loss.backward()
    assert log_prob.grad is not None
    assert log_prob.grad.tolist() == pytest.approx([1.5 * far[0].item() / 2, 0.0])


def test_cloning_compares_each_through_its_own_statistics() -> None:
    task = KINDS["normalized"].task()
    with adapted("normalized", task, Recipe(retain=Cloning(states=30))) as model:
        term, venv = _term(model), model.get_vec_normalize_env()
        term.begin(Seen(model=model, observations=None, raw=None, progress=0.0))
        batch: Any = SimpleNamespace(index=torch.arange(7), policy=model.policy)
        assert term.loss(batch).item() == pytest.approx(0, abs=1e-6), "nothing was learnt yet"
        venv.obs_rms.mean = venv.obs_rms.mean + 0.3
        torch.manual_seed(0)
        found = term.loss(batch)
        torch.manual_seed(0)
        raw = term._states[torch.randint(30, (7,)).numpy()]
        moved = torch.as_tensor(venv.normalize_obs(raw))
        learner = Actions.of(model.policy.get_distribution(moved))
        expected = kl(_teacher(source("normalized")).actions(raw), learner).mean()
        assert found.item() == pytest.approx(expected.item(), rel=1e-5) and found > 1e-4
        assert term.end() == {"source_steps": 32}


def test_fisher_information_of_a_linear_mean() -> None:
    teacher = _teacher(source("shallow"))
    raw = np.random.default_rng(0).uniform(-1, 1, (40, 4)).astype(np.float32)
    found = fisher(teacher, raw, ["action_net.weight", "action_net.bias", "log_std"])
    precision = teacher.policy.log_std.exp().item() ** -2
    expected = torch.as_tensor((raw**2).mean(0)) * precision
    assert torch.allclose(found["action_net.weight"], expected[None], rtol=1e-4)
    assert found["action_net.bias"].item() == pytest.approx(precision, rel=1e-4)
    assert found["log_std"].item() == pytest.approx(2, rel=1e-4)


def test_fisher_information_of_linear_logits() -> None:
    agent = train(toy("v4", "d3"), 64, policy_kwargs={"net_arch": []})
    teacher = _teacher(agent)
    raw = np.random.default_rng(0).uniform(-1, 1, (40, 4)).astype(np.float32)
    found = fisher(teacher, raw, ["action_net.weight"])["action_net.weight"]
    chance = teacher.actions(raw).outputs.softmax(-1)
    expected = ((chance * (1 - chance))[:, :, None] * torch.as_tensor(raw)[:, None] ** 2).mean(0)
    assert torch.allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize(
    "kind", ["discrete", "multidiscrete", "multibinary", "box", "gsde", "dict"]
)
def test_fisher_information_is_the_curvature_of_the_divergence(kind: str) -> None:
    """``KL(w || w + e) = F e^2 / 2 + O(e^3)``, for one weight at a time."""
    KINDS[kind].task()
    agent, far = source(kind), 0.02
    raw = _played(agent)
    names = ["action_net.weight", "action_net.bias"] + ["log_std"] * ("log_std" in agent.weights)
    found = fisher(_teacher(agent), raw, names)
    for name in names:
        place = int(found[name].argmax())
        divergence = []
        for shift in (far, -far):
            moved = _teacher(agent)
            dict(moved.policy.named_parameters())[name].data.view(-1)[place] += shift
            divergence.append(kl(_teacher(agent).actions(raw), moved.actions(raw)).double().mean())
        curvature = sum(divergence).item() / far**2
        assert found[name].view(-1)[place].item() == pytest.approx(curvature, rel=0.05), name


def _played(agent: Agent, count: int = 24) -> Any:
    from rltransfer.source_states import source_states

    return source_states(agent, count, seed=100).observations


def test_ewc_by_hand() -> None:
    weight = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    information = torch.tensor([4.0, 0.5, 0.1])
    pulled = Pulled("w", weight, weight.detach().clone(), information)
    term = EWCTerm(EWC(), [pulled], 8)
    with torch.no_grad():
        weight += torch.tensor([1.0, 2.0, 3.0])
    loss = term.loss(None)  # type: ignore[arg-type]
    loss.backward()
    assert loss.item() == pytest.approx(0.5 * (4 * 1 + 0.5 * 4 + 0.1 * 9))
    assert weight.grad is not None and weight.grad.tolist() == pytest.approx([4, 1, 0.3])


def test_ewc_holds_what_was_copied_of_trunk_and_actor() -> None:
    recipe = Recipe(retain=EWC(states=16), reset=["actor.head"])
    with adapted("discrete", KINDS["discrete"].task(), recipe) as model:
        pulled = _term(model)._pulled
        names = {one.name for one in pulled}
        assert all(one.weight.min() >= EWC().floor for one in pulled)
    assert names == {
        f"mlp_extractor.policy_net.{layer}.{kind}"
        for layer in (0, 2)
        for kind in ("weight", "bias")
    }


# -- fading by performance ------------------------------------------------------------------------


def _ended(*returns: float) -> Any:
    return SimpleNamespace(ep_info_buffer=[{"r": one} for one in returns])


def test_performance_by_hand() -> None:
    performance = Performance(random=10, source=30)
    performance.look(_ended())
    assert performance.ratio == 0
    performance.look(_ended(20, 30))
    assert performance.ratio == 0.75
    performance.look(_ended())
    assert performance.ratio == 0.75, "it stays while no episode ends"
    again = Performance(random=10, source=30)
    again.restore(performance.state())
    assert again.ratio == 0.75


@pytest.mark.parametrize("name", [*filter(_fades, METHODS)])
def test_every_strength_can_fade_by_performance(name: str) -> None:
    task = KINDS["discrete"].task()
    registry.register_task(task, random=0.0)
    method: Any = METHODS[name](fade="performance", until=1.0)  # type: ignore[call-arg]
    with adapted("discrete", task, Recipe(**{method.role: method})) as model:
        performance = Performance(random=0.0, source=40.0)
        model.transfer.terms._performance = performance
        model.learn(model.transfer.spent + 64)
        assert 0.05 < performance.ratio < 0.3
        assert _term(model).strength == pytest.approx(method.strength * (1 - performance.ratio))


def test_the_source_is_measured_once_and_its_steps_count() -> None:
    kickstart = Kickstart(fade="performance", until=1)
    recipe = Recipe(retain=[kickstart, Cloning(fade="performance", states=8)])
    spec = EnvSpec(
        "toy/Free-v0", Toy, kwargs={"observation": "v4", "action": "d2"}, max_episode_steps=8
    )
    KINDS["discrete"].task()
    agent = _good_toy()
    with adapted(agent, spec, recipe) as model:
        assert model.transfer.spent == 2 * 5 * 8, "five episodes of the source, five of chance"
        found = model.transfer.terms._performance
        assert found._source > 6 > found._random > 2
        model.learn(81)
        assert model.num_timesteps == 80 + QUICK["n_envs"] * QUICK["n_steps"]
        assert model.transfer.terms.end()["performance"] == found.ratio > 0
    registry.register_task(toy(), random=3.5)
    with adapted(agent, toy(), recipe) as model:
        assert model.transfer.spent == 5 * 8, "its random level is known"
        assert model.transfer.terms._performance._random == 3.5


@cache
def _good_toy() -> Agent:
    return train(
        toy(), 8_192, **{**QUICK, "learning_rate": 3e-3, "policy_kwargs": {"net_arch": [16]}}
    )


def test_ewc_lets_actions_go_that_the_source_did_not_have() -> None:
    KINDS["discrete"].task()
    recipe = Recipe(outputs=[0, 1, None], retain=EWC(states=64))
    with adapted("discrete", toy("v4", "d3"), recipe) as model:
        held = {one.name: one.weight for one in _term(model)._pulled}
        for name in ("action_net.weight", "action_net.bias"):
            assert (held[name][:2] > 0).all() and (held[name][2] == 0).all()


def test_measuring_a_source_that_explores_by_its_state_disturbs_nobody() -> None:
    left = []
    for method in (Kickstart(), Kickstart(fade="performance")):
        rlt.adapt("pendulum", "Pendulum-v1", Recipe(retain=method), seed=1)
        left.append(torch.get_rng_state())
    assert torch.equal(*left)


def test_a_source_that_is_no_better_than_chance_is_refused() -> None:
    with pytest.raises(RecipeError, match="use fade='exponential'"):
        rlt.adapt(
            "cartpole", "rlt/CartPoleSwapped-v0", Recipe(retain=Kickstart(fade="performance"))
        )


def test_what_is_measured_and_collected_leaves_random_streams_alone() -> None:
    KINDS["discrete"].task()
    recipe = Recipe(
        retain=[Kickstart(fade="performance"), Cloning(states=8), EWC(states=8)],
    )
    left = []
    for one in (Recipe(), recipe):
        with adapted(_good_toy(), toy(), one):
            left.append((torch.get_rng_state(), np.random.get_state()[1].tolist()))  # type: ignore
    assert torch.equal(left[0][0], left[1][0]) and left[0][1] == left[1][1]


def test_a_run_that_fades_by_performance_goes_on_to_the_same_numbers(tmp_path: Path) -> None:
    """Episodes are longer than the first rollouts of a part, which so need the ratio before."""
    toy()
    agent = _good_toy()
    kwargs = {"observation": "v4", "action": "d2"}
    gym.register("toy/Slow-v0", Toy, kwargs=kwargs, max_episode_steps=96)
    recipe = Recipe(reset=["actor.head"], retain=Kickstart(fade="performance", strength=5, until=1))
    options: dict[str, Any] = {
        **{"n_envs": 4, "n_steps": 32, "batch_size": 64, "n_epochs": 2, "learning_rate": 1e-3},
        **{"points": 2, "episodes": 2, "checkpoint_every": 1_472, "steps": 2_000, "seed": 3},
    }

    class Stopped(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done >= 1_600:
            raise Stopped

    whole = finetune(agent, "toy/Slow-v0", recipe, **options)
    with pytest.raises(Stopped):
        finetune(agent, "toy/Slow-v0", recipe, out=tmp_path, report=stop, **options)
    parts = finetune(agent, "toy/Slow-v0", recipe, out=tmp_path, **options)
    assert 0 < whole.model.transfer.terms._performance.ratio < 1  # type: ignore[union-attr]
    assert np.array_equal(whole.run.returns, parts.run.returns)
    pairs = zip(whole.model.policy.parameters(), parts.model.policy.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


# -- what they are there for ----------------------------------------------------------------------


@cache
def _cartpole() -> Agent:
    """Balances for all 500 steps, and is not sure of itself.

    From ``pretrain("CartPole-v1", 12_000, seed=100, episodes=10, **QUICK)`` with layers of 32 and
    32. It is stored because another processor rounds otherwise, and as short a training then ends
    anywhere between 100 and 500 steps.
    """
    return Agent.read(Path(__file__).parent / "data/agents/balancing")


@cache
def _finetuned(target: str, method: Any = ()) -> tuple[float, float]:
    """Returns on the source's task and on the target."""
    model = rlt.adapt(_cartpole(), target, Recipe(retain=method), seed=100)
    model.learn(6_000)
    tasks = ("CartPole-v1", target)
    own, other = (rlt.evaluate(model, task, episodes=10).mean for task in tasks)
    return own, other


@pytest.mark.parametrize("method", [Cloning(), EWC()])
def test_the_sources_task_is_kept_where_plain_fine_tuning_loses_it(method: Any) -> None:
    assert _cartpole().card.score.mean == 500  # type: ignore[union-attr]
    lost, _ = _finetuned("rlt/CartPoleOffset-v0")
    kept, _ = _finetuned("rlt/CartPoleOffset-v0", method)
    assert lost < 250 and kept > 400


@pytest.mark.parametrize(
    "method", [Kickstart(fade="constant", strength=1, until=1), ProximalDistillation()]
)
def test_a_learner_does_not_fall_below_a_good_source(method: Any) -> None:
    _, plain = _finetuned("rlt/CartPoleLong-v0")
    _, guided = _finetuned("rlt/CartPoleLong-v0", method)
    assert plain < 300 and guided > 400


@pytest.mark.parametrize(
    "method", [Kickstart(fade="performance", strength=5, until=1), ProximalDistillation()]
)
def test_a_fresh_head_learns_faster_from_its_source(method: Any) -> None:
    assert _fresh_head(method) > _fresh_head(()) + 100


@cache
def _fresh_head(method: Any) -> float:
    target = "rlt/CartPoleLong-v0"
    model = rlt.adapt(_cartpole(), target, Recipe(retain=method, reset=["actor.head"]), seed=100)
    model.learn(model.transfer.spent + 2_000)
    return rlt.evaluate(model, target, episodes=10).mean


@pytest.mark.parametrize(
    "kind",
    ["discrete", "box", "multidiscrete", "multibinary", "normalized", "gsde", "dict", "image"],
)
def test_what_the_source_does_in_its_own_states_is_kept(kind: str) -> None:
    KINDS[kind].task()
    raw = _played(source(kind), 64)
    wanted = _teacher(source(kind)).actions(raw)
    moved = []
    for method in ((), Cloning(strength=10, states=64), EWC(strength=1e4, states=32)):
        options = {"learning_rate": 1e-2, "n_epochs": 10}
        recipe = Recipe(retain=method)
        with adapted(kind, KINDS[kind].task(flip=True), recipe, **options) as model:
            model.learn(256)
            learner = Actions.of(model.policy.get_distribution(see(model, raw)))
            moved.append(kl(wanted, learner).mean().item())
    assert max(moved[1:]) < 0.5 * moved[0], moved


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [Cloning(states=8), EWC(states=8)])
@pytest.mark.parametrize(
    ("recipe", "target", "match"),
    [
        (Recipe(inputs=[1, 0, 2, 3]), "v4", "maps inputs"),
        (Recipe(pad_inputs=True), "v6", "maps inputs"),
        (Recipe(reset=["trunk"]), "v3", r"does not fit|not what the target shows"),
    ],
)
def test_other_observations_are_refused(
    method: Any, recipe: Recipe, target: str, match: str
) -> None:
    with pytest.raises(RecipeError, match=match):
        adapted("discrete", toy(target, "d2"), recipe.but(retain=method)).__enter__()


@pytest.mark.parametrize("method", [Cloning(states=8), EWC(states=8)])
def test_a_source_of_an_unknown_task_is_refused(method: Any) -> None:
    agent = source("discrete").with_card(task="toy/Unknown-v0")
    with pytest.raises(RecipeError, match="with_card"):
        adapted(agent, KINDS["discrete"].task(), Recipe(retain=method)).__enter__()


def test_ewc_without_copied_weights_is_refused() -> None:
    recipe = Recipe(retain=EWC(states=8), reset=["*"], critic="reset")
    with pytest.raises(RecipeError, match="drop EWC"):
        adapted("discrete", KINDS["discrete"].task(), recipe).__enter__()


@pytest.mark.parametrize(
    ("kind", "given"),
    [(Cloning, {"states": 0}), (EWC, {"states": 1.5}), (EWC, {"floor": -1})],
)
def test_values_out_of_range_are_refused(kind: Any, given: Any) -> None:
    with pytest.raises(RecipeError, match="expected"):
        kind(**given)
