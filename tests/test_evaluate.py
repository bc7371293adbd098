"""Evaluation: the same episodes for everyone, and training goes on as if nothing had happened."""

import csv
import random
from copy import deepcopy

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import rltransfer as rlt
from rltransfer import registry, vectorizing
from rltransfer.agents import Agent, Card
from rltransfer.agents.normalization import Normalization, RunningStats
from rltransfer.callbacks import Evaluate, Progress
from rltransfer.errors import BadArgument, BadEnvironment, SpaceMismatch, UnknownName
from rltransfer.evaluate import HELD_OUT_SEED, Evaluation, Evaluator, evaluate, random_score
from rltransfer.evaluation.episodes import AtOnce, InTurn
from rltransfer.vec import make_vec, normalization_of, normalize


class Walk(gym.Env):
    """Walks on a line until it falls off; episodes have different lengths.

    When ``rude``, the noise comes from the global streams of numpy and Python.
    """

    def __init__(self, kind="dict", rude=False, fault="none"):
        box = spaces.Box(-20, 20, (2,), np.float32)
        self.kind, self.rude, self.fault = kind, rude, fault
        self.observation_space = {
            "box": box,
            "dict": spaces.Dict({"place": box, "side": spaces.Discrete(2)}),
            "text": spaces.Dict({"place": box, "mission": spaces.Text(9)}),
        }[kind]
        self.action_space = spaces.Discrete(3)
        self.starts, self.own_seeds = [], []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.own_seeds.append(seed)
        self.place, self.steps = self.np_random.uniform(-5, 5), 0
        self.starts.append(self.place)
        return self._observe(), {}

    def step(self, action):
        noise = np.random.normal() + random.gauss() if self.rude else self.np_random.normal()
        self.steps += 1
        self.place += float(action) - 1 + noise
        fails = self.fault != "none" and self.steps == 4
        reward = np.nan if fails and self.fault == "reward" else 1.0 - abs(self.place) / 10
        if fails and self.fault == "observation":
            self.place = np.inf
        return self._observe(), reward, abs(self.place) > 9, False, {}

    def action_masks(self):
        return np.array([self.place > -8, True, self.place < 8])

    def _observe(self):
        place = np.array([self.place, self.steps / 10], np.float32)
        if self.kind == "box":
            return place
        if self.kind == "text":
            return {"place": place, "mission": "go"}
        return {"place": place, "side": int(self.place > 0)}


class Endless(Walk):
    """No time limit: the masks keep it on the line."""

    def __init__(self):
        super().__init__(kind="box")

    def step(self, action):
        self.place = 0.0
        return self._observe(), 1.0, False, False, {}


class OwnLimit(Endless):
    """Counts its steps itself, as MiniGrid does."""

    max_steps = 7

    def step(self, action):
        self.steps += 1
        return self._observe(), 1.0, False, self.steps >= self.max_steps, {}


class Picture(gym.Env):
    observation_space = spaces.Box(0, 255, (36, 36, 1), np.uint8)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._observe(), {}

    def step(self, action):
        return self._observe(), float(action), False, False, {}

    def _observe(self):
        return self.np_random.integers(0, 256, (36, 36, 1), dtype=np.uint8)


TASKS = {
    "ev/Walk-v0": (Walk, 30, {}),
    "ev/Box-v0": (Walk, 30, {"kind": "box"}),
    "ev/Rude-v0": (Walk, 30, {"kind": "box", "rude": True}),
    "ev/Text-v0": (Walk, 30, {"kind": "text"}),
    "ev/NanReward-v0": (Walk, 30, {"kind": "box", "fault": "reward"}),
    "ev/InfObservation-v0": (Walk, 30, {"kind": "dict", "fault": "observation"}),
    "ev/Endless-v0": (Endless, None, {}),
    "ev/OwnLimit-v0": (OwnLimit, None, {}),
    "ev/Picture-v0": (Picture, 5, {}),
}


