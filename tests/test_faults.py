"""Faults of environments: each has a name, wherever and whenever it happens."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from faulty_tasks import FAULTS, HARMLESS, LATER, RESET_FAULTS
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from processes import environment, tiny_agent
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecEnv
from sweeps import wait_until

from rltransfer import registry, vectorizing
from rltransfer.agents import Agent
from rltransfer.errors import (
    BadArgument,
    BadEnvironment,
    EnvironmentWarning,
    SweepFailed,
    WorkerGone,
)
from rltransfer.evaluate import HELD_OUT_SEED, Evaluator
from rltransfer.experiments import Job, RunSpec, sweep
from rltransfer.experiments.engines import Limits
from rltransfer.experiments.run import execute
from rltransfer.experiments.store import Store
from rltransfer.fits import misfit
from rltransfer.recipe import Recipe
from rltransfer.strict import StrictEnv
from rltransfer.training.ppo import TransferPPO
from rltransfer.vec import GuardVecEnv, Vec, VectorEnvAdapter, make_vec

ID = "faulty/Faulty-v0"
HERE = Path(__file__).parent
WAYS = ("sync", "subproc")
# A process of a fork server has imported everything already.
multiprocessing.get_context("forkserver").set_forkserver_preload(["faulty_tasks", "rltransfer.vec"])


def task(**arguments: Any) -> EnvSpec:
    spec = registry.spec(f"faulty_tasks:{ID}")
    spec.kwargs = arguments
    return spec


def envs(vec: Any, n_envs: int = 2, step_timeout: float = 60.0, **arguments: Any) -> Any:
    """Environments of which the second, with seed 1, is faulty."""
    return make_vec(
        task(**arguments),
        n_envs,
        seed=0,
        vec=vec,
        start_method="forkserver",
        step_timeout=step_timeout,
    )


def train(venv: VecEnv, steps: int = 256, logger: Logger | None = None) -> TransferPPO:
    """Really train on them, and close them whatever happens."""
    model = TransferPPO(
        "MlpPolicy", venv, n_steps=64, batch_size=64, n_epochs=1, seed=0, device="cpu",
        policy_kwargs={"net_arch": [4]},
    )  # fmt: skip
    model.set_logger(logger or Logger(folder=None, output_formats=[]))
    try:
        return model.learn(steps)
    finally:
        venv.close()


def details(error: BadEnvironment) -> dict[str, Any]:
    """The details, after what a store and a pipe do to them."""
    assert dict(pickle.loads(pickle.dumps(error)).details) == dict(error.details)
    return json.loads(json.dumps(error.details, allow_nan=False))


@pytest.mark.parametrize("vec", WAYS)
@pytest.mark.parametrize("at", [1, 50])
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_in_training(fault: str, at: int, vec: str) -> None:
    venv = envs(vec, fault=fault, at=at)
    with pytest.raises(BadEnvironment, match=FAULTS[fault]) as caught:
        train(venv)
    message, found = str(caught.value), details(caught.value)
    assert f"{ID}, environment 1, at step {at} after action " in message
    assert "(seed 1, episode 1)" in message and "\n" not in message
    expected = {"task": ID, "index": 1, "step": at, "seed": 1, "episode": 1}
    assert {name: found[name] for name in expected} == expected
    assert found["action"] in (0, 1) and found["problem"] in message
    assert ("the motor" in found.get("traceback", "")) == (fault == "raise")
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("vec", WAYS)
@pytest.mark.parametrize("fault", RESET_FAULTS)
def test_faults_of_a_later_reset(fault: str, vec: str) -> None:
    venv = envs(vec, fault=fault, at=0, episode=2, length=20)
    with pytest.raises(BadEnvironment, match=RESET_FAULTS[fault]) as caught:
        train(venv)
    assert f"{ID}, environment 1, at reset: " in str(caught.value)
    found = details(caught.value)
    assert (found["step"], found["episode"], found["seed"], found["action"]) == (0, 2, 1, None)


@pytest.mark.parametrize("vec", WAYS)
@pytest.mark.parametrize("fault", RESET_FAULTS)
def test_faults_of_the_first_reset(fault: str, vec: str) -> None:
    with pytest.raises(BadEnvironment, match=rf"environment 1, at reset: .*{RESET_FAULTS[fault]}"):
        train(envs(vec, fault=fault, at=0))


@pytest.mark.parametrize("vec", WAYS)
@pytest.mark.parametrize("fault", LATER)
def test_spaces_that_are_changed_in_place_are_seen_at_the_next_reset(fault: str, vec: str) -> None:
    with pytest.raises(BadEnvironment, match=rf"environment 1, at reset: {LATER[fault]}") as caught:
        train(envs(vec, fault=fault, at=5, length=20))
    assert details(caught.value)["episode"] == 2


@pytest.mark.parametrize("at", [1, 50])
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_in_evaluation(fault: str, at: int) -> None:
    seed = HELD_OUT_SEED + 1
    with (
        Evaluator(task(fault=fault, at=at, bad=seed), episodes=3) as evaluator,
        pytest.raises(BadEnvironment, match=FAULTS[fault]) as caught,
    ):
        evaluator.random()
    assert f"{ID}, environment 1, at step {at} after action " in str(caught.value)
    found = details(caught.value)
    assert (found["index"], found["step"], found["seed"], found["episode"]) == (1, at, seed, 1)


@pytest.mark.parametrize("fault", RESET_FAULTS)
def test_faults_of_a_reset_in_evaluation(fault: str) -> None:
    seed = HELD_OUT_SEED + 1
    with (
        Evaluator(task(fault=fault, at=0, bad=seed), episodes=3) as evaluator,
        pytest.raises(
            BadEnvironment, match=rf"ment 1, at reset: .*{RESET_FAULTS[fault]}"
        ) as caught,
    ):
        evaluator.random()
    assert details(caught.value)["seed"] == seed


@pytest.mark.parametrize("at", [1, 50])
def test_a_worker_that_ends_is_named(at: int) -> None:
    venv = envs("subproc", n_envs=3, fault="exit", at=at)
    processes = venv.unwrapped.processes
    with pytest.raises(
        BadEnvironment, match=r"its worker process ended with exit code 7"
    ) as caught:
        train(venv)
    found = details(caught.value)
    assert (found["index"], found["step"], found["seed"], found["episode"]) == (1, at, 1, 1)
    assert not any(process.is_alive() for process in processes)


def test_a_worker_that_is_killed_is_named() -> None:
    venv = envs("subproc")
    venv.reset()
    os.kill(venv.unwrapped.processes[0].pid, signal.SIGKILL)
    with pytest.raises(BadEnvironment, match=r"environment 0, .* ended by signal 9 \(seed 0"):
        for _ in range(3):
            venv.step(np.zeros(2, int))
    assert not multiprocessing.active_children()
    venv.close()
    with pytest.raises(BadEnvironment, match="its worker process ended"):
        venv.step(np.zeros(2, int))


@pytest.mark.parametrize("at", [0, 1, 50])
def test_a_worker_that_hangs_is_named(at: int) -> None:
    venv = envs("subproc", step_timeout=3, fault="hang", at=at)
    processes, began = venv.unwrapped.processes, time.monotonic()
    with pytest.raises(BadEnvironment, match="it did not answer for 3 s") as caught:
        train(venv)
    assert 3 <= time.monotonic() - began < 120
    found = details(caught.value)
    assert (found["index"], found["step"], found["seed"]) == (1, at, 1)
    assert not any(process.is_alive() for process in processes)


@pytest.mark.parametrize("seconds", [0, -1, "5", float("nan"), 1e9])
def test_timeouts_outside_their_range(seconds: Any) -> None:
    with pytest.raises(BadArgument, match="step_timeout is"):
        make_vec("CartPole-v1", 1, step_timeout=seconds)


CHILD = """
import sys
from test_faults import envs, train

