"""Runs that are killed or asked to stop, in real processes, and what is left of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import resume_cases as cases
from processes import command, environment, run

from rltransfer.errors import BadArgument, Interrupted
from rltransfer.experiments import finetuning, results
from rltransfer.experiments.checkpoints import Checkpoints
from rltransfer.experiments.finetuning import finetune
from rltransfer.experiments.run import close
from rltransfer.experiments.signals import Stop, catching

HERE = Path(__file__).parent
TASK = "CartPole-v1"
SHORT = {"steps": cases.STEPS, "seed": 3, "checkpoint_every": cases.EVERY}
QUICK: dict[str, Any] = {**SHORT, "points": 3, "episodes": 2, "max_steps": 30, "device": "cpu"}


def tuned(out: Path | None, **changes: Any) -> finetuning.Finetuned:
    """Fine-tune in this process."""
    done = finetune(cases.agent_of("cartpole"), TASK, "gradual", out=out, **{**QUICK, **changes})
    close(done.model)
    return done


def kept(out: Path) -> dict[str, Any]:
    """What a finished run has written, but for its time: the curve, and weights and moments."""
    run = results.read(out / "result.json")
    curve = {name: getattr(run, name).tolist() for name in ("steps", "returns", "stochastic")}
    agent = json.loads((out / "agent.json").read_text())
    return {"id": run.spec.id, **curve, "weights": agent["weights"]["sha256"]}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("whole")
    tuned(out)
    assert sorted(p.name.split(".")[0] for p in out.iterdir()) == [
        *("agent", "agent", "events", "model", "result"),
    ]
    return kept(out)


@pytest.fixture(scope="module")
def agent_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "small"
    cases.agent_of("cartpole").save(path)
    return path


class Process:
    """A fine-tuning in a process of its own, which waits to be killed after the step ``last``."""

    def __init__(
        self,
        source: Path,
        out: Path,
        *,
        grace: float = 30.0,
        last: float = float("inf"),
        **changes: Any,
    ) -> None:
        given = {"source": str(source), "target": TASK, "recipe": "gradual", "out": str(out)}
        self.process: Any = subprocess.Popen(
            [
                *(sys.executable, str(HERE / "finetune_child.py"), str(grace), str(last)),
                json.dumps({**given, **QUICK, **changes}),
            ],
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE},
            text=True,
            env=environment(),
        )

    def wait_for(self, steps: int) -> int:
        """Wait until so many steps are reported; return the last report."""
        for line in self.process.stdout:
            if int(line) >= steps:
                return int(line)
        raise AssertionError(self.process.stderr.read())

    def kill(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and what was said."""
        _, said = self.process.communicate(timeout=240)
        return self.process.returncode, said


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    started: list[Process] = []
    yield started
    for one in started:
        one.process.kill()
        one.process.communicate()


def test_a_killed_process_goes_on_in_another(
    agent_path: Path, expected: dict[str, Any], processes: list[Process], tmp_path: Path
) -> None:
    processes.append(Process(agent_path, tmp_path, last=192))
    assert processes[0].wait_for(192) == 192
    processes[0].kill(signal.SIGKILL)
    assert processes[0].end()[0] == -signal.SIGKILL
    assert Checkpoints(tmp_path / "checkpoints", "").exist()
    heard = cases.Heard()
    tuned(tmp_path, report=heard)
    assert heard[0] == 128
    assert kept(tmp_path) == expected
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_any_number_of_kills_at_any_time(
    seed: int, agent_path: Path, expected: dict[str, Any], processes: list[Process], tmp_path: Path
) -> None:
    rng, code, kills = np.random.default_rng(seed), -signal.SIGKILL, 0
    while code == -signal.SIGKILL:
        one = Process(agent_path, tmp_path)
        processes.append(one)
        first = one.wait_for(0)
        if kills < 4:
            time.sleep(float(rng.uniform(0.0, 0.7)))
            one.kill(signal.SIGKILL)
            kills += 1
        code, said = one.end()
        assert code in (0, -signal.SIGKILL), said
    assert code == 0 and first >= 0
    assert kept(tmp_path) == expected
    assert not (tmp_path / "checkpoints").exists()


