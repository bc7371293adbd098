"""Sources in the learner's training environments: who acts, what is rewarded, what is counted."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.monitor import Monitor
from transfer_cases import KINDS, adapted, source

import rltransfer as rlt
from rltransfer.agents import Agent, Card
from rltransfer.errors import BadEnvironment, RecipeError
from rltransfer.methods import JumpStart, Shaping
from rltransfer.normalizing import observation_normalizer
from rltransfer.presets import PRESETS
from rltransfer.recipe import Recipe
from rltransfer.training.guides import Guide, Guided, Horizon, ShapedVecEnv
from rltransfer.training.guides.horizon import WINDOW
from rltransfer.vec.sync import SyncVecEnv

LENGTH, LIMIT = 14, 40
CHAIN = "guide/Chain-v0"
SMALL: dict[str, Any] = {"n_envs": 4, "n_steps": 64, "batch_size": 64, "n_epochs": 4}
FRESH = PRESETS["scratch"]


class Chain(gym.Env):
    """Right (1) goes on and pays at the last place, where the episode ends; left begins anew."""

    observation_space = spaces.Box(-1, 1, (LENGTH + 1,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.place = 0
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        self.place = self.place + 1 if action == 1 else 0
        ended = self.place == LENGTH
        return self._seen(), float(ended), ended, False, {}

    def _seen(self) -> np.ndarray:
        return np.eye(LENGTH + 1, dtype=np.float32)[self.place]


@pytest.fixture(autouse=True)
def _chain() -> None:
    gym.register(CHAIN, Chain, max_episode_steps=LIMIT)


@pytest.fixture(scope="module")
def walker() -> Agent:
    """A source that goes right, and values a place by how far it is."""
    model = PPO("MlpPolicy", Monitor(Chain()), policy_kwargs={"net_arch": []}, device="cpu")
    with torch.no_grad():
        model.policy.action_net.weight.zero_()
        model.policy.action_net.bias.copy_(torch.tensor([0.0, 3.0]))
        model.policy.value_net.weight.copy_(torch.arange(LENGTH + 1.0)[None] / LENGTH)
        model.policy.value_net.bias.zero_()
    return Agent.from_model(model, card=Card(name="walker", task=CHAIN, steps=0))


def places(observations: np.ndarray) -> np.ndarray:
    return observations.argmax(axis=-1)


# -- who acts -------------------------------------------------------------------------------------


def guided(steps: int, most: int = 1000, limit: int = LIMIT) -> tuple[Guided, Guide]:
    guide = Guide(lambda seen: 1, Horizon(JumpStart(horizon=steps), steps), most)
    return Guided(Monitor(gym.wrappers.TimeLimit(Chain(), limit)), guide), guide


def test_the_source_plays_and_hands_over_its_state() -> None:
    env, guide = guided(5)
    assert places(env.reset()[0]) == 5 and guide.taken == 5
    assert places(env.step(1)[0]) == 6 and guide.taken == 5
    assert guide.charge() == 5 and guide.charge() == 0


def test_a_time_limit_counts_the_steps_of_the_source() -> None:
    env, _ = guided(5, limit=7)
    env.reset()
    assert not env.step(0)[3]
    *_, truncated, info = env.step(0)
    assert truncated and info["episode"]["l"] == 7


def test_an_episode_that_ends_while_the_source_plays_is_begun_anew_and_shorter() -> None:
    env, guide = guided(3 * LENGTH)
    assert places(env.reset()[0]) == LENGTH // 2
    assert guide.taken == LENGTH + LENGTH // 2


def test_the_source_has_its_share_of_a_rollout_and_no_more() -> None:
    env, guide = guided(5, most=8)
    assert [int(places(env.reset()[0])) for _ in range(3)] == [5, 5, 0]
    guide.charge()
    assert places(env.reset()[0]) == 5


class Watch(BaseCallback):
    """Keeps what the learner's rollouts held."""

    def __init__(self) -> None:
        super().__init__()
        self.firsts: list[int] = []
        self.counts: list[tuple[int, int]] = []
        self.learner = 0

    def _on_step(self) -> bool:
        self.learner += self.training_env.num_envs
        return True

    def _on_rollout_end(self) -> None:
        buffer: Any = self.model.rollout_buffer  # type: ignore[attr-defined]
        starts = buffer.episode_starts.astype(bool)
        self.firsts += places(buffer.observations[starts]).tolist()
        # Each state follows from the one before by the learner's action, but for new episodes.
        seen, actions = places(buffer.observations), buffer.actions[..., 0]
        expected = np.where(actions[:-1] == 1, seen[:-1] + 1, 0)
        assert (seen[1:] == expected)[~starts[1:]].all()
        guide = self.model.transfer.guide  # type: ignore[attr-defined]
        self.counts.append((guide.horizon.steps, guide.taken))