print("began", flush=True)
try:
    train(envs(sys.argv[1], fault=sys.argv[2], at=int(sys.argv[3])))
except BaseException as error:
    print(repr(error), flush=True)
    raise
"""


def child(vec: str, fault: str, at: int) -> subprocess.Popen[str]:
    """Train in a process of its own, until it has begun."""
    path = os.pathsep.join([str(HERE), environment()["PYTHONPATH"]])
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, vec, fault, str(at)],
        env=environment(PYTHONPATH=path),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "began\n"
    return process


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, 50])
def test_an_environment_that_ends_this_process_leaves_its_exit_code(at: int) -> None:
    process = child("sync", "exit", at)
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 7 and said == ""


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, 50])
def test_an_environment_that_hangs_in_this_process_is_ended_from_outside(at: int) -> None:
    process = child("sync", "hang", at)
    time.sleep(2)
    assert process.poll() is None
    process.kill()
    said, _ = process.communicate(timeout=240)
    assert process.returncode == -signal.SIGKILL and said == ""


@pytest.mark.slow
def test_workers_end_with_a_process_that_is_killed_even_if_they_hang() -> None:
    process = child("subproc", "hang", 1)
    # It, two workers, their fork server, and a resource tracker.
    wait_until(lambda: len(_members(process.pid)) >= 4)
    time.sleep(1)
    process.kill()
    process.communicate(timeout=240)
    wait_until(lambda: not _members(process.pid))


def _members(session: int) -> list[int]:
    """Processes of a session that live."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def _trained(fault: str, vec: str) -> tuple[Any, list[Any], list[Any]]:
    logger = Logger(folder=None, output_formats=[])
    recorded: list[Any] = []
    dump = logger.dump
    logger.dump = lambda step=0: (recorded.append(dict(logger.name_to_value)), dump(step))[1]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = train(envs(vec, fault=fault, at=50), logger=logger)
    own = [one for one in caught if issubclass(one.category, EnvironmentWarning)]
    weights = np.concatenate([p.detach().numpy().ravel() for p in model.policy.parameters()])
    return weights, own, recorded


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    return _trained("none", "sync")[0]


