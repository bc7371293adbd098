"""Files that Stable-Baselines3 1.0 to 2.8 wrote; see tests/data/sb3/README.md."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib.common.recurrent.type_aliases import RNNStates

from rltransfer.agents import sb3
from rltransfer.agents.sb3 import Imported
from rltransfer.errors import BadCheckpoint

FOLDER = Path(__file__).parent / "data" / "sb3"
FILES = sorted(FOLDER.glob("*/*.zip"))
#: Weights and inputs are equal bit for bit, but the last bits of a matrix product depend on the
#: processor and on the release of torch.
TOLERANCE = 1e-6
ALGORITHMS = {"MaskablePPO": "maskable_ppo", "RecurrentPPO": "recurrent_ppo"}
#: What means the same to PPO as to the algorithm that the agent was trained by.
SHARED_WITH = {
    "A2C": {"gamma", "gae_lambda", "ent_coef", "vf_coef", "max_grad_norm", "use_sde", "n_envs"},
    "TRPO": {"n_steps", "gamma", "gae_lambda", "use_sde", "n_envs"},
}
#: Files whose schedules are a function that is none of SB3's or of the RL Zoo's.
OWN_FUNCTIONS = {"1.0/own-schedule"}

each_file = pytest.mark.parametrize(
    "path", FILES, ids=[f"{path.parent.name}/{path.stem}" for path in FILES]
)


def expected_of(path: Path) -> dict[str, Any]:
    return json.loads(path.with_suffix(".json").read_text())


def imported(path: Path) -> Imported:
    return sb3.read(path)


def space_of(data: dict[str, Any]) -> gym.Space:
    kind = data["type"]
    if kind == "Dict":
        return spaces.Dict([(key, space_of(part)) for key, part in data["spaces"]])
    if kind == "Discrete":
        return spaces.Discrete(data["n"])
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(data["nvec"])
    if kind == "MultiBinary":
        return spaces.MultiBinary(data["n"])
    low, high = (
        np.broadcast_to(np.array(data[end], dtype=float).astype(data["dtype"]), data["shape"])
        for end in ("low", "high")
    )
    return spaces.Box(low, high, tuple(data["shape"]), np.dtype(data["dtype"]).type)


def observations_of(data: Any, space: Any) -> Any:
    """The observations as one array, or as one by key."""
    if isinstance(space, spaces.Dict):
        return {key: observations_of(data[key], part) for key, part in space.spaces.items()}
    if isinstance(data, str):
        return np.array(bytearray.fromhex(data), np.uint8).reshape(-1, *space.shape)
    return np.array(data, dtype=space.dtype)


def answers(model: Any, expected: dict[str, Any]) -> dict[str, np.ndarray]:
    """What the model says to the observations that the old version was asked."""
    observations = observations_of(expected["observations"], model.observation_space)
    tensors, _ = model.policy.obs_to_tensor(observations)
    extra: tuple[Any, ...] = ()
    found = {}
    if "episode_starts" in expected:
        starts = np.array(expected["episode_starts"])
        actions, found["state"] = sequence(model, observations, starts)
        layers, _, size = model.policy.lstm_hidden_state_shape
        zeros = torch.zeros(layers, 1, size)
        extra = RNNStates((zeros, zeros), (zeros, zeros)), torch.as_tensor(starts).float()
    elif "masks" in expected:
        extra = (np.array(expected["masks"]),)
        actions, _ = model.predict(observations, deterministic=True, action_masks=extra[0])
    else:
        actions, _ = model.predict(observations, deterministic=True)
    with torch.no_grad():
        values, log_probs, _ = model.policy.evaluate_actions(
            tensors, torch.as_tensor(actions), *extra
        )
    return {**found, "actions": actions, "values": values.numpy(), "log_probs": log_probs.numpy()}


def sequence(model: Any, rows: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    state, actions = None, []
    for row, start in zip(rows, starts, strict=True):
        action, state = model.predict(row[None], state, np.array([start]), deterministic=True)
        actions.append(action[0])
    assert state is not None
    return np.stack(actions), np.stack([part.ravel() for part in state])


def digest(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()[:32]


def test_files_cover_every_minor_release() -> None:
    written = {expected_of(path)["versions"]["stable_baselines3"] for path in FILES}
    minors = {tuple(map(int, version.split(".")[:2])) for version in written}
    assert minors >= {(1, n) for n in (0, 1, 2, 3, 5, 6, 7, 8)} | {(2, n) for n in range(9)}
    algorithms = {expected_of(path)["algorithm"] for path in FILES}
    assert algorithms == {"PPO", "A2C", "TRPO", "MaskablePPO", "RecurrentPPO"}


@each_file
def test_answers_are_those_of_the_version_that_wrote_it(path: Path) -> None:
    expected = expected_of(path)
    found = answers(imported(path).agent.build(), expected)
    space = space_of(expected["action_space"])
    if isinstance(space, spaces.Box):
        np.testing.assert_allclose(
            found["actions"], expected["actions"], rtol=TOLERANCE, atol=TOLERANCE
        )
    else:
        assert found["actions"].tolist() == expected["actions"]
    for name in {"values", "log_probs", "state"} & set(expected):
        assert found[name].shape == np.shape(expected[name])
        np.testing.assert_allclose(found[name], expected[name], rtol=TOLERANCE, atol=TOLERANCE)


@each_file
def test_every_weight_is_the_one_that_was_written(path: Path) -> None:
    written = expected_of(path)["weights"]
    weights = {name: digest(tensor) for name, tensor in imported(path).agent.weights.items()}
    shared = any(name.startswith("mlp_extractor.shared_net.") for name in written)
    if shared:
        # Actor and critic each have a copy of the layers that they shared, under other names.
        assert set(weights.values()) == set(written.values())
        written = {name: value for name, value in written.items() if "mlp_ext" not in name}
    assert written.items() <= weights.items()
    aliases = {name for name in set(weights) - set(written) if "mlp_ext" not in name or not shared}
    assert all("_features_extractor." in name for name in aliases), aliases


@each_file
def test_spaces_and_card(path: Path) -> None:
    expected, read = expected_of(path), imported(path)
    agent, version = read.agent, expected["versions"]["stable_baselines3"]
    for name in ("observation_space", "action_space"):
        found, wanted = getattr(agent, name), space_of(expected[name])
        assert found == wanted and found.dtype == wanted.dtype
        if isinstance(wanted, spaces.Box):
            assert np.array_equal(found.low, wanted.low)
            assert np.array_equal(found.bounded_above, wanted.bounded_above)
    assert agent.algorithm == ALGORITHMS.get(expected["algorithm"], "ppo")
    assert (agent.card.steps, agent.card.seed) == (expected["num_timesteps"], expected["seed"])
    assert agent.card.name == path.stem
    assert agent.card.versions["stable-baselines3"] == version
    assert (read.report.version, read.report.algorithm) == (version, expected["algorithm"])
    assert read.report.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read.report.sha256 in agent.card.notes


def at_three_times(value: Any) -> list[float]:
    """A schedule at the begin, in the middle and at the end of training."""
    if not isinstance(value, dict):
        return [value] * 3
    start, end, fraction = (value[name] for name in ("start", "end", "end_fraction"))
    return [start + min(gone / fraction, 1.0) * (end - start) for gone in (0.0, 0.5, 1.0)]


@each_file
def test_hyperparameters(path: Path) -> None:
    expected, read = expected_of(path), imported(path)
    agent, wanted = read.agent, expected["hyperparameters"]
    names = SHARED_WITH.get(expected["algorithm"], set(wanted)) & set(wanted)
    assert {"gamma", "n_envs"} < names
    for name in sorted(names - set(read.report.lost)):
        found = agent.hyperparameters[name]
        if name in ("learning_rate", "clip_range", "clip_range_vf") and wanted[name] is not None:
            assert at_three_times(found) == pytest.approx(wanted[name], rel=1e-12), name
        else:
            assert found == wanted[name] and type(found) is type(wanted[name]), name
    own = f"{path.parent.name}/{path.stem}" in OWN_FUNCTIONS
    assert bool(read.report.lost) <= own
    for name in read.report.lost:
        assert f"{name} is a function" in agent.card.notes


def test_policy_arguments_are_carried() -> None:
    agent = imported(FOLDER / "1.0" / "box.zip").agent
    assert agent.policy_kwargs["activation_fn"] == {"$class": "torch.nn.ReLU"}
    assert agent.policy_kwargs["log_std_init"] == -0.5
    assert isinstance(agent.build().policy.mlp_extractor.policy_net[1], torch.nn.ReLU)
    agent = imported(FOLDER / "1.0" / "shared.zip").agent
    assert agent.policy_kwargs["ortho_init"] is False
    assert agent.policy_kwargs["net_arch"] == {"pi": [8, 6], "vf": [8, 7]}


@each_file
def test_statistics(path: Path) -> None:
    written, found = expected_of(path)["statistics"], imported(path).agent.normalization
    if written is None:
        assert found is None
        return
    assert found is not None and found.obs and found.reward
    for name in ("clip_obs", "clip_reward", "gamma", "epsilon"):
        assert getattr(found, name) == written[name]
    for name, stats in (("obs", found.obs_stats), ("return", found.return_stats)):
        mean, var, count = written[name]
        assert np.array_equal(stats.mean.ravel(), np.ravel(mean))
        assert np.array_equal(stats.var.ravel(), np.ravel(var))
        assert stats.count == np.ravel(count)[0]


@each_file
def test_optimizer_state_belongs_to_the_right_parameters(path: Path) -> None:
    expected, agent = expected_of(path), imported(path).agent
    written = expected["moments"]
    shared = any(".shared_net." in name for name in expected["weights"])
    if shared or expected["algorithm"] in ("A2C", "TRPO"):
        # It was gathered for other parameters, or by another algorithm.
        assert agent.optimizer is None and "optimizer" in agent.card.notes
        return
    moments = dict(agent.optimizer or {})
    if written is None:
        assert not moments
        return
    assert {name.rpartition("/")[0] for name in moments} == set(written)
    for name, (step, first, largest) in written.items():
        assert moments[f"{name}/step"].item() == step
        assert moments[f"{name}/exp_avg"].ravel()[0].item() == first
        assert moments[f"{name}/exp_avg_sq"].max().item() == largest
    # Distinct numbers, so that a wrong order would be seen.
    assert len({tuple(numbers) for numbers in written.values()}) > len(written) / 2
    built = agent.build().policy
    assert len(built.optimizer.state) == len(written)


@each_file
def test_strict_reading_refuses_a_pickled_tensor_alone(path: Path) -> None:
    """Of 1.6 to 2.3, RecurrentPPO keeps LSTM states: their pickle starts another unpickling."""
    expected = expected_of(path)
    release = tuple(map(int, expected["versions"]["stable_baselines3"].split(".")[:2]))
    if expected["algorithm"] == "RecurrentPPO" and release < (2, 4):
        assert "torch.storage._load_from_bytes" in imported(path).report.foreign
        with pytest.raises(BadCheckpoint, match=r"strict.*torch\.storage\._load_from_bytes"):
            sb3.read(path, strict=True)
    else:
        assert not sb3.read(path, strict=True).report.foreign
