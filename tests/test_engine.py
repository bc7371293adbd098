"""The engine gives the run that SB3 gives, with the same random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from engine_cases import ACTIONS, OBSERVATIONS, build, differences, learn, pair
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, EvalCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import VecNormalize

import rltransfer as rlt
from rltransfer import BadArgument
from rltransfer.engine.options import EngineOptions
from rltransfer.engine.rollout import looks_at_values
from rltransfer.training import TransferPPO

BUFFERS = ("rewards", "values", "log_probs", "advantages", "returns", "episode_starts")
SPACES = [(o, a) for o in OBSERVATIONS for a in ACTIONS if o == "vector" or a == "discrete"]


class Keep(BaseCallback):
    """Copies the rollout buffer at the end of each rollout."""

    def __init__(self) -> None:
        super().__init__()
        self.rollouts: list[dict[str, Any]] = []

    def _on_rollout_end(self) -> None:
        buffer = self.model.rollout_buffer  # type: ignore[attr-defined]
        names = (*BUFFERS, "actions", "observations")
        self.rollouts.append({name: _copy(getattr(buffer, name)) for name in names})

    def _on_step(self) -> bool:
        return True


def _copy(rows: Any) -> Any:
    return {k: v.copy() for k, v in rows.items()} if isinstance(rows, dict) else rows.copy()


def _same_rollouts(one: Keep, other: Keep) -> None:
    assert len(one.rollouts) == len(other.rollouts) > 0
    for ours, theirs in zip(one.rollouts, other.rollouts, strict=True):
        for name in BUFFERS:
            np.testing.assert_allclose(ours[name], theirs[name], atol=2e-4, err_msg=name)
        np.testing.assert_allclose(ours["actions"], theirs["actions"], atol=1e-4)
        np.testing.assert_equal(ours["observations"], theirs["observations"])


@pytest.mark.parametrize(("observations", "actions"), SPACES)
@pytest.mark.parametrize("path", ["auto", "autograd"])
def test_same_run_as_sb3(observations: str, actions: str, path: Any) -> None:
    stock, ours = pair(observations, actions)
    ours.engine_options = EngineOptions(path=path)
    assert ours._running().plan().path != "stock"
    keeps = Keep(), Keep()
    for model, keep in zip((stock, ours), keeps, strict=True):
        learn(model, 3, keep)
    _same_rollouts(*keeps)
    assert differences(stock, ours) < 2e-4
    assert stock.num_timesteps == ours.num_timesteps
    infos = [[i["r"] for i in model.ep_info_buffer] for model in (stock, ours)]
    np.testing.assert_allclose(*infos, atol=1e-3)


@pytest.mark.parametrize(
    "options",
    [
        {"clip_range_vf": 0.2},
        {"normalize_advantage": False},
        {"ent_coef": 0.01, "vf_coef": 0.3, "max_grad_norm": 0.1},
        {"target_kl": 1e-4},
        {"batch_size": 7},
        {
            "policy_kwargs": {
                "net_arch": {"pi": [8], "vf": [16, 16]},
                "activation_fn": torch.nn.ReLU,
            }
        },
        {"policy_kwargs": {"activation_fn": torch.nn.GELU}},
        {"policy_kwargs": {"optimizer_class": torch.optim.SGD, "optimizer_kwargs": {}}},
        {"gamma": 0.9, "gae_lambda": 0.5},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
def test_same_run_with_other_settings(options: dict[str, Any]) -> None:
    stock, ours = (learn(model, 3) for model in pair(**options))
    assert differences(stock, ours) < 2e-4
    assert stock._n_updates == ours._n_updates


@pytest.mark.parametrize(
    "options",
    [
        {"use_sde": True, "sde_sample_freq": 4},
        {"use_sde": True, "policy_kwargs": {"squash_output": True}},
        {"policy": "CnnPolicy", "policy_kwargs": {"share_features_extractor": False}},
    ],
    ids=str,
)
def test_same_run_with_special_policies(options: dict[str, Any]) -> None:
    observations = "image" if options.get("policy") == "CnnPolicy" else "vector"
    stock, ours = (learn(model, 3) for model in pair(observations, "box", **options))
    assert differences(stock, ours) < 2e-4


def test_same_run_with_normalized_environments() -> None:
    stock, ours = pair(actions="box")
    for model in (stock, ours):
        model.set_env(VecNormalize(model.get_env()))
        learn(model, 3)
    assert differences(stock, ours) < 2e-4
    np.testing.assert_allclose(*(m.get_env().obs_rms.mean for m in (stock, ours)))


def test_logs_the_same(tmp_path: Any) -> None:
    logged = []
    for name, model in zip("so", pair(target_kl=1.0, clip_range_vf=0.2), strict=True):
        model.set_logger(configure(str(tmp_path / name), ["csv"]))
        learn(model, 2)
        model.logger.close()
        logged.append(np.genfromtxt(tmp_path / name / "progress.csv", delimiter=",", names=True))
    stock, ours = logged
    assert set(stock.dtype.names) == set(ours.dtype.names)
    for key in set(stock.dtype.names) - {"timefps", "timetime_elapsed"}:
        np.testing.assert_allclose(stock[key], ours[key], atol=1e-4, rtol=1e-4, err_msg=key)


class Watch(BaseCallback):
    """Reads at each step what SB3 shows there."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def _on_step(self) -> bool:
        names = ("obs_tensor", "actions", "values", "log_probs", "clipped_actions", "new_obs")
        shown = [np.asarray(self.locals[name]).copy() for name in (*names, "rewards", "dones")]
        self.seen.append((self.locals["n_steps"], shown))
        return len(self.seen) < 20