@pytest.mark.parametrize("vec", WAYS)
@pytest.mark.parametrize("fault", [fault for fault in HARMLESS if fault != "far observation"])
def test_what_harms_nothing_changes_nothing(fault: str, vec: str, sound: np.ndarray) -> None:
    weights, warned, recorded = _trained(fault, vec)
    np.testing.assert_array_equal(weights, sound)
    assert not any("rollout/out_of_bounds" in one for one in recorded)
    texts = {str(one.message) for one in warned}
    assert len(texts) == (fault == "float64 observation")
    assert all("return obs.astype(np.float32)" in text for text in texts)


@pytest.mark.parametrize("vec", WAYS)
def test_values_outside_their_bounds_are_counted_and_named_once(vec: str) -> None:
    _, warned, recorded = _trained("far observation", vec)
    assert len(warned) == 1
    assert (
        f"{ID}, environment 1, at step 50: observation[2] is 1e+06, outside its bounds of -99 to 99"
        in str(warned[0].message)
    )
    assert recorded[-1]["rollout/out_of_bounds"] == 1


def test_values_outside_their_bounds_are_named_in_an_evaluation() -> None:
    seed = HELD_OUT_SEED + 1
    with (
        Evaluator(task(fault="far observation", at=50, bad=seed), episodes=3) as evaluator,
        pytest.warns(
            EnvironmentWarning, match=r"environment 1, at step 50: observation\[2\] is 1e"
        ),
    ):
        evaluator.random()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"bad": 1}, r"environment 1, at step 5 .*\(seed 1, episode 1\)"),
        ({"bad": HELD_OUT_SEED + 1}, r"environment 1, at step 5 .*\(seed 1000001, episode 1\)"),
    ],
)
def test_a_run_ends_with_what_its_environment_did(arguments: Any, words: str) -> None:
    target = "faulty/OfRun-v0"
    agent = tiny_agent()
    kwargs = {"fault": "raise", "at": 5, **arguments}
    gym.register(target, "faulty_tasks:Faulty", max_episode_steps=100, kwargs=kwargs)
    try:
        spec = RunSpec.of(
            agent, target, Recipe(reset=("*",)), label="x", steps=128, seed=0, points=1, episodes=2,
            vec="sync", device="cpu",
        )  # fmt: skip
        with pytest.raises(BadEnvironment, match=words):
            execute(spec, agent)
    finally:
        del gym.registry[target]


