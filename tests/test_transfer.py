from __future__ import annotations

import copy
import dataclasses
import json
import multiprocessing
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecNormalize
from stranger import WITHOUT_RLTRANSFER
from transfer_cases import (
    KINDS,
    LENGTH,
    SMALL,
    Forgetful,
    Named,
    Normed,
    Toy,
    adapted,
    moments,
    outputs,
    same,
    samples,
    source,
    tensors,
    toy,
    train,
)

import rltransfer as rlt
from rltransfer.agents import Agent
from rltransfer.errors import (
    BadArgument,
    BadEnvironment,
    NotWritable,
    RecipeError,
    SpaceMismatch,
    UnknownName,
)
from rltransfer.evaluate import evaluate
from rltransfer.recipe import Recipe
from rltransfer.statistics import FixedStats
from rltransfer.vec import make_vec, normalize


@pytest.fixture(autouse=True)
def _no_open_environments() -> Iterator[None]:
    """Every test closes what it made, also where it expects an error."""
    before = set(Toy.open)
    yield
    assert Toy.open == before, "environments were left open"


# -- what comes out is ordinary SB3 ---------------------------------------------------------------

STRANGER = (
    WITHOUT_RLTRANSFER
    + """
class Masked(gym.Wrapper):
    def action_masks(self):
        return np.array([True, True])

def make(case):
    if case == "continuous":
        return gym.make("Pendulum-v1")
    env = gym.make("CartPole-v1")
    return Masked(env) if case == "maskable" else env

for case in cases:
    kind = {"maskable": MaskablePPO, "recurrent": RecurrentPPO}.get(case, PPO)
    expected = np.load(f"{folder}/{case}.npz")
    venv = DummyVecEnv([lambda: make(case)] * 2)
    if case == "continuous":
        venv = VecNormalize.load(f"{folder}/{case}.vecnormalize.pkl", venv)
        assert np.array_equal(venv.normalize_obs(expected["raw"]), expected["observations"])
        assert venv.training
    model = kind.load(f"{folder}/{case}.zip", env=venv, device="cpu")
    state = None
    for index, observation in enumerate(expected["observations"]):
        action, state = model.predict(observation, state, deterministic=True)
        assert np.array_equal(action, expected["actions"][index]), (case, index)
    before = {name: value.clone() for name, value in model.policy.state_dict().items()}
    assert all(p.requires_grad for p in model.policy.parameters())
    model.learn(64)
    after = model.policy.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before), case
    model.learn(64, reset_num_timesteps=False)
    model.save(f"{folder}/{case}-more")

assert not [name for name in sys.modules if name.startswith("rltransfer")]
print("strangers are happy with", *cases)
"""
)


class Masked(gym.Wrapper):
    def action_masks(self) -> np.ndarray:
        return np.array([True, True])


def _masked_cartpole(**kwargs: Any) -> gym.Env:
    return Masked(gym.make("CartPole-v1", **kwargs))


def _stranger_case(case: str) -> tuple[str, dict[str, Any], Recipe]:
    """Task, options of the source, recipe."""
    if case == "continuous":
        options = {"policy_kwargs": SMALL, "normalize_obs": True, "normalize_reward": True}
        return "Pendulum-v1", options, Recipe(lr_decay=0.5, obs_stats="freeze")
    if case == "maskable":
        if "toy/Masked-v0" not in gym.registry:
            gym.register("toy/Masked-v0", _masked_cartpole)
        options = {"algorithm": "maskable_ppo", "policy_kwargs": SMALL}
        return "toy/Masked-v0", options, Recipe(freeze=["actor.0"])
    if case == "recurrent":
        kwargs = {"net_arch": [8], "lstm_hidden_size": 6}
        options = {"algorithm": "recurrent_ppo", "policy_kwargs": kwargs}
        return "CartPole-v1", options, Recipe(freeze=["trunk"], thaw={"*.lstm": 0.4})
    return "CartPole-v1", {"policy_kwargs": SMALL}, rlt.recipes["discriminative"]


