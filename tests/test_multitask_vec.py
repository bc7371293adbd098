"""Environments of several tasks behind one VecEnv, in packed spaces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import packed_cases as cases
import pytest
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from rltransfer.errors import BadArgument, SpaceMismatch
from rltransfer.policies.packing import Packing, action_size
from rltransfer.policies.tasks import PolicyTask
from rltransfer.training.multitask import MultiTaskPPO
from rltransfer.vec import MultiTaskVecEnv, make_vec, task_of

APART = 100_003
KINDS = ("vector", "masked", "dict", "continuous", "classes")
CLASSIC = ("CartPole-v1", "Pendulum-v1", "Acrobot-v1")


@pytest.fixture(autouse=True, scope="module")
def _registered() -> None:
    cases.register()


def described(ids: Any) -> list[PolicyTask]:
    found = []
    for id in ids:
        venv = make_vec(id, 1)
        found.append(task_of(id, venv))
        venv.close()
    return found


def env_of(ids: Any, counts: Any, **options: Any) -> MultiTaskVecEnv:
    tasks = described(ids)

    def make(index: int, count: int, seed: int | None) -> VecEnv:
        return make_vec(tasks[index].id, count, seed=seed)

    return MultiTaskVecEnv(tasks, counts, make, **options)


@pytest.fixture
def small() -> Iterator[MultiTaskVecEnv]:
    env = env_of([f"small/{kind}-v0" for kind in KINDS], [2, 1, 2, 1, 1])
    env.seed(11)
    yield env
    env.close()


def random_actions(env: MultiTaskVecEnv, rng: np.random.Generator) -> np.ndarray:
    """Packed actions, some out of bounds where a task is continuous, each in the task's numbers."""
    packed = np.zeros((env.num_envs, *env.action_space.shape), np.float32)
    for row, index in enumerate(env.task_of_row):
        space: Any = env.tasks[index].action_space
        if isinstance(space, gym.spaces.Box):
            own = rng.normal(0, 2, space.shape)
        else:
            counts = getattr(space, "nvec", np.full(action_size(space), getattr(space, "n", 2)))
            counts = (
                np.full(len(counts), 2) if isinstance(space, gym.spaces.MultiBinary) else counts
            )
            own = rng.integers(0, counts)
        packed[row, : action_size(space)] = own
    return packed


@pytest.mark.parametrize(
    ("ids", "counts", "steps"),
    [
        ([f"small/{kind}-v0" for kind in KINDS], [2, 1, 3, 2, 1], 12),
        (CLASSIC, [5, 2, 3], 300),
        (CLASSIC, [0, 2, 4], 30),
    ],
    ids=["small", "classic", "one-not-played"],
)
def test_rows_are_those_of_the_single_environments(ids: Any, counts: Any, steps: int) -> None:
    env, rng = env_of(ids, counts), np.random.default_rng(0)
    seeds = env.seed(7)
    starts = np.cumsum([0, *counts])[:-1]
    single = {
        index: make_vec(id, counts[index], seed=7 + int(starts[index]) + APART * index)
        for index, id in enumerate(ids)
        if counts[index]
    }
    assert seeds == [7 + row + APART * int(env.task_of_row[row]) for row in range(env.num_envs)]

    def packed(index: int, seen: Any) -> np.ndarray:
        venv = single[index]
        masks = np.stack(venv.env_method("action_masks")) if env.packing.masks[index] else None
        return env.packing.observations(index, seen, masks)

    assert np.array_equal(
        env.reset(), np.concatenate([packed(i, venv.reset()) for i, venv in single.items()])
    )
    ended = 0
    for _ in range(steps):
        actions = random_actions(env, rng)
        observations, rewards, dones, infos = env.step(actions)
        assert env.observation_space.contains(observations[0]) and observations.dtype == np.float32
        for index, venv in single.items():
            rows = slice(starts[index], starts[index] + counts[index])
            seen, reward, done, told = venv.step(env.packing.actions(index, actions[rows]))
            assert np.array_equal(observations[rows], packed(index, seen))
            assert np.array_equal(rewards[rows], reward) and np.array_equal(dones[rows], done)
            for row, one in enumerate(told):
                mine = infos[starts[index] + row]
                assert ("task" in mine) == bool(done[row])
                last = one.get("terminal_observation")
                assert ("terminal_observation" in mine) == (last is not None)
                if last is not None:
                    ended += 1
                    _check_terminal(env, index, mine["terminal_observation"], last)
                    assert mine["task"] == ids[index]
                    assert mine["episode"]["r"] == one["episode"]["r"]
                    assert mine["TimeLimit.truncated"] == one["TimeLimit.truncated"]
    assert ended >= 3 or steps < 100
    for venv in (env, *single.values()):
        venv.close()


