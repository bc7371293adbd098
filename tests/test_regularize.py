"""Methods that keep weights small or near, and outputs smooth: by hand, and for what they do."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transfer_cases import KINDS, SMALL, adapted, tensors, toy, train

import rltransfer as rlt
from rltransfer.engine.options import EngineOptions
from rltransfer.errors import RecipeError
from rltransfer.methods import (
    L1,
    L2,
    L2SP,
    DrAC,
    Kickstart,
    L2Init,
    Parseval,
    Progressive,
    Residual,
    Smoothing,
)
from rltransfer.methods.method import Method
from rltransfer.recipe import Recipe
from rltransfer.training.terms.actions import Actions, kl
from rltransfer.training.terms.augment import scaled, shifted, unit
from rltransfer.training.terms.regularize import L1Term, L2InitTerm, ParsevalTerm
from rltransfer.training.terms.smooth import SmoothingTerm
from rltransfer.training.terms.weights import trained as acted_on

FAR = "rlt/CartPoleFar-v0"
# The values of CartPole are so large that their gradients would leave room for no others.
BRIEF: dict[str, Any] = {"n_envs": 4, "n_steps": 64, "batch_size": 64, "n_epochs": 5}
BRIEF |= {"vf_coef": 1e-3}
VECTORS = ("discrete", "box", "normalized", "gsde", "separate")


@cache
def trained(method: Method | None = None, steps: int = 1024, **recipe: Any) -> Any:
    """The zoo's CartPole agent on another task, with a method or without."""
    given = Recipe(**recipe, **({method.role: method} if method else {}))
    model = rlt.adapt("cartpole", FAR, given, seed=0, **BRIEF)
    model.start = tensors(model)  # type: ignore[attr-defined]
    model.learn(steps)
    return model


def weights(model: Any, critic: bool) -> torch.Tensor:
    parts = ("value_net",) if critic else ("policy_net", "action_net")
    named = model.policy.named_parameters()
    return torch.cat(
        [one.detach().flatten() for name, one in named if any(p in name for p in parts)]
    )


def value(term: Any) -> float:
    return term.loss(None).item()


def begin(term: Any, **seen: Any) -> None:
    term.begin(SimpleNamespace(**{"progress": 0.0, "ratio": 0.0, **seen}))


def test_absolute_values_by_hand() -> None:
    given = {"one": torch.tensor([1.0, -2.0]), "other": torch.tensor([[3.0]])}
    assert value(L1Term(L1(), given)) == pytest.approx(1 + 2 + 3)


def test_squares_by_hand() -> None:
    with adapted("discrete", KINDS["discrete"].task(), Recipe(regularize=L2(critic=True))) as model:
        squares = sum(one.square().sum().item() for one in model.policy.parameters())
        assert value(model.transfer.terms.terms[0]) == pytest.approx(squares / 2)


def test_distance_from_the_start_by_hand() -> None:
    weight = torch.tensor([1.0, 2.0])
    term = L2InitTerm(L2Init(), {"w": weight})
    weight += 5  # before the first update
    begin(term)
    weight += torch.tensor([1.0, -3.0])
    begin(term, progress=0.5)
    assert value(term) == pytest.approx((1 + 9) / 2)
    again = L2InitTerm(L2Init(), {"w": weight})
    assert not again.state()
    again.restore(term.state())
    assert value(again) == value(term)
    loss, gradients = again.by_weights({"w": weight.numpy(), "other": weight.numpy()})
    assert loss == value(term) and gradients["w"].tolist() == [1, -3] and len(gradients) == 1


def test_orthogonality_by_hand() -> None:
    def departure(weight: torch.Tensor) -> float:
        return value(ParsevalTerm(Parseval(), {"w": weight}))

    wide = torch.tensor([[1.0, 2.0, 0.0], [0.0, 1.0, 1.0]])
    by_hand = (5 - 2) ** 2 + (2 - 2) ** 2 + 2 * 2**2
    assert departure(wide) == departure(wide.T) == pytest.approx(by_hand)
    fresh = torch.nn.init.orthogonal_(torch.empty(8, 4), gain=2**0.5)
    assert departure(fresh) == pytest.approx(0, abs=1e-9)
    kernel = torch.randn(4, 3, 2, 2)
    assert departure(kernel) == departure(kernel.reshape(4, 12))


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4)])
@pytest.mark.parametrize("kind", [L1Term, ParsevalTerm])
def test_gradients_that_are_written_out(kind: Any, shape: tuple[int, int]) -> None:
    weight = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    term = kind(L1() if kind is L1Term else Parseval(), {"w": weight})
    found = term.loss(None)
    found.backward()
    numbers = weight.detach().numpy()
    loss, gradients = term.by_weights({"w": numbers, "other": numbers})
    assert loss == pytest.approx(found.item()) and gradients.keys() == {"w"}
    assert torch.allclose(torch.from_numpy(gradients["w"]), weight.grad)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", [L1(), L2(critic=True), L2Init(), Parseval()])
