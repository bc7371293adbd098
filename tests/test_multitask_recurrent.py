"""A policy with memory for many tasks: what it computes, and how it learns."""

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
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from sb3_contrib.common.recurrent.type_aliases import RNNStates
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from rltransfer.engine.multitask.options import MultiTaskOptions
from rltransfer.engine.multitask.sequences import TaskSequences
from rltransfer.errors import BadArgument, UnknownName
from rltransfer.layers import layer_groups
from rltransfer.policies.multitask import MultiTaskPolicy
from rltransfer.policies.packing import Packing
from rltransfer.policies.recurrent import MultiTaskLstmPolicy
from rltransfer.policies.tasks import PolicyTask
from rltransfer.training.build import build_model
from rltransfer.training.multitask import LearningProgress, MultiTaskPPO, MultiTaskRecurrentPPO
from rltransfer.vec.multitask import MultiTaskVecEnv

WIDTH, SIZES, MEMORY = 6, [5], 7
CLOSE: dict[str, Any] = {"rtol": 0, "atol": 1e-10}


class Cue(gym.Env):
    """Shows at the first step which action is right three steps later."""

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps, self.cue = 0, int(self.np_random.integers(2))
        return np.array([2 * self.cue - 1, 0], np.float32), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        ended = self.steps == 4
        reward = float(ended and int(action) == self.cue)
        return np.array([0, self.steps == 3], np.float32), reward, ended, False, {}