def test_a_stranger_opens_the_zip_and_trains_on(tmp_path: Path) -> None:
    """In a process where rltransfer cannot be imported, with warnings as errors."""
    cases = ["plain", "continuous", "maskable", "recurrent"]
    for case in cases:
        task, options, recipe = _stranger_case(case)
        with adapted(train(task, 64, **options), task, recipe) as model:
            model.learn(64)
            model.save(tmp_path / f"{case}.zip")
            _note_predictions(model, tmp_path / f"{case}.npz")
    command = [sys.executable, "-c", STRANGER, str(tmp_path), *cases]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert "strangers are happy with plain continuous maskable recurrent" in done.stdout


def _note_predictions(model: Any, path: Path) -> None:
    raw = samples(model.observation_space, 10) * 1.0
    raw = np.clip(raw, -2, 2).astype(np.float32)
    normalizer = model.get_vec_normalize_env()
    seen = normalizer.normalize_obs(raw) if normalizer else raw
    state, actions = None, []
    for observation in seen:
        action, state = model.predict(observation, state, deterministic=True)
        actions.append(action)
    np.savez(path, raw=raw, observations=seen, actions=np.array(actions))


@pytest.mark.parametrize("kind", ["discrete", "image", "mixed", "gsde", "recurrent shared"])
def test_the_plain_class_loads_every_tensor_and_moment(kind: str, tmp_path: Path) -> None:
    recipe = Recipe(freeze=["critic.head"], lr_decay=0.5)
    with adapted(kind, KINDS[kind].task(), recipe) as model:
        model.learn(32)
        model.save(tmp_path / "model")
        kinds = [k for k in type(model).__mro__ if not k.__module__.startswith("rltransfer")]
        plain = kinds[0].load(tmp_path / "model.zip", device="cpu")
        assert not isinstance(plain, rlt.TransferPPO)
        assert type(plain).__name__ in ("PPO", "RecurrentPPO")
        assert same(tensors(plain), tensors(model)) == set(tensors(model))
        names = [name for name, _ in model.policy.named_parameters()]
        assert set(moments(plain, names)) == set(moments(model, names))
        assert plain.num_timesteps == 32
        assert "transfer" not in plain.__dict__


def test_save_adds_zip_and_refuses_folders_that_do_not_exist(tmp_path: Path) -> None:
    with adapted("normalized", KINDS["normalized"].task()) as model:
        model.save(str(tmp_path / "name"))
        assert {path.name for path in tmp_path.iterdir()} == {"name.zip", "name.vecnormalize.pkl"}
        with pytest.raises(NotWritable):
            model.save(tmp_path / "missing" / "name.zip")
        assert not (tmp_path / "missing").exists()


def test_a_model_loaded_from_a_zip_trains_without_a_transfer(tmp_path: Path) -> None:
    with adapted("discrete", toy(), "head") as model:
        model.save(tmp_path / "model.zip")
        again = rlt.TransferPPO.load(tmp_path / "model.zip", env=model.get_env(), device="cpu")
        assert again.transfer is None
        before = tensors(again)
        again.learn(32)
        assert not same(before, tensors(again)), "freezing is not in the zip: all layers train"


# -- the same twice -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["discrete", "gsde", "normalized", "batchnorm", "recurrent"])
@pytest.mark.parametrize("recipe", ["full", "scratch", "auto", Recipe(critic="refit")], ids=str)
def test_the_same_seed_gives_the_same_weights(kind: str, recipe: Any) -> None:
    results = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        np.random.seed(noise)
        with adapted(kind, KINDS[kind].task(flip=True), recipe, seed=3) as model:
            model.learn(224 if recipe == "auto" else 64)
            results.append(tensors(model))
    assert same(*results) == set(results[0])
    with adapted(kind, KINDS[kind].task(flip=True), recipe, seed=4) as model:
        model.learn(224 if recipe == "auto" else 64)
        assert same(results[0], tensors(model)) != set(results[0])