def test_closed_form_and_autograd_train_alike(method: Method) -> None:
    found = []
    for path in ("autograd", "closed_form"):
        model = rlt.adapt("cartpole", FAR, Recipe(regularize=method), seed=0, **BRIEF)
        model.engine_options = EngineOptions(path=path)  # type: ignore[arg-type]
        model.learn(512)
        found.append(tensors(model))
    for name, one in found[0].items():
        assert torch.allclose(one, found[1][name], atol=1e-5), name


def test_what_the_source_did_not_have_is_pulled_as_fresh_weights_are() -> None:
    method = L2SP(strength=0.5, fresh=0.1)
    recipe = Recipe(pad_inputs=True, outputs=[0, 1, None], regularize=method)
    with adapted("discrete", toy("v6", "d3"), recipe) as model:
        pulled = {one.name: one for one in model.transfer.terms.terms[0]._pulled}
        columns = pulled["mlp_extractor.policy_net.0.weight"].weight
        assert (columns[:, :4] == 1).all() and (columns[:, 4:] == 0.2).all()
        bias = pulled["action_net.bias"]
        assert torch.equal(bias.weight, torch.tensor([1, 1, 0.2])) and bias.towards[2] == 0


@pytest.mark.parametrize("growth", [Residual(width=4), Progressive(width=4)])
def test_a_source_s_wider_network_is_pulled_where_it_is_the_source_s(growth: Any) -> None:
    recipe = Recipe(grow=growth, regularize=L2SP(fresh=0.0))
    with adapted("discrete", KINDS["discrete"].task(), recipe) as model:
        terms = {one.name: one for one in model.transfer.terms.terms}
        head = next(one for one in terms["l2_sp"]._pulled if one.name == "action_net.weight")
        assert (head.weight[:, :-4] == 1).all() and (head.weight[:, -4:] == 0).all()
        layer = next(one for one in terms["l2_sp"]._pulled if one.name.endswith("net.2.weight"))
        assert (layer.weight[:-4, :-4] == 1).all()
        assert (layer.weight[-4:] == 0).all() and (layer.weight[:, -4:] == 0).all()


@pytest.mark.parametrize("kind", [L1, L2])
def test_weights_shrink(kind: Any) -> None:
    strength = {L1: 1e-2, L2: 0.1}[kind]
    plain, actor = trained(), trained(kind(strength=strength))
    both = trained(kind(strength=10 * strength, critic=True))
    assert weights(actor, critic=False).norm() < 0.95 * weights(plain, critic=False).norm()
    assert weights(actor, critic=True).norm() > 0.99 * weights(plain, critic=True).norm()
    assert weights(both, critic=True).norm() < 0.95 * weights(plain, critic=True).norm()


def test_absolute_values_leave_fewer_weights() -> None:
    few, squared = (
        (weights(trained(method), critic=False).abs() < 1e-3).float().mean()
        for method in (L1(strength=1e-2), L2(strength=0.1))
    )
    assert few > 1.3 * squared


def test_weights_stay_nearer_to_their_start_also_where_they_began_fresh() -> None:
    def moved(model: Any, part: str) -> float:
        start, named = model.start, model.policy.state_dict()
        apart = [(named[key] - start[key]).flatten() for key in start if part in key]
        return float(torch.cat(apart).norm())

    plain, held = (
        trained(reset=("actor.head",)),
        trained(L2Init(strength=1.0), reset=("actor.head",)),
    )
    for part in ("policy_net", "mlp_extractor.value_net", "action_net"):
        assert moved(held, part) < 0.7 * moved(plain, part)
    fresh = held.policy.action_net.weight.norm()
    to_source = trained(L2SP(strength=1.0, fresh=1.0), reset=("actor.head",))
    assert moved(to_source, "mlp_extractor.value_net") > 2 * moved(
        held, "mlp_extractor.value_net"
    ), "L2SP leaves the critic alone"
    assert to_source.policy.action_net.weight.norm() != fresh