class Batch(VectorEnv):
    """Three environments that step as one, and return what ``result`` says."""

    def __init__(self, num_envs: int = 3, max_episode_steps: Any = None, **result: Any) -> None:
        self.num_envs, self.result, self.steps = num_envs, result, 0
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space = spaces.Box(-99, 99, (4,), np.float32)
        self.single_action_space = spaces.Discrete(2)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return np.zeros((self.num_envs, 4), np.float32), {}

    def step(self, actions: np.ndarray) -> Any:
        self.steps += 1
        if self.steps == 2 and "error" in self.result:
            raise RuntimeError("the motor failed")
        parts = {
            "observations": np.zeros((self.num_envs, 4), np.float32),
            "rewards": np.ones(self.num_envs),
            "terminations": np.zeros(self.num_envs, bool),
            "truncations": np.full(self.num_envs, self.steps == 9),
            "infos": {"final_obs": np.zeros((self.num_envs, 4), np.float32)},
        }
        return tuple((parts | (self.result if self.steps == 2 else {})).values())


BATCH_FAULTS = [
    ({"observations": np.zeros((3, 5), np.float32)}, r"observations have shape \(3, 5\), expected"),
    ({"observations": np.zeros((3, 1), np.float32)}, r"observations have shape \(3, 1\), expected"),
    ({"observations": np.full((3, 4), None)}, "observations are of dtype object, not numbers"),
    ({"observations": np.full((3, 4), np.nan, np.float32)}, r"environment 0, at step 2 .* is nan"),
    ({"rewards": np.array([1.0, np.inf, 1.0])}, "environment 1, at step 2 .*the reward is inf"),
    ({"rewards": np.array(["1"] * 3)}, "rewards are <U1 of shape"),
    ({"rewards": None}, "rewards are object of shape"),
    ({"terminations": np.array(["yes"] * 3)}, "terminations are <U3 of shape"),
    ({"truncations": np.zeros((3, 1), bool)}, r"truncations are bool of shape \(3, 1\)"),
    ({"infos": []}, r"the infos are \[\], not a dict"),
    ({"error": True}, r"step\(\) raised RuntimeError: the motor failed"),
]


@pytest.mark.parametrize(("result", "words"), BATCH_FAULTS)
def test_faults_of_a_batch_in_training(result: Any, words: str) -> None:
    venv = GuardVecEnv(VectorEnvAdapter(Batch(**result)), "my/Batch-v0")
    with pytest.raises(BadEnvironment, match=words) as caught:
        train(venv)
    assert details(caught.value)["problem"] in str(caught.value)


@pytest.mark.parametrize(("result", "words"), BATCH_FAULTS)
def test_faults_of_a_batch_in_evaluation(
    result: Any, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectorizing, "vectorized", lambda spec: lambda n: Batch(n, **result))
    monkeypatch.setattr(vectorizing, "pays", lambda spec, n: True)
    with (
        Evaluator(task(), episodes=3) as evaluator,
        pytest.raises(BadEnvironment, match=words) as caught,
    ):
        evaluator.random()
    assert details(caught.value)["problem"] in str(caught.value)


