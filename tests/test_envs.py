"""Every registered task and pair is what it says it is."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.classic_control.acrobot import AcrobotEnv

import rltransfer_envs
from rltransfer import registry
from rltransfer.check import CheckReport, check_tasks
from rltransfer.errors import BadArgument, RegistrationConflict
from rltransfer.trajectories import first_difference, play
from rltransfer_envs import measure_random, minigrid, scores, wrappers
from rltransfer_envs.acrobot import Acrobot
from rltransfer_envs.cartpole import CartPole
from rltransfer_envs.family import Family
from rltransfer_envs.mountaincar import MountainCar, MountainCarContinuous
from rltransfer_envs.pendulum import Pendulum

# Box2D's SWIG types warn while they are imported, and crash where the warning is an error.
pytestmark = pytest.mark.filterwarnings("ignore:builtin type .*:DeprecationWarning")

SIMULATOR = {"box2d": "Box2D", "minigrid": "minigrid", "mujoco": "mujoco"}
TASKS = list(registry.tasks().values())
PAIRS = list(registry.pairs().values())


def is_installed(extra: str | None) -> bool:
    return extra is None or importlib.util.find_spec(SIMULATOR[extra]) is not None


def needs(extra: str | None) -> None:
    if extra is not None:
        pytest.importorskip(SIMULATOR[extra])


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CheckReport]:
    ids = [task.id for task in TASKS if is_installed(task.extra)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("log"))  # MuJoCo logs into the working folder
        return dict(zip(ids, check_tasks(ids), strict=True))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
def test_task_passes_every_check(task: registry.Task, reports: dict[str, CheckReport]) -> None:
    needs(task.extra)
    report = reports[task.id]
    assert report.ok, str(report)
    skipped = {result.name for result in report.results if result.status == "skipped"}
    expected = set() if task.base else {"differs from base", "leaves base alone"}
    assert skipped == expected, str(report)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
def test_task_says_what_it_is(task: registry.Task) -> None:
    assert task.family and task.summary
    assert task.base is None or (
        (task.base in registry.tasks() and task.params) or "8x8" in task.id
    )
    assert task.random is not None
    assert "measure_random" in task.scores_from and "gymnasium" in task.scores_from


@pytest.mark.parametrize("task", [t for t in TASKS if t.mission], ids=lambda task: task.id)
def test_mission_is_that_of_the_environment(task: registry.Task) -> None:
    needs(task.extra)
    env = registry.make(task.id)
    for seed in range(10):
        env.reset(seed=seed)
        assert env.get_wrapper_attr("mission") == task.mission


def test_a_task_of_minigrid_has_a_mission_unless_it_changes() -> None:
    without = {t.id for t in TASKS if t.family == "minigrid" and not t.mission}
    assert without == {"rlt/UnlockPickup-v0"}
    pytest.importorskip("minigrid")
    env = registry.make("rlt/UnlockPickup-v0")
    missions = set()
    for seed in range(10):
        env.reset(seed=seed)
        missions.add(env.get_wrapper_attr("mission"))
    assert len(missions) > 1


def test_sets_of_rooms_to_learn_together_share_their_spaces() -> None:
    pytest.importorskip("minigrid")
    assert [len(set(rooms)) for rooms in (minigrid.MT3, minigrid.MT5, minigrid.MT7)] == [3, 5, 7]
    assert minigrid.MT5[:3] == minigrid.MT3 and minigrid.MT7[:5] == minigrid.MT5
    for id in minigrid.MT7:
        env = registry.make(id)
        assert env.observation_space == gym.spaces.Box(0, 255, (147,), np.uint8)
        assert env.action_space == gym.spaces.Discrete(7)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_pair_leads_from_a_task_to_another(pair: registry.Pair) -> None:
    known = registry.tasks()
    assert pair.source in known and pair.target in known and pair.source != pair.target
    assert len(pair.why) > 40, "says what changes, and why transfer should help or hurt"
    assert 10_000 <= pair.steps <= 500_000


def test_there_are_enough_pairs_and_negative_controls() -> None:
    hurt = [pair for pair in PAIRS if pair.expect == "hurt"]
    without_extra = [p for p in PAIRS if registry.task(p.target).extra is None]
    assert len(PAIRS) >= 26
    assert len(hurt) >= 6
    assert {"action", "observation", "reward", "layout"} <= {pair.shift for pair in hurt}
    assert sum(pair.agent is not None for pair in without_extra) >= 14


def test_registering_again_changes_nothing() -> None:
    before = (registry.tasks(), registry.pairs(), dict(gym.registry))
    importlib.reload(rltransfer_envs)
    assert (registry.tasks(), registry.pairs(), dict(gym.registry)) == before


def test_an_id_that_gymnasium_has_otherwise_is_refused() -> None:
    family = Family(
        name="test", source="rlt/CartPoleLong-v0", summary="s", entry_point="a:B", steps=1
    )
    with pytest.raises(RegistrationConflict, match="'rlt/CartPoleLong-v0'"):
        family.register(())


CLASSES = [
    (
        CartPole,
        "CartPole-v1",
        ["gravity", "masscart", "masspole", "length", "force_mag", "tau", "goal"],
    ),
    (Pendulum, "Pendulum-v1", ["g", "mass", "length"]),
    (MountainCar, "MountainCar-v0", ["force", "gravity"]),
    (MountainCarContinuous, "MountainCarContinuous-v0", ["power", "gravity"]),
    (
        Acrobot,
        "Acrobot-v1",
        ["mass_1", "mass_2", "length_1", "com_1", "com_2", "moi", "torque"],
    ),
]


@pytest.mark.parametrize(("kind", "stock", "_"), CLASSES, ids=lambda x: getattr(x, "__name__", ""))
def test_default_physics_are_those_of_gymnasium(kind: type[gym.Env], stock: str, _) -> None:
    limit = gym.spec(stock).max_episode_steps
    assert limit is not None
    ours = tuple(play(gym.wrappers.TimeLimit(kind(), limit), seed=3, steps=600))
    theirs = tuple(play(gym.make(stock), seed=3, steps=600))
    # MountainCarContinuous rounds its state to float32 at another place.
    assert first_difference(ours, theirs, tolerance=1e-6) is None


@pytest.mark.parametrize(
    ("kind", "parameter"),
    [(kind, parameter) for kind, _, parameters in CLASSES for parameter in parameters],
)
def test_each_physical_parameter_alone_changes_the_first_step(
    kind: type[gym.Env], parameter: str
) -> None:
    stock = tuple(play(kind(), seed=0, steps=1))
    # 0.013 is not the default of any of them.
    changed = tuple(play(kind(**{parameter: 0.013}), seed=0, steps=1))
    assert first_difference(stock, changed, tolerance=1e-9) == 1


@pytest.mark.parametrize(
    ("kind", "kwargs"),
    [
        (CartPole, {"masspole": 0.0}),
        (CartPole, {"tau": -0.02}),
        (CartPole, {"force_mag": float("nan")}),
        (CartPole, {"goal": float("inf")}),
        (Pendulum, {"length": 0.0}),
        (Pendulum, {"g": float("inf")}),
        (MountainCar, {"force": 0.0}),
        (MountainCarContinuous, {"power": -1.0}),
        (Acrobot, {"mass_2": 0.0}),
        (Acrobot, {"torque": -1.0}),
    ],
)
def test_impossible_physics_are_refused(kind: type[gym.Env], kwargs: dict) -> None:
    with pytest.raises(BadArgument, match=f"{next(iter(kwargs))} is .*; give a finite number"):
        kind(**kwargs)


def test_cartpole_follows_the_equations_of_a_heavier_longer_pole() -> None:
    env = CartPole(masscart=2.0, masspole=0.5, length=1.5, gravity=5.0, force_mag=4.0, tau=0.1)
    env.reset(seed=0)
    x, x_dot, theta, theta_dot = (np.float64(v) for v in env.unwrapped.state)
    # Florian (2007), "Correct equations for the dynamics of the cart-pole system", eq. 23 and 24,
    # without friction.
    total = 2.5
    push = (4.0 + 0.5 * 1.5 * theta_dot**2 * np.sin(theta)) / total
    theta_acc = (5.0 * np.sin(theta) - np.cos(theta) * push) / (
        1.5 * (4 / 3 - 0.5 * np.cos(theta) ** 2 / total)
    )
    x_acc = push - 0.5 * 1.5 * theta_acc * np.cos(theta) / total
    expected = [
        x + 0.1 * x_dot,
        x_dot + 0.1 * x_acc,
        theta + 0.1 * theta_dot,
        theta_dot + 0.1 * theta_acc,
    ]
    np.testing.assert_allclose(env.step(1)[0], expected, rtol=1e-6)


def test_continuous_mountain_car_rolls_under_its_own_gravity() -> None:
    env = MountainCarContinuous(gravity=0.004, power=0.001)
    (position, _), _ = env.reset(seed=0)
    expected = 0.5 * 0.001 - 0.004 * np.cos(3 * position)
    velocity = env.step(np.array([0.5], dtype=np.float32))[0][1]
    np.testing.assert_allclose(velocity, expected, rtol=1e-5)


def test_acrobot_leaves_the_class_alone() -> None:
    before = dict(vars(AcrobotEnv))
    env = Acrobot(mass_1=2.0, mass_2=3.0, length_1=1.4, com_2=0.3, moi=2.0, torque=0.5)
    assert dict(vars(AcrobotEnv)) == before
    assert (env.LINK_MASS_2, env.LINK_COM_POS_1, env.AVAIL_TORQUE) == (3.0, 0.7, [-0.5, 0.0, 0.5])


@pytest.mark.parametrize(
    ("kind", "stock", "kwargs", "message"),
    [
        (wrappers.PermuteActions, "CartPole-v1", {"permutation": [0, 0]}, "not a permutation"),
        (wrappers.PermuteActions, "Pendulum-v1", {"permutation": [0]}, "not a permutation"),
        (wrappers.FlipActions, "CartPole-v1", {}, "low == -high"),
        (wrappers.OffsetObservation, "CartPole-v1", {"offset": [1.0]}, "4 finite numbers"),
        (wrappers.OffsetObservation, "CartPole-v1", {"offset": [np.nan] * 4}, "4 finite numbers"),
        (wrappers.OffsetObservation, "FrozenLake-v1", {"offset": [1.0]}, "Box"),
        (wrappers.PermuteObservation, "CartPole-v1", {"permutation": [0, 1]}, "not a permutation"),
        (wrappers.ScaleObservation, "CartPole-v1", {"scale": [1.0, 2.0]}, "4 finite numbers > 0"),
        (wrappers.ScaleObservation, "CartPole-v1", {"scale": [1, 1, 1, 0]}, "4 finite numbers > 0"),
        (wrappers.NoisyObservation, "CartPole-v1", {"std": [0, 0, 0, -1]}, "4 finite numbers >= 0"),
        (wrappers.PushContinuously, "Pendulum-v1", {}, "a CartPole's own two actions"),
    ],
)
def test_wrappers_refuse_what_does_not_fit(
    kind: type[gym.Wrapper], stock: str, kwargs: dict, message: str
) -> None:
    with pytest.raises(BadArgument, match=message):
        kind(gym.make(stock), **kwargs)


def test_wrappers_change_what_they_say() -> None:
    env = gym.make("CartPole-v1")
    raw = env.reset(seed=5)[0]
    shifted = wrappers.OffsetObservation(gym.make("CartPole-v1"), offset=[1.0, 0.0, -2.0, 0.0])
    np.testing.assert_array_equal(shifted.reset(seed=5)[0], raw + np.float32([1, 0, -2, 0]))
    permuted = wrappers.PermuteObservation(gym.make("CartPole-v1"), permutation=[3, 0, 1, 2])
    np.testing.assert_array_equal(permuted.reset(seed=5)[0], raw[[3, 0, 1, 2]])
    swapped = wrappers.PermuteActions(gym.make("CartPole-v1"), permutation=[1, 0])
    swapped.reset(seed=5)
    np.testing.assert_array_equal(swapped.step(0)[0], env.step(1)[0])
    pendulum = gym.make("Pendulum-v1")
    flipped = wrappers.FlipActions(gym.make("Pendulum-v1"))
    pendulum.reset(seed=5)
    flipped.reset(seed=5)
    np.testing.assert_array_equal(
        flipped.step(np.float32([0.7]))[0], pendulum.step(np.float32([-0.7]))[0]
    )


def test_scaled_sensors_read_in_other_units() -> None:
    raw = gym.make("CartPole-v1").reset(seed=5)[0]
    scaled = wrappers.ScaleObservation(gym.make("CartPole-v1"), scale=[3.0, 0.5, 2.0, 0.25])
    np.testing.assert_array_equal(scaled.reset(seed=5)[0], raw * np.float32([3, 0.5, 2, 0.25]))
    assert scaled.observation_space.high[0] == pytest.approx(14.4)


def test_noise_has_its_deviations_and_leaves_the_physics_alone() -> None:
    std = np.array([0.1, 0.0, 0.03, 1.0])
    clear, noisy = (
        play(env, seed=7, steps=4000)
        for env in (
            gym.make("CartPole-v1"),
            wrappers.NoisyObservation(gym.make("CartPole-v1"), std=std.tolist()),
        )
    )
    pairs = list(zip(clear, noisy, strict=True))
    assert all(one[1:4] == other[1:4] for one, other in pairs)
    noise = np.array([other[0] - one[0] for one, other in pairs])
    np.testing.assert_allclose(noise.std(axis=0), std, rtol=0.05)
    np.testing.assert_allclose(noise.mean(axis=0), 0.0, atol=0.05)
    assert abs(np.corrcoef(noise[1:, 0], noise[:-1, 0])[0, 1]) < 0.05


def test_a_goal_rewards_being_near_it() -> None:
    env = CartPole(goal=1.2)
    env.reset(seed=0)
    for start, expected in ((1.2, 1.0), (0.0, 0.5), (2.4, 0.5), (-1.3, 0.0)):
        env.state = np.array([start, 0.0, 0.0, 0.0])
        assert env.step(0)[1] == pytest.approx(expected)


def test_pushes_of_any_strength_are_those_of_carts_with_that_force() -> None:
    continuous = wrappers.PushContinuously(gym.make("CartPole-v1"))
    for push, force, action in ((0.3, 3.0, 1), (-0.5, 5.0, 0), (-7.0, 10.0, 0), (1.0, 10.0, 1)):
        weak = CartPole(force_mag=force)
        weak.reset(seed=5), continuous.reset(seed=5)
        found = continuous.step(np.float32([push]))[0]
        np.testing.assert_allclose(found, weak.step(action)[0], rtol=1e-6)


def test_altered_mujoco_models_keep_their_alteration_over_resets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mujoco")
    from rltransfer_envs.mujoco import CHEETAH_CLASS, altered

    monkeypatch.chdir(tmp_path)
    stock = altered(robot=CHEETAH_CLASS).unwrapped.model
    env = altered(robot=CHEETAH_CLASS, gravity=0.5, friction=0.3, mass=1.5, gear=0.5, dead="bthigh")
    env.reset(seed=0)
    model = env.unwrapped.model
    np.testing.assert_allclose(model.opt.gravity, [0, 0, -9.81 / 2])
    np.testing.assert_allclose(model.geom_friction[:, 0], stock.geom_friction[:, 0] * 0.3)
    np.testing.assert_allclose(model.body_mass.sum(), 14 * 1.5)
    np.testing.assert_allclose(model.body_subtreemass, stock.body_subtreemass * 1.5)
    np.testing.assert_allclose(model.actuator_gear[:, 0], [0, 45, 30, 60, 30, 15])
    untouched = tuple(play(altered(robot=CHEETAH_CLASS), seed=0, steps=50))
    theirs = tuple(play(gym.make("HalfCheetah-v5"), seed=0, steps=50))
    assert first_difference(untouched, theirs, tolerance=1e-9) is None
    with pytest.raises(BadArgument, match="gear is 0"):
        altered(robot=CHEETAH_CLASS, gear=0.0)


def test_random_scores_are_those_that_the_tool_measures() -> None:
    # The whole of a fast task: 100 episodes.
    measured = measure_random.entry("rlt/CartPoleLong-v0")
    assert measured["random"] == registry.task("rlt/CartPoleLong-v0").random
    low, high = measured["random_ci"]
    assert low < measured["random"] < high


def test_scores_merge_keeps_what_others_measured(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    scores.merge({"a": {"random": 1.0, "random_ci": [0.0, 2.0]}}, path)
    scores.merge({"a": {"reference": 5.0, "random": 2.0}, "b": {"random": 3.0}}, path)
    assert json.loads(path.read_text()) == {
        "a": {"random": 2.0, "random_ci": [0.0, 2.0], "reference": 5.0},
        "b": {"random": 3.0},
    }
    assert list(tmp_path.iterdir()) == [path]
    assert scores.load(tmp_path / "none.json") == {}


def test_score_fields_tolerate_missing_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    held = {
        "full": {
            "random": 1.0,
            "random_from": {"command": "roll", "versions": {"gymnasium": "1"}, "date": "today"},
            "reference": 2.0,
            "command": "train",
        },
        "bare": {"random": 1.0},
    }
    monkeypatch.setattr(scores, "_frozen", lambda: held)
    assert scores.task_fields("full") == {
        "random": 1.0,
        "reference": 2.0,
        "scores_from": "random: roll | gymnasium 1 | today; reference: train",
    }
    assert scores.task_fields("bare") == {
        "random": 1.0,
        "reference": None,
        "scores_from": "random: unknown",
    }
    assert scores.task_fields("none") == {"random": None, "reference": None, "scores_from": ""}


def test_measuring_an_unknown_task_says_so_and_fails(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="error: no task is named 'CartPole-v9'"):
        measure_random.main(["CartPole-v9"])
