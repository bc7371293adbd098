"""Tasks in envpool are those of Gymnasium: from the same state, the same actions lead to the same.

Seeds cannot be compared, as envpool draws other numbers. So each first state of envpool is built
again in the Gymnasium environment, and both are stepped side by side; whether first states are
drawn alike is tested by their distribution.
"""

from __future__ import annotations

import copy
import sys
from collections import deque
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from stable_baselines3 import PPO

import rltransfer as rlt
from rltransfer import registry
from rltransfer.errors import BadArgument, MissingExtra
from rltransfer.vec import make_vec
from rltransfer.vec.pool import PooledVectorEnv, make_pool
from rltransfer.vec.pool_tasks import pool_ids

pytest.importorskip("envpool")

CONTROL = ("CartPole-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0")
# And how many positions their observations leave out.
ROBOTS = {
    "HalfCheetah-v5": 1,
    "Hopper-v5": 1,
    "Walker2d-v5": 1,
    "Swimmer-v5": 2,
    "InvertedPendulum-v5": 0,
}
ROOMS = (
    *("rlt/DoorKey-5x5-v0", "rlt/DoorKey-6x6-v0", "rlt/DoorKey-8x8-v0", "rlt/EmptyRandom-6x6-v0"),
    *("rlt/FourRooms-v0", "rlt/Unlock-v0", "rlt/UnlockPickup-v0"),
    *("rlt/LavaGapS5-v0", "rlt/LavaGapS7-v0", "rlt/DistShift1-v0", "rlt/RedBlueDoors-6x6-v0"),
    *("rlt/MemoryS11-v0", "rlt/SimpleCrossingS9N2-v0"),
)
LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE = range(6)
STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
# How MiniGrid numbers what is told apart by its place.
CODES = {2: "wall", 4: "door", 5: "key", 6: "ball", 7: "box", 8: "goal", 9: "lava"}


def pool(task: str, n: int = 1, seed: int | None = 0) -> tuple[PooledVectorEnv, np.ndarray]:
    env = make_pool(registry.spec(task), n)
    return env, env.reset(seed=seed)[0]


def test_every_task_that_is_offered_is_compared_here() -> None:
    assert set(pool_ids()) == {*CONTROL, *ROBOTS, *ROOMS, "CartPole-v0"}


def put(scalar: Any, seen: np.ndarray) -> None:
    """Set the state of a classic-control environment to that behind an observation."""
    env = scalar.unwrapped
    seen = seen.astype(np.float64)
    if len(seen) == 6:
        angles = [np.arctan2(seen[1], seen[0]), np.arctan2(seen[3], seen[2])]
        env.state = np.array([*angles, *seen[4:]])
    else:
        env.state = seen
    env.steps_beyond_terminated = None


@pytest.mark.parametrize("task", CONTROL)
def test_control_moves_alike(task: str) -> None:
    env, seen = pool(task, n=4)
    scalar = registry.make(task)
    scalar.reset(seed=0)
    scalar.action_space.seed(0)
    ends = 0
    for _ in range(1010):
        actions = np.array([scalar.action_space.sample() for _ in range(4)])
        after, rewards, terminations, truncations, infos = env.step(actions)
        last = infos["final_obs"] if infos else after
        for i in range(4):
            put(scalar, seen[i])
            expected, reward, terminated, *_ = scalar.unwrapped.step(actions[i])
            np.testing.assert_allclose(last[i], expected, rtol=2e-6, atol=2e-6)
            assert rewards[i] == pytest.approx(float(reward), rel=1e-5, abs=1e-6)
            assert terminations[i] == terminated
        ends += (terminations | truncations).sum()
        seen = after
    assert after.dtype == env.single_observation_space.dtype and ends >= 4


