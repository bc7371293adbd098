from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback
from transfer_cases import (
    KINDS,
    SMALL,
    adapted,
    fading,
    layer_keys,
    same,
    source,
    tensors,
    toy,
    train,
)

from rltransfer.critic_mode import critic_mode
from rltransfer.errors import RecipeError
from rltransfer.layers import layer_groups
from rltransfer.recipe import Recipe
from rltransfer.training.critic import (
    RIDGE,
    CriticRefit,
    bootstrapped_returns,
    critic_features,
    explained_variance,
    ridge,
)


def mode(model: Any) -> str:
    words = model.transfer.report.notes["critic"]
    return next(m for m in ("kept", "fresh", "refitted") if m in words)


# -- arithmetic -----------------------------------------------------------------------------------


def test_ridge_solves_the_penalized_least_squares() -> None:
    """Against numpy's solver, with the penalty as extra rows and an unpenalized constant."""
    rng = np.random.default_rng(0)
    x = rng.normal(3.0, 2.0, (40, 5))
    y = x @ rng.normal(size=5) + 10 + rng.normal(size=40)
    rows = np.hstack([x, np.ones((40, 1))])
    penalty = np.sqrt(RIDGE) * np.eye(5, 6)
    expected = np.linalg.lstsq(np.vstack([rows, penalty]), np.r_[y, np.zeros(5)], rcond=None)[0]
    weight, bias = ridge(x, y)
    assert np.allclose(weight, expected[:5])
    assert bias == pytest.approx(expected[5])


def test_ridge_is_defined_for_features_that_never_vary() -> None:
    weight, bias = ridge(np.ones((6, 3)), np.arange(6.0))
    assert np.allclose(weight, 0) and bias == pytest.approx(2.5)


def test_returns_by_hand() -> None:
    """One environment: an end by failure after step 1, a cut after step 3, then it goes on."""
    rewards = np.array([[1.0], [2.0], [4.0], [8.0], [16.0], [32.0]])
    dones = np.array([[0], [1], [0], [1], [0], [0]], dtype=bool)
    truncated = np.array([[0], [0], [0], [1], [0], [0]], dtype=bool)
    values = np.array([[0.0], [100.0], [0.0], [10.0], [0.0], [6.0]])
    # 32 + 6/2 = 35; 16 + 35/2; 8 + 10/2 (cut); 4 + 13/2; 2 (failed: nothing follows); 1 + 2/2
    expected = [[2.0], [2.0], [10.5], [13.0], [33.5], [35.0]]
    found = bootstrapped_returns(rewards, dones, truncated, values, 0.5)
    assert found.tolist() == expected


def test_returns_of_several_environments_do_not_mix() -> None:
    rng = np.random.default_rng(1)
    parts = [rng.normal(size=(7, 3)), rng.random((7, 3)) < 0.3, rng.random((7, 3)) < 0.5]
    values = rng.normal(size=(7, 3))
    both = bootstrapped_returns(*parts, values, 0.9)
    for env in range(3):
        columns = [part[:, [env]] for part in parts]
        alone = bootstrapped_returns(*columns, values[:, [env]], 0.9)
        assert np.array_equal(alone[:, 0], both[:, env])


def test_explained_variance() -> None:
    returns = np.array([1.0, 2.0, 3.0])
    assert explained_variance(returns, returns) == 1
    assert explained_variance(returns + 5, returns) == 1
    assert explained_variance(np.zeros(3), returns) == 0
    assert explained_variance(-returns, returns) == -3
    assert np.isnan(explained_variance(returns, np.ones(3)))


# -- which critic ---------------------------------------------------------------------------------

MODES: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("discrete", {}, {}, "kept"),
    ("discrete", {}, {"gamma": 0.9}, "refitted"),
    ("discrete", {"critic": "keep"}, {"gamma": 0.9}, "kept"),
    ("discrete", {"critic": "reset"}, {}, "fresh"),
    ("discrete", {"critic": "refit"}, {}, "refitted"),
    ("discrete", {"reset": ["actor.*"]}, {}, "kept"),
    ("discrete", {"reset": ["critic.head"]}, {}, "refitted"),
    ("discrete", {"reset": ["critic.0"]}, {}, "refitted"),
    ("discrete", {"reset": ["trunk"]}, {}, "refitted"),
    ("discrete", {"reset": ["critic.*"]}, {}, "fresh"),
    ("discrete", {"reset": ["critic.*"], "critic": "refit"}, {}, "refitted"),
    ("batchnorm", {"reset": ["features.1"]}, {}, "refitted"),
    ("separate", {"reset": ["actor.features.0"]}, {}, "kept"),
    ("normalized", {}, {}, "kept"),
    ("normalized", {"return_stats": "reset"}, {}, "refitted"),
    ("discrete", {"return_stats": "reset"}, {}, "kept"),
    ("recurrent shared", {"reset": ["critic.*"]}, {}, "fresh"),
    ("named", {"critic": "reset"}, {}, "fresh"),
]