def _check_terminal(env: MultiTaskVecEnv, index: int, packed: np.ndarray, last: Any) -> None:
    one = {k: np.asarray(v)[None] for k, v in last.items()} if isinstance(last, dict) else last
    batch = one if isinstance(last, dict) else np.asarray(last)[None]
    flags = env.packing.masks[index]
    expected = env.packing.observations(index, batch, np.ones((1, flags)) if flags else None)
    assert np.array_equal(packed, expected[0])


def test_what_a_row_holds(small: MultiTaskVecEnv) -> None:
    rows = small.reset()
    assert rows.shape == (7, 1 + 5) and small.task_of_row.tolist() == [0, 0, 1, 2, 2, 3, 4]
    assert np.array_equal(rows[:, 0], small.task_of_row)
    assert small.packing.sizes == [3, 2, 4, 4, 2] and small.packing.masks == [0, 3, 0, 0, 0]
    assert not rows[0, 4:].any() and not rows[6, 3:].any()
    # The mask follows the task's own two numbers; the first step forbids the first action.
    assert rows[2, 3:].tolist() == [0, 1, 1]
    small.step(np.zeros((7, 2), np.float32))
    assert small.step(np.zeros((7, 2), np.float32))[0][2, 3:].tolist() == [1, 1, 0]


def test_actions_reach_each_task_in_its_own_space(small: MultiTaskVecEnv) -> None:
    small.reset()
    small.step(np.float32([[1, 9], [0, 9], [2, 9], [1, 2], [0, 1], [-7, 7], [1, 0]]))
    taken = [one[0] for one in small.get_attr("taken")]
    assert taken[:2] == [1, 0]
    assert taken[2] == 3, "a Discrete that starts at 1 is packed from 0"
    assert taken[3].tolist() == [1, 2] and taken[4].tolist() == [0, 1]
    assert taken[5].tolist() == [-1, 2], "clipped to the task's own bounds"
    assert taken[6].tolist() == [1, 0]


def test_every_method_of_a_vecenv(small: MultiTaskVecEnv) -> None:
    small.reset()
    assert [info for info in small.reset_infos] == [{"start": True}] * 7
    small.step(np.zeros((7, 2), np.float32))
    assert small.get_attr("step_count") == [1] * 7
    assert small.get_attr("step_count", [1, 6]) == [1, 1]
    small.set_attr("step_count", 4, indices=[0, 5])
    assert small.get_attr("step_count") == [4, 1, 1, 1, 1, 4, 1]
    assert small.get_attr("step_count", -1) == [1]
    assert small.env_method("double", 3, more=1) == [7] * 7
    assert small.env_method("double", 3, indices=[2]) == [6]
    assert small.env_method("action_masks", indices=2)[0].tolist() == [True, False, True]
    assert small.env_is_wrapped(Monitor) == [True] * 7
    assert small.env_is_wrapped(gym.wrappers.ClipReward, indices=[0]) == [False]
    assert small.out_of_bounds == 0
    assert small.num_envs == 7 and len(small.blocks) == 5
    assert small.seed(None) == [None] * 7