@pytest.fixture(autouse=True)
def _own_registries(monkeypatch):
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))
    monkeypatch.setattr(gym, "registry", gym.envs.registration.registry)
    monkeypatch.setattr(registry, "_tasks", dict(registry._tasks))
    for name, (kind, limit, kwargs) in TASKS.items():
        gym.register(name, entry_point=kind, max_episode_steps=limit, kwargs=kwargs)


class Noisy(BaseFeaturesExtractor):
    """Behaves otherwise in training mode, and remembers what it saw there."""

    def __init__(self, space):
        super().__init__(space, 8)
        size = spaces.flatdim(space)
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(size, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.3)
        )

    def forward(self, observations):
        return self.layers(observations)


ROLLOUT = {"n_steps": 16, "batch_size": 16, "n_epochs": 2, "seed": 0, "device": "cpu"}


def vec(task, normalized=False):
    venv = make_vec(task, 2, seed=0)
    spec = Normalization(obs=True, reward=True) if normalized else None
    return normalize(venv, spec, training=True)


def decisive(model):
    """Make what an untrained policy remembers matter for what it does."""
    model.policy.action_net.weight.data *= 30
    return model


MODELS = {
    "discrete": lambda: PPO("MlpPolicy", vec("CartPole-v1"), **ROLLOUT),
    "box, normalized": lambda: PPO("MlpPolicy", vec("Pendulum-v1", True), **ROLLOUT),
    "gsde": lambda: PPO(
        "MlpPolicy", vec("Pendulum-v1", True), use_sde=True, sde_sample_freq=4, **ROLLOUT
    ),
    "gsde, one noise a rollout": lambda: PPO(
        "MlpPolicy", vec("Pendulum-v1"), use_sde=True, **ROLLOUT
    ),
    "dict, normalized": lambda: PPO(
        "MultiInputPolicy",
        normalize(
            make_vec("ev/Walk-v0", 2, seed=0), Normalization(obs=True, reward=False), training=True
        ),
        **ROLLOUT,
    ),
    "image": lambda: PPO("CnnPolicy", vec("ev/Picture-v0"), **ROLLOUT),
    "batch norm, dropout": lambda: PPO(
        "MlpPolicy",
        vec("CartPole-v1"),
        policy_kwargs={"features_extractor_class": Noisy},
        **ROLLOUT,
    ),
    "rude environment": lambda: PPO("MlpPolicy", vec("ev/Rude-v0"), **ROLLOUT),
    "recurrent": lambda: decisive(
        RecurrentPPO(
            "MlpLstmPolicy", vec("Pendulum-v1"), policy_kwargs={"lstm_hidden_size": 16}, **ROLLOUT
        )
    ),
    "maskable": lambda: MaskablePPO("MultiInputPolicy", vec("ev/Walk-v0"), **ROLLOUT),
}


def one_by_one(model, task, episodes):
    """Play the held-out episodes as in the documentation of Gymnasium, one after the other."""
    normalizer = model.get_vec_normalize_env()
    returns, lengths = [], []
    for episode in range(episodes):
        env = gym.make(task)
        observation, _ = env.reset(seed=HELD_OUT_SEED + episode)
        state, start, rewards, done = None, np.array([True]), [], False
        while not done:
            seen = normalizer.normalize_obs(observation) if normalizer else observation
            masks = {}
            if isinstance(model, MaskablePPO):
                masks["action_masks"] = env.unwrapped.action_masks()
            action, state = model.predict(
                seen, state=state, episode_start=start, deterministic=True, **masks
            )
            observation, reward, terminated, truncated, _ = env.step(action)
            rewards.append(float(reward))
            start, done = np.array([False]), terminated or truncated
        returns.append(sum(rewards))
        lengths.append(len(rewards))
    return np.array(returns), np.array(lengths)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "rude environment"])