@pytest.mark.parametrize("n_envs", [1, 4, 5])
def test_values_outside_their_bounds_are_named_in_batches_of_any_size(n_envs: int) -> None:
    """Small ones are looked at one by one, large ones together."""
    far = np.zeros((n_envs, 4), np.float32)
    far[-1, 3] = -100
    venv = GuardVecEnv(VectorEnvAdapter(Batch(n_envs, observations=far)), "my/Batch-v0")
    venv.reset()
    words = rf"environment {n_envs - 1}, at step 2: observation\[3\] is -100, outside"
    with pytest.warns(EnvironmentWarning, match=words):
        for _ in range(12):
            venv.step(np.zeros(n_envs, int))
    assert venv.out_of_bounds == 1


@pytest.mark.parametrize("n_envs", [1, 4, 5])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_named_in_spaces_without_bounds(n_envs: int, value: float) -> None:
    batch = Batch(n_envs, observations=np.full((n_envs, 4), value, np.float32))
    batch.single_observation_space = spaces.Box(-np.inf, np.inf, (4,), np.float32)
    batch.observation_space = batch_space(batch.single_observation_space, n_envs)
    venv = GuardVecEnv(VectorEnvAdapter(batch), "my/Batch-v0")
    venv.reset()
    venv.step(np.zeros(n_envs, int))
    with pytest.raises(BadEnvironment, match=f"environment 0, at step 2 .* is {value}"):
        venv.step(np.zeros(n_envs, int))


@pytest.mark.parametrize(
    ("box", "value", "words"),
    [
        (spaces.Box(0, 255, (2,), np.uint8), [0.0, 0.7], "0.7 becomes 0: return uint8"),
        (spaces.Box(0, 255, (2,), np.uint8), [0, 300], "300 becomes 44"),
        (spaces.Box(0, 255, (2,), np.uint8), [0, -1], "-1 becomes 255"),
        (spaces.Box(0, 255, (2,), np.uint8), [0.0, 7.0], None),
        (spaces.Box(0, 255, (2,), np.int64), np.array([0, 7], np.uint8), None),
        (spaces.Box(0, 1, (2,), np.float32), [0, 1], None),
        (spaces.Box(0, 1, (2,), np.float64), np.array([0, 0.1], np.float32), None),
        (spaces.Discrete(5), 3, None),
        (spaces.Discrete(5), np.int32(3), None),
        (spaces.Discrete(5), 2.5, "2.5 becomes 2"),
        (spaces.Box(0, 1, (2,), np.float32), [[1, 2], [3]], "ragged"),
        (spaces.Dict({"a": spaces.Discrete(2)}), {"a": 0.5}, r"observation\['a'\] has dtype"),
        (spaces.Dict({"a": spaces.Discrete(2)}), {"b": 0}, r"has the keys \['b'\]"),
        (spaces.Tuple([spaces.Discrete(2)]), (1, 2), "not a tuple of 1 parts"),
    ],
)
def test_other_dtypes(box: spaces.Space, value: Any, words: str | None) -> None:
    """They fit where the promised dtype holds the same values."""
    problem = misfit(
        box, np.array(value) if isinstance(value, list) and words != "ragged" else value
    )
    assert (problem is None) == (words is None)
    assert words is None or re.search(words, str(problem))