@pytest.mark.parametrize(("kind", "fields", "options", "expected"), MODES, ids=str)
def test_which_critic_is_used(
    kind: str, fields: dict[str, Any], options: dict[str, Any], expected: str
) -> None:
    with adapted(kind, KINDS[kind].task(), Recipe(**fields), **options) as model:
        assert mode(model) == expected
        assert (model.transfer.refit is not None) == (expected == "refitted")
        head = layer_keys(model, "critic.head")
        unchanged = same(tensors(model), dict(source(kind).weights))
        assert (head <= unchanged) == (expected == "kept")
        actions = {c.action for c in model.transfer.report.tensors if c.group == "critic.head"}
        assert actions == {{"kept": "copied", "fresh": "reset", "refitted": "refit"}[expected]}
        if expected == "refitted":
            assert not model.policy.value_net.weight.any() and not model.policy.value_net.bias.any()


CONTRADICTIONS: list[tuple[str, dict[str, Any], str]] = [
    ("discrete", {"critic": "keep", "reset": ["heads"]}, r"'keep', but reset names critic\.head"),
    ("discrete", {"critic": "keep", "reset": ["critic.0"]}, r"reset names critic\.0"),
    ("batchnorm", {"critic": "keep", "reset": ["features.0"]}, r"reset names features\.0"),
    ("discrete", {"critic": "refit", "freeze": ["heads"]}, r"critic\.head is frozen"),
    ("discrete", {"reset": ["critic.0"], "freeze": ["critic.head"]}, r"add '!critic\.head'"),
]