def test_it_is_the_plain_loop_in_one_batch(name):
    model = MODELS[name]().learn(64)
    task = model.get_env().get_attr("spec")[0].id
    result = evaluate(model, task, episodes=6)
    returns, lengths = one_by_one(model, task, 6)
    np.testing.assert_array_equal(result.lengths, lengths)
    # A batch of six rounds otherwise than a batch of one.
    np.testing.assert_allclose(result.returns, returns, rtol=1e-4)
    assert (result.task, result.seed, result.deterministic) == (task, HELD_OUT_SEED, True)
    assert result.episodes == 6 and result.steps == lengths.sum()


class Interruption(BaseCallback):
    """Evaluates in the middle of rollouts, where noise and recurrent states are in use."""

    def __init__(self, task, every=9):
        super().__init__()
        self.task, self.every, self.count = task, every, 0

    def _on_step(self):
        if self.n_calls % self.every == 0:
            for deterministic in (True, False):
                evaluate(self.model, self.task, episodes=2, deterministic=deterministic)
            self.count += 1
        return True


def fingerprint(model):
    """Everything that the rest of training depends on."""
    parts = {f"weight {key}": value for key, value in model.policy.state_dict().items()}
    for group in model.policy.optimizer.state_dict()["state"].values():
        parts |= {f"adam {len(parts)} {key}": value for key, value in group.items()}
    statistics = normalization_of(model)
    if statistics is not None:
        stats = statistics.obs_stats
        for key, one in (stats if isinstance(stats, dict) else {"": stats}).items():
            parts |= {f"mean {key}": one.mean, f"var {key}": one.var, f"count {key}": one.count}
        parts["returns"] = model.get_vec_normalize_env().ret_rms.var
    parts["torch"] = torch.get_rng_state()
    parts["numpy"] = np.random.get_state()[1]
    parts["python"] = random.getstate()[1]
    last = model._last_obs
    parts |= {"last": last} if not isinstance(last, dict) else {f"last {k}": last[k] for k in last}
    return {
        key: value.numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
        for key, value in parts.items()
    }


@pytest.mark.parametrize("name", MODELS)
def test_training_goes_on_as_without_evaluation(name):
    plain = MODELS[name]().learn(96)
    model = MODELS[name]()
    task = model.get_env().get_attr("spec")[0].id
    interruption, curve = Interruption(task), Evaluate(task, points=3, episodes=2)
    model.learn(96, callback=[interruption, curve])
    assert interruption.count == 5 and len(curve.curve.steps) == 4
    expected, got = fingerprint(plain), fingerprint(model)
    assert expected.keys() == got.keys()
    for key in expected:
        np.testing.assert_array_equal(got[key], expected[key], err_msg=key)
    modes = [module.training for module in plain.policy.modules()]
    assert [module.training for module in model.policy.modules()] == modes


def test_modes_are_restored_one_by_one():
    model = MODELS["batch norm, dropout"]()
    model.policy.train(True)
    model.policy.features_extractor.layers[1].eval()
    modes = [module.training for module in model.policy.modules()]
    evaluate(model, "CartPole-v1", episodes=2)
    assert [module.training for module in model.policy.modules()] == modes


@pytest.mark.parametrize("name", ["discrete", "gsde", "maskable", "recurrent", "rude environment"])
def test_sampled_evaluation_is_reproducible(name):
    model = MODELS[name]()
    first = evaluate(model, episodes=4, deterministic=False)
    torch.manual_seed(99)
    np.random.seed(99)
    again = evaluate(model, episodes=4, deterministic=False)
    np.testing.assert_array_equal(first.returns, again.returns)
    other = evaluate(model, episodes=4, deterministic=False, seed=HELD_OUT_SEED + 50)
    assert not np.array_equal(first.returns, other.returns)
    assert not first.deterministic