@pytest.mark.parametrize("task", ROBOTS)
def test_robots_move_alike(task: str) -> None:
    """Equal up to rounding, which contacts amplify: so each trajectory is short."""
    pytest.importorskip("mujoco")
    env, seen = pool(task)
    scalar: Any = registry.make(task).unwrapped
    random, hidden = np.random.default_rng(0), ROBOTS[task]
    for _ in range(25):
        scalar.reset()
        positions = np.concatenate([np.zeros(hidden), seen[0][: scalar.model.nq - hidden]])
        scalar.set_state(positions, seen[0][scalar.model.nq - hidden :])
        for _ in range(12):
            action = random.uniform(-1, 1, scalar.action_space.shape) * scalar.action_space.high
            after, reward, terminated, _, infos = env.step(action[None].astype(np.float32))
            expected, expected_reward, end, *_ = scalar.step(action.astype(np.float32))
            last = infos["final_obs"] if infos else after
            np.testing.assert_allclose(last[0], expected, rtol=1e-8, atol=1e-8)
            assert reward[0] == pytest.approx(expected_reward, rel=1e-6, abs=1e-6)
            assert terminated[0] == end
            if end:
                break
        seen, _ = env.reset(options={"reset_mask": np.array([True])})
    assert env.single_observation_space == scalar.observation_space


def build(scalar: gym.Env, env: PooledVectorEnv) -> np.ndarray:
    """Rebuild the room of envpool in MiniGrid, and return what is seen there."""
    from minigrid.core.grid import Grid
    from minigrid.core.world_object import WorldObj

    state, room = env._pool.debug_states()[0], scalar.unwrapped
    cells = np.array(state.grid).reshape(state.width, state.height, 3)
    room.reset()
    room.grid = Grid(state.width, state.height)
    for x, y in np.ndindex(state.width, state.height):
        thing = WorldObj.decode(*map(int, cells[x, y]))
        room.grid.set(x, y, thing)
        if thing is not None:
            thing.cur_pos = (x, y)
        if thing is not None and thing.type == "door":
            room.door = thing
            setattr(room, f"{thing.color}_door", thing)
        if thing is not None and thing.type == "box":
            room.obj = thing
    room.agent_pos, room.agent_dir = tuple(state.agent_pos), state.agent_dir
    if hasattr(room, "success_pos"):
        room.success_pos, room.failure_pos = remembered(room)
    return room.gen_obs()["image"].ravel()