@pytest.mark.parametrize(("kind", "fields", "message"), CONTRADICTIONS, ids=str)
def test_contradictions_about_the_critic_are_refused(
    kind: str, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        adapted(kind, KINDS[kind].task(), Recipe(**fields)).__enter__()


@pytest.mark.parametrize(
    ("recipe", "copied"),
    [
        (Recipe(), True),
        (Recipe(critic="refit"), False),
        (Recipe(critic="reset"), False),
        (Recipe(critic="keep"), True),
        (Recipe(return_stats="copy", critic="reset"), True),
        (Recipe(return_stats="reset", critic="keep"), False),
    ],
    ids=str,
)
def test_return_statistics_go_with_the_critic(recipe: Recipe, copied: bool) -> None:
    old = source("normalized").normalization.return_stats  # pyright: ignore
    with adapted("normalized", KINDS["normalized"].task(), recipe) as model:
        stats = model.get_vec_normalize_env().ret_rms
        assert (stats.var == old.var) == copied
        assert (stats.count == old.count) == copied
        note = model.transfer.report.notes["return statistics"]
        assert note == ("copied" if copied else "fresh")


# -- the refit ------------------------------------------------------------------------------------

REFITS = [
    ("discrete", {}),
    ("discrete", {"refit_rollouts": 2}),
    ("normalized", {}),
    ("dict", {}),
    ("image", {}),
    ("maskable", {}),
    ("recurrent", {}),
    ("recurrent box", {}),
    ("recurrent shared", {}),
    ("separate", {}),
]


class Snapshots(BaseCallback):
    """Weights and steps before each rollout."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[dict[str, torch.Tensor]] = []
        self.steps: list[int] = []

    def _on_rollout_start(self) -> None:
        self.weights.append(tensors(self.model))
        self.steps.append(self.model.num_timesteps)

    def _on_step(self) -> bool:
        return True


@pytest.mark.parametrize(("kind", "fields"), REFITS, ids=str)
def test_the_refit_moves_nothing_but_the_head_and_costs_its_steps(
    kind: str, fields: dict[str, Any]
) -> None:
    recipe, task = Recipe(critic="refit", **fields), KINDS[kind].task()
    with adapted(kind, task, recipe) as model:
        before, watch = tensors(model), Snapshots()
        head = layer_keys(model, "critic.head")
        model.learn(96, callback=watch)
        assert model.num_timesteps == 96
        assert watch.steps == [0, 32, 64]
        fitted = recipe.refit_rollouts
        assert set(before) - same(before, watch.weights[fitted]) == head
        if fitted == 2:
            assert same(before, watch.weights[1]) == set(before)
        assert model.transfer.refit is None
        assert same(before, tensors(model)) != set(before) - head, "then it trains"
        assert model._n_updates == (3 - fitted) * model.n_epochs


@pytest.mark.parametrize("kind", [k for k, _ in REFITS])
def test_features_times_head_are_the_values(kind: str) -> None:
    """What the refit multiplies is what the policy computed while acting."""
    with adapted(kind, KINDS[kind].task(), Recipe(freeze=["trunk"])) as model:
        model.policy.set_training_mode(False)
        refit = model.transfer.refit = Spy(1)
        model.learn(32)
        assert np.allclose(refit.values, refit.stored, atol=1e-5)


class Spy(CriticRefit):
    """Compares features @ weight + bias with the values in the buffer, and fits nothing."""

    def consume(self, model: Any) -> bool:
        head = model.policy.value_net
        weight, bias = head.weight.detach().numpy()[0], float(head.bias.detach())
        self.values = critic_features(model) @ weight + bias
        self.stored = np.array(model.rollout_buffer.values)
        assert self.values.shape == self.stored.shape == (16, 2)
        return True


@pytest.mark.parametrize("rollouts", [1, 3])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_the_fitted_head_predicts_returns(scale: float, rollouts: int) -> None:
    """Returns that the state decides are predicted, at any scale of the rewards."""
    agent = _fading_agent()
    recipe = Recipe(critic="refit", refit_rollouts=rollouts)
    with adapted(agent, fading(scale), recipe, gamma=0.9, n_envs=4, batch_size=32) as model:
        watch = Snapshots()
        refit = model.transfer.refit
        model.learn(16 * 4 * (rollouts + 1), callback=watch)
        assert refit.explained_variance > 0.95
        model.policy.load_state_dict(watch.weights[rollouts])
        x = np.linspace(-0.9, 0.9, 7, dtype=np.float32)
        seen = torch.as_tensor(np.stack([x, np.ones_like(x)], axis=1))
        values = model.policy.predict_values(seen)[:, 0].detach().numpy()
        # A number that fades by 0.95 is worth x / (1 - 0.9 * 0.95), for ever.
        slope, _ = np.polyfit(x, values, 1)
        assert slope == pytest.approx(scale / (1 - 0.9 * 0.95), rel=0.2)
        assert np.corrcoef(values, x)[0, 1] > 0.99


def _fading_agent() -> Any:
    return train(fading(), 64, policy_kwargs={"net_arch": [32]}, gamma=0.9)


def test_the_log_says_how_well_it_fits() -> None:
    with adapted(_fading_agent(), fading(), Recipe(critic="refit"), gamma=0.9) as model:
        logged: dict[str, float] = {}
        record = model.transfer.refit

        class Log(BaseCallback):
            def _on_step(self) -> bool:
                logged.update(self.model.logger.name_to_value)
                return True

        model.learn(64, callback=Log())
        assert logged["transfer/critic_fit"] == record.explained_variance


class Interrupt(BaseCallback):
    def __init__(self, at: int) -> None:
        super().__init__()
        self._at = at

    def _on_step(self) -> bool:
        if self.num_timesteps >= self._at:
            raise KeyboardInterrupt
        return True


def test_a_refit_that_was_interrupted_goes_on() -> None:
    """Cut within the second rollout; the steps before that do not shift its time limits."""
    agent = _fading_agent()
    recipe = Recipe(critic="refit", refit_rollouts=2)
    with adapted(agent, fading(limit=5), recipe, gamma=0.9) as model:
        refit = model.transfer.refit
        with pytest.raises(KeyboardInterrupt):
            model.learn(96, callback=Interrupt(32 + 10))
        assert refit.remaining == 1
        model.learn(96)
        assert refit.remaining == 0 and model.transfer.refit is None
        first, second = (np.asarray(cut)[:, 0].nonzero()[0] for cut in refit._truncated)
        assert first.tolist() == [4, 9, 14, 15], "cut every 5 steps, and by the interruption"
        assert second.tolist() == [4, 9, 14]
        ends = [np.asarray(done)[:, 0].nonzero()[0].tolist() for done in refit._dones]
        assert ends == [first.tolist(), second.tolist()]


def test_what_cannot_be_refitted_is_refused() -> None:
    agent = train(toy(), 32, policy_kwargs=SMALL)
    with adapted(agent, toy()) as model:
        model.policy.value_net = torch.nn.Sequential(model.policy.value_net)
        groups = layer_groups(model.policy)
        assert critic_mode(agent, model, groups, Recipe()) == "keep"
        with pytest.raises(RecipeError, match="needs a linear value_net"):
            critic_mode(agent, model, groups, Recipe(critic="refit"))