@pytest.mark.parametrize("mode", ["curriculum", "random"])
def test_rollouts_hold_the_learner_alone_and_all_steps_count(walker: Agent, mode: Any) -> None:
    stages = {"stages": 5} if mode == "curriculum" else {}
    method = JumpStart(horizon=10, mode=mode, until=0.6, **stages)
    model = rlt.adapt(walker, CHAIN, FRESH.but(guide=method), seed=0, **SMALL)
    watch = Watch()
    model.learn(6000, callback=watch)
    taken = sum(taken for _, taken in watch.counts)
    assert taken > 300 and model.num_timesteps == watch.learner + taken >= 6000
    horizons = [steps for steps, _ in watch.counts]
    assert horizons[0] == 10 and horizons[-1] == 0 and horizons == sorted(horizons, reverse=True)
    assert set(watch.firsts) <= ({10, 8, 6, 4, 2, 0} if mode == "curriculum" else set(range(11)))
    assert {10, 0} <= set(watch.firsts) or mode == "random"
    assert watch.counts[-1][1] == 0, "the source played to the end"


def test_the_source_keeps_to_the_budget_and_schedules_to_their_end(walker: Agent) -> None:
    method = JumpStart(horizon=10, until=1, share=0.8)
    model = rlt.adapt(
        walker, CHAIN, FRESH.but(guide=method), seed=0, **{**SMALL, "learning_rate": lambda p: p}
    )
    rollout = model.n_envs * model.n_steps
    for rollouts in (8, 1):
        model.learn(rollouts * rollout)
        assert rollouts * rollout <= model.num_timesteps < (rollouts + 1) * rollout
    assert model.logger.name_to_value["train/learning_rate"] >= 0


class Faulty(gym.Wrapper):
    """Gives a number that is none at its fifth step, as an observation or as a reward."""

    def __init__(self, env: gym.Env, where: str) -> None:
        super().__init__(env)
        self.where, self.count = where, 0

    def reset(self, **kwargs: Any) -> Any:
        self.count = 0
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> Any:
        observation, reward, *rest = self.env.step(action)
        self.count += 1
        if self.count == 5:
            bad = observation * math.nan, math.nan
            observation, reward = (
                (bad[0], reward) if self.where == "seen" else (observation, bad[1])
            )
        return observation, reward, *rest


@pytest.mark.parametrize(
    ("where", "words"), [("seen", "observation.* nan"), ("paid", "reward is nan")]
)
@pytest.mark.parametrize("horizon", [9, None])
def test_numbers_that_are_none_are_found_while_the_source_plays(
    where: str, words: str, horizon: int | None
) -> None:
    def make(**kwargs: Any) -> gym.Env:
        return Faulty(gym.make("CartPole-v1", **kwargs).unwrapped, where)

    gym.register("my/Faulty-v0", make, max_episode_steps=50)
    recipe = Recipe(guide=JumpStart(horizon=horizon))
    with pytest.raises(
        BadEnvironment, match=f"my/Faulty-v0, environment 0, at step 5 after .*{words}"
    ):
        rlt.adapt(
            "cartpole", "my/Faulty-v0", recipe, seed=0, n_steps=64, n_envs=2, batch_size=64
        ).learn(512)