def test_processes_give_the_same_weights_as_one() -> None:
    results = []
    for vec in ("sync", "subproc"):
        with adapted("discrete", "CartPole-v1", "full", vec=vec, n_envs=1) as model:
            model.learn(32)
            results.append(tensors(model))
    assert same(*results) == set(results[0])
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("kind", ["discrete", "box", "normalized", "batchnorm"])
def test_scratch_is_plain_ppo(kind: str) -> None:
    """The control arm learns what PPO of SB3 learns with this seed, up to rounding."""
    agent, task = source(kind), KINDS[kind].task(flip=True)
    with adapted(agent, task, "scratch", seed=9) as model:
        model.learn(96)
        mine = tensors(model)
    given = {key: value for key, value in agent.hyperparameters.items() if key != "n_envs"}
    venv = normalize(make_vec(task, 2, seed=9), _fresh(agent), training=True)
    plain = PPO(
        agent.policy, venv, policy_kwargs=agent.live_policy_kwargs(), seed=9, device="cpu", **given
    ).learn(96)
    venv.close()
    theirs = tensors(plain)
    assert mine.keys() == theirs.keys()
    for name, tensor in mine.items():
        # A bias in front of BatchNorm has no gradient but rounding, which Adam scales up.
        atol = 1e-4 if kind == "batchnorm" else 1e-6
        torch.testing.assert_close(tensor, theirs[name], rtol=1e-4, atol=atol)


def _fresh(agent: Agent) -> Any:
    old = agent.normalization
    return old and dataclasses.replace(old, obs_stats=None, return_stats=None)


# -- learning goes on -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def solved() -> Agent:
    """A source that solves its task: about 8 points an episode, where chance gets 4."""
    agent = train(toy(), 6144, policy_kwargs={"net_arch": [16]}, n_steps=64, batch_size=64)
    score = evaluate(agent, toy(), episodes=20).mean
    assert score > 7.3
    return agent


def test_on_its_own_task_a_source_keeps_its_score(solved: Agent) -> None:
    before = evaluate(solved, toy(), episodes=20)
    with adapted(solved, toy()) as model:
        zero_shot = evaluate(model, toy(), episodes=20)
        assert np.array_equal(zero_shot.returns, before.returns)
        model.learn(256)
        assert evaluate(model, toy(), episodes=20).mean > before.mean - 0.5


def test_a_fine_tuned_source_beats_scratch_on_a_near_task(solved: Agent) -> None:
    target, scores = toy("v6", "d2"), {}
    for name, recipe in (("padded", Recipe(pad_inputs=True)), ("scratch", rlt.recipes["scratch"])):
        with adapted(solved, target, recipe) as model:
            model.learn(96)
            scores[name] = evaluate(model, target, episodes=20).mean
    assert scores["padded"] > scores["scratch"] + 1


def test_the_ratio_is_one_on_the_first_minibatch() -> None:
    with adapted("discrete", toy(), learning_rate=0.0) as model:
        model.learn(32)
        assert model.logger.name_to_value["train/clip_fraction"] == 0
        assert abs(model.logger.name_to_value["train/approx_kl"]) < 1e-7


# -- optimizer and statistics ---------------------------------------------------------------------


def test_moments_are_fresh_or_the_source_s_tensor_by_tensor() -> None:
    agent = source("box")
    with adapted(agent, toy("v4", "box2")) as model:
        assert not model.policy.optimizer.state
        assert model.transfer.report.notes["optimizer"] == "fresh moments"
    recipe = Recipe(optimizer="source", reset=["actor.0"], log_std="reset")
    with adapted(agent, toy("v4", "box2"), recipe) as model:
        names = [name for name, _ in model.policy.named_parameters()]
        kept = [n for n in names if n != "log_std" and "policy_net.0" not in n]
        found = moments(model, names)
        assert list(found) == kept
        for name in kept:
            for key, value in found[name].items():
                assert torch.equal(value, agent.optimizer[f"{name}/{key}"]), (name, key)
        assert model.transfer.report.notes["optimizer"] == "moments of 10 of 13 tensors copied"
        step = agent.optimizer["action_net.bias/step"].clone()
        model.learn(32)
        assert moments(model, names)["action_net.bias"]["step"] == step + 4
        assert agent.optimizer["action_net.bias/step"] == step, "the source's own is untouched"


def test_a_refitted_head_has_fresh_moments() -> None:
    recipe = Recipe(optimizer="source", critic="refit")
    with adapted("discrete", toy(), recipe) as model:
        assert "value_net.weight" not in moments(model, ["value_net.weight"])
        assert moments(model, ["action_net.weight"])