def test_rows_come_nearer_to_orthogonal() -> None:
    def spread(model: Any) -> float:
        nets = model.policy.mlp_extractor
        matrices = [
            net[i].weight.detach() for net in (nets.policy_net, nets.value_net) for i in (0, 2)
        ]
        return sum(float((torch.linalg.svdvals(one) - 2**0.5).square().sum()) for one in matrices)

    assert spread(trained(Parseval(strength=0.1))) < 0.9 * spread(trained())


def change_in_actions(model: Any, seen: torch.Tensor, changed: torch.Tensor) -> float:
    policy = model.policy
    with torch.no_grad():
        before, after = (Actions.of(policy.get_distribution(one)) for one in (seen, changed))
    return kl(before, after).mean().item()


def states(model: Any) -> torch.Tensor:
    return torch.as_tensor(model.rollout_buffer.observations.reshape(-1, 4))


def test_small_changes_of_observations_change_actions_less() -> None:
    seen = states(trained())
    torch.manual_seed(1)
    near = seen + 0.1 * seen.std(0) * torch.randn_like(seen).sign()
    plain, smooth = (
        change_in_actions(trained(method), seen, near) for method in (None, Smoothing(strength=3))
    )
    assert smooth < 0.8 * plain


def test_the_worst_change_is_worse_than_chance_and_within_bounds() -> None:
    model = trained()
    seen = states(model)
    batch: Any = SimpleNamespace(
        policy=model.policy,
        observations=seen,
        distribution=Actions.of(model.policy.get_distribution(seen)),
    )
    found = []
    for steps in (1, 5):
        term = SmoothingTerm(Smoothing(eps=0.2, steps=steps))
        begin(term, model=model, observations=seen)
        worst = term._worst(batch)
        assert (worst.abs() <= 0.2 * seen.std(0, correction=0) * 1.0001).all()
        found.append(change_in_actions(model, seen, seen + worst))
    chance = 0.2 * seen.std(0) * torch.randn_like(seen).sign()
    assert min(found) > 1.5 * change_in_actions(model, seen, seen + chance)
    assert not any(
        one.grad is not None and one.grad.isnan().any() for one in model.policy.parameters()
    )


@pytest.mark.parametrize("augment", ["scale", "noise"])
def test_actions_and_values_change_less_under_what_they_were_augmented_by(augment: Any) -> None:
    seen = states(trained())
    torch.manual_seed(1)
    noisy = seen + 0.3 * seen.std(0) * torch.randn_like(seen)
    changed = scaled(seen, 0.5) if augment == "scale" else noisy
    size = 0.5 if augment == "scale" else 0.3
    plain, same = trained(), trained(DrAC(strength=3, augment=augment, size=size))
    assert change_in_actions(same, seen, changed) < 0.7 * change_in_actions(plain, seen, changed)
    apart = [
        (model.policy.predict_values(seen) - model.policy.predict_values(changed)).square().mean()
        for model in (same, plain)
    ]
    assert apart[0] < 0.7 * apart[1]


def test_factors_are_one_for_each_row() -> None:
    seen = torch.rand(1000, 3) + 1
    factors = scaled(seen, 0.2) / seen
    assert torch.allclose(factors, factors[:, :1], atol=1e-6)
    assert 0.8 <= factors.min() < 0.81 and 1.19 < factors.max() <= 1.2001


def test_shifted_images_are_crops_of_padded_ones() -> None:
    images = torch.randint(0, 255, (64, 3, 6, 5), dtype=torch.uint8)
    padded = torch.nn.functional.pad(images.float(), (2, 2, 2, 2), mode="replicate")
    crops = torch.stack(
        [padded[:, :, y : y + 6, x : x + 5] for y in range(5) for x in range(5)], dim=1
    )
    moved = shifted(images, 2)
    assert moved.dtype == torch.uint8 and moved.shape == images.shape
    matches = (crops == moved[:, None].float()).flatten(2).all(-1)
    assert matches.any(1).all()
    assert len(set(matches.float().argmax(1).tolist())) > 15, "each image is moved on its own"