@pytest.mark.parametrize(("name", "times"), [("gsde", 50), ("gsde, one noise a rollout", 1)])
def test_gsde_explores_as_it_does_in_training(name, times, monkeypatch):
    model, calls = MODELS[name](), []
    reset_noise = model.policy.reset_noise

    def counted(rows):
        calls.append(rows)
        reset_noise(rows)

    monkeypatch.setattr(model.policy, "reset_noise", counted)
    likely = evaluate(model, episodes=3)
    assert calls == []
    sampled = evaluate(model, episodes=3, deterministic=False)
    # Episodes have 200 steps; the noise is new every 4, or never within an episode.
    assert calls == [3] * times
    assert np.abs(likely.returns - sampled.returns).min() > 1e-3


def test_episodes_start_the_same_whoever_acts_and_whenever():
    with Evaluator("ev/Box-v0", episodes=3) as evaluator:
        envs = [env.unwrapped for env in evaluator._envs]
        chance = evaluator.random()
        evaluator.run(MODELS["rude environment"]())
        np.testing.assert_array_equal(evaluator.random().returns, chance.returns)
    for row, env in enumerate(envs):
        assert env.own_seeds == [HELD_OUT_SEED + row] * 3
        assert len(set(env.starts)) == 1
    assert len({env.starts[0] for env in envs}) == 3


def test_fewer_episodes_are_the_first_ones():
    few, many = random_score("CartPole-v1", episodes=3), random_score("CartPole-v1", episodes=9)
    np.testing.assert_array_equal(many.returns[:3], few.returns)


def test_random_actions():
    result = random_score("CartPole-v1")
    # Uniformly random actions balance the pole for about 22 steps.
    assert result.episodes == 100 and 19 < result.mean < 26
    np.testing.assert_array_equal(result.returns, result.lengths)
    assert not np.array_equal(result.returns, random_score("CartPole-v1", seed=5).returns)
    assert random_score("ev/Text-v0", episodes=2).episodes == 2
    state = np.random.get_state()[1].copy()
    python_state = random.getstate()
    random_score("ev/Rude-v0", episodes=2)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    assert random.getstate() == python_state


class Guess(gym.Env):
    """Pays for an action that is its own next draw; chance is right half of the time."""

    observation_space = spaces.Discrete(2)

    def __init__(self):
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {}

    def step(self, action):
        return 0, float(action == self.np_random.integers(2)), False, False, {}


def test_random_actions_do_not_follow_the_noise_of_the_environment():
    gym.register("ev/Guess-v0", entry_point=Guess)
    result = random_score("ev/Guess-v0", episodes=20, max_steps=100)
    assert 45 < result.mean < 55


def test_an_agent_is_evaluated_with_its_normalization(tmp_path):
    model = MODELS["box, normalized"]().learn(96)
    card = Card(
        name="test", task="Pendulum-v1", steps=96, seed=0, score=None, command="", versions={},
        created="2026-01-01",
    )  # fmt: skip
    agent = Agent.from_model(model, card=card)
    expected = evaluate(model, "Pendulum-v1", episodes=3)
    np.testing.assert_array_equal(evaluate(agent, episodes=3).returns, expected.returns)
    agent.save(tmp_path / "pendulum")
    from_path = evaluate(str(tmp_path / "pendulum"), episodes=3)
    np.testing.assert_array_equal(from_path.returns, expected.returns)
    other = Normalization(
        obs=True, reward=False, obs_stats=RunningStats(mean=np.ones(3), var=np.ones(3), count=9.0)
    )
    changed = evaluate(agent, episodes=3, normalization=other)
    assert not np.array_equal(changed.returns, expected.returns)


def test_the_task_of_a_model_is_that_of_its_environments():
    spec = deepcopy(gym.spec("CartPole-v1"))
    spec.kwargs["sutton_barto_reward"] = True  # 0 for every step but the last, which costs 1.
    model = PPO("MlpPolicy", make_vec(spec, 2), **ROLLOUT)
    assert evaluate(model, episodes=2, deterministic=False).returns.tolist() == [-1.0, -1.0]
    loaded = PPO("MlpPolicy", make_vec("CartPole-v1", 2), **ROLLOUT)
    loaded.env = None
    with pytest.raises(BadArgument, match="which task"):
        evaluate(loaded)


