"""Runs in processes of their own: limits, signs of life, signals, and what a sweep tells of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import environment, tiny_agent
from sweeps import check_whole, finish, kill, start, wait_until, workers

from rltransfer.agents import Agent
from rltransfer.errors import BadArgument, SweepFailed
from rltransfer.experiments import Job, Run, RunSpec, sweep
from rltransfer.experiments.engines import EngineName, Limits
from rltransfer.experiments.outcome import Outcome
from rltransfer.experiments.store import Store
from rltransfer.recipe import Recipe

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")

BAD_TASKS = '''
import os
import sys
import time

import gymnasium as gym
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

held = []


class Bad(CartPoleEnv):
    """Does something bad at the 30th step, when training is under way."""

    def __init__(self, what, render_mode=None):
        super().__init__(render_mode=render_mode)
        self.what, self.steps = what, 0

    def step(self, action):
        self.steps += 1
        if self.steps >= 30:
            self.misbehave()
        return super().step(action)

    def misbehave(self):
        if self.what == "hang":
            time.sleep(600)
        elif self.what == "slow":
            time.sleep(0.2)
        elif self.what == "memory":
            # No more than shows it: whoever watches may be slow, and others need the rest.
            if len(held) < 16:
                held.append(np.ones(2**24))
            time.sleep(0.02 if len(held) < 16 else 0.2)
        elif self.what == "exit":
            os._exit(9)
        elif self.what == "raise":
            raise ZeroDivisionError("by the task")


for what in ("hang", "slow", "memory", "exit", "raise"):
    gym.register(f"bad/{what}-v0", Bad, kwargs={"what": what}, max_episode_steps=20)
'''


@pytest.fixture(scope="module")
def agent() -> Agent:
    return tiny_agent()


@pytest.fixture
def bad(tmp_path: Path) -> None:
    (tmp_path / "bad_tasks.py").write_text(BAD_TASKS)
    sys.path.insert(0, str(tmp_path))


def run_all(agent: Agent, out: Path, whats: tuple[str, ...], **limits: Any) -> dict[str, Outcome]:
    """Execute a run of each kind beside a good one; returns how the bad ones ended."""
    targets = {**{what: f"bad_tasks:bad/{what}-v0" for what in whats}, "good": "CartPole-v1"}
    small: dict[str, Any] = {"steps": 128, "points": 2, "episodes": 3}
    jobs = [
        Job(label, RunSpec.of(agent, target, Recipe(), label="full", seed=0, **small))
        for label, target in targets.items()
    ]
    with pytest.raises(SweepFailed, match=f"^{len(whats)} of {len(jobs)} runs ended without"):
        sweep(jobs, [agent], out=out, processes=2, limits=Limits(**limits))
    assert Store(out).find(jobs[-1].spec) is not None
    assert len(list(out.glob("events/*/*/*/events*"))) >= 1
    return {outcome.name.split()[0]: outcome for outcome in Store(out).outcomes()}


def test_bad_runs_are_ended_and_the_others_finish(agent: Agent, bad: None, tmp_path: Path) -> None:
    whats = ("hang", "exit", "raise", "slow", "memory")
    limits = {"hang": 8.0, "retries": 1, "timeout": 15.0, "memory": 1.5}
    ended = run_all(agent, tmp_path / "out", whats, **limits)
    assert ended["hang"].status == "hung" and "no sign of life for 8 s" in ended["hang"].message
    assert (ended["exit"].status, ended["exit"].attempts) == ("lost", 2)
    assert "exit code 9" in ended["exit"].message
    assert ended["raise"].status in ("failed", "bad environment")
    assert "ZeroDivisionError" in ended["raise"].message and ended["raise"].attempts == 1
    assert ended["slow"].status == "timeout" and "15 s" in ended["slow"].message
    assert ended["memory"].status == "out of memory"
    assert "more than the 1.5 GiB of --memory" in ended["memory"].message


def test_a_class_of_a_module_can_be_a_task_and_one_of_a_script_cannot(
    agent: Agent, tmp_path: Path
) -> None:
    import gymnasium as gym
    from gymnasium.envs.classic_control.cartpole import CartPoleEnv

    small: dict[str, Any] = {"steps": 128, "points": 2, "episodes": 3}
    gym.register("cls/Pole-v0", CartPoleEnv, max_episode_steps=20)
    spec = RunSpec.of(agent, "cls/Pole-v0", Recipe(), label="full", seed=0, **small)
    (run,) = sweep([Job("a", spec)], [agent], processes=1, engine="local")
    assert run.returns.shape == (3, 3)
    local = type("Local", (CartPoleEnv,), {"__module__": "__main__"})
    gym.register("cls/Local-v0", local, max_episode_steps=20)
    spec = RunSpec.of(agent, "cls/Local-v0", Recipe(), label="full", seed=0, **small)
    with pytest.raises(BadArgument, match="--engine here"):
        sweep([Job("a", spec)], [agent], engine="local", out=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_sweep_and_its_workers(
    agent: Agent, tmp_path: Path, how: signal.Signals
) -> None:
    agent.save(tmp_path / "tiny")
    process = start(tmp_path, "out", "--seeds", 20)
    wait_until(lambda: list(tmp_path.glob("out/runs/*.json")) and workers(process.pid))
    before = workers(process.pid)
    os.kill(process.pid, how)
    code, said = finish(process, 240)
    assert code == 128 + how, said
    assert "finished runs are kept" in said and "Traceback" not in said
    # None had to be killed after its grace.
    assert not [one for one in Store(tmp_path / "out").outcomes() if "killed" in one.message]
    assert not [pid for pid in before if Path(f"/proc/{pid}").exists()]


@pytest.fixture(scope="module")
def undisturbed(agent: Agent) -> Run:
    return sweep([Job("a", long_run(agent))], [agent])[0]


def long_run(agent: Agent) -> RunSpec:
    small: dict[str, Any] = {"steps": 9600, "points": 2, "episodes": 3, "checkpoint_every": 320}
    return RunSpec.of(agent, "CartPole-v1", Recipe(), label="full", seed=0, **small)


@pytest.mark.parametrize("engine", ["here", "local"])
def test_a_run_that_is_asked_to_stop_saves_and_goes_on_later(
    agent: Agent, undisturbed: Run, tmp_path: Path, engine: EngineName
) -> None:
    agent.save(tmp_path / "tiny")
    code = (
        "from test_local_engine import *\n"
        "import rltransfer\n"
        "agent = rltransfer.load('tiny')\n"
        f"sweep([Job('a', long_run(agent))], [agent], out=Path('out'), engine={engine!r})"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(PYTHONPATH=os.pathsep.join(sys.path)),
        text=True,
        stderr=subprocess.PIPE,
    )
    wait_until(lambda: list(tmp_path.glob("out/checkpoints/*/part-*")))
    process.terminate()
    _, said = process.communicate(timeout=240)
    assert said.splitlines()[-1].endswith("interrupted by SIGTERM; finished runs are kept"), said
    out = Store(tmp_path / "out")
    (outcome,) = out.outcomes()
    assert outcome.status == "interrupted" and "goes on from the checkpoint" in outcome.message
    (run,) = sweep([Job("a", long_run(agent))], [agent], out=out.path)
    assert np.array_equal(run.returns, undisturbed.returns)
    check_whole(out.path, 1, events=2)  # Before and after.


def test_workers_end_with_a_sweep_that_is_killed(agent: Agent, tmp_path: Path) -> None:
    agent.save(tmp_path / "tiny")
    process = start(tmp_path, "out", "--seeds", 20)
    wait_until(lambda: workers(process.pid))
    before = workers(process.pid)
    kill(process.pid)
    process.communicate(timeout=240)
    wait_until(lambda: not [pid for pid in before if Path(f"/proc/{pid}").exists()])
