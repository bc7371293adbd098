"""A natively vectorised batch lives the lives of scalar environments, bit by bit."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec, WrapperSpec
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from rltransfer import registry, vectorizing
from rltransfer.errors import BadArgument, RegistrationConflict, UnknownName
from rltransfer.vectorizing import register_vectorized, vectorized, why_not
from rltransfer_envs import wrappers as scalar_wrappers
from rltransfer_envs.vectorized import (
    VectorAcrobot,
    VectorCartPole,
    VectorMountainCar,
    VectorMountainCarContinuous,
    VectorPendulum,
    mixture,
)
from rltransfer_envs.vectorized.numerics import scalar_square, scalar_square_single
from rltransfer_envs.vectorized.wrappers import (
    VectorFlipActions,
    VectorOffsetObservation,
    VectorPermuteActions,
    VectorPermuteObservation,
    VectorPushContinuously,
)

NATIVE = [id for id in registry.tasks() if not why_not(registry.spec(id))]
STOCK = ["Acrobot-v1", "CartPole-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1"]
CLASSES = dict(
    zip(
        STOCK,
        (
            VectorAcrobot,
            VectorCartPole,
            VectorMountainCar,
            VectorMountainCarContinuous,
            VectorPendulum,
        ),
        strict=True,
    )
)
WRAPPED = [
    f"rlt/CartPole{shift}-v0" for shift in ("Offset", "Permuted", "Scaled", "Noisy", "Continuous")
]


def make(spec: EnvSpec, num_envs: int) -> VectorEnv:
    maker = vectorized(spec)
    assert maker is not None, why_not(spec)
    return maker(num_envs)


def changed(id: str, /, **fields: Any) -> EnvSpec:
    spec = copy.deepcopy(registry.spec(id))
    for name, value in fields.items():
        setattr(spec, name, value)
    return spec


class Scalars:
    """Scalar environments, each stepped on its own and reset when it ends."""

    def __init__(self, specs: list[EnvSpec]) -> None:
        self.envs = [registry.make(spec) for spec in specs]

    def reset(self, seeds: list[int | None], **kwargs: Any) -> NDArray[np.float32]:
        pairs = zip(self.envs, seeds, strict=True)
        return np.stack([env.reset(seed=seed, **kwargs)[0] for env, seed in pairs])

    def step(self, actions: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Return final observations, observations, rewards, terminations, truncations."""
        rows = []
        for env, action in zip(self.envs, actions, strict=True):
            last, reward, terminated, truncated, _ = env.step(action)
            following = env.reset()[0] if terminated or truncated else last
            rows.append((last, following, reward, terminated, truncated))
        return tuple(np.stack(column) for column in zip(*rows, strict=True))