def test_episodes_end():
    model = PPO("MlpPolicy", make_vec("ev/OwnLimit-v0", 2), **ROLLOUT)
    assert evaluate(model, "ev/OwnLimit-v0", episodes=2).lengths.tolist() == [7, 7]
    assert evaluate(model, "ev/OwnLimit-v0", episodes=2, max_steps=3).lengths.tolist() == [3, 3]
    assert evaluate(model, "ev/Endless-v0", episodes=2, max_steps=11).returns.tolist() == [11, 11]
    for call in (evaluate, lambda _, task: random_score(task)):
        with pytest.raises(BadArgument, match=r"ev/Endless-v0 has no time limit.*max_steps=1000"):
            call(model, "ev/Endless-v0")


@pytest.mark.parametrize(
    ("name", "task", "words"),
    [
        ("discrete", "Acrobot-v1", [r"observations Box\(.*\(6,\)", r"policy has Box\(.*\(4,\)"]),
        ("discrete", "ev/Walk-v0", ["observations Dict", r"policy has Box\("]),
        ("dict, normalized", "ev/Text-v0", ["observations Dict.*Text", "policy has Dict"]),
        (
            "rude environment",
            "MountainCarContinuous-v0",
            [r"actions Box", r"policy has Discrete\(3"],
        ),
    ],
)
def test_spaces_that_do_not_fit(name, task, words):
    with pytest.raises(SpaceMismatch, match=".*".join([task, *words, "adapt"])):
        evaluate(MODELS[name](), task)


def test_actions_of_another_range_do_not_fit():
    wide = deepcopy(gym.spec("Pendulum-v1"))
    wide.additional_wrappers = (
        gym.wrappers.RescaleAction.wrapper_spec(
            min_action=np.float32(-1.0), max_action=np.float32(1.0)
        ),
    )
    with pytest.raises(SpaceMismatch, match=r"actions Box\(-1\.0, 1\.0.*policy has Box\(-2\.0"):
        evaluate(MODELS["box, normalized"](), wide)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"episodes": 0}, "episodes is 0"),
        ({"episodes": 2.0}, "episodes is 2.0"),
        ({"seed": -1}, "seed is -1"),
        ({"max_steps": 0}, "max_steps is 0"),
    ],
)
def test_arguments_outside_their_range(arguments, words):
    with pytest.raises(BadArgument, match=words):
        evaluate(MODELS["discrete"](), "CartPole-v1", **arguments)


def test_what_cannot_be_evaluated():
    with pytest.raises(BadArgument, match="function cannot be evaluated"):
        evaluate(lambda observation: 0, "CartPole-v1")
    with pytest.raises(UnknownName, match="no-such-agent"):
        evaluate("no-such-agent", "CartPole-v1")
    with pytest.raises(UnknownName, match="CartPole-v1"):
        evaluate(MODELS["discrete"](), "CartPol-v1")


def test_masks_are_needed_by_a_maskable_policy():
    model = MaskablePPO("MlpPolicy", make_vec("ev/Box-v0", 2), **ROLLOUT)
    assert evaluate(model, "ev/Box-v0", episodes=2).episodes == 2
    maskless = PPO("MlpPolicy", make_vec("CartPole-v1", 2), **ROLLOUT)
    model = MaskablePPO("MlpPolicy", maskless.get_env(), **ROLLOUT)
    with pytest.raises(BadEnvironment, match=r"CartPole-v1 has no action_masks\(\).*ActionMasker"):
        evaluate(model, "CartPole-v1")