def remembered(room: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where the hallway of MemoryEnv leads to what was seen at first, and where to the other."""
    x, y = room.width - 2, room.height // 2
    ends = [(x, y - 1), (x, y + 1)]
    first = room.grid.get(1, y - 1).type
    right = 0 if room.grid.get(x, y - 2).type == first else 1
    assert room.grid.get(x, y + (2 if right else -2)).type == first
    return ends[right], ends[1 - right]


def wish(room: Any) -> int:
    """The next action on the way to a reward: fetch the key, open the door, reach what is asked."""
    things = {t.type: (x, y) for x, y, t in cells(room) if t is not None}
    doors = [(x, y, t) for x, y, t in cells(room) if t is not None and t.type == "door"]
    shut = next(((x, y) for x, y, t in doors if not t.is_open), None)
    if shut and room.carrying is None and "key" in things:
        return towards(room, things["key"], PICKUP)
    if shut:
        return towards(room, shut, TOGGLE)
    if "goal" in things or hasattr(room, "success_pos"):
        return towards(room, things.get("goal") or room.success_pos, FORWARD)
    if room.carrying is not None:
        ahead = room.grid.get(*room.front_pos)
        return DROP if ahead is None else LEFT
    # A box that was opened is gone, with what it held.
    return towards(room, things["box"], PICKUP) if "box" in things else RIGHT


def cells(room: Any) -> list[tuple[int, int, Any]]:
    return [(x, y, room.grid.get(x, y)) for x in range(room.width) for y in range(room.height)]


def towards(room: Any, target: tuple[int, int], use: int) -> int:
    """First action of a shortest way to stand before the target, and ``use`` once there."""
    start = (*map(int, room.agent_pos), int(room.agent_dir))
    ways, todo = {start: -1}, deque([start])
    while todo:
        x, y, facing = here = todo.popleft()
        ahead = (x + STEPS[facing][0], y + STEPS[facing][1])
        if ahead == target:
            return use if ways[here] < 0 else ways[here]
        thing = room.grid.get(*ahead)
        free = thing is None or (thing.can_overlap() and thing.type != "lava")
        turns = {LEFT: (x, y, (facing - 1) % 4), RIGHT: (x, y, (facing + 1) % 4)}
        for action, there in (turns | ({FORWARD: (*ahead, facing)} if free else {})).items():
            if there not in ways:
                ways[there] = action if ways[here] < 0 else ways[here]
                todo.append(there)
    return RIGHT


@pytest.mark.parametrize("task", ROOMS)
def test_rooms_move_alike(task: str) -> None:
    """Every observation, reward and end, on ways that are half random and half to the reward."""
    pytest.importorskip("minigrid")
    env, seen = pool(task)
    scalar = registry.make(task)
    random = np.random.default_rng(0)
    scalar.reset()
    np.testing.assert_array_equal(seen[0], build(scalar, env))
    rewarded = cut = steps = 0
    wandering = 0.5
    while steps < 2500:
        steps += 1
        wander = random.random() < wandering
        action = int(random.integers(7)) if wander else wish(scalar.unwrapped)
        after, reward, terminated, truncated, infos = env.step(np.array([action]))
        expected, expected_reward, *ends, _ = scalar.step(action)
        last = infos["final_obs"] if infos else after
        np.testing.assert_array_equal(last[0], expected)
        assert reward[0] == expected_reward and [terminated[0], truncated[0]] == ends
        rewarded += reward[0] > 0
        if any(ends):
            cut += ends[1]
            np.testing.assert_array_equal(after[0], build(scalar, env))
            # Now and then nobody looks for the reward, until the time is up.
            wandering = 1.0 if (rewarded + cut) % 6 == 5 else 0.5
    assert rewarded > 10 and cut > 0
    assert after.dtype == np.uint8 and env.single_observation_space == scalar.observation_space


def first_layouts(task: str, times: int) -> tuple[list[Any], list[Any]]:
    """Where things are at first: in envpool, and in MiniGrid."""
    env, _ = pool(task, n=times)
    scalar = registry.make(task)
    scalar.reset(seed=0)
    theirs = []
    for _ in range(times):
        scalar.reset()
        room: Any = scalar.unwrapped
        theirs.append((room.grid.encode(), tuple(map(int, room.agent_pos)), int(room.agent_dir)))
    ours = [
        (np.array(s.grid).reshape(s.width, s.height, 3), tuple(s.agent_pos), s.agent_dir)
        for s in env._pool.debug_states()
    ]
    return ours, theirs


@pytest.mark.parametrize("task", ROOMS)
def test_rooms_begin_alike(task: str) -> None:
    """A chi-square test (Pearson 1900) of where each kind of thing is; 4.5 is 1 in 100,000."""
    pytest.importorskip("minigrid")
    times = 1500
    samples = first_layouts(task, times)
    kinds: dict[str, Any] = {"agent": lambda grid, place, facing: (place, facing)}
    for code, name in CODES.items():
        kinds[name] = lambda grid, *_, code=code: np.argwhere(grid[:, :, 0] == code).tobytes()
    kinds["colors"] = lambda grid, *_: tuple(grid[:, :, 1][grid[:, :, 0] >= 4])
    for name, feature in kinds.items():
        counts = [{}, {}]
        for sample, count in zip(samples, counts, strict=True):
            for layout in sample:
                value = feature(*layout)
                count[value] = count.get(value, 0) + 1
        pairs = [(counts[0].get(v, 0), counts[1].get(v, 0)) for v in counts[0] | counts[1]]
        # What is rare together is one class, so that the test holds.
        rare = [pair for pair in pairs if sum(pair) < 10]
        pairs = [pair for pair in pairs if sum(pair) >= 10]
        pairs += [(sum(a for a, _ in rare), sum(b for _, b in rare))] if rare else []
        chi = sum((a - b) ** 2 / (a + b) for a, b in pairs)
        # Wilson and Hilferty 1931: its cube root is nearly normal.
        degrees = max(len(pairs) - 1, 1)
        deviation = ((chi / degrees) ** (1 / 3) - (1 - 2 / (9 * degrees))) / (
            2 / (9 * degrees)
        ) ** 0.5
        assert deviation < 4.5, (name, chi, degrees)


@pytest.mark.parametrize("task", [*CONTROL, *ROBOTS])
def test_episodes_begin_alike(task: str) -> None:
    """A two-sample test (Kolmogorov 1933, Smirnov 1939) of each number; 2.4 is 1 in 50,000."""
    if task in ROBOTS:
        pytest.importorskip("mujoco")
    times = 300 if task in ROBOTS else 1000
    env, ours = pool(task, n=times)
    env.reset(seed=1)
    scalar = registry.make(task)
    theirs = np.array([scalar.reset(seed=i)[0] for i in range(times)])
    for mine, expected in zip(ours.T, theirs.T, strict=True):
        if np.ptp(expected) == 0:
            assert np.ptp(mine) == 0 and mine[0] == expected[0]
            continue
        both = np.concatenate([mine, expected])
        below = [np.searchsorted(np.sort(x), both, side="right") / times for x in (mine, expected)]
        assert np.abs(below[0] - below[1]).max() < 2.4 * (2 / times) ** 0.5


def spec_with_limit(task: str, limit: int) -> Any:
    spec = copy.deepcopy(registry.spec(task))
    spec.max_episode_steps = limit
    return spec


def test_an_end_at_the_time_limit_is_both() -> None:
    free = make_pool(registry.spec("CartPole-v1"), 1)
    free.reset(seed=4)
    length = next(i for i in range(1, 99) if free.step(np.array([1]))[2][0])
    for limit, ends in ((length - 1, (False, True)), (length, (True, True))):
        env = make_pool(spec_with_limit("CartPole-v1", limit), 1)
        env.reset(seed=4)
        for _ in range(limit - 1):
            assert not env.step(np.array([1]))[-1]
        _, _, terminated, truncated, infos = env.step(np.array([1]))
        assert (terminated[0], truncated[0]) == ends and set(infos) == {"final_obs", "_final_obs"}


def test_limits_are_those_of_the_task() -> None:
    for task, limit, lasts in (
        ("MountainCar-v0", None, 200),
        ("MountainCar-v0", 450, 450),
        ("rlt/DoorKey-8x8-v0", 9, 9),
        ("rlt/DoorKey-5x5-v0", 900, 250),
    ):
        spec = spec_with_limit(task, limit) if limit else registry.spec(task)
        env = make_pool(spec, 1)
        env.reset(seed=0)
        # Turning about in a room, or pushing a car one way, leads nowhere.
        for step in range(1, lasts + 1):
            *_, terminated, truncated, _ = env.step(np.array([0]))
            assert not terminated[0] and truncated[0] == (step == lasts), (task, step)


def test_each_environment_lives_by_its_own_seed() -> None:
    many, seen = pool("rlt/DoorKey-6x6-v0", n=5, seed=7)
    lives = [pool("rlt/DoorKey-6x6-v0", seed=7 + i) for i in range(5)]
    random = np.random.default_rng(0)
    ends = 0
    for step in range(900):
        if step:
            actions = random.integers(3, size=5)
            seen, *results, _ = many.step(actions)
            alone = [env.step(actions[i : i + 1]) for i, (env, _) in enumerate(lives)]
            lives = [(env, result[0]) for (env, _), result in zip(lives, alone, strict=True)]
            for part, got in enumerate(results, start=1):
                np.testing.assert_array_equal(got, np.concatenate([r[part] for r in alone]))
            ends += results[2].sum()
        np.testing.assert_array_equal(seen, np.concatenate([one for _, one in lives]))
    assert ends >= 10
    again, _ = many.reset(seed=[7, 8, 9, 10, 11])
    np.testing.assert_array_equal(again, pool("rlt/DoorKey-6x6-v0", n=5, seed=7)[1])


def test_some_can_be_reset_alone() -> None:
    env, _ = pool("CartPole-v1", n=4)
    for _ in range(3):
        before, *_ = env.step(np.ones(4, int))
    kept = before.copy()
    after, _ = env.reset(options={"reset_mask": np.array([False, True, False, True])})
    np.testing.assert_array_equal(after[[0, 2]], kept[[0, 2]])
    assert (np.abs(after[[1, 3]]) <= 0.05).all() and not np.array_equal(after, kept)
    np.testing.assert_array_equal(before, kept)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP


def test_what_cannot_be_asked_of_it() -> None:
    with pytest.raises(
        BadArgument, match=r"rlt/CartPoleLong-v0 is not in envpool.*, rlt/DoorKey-5x"
    ):
        make_vec("rlt/CartPoleLong-v0", 2, vec="envpool")
    wrapped = copy.deepcopy(registry.spec("CartPole-v1"))
    wrapped.additional_wrappers = (gym.wrappers.NormalizeReward.wrapper_spec(),)
    with pytest.raises(BadArgument, match="CartPole-v1 is not in envpool"):
        make_vec(wrapped, 2, vec="envpool")
    env, _ = pool("CartPole-v1")
    with pytest.raises(BadArgument, match=r"at least 0, one for each of 1 environments"):
        env.reset(seed=[1, 2])
    with pytest.raises(BadArgument, match="no reset options, and got low"):
        env.reset(options={"low": 0.1})


@pytest.mark.parametrize(
    ("task", "actions"),
    [
        ("CartPole-v1", np.zeros(1, int)),  # envpool would abort the process
        ("CartPole-v1", np.zeros((2, 1), int)),
        ("CartPole-v1", np.zeros(2)),
        ("CartPole-v1", np.array([0, 2])),
        ("CartPole-v1", np.array([0, -1])),
        ("MountainCarContinuous-v0", np.zeros(2, np.float32)),
    ],
)
def test_actions_outside_the_space_are_refused(task: str, actions: np.ndarray) -> None:
    with pytest.raises(ResetNeeded):
        make_pool(registry.spec(task), 2).step(actions)
    with pytest.raises(BadArgument, match="the actions"):
        pool(task, n=2)[0].step(actions)


def test_all_seeds_and_limits_of_gymnasium_are_taken() -> None:
    venv = make_vec("CartPole-v1", 2, seed=2**32 - 2, vec="envpool")
    first = venv.reset()
    venv.seed(2**32 - 2)
    np.testing.assert_array_equal(venv.reset(), first)
    for _ in range(8):  # Each draws a number of 32 bits.
        venv.seed(None)
        assert not np.array_equal(venv.reset(), first)
    make_pool(spec_with_limit("CartPole-v1", 10**12), 1).reset(seed=0)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "envpool", None)
    with pytest.raises(MissingExtra, match=r"rltransfer\[envpool\]"):
        make_vec("CartPole-v1", 2, vec="envpool")


def test_models_train_on_it() -> None:
    pytest.importorskip("minigrid")
    agents = [
        rlt.pretrain(
            *("rlt/DoorKey-5x5-v0", 128),
            **{"vec": "envpool", "n_envs": 4, "n_steps": 16, "batch_size": 32, "episodes": 2},
        )
        for _ in range(2)
    ]
    # The same seed is the same run.
    assert agents[0].sha256 == agents[1].sha256
    model = rlt.adapt(agents[0], "rlt/DoorKey-6x6-v0", "full", vec="envpool", n_envs=2, seed=1)
    assert isinstance(model, PPO) and model.get_env().unwrapped.env.num_envs == 2