def test_a_change_is_in_units_of_normalized_observations() -> None:
    with adapted("normalized", KINDS["normalized"].task()) as model:
        assert unit(model, torch.rand(9, 4) * 7).tolist() == [1, 1, 1, 1]
    with adapted("discrete", KINDS["discrete"].task()) as model:
        seen = torch.tensor([[0.0, 3.0], [2.0, 3.0]])
        assert unit(model, seen).tolist() == [1, 0]


@pytest.mark.parametrize("method", [L1(), L2(), L2Init(), Parseval(), Smoothing(), DrAC()])
@pytest.mark.parametrize("kind", VECTORS)
def test_it_works_with_all_kinds_of_actions(kind: str, method: Method) -> None:
    with adapted(kind, KINDS[kind].task(), Recipe(regularize=[method, *also(method)])) as model:
        model.learn(64)
        assert model.logger.name_to_value[f"transfer/{method.name}/loss"] > 0
        assert all(torch.isfinite(one).all() for one in model.policy.parameters())


def also(method: Method) -> tuple[Method, ...]:
    """Another one beside it, as losses add up."""
    return () if isinstance(method, L2) else (L2(),)


@pytest.mark.parametrize(
    "method", [L1(), L2(), L2Init(), Parseval(), DrAC(), DrAC(augment="shift")]
)
def test_it_works_with_images(method: Method) -> None:
    with adapted("image", KINDS["image"].task(), Recipe(regularize=method)) as model:
        model.learn(32)
        assert f"transfer/{method.name}/loss" in model.logger.name_to_value


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        *[(kind, Smoothing()) for kind in ("image", "dict", "mixed", "multibinary")],
        *[(kind, DrAC()) for kind in ("dict", "mixed", "multibinary")],
        ("image", DrAC(augment="noise")),
        ("discrete", DrAC(augment="shift")),
        ("shallow", Parseval()),
    ],
)
def test_what_it_cannot_change_is_refused(kind: str, method: Method) -> None:
    with pytest.raises(RecipeError), adapted(kind, KINDS[kind].task(), Recipe(regularize=method)):
        pass


@pytest.mark.parametrize("method", [L1(), L2(), Parseval()])
def test_weights_that_never_train_are_no_work(method: Method) -> None:
    frozen = Recipe(freeze=["trunk", "actor.head"], regularize=method)
    with pytest.raises(RecipeError, match="freeze less"):
        rlt.adapt("cartpole", FAR, frozen)
    critic = L2(critic=True)
    rlt.adapt("cartpole", FAR, frozen.but(regularize=critic)).get_env().close()
    later = Recipe(freeze=["trunk"], thaw="top_down", regularize=Parseval())
    rlt.adapt("cartpole", FAR, later).get_env().close()


def test_deviations_are_no_weights() -> None:
    with adapted("box", KINDS["box"].task()) as model:
        assert "log_std" not in acted_on(L2(), model)
        assert "action_net.bias" in acted_on(L2(), model)


@pytest.mark.parametrize("action", ["multi", "bits3"])
def test_it_smooths_several_choices(action: str) -> None:
    task = toy("v4", action)
    agent = train(task, 32, policy_kwargs=SMALL)
    both = Recipe(regularize=[Smoothing(), DrAC(augment="noise")])
    with adapted(agent, task, both) as model:
        model.learn(32)
        logged = model.logger.name_to_value
        assert logged["transfer/smoothing/loss"] > 0 and logged["transfer/drac/loss"] > 0


def test_strengths_fade_to_nothing() -> None:
    method = L2(fade="linear", until=0.5)
    model = rlt.adapt(
        "cartpole", FAR, Recipe(regularize=method, retain=Kickstart()), seed=0, **BRIEF
    )
    model.learn(1024)
    assert model.logger.name_to_value["transfer/l2/strength"] == 0


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (L1, {"critic": 2}),
        (L2, {"strength": -1}),
        (L2Init, {"until": 0}),
        (Parseval, {"scale": 0}),
        (Smoothing, {"eps": 0}),
        (Smoothing, {"steps": 0}),
        (Smoothing, {"steps": 1.5}),
        (DrAC, {"augment": "rotate"}),
        (DrAC, {"size": 0.1}),
        (DrAC, {"augment": "scale", "size": 1}),
        (DrAC, {"augment": "noise", "size": 0}),
        (DrAC, {"augment": "shift", "size": 1.5}),
    ],
)
def test_values_out_of_range_are_refused(kind: Any, given: Any) -> None:
    with pytest.raises(RecipeError, match="expected"):
        kind(**given)
