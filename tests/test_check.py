"""The self-test finds what is wrong with a user's task, in a file outside the repository."""

from __future__ import annotations

import re
from pathlib import Path

import gymnasium as gym
import pytest
from gymnasium.envs.classic_control.acrobot import AcrobotEnv

from rltransfer import registry
from rltransfer.check import CheckReport, check_task, check_tasks
from rltransfer.errors import UnknownName
from rltransfer.trajectories import first_difference

MODULE = '''
import os

import gymnasium as gym
import numpy as np
from gymnasium.envs.classic_control.acrobot import AcrobotEnv
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

import rltransfer.registry as rlt

IMPORTED_IN = os.getpid()


class Pole(CartPoleEnv):
    """Heavier cart, and derived constants to match."""

    def __init__(self, masscart=1.0, render_mode=None):
        super().__init__(render_mode=render_mode)
        self.masscart = masscart
        self.total_mass = masscart + self.masspole


class Unseeded(CartPoleEnv):
    def step(self, action):
        observation, *rest = super().step(action)
        return observation + np.random.uniform(0, 0.001, size=4).astype(np.float32), *rest


class NaN(CartPoleEnv):
    def step(self, action):
        observation, _, *rest = super().step(action)
        return observation, float("nan"), *rest


class Wide(CartPoleEnv):
    def __init__(self, render_mode=None):
        super().__init__(render_mode=render_mode)
        # Velocities leave these bounds after a while.
        self.observation_space = gym.spaces.Box(-1.0, 1.0, (4,), np.float32)


class Far(CartPoleEnv):
    """Differs only where random actions do not get soon."""

    def step(self, action):
        observation, reward, *rest = super().step(action)
        return observation, reward + (observation[0] > 0.1), *rest


class Tuple(CartPoleEnv):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed, options=options)[0].tolist(), {}


class Crash(CartPoleEnv):
    def step(self, action):
        raise ZeroDivisionError("in step")


class Crowd(CartPoleEnv):
    """Depends on the process that it lives in."""

    def step(self, action):
        observation, reward, *rest = super().step(action)
        return observation, reward + os.getpid(), *rest


class Leaky(AcrobotEnv):
    def __init__(self, render_mode=None):
        AcrobotEnv.LINK_MASS_2 = 2.0
        super().__init__(render_mode=render_mode)


def register(name, base=None, **fields):
    gym.register(f"my/{name}-v0", entry_point=f"my_tasks:{name}", max_episode_steps=200)
    if base:
        rlt.register_task(f"my/{name}-v0", base=base, **fields)


gym.register("my/Heavy-v0", entry_point="my_tasks:Pole", kwargs={"masscart": 3.0})
rlt.register_task("my/Heavy-v0", base="CartPole-v1")
register("Pole", base="CartPole-v1")
for name in ("NaN", "Wide", "Tuple", "Crash", "Crowd"):
    register(name)
register("Unseeded", base="CartPole-v1")
register("Far", base="CartPole-v1")
register("Leaky", base="Acrobot-v1")
gym.register("my/Lambda-v0", entry_point=lambda **kwargs: Pole(**kwargs), max_episode_steps=200)
'''

IMPORT_LEAK = """
import gymnasium as gym
from gymnasium.envs.classic_control.acrobot import AcrobotEnv

import rltransfer.registry as rlt

AcrobotEnv.LINK_MASS_1 = 3.0
gym.register(
    "my/ImportLeak-v0", entry_point="gymnasium.envs.classic_control.acrobot:AcrobotEnv",
    max_episode_steps=500,
)
rlt.register_task("my/ImportLeak-v0", base="Acrobot-v1")
"""

NAMES = ("Heavy", "Pole", "Unseeded", "NaN", "Wide", "Far", "Tuple", "Crash", "Crowd", "Lambda")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("outside")
    (folder / "my_tasks.py").write_text(MODULE)
    (folder / "import_leak.py").write_text(IMPORT_LEAK)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setattr(registry, "_tasks", dict(registry._tasks))
        yield folder
    for id in [id for id in gym.registry if id.startswith("my/")]:
        del gym.registry[id]


@pytest.fixture(scope="module")
def reports(folder: Path) -> dict[str, CheckReport]:
    ids = [f"my_tasks:my/{name}-v0" for name in NAMES]
    return dict(zip(NAMES, check_tasks(ids), strict=True))


def status(report: CheckReport) -> dict[str, str]:
    return {result.name: result.status for result in report.results}


def reason(report: CheckReport, name: str) -> str:
    return next(result.reason for result in report.results if result.name == name)


def test_a_variant_outside_the_repository_passes(reports: dict[str, CheckReport]) -> None:
    report = reports["Heavy"]
    assert report.ok, str(report)
    assert set(status(report).values()) == {"ok"}
    assert "from step 1" in reason(report, "differs from base")