@pytest.mark.parametrize("path", ["auto", "autograd"])
def test_callbacks_see_and_stop_the_same(path: Any) -> None:
    stock, ours = pair(actions="box")
    ours.engine_options = EngineOptions(path=path)
    watches = Watch(), Watch()
    for model, watch in zip((stock, ours), watches, strict=True):
        learn(model, 5, watch)
    assert [n for n, _ in watches[0].seen] == [n for n, _ in watches[1].seen]
    for (_, theirs), (_, mine) in zip(watches[0].seen, watches[1].seen, strict=True):
        for one, other in zip(theirs, mine, strict=True):
            assert one.shape == other.shape and one.dtype == other.dtype
            np.testing.assert_allclose(one, other, atol=1e-4)
    assert stock.rollout_buffer.pos == ours.rollout_buffer.pos == 3
    for name in BUFFERS:
        buffers = (getattr(m.rollout_buffer, name) for m in (stock, ours))
        np.testing.assert_allclose(*buffers, atol=1e-4, err_msg=name)


class Disturb(BaseCallback):
    """Changes the weights in the middle of a rollout."""

    def _on_step(self) -> bool:
        if self.n_calls % 5 == 0:
            with torch.no_grad():
                self.model.policy.action_net.bias[0] += 0.5
        return True


def test_weights_that_change_in_the_middle_of_a_rollout() -> None:
    stock, ours = pair()
    keeps = Keep(), Keep()
    for model, keep in zip((stock, ours), keeps, strict=True):
        learn(model, 2, CallbackList([Disturb(), keep]))
    _same_rollouts(*keeps)


def test_only_unknown_callbacks_are_shown_values() -> None:
    env = build(TransferPPO).get_env()
    assert not looks_at_values(CallbackList([EvalCallback(env)]))
    assert looks_at_values(CallbackList([EvalCallback(env, callback_on_new_best=Watch())]))
    assert looks_at_values(CallbackList([Keep()]))


def test_frozen_extractor_is_computed_once() -> None:
    stock, ours = pair("image")
    for model in (stock, ours):
        model.policy.features_extractor.requires_grad_(False)
    assert "closed form" in ours.engine_report()
    calls = []
    for model in (stock, ours):
        linear = model.policy.features_extractor.linear
        before = [p.clone() for p in model.policy.features_extractor.parameters()]
        handle = linear.register_forward_hook(lambda *args: calls.append(1))
        learn(model, 2)
        handle.remove()
        for one, other in zip(before, model.policy.features_extractor.parameters(), strict=True):
            assert torch.equal(one, other)
    assert differences(stock, ours) < 2e-4


def test_thawing_between_rollout_and_update() -> None:
    """The rollout was collected with a frozen extractor, and the update trains it."""
    models = pair("image")
    for model in models:
        model.policy.features_extractor.requires_grad_(False)
        plain = model._update_learning_rate

        def thaw(optimizer: Any, model: Any = model, plain: Any = plain) -> None:
            if model.num_timesteps >= 64:
                model.policy.features_extractor.requires_grad_(True)
            plain(optimizer)

        model._update_learning_rate = thaw
        learn(model, 3)
    assert differences(*models) < 2e-4
    assert "cnn.0.weight trains" in models[1].engine_report()


class OwnBuffer(RolloutBuffer):
    """A rollout buffer of a user's own."""


def test_falls_back_visibly() -> None:
    own = pair(rollout_buffer_class=OwnBuffer)
    assert "OwnBuffer" in own[1].engine_report()
    assert "Stable-Baselines3's own code" in own[1].engine_report()
    assert differences(*(learn(model, 2) for model in own)) == 0
    gelu = build(TransferPPO, policy_kwargs={"activation_fn": torch.nn.GELU})
    assert "GELU" in gelu.engine_report() and "autograd" in gelu.engine_report()


@pytest.mark.parametrize("path", ["closed_form", "autograd", "stock"])
def test_the_path_that_was_asked_for(path: Any) -> None:
    model = build(TransferPPO)
    model.engine_options = EngineOptions(path=path)
    assert model._running().plan().path == path
    stock = learn(build(PPO), 2)
    assert differences(stock, learn(model, 2)) <= (0 if path == "stock" else 2e-4)


def test_options_are_checked() -> None:
    with pytest.raises(BadArgument, match="closed_form"):
        EngineOptions(path="closedform")  # type: ignore[arg-type]
    with pytest.raises(BadArgument, match="cache_mib"):
        EngineOptions(cache_mib=-1)


def test_saved_zip_goes_on_in_plain_ppo(tmp_path: Any) -> None:
    model = learn(build(TransferPPO), 2)
    model.engine_options = EngineOptions(compiled=False)
    model.save(tmp_path / "m")
    plain = PPO.load(tmp_path / "m.zip", env=model.get_env(), device="cpu")
    assert not any("engine" in name for name in vars(plain))
    state = plain.policy.optimizer.state_dict()
    assert state["param_groups"][0]["lr"] == 3e-4 and len(state["state"]) > 0
    steps = {float(one["step"]) for one in state["state"].values()}
    assert steps == {2 * 3 * 4}
    plain.learn(64)


def test_update_twice_on_one_rollout_as_sb3_does() -> None:
    models = [learn(model, 1) for model in pair()]
    for model in models:
        np.random.seed(0)
        model.train()
    assert differences(*models) < 2e-4


def test_the_algorithms_of_sb3_contrib_say_what_they_run_on() -> None:
    for kind in (rlt.TransferMaskablePPO, rlt.TransferRecurrentPPO):
        policy = "MlpLstmPolicy" if kind is rlt.TransferRecurrentPPO else "MlpPolicy"
        assert "sb3-contrib" in build(kind, policy=policy).engine_report()