def test_a_learner_that_is_guided_finds_rewards_that_it_does_not_find_alone(walker: Agent) -> None:
    scores = {}
    for name, recipe in {"alone": FRESH, "guided": FRESH.but(guide=JumpStart(until=0.8))}.items():
        model = rlt.adapt(walker, CHAIN, recipe, seed=1, learning_rate=3e-3, **SMALL)
        model.learn(12_000)
        scores[name] = rlt.evaluate(model, CHAIN, episodes=5).mean
    assert scores == {"alone": 0.0, "guided": 1.0}


def test_the_length_of_its_episodes_is_measured_and_counts(walker: Agent) -> None:
    model = rlt.adapt(walker, CHAIN, Recipe(guide=JumpStart()), seed=0, **SMALL)
    assert model.transfer is not None and model.transfer.guide is not None
    assert model.transfer.guide.horizon.steps == LENGTH
    assert model.transfer.spent == SMALL["n_envs"] * SMALL["n_steps"]


# -- when it hands over ---------------------------------------------------------------------------


def test_the_curriculum_goes_on_by_returns_and_by_schedule() -> None:
    horizon = Horizon(JumpStart(stages=4, tolerance=0.1, until=0.8), 8)
    assert horizon.steps == 8

    def play(episode_return: float) -> None:
        for _ in range(WINDOW):
            horizon.ended(horizon.steps, episode_return)

    play(-10)
    horizon.advance(0.01)
    assert horizon.steps == 6, "the first returns are the best so far"
    play(-11.1)
    horizon.advance(0.02)
    assert horizon.steps == 6, "a tenth may be missing, and this is more"
    play(-10.9)
    horizon.advance(0.03)
    assert horizon.steps == 4
    play(-100)
    horizon.advance(0.61)
    assert horizon.steps == 2, "three quarters of the time are over"
    horizon.advance(0.8)
    assert horizon.steps == 0


def test_episodes_of_an_earlier_stage_do_not_count() -> None:
    horizon = Horizon(JumpStart(stages=2), 8)
    for _ in range(WINDOW):
        horizon.ended(4, 1.0)
    horizon.advance(0.0)
    assert horizon.stage == 0


def test_its_state_comes_back() -> None:
    one, other = (Horizon(JumpStart(), 10) for _ in range(2))
    for _ in range(WINDOW):
        one.ended(10, 3.0)
    one.advance(0.0)
    one.ended(9, 2.0)
    other.restore(one.state())
    assert other.stage == 1 and other.state()["returns"].tolist() == [2.0]
    assert other.state()["best"] == 3.0


# -- what is rewarded -----------------------------------------------------------------------------


def rewards_of(actions: list[int], limit: int, gamma: float) -> tuple[list[float], Any]:
    env = SyncVecEnv([lambda: Monitor(gym.wrappers.TimeLimit(Chain(), limit))])
    venv = ShapedVecEnv(env, lambda seen: places(seen).astype(np.float32) + 1, gamma)
    venv.reset()
    rewards, infos = [], []
    for action in actions:
        _, reward, _, info = venv.step(np.array([action]))
        rewards.append(float(reward[0]))
        infos.append(info[0])
    return rewards, infos


def test_shaped_rewards_by_hand() -> None:
    rewards, _ = rewards_of([1, 1, 0], LIMIT, 0.9)
    assert rewards == pytest.approx([0.9 * 2 - 1, 0.9 * 3 - 2, 0.9 * 1 - 3], abs=1e-6)


def test_an_end_is_worth_nothing_and_a_time_limit_what_was_reached() -> None:
    gamma = 0.9
    ended, infos = rewards_of([1] * (LENGTH + 1), LIMIT, gamma)
    discounted = sum(gamma**t * reward for t, reward in enumerate(ended[:LENGTH]))
    # All potentials cancel but the first, so that no policy is preferred to another by them.
    assert discounted == pytest.approx(gamma ** (LENGTH - 1) * 1.0 - 1.0, abs=1e-5)
    assert infos[LENGTH - 1]["episode"]["r"] == 1.0, "the log shows the task's own"
    assert ended[LENGTH] == pytest.approx(gamma * 2 - 1, abs=1e-6), "a new episode begins"
    cut, _ = rewards_of([1, 1], 2, gamma)
    assert cut[1] == pytest.approx(gamma * 3 - 2, abs=1e-6)