def test_masks_are_obeyed():
    model = MODELS["maskable"]()
    given = []
    step = Walk.step

    def watched(self, action):
        given.append(bool(self.action_masks()[action]))
        return step(self, action)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Walk, "step", watched)
        evaluate(model, "ev/Walk-v0", episodes=8, deterministic=False)
    assert len(given) > 50 and all(given)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("ev/NanReward-v0", "episode|environment 0, at step 4 after action .*the reward is nan"),
        ("ev/InfObservation-v0", r"observation\[0\] part 'place' is inf"),
    ],
)
def test_environments_that_break(task, words):
    with pytest.raises(BadEnvironment, match=words):
        random_score(task, episodes=2)
    model = PPO("MultiInputPolicy" if "Inf" in task else "MlpPolicy", make_vec(task, 2), **ROLLOUT)
    state = torch.get_rng_state()
    model.policy.train(True)
    with pytest.raises(BadEnvironment, match=rf"{task}, environment 0, at step 4 after action"):
        evaluate(model, task, episodes=2, deterministic=False)
    # Even then nothing has changed.
    assert torch.equal(torch.get_rng_state(), state) and model.policy.training


def test_an_evaluation_describes_itself():
    result = Evaluation(
        task="CartPole-v1", returns=np.array([1.0, 2, 3, 6] * 2),
        lengths=np.array([1, 2, 3, 6] * 2), deterministic=True, seed=0,
    )  # fmt: skip
    assert (result.mean, result.steps, result.episodes) == (3.0, 24, 8)
    assert result.std == pytest.approx(2.0)
    low, high = result.ci
    assert 1.0 < low < 2.0 and 4.0 < high < 6.0
    assert str(result).startswith("CartPole-v1: 3 (95 % interval 1.")
    assert "over 8 deterministic episodes" in str(result)
    scale = registry.Task(id="CartPole-v1", random=1.0, reference=3.0)
    np.testing.assert_array_equal(result.normalized(scale), [0.0, 0.5, 1.0, 2.5] * 2)
    single = Evaluation(
        task="t", returns=np.array([5.0]), lengths=np.array([2]), deterministic=False, seed=0
    )
    assert np.isnan([single.std, *single.ci]).all()
    assert str(single) == "t: 5 over 1 stochastic episode"


def scored_pole():
    registry._tasks["CartPole-v1"] = registry.Task(id="CartPole-v1", random=20.0, reference=500.0)


def test_the_curve_begins_before_any_update(tmp_path):
    scored_pole()
    untrained = evaluate(MODELS["discrete"](), "CartPole-v1", episodes=3)
    model, callback = MODELS["discrete"](), Evaluate("CartPole-v1", points=4, episodes=3)
    model.tensorboard_log = str(tmp_path)
    model.learn(320, callback=callback)
    curve = callback.curve
    # Rollouts are 32 steps long: the marks are 80, 160, 240 and 320.
    assert curve.steps.tolist() == [0, 96, 160, 256, 320]
    assert curve.deterministic.shape == curve.stochastic.shape == (5, 3)
    np.testing.assert_array_equal(curve.deterministic[0], untrained.returns)
    final = evaluate(model, "CartPole-v1", episodes=3)
    np.testing.assert_array_equal(curve.deterministic[-1], final.returns)
    final = evaluate(model, "CartPole-v1", episodes=3, deterministic=False)
    np.testing.assert_array_equal(curve.stochastic[-1], final.returns)

    events = EventAccumulator(str(next(tmp_path.iterdir())))
    events.Reload()
    for tag, values in {
        "eval/mean_return": curve.deterministic.mean(axis=1),
        "eval/mean_return_stochastic": curve.stochastic.mean(axis=1),
        "eval/normalized_score": (curve.deterministic.mean(axis=1) - 20) / 480,
        "eval/ep_length": curve.deterministic.mean(axis=1),
    }.items():
        assert [event.step for event in events.Scalars(tag)] == curve.steps.tolist()
        np.testing.assert_allclose([e.value for e in events.Scalars(tag)], values, rtol=1e-6)
    # What training logs stays where it was without evaluation.
    assert [e.step for e in events.Scalars("train/loss")] == list(range(64, 321, 32))


