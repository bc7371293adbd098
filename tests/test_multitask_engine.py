"""Rollouts and updates of many tasks: each row counts for its own task, in that task's units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from policy_twins import pairs
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.utils import set_random_seed

from rltransfer.engine.autograd.minibatches import Minibatches
from rltransfer.engine.multitask.gradient import MultiTaskGradient
from rltransfer.engine.multitask.options import MultiTaskOptions
from rltransfer.engine.multitask.pcgrad import project
from rltransfer.engine.multitask.rollout import prepare, stratified
from rltransfer.engine.multitask.runner import MultiTaskEngine
from rltransfer.engine.options import EngineOptions
from rltransfer.engine.records import Settings
from rltransfer.errors import BadArgument
from rltransfer.multitask import fresh_multitask
from rltransfer.policies.multitask import MultiTaskPolicy
from rltransfer.policies.tasks import PolicyTask
from rltransfer.training import TransferPPO
from rltransfer.training.multitask import LearningProgress, MultiTaskPPO
from rltransfer.training.transfer_state import Transfer
from rltransfer.vec.multitask import MultiTaskVecEnv

AUTOGRAD = EngineOptions(path="autograd")


class Walk(gym.Env):
    """A random walk that pays for the sum of the action's numbers.

    Args:
        dims: Numbers that it observes.
        actions: Action space.
        pays: Reward for a unit.
        ends: Step at which it ends by itself, if any.
        limit: Step at which a time limit cuts it.
    """

    def __init__(
        self, dims: int, actions: gym.Space, pays: float = 1.0, ends: int = 99, limit: int = 99
    ) -> None:
        self.observation_space = spaces.Box(-9.0, 9.0, (dims,), np.float32)
        self.action_space = actions
        self.pays, self.ends, self.limit = pays, ends, limit
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return self._observed(), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        reward = self.pays * float(np.sum(action)) + self.pays
        return self._observed(), reward, self.steps == self.ends, self.steps == self.limit, {}

    def _observed(self) -> np.ndarray:
        return self.np_random.normal(size=self.observation_space.shape).astype(np.float32)


class Masked(Walk):
    """Fails at an action that its mask forbids; the mask changes at every step."""

    def action_masks(self) -> np.ndarray:
        space: Any = self.action_space
        drawn = np.random.default_rng([self.steps, 3])
        if isinstance(space, spaces.Discrete):
            return np.arange(space.n) == drawn.integers(space.n)
        counts = space.nvec if isinstance(space, spaces.MultiDiscrete) else [2] * space.n
        return np.concatenate([np.arange(n) == drawn.integers(n) for n in counts])

    def step(self, action: Any) -> Any:
        space: Any = self.action_space
        mask, numbers = self.action_masks(), np.ravel(action)
        counts = {spaces.Discrete: lambda: [space.n], spaces.MultiBinary: lambda: [2] * space.n}
        widths = counts.get(type(space), lambda: list(space.nvec))()
        assert mask[np.cumsum([0, *widths[:-1]]) + numbers].all(), (mask, action)
        return super().step(action)


PRESS, MOVE = spaces.Discrete(3), spaces.Box(-1.0, 1.0, (2,), np.float32)
WALKS: dict[str, Callable[[], gym.Env]] = {
    "press": partial(Walk, 3, PRESS, 1.0, 5, 7),
    "move": partial(Walk, 2, MOVE, 100.0, 99, 4),
    "slow": partial(Walk, 4, PRESS, 0.01, 6, 99),
}
GAMMAS = {"press": 0.9, "move": 0.5, "slow": 0.99}


def described(makers: dict[str, Callable[[], gym.Env]], **options: Any) -> list[PolicyTask]:
    tasks = []
    for id, make in makers.items():
        env = make()
        fields = {"gamma": GAMMAS.get(id, 0.95), "masked": isinstance(env, Masked), **options}
        tasks.append(
            PolicyTask(
                id=id,
                observation_space=env.observation_space,
                action_space=env.action_space,
                **fields,
            )
        )
    return tasks


def model_of(
    makers: dict[str, Callable[[], gym.Env]] = WALKS,
    counts: Sequence[int] = (2, 1, 1),
    *,
    block: int | None = None,
    options: MultiTaskOptions | None = None,
    engine: EngineOptions = AUTOGRAD,
    task_options: dict[str, Any] | None = None,
    policy_kwargs: dict[str, Any] | None = None,
    **settings: Any,
) -> Any:
    tasks = described(makers, **(task_options or {}))
    kinds = list(makers.values())
    env = MultiTaskVecEnv(
        tasks, counts, lambda index, n, seed: make_vec_env(kinds[index], n, seed=seed), block=block
    )
    env.seed(7)
    given = {"n_steps": 16, "batch_size": 16, "n_epochs": 3, "learning_rate": 3e-3, **settings}
    model = MultiTaskPPO(
        MultiTaskPolicy,
        env,
        policy_kwargs={"tasks": tasks, "width": 8, "trunk_kwargs": {"sizes": [8]}}
        | (policy_kwargs or {}),
        seed=5,
        device="cpu",
        **given,
    )
    model.engine_options = engine
    model.multitask_options = options or MultiTaskOptions()
    return model


def collected(model: Any) -> Any:
    """The model after one rollout."""
    _, callback = model._setup_learn(10_000)
    assert model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
    return model


def learned(model: Any, iterations: int) -> Any:
    set_random_seed(11)
    return model.learn(iterations * model.n_steps * model.n_envs)


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.policy.state_dict().items()}


# -- Minibatches --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "size"),
    [((48, 48), 32), ((90, 30, 8), 32), ((5, 1, 3), 4), ((16,), 7), ((1, 1, 1), 1), ((40, 9), 99)],
)
def test_each_minibatch_has_its_share_of_each_task(counts: tuple[int, ...], size: int) -> None:
    total = sum(counts)
    shuffled = np.random.default_rng(0).permutation(total)
    rows = dict(enumerate(np.split(shuffled, np.cumsum(counts)[:-1])))
    task = np.empty(total, int)
    for index, own in rows.items():
        task[own] = index
    permutation = stratified(rows, size)
    epochs = [permutation() for _ in range(30)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(total))
        for start in range(0, total, size):
            batch = task[epoch[start : start + size]]
            assert (np.diff(batch) >= 0).all()
            share = np.bincount(batch, minlength=len(counts))
            exact = len(batch) * np.array(counts) / total
            assert np.abs(share - exact).max() <= (1 if size > 4 else 1.5)
    if total > 4:
        # Any row of a task may be in any minibatch, and epochs differ.
        assert len({tuple(epoch) for epoch in epochs}) > 20
        first = {row for epoch in epochs for row in epoch[:size]}
        assert first == set(range(total)) or size < 9
    np.random.seed(1)
    one = permutation()
    np.random.seed(1)
    assert np.array_equal(one, permutation())


# -- Rollouts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["autograd", "auto"])
def test_returns_follow_the_discount_factor_of_each_task(path: Any) -> None:
    model = model_of(engine=EngineOptions(path=path))
    seen: list[Any] = []
    step = model.env.step
    model.env.step = lambda actions: seen.append(step(actions)) or seen[-1]
    buffer = collected(model).rollout_buffer
    gammas = np.array([0.9, 0.9, 0.5, 0.99])
    policy = model.policy
    with torch.no_grad():
        for t, (_, rewards, dones, infos) in enumerate(seen):
            expected = rewards.astype(float)
            for row in np.flatnonzero(dones):
                if infos[row]["TimeLimit.truncated"]:
                    hidden = torch.as_tensor(infos[row]["terminal_observation"])[None]
                    expected[row] += gammas[row] * policy.predict_values(hidden).item()
            np.testing.assert_allclose(buffer.rewards[t], expected, rtol=1e-5, atol=1e-5)
        last = policy.predict_values(torch.as_tensor(seen[-1][0]))[:, 0].double().numpy()
    assert sum(info["TimeLimit.truncated"] for *_, infos in seen for info in infos) >= 4
    advantage = np.zeros(4)
    following, ended = last, seen[-1][2]
    for t in range(15, -1, -1):
        going_on = 1.0 - ended
        delta = buffer.rewards[t] + gammas * following * going_on - buffer.values[t]
        advantage = delta + gammas * 0.95 * going_on * advantage
        np.testing.assert_allclose(buffer.advantages[t], advantage, rtol=1e-4, atol=1e-4)
        following, ended = buffer.values[t], buffer.episode_starts[t]
    np.testing.assert_allclose(buffer.returns, buffer.advantages + buffer.values, rtol=1e-6)
    observed = buffer.observations[:, :, 0]
    assert np.array_equal(observed, np.tile([0, 0, 1, 2], (16, 1)))


def test_advantages_are_standardized_by_task() -> None:
    model = collected(model_of())
    raw = model.rollout_buffer.advantages.reshape(-1)
    ready = prepare(model, MultiTaskOptions())
    assert {index: len(own) for index, own in ready.rows.items()} == {0: 32, 1: 16, 2: 16}
    spreads = []
    for own in ready.rows.values():
        found = ready.rollout.advantages[own]
        assert found.mean() == pytest.approx(0, abs=1e-5)
        assert found.std(ddof=1) == pytest.approx(1, abs=1e-5)
        assert np.corrcoef(found, raw[own])[0, 1] == pytest.approx(1, abs=1e-5)
        spreads.append(raw[own].std())
    assert max(spreads) > 100 * min(spreads)  # so it matters
    plain = prepare(model, MultiTaskOptions(normalize_advantage=False))
    assert np.array_equal(plain.rollout.advantages, raw)


def test_preparing_moves_units_and_no_values() -> None:
    model = learned(model_of(n_epochs=1), 2)
    collected(model)
    policy, buffer = model.policy, model.rollout_buffer
    packed = torch.as_tensor(buffer.observations.reshape(-1, policy.packing.width))
    before = policy.predict_values(packed).detach()
    kept = {key: head.mean.item() for key, head in policy.value_heads.items()}
    raw = buffer.returns.reshape(-1).copy(), buffer.values.reshape(-1).copy()
    ready = prepare(model, MultiTaskOptions(popart_beta=0.5))
    after = policy.predict_values(packed).detach()
    for index, own in ready.rows.items():
        head = policy.value_heads[policy.tasks[index].key]
        assert head.mean.item() != kept[head_key(policy, index)]
        scale = float(head.std)
        torch.testing.assert_close(after[own], before[own], rtol=1e-5, atol=1e-5 * scale)
        for normalized, numbers in zip((ready.rollout.returns, ready.rollout.old_values), raw,
                                       strict=True):  # fmt: skip
            back = head.denormalize(normalized[own])
            np.testing.assert_allclose(back, numbers[own], rtol=1e-4, atol=1e-4 * scale)
        assert np.abs(ready.rollout.returns[own]).mean() < 3
    assert np.array_equal(raw[0], buffer.returns.reshape(-1))  # the buffer stays in own units
    # Old values in new units are what the heads give now.
    normalized, *_ = policy.evaluate_normalized(packed, torch.zeros(len(packed), 2))
    torch.testing.assert_close(
        normalized.detach(), torch.as_tensor(ready.rollout.old_values), rtol=1e-3, atol=1e-3
    )


def head_key(policy: Any, index: int) -> str:
    return policy.tasks[index].key


# -- Updates ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["autograd", "auto"])
@pytest.mark.parametrize("kind", ["press", "move"])
@pytest.mark.parametrize("whole", [False, True])
def test_one_task_alone_trains_as_in_ppo(kind: str, path: Any, whole: bool) -> None:
    # Advantages are standardized over the rollout here, and over each minibatch in SB3, which is
    # the same only where a minibatch is the rollout. Rows are shuffled in another order where
    # there are several environments.
    options = MultiTaskOptions(popart=False, normalize_advantage=whole)
    size = 64 if whole else 16
    given = {"n_steps": 64, "n_epochs": 2, "gamma": GAMMAS[kind], "ent_coef": 0.01}
    many = model_of(
        {kind: WALKS[kind]}, (1,), options=options, engine=EngineOptions(path=path),
        batch_size=size, **given,
    )  # fmt: skip
    one = TransferPPO(
        "MlpPolicy",
        make_vec_env(WALKS[kind], 1, seed=7),
        policy_kwargs={"net_arch": [8, 8]},
        normalize_advantage=whole,
        batch_size=size,
        learning_rate=3e-3,
        seed=5,
        device="cpu",
        **given,
    )
    with torch.no_grad():
        for ours, its in pairs(many.policy, 0, one.policy):
            its.copy_(ours)
    before = weights(many)
    assert many._running().plan().path == ("closed_form" if path == "auto" else "autograd")
    learned(many, 3)
    learned(one, 3)
    for ours, its in pairs(many.policy, 0, one.policy):
        torch.testing.assert_close(ours, its, rtol=0, atol=2e-5)
    moved = max((weights(many)[name] - w).abs().max().item() for name, w in before.items())
    assert moved > 1e-2
    assert many._n_updates == one._n_updates


def test_a_rare_task_is_not_lost_among_large_returns() -> None:
    small = {"press": WALKS["press"], "loud": partial(Walk, 3, PRESS, 1000.0, 5, 7)}
    model = learned(model_of(small, (1, 1), n_epochs=1), 1)
    by_task = model._engine.last.by_task
    assert by_task[0]["value_loss"] == pytest.approx(by_task[1]["value_loss"], rel=5)


def test_losses_by_task_make_up_the_whole() -> None:
    model = learned(model_of(batch_size=64, n_epochs=2), 1)
    last = model._engine.last
    assert set(last.by_task) == {0, 1, 2}
    for name in ("policy_loss", "value_loss", "entropy_loss", "clip_fraction"):
        mean = sum(w * last.by_task[i][name] for i, w in enumerate((0.5, 0.25, 0.25)))
        assert getattr(last.overall, name) == pytest.approx(mean, rel=1e-4, abs=1e-6)
    logged = model.logger.name_to_value
    for id in WALKS:
        assert f"{id}/value_loss" in logged and f"{id}/return_std" in logged
    assert logged["press/share_of_steps"] == 0.5


def gradient_of(model: Any, surgery: bool) -> tuple[dict[str, Any], MultiTaskGradient]:
    """Gradients of one minibatch, unclipped, by parameter name."""
    ready = prepare(model, MultiTaskOptions(popart_beta=0.0))
    settings = Settings(
        batch_size=64, n_epochs=1, clip_range=0.2, clip_range_vf=None, normalize_advantage=False,
        ent_coef=0.01, vf_coef=0.5, max_grad_norm=1e9, target_kl=None, learning_rate=1e-3,
    )  # fmt: skip
    policy = model.policy
    batches = Minibatches(policy, ready.observations[None], ready.rollout, None)
    generator = np.random.default_rng(0) if surgery else None
    made = MultiTaskGradient(policy, policy.optimizer, batches, settings, pcgrad=generator)
    rows = np.concatenate([own[:9] for own in ready.rows.values()])
    made.backward(made.losses(rows, torch.as_tensor(rows)))
    grads = {n: None if p.grad is None else p.grad.clone() for n, p in policy.named_parameters()}
    return grads, made


def test_surgery_on_one_task_changes_nothing() -> None:
    model = collected(model_of({"move": WALKS["move"]}, (2,)))
    plain, _ = gradient_of(model, surgery=False)
    operated, made = gradient_of(model, surgery=True)
    assert made.conflicts == [0.0]
    for name, gradient in plain.items():
        torch.testing.assert_close(operated[name], gradient, rtol=1e-5, atol=1e-7)
    mean, surgery = (
        learned(model_of({"move": WALKS["move"]}, (2,), options=MultiTaskOptions(gradient=kind)), 2)
        for kind in ("mean", "pcgrad")
    )
    for name, weight in weights(mean).items():
        torch.testing.assert_close(weights(surgery)[name], weight, rtol=0, atol=1e-5)
    assert surgery._engine.conflicts == 0.0 and mean._engine.conflicts is None


def test_surgery_projects_shared_layers_alone() -> None:
    model = collected(model_of(policy_kwargs={"conditioning": "embedding"}))
    plain, _ = gradient_of(model, surgery=False)
    operated, made = gradient_of(model, surgery=True)
    shared = [n for n in plain if ".trunk." in n or n.startswith("context")]
    assert len(shared) == 5
    parts = []
    for weight, loss in made._parts:
        found = torch.autograd.grad(
            weight * len(made._parts) * loss,
            [dict(model.policy.named_parameters())[n] for n in shared],
            retain_graph=True,
        )
        parts.append(torch.cat([one.flatten() for one in found]))
    expected = project(torch.stack(parts), np.random.default_rng(0))
    found = torch.cat([operated[name].flatten() for name in shared])
    torch.testing.assert_close(found, expected.gradient, rtol=1e-5, atol=1e-7)
    assert made.conflicts == [expected.conflicts]
    for name in set(plain) - set(shared):
        torch.testing.assert_close(operated[name], plain[name], rtol=1e-5, atol=1e-7)


def test_surgery_leaves_alone_what_no_task_uses() -> None:
    options = {"press": "eye", "slow": "other", "third": "other"}
    makers = {"press": WALKS["press"], "slow": WALKS["slow"], "third": WALKS["slow"]}
    tasks = [one.but(encoder=options[one.id]) for one in described(makers)]
    model = model_of(makers, (2, 0, 0), policy_kwargs={"tasks": tasks})
    gradients, _ = gradient_of(collected(model), surgery=True)
    unused = [n for n, gradient in gradients.items() if gradient is None]
    assert {n for n in unused if "encoders" in n} == {
        n for n in gradients if ".encoders.other." in n
    }  # shared by the two tasks that are not there; zeros would let Adam's momentum move it


def test_conflicts_are_logged() -> None:
    # Two tasks that share all but the value heads, and want the opposite.
    makers = {"more": partial(Walk, 3, PRESS, 1.0, 1), "less": partial(Walk, 3, PRESS, -1.0, 1)}
    shared = {"encoder": "eye", "head": "arm"}
    found = {}
    for kind in ("mean", "pcgrad"):
        options = MultiTaskOptions(gradient=kind)
        model = model_of(makers, (2, 2), options=options, task_options=shared, vf_coef=0.0)
        found[kind] = learned(model, 2).logger.name_to_value.get("train/gradient_conflicts")
    assert found["mean"] is None
    assert 0.5 < found["pcgrad"] <= 1
    same = {"more": makers["more"], "also": makers["more"]}
    model = model_of(same, (2, 2), options=MultiTaskOptions(gradient="pcgrad"), vf_coef=0.0,
                     task_options=shared)  # fmt: skip
    assert learned(model, 2).logger.name_to_value["train/gradient_conflicts"] < found["pcgrad"]


@pytest.mark.parametrize("path", ["autograd", "auto"])
@pytest.mark.parametrize("gradient", ["mean", "pcgrad"])
def test_frozen_parameters_stay_although_adam_has_momentum(path: Any, gradient: Any) -> None:
    options = MultiTaskOptions(gradient=gradient)
    model = model_of(
        options=options, engine=EngineOptions(path=path),
        policy_kwargs={"normalize_observations": True},
    )  # fmt: skip
    learned(model, 2)
    frozen = (
        *("actor.encoders.press.", "critic.encoders.press.", "observation_stats.press."),
        *("actor.trunk.", "value_heads.slow.", "action_heads.move.", "log_stds.move"),
    )
    for name, parameter in model.policy.named_parameters():
        state = model.policy.optimizer.state[parameter]
        assert state["exp_avg"].abs().max() > 0, name
        if name.startswith(frozen):
            parameter.requires_grad_(False)
    before = weights(model)
    learned(model, 2)
    for name, weight in weights(model).items():
        assert torch.equal(weight, before[name]) == name.startswith(frozen), name


@pytest.mark.parametrize("path", ["autograd", "auto"])
def test_learning_progress_moves_environments(path: Any) -> None:
    makers = {"press": WALKS["press"], "slow": WALKS["slow"], "move": WALKS["move"]}
    model = model_of(makers, (4, 4, 4), block=2, engine=EngineOptions(path=path), n_steps=12)
    sampling = LearningProgress(list(makers), every=1, floor=0.0)
    model.progress_sampling = sampling
    # As if one task alone had learned something.
    sampling._fast |= {"press": 0.0, "slow": 0.0, "move": 900.0}
    sampling._slow |= {"press": 0.0, "slow": 0.0, "move": 0.0}
    sampling._seen |= {"move": (0.0, 1000.0)}
    collected(model)
    assert np.bincount(model.env.task_of_row).tolist() == [2, 2, 8]
    moved = model.env.task_of_row != np.repeat([0, 1, 2], 4)
    assert model._last_episode_starts[moved].all()
    assert np.array_equal(model._last_obs[:, 0], model.env.task_of_row)
    model.train()  # on rows of the tasks before
    assert model.logger.name_to_value["move/share_of_steps"] == pytest.approx(1 / 3)
    before = weights(model)
    collected(model)
    gammas = np.array([GAMMAS[id] for id in makers], np.float32)
    assert model.rollout_buffer.gamma.shape == (12,)
    first = model.rollout_buffer.observations[:, :, 0].astype(int)
    assert (first == first[0]).all() and np.bincount(first[0]).tolist() == [2, 2, 8]
    assert np.array_equal(model.rollout_buffer.gamma, gammas[first[0]])
    model.train()
    learned(model, 3)
    after = weights(model)
    heads = [name for name in after if name.startswith("action_heads")]
    assert all(not torch.equal(after[name], before[name]) for name in heads)


def test_learning_progress_knows_the_played_tasks_alone() -> None:
    model = model_of(counts=(0, 4, 4), block=1)
    sampling = LearningProgress(["slow", "move"], every=1, floor=0.0)  # in whatever order
    sampling._fast |= {"slow": 0.0, "move": 900.0}
    sampling._slow |= {"slow": 0.0, "move": 0.0}
    sampling._seen |= {"slow": (0.0, 1000.0), "move": (0.0, 1000.0)}
    model.progress_sampling = sampling
    collected(model)
    assert np.bincount(model.env.task_of_row).tolist() == [0, 7, 1]


@pytest.mark.parametrize("path", ["autograd", "auto"])
def test_training_never_takes_masked_actions(path: Any) -> None:
    spaces_of = {"one": PRESS, "some": spaces.MultiDiscrete([2, 3]), "bits": spaces.MultiBinary(2)}
    makers: Any = {id: partial(Masked, 3, space, 1.0, 6) for id, space in spaces_of.items()}
    makers["free"] = WALKS["press"]
    model = model_of(makers, (1, 1, 1, 1), engine=EngineOptions(path=path), ent_coef=0.1)
    assert [task.masked for task in model.policy.tasks] == [True, True, True, False]
    learned(model, 4)  # the environments refuse what is masked
    assert all(torch.isfinite(weight).all() for weight in weights(model).values())


def test_saved_and_loaded_it_trains_on(tmp_path: Path) -> None:
    model = learned(model_of(policy_kwargs={"normalize_observations": True}), 2)
    model.save(tmp_path / "many.zip")
    loaded = MultiTaskPPO.load(tmp_path / "many.zip", env=model_of().env)
    assert loaded.policy.tasks == model.policy.tasks
    for name, weight in weights(model).items():
        assert torch.equal(weights(loaded)[name], weight), name
    before = weights(loaded)
    learned(loaded, 1)
    assert any(not torch.equal(weights(loaded)[name], w) for name, w in before.items())


def test_environments_of_one_task_are_refused() -> None:
    model = model_of({"press": WALKS["press"]}, (2,))

    class Packed(gym.Env):
        observation_space, action_space = model.observation_space, model.action_space

    model.env = make_vec_env(Packed, 2)
    with pytest.raises(BadArgument, match="MultiTaskVecEnv"):
        _ = model.tasks_env
    assert isinstance(model.transfer, Transfer | None)


def test_both_paths_report_the_same_of_each_task() -> None:
    found = []
    for path in ("closed_form", "autograd"):
        model = fresh_multitask(
            ["CartPole-v1", "Pendulum-v1"],
            n_envs=2,
            n_steps=32,
            batch_size=32,
            n_epochs=3,
            seed=0,
            engine=EngineOptions(path=path),
        )
        model.learn(128)
        assert isinstance(model._engine, MultiTaskEngine) and model._engine.last is not None
        found.append(model._engine.last.by_task)
        model.get_env().close()
    assert found[0].keys() == found[1].keys() == {0, 1}
    for task, numbers in found[0].items():
        assert numbers == pytest.approx(found[1][task], rel=1e-3, abs=1e-5)