def test_shaping_leads_to_rewards_that_are_not_found_alone(walker: Agent) -> None:
    shaped = FRESH.but(guide=Shaping())
    model = rlt.adapt(walker, CHAIN, shaped, seed=1, learning_rate=3e-3, **SMALL)
    model.learn(12_000)
    assert rlt.evaluate(model, CHAIN, episodes=5).mean == 1.0  # as that of the task


def test_the_size_of_what_is_added_is_logged(walker: Agent) -> None:
    sizes: list[Any] = []

    class Keep(KVWriter):
        def write(self, key_values: Any, key_excluded: Any, step: int = 0) -> None:
            sizes.append(key_values["transfer/shaping/added"])

    for scale in (1.0, 3.0):
        shaped = FRESH.but(guide=Shaping(scale=scale))
        model = rlt.adapt(walker, CHAIN, shaped, seed=0, **SMALL)
        model.set_logger(Logger(None, [Keep()]))
        model.learn(256)
    assert sizes[1] == pytest.approx(3 * sizes[0], rel=1e-3) and sizes[0] > 0


def test_values_of_normalized_rewards_are_put_back_into_the_tasks_unit() -> None:
    agent, task = source("normalized"), KINDS["normalized"].task()
    stats = agent.normalization.return_stats
    with adapted(agent, task, Recipe(guide=Shaping(scale=3))) as model:
        shaped: Any = model.get_env().venv
        assert isinstance(shaped, ShapedVecEnv), "it has to see rewards before they are normalized"
        raw = shaped.reset()
        found = shaped._potential(raw)
    seen = observation_normalizer(agent.observation_space, agent.normalization)(raw)
    policy = agent.build().policy
    values = policy.predict_values(policy.obs_to_tensor(seen)[0]).detach().numpy()[:, 0]
    assert found == pytest.approx(3 * values * np.sqrt(stats.var + 1e-8), rel=1e-4)


@pytest.mark.parametrize(
    "kind", ["discrete", "box", "multidiscrete", "multibinary", "dict", "image", "normalized"]
)
@pytest.mark.parametrize("method", [JumpStart(horizon=3), Shaping()])
def test_all_kinds_of_spaces_are_guided(kind: str, method: Any) -> None:
    with adapted(kind, KINDS[kind].task(flip=True), Recipe(guide=method)) as model:
        model.learn(64)
        assert all(torch.isfinite(p).all() for p in model.policy.parameters())


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("vec", ["native", "subproc", "envpool"])
def test_environments_that_are_not_stepped_in_turn_are_refused(vec: Any) -> None:
    with pytest.raises(RecipeError, match="vec='sync'"):
        rlt.adapt("cartpole", "CartPole-v1", Recipe(guide=JumpStart()), vec=vec, **SMALL)


@pytest.mark.parametrize("kind", ["recurrent", "maskable"])
@pytest.mark.parametrize("method", [JumpStart(), Shaping()])
def test_learners_with_memory_or_masks_are_refused(kind: str, method: Any) -> None:
    with pytest.raises(RecipeError, match="drop it"):
        rlt.adapt(source(kind), KINDS[kind].task(flip=True), Recipe(guide=method))


def test_a_critic_that_is_right_about_other_rewards_is_refused_and_refitted(walker: Agent) -> None:
    with pytest.raises(RecipeError, match="refit"):
        rlt.adapt(walker, CHAIN, Recipe(guide=Shaping(), critic="keep"), **SMALL)
    model = rlt.adapt(walker, CHAIN, Recipe(guide=Shaping()), **SMALL)
    assert model.transfer is not None and model.transfer.refit is not None


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (JumpStart, {"horizon": 0}),
        (JumpStart, {"stages": 0}),
        (JumpStart, {"mode": "fast"}),
        (JumpStart, {"tolerance": 1}),
        (JumpStart, {"until": 0}),
        (JumpStart, {"share": 1}),
        (Shaping, {"scale": 0}),
    ],
)
def test_values_out_of_range_are_refused(kind: Any, given: Any) -> None:
    with pytest.raises(RecipeError, match="expected"):
        kind(**given)