def test_the_log_of_training_is_unchanged(tmp_path):
    logs = []
    for folder, callback in (("plain", None), ("curve", Evaluate("CartPole-v1", episodes=2))):
        model = MODELS["discrete"]()
        model.set_logger(configure(str(tmp_path / folder), ["csv"]))
        model.learn(160, callback=callback)
        model.logger.close()
        with open(tmp_path / folder / "progress.csv") as file:
            rows = list(csv.DictReader(file))
        names = [name for name in rows[-1] if name.startswith(("train/", "rollout/"))]
        logs.append([[row[name] for name in sorted(names)] for row in rows if row[names[0]]])
    assert len(logs[0]) >= 4 and logs[0] == logs[1]


def test_a_curve_of_a_task_without_scores(tmp_path):
    model, callback = MODELS["rude environment"](), Evaluate("ev/Box-v0", points=1, episodes=2)
    model.set_logger(configure(str(tmp_path), ["csv"]))
    model.learn(32, callback=callback)
    model.logger.close()
    assert callback.curve.steps.tolist() == [0, 32]
    assert "normalized" not in (tmp_path / "progress.csv").read_text()


class Charge(BaseCallback):
    """Steps that were spent before training, and are part of the budget."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def _on_training_start(self):
        self.model.num_timesteps += self.steps

    def _on_step(self):
        return True


def test_the_curve_begins_at_zero_when_steps_were_spent_before():
    callback = Evaluate("CartPole-v1", points=4, episodes=2)
    MODELS["discrete"]().learn(320, callback=[Charge(100), callback])
    # 100 + 32 k; the first mark, 80, has passed.
    assert callback.curve.steps.tolist() == [0, 164, 260, 324]


def test_a_second_learn_prolongs_the_curve():
    model, callback = MODELS["discrete"](), Evaluate("CartPole-v1", points=2, episodes=2)
    model.learn(64, callback=callback)
    model.learn(64, callback=callback, reset_num_timesteps=False)
    assert callback.curve.steps.tolist() == [0, 32, 64, 128]
    with pytest.raises(BadArgument, match="recorded a run up to 128 steps"):
        model.learn(64, callback=callback)


class Stop(BaseCallback):
    def _on_step(self):
        return self.n_calls < 20


def test_the_curve_of_training_that_is_cut_short():
    callback = Evaluate("CartPole-v1", points=1, episodes=2)
    MODELS["discrete"]().learn(320, callback=[callback, Stop()])
    assert callback.curve.steps.tolist() == [0, 40]


def test_bad_arguments_of_the_curve_are_refused_before_training():
    for arguments in ({"points": 0}, {"points": 2.5}, {"episodes": 0}):
        with pytest.raises(BadArgument, match=next(iter(arguments))):
            Evaluate("CartPole-v1", **arguments)
    with pytest.raises(UnknownName):
        Evaluate("CartPol-v1")
    with pytest.raises(BadArgument, match="max_steps"):
        Evaluate("ev/Endless-v0")


def test_progress():
    seen = []
    MODELS["discrete"]().learn(
        96, callback=Progress(lambda done, total: seen.append((done, total)))
    )
    assert seen == [(0, 96), (32, 96), (64, 96), (96, 96)]


@pytest.mark.parametrize(
    "task", [t for t in rlt.tasks() if vectorizing.vectorized(registry.spec(t)) is not None]
)
def test_episodes_stepped_at_once_are_the_same(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for least, kind in ((4, AtOnce), (100, InTurn)):
        monkeypatch.setattr(vectorizing, "BATCH", least)
        with Evaluator(task, episodes=4, max_steps=150) as evaluator:
            assert type(evaluator._episodes) is kind
            model = PPO("MlpPolicy", registry.make(task), seed=1, device="cpu")
            runs = [evaluator.run(model, deterministic=False), evaluator.random()]
            found.append([(run.returns.tolist(), run.lengths.tolist()) for run in runs])
    assert found[0] == found[1]