HELD_TASK = '''
import time
from pathlib import Path

import gymnasium as gym
from gymnasium.envs.classic_control.cartpole import CartPoleEnv


class Held(CartPoleEnv):
    """Waits after the first checkpoint, while a file is there."""

    def step(self, action):
        while Path("hold").exists() and Path("parts/checkpoints/part-1.safetensors").exists():
            time.sleep(0.01)
        return super().step(action)


gym.register("held/Held-v0", Held, max_episode_steps=20)
'''


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "SIGINT")]
)
def test_the_command_stops_at_a_cut_and_goes_on(number: int, name: str, tmp_path: Path) -> None:
    cases.agent_of("cartpole").save(tmp_path / "small")
    (tmp_path / "held_tasks.py").write_text(HELD_TASK)
    line = (
        *("finetune", "small", "held_tasks:held/Held-v0", "--recipe", "full", "--steps", 640),
        *("--seed", 3, "--checkpoint-every", 100),
    )
    options: dict[str, Any] = {"cwd": tmp_path, "env": environment()}
    whole = run(*line, "--out", "whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    (tmp_path / "hold").touch()
    started: Any = subprocess.Popen(
        command(*line, "--out", "parts"), stderr=subprocess.PIPE, text=True, **options
    )
    first = tmp_path / "parts" / "checkpoints" / "part-1.safetensors"
    while not first.exists():
        assert started.poll() is None, started.stderr.read()
        time.sleep(0.01)
    os.kill(started.pid, number)
    (tmp_path / "hold").unlink()
    _, said = started.communicate(timeout=240)
    assert started.returncode == 128 + number, said
    assert f"stopped by {name} at step " in said
    assert "the same command goes on from the checkpoint at step " in said
    assert "Traceback" not in said
    again = run(*line, "--out", "parts", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert kept(tmp_path / "parts") == kept(tmp_path / "whole")


def test_a_second_signal_ends_at_once(
    agent_path: Path, processes: list[Process], tmp_path: Path
) -> None:
    one = Process(agent_path, tmp_path, grace=1e6, steps=10**7, checkpoint_every=10**6)
    processes.append(one)
    one.wait_for(640)
    one.kill(signal.SIGTERM)
    before = one.wait_for(0)
    one.wait_for(before + 128)  # it would go on for its grace
    one.kill(signal.SIGTERM)
    assert one.end()[0] == -signal.SIGTERM


def test_a_cut_that_is_too_far_is_not_waited_for(
    agent_path: Path, processes: list[Process], tmp_path: Path
) -> None:
    one = Process(agent_path, tmp_path, grace=0.5, steps=10**8, checkpoint_every=10**7)
    processes.append(one)
    one.wait_for(640)
    began = time.monotonic()
    one.kill(signal.SIGINT)
    code, said = one.end()
    assert code == 130 and "nothing is kept, as there was no checkpoint yet" in said
    assert time.monotonic() - began < 120
    assert not list(tmp_path.iterdir())


class Asking:
    """A report that asks the run to stop."""

    def __init__(self, stop: Stop, at: int) -> None:
        self._stop, self._at = stop, at

    def __call__(self, done: int, total: int) -> None:
        if done >= self._at and not self._stop.signal:
            self._stop.request(signal.SIGTERM)


@pytest.mark.parametrize(
    ("asked", "stopped", "kept_at"),
    [(128, 130, 128), (192, 194, 128), (384, 386, 320)],
)
def test_without_grace_it_stops_at_the_next_step(
    asked: int, stopped: int, kept_at: int, expected: dict[str, Any], tmp_path: Path
) -> None:
    stop = Stop(grace=0.0)
    said = (
        f"stopped by SIGTERM at step {stopped}: the same .* from the checkpoint at step {kept_at}"
    )
    with pytest.raises(Interrupted, match=said) as raised:
        tuned(tmp_path, stop=stop, report=Asking(stop, asked))
    assert raised.value.signal == signal.SIGTERM
    tuned(tmp_path)
    assert kept(tmp_path) == expected


def test_with_grace_it_goes_on_to_the_next_cut(expected: dict[str, Any], tmp_path: Path) -> None:
    said: list[str] = []
    stop = Stop(grace=60.0, say=said.append)
    with pytest.raises(Interrupted, match=r"at step 256: .* checkpoint at step 256"):
        tuned(tmp_path, stop=stop, report=Asking(stop, 192))
    (words,) = said
    assert "SIGTERM: goes on from step 194 to the next checkpoint, due at step 200; once" in words
    tuned(tmp_path)
    assert kept(tmp_path) == expected


def test_with_grace_it_goes_on_to_the_end(expected: dict[str, Any], tmp_path: Path) -> None:
    said: list[str] = []
    stop = Stop(grace=60.0, say=said.append)
    tuned(tmp_path, stop=stop, report=Asking(stop, 448))
    assert stop.signal and kept(tmp_path) == expected
    assert len(said) == 1 and f"to its end, due at step {cases.STEPS}" in said[0]


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C as Python has it; a shell's background jobs are born deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_keyboard_interrupt_stays_one(
    expected: dict[str, Any], tmp_path: Path, ctrl_c: None
) -> None:
    def interrupt(done: int, total: int) -> None:
        if done >= 192:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        tuned(tmp_path, report=interrupt)
    assert Checkpoints(tmp_path / "checkpoints", "").exist()
    tuned(tmp_path)
    assert kept(tmp_path) == expected


def test_nothing_is_left_of_a_run_that_was_stopped_before_its_first_cut(tmp_path: Path) -> None:
    with pytest.raises(cases.Died):
        tuned(tmp_path / "out", report=cases.dies_at(64))
    assert not (tmp_path / "out").exists()


def test_a_folder_with_checkpoints_of_another_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(cases.Died):
        tuned(tmp_path, report=cases.dies_at(192))
    with pytest.raises(BadArgument, match="a run with other settings: choose another folder"):
        tuned(tmp_path, learning_rate=1e-4)
    tuned(tmp_path)


def test_a_finished_run_begins_anew(expected: dict[str, Any], tmp_path: Path) -> None:
    tuned(tmp_path)
    with pytest.raises(cases.Died):
        tuned(tmp_path, report=cases.dies_at(192))
    heard = cases.Heard()
    tuned(tmp_path, report=heard)
    assert heard[0] == 0 and kept(tmp_path) == expected
    assert len(list(tmp_path.glob("events.*"))) == 1


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]
    with catching() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signal == signal.SIGTERM and stop.name == "SIGTERM"
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)] == before


def test_another_thread_catches_nothing() -> None:
    seen: list[Any] = []

    def work() -> None:
        with catching() as stop:
            seen.append((stop.signal, signal.getsignal(signal.SIGTERM)))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(0, before)]


def test_grace_runs_out() -> None:
    stop = Stop(grace=0.05)
    assert stop.seconds_left == 0.05 and stop.name == "no signal"
    stop.request()
    time.sleep(0.06)
    assert stop.seconds_left == 0.0 and stop.signal == signal.SIGTERM