def test_moments_of_other_optimizers_are_carried() -> None:
    kwargs = {**SMALL, "optimizer_class": RMSpropTFLike, "optimizer_kwargs": {"momentum": 0.5}}
    agent = train(toy(), 32, policy_kwargs=kwargs)
    with adapted(agent, toy(), Recipe(optimizer="source", lr_decay=0.5)) as model:
        before = tensors(model)
        model.learn(32)
        assert not same(before, tensors(model))
        assert moments(model, ["action_net.bias"])["action_net.bias"]["step"] == 8


def test_moments_that_are_not_there_are_refused() -> None:
    model = source("discrete").build()
    agent = Agent.from_model(model, card=source("discrete").card, optimizer=False)
    with pytest.raises(RecipeError, match="carries no optimizer moments"):
        adapted(agent, toy(), Recipe(optimizer="source")).__enter__()


def test_observation_statistics_are_copied_with_a_capped_count() -> None:
    agent = source("normalized")
    old = agent.normalization.obs_stats
    for limit in (10.0, 1e4):
        with adapted(agent, toy("v4", "box1"), Recipe(obs_count=limit)) as model:
            stats = model.get_vec_normalize_env().obs_rms
            assert np.array_equal(stats.mean, old.mean) and np.array_equal(stats.var, old.var)
            assert stats.count == min(limit, old.count)
            model.learn(32)
            assert stats.count == pytest.approx(min(limit, old.count) + 34)
            assert not np.array_equal(stats.mean, old.mean)


def test_observation_statistics_may_be_frozen_or_reset() -> None:
    agent = source("normalized")
    old = agent.normalization.obs_stats
    with adapted(agent, toy("v4", "box1"), Recipe(obs_stats="freeze")) as model:
        venv = model.get_vec_normalize_env()
        model.learn(64)
        assert isinstance(venv.obs_rms, FixedStats)
        assert np.array_equal(venv.obs_rms.mean, old.mean) and venv.obs_rms.count == old.count
        assert venv.ret_rms.count > agent.normalization.return_stats.count, "these go on"
        words = model.transfer.report.notes["observation statistics"]
        assert words == "copied and frozen"
    with adapted(agent, toy("v4", "box1"), Recipe(obs_stats="reset")) as model:
        stats = model.get_vec_normalize_env().obs_rms
        assert not stats.mean.any() and (stats.var == 1).all() and stats.count < 1


def test_frozen_statistics_of_several_parts_stay() -> None:
    agent = train(toy("nomix", "d2"), 32, policy_kwargs=SMALL, normalize_obs=True)
    with adapted(agent, toy("nomix", "d2"), Recipe(obs_stats="freeze")) as model:
        model.learn(32)
        stats, old = model.get_vec_normalize_env().obs_rms["v"], agent.normalization.obs_stats["v"]
        assert np.array_equal(stats.mean, old.mean)


def test_the_saved_statistics_are_plain(tmp_path: Path) -> None:
    """No class of rltransfer is in the pickle, also when the statistics are frozen."""
    agent = source("normalized")
    with adapted(agent, toy("v4", "box1"), Recipe(obs_stats="freeze")) as model:
        model.save(tmp_path / "model.zip")
    content = (tmp_path / "model.vecnormalize.pkl").read_bytes()
    assert b"FixedStats" not in content and b"rltransfer.statistics" not in content


def test_a_pickle_of_frozen_statistics_needs_no_rltransfer() -> None:
    agent = source("normalized")
    with adapted(agent, toy("v4", "box1"), Recipe(obs_stats="freeze")) as model:
        fixed = model.get_vec_normalize_env().obs_rms
        content = pickle.dumps(fixed)
        assert b"rltransfer" not in content
        for plain in (pickle.loads(content), copy.deepcopy(fixed)):
            assert type(plain) is RunningMeanStd
            assert np.array_equal(plain.mean, fixed.mean) and plain.count == fixed.count
            plain.update(np.ones((3, 4)))
            assert plain.count == fixed.count + 3