class Property(gym.Env):
    """Makes its spaces anew whenever they are read, and comes with the shape it is told."""

    action_space = spaces.Discrete(2)
    size = 2

    @property
    def observation_space(self) -> spaces.Box:  # pyright: ignore[reportIncompatibleVariableOverride]
        return spaces.Box(-1, 1, (self.size,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        return np.zeros(2, np.float32), 0, np.bool(False), False, {}


def test_spaces_may_be_made_anew() -> None:
    env = StrictEnv(Property())
    env.reset()
    assert env.step(0)[1] == 0
    env.unwrapped.size = 3  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(BadEnvironment, match=r"observation_space was .*\(2,\).* is now .*\(3,\)"):
        env.reset()


def test_too_little_memory_keeps_its_name() -> None:
    class Hungry(Property):
        def step(self, action: Any) -> Any:
            raise MemoryError

    env = StrictEnv(Hungry())
    env.reset()
    with pytest.raises(MemoryError):
        env.step(0)


def test_errors_in_workers_that_are_no_fault_of_stepping_leave_them_alive() -> None:
    venv = envs("subproc")
    with pytest.raises(AttributeError, match="nothing_like_it"):
        venv.get_attr("nothing_like_it")
    with pytest.raises(TypeError, match=r"cannot pickle '_thread\.lock'"):
        venv.get_attr("lock")
    venv.reset()
    assert venv.get_attr("length") == [60, 60]
    venv.set_attr("length", 5)
    assert venv.env_method("get_wrapper_attr", "length") == [5, 5]
    venv.close()
    assert not multiprocessing.active_children()


def status_of(fault: str, vec: str) -> tuple[str, str]:
    """How a sweep calls a run whose environment commits a fault, and a part of its message."""
    if fault == "hang":
        return "hung", "no sign of life"
    if fault == "exit" and vec == "sync":
        return "lost", ""
    if fault in HARMLESS:
        return "done", ""
    if fault == "exit":
        return "bad environment", "its worker process ended with exit code 7"
    return "bad environment", (FAULTS | LATER)[fault]


@pytest.mark.slow
@pytest.mark.parametrize("vec", WAYS)
def test_supervisor_names_every_fault(vec: Vec, tmp_path: Path) -> None:
    """And the sound runs of the same sweep end as in a sweep without the others."""
    agent = tiny_agent(n_envs=2, n_steps=64, batch_size=64)
    sound = [_job(agent, "none", 1, seed, vec) for seed in (0, 10, 20)]
    faulty = [_job(agent, fault, at, 0, vec) for fault in SWEPT for at in (1, 50)]
    mixed = [sound[0], *faulty[::2], sound[1], *faulty[1::2], sound[2]]
    with pytest.raises(SweepFailed, match=rf"{len(faulty) - 6} of {len(mixed)} runs ended"):
        sweep(
            mixed, [agent], out=tmp_path / "mixed", processes=2, engine="local",
            limits=Limits(hang=60, retries=0),
        )  # fmt: skip
    alone = sweep(sound, [agent], out=tmp_path / "alone", processes=1)
    store = Store(tmp_path / "mixed")
    for job, expected in zip(sound, alone, strict=True):
        found = store.find(job.spec)
        assert found is not None
        np.testing.assert_array_equal(found.returns, expected.returns)
        np.testing.assert_array_equal(found.stochastic, expected.stochastic)
    failures = {outcome.id: outcome for outcome in store.outcomes()}
    for job in faulty:
        fault, at = re.findall(r"/(.*)-(\d+)-v0", job.spec.target)[0]
        status, words = status_of(fault.replace("_", " "), vec)
        if status == "done":
            assert store.find(job.spec) is not None and job.spec.id not in failures
            continue
        outcome = failures[job.spec.id]
        assert outcome.status == status and re.search(words, outcome.message), outcome
        if status == "bad environment" and fault != "moved_bounds":
            expected = {"index": 1, "step": int(at), "seed": 1, "episode": 1}
            assert {name: outcome.details[name] for name in expected} == expected
    assert not multiprocessing.active_children()


SWEPT = ("exit", "hang", *FAULTS, *LATER, "far observation", "float64 observation", "same array")


def _job(agent: Agent, fault: str, at: int, seed: int, vec: Vec) -> Job:
    target = f"faulty_tasks:faulty/{fault.replace(' ', '_')}-{at}-v0"
    spec = RunSpec.of(
        agent, target, Recipe(reset=("*",)), label="reset", steps=256, seed=seed, points=1,
        episodes=2, vec=vec, device="cpu",
    )  # fmt: skip
    return Job(f"{fault} at {at}", spec)


def test_a_lost_worker_survives_a_pipe() -> None:
    error = pickle.loads(pickle.dumps(WorkerGone("it ended", details={"index": 3})))
    assert (str(error), error.details) == ("it ended", {"index": 3})