def test_frames_of_all_environments() -> None:
    def make(index: int, count: int, seed: int | None) -> VecEnv:
        return DummyVecEnv([cases.Shown] * count)

    tasks = described(["small/vector-v0", "small/other-v0"])
    env = MultiTaskVecEnv(tasks, [2, 1], make)
    env.reset()
    env.step(np.zeros((3, 1), np.float32))
    assert [int(frame[0, 0, 0]) for frame in env.get_images() if frame is not None] == [1, 1, 1]
    env.close()


def test_a_seed_repeats_and_another_differs(small: MultiTaskVecEnv) -> None:
    first = small.reset()
    small.seed(11)
    assert np.array_equal(small.reset(), first)
    small.seed(12)
    assert not np.array_equal(small.reset(), first)


def test_blocks_move_to_other_tasks() -> None:
    env = env_of(["CartPole-v1", "Pendulum-v1", "small/vector-v0"], [4, 2, 2], block=2)
    env.seed(3)
    before = env.reset()
    assert [block.task for block in env.blocks] == [0, 0, 1, 2]
    rows, first = env.assign([0, 1, 1, 2])
    assert rows.tolist() == [2, 3] and first.shape == (2, env.packing.width)
    assert first[:, 0].tolist() == [1, 1] and env.task_of_row.tolist() == [0, 0, 1, 1, 1, 1, 2, 2]
    alone = make_vec("Pendulum-v1", 2, seed=3 + 2 + APART)
    assert np.array_equal(first, env.packing.observations(1, alone.reset()))
    seen, *_ = env.step(np.zeros((8, 1), np.float32))
    assert seen[:, 0].tolist() == env.task_of_row.tolist()
    still = make_vec("CartPole-v1", 2, seed=3)
    still.reset()
    kept = still.step(np.zeros(2, np.int64))[0]
    assert np.array_equal(seen[:2], env.packing.observations(0, kept)), "others were not touched"
    assert np.array_equal(before[:2, 1:5], still.reset()[:, :4]) is False
    same, none = env.assign([0, 1, 1, 2])
    assert same.shape == (0,) and none.shape == (0, env.packing.width)
    back, again = env.assign([0, 0, 1, 2])
    assert back.tolist() == [2, 3]
    assert not np.array_equal(again, before[2:4]), "a task that returns goes on with its stream"
    for venv in (env, alone, still):
        venv.close()


@pytest.mark.parametrize(
    ("counts", "block", "words"),
    [([1], None, "for 2 tasks"), ([0, 0], None, "0 for one"), ([-1, 2], None, "is \\[-1, 2\\]"),
     ([2, 3], 2, "a multiple of 2")],
)  # fmt: skip
def test_counts_that_do_not_fit(counts: list[int], block: int | None, words: str) -> None:
    with pytest.raises(BadArgument, match=words):
        env_of(["CartPole-v1", "Pendulum-v1"], counts, block=block)


def test_a_task_needs_spaces_that_can_be_packed() -> None:
    venv: Any = type("V", (), {"observation_space": gym.spaces.Text(3),
                               "action_space": gym.spaces.Box(-1, 1)})  # fmt: skip
    with pytest.raises(SpaceMismatch, match="cannot read"):
        task_of("text", venv)


def test_one_mask_is_needed_for_each_masked_task() -> None:
    packing = Packing(described(["small/masked-v0"]))
    with pytest.raises(BadArgument, match="has action masks"):
        packing.observations(0, np.zeros((1, 2), np.float32))


def test_only_this_environment_trains_many_tasks() -> None:
    import rltransfer as rlt

    model = rlt.fresh_multitask(["CartPole-v1"], n_envs=1, n_steps=8)
    assert isinstance(model, MultiTaskPPO) and model.tasks_env.num_envs == 1
    model.get_env().close()  # pyright: ignore[reportOptionalMemberAccess]
    model.env = make_vec("CartPole-v1", 1)
    with pytest.raises(BadArgument, match="MultiTaskVecEnv"):
        _ = model.tasks_env