class Actions:
    """Actions that reach both ends of an episode: half the environments push along the motion."""

    def __init__(self, space: spaces.Space, num_envs: int) -> None:
        self._rng = np.random.default_rng(11)
        self._space, self._shape = space, (num_envs,)

    def __call__(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        # Velocities come last in every one of these observations, but for CartPole's.
        along = (np.arange(self._shape[0]) % 2 == 0) & (self._rng.random(self._shape) < 0.9)
        motion = np.sign(observations[:, -1])
        if isinstance(self._space, spaces.Discrete):
            n = int(self._space.n)
            return np.where(along, (motion > 0) * (n - 1), self._rng.integers(n, size=self._shape))
        assert isinstance(self._space, spaces.Box)
        random = self._rng.uniform(-1.3, 1.3, self._shape)
        return (np.where(along, motion, random)[:, None] * self._space.high).astype(np.float32)


def assert_same(ours: Any, theirs: Any) -> None:
    """Equal in every bit, the sign of zero included."""
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    assert ours.tobytes() == theirs.tobytes(), (ours, theirs)


def compare(
    batch: VectorEnv, scalars: Scalars, observations: NDArray[np.float32], steps: int
) -> NDArray[np.int64]:
    """Step both with equal actions; return how many (terminations, truncations) there were."""
    ends = np.zeros(2, dtype=np.int64)
    actions = Actions(batch.single_action_space, batch.num_envs)
    for _ in range(steps):
        chosen = actions(observations)
        observations, rewards, terminations, truncations, infos = batch.step(chosen)
        final, *expected = scalars.step(chosen)
        for ours, theirs in zip(
            (observations, rewards, terminations, truncations), expected, strict=True
        ):
            assert_same(ours, theirs)
        done = terminations | truncations
        assert infos.keys() == ({"final_obs", "_final_obs"} if done.any() else set())
        if done.any():
            assert_same(infos["_final_obs"], done)
            assert_same(infos["final_obs"][done], final[done])
        ends += (terminations.sum(), truncations.sum())
    return ends


def pair(spec: EnvSpec, num_envs: int, seed: int) -> tuple[VectorEnv, Scalars, Any]:
    """Make both, reset to equal observations."""
    batch, scalars = make(spec, num_envs), Scalars([spec] * num_envs)
    observations, infos = batch.reset(seed=seed)
    assert infos == {}
    assert_same(observations, scalars.reset([seed + i for i in range(num_envs)]))
    return batch, scalars, observations


def test_all_classic_control_is_native_and_nothing_else() -> None:
    families = {"cartpole", "pendulum", "mountaincar", "mountaincar-continuous", "acrobot"}
    expected = [task.id for task in registry.tasks().values() if task.family in families]
    assert expected == NATIVE
    assert set(STOCK) < set(NATIVE) and len(NATIVE) > 30


@pytest.mark.parametrize("id", NATIVE)
def test_a_batch_is_bit_equal_to_scalar_environments(id: str) -> None:
    batch, scalars, observations = pair(registry.spec(id), 6, seed=100)
    assert compare(batch, scalars, observations, steps=1100).sum() > 0


@pytest.mark.parametrize("id", STOCK)
def test_first_observations_of_many(id: str) -> None:
    scalar = registry.make(id)
    expected = np.stack([scalar.reset(seed=seed)[0] for seed in range(300)])
    assert_same(make(registry.spec(id), 300).reset(seed=0)[0], expected)


@pytest.mark.parametrize("id", STOCK)
@pytest.mark.parametrize("limit", [1, 37, None])
def test_time_limits(id: str, limit: int | None) -> None:
    spec = changed(id, max_episode_steps=limit)
    batch, scalars, observations = pair(spec, 3, seed=5)
    terminated, truncated = compare(batch, scalars, observations, steps=450)
    assert truncated == 0 if limit is None else truncated > 0
    if limit is None and id != "Pendulum-v1":
        assert terminated > 0


def test_an_episode_that_falls_at_its_limit_is_both_terminated_and_truncated() -> None:
    free, right = VectorCartPole(1), np.array([1, 1])
    free.reset(seed=0)
    fall = next(step for step in range(1, 99) if free.step(right[:1])[2].any())
    batch = VectorCartPole(2, max_episode_steps=[fall, None])
    batch.reset(seed=[0, 0])
    for _ in range(fall - 1):
        assert batch.step(right)[-1] == {}
    _, rewards, terminations, truncations, infos = batch.step(right)
    assert terminations.tolist() == [True, True] and truncations.tolist() == [True, False]
    assert rewards.tolist() == [1.0, 1.0] and infos["_final_obs"].tolist() == [True, True]


@pytest.mark.parametrize("id", STOCK)
def test_the_batch_has_the_spaces_of_the_scalar_environment(id: str) -> None:
    batch, scalar = make(registry.spec(id), 3), registry.make(id)
    assert batch.single_observation_space == scalar.observation_space
    assert batch.single_action_space == scalar.action_space
    assert batch.observation_space.shape == (3, *batch.single_observation_space.shape)
    assert batch.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert batch.spec == registry.spec(id) and batch.num_envs == 3


@pytest.mark.parametrize("id", WRAPPED)
def test_a_wrapped_batch_has_the_spaces_of_the_wrapped_environment(id: str) -> None:
    batch, scalar = make(registry.spec(id), 3), registry.make(id)
    assert batch.single_observation_space == scalar.observation_space
    assert batch.single_action_space == scalar.action_space
    assert batch.observation_space.shape == (3, 4)
    assert batch.spec is not None and batch.spec.id == id


@pytest.mark.parametrize("id", STOCK)
def test_the_second_reset_goes_on_with_the_generators(id: str) -> None:
    batch, scalars, observations = pair(registry.spec(id), 4, seed=9)
    compare(batch, scalars, observations, steps=30)
    observations, _ = batch.reset()
    assert_same(observations, scalars.reset([None] * 4))
    observations, _ = batch.reset(seed=[3, None, 1, None])
    assert_same(observations, scalars.reset([3, None, 1, None]))
    compare(batch, scalars, observations, steps=250)


@pytest.mark.parametrize("id", [*STOCK, *WRAPPED])
def test_a_mask_resets_some_and_leaves_the_others_alone(id: str) -> None:
    spec = registry.spec(id)
    batch, scalars, observations = pair(spec, 4, seed=9)
    compare(batch, scalars, observations, steps=7)
    mask = np.array([True, False, False, True])
    options = {"reset_mask": mask}
    before = batch.step(np.zeros(batch.action_space.shape, batch.action_space.dtype))[0]
    expected = scalars.step(np.zeros(batch.action_space.shape, batch.action_space.dtype))[1]
    assert_same(before, expected)
    for index in np.flatnonzero(mask):
        expected[index] = scalars.envs[index].reset(seed=int(50 + index))[0]
    observations, infos = batch.reset(seed=50, options=options)
    assert_same(observations, expected)
    assert infos == {} and options.keys() == {"reset_mask"}
    # Now the others, while the first are where a reset left them.
    for index in np.flatnonzero(~mask):
        expected[index] = scalars.envs[index].reset()[0]
    observations, _ = batch.reset(options={"reset_mask": ~mask})
    assert_same(observations, expected)
    compare(batch, scalars, observations, steps=250)


@pytest.mark.parametrize("id", STOCK)
def test_reset_takes_the_options_of_the_scalar_environment(id: str) -> None:
    names = ("x_init", "y_init") if id == "Pendulum-v1" else ("low", "high")
    options = dict(zip(names, (-3.0, 2.0) if names[0] == "low" else (3.0, 0.2), strict=True))
    batch, scalars = make(registry.spec(id), 3), Scalars([registry.spec(id)] * 3)
    observations, _ = batch.reset(seed=4, options=options)
    assert_same(observations, scalars.reset([4, 5, 6], options=options))
    assert not np.array_equal(observations, batch.reset(seed=4)[0])


@pytest.mark.parametrize("id", [*STOCK, *WRAPPED])
def test_arrays_that_were_returned_never_change(id: str) -> None:
    batch = make(changed(id, max_episode_steps=10), 3)
    actions = Actions(batch.single_action_space, 3)
    kept: list[NDArray[Any]] = [batch.reset(seed=0)[0]]
    copies = [kept[0].copy()]
    for _ in range(25):
        *arrays, infos = batch.step(actions(kept[-1] if kept[-1].ndim == 2 else kept[0]))
        for array in (*arrays, *infos.values()):
            kept.append(array)
            copies.append(array.copy())
    assert all(np.array_equal(a, b) for a, b in zip(kept, copies, strict=True))
    assert not any(np.shares_memory(a, b) for i, a in enumerate(kept) for b in kept[:i])


def test_changing_what_was_returned_changes_no_later_step() -> None:
    batch, scalars, observations = pair(registry.spec("CartPole-v1"), 2, seed=1)
    observations[:] = np.nan
    ours, theirs = batch.step(np.array([0, 1])), scalars.step(np.array([0, 1]))
    assert_same(ours[0], theirs[1])
    for array in ours[:4]:
        array[:] = 0
    assert_same(batch.step(np.array([0, 1]))[0], scalars.step(np.array([0, 1]))[1])


@pytest.mark.parametrize(
    "ids",
    [
        ["CartPole-v1", "rlt/CartPoleLong-v0", "rlt/CartPoleFar-v0", "CartPole-v1"],
        ["CartPole-v1", "rlt/CartPoleRight-v0", "rlt/CartPoleLong-v0"],
        ["rlt/CartPoleNoisy-v0", "rlt/CartPoleNoisy-v0"],
        ["rlt/AcrobotLong-v0", "Acrobot-v1", "rlt/AcrobotTopHeavy-v0"],
        ["rlt/PendulumLong-v0", "rlt/PendulumHeavy-v0", "Pendulum-v1"],
        ["rlt/MountainCarWeak-v0", "MountainCar-v0", "rlt/MountainCarSteep-v0"],
        ["rlt/MountainCarContinuousSteep-v0", "MountainCarContinuous-v0"],
        ["rlt/CartPoleOffset-v0", "rlt/CartPoleOffset-v0"],
    ],
    ids=lambda ids: "-".join(ids[:2]),
)
def test_a_mixture_gives_each_environment_the_constants_of_its_task(ids: list[str]) -> None:
    batch, scalars = mixture(ids), Scalars([registry.spec(id) for id in ids])
    observations, _ = batch.reset(seed=20)
    assert_same(observations, scalars.reset([20 + i for i in range(len(ids))]))
    compare(batch, scalars, observations, steps=600)
    assert batch.spec is None, "no single spec describes it"


def test_a_mixture_keeps_the_time_limit_of_each_task(monkeypatch: pytest.MonkeyPatch) -> None:
    short = changed("CartPole-v1", id="test/Short-v0", max_episode_steps=5)
    monkeypatch.setitem(gym.registry, short.id, short)
    batch = mixture([short.id, "CartPole-v1"])
    batch.reset(seed=0)
    for step in range(1, 6):
        *_, truncations, _ = batch.step(np.array([step % 2, step % 2]))
    assert truncations.tolist() == [True, False]


@pytest.mark.parametrize(
    ("ids", "says"),
    [
        (["CartPole-v1", "Pendulum-v1"], "Pendulum-v1 and CartPole-v1 differ in more than"),
        (["CartPole-v1", "rlt/CartPoleSwapped-v0"], "rlt/CartPoleSwapped-v0 and CartPole-v1"),
        (["CartPole-v1", "FrozenLake-v1"], "FrozenLake-v1 cannot be part of a batch: no vector"),
        ([], "ids is empty"),
    ],
)
def test_a_mixture_of_other_kinds_is_refused(ids: list[str], says: str) -> None:
    with pytest.raises(BadArgument, match=says):
        mixture(ids)


def test_a_mixture_of_unknown_tasks_is_refused() -> None:
    with pytest.raises(UnknownName, match="CartPole-v9"):
        mixture(["CartPole-v9"])


def test_constants_per_environment_are_those_of_separate_batches() -> None:
    lengths, moments = [0.3, 1.7], np.array([0.5, 2.0])
    poles = VectorCartPole(2, length=lengths)
    single = [VectorCartPole(1, length=length) for length in lengths]
    poles.reset(seed=2)
    for i, env in enumerate(single):
        env.reset(seed=2 + i)
    apart = np.concatenate([env.step(np.array([1]))[0] for env in single])
    assert_same(poles.step(np.array([1, 1]))[0], apart)
    acrobots = VectorAcrobot(2, moi=moments, com_1=[None, 0.2], length_1=[1.5, 1.0])
    acrobots.reset(seed=2)
    scalars = [
        VectorAcrobot(1, moi=0.5, com_1=0.75, length_1=1.5),
        VectorAcrobot(1, moi=2.0, com_1=0.2),
    ]
    for i, env in enumerate(scalars):
        env.reset(seed=2 + i)
    apart = np.concatenate([env.step(np.array([2]))[0] for env in scalars])
    assert_same(acrobots.step(np.array([2, 2]))[0], apart)


@pytest.mark.parametrize(
    ("kind", "kwargs", "says"),
    [
        (VectorCartPole, {"length": 0.0}, "length is 0.0; give a finite number > 0"),
        (VectorCartPole, {"length": [0.5, -1.0]}, "length is -1.0; give a finite number > 0"),
        (VectorCartPole, {"gravity": [1.0, np.nan]}, "gravity is nan; give a finite number"),
        (VectorCartPole, {"tau": [0.02] * 3}, "tau has 3 entries; give one for all, or 2"),
        (VectorCartPole, {"goal": [None] * 3}, "goal has 3 entries; give one for all, or 2"),
        (VectorCartPole, {"goal": [np.inf, None]}, "goal is inf; give a finite number"),
        (VectorCartPole, {"masscart": "heavy"}, "masscart is 'heavy'; give a number"),
        (VectorCartPole, {"max_episode_steps": 0}, "max_episode_steps is 0; give a whole"),
        (VectorCartPole, {"max_episode_steps": [1]}, "max_episode_steps has 1 entries"),
        (VectorCartPole, {"max_episode_steps": [1, 2.5]}, "max_episode_steps is 2.5"),
        (VectorAcrobot, {"com_1": [0.5] * 3}, "com_1 has 3 entries"),
        (VectorAcrobot, {"com_1": [None, -0.5]}, "com_1 is -0.5"),
        (VectorAcrobot, {"torque": 0.0}, "torque is 0.0"),
        (VectorPendulum, {"g": np.inf}, "g is inf"),
        (VectorPendulum, {"mass": 0}, "mass is 0.0"),
        (VectorMountainCar, {"force": 0.0}, "force is 0.0"),
        (VectorMountainCarContinuous, {"power": [1.0, 0.0]}, "power is 0.0"),
    ],
)
def test_constants_without_a_meaning_are_refused(kind: Any, kwargs: Any, says: str) -> None:
    with pytest.raises(BadArgument, match=says.replace("[", r"\[")):
        kind(2, **kwargs)


@pytest.mark.parametrize("num_envs", [0, -1, 2.0, True])
def test_a_number_of_environments_without_a_meaning_is_refused(num_envs: Any) -> None:
    with pytest.raises(BadArgument, match="num_envs is"):
        VectorCartPole(num_envs)


@pytest.mark.parametrize(
    "actions", [[0, 2], [-1, 0], [0.0, 1.0], [True, False], [[0], [1]], [0, 1, 1], 1]
)
def test_actions_outside_the_space_are_refused(actions: Any) -> None:
    batch = VectorCartPole(2)
    batch.reset(seed=0)
    state = batch.reset(options={"reset_mask": np.array([True, False])})[0]
    with pytest.raises(BadArgument, match="the actions"):
        batch.step(np.array(actions))
    assert_same(
        batch.reset(seed=[None, 1], options={"reset_mask": np.array([False, True])})[0],
        np.stack([state[0], VectorCartPole(2).reset(seed=0)[0][1]]),
    )


def test_box_actions_of_another_shape_are_refused() -> None:
    batch = VectorPendulum(2)
    batch.reset(seed=0)
    with pytest.raises(BadArgument, match=r"have shape \(2,\); give \(2, 1\)"):
        batch.step(np.zeros(2))


def test_double_precision_actions_are_taken_as_single_precision() -> None:
    single, double = VectorPendulum(2), VectorPendulum(2)
    single.reset(seed=0), double.reset(seed=0)
    actions = np.array([[0.1], [-1.7]])
    assert_same(double.step(actions)[0], single.step(actions.astype(np.float32))[0])


def test_narrow_integer_actions_do_what_wide_ones_do() -> None:
    for dtype in (np.uint8, np.int32, np.uint64):
        batch, scalars = VectorMountainCar(3), VectorMountainCar(3)
        batch.reset(seed=0), scalars.reset(seed=0)
        actions = np.array([0, 1, 2])
        assert_same(batch.step(actions.astype(dtype))[0], scalars.step(actions)[0])


def test_a_step_before_the_first_reset_is_refused() -> None:
    batch = VectorCartPole(2)
    with pytest.raises(ResetNeeded):
        batch.step(np.array([0, 1]))
    with pytest.raises(ResetNeeded, match="reset_mask"):
        batch.reset(options={"reset_mask": np.array([True, False])})


@pytest.mark.parametrize("seed", [-1, [1], [1, 2, 3], [1, -2], [0.5, 1], ["a", 1]])
def test_seeds_that_do_not_fit_are_refused(seed: Any) -> None:
    with pytest.raises(BadArgument, match="seed"):
        VectorCartPole(2).reset(seed=seed)


@pytest.mark.parametrize("mask", [[True], [False, False], [1, 0], True])
def test_masks_that_do_not_fit_are_refused(mask: Any) -> None:
    batch = VectorCartPole(2)
    batch.reset(seed=0)
    with pytest.raises(BadArgument, match="reset_mask is"):
        batch.reset(options={"reset_mask": np.array(mask)})


def test_generators_are_those_of_the_scalar_environments() -> None:
    batch, scalars, _ = pair(registry.spec("CartPole-v1"), 2, seed=7)
    assert batch.np_random_seed == (7, 8)
    states = [rng.bit_generator.state for rng in batch.np_random]  # pyright: ignore
    assert states == [env.unwrapped.np_random.bit_generator.state for env in scalars.envs]


def test_unseeded_batches_differ() -> None:
    assert not np.array_equal(VectorCartPole(2).reset()[0], VectorCartPole(2).reset()[0])


def test_squares_are_those_of_scalars() -> None:
    x = np.random.default_rng(0).uniform(-30, 30, 100_000)
    assert np.array_equal(scalar_square(x), [number**2 for number in x])
    single = x[:1000].astype(np.float32)
    assert_same(scalar_square_single(single), np.stack([number**2 for number in single]))


# Wrappers


def test_wrappers_refuse_what_the_scalar_ones_refuse() -> None:
    poles, pendulums = VectorCartPole(2), VectorPendulum(2)
    with pytest.raises(BadArgument, match="not a permutation of actions"):
        VectorPermuteActions(poles, [0, 0])
    with pytest.raises(BadArgument, match="not a permutation of actions"):
        VectorPermuteActions(pendulums, [0])
    with pytest.raises(BadArgument, match="needs a Box with low == -high"):
        VectorFlipActions(poles)
    with pytest.raises(BadArgument, match="give 4 finite numbers"):
        VectorOffsetObservation(poles, [0.0])
    with pytest.raises(BadArgument, match="not a permutation of the entries"):
        VectorPermuteObservation(poles, [0, 1, 2])
    with pytest.raises(BadArgument, match="needs a batch of CartPoles"):
        VectorPushContinuously(pendulums)


def test_wrappers_of_several_kinds_are_applied_in_the_order_of_the_spec() -> None:
    parts = (
        scalar_wrappers.wrapper(scalar_wrappers.OffsetObservation, offset=[1.0, 0.0, 0.0, 0.0]),
        scalar_wrappers.wrapper(scalar_wrappers.PermuteObservation, permutation=[3, 2, 1, 0]),
        scalar_wrappers.wrapper(scalar_wrappers.PermuteActions, permutation=[1, 0]),
    )
    spec = changed("CartPole-v1", additional_wrappers=parts)
    batch, scalars, observations = pair(spec, 3, seed=0)
    assert observations[:, 3].min() > 0.9
    assert compare(batch, scalars, observations, steps=100)[0] > 0


# Which tasks have a vectorised class


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Registrations of a test are its own."""
    mine = dict(vectorizing._vectorized)
    monkeypatch.setattr(vectorizing, "_vectorized", mine)
    yield mine


class Poles(VectorCartPole):
    """A user's own vectorised class."""


class Mirrored(gym.vector.VectorActionWrapper):
    """A user's own vectorised wrapper."""

    def actions(self, actions: NDArray[Any]) -> NDArray[Any]:
        return 1 - actions


def test_users_register_their_own(table: dict[str, str]) -> None:
    spec = changed("CartPole-v1", entry_point="my_tasks:Pole", max_episode_steps=9)
    spec.additional_wrappers = (WrapperSpec("Mirrored", "my_tasks:Mirrored", {}),)
    assert why_not(spec) == "no vectorised class is registered for my_tasks:Pole"
    scalar = "gymnasium.envs.classic_control.cartpole:CartPoleEnv"
    for _ in range(2):  # the same again changes nothing
        register_vectorized("my_tasks:Mirrored", f"{__name__}:Mirrored")
        register_vectorized("my_tasks:Pole", f"{__name__}:Poles")
    assert "my_tasks:Pole cannot be loaded: " in why_not(spec) and vectorized(spec) is None
    table[scalar] = f"{__name__}:Poles"
    spec.entry_point = scalar
    batch = make(spec, 2)
    assert isinstance(batch.unwrapped, Poles)
    plain = VectorCartPole(2)
    assert_same(batch.reset(seed=0)[0], plain.reset(seed=0)[0])
    assert_same(batch.step(np.array([0, 1]))[0], plain.step(np.array([1, 0]))[0])


def test_another_class_for_the_same_entry_point_is_refused(table: dict[str, str]) -> None:
    register_vectorized("my_tasks:Pole", "my_tasks:Poles")
    with pytest.raises(RegistrationConflict, match="is vectorised by my_tasks:Poles already"):
        register_vectorized("my_tasks:Pole", "my_tasks:Others")
    assert table["my_tasks:Pole"] == "my_tasks:Poles"


@pytest.mark.parametrize("names", [("Pole", "my_tasks:Poles"), ("my_tasks:Pole", "Poles")])
def test_names_without_a_module_are_refused(table: dict[str, str], names: tuple[str, str]) -> None:
    before = dict(table)
    with pytest.raises(BadArgument, match="give module:name"):
        register_vectorized(*names)
    assert table == before


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"entry_point": None}, "registered for None"),
        ({"entry_point": Scalars}, "registered for Scalars"),
        ({"kwargs": {"render_mode": "rgb_array"}}, "got an unexpected keyword argument"),
        ({"kwargs": {"sutton_barto_reward": True}}, "VectorCartPole does not take the task's"),
        # The stock class would refuse it, so the batch must not take it either.
        ({"kwargs": {"length": 1.0}}, "CartPoleEnv does not take the task's arguments"),
        (
            {"additional_wrappers": (WrapperSpec("T", "my_tasks:Tilt", {}),)},
            "registered for my_tasks:Tilt",
        ),
    ],
)
def test_what_cannot_be_vectorised_says_why(fields: dict[str, Any], reason: str) -> None:
    spec = changed("CartPole-v1", **fields)
    assert reason in why_not(spec)
    assert vectorized(spec) is None


def test_no_rendering_is_no_obstacle() -> None:
    assert why_not(changed("CartPole-v1", kwargs={"render_mode": None})) == ""
    made = registry.make("CartPole-v1", render_mode=None).spec
    assert made is not None and isinstance(make(made, 2), VectorCartPole)


@pytest.mark.parametrize("id", STOCK)
def test_specs_stay_as_they_are(id: str) -> None:
    spec = registry.spec(id)
    before = copy.deepcopy(spec)
    make(spec, 2).reset(seed=0)
    assert spec == before == registry.spec(id) and spec is registry.spec(id)
    assert type(make(spec, 2)) is CLASSES[id]


def test_a_maker_survives_the_way_to_another_process() -> None:
    maker = vectorized(registry.spec("rlt/CartPoleOffset-v0"))
    assert maker is not None
    first, second = maker(2), pickle.loads(pickle.dumps(maker))(2)
    assert_same(first.reset(seed=3)[0], second.reset(seed=3)[0])