class Follow(gym.Env):
    """Pays for an action that equals the first number seen; needs no memory."""

    observation_space = spaces.Box(-1.0, 1.0, (3,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return self._observed(), {}

    def step(self, action: Any) -> Any:
        reward = -100 * float((action[0] - self.seen[0]) ** 2)
        self.steps += 1
        return self._observed(), reward, False, self.steps == 6, {}

    def _observed(self) -> np.ndarray:
        self.seen = self.np_random.uniform(-1, 1, 3).astype(np.float32)
        return self.seen


class Barred(gym.Env):
    """Fails at an action that its mask forbids; of two bits, the mask leaves one to choose."""

    observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = spaces.MultiBinary(2)

    def action_masks(self) -> np.ndarray:
        free = self.steps % 2
        return np.array([True, free == 0, True, free == 1])

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        assert not action[1 - self.steps % 2], action
        self.steps += 1
        return np.zeros(1, np.float32), float(action.sum()), self.steps == 5, False, {}


KINDS: dict[str, Callable[[], gym.Env]] = {"cue": Cue, "follow": Follow}
GAMMAS = {"cue": 0.95, "follow": 0.5}


def tasks_of(kinds: Sequence[str] = ("cue", "follow"), **options: Any) -> list[PolicyTask]:
    return [
        PolicyTask(
            id=id,
            observation_space=KINDS[id]().observation_space,
            action_space=KINDS[id]().action_space,
            gamma=GAMMAS[id],
            **options,
        )
        for id in kinds
    ]


def env_of(counts: Sequence[int] = (2, 2), block: int | None = None) -> MultiTaskVecEnv:
    def make(index: int, count: int, seed: int | None) -> Any:
        return make_vec_env(list(KINDS.values())[index], count, seed=seed)

    env = MultiTaskVecEnv(tasks_of(), counts, make, block=block)
    env.seed(7)
    return env


def model_of(env: MultiTaskVecEnv | None = None, **options: Any) -> Any:
    env = env or env_of()
    policy_kwargs = {
        "tasks": list(env.tasks),
        "width": 8,
        "trunk_kwargs": {"sizes": [8]},
        "lstm_hidden_size": 8,
        **options.pop("policy_kwargs", {}),
    }
    given = {"n_steps": 16, "batch_size": 16, "n_epochs": 2, "learning_rate": 3e-3, **options}
    return MultiTaskRecurrentPPO(
        MultiTaskLstmPolicy, env, policy_kwargs=policy_kwargs, seed=5, device="cpu", **given
    )


def collected(model: Any, callback: Any = None) -> Any:
    _, callback = model._setup_learn(10_000, callback)
    assert model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
    return model


def weights(model: Any) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.policy.state_dict().items()}


# -- What it computes ---------------------------------------------------------------------------


def policy_of(**options: Any) -> MultiTaskLstmPolicy:
    """A policy in double precision, whose weights are not those of a beginning."""
    torch.manual_seed(0)
    tasks = tasks_of()
    packing = Packing(tasks)
    policy = MultiTaskLstmPolicy(
        packing.observation_space,
        packing.action_space,
        lambda _: 1e-3,
        tasks=tasks,
        **{"width": WIDTH, "trunk_kwargs": {"sizes": SIZES}, "lstm_hidden_size": MEMORY, **options},
    ).double()
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return policy


class Front(BaseFeaturesExtractor):
    """Two layers, in double precision."""

    def __init__(self, observation_space: gym.Space) -> None:
        super().__init__(observation_space, SIZES[-1])
        size = observation_space.shape[0] if observation_space.shape else 0
        layers = [nn.Linear(size, WIDTH), nn.Tanh(), nn.Linear(WIDTH, SIZES[0]), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, observations: Tensor) -> Tensor:
        return self.layers(observations.double())


def pairs(policy: Any, index: int, twin: Any) -> list[tuple[Tensor, Tensor]]:
    task = policy.tasks[index]
    ours, its = [], []
    for stream, front in (
        (policy.actor, twin.pi_features_extractor),
        (policy.critic, twin.vf_features_extractor),
    ):
        ours += [*stream.encoders[task.encoder].parameters(), *stream.trunk.parameters()]
        its += front.parameters()
    for one, other in ((policy.lstm_actor, twin.lstm_actor), (policy.lstm_critic, twin.lstm_critic),
                       (policy.action_heads[task.head], twin.action_net),
                       (policy.value_heads[task.key].linear, twin.value_net)):  # fmt: skip
        if one is not None:
            ours += one.parameters()
            its += other.parameters()
    if task.continuous:
        ours.append(policy.log_stds[task.head])
        its.append(twin.log_std)
    return list(zip(ours, its, strict=True))


def twin_of(policy: Any, index: int) -> RecurrentActorCriticPolicy:
    """sb3-contrib's policy of one task, with the same weights."""
    task, shared = policy.tasks[index], policy.lstm_critic is None
    twin = RecurrentActorCriticPolicy(
        *(task.observation_space, task.action_space, lambda _: 1e-3),
        net_arch=[],
        features_extractor_class=Front,
        share_features_extractor=shared,
        lstm_hidden_size=MEMORY,
        n_lstm_layers=policy.lstm_actor.num_layers,
        shared_lstm=shared,
        enable_critic_lstm=not shared,
    ).double()
    with torch.no_grad():
        for ours, its in pairs(policy, index, twin):
            its.copy_(ours)
    return twin


class Sequences:
    """Sequences of both tasks in turn, packed, with episodes that begin anywhere.

    Attributes:
        of: Which sequences are of each task.
    """

    def __init__(self, policy: Any, *, within: bool = True) -> None:
        count, length = 6, 5
        random = np.random.default_rng(1)
        layers = policy.lstm_actor.num_layers
        tasks = np.arange(count) % 2
        self.of = [torch.from_numpy(np.flatnonzero(tasks == index)) for index in range(2)]
        packed = np.zeros((count, length, policy.packing.width), np.float32)
        actions = np.zeros((count, length, policy.packing.action_space.shape[0]), np.float32)
        for row, index in enumerate(tasks):
            space = policy.tasks[index].observation_space
            seen = random.uniform(-1, 1, (length, *space.shape)).astype(np.float32)
            packed[row] = policy.packing.observations(index, seen)
            drawn = random.integers(2, size=length) if index == 0 else random.normal(size=length)
            actions[row, :, 0] = drawn
        starts = random.random((count, length)) < 0.4
        starts[:, 1:] &= within
        assert not within or starts[:, 1:].any()
        self.packed, self.actions = torch.from_numpy(packed), torch.from_numpy(actions).double()
        self.starts = torch.from_numpy(starts.astype(np.float32))
        memory = torch.from_numpy(random.normal(size=(4, layers, count, MEMORY)))
        self.states = RNNStates((memory[0], memory[1]), (memory[2], memory[3]))
        self.length = length

    def flat(self) -> tuple[Any, ...]:
        """Arguments of ``evaluate_actions``."""
        rows = (self.packed.flatten(0, 1), self.actions.flatten(0, 1))
        return (*rows, self.states, self.starts.flatten())

    def own(self, policy: Any, index: int) -> tuple[Any, ...]:
        """The same of one task, for its twin."""
        rows = self.of[index]
        size = policy.packing.sizes[index]
        seen = self.packed[rows, :, 1 : 1 + size].flatten(0, 1)
        actions = self.actions[rows].flatten(0, 1)
        actions = actions[:, 0].long() if index == 0 else actions
        pi, vf = (tuple(one[:, rows] for one in pair) for pair in self.states)
        if policy.lstm_critic is None:
            vf = pi
        return seen, actions, RNNStates(pi, vf), self.starts[rows].flatten().double()


@pytest.mark.parametrize("within", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("share", [False, True])
def test_equals_a_recurrent_policy_per_task(share: bool, layers: int, within: bool) -> None:
    policy = policy_of(share_critic=share, n_lstm_layers=layers)
    sequences = Sequences(policy, within=within)
    found = policy.evaluate_actions(*sequences.flat())
    by_sequence = [numbers.reshape(6, sequences.length) for numbers in found]
    expected = {id(p): torch.zeros_like(p) for p in policy.parameters()}
    for index in range(2):
        twin = twin_of(policy, index)
        evaluated = twin.evaluate_actions(*sequences.own(policy, index))
        for ours, its in zip(by_sequence, evaluated, strict=True):
            given = ours[sequences.of[index]].flatten()
            torch.testing.assert_close(given, its.flatten(), **CLOSE)
        score(evaluated).backward()
        for ours, its in pairs(policy, index, twin):
            expected[id(ours)] += its.grad
        values = twin.predict_values(*sequences.own(policy, index)[:1],
                                     *vf_of(sequences.own(policy, index)))  # fmt: skip
        packed, _, states, starts = sequences.flat()
        states = states.pi if share else states.vf
        predicted = policy.predict_values(packed, states, starts).reshape(6, -1)
        torch.testing.assert_close(predicted[sequences.of[index]].reshape(-1, 1), values, **CLOSE)
    score(found).backward()
    for name, parameter in policy.named_parameters():
        if not share or not name.startswith("actor."):  # sb3-contrib detaches a shared LSTM
            assert parameter.grad is not None, name
            if not share:
                torch.testing.assert_close(parameter.grad, expected[id(parameter)], **CLOSE)


def score(evaluated: Any) -> Tensor:
    """A number whose gradient depends on all that an evaluation gives."""
    values, log_prob, entropy = evaluated
    return (values**2).sum() + (log_prob.exp() * 3).sum() + entropy.sum()


def vf_of(given: tuple[Any, ...]) -> tuple[Any, Any]:
    return given[2].vf, given[3]


def test_step_by_step_is_as_all_at_once() -> None:
    policy = policy_of()
    sequences = Sequences(policy)
    states, found = sequences.states, []
    for t in range(sequences.length):
        seen, starts = sequences.packed[:, t], sequences.starts[:, t]
        values = policy.predict_values(seen, states.vf, starts)
        actions, same, log_prob, states = policy(seen, states, starts)
        torch.testing.assert_close(same, values, **CLOSE)
        sequences.actions[:, t] = actions.detach()
        found.append((values[:, 0], log_prob))
    whole = policy.evaluate_actions(*sequences.flat())
    for ours, column in zip(whole, zip(*found, strict=True), strict=False):
        torch.testing.assert_close(ours.reshape(6, -1), torch.stack(column, 1), **CLOSE)


def test_it_remembers_and_an_episode_begins_without_memory() -> None:
    policy = policy_of().float()
    state, starts = None, np.array([True, True])
    seen = np.array([[1.0, 0], [-1.0, 0]], np.float32)
    blank = np.zeros((2, 2), np.float32)
    _, state = policy.act("cue", seen, state, starts)
    assert state is not None and [one.shape for one in state] == [(1, 2, MEMORY)] * 2
    outputs = []
    for begins in (False, True):
        _, after = policy.act("cue", blank, state, np.array([begins] * 2))
        assert after is not None
        outputs.append(after[0][0])
    assert np.abs(outputs[0][0] - outputs[0][1]).max() > 1e-3
    np.testing.assert_allclose(outputs[1][0], outputs[1][1], rtol=0, atol=1e-6)
    with pytest.raises(UnknownName, match="cue, follow"):
        policy.act("queue", blank)
    with pytest.raises(BadArgument, match=r"begins with 2.*policy\.act"):
        policy.predict(np.full((1, 4), 2.0, np.float32))
    with pytest.raises(BadArgument, match="one action distribution per task"):
        policy.get_distribution(torch.zeros(1, 4))


@pytest.mark.parametrize("share", [False, True])
def test_layer_groups_name_every_tensor(share: bool) -> None:
    policy = policy_of(share_critic=share, conditioning="embedding")
    groups = layer_groups(policy)
    critic = [] if share else ["critic.lstm"]
    assert list(groups) == [
        *("encoder.cue", "encoder.follow", "context", "trunk.0", "actor.lstm", *critic),
        *("actor.std.follow", "actor.head.cue", "actor.head.follow"),
        *("critic.head.cue", "critic.head.follow"),
    ]
    assert len(groups["actor.lstm"].parameters) == 4
    assert groups["actor.head.cue"].depth == 0 < groups["actor.lstm"].depth
    assert groups["actor.lstm"].depth < groups["trunk.0"].depth < groups["encoder.cue"].depth


def test_options_are_checked_and_kept(tmp_path: Path) -> None:
    for wrong in ({"lstm_hidden_size": 0}, {"n_lstm_layers": 1.5}, {"lstm_hidden_size": True}):
        with pytest.raises(BadArgument, match=f"{next(iter(wrong))}.*at least 1"):
            policy_of(**wrong)
    policy = policy_of(n_lstm_layers=2, share_critic=True).float()
    policy.save(str(tmp_path / "policy"))
    loaded = MultiTaskLstmPolicy.load(str(tmp_path / "policy"))
    packed, actions, states, starts = Sequences(policy).flat()
    given = packed, actions.float(), states, starts
    for ours, its in zip(policy.evaluate_actions(*given), loaded.evaluate_actions(*given),
                         strict=True):  # fmt: skip
        assert torch.equal(ours, its)


# -- Rollouts -----------------------------------------------------------------------------------


def test_each_minibatch_has_sequences_of_each_task() -> None:
    steps, envs, size = 12, 5, 15
    box = spaces.Box(-np.inf, np.inf, (3,), np.float32)
    buffer = TaskSequences(steps, box, spaces.Box(-1, 1, (1,)), (steps, 1, envs, 2), n_envs=envs)
    starts = np.random.default_rng(0).random((steps, envs)) < 0.2
    ids = np.arange(steps)[:, None] + steps * np.arange(envs)  # in time within an environment
    task = np.array([0, 0, 0, 2, 2])
    for t in range(steps):
        observations = np.stack([task, ids[t], starts[t]], 1).astype(np.float32)
        memory = torch.from_numpy(np.repeat(ids[t], 2).reshape(1, envs, 2))
        buffer.add(
            *(observations, np.zeros((envs, 1)), np.zeros(envs), starts[t]),
            *(torch.zeros(envs), torch.zeros(envs)),
            lstm_states=RNNStates((memory, memory + 0.5), (memory + 0.25, memory)),
        )
    np.random.seed(0)
    epochs = []
    for _ in range(4):
        seen: list[int] = []
        batches = list(buffer.get(size))
        assert len(batches) == 4
        for batch in batches:
            valid = batch.mask > 0
            own = batch.observations[valid]
            seen += own[:, 1].int().tolist()
            share = np.bincount(own[:, 0].int().numpy(), minlength=3)
            np.testing.assert_allclose(share, [9, 0, 6], atol=1)
            sequences = len(batch.lstm_states.pi[0][0])
            rows = batch.observations[:, 1].reshape(sequences, -1)
            lengths = valid.reshape(sequences, -1).sum(1)
            for row, length, first in zip(rows, lengths, batch.lstm_states.pi[0][0], strict=True):
                run = row[:length]
                assert torch.equal(run, run[0] + torch.arange(length))
                assert len({int(one) // steps for one in run}) == 1  # of one environment
                assert first.tolist() == [run[0], run[0]]  # what was remembered before it
            assert torch.equal(batch.episode_starts[valid], own[:, 2])
        assert sorted(seen) == list(range(steps * envs))
        epochs.append(tuple(seen))
    assert len(set(epochs)) == 4
    assert len(list(buffer.get(None))) == 1


class Watching(BaseCallback):
    """Keeps what each step gave."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[dict[str, Any]] = []

    def _on_step(self) -> bool:
        self.steps.append({**self.locals, "rewards": self.locals["rewards"].copy()})
        return True


def test_returns_follow_the_discount_factor_of_each_task() -> None:
    watching = Watching()
    model = collected(model_of(), watching)
    buffer, policy = model.rollout_buffer, model.policy
    gammas, cut = np.array([0.95, 0.95, 0.5, 0.5]), 0
    with torch.no_grad():
        for t, step in enumerate(watching.steps):
            expected = step["rewards"].astype(float)
            for row, info in enumerate(step["infos"]):
                if step["dones"][row] and info["TimeLimit.truncated"]:
                    cut += 1
                    hidden = torch.as_tensor(info["terminal_observation"])[None]
                    memory = tuple(one[:, row : row + 1] for one in step["lstm_states"].vf)
                    value = policy.predict_values(hidden, memory, torch.zeros(1)).item()
                    expected[row] += gammas[row] * value
            np.testing.assert_allclose(buffer.rewards[t], expected, rtol=1e-5, atol=1e-5)
        states = watching.steps[-1]["lstm_states"].vf
        ended = torch.as_tensor(watching.steps[-1]["dones"])
        last = policy.predict_values(torch.as_tensor(model._last_obs), states, ended)[:, 0]
    assert cut == 4
    advantage, following, done = np.zeros(4), last.numpy(), ended.numpy()
    for t in range(15, -1, -1):
        delta = buffer.rewards[t] + gammas * following * (1.0 - done) - buffer.values[t]
        advantage = delta + gammas * 0.95 * (1.0 - done) * advantage
        np.testing.assert_allclose(buffer.advantages[t], advantage, rtol=1e-4, atol=1e-4)
        following, done = buffer.values[t], buffer.episode_starts[t]


def test_the_first_update_sees_the_policy_that_acted() -> None:
    model = collected(collected(model_of()))  # the second rollout begins within episodes
    model._normalize()
    policy, buffer = model.policy, model.rollout_buffer
    for batch in buffer.get(16):
        valid = batch.mask > 0
        given = batch.observations, batch.actions, batch.lstm_states, batch.episode_starts
        with policy.normalized_values():
            values, log_prob, _ = policy.evaluate_actions(*given)
        for ours, old in ((values[:, 0], batch.old_values), (log_prob, batch.old_log_prob)):
            torch.testing.assert_close(ours[valid].detach(), old[valid], rtol=1e-4, atol=1e-4)
        assert batch.returns[valid].abs().mean() < 3  # in normalized units


def test_a_callback_ends_the_rollout() -> None:
    class Stopping(BaseCallback):
        def _on_step(self) -> bool:
            return self.n_calls < 5

    model = model_of()
    model.learn(200, callback=Stopping())
    assert model.num_timesteps == 5 * 4


# -- Updates ------------------------------------------------------------------------------------


def test_values_keep_their_units() -> None:
    model = model_of(n_epochs=10).learn(4 * 64)
    head: Any = model.policy.value_heads["follow"]
    assert head.count == 4 and head.std > 10
    assert model.normalize_advantage is True and model.policy._normalized is False
    logged = model.logger.name_to_value
    assert logged["follow/return_std"] == pytest.approx(head.std.item())
    assert logged["cue/share_of_steps"] == 0.5
    collected(model)
    rows = model.rollout_buffer.observations[:, :, 0] == 1
    # Actions are almost random yet, and pay about -80 each; with 0.5 to discount, twice that.
    assert model.rollout_buffer.values[rows].mean() < -20
    plain = model_of()
    plain.multitask_options = MultiTaskOptions(popart=False)
    plain.learn(64)
    assert plain.policy.value_heads["follow"].count == 0


def test_surgery_is_refused() -> None:
    model = model_of()
    model.multitask_options = MultiTaskOptions(gradient="pcgrad")
    with pytest.raises(BadArgument, match="gradient='mean'"):
        model.learn(64)


def test_frozen_layers_stay_although_adam_has_momentum() -> None:
    model = model_of().learn(64)
    frozen = ("lstm_actor.", "actor.encoders.cue.", "value_heads.cue.")
    for name, parameter in model.policy.named_parameters():
        parameter.requires_grad_(not name.startswith(frozen))
    before = weights(model)
    model.learn(64)
    for name, weight in weights(model).items():
        assert torch.equal(weight, before[name]) == name.startswith(frozen), name


def test_masks_hold_and_padding_does_no_harm() -> None:
    tasks = [
        PolicyTask(
            id="barred",
            observation_space=Barred.observation_space,
            action_space=Barred.action_space,
            masked=True,
        ),
        *tasks_of(["cue"]),
    ]
    made = [Barred, Cue]
    env = MultiTaskVecEnv(tasks, [2, 2], lambda i, n, seed: make_vec_env(made[i], n, seed=seed))
    model = model_of(env).learn(4 * 64)  # rows of padding are of the first task, all masked
    assert all(torch.isfinite(weight).all() for weight in weights(model).values())


def test_learning_progress_moves_environments_which_forget() -> None:
    model = model_of(env_of((2, 4), block=1))
    sampling = LearningProgress(list(KINDS), every=1, floor=0.0)
    sampling._fast |= {"cue": 5.0, "follow": 0.0}
    sampling._slow |= {"cue": 0.0, "follow": 0.0}
    sampling._seen |= {"cue": (0.0, 1.0), "follow": (-1e9, 0.0)}
    model.progress_sampling = sampling
    collected(model)
    assert np.bincount(model.env.task_of_row).tolist() == [5, 1]
    moved = model.env.task_of_row != np.repeat([0, 1], [2, 4])
    assert model._last_episode_starts[moved].all()
    model.train()
    model.learn(3 * 96)
    played = model.rollout_buffer.observations[::16, 0].astype(int)  # by environment
    expected = [list(GAMMAS.values())[index] for index in played]
    assert model.rollout_buffer.gamma.tolist() == pytest.approx(expected)


def test_it_is_built_saved_and_loaded_like_any_other(tmp_path: Path) -> None:
    env = env_of()
    model: Any = build_model(
        "recurrent_ppo",
        MultiTaskLstmPolicy,
        env,
        policy_kwargs={"tasks": list(env.tasks), "lstm_hidden_size": 8},
        hyperparameters={"n_steps": 16, "batch_size": 32},
        seed=0,
        device="cpu",
        kind=MultiTaskRecurrentPPO,
    )
    model.learn(64).save(tmp_path / "many.zip")
    loaded = MultiTaskRecurrentPPO.load(tmp_path / "many.zip", env=env_of())
    for name, weight in weights(model).items():
        assert torch.equal(weights(loaded)[name], weight), name
    loaded.learn(64)
    assert isinstance(loaded.rollout_buffer, TaskSequences)


def success(model: Any, episodes: int = 200) -> float:
    """Share of right answers of the best actions."""
    env = make_vec_env(partial(Cue), 1, seed=100)
    seen, state, begins, right = env.reset(), None, np.array([True]), 0.0
    recurrent = isinstance(model, MultiTaskRecurrentPPO)
    for _ in range(4 * episodes):
        packed = model.policy.packing.observations(0, seen)
        chosen, state = model.predict(packed, state, begins, deterministic=True)
        seen, reward, begins, _ = env.step(model.policy.packing.actions(0, chosen))
        right += float(reward[0])
    assert (state is not None) == recurrent
    return right / episodes


def test_memory_solves_what_needs_it() -> None:
    torch.manual_seed(0)
    settings = {"n_steps": 64, "batch_size": 256, "n_epochs": 10, "ent_coef": 0.01}
    shape = {"width": 16, "trunk_kwargs": {"sizes": [16]}, "lstm_hidden_size": 16}
    remembering = model_of(env_of((8, 8)), policy_kwargs=shape, **settings).learn(7_168)
    env = env_of((8, 8))
    forgetting = MultiTaskPPO(
        MultiTaskPolicy, env, seed=5, device="cpu", learning_rate=3e-3, **settings,
        policy_kwargs={"tasks": list(env.tasks), "width": 16, "trunk_kwargs": {"sizes": [16]}},
    ).learn(7_168)  # fmt: skip
    assert success(remembering) > 0.9
    assert 0.35 < success(forgetting) < 0.65
    # The other task, which needs none, is learned beside it by both: random actions pay -400.
    for model in (remembering, forgetting):
        assert np.mean(model._returns["follow"]) > -150