def test_gamma_of_the_return_statistics_is_the_target_s() -> None:
    with adapted("normalized", toy("v4", "box1"), gamma=0.8) as model:
        assert model.get_vec_normalize_env().gamma == 0.8
        assert isinstance(model.get_env(), VecNormalize)


def test_a_source_without_normalization_gets_none() -> None:
    with adapted("discrete", toy(), Recipe(obs_stats="freeze", return_stats="copy")) as model:
        assert model.get_vec_normalize_env() is None
        assert model.transfer.report.notes["normalization"] == "none, like the source"


# -- names, options and errors --------------------------------------------------------------------


def test_a_target_may_be_an_id_a_spec_or_in_a_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
import gymnasium as gym
gym.register("mine/Pole-v0", "gymnasium.envs.classic_control:CartPoleEnv", max_episode_steps=9)
"""
    (tmp_path / "my_poles.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    agent = train("CartPole-v1", 64, policy_kwargs=SMALL)
    unregistered = gym.envs.registration.EnvSpec(
        "mine/Nowhere-v0", "gymnasium.envs.classic_control:CartPoleEnv", max_episode_steps=11
    )
    targets: list[Any] = ["my_poles:mine/Pole-v0", gym.spec(toy()), unregistered]
    names = ["my_poles:mine/Pole-v0", toy(), "mine/Nowhere-v0"]
    for target, name in zip(targets, names, strict=True):
        with adapted(agent, target, "full") as model:
            assert model.transfer.report.target == name
            model.learn(32)


def test_a_source_may_be_a_path(tmp_path: Path) -> None:
    source("discrete").save(tmp_path / "mine")
    for path in (tmp_path / "mine", str(tmp_path / "mine")):
        model = rlt.adapt(path, toy(), seed=0)
        assert same(tensors(model), dict(source("discrete").weights)) == set(tensors(model))
        model.get_env().close()


def test_a_source_with_its_own_classes_needs_them(tmp_path: Path) -> None:
    source("batchnorm").save(tmp_path / "mine")
    with pytest.raises(BadArgument, match="Normed"):
        rlt.adapt(tmp_path / "mine", toy())
    model = rlt.adapt(tmp_path / "mine", toy(), classes={"Normed": Normed})
    assert isinstance(model.policy.features_extractor, Normed)
    model.get_env().close()


def test_hyperparameters_are_the_source_s_unless_given() -> None:
    with adapted("discrete", toy(), n_steps=8, ent_coef=0.01, n_envs=4) as model:
        assert (model.n_steps, model.ent_coef, model.n_envs) == (8, 0.01, 4)
        assert (model.batch_size, model.n_epochs) == (16, 2)
        assert model.lr_schedule(1.0) == 1e-2


def test_schedules_of_the_source_start_anew() -> None:
    """A linear rate goes from its start to its end again, over the target's budget."""
    agent = train(toy(), 64, policy_kwargs=SMALL, learning_rate=LinearSchedule(1e-2, 1e-4, 1.0))
    with adapted(agent, toy()) as model:
        assert model.lr_schedule(1.0) == 1e-2
        model.learn(64)
        assert model.policy.optimizer.param_groups[0]["lr"] == pytest.approx(1e-4)


def test_gsde_gives_way_to_discrete_actions_when_asked() -> None:
    target, recipe = toy("v4", "d2"), Recipe(reset=["actor.head"])
    with pytest.raises(BadArgument, match="give use_sde=False"):
        adapted("gsde", target, recipe).__enter__()
    with adapted("gsde", target, recipe, use_sde=False) as model:
        model.learn(32)
        assert model.transfer.report.notes["left behind"] == "log_std"


def test_gsde_acts_with_the_deviations_it_was_given() -> None:
    """Not with noise that was drawn before they were copied."""
    with adapted("gsde", toy("v4", "box2"), Recipe(log_std=-50.0)) as model:
        with torch.no_grad():
            model.policy.log_std.fill_(-50.0)
        agent = Agent.from_model(model, card=source("gsde").card)
    seen = samples(model.observation_space)
    with adapted(agent, toy("v4", "box2")) as model:
        certain, _ = model.predict(seen, deterministic=True)
        sampled, _ = model.predict(seen, deterministic=False)
        assert np.allclose(certain, sampled, atol=1e-6)