def test_the_report_is_a_table(reports: dict[str, CheckReport]) -> None:
    lines = str(reports["Heavy"]).splitlines()
    assert lines[0] == "my_tasks:my/Heavy-v0: ok"
    assert len(lines) == 1 + len(reports["Heavy"].results)
    assert len({line.index("  ", 11) for line in lines[1:] if "check_env" in line}) == 1
    assert str(reports["NaN"]).splitlines()[0] == "my_tasks:my/NaN-v0: FAILED"


def test_without_a_base_two_checks_are_skipped_with_the_cure(
    reports: dict[str, CheckReport],
) -> None:
    for name in ("differs from base", "leaves base alone"):
        assert status(reports["Wide"])[name] == "skipped"
        assert "register_task('my/Wide-v0', base=...)" in reason(reports["Wide"], name)


@pytest.mark.parametrize(
    ("task", "check", "why"),
    [
        ("Pole", "differs from base", "nothing is varied"),
        ("Far", "differs from base", r"differs_by=1: .*register_task\(..., differs_by=\d+\)"),
        ("Unseeded", "is deterministic", "self.np_random"),
        ("NaN", "is finite", "NaN or infinity .* of step 1"),
        ("Tuple", "passes check_env", "AssertionError"),
        ("Crash", "can be made", "ZeroDivisionError: in step"),
        ("Crowd", "runs in a worker", "differs in a process started with spawn, from step 1"),
        ("Lambda", "survives JSON", "string entry point"),
    ],
)
def test_what_is_wrong_is_found(
    reports: dict[str, CheckReport], task: str, check: str, why: str
) -> None:
    report = reports[task]
    assert not report.ok
    assert status(report)[check] == "failed", str(report)
    assert re.search(why, reason(report, check)), str(report)


def test_nothing_else_is_blamed(reports: dict[str, CheckReport]) -> None:
    for name in ("Pole", "Far", "Unseeded", "NaN", "Crowd"):
        failed = [check for check, s in status(reports[name]).items() if s == "failed"]
        assert len(failed) == 1, str(reports[name])


def test_chance_is_no_proof(reports: dict[str, CheckReport]) -> None:
    assert status(reports["Unseeded"])["differs from base"] == "skipped"
    assert "chance" in reason(reports["Unseeded"], "differs from base")


def test_a_task_that_does_not_run_skips_the_rest(reports: dict[str, CheckReport]) -> None:
    assert set(list(status(reports["Crash"]).values())[1:]) == {"skipped"}


def test_observations_outside_their_space_are_a_note(reports: dict[str, CheckReport]) -> None:
    assert reports["Wide"].ok, str(reports["Wide"])
    outside = [note for note in reports["Wide"].notes if "outside the declared space" in note]
    assert len(outside) == 1
    assert "  note     an observation is outside" in str(reports["Wide"])


def test_a_variant_that_writes_to_the_class_leaks(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AcrobotEnv, "LINK_MASS_2", 1.0)  # restored afterwards
    report = check_task("my_tasks:my/Leaky-v0")
    assert status(report)["differs from base"] == "ok"
    assert status(report)["leaves base alone"] == "failed"
    assert "never on the class" in reason(report, "leaves base alone")


def test_a_module_that_writes_to_the_class_when_imported_leaks(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AcrobotEnv, "LINK_MASS_1", 1.0)  # restored afterwards
    report = check_task("import_leak:my/ImportLeak-v0")
    assert status(report)["leaves base alone"] == "failed"
    assert "in a new process" in reason(report, "leaves base alone")


def test_a_class_that_workers_cannot_import_is_told(folder: Path) -> None:
    class Local(gym.Env):
        observation_space = gym.spaces.Discrete(2)
        action_space = gym.spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return 0, {}

        def step(self, action):
            return int(action), 0.0, False, False, {}

    gym.register("my/Local-v0", entry_point=Local)
    report = check_task("my/Local-v0")
    assert status(report)["can be made"] == status(report)["is deterministic"] == "ok"
    assert status(report)["runs in a worker"] == "failed"
    assert "register it in a module" in reason(report, "runs in a worker")
    assert status(report)["survives JSON"] == "failed"


def test_an_unknown_id_is_an_error_and_no_report(folder: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'my/Heavy-v0'"):
        check_task("my_tasks:my/Hevy-v0")


def test_other_spaces_are_another_task_without_more_proof() -> None:
    report = check_task("FrozenLake8x8-v1")
    assert report.ok
    assert "spaces differ" in reason(report, "differs from base")


def test_first_difference_counts_from_reset() -> None:
    a = (({"x": 1.0},), ((1, 2), 0.0, False, False))
    assert first_difference(a, a) is None
    assert first_difference(a, (({"x": 1.1},), a[1])) == 0
    assert first_difference(a, (a[0], ((1, 3), 0.0, False, False))) == 1
    assert first_difference(a, (a[0], ((1, 2), 0.0, True, False, "restart"))) == 1
    assert first_difference(a, a[:1]) == 1
    assert first_difference(a, (({"x": 1.0 + 1e-9},), a[1]), tolerance=1e-6) is None