def test_a_batch_size_that_no_longer_divides_is_said_by_sb3() -> None:
    with pytest.warns(UserWarning, match="mini-batch size of 16"):
        adapted("discrete", toy(), n_envs=1, n_steps=24).__enter__().get_env().close()


BAD: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("discrete", {"n_envs": 0}, BadArgument, "n_envs is 0"),
    ("discrete", {"n_envs": 1, "n_steps": 1}, BadArgument, "greater than 1"),
    ("discrete", {"batch_size": 1}, BadArgument, "greater than 1"),
    ("discrete", {"n_stepz": 16}, UnknownName, "Did you mean 'n_steps'"),
    ("discrete", {"policy_kwargs": {}}, UnknownName, "no hyperparameter is named"),
    ("discrete", {"gamma": 1.5}, BadArgument, "gamma"),
    ("discrete", {"learning_rate": -1}, BadArgument, "learning_rate"),
    ("discrete", {"use_sde": True}, BadArgument, "give use_sde=False"),
    ("discrete", {"device": "cuda:99"}, BadArgument, "device is 'cuda:99', but this machine has"),
    ("discrete", {"device": "mps"}, BadArgument, "device is 'mps'"),
    ("discrete", {"device": "gpu"}, BadArgument, "choose 'auto', 'cpu' or 'cuda'"),
    ("discrete", {"device": None}, BadArgument, "device is None"),
    ("discrete", {"seed": -1}, BadArgument, "seed is -1"),
    ("discrete", {"vec": "threads"}, BadArgument, "vec is 'threads'"),
    ("discrete", {"recipe": "fulll"}, UnknownName, "Did you mean 'full'"),
    ("discrete", {"recipe": None}, BadArgument, "recipe is None"),
    ("discrete", {"target": "CartPoel-v1"}, UnknownName, "Did you mean"),
]


@pytest.mark.parametrize(("kind", "options", "error", "message"), BAD, ids=str)
def test_bad_arguments_are_typed_and_leave_nothing_open(
    kind: str, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    given = {"target": toy(), "recipe": "full", **options}
    with pytest.raises(error, match=message) as caught:
        adapted(kind, given.pop("target"), given.pop("recipe"), **given).__enter__()
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_without_cuda_is_refused() -> None:
    with pytest.raises(BadArgument, match="'cuda', but this machine has no CUDA device"):
        adapted("discrete", toy(), device="cuda").__enter__()


def test_no_process_stays_when_a_recipe_does_not_fit() -> None:
    with pytest.raises(UnknownName, match="'nothing'"):
        options = {"vec": "subproc", "n_envs": 1}
        adapted("discrete", "CartPole-v1", Recipe(reset=["nothing"]), **options).__enter__()
    assert not multiprocessing.active_children()


LEAKS: list[tuple[str, Any, type[Exception]]] = [
    ("d2", Recipe(freeze=["nothing"]), UnknownName),
    ("d2", Recipe(inputs=[0]), RecipeError),
    ("d2", Recipe(select="zero_shot", inputs=[0]), RecipeError),
    ("d2", Recipe(optimizer="source", critic="keep", reset=["critic.0"]), RecipeError),
    ("d3", "full", SpaceMismatch),
    ("box1", "full", SpaceMismatch),
]


@pytest.mark.parametrize(("acts", "recipe", "error"), LEAKS, ids=str)
def test_no_environment_stays_open_when_a_recipe_does_not_fit(
    acts: str, recipe: Any, error: type[Exception]
) -> None:
    """The fixture around every test looks for open environments."""
    with pytest.raises(error):
        adapted("discrete", toy("v4", acts), recipe).__enter__()


def test_an_extractor_that_cannot_read_the_target_is_refused() -> None:
    with pytest.raises(BadArgument, match=r"cannot be built on Discrete\(4\).*out of range"):
        adapted("batchnorm", toy("classes4")).__enter__()


def test_a_policy_with_an_unnamed_tensor_is_refused() -> None:
    agent = source("named")
    with pytest.raises(RecipeError, match=r"Forgetful: 'value_net.*'"):
        adapted(agent, toy(), classes={"transfer_cases:Named": Forgetful}).__enter__()
    with adapted(agent, toy(), Recipe(freeze=["*.body"])) as model:
        assert isinstance(model.policy, Named)
        model.learn(32)


def test_nan_in_the_target_is_found_while_learning() -> None:
    with (
        adapted("discrete", toy(fails_at=5)) as model,
        pytest.raises(BadEnvironment, match=r"at step 5 after action .* is nan"),
    ):
        model.learn(32)


def test_nan_in_the_target_is_found_by_auto() -> None:
    with pytest.raises(BadEnvironment, match="is nan"):
        adapted("discrete", toy(fails_at=5), "auto").__enter__()


WRONG_STEPS: Any = [0, -5, 1.5, float("nan"), float("inf"), 10**400, "100", None, True]


@pytest.mark.parametrize("steps", WRONG_STEPS, ids=lambda steps: f"{steps!r:.10}")
def test_steps_are_a_whole_number_of_at_least_one(steps: Any) -> None:
    with adapted("discrete", toy()) as model:
        with pytest.raises(BadArgument, match="expected a whole number >= 1"):
            model.learn(steps)
        assert model.num_timesteps == 0


def test_steps_may_be_written_as_a_float() -> None:
    with adapted("discrete", toy()) as model:
        assert model.learn(32.0).num_timesteps == 32  # pyright: ignore[reportArgumentType]
        assert model.learn(np.int64(32)).num_timesteps == 32


def test_the_report_is_complete() -> None:
    with adapted("normalized", toy("v4", "box1"), Recipe(reset=["critic.*"])) as model:
        report = model.transfer.report
        assert (report.source, report.target) == ("small", toy("v4", "box1"))
        assert report.recipe == Recipe(reset=["critic.*"])
        assert [c.key for c in report.tensors] and report.choice is None
        assert {c.key for c in report.tensors} == set(model.policy.state_dict())
        assert json.loads(report.recipe.to_json()) == {"reset": ["critic.*"]}


def test_drift_is_the_distance_from_the_source() -> None:
    class Last(BaseCallback):
        def _on_step(self) -> bool:
            return True

    with adapted("discrete", toy(), Recipe(reset=["critic.*"])) as model:
        origin = {n: p.detach().clone() for n, p in model.policy.named_parameters()}
        model.learn(32, callback=Last())
        logged = model.logger.name_to_value
        names = ["mlp_extractor.policy_net.0.weight", "mlp_extractor.policy_net.0.bias"]
        now = dict(model.policy.named_parameters())
        moved = sum(float((now[n] - origin[n]).square().sum().detach()) for n in names)
        length = sum(float(origin[n].square().sum()) for n in names)
        expected = pytest.approx((moved / length) ** 0.5, rel=1e-5)
        assert logged["transfer/drift/actor.0"] == expected
        assert "transfer/drift/critic.0" not in logged, "it did not come from the source"


def test_outputs_do_not_depend_on_the_rollout_that_was_interrupted() -> None:
    """A callback that stops learn early leaves a model that learns on."""

    class Stop(BaseCallback):
        def _on_step(self) -> bool:
            return self.num_timesteps < 40

    with adapted("discrete", toy(), "gradual") as model:
        model.learn(320, callback=Stop())
        assert model.num_timesteps == 40
        before = outputs(model, samples(model.observation_space))["values"]
        assert torch.isfinite(before).all()
        model.learn(32)
        assert model.num_timesteps == 32 and LENGTH == 8
        assert isinstance(model, PPO)


def test_numbers_of_numpy_are_taken_as_those_of_python() -> None:
    sure = {"learning_rate": 0.5**10, "gamma": 0.5, "n_steps": 32, "n_envs": 2, "batch_size": 64}
    numpy = {name: np.array(value)[()] for name, value in sure.items()}
    weights = []
    for options in ({"seed": 3, **sure}, {"seed": np.int64(3), **numpy}):
        model = rlt.adapt("cartpole", "rlt/CartPoleLong-v0", "auto", **options)
        model.learn(2_560)
        weights.append(torch.nn.utils.parameters_to_vector(model.policy.parameters()))
    assert torch.equal(*weights)
