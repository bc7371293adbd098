"""Making the vectorized environments of a task."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, get_args

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.preprocessing import check_for_nested_spaces
from stable_baselines3.common.vec_env import VecEnv

from rltransfer import registry, vectorizing
from rltransfer.agents.numbers import whole
from rltransfer.errors import BadArgument, BadEnvironment, TransferError, WorkerGone
from rltransfer.guard import GuardVecEnv
from rltransfer.strict import StrictEnv
from rltransfer.vec.adapter import VectorEnvAdapter
from rltransfer.vec.pool import make_pool
from rltransfer.vec.sync import SyncVecEnv
from rltransfer.vec.workers import WorkerVecEnv

Vec = Literal["auto", "sync", "subproc", "native", "envpool"]
StartMethod = Literal["spawn", "forkserver", "fork"]

STEP_TIMEOUT = 240.0
"""Seconds. A step of a slow simulator takes a few, its first reset, which may start or compile the
simulator, a minute or two; what takes longer than this hangs. A sweep gives up a run after 300
seconds without a sign of life, and knows less about what hangs."""

_LONGEST = 24 * 60 * 60


def make_vec(
    task: str | EnvSpec,
    n_envs: int,
    *,
    seed: int | None = None,
    vec: Vec = "auto",
    start_method: StartMethod = "spawn",
    step_timeout: float = STEP_TIMEOUT,
) -> VecEnv:
    """Make ``n_envs`` environments of a task, each monitored, and checked at every step.

    Args:
        task: Gymnasium id, ``module:id``, or a spec.
        n_envs: Number of environments, at least 1.
        seed: Environment ``i`` is seeded with ``seed + i`` at the first reset, as
            ``stable_baselines3.common.env_util.make_vec_env`` does. None leaves them unseeded.
        vec: How they are stepped. ``"sync"``: in turn, in this process. ``"native"``: all at once,
            by a class that :mod:`rltransfer.vectorizing` knows for the task; the numbers are the
            same. ``"auto"``: whichever of the two is faster; natively, that is, from four on where
            there is such a class. ``"subproc"``: each in its own process, which pays for slow
            environments alone; a script needs ``if __name__ == "__main__":``. ``"envpool"``: in
            envpool's threads, for the tasks that were shown to be equal there; seeds draw other
            numbers than Gymnasium's.
        start_method: How processes start, with ``"subproc"``.
        step_timeout: Seconds to wait for an environment to be made, to reset or to step, with
            ``"subproc"``; the start of its process does not count. Of one that hangs in this
            process, this process cannot tell.

    Returns:
        The environments, not normalized.

    Raises:
        UnknownName: Gymnasium has no such id.
        MissingExtra: The environment, or envpool, needs a package that is not installed.
        BadArgument: ``n_envs``, ``seed``, ``vec``, ``start_method`` or ``step_timeout`` is outside
            its range, the task is no id or spec, or it cannot be stepped in that way.
        BadEnvironment: An environment cannot be made.
    """
    check_vec(vec)
    _require_choice("start_method", start_method, get_args(StartMethod))
    if not isinstance(step_timeout, int | float) or not 0 < step_timeout <= _LONGEST:
        raise BadArgument(f"step_timeout is {step_timeout!r}: give seconds, above 0, up to a day")
    n_envs = whole("n_envs", n_envs, least=1)
    seeds = _seeds(seed, n_envs)
    if not isinstance(task, str | EnvSpec):
        raise BadArgument(
            f"the task is a {type(task).__name__}: give a Gymnasium id, module:id or a spec; "
            "model.set_env(...) takes environments that exist already"
        )
    # A spec, not an id, goes to the workers: an id registered by a script is unknown to them.
    spec = task if isinstance(task, EnvSpec) else registry.spec(task)
    if vec == "auto":
        vec = "native" if vectorizing.pays(spec, n_envs) else "sync"
    if vec in ("native", "envpool"):
        venv = _batch(spec, seeds, pooled=vec == "envpool")
    else:
        makers = [partial(_make, spec, index, seeds[index]) for index in range(n_envs)]
        if vec == "sync":
            venv = SyncVecEnv(makers)
        else:
            venv = _subproc(spec, makers, start_method, step_timeout)
    if seed is not None:
        venv.seed(seeds[0])
    return GuardVecEnv(venv, spec.id)


def _batch(spec: EnvSpec, seeds: list[int | None], *, pooled: bool) -> VectorEnvAdapter:
    """Environments that one object steps all at once."""
    if pooled:
        env = make_pool(spec, len(seeds))
    else:
        make = vectorizing.vectorized(spec)
        if make is None:
            raise BadArgument(
                f'vec is "native", but {vectorizing.why_not(spec)}: leave vec at "auto"'
            )
        env = _made(spec, make, len(seeds))
    venv = VectorEnvAdapter(env, spec=spec)
    for space, seed in zip(venv.get_attr("action_space"), seeds, strict=True):
        if seed is not None:
            space.seed(seed)
    return venv


def _made(spec: EnvSpec, make: Callable[[int], VectorEnv], n_envs: int) -> VectorEnv:
    try:
        return make(n_envs)
    except TransferError:
        raise
    except Exception as error:
        raise BadEnvironment(
            f"{spec.id} could not be made as one batch: {type(error).__name__}: "
            f"{' '.join(str(error).split())}"
        ) from error


def _make(spec: EnvSpec, index: int, seed: int | None) -> gym.Env:
    env = Monitor(StrictEnv(registry.make(spec), index))
    try:
        check_for_nested_spaces(env.observation_space)
    except NotImplementedError as error:
        env.close()
        raise BadEnvironment(
            f"{spec.id}: {error} Register it with a Gymnasium wrapper such as FlattenObservation"
            " around it"
        ) from error
    if seed is not None:
        env.action_space.seed(seed)
    return env


def _subproc(
    spec: EnvSpec, makers: list[Any], start_method: str, step_timeout: float
) -> WorkerVecEnv:
    # Made here once first: then what goes wrong there has to do with the workers.
    _make(spec, 0, None).close()
    try:
        return WorkerVecEnv(makers, start_method=start_method, step_timeout=step_timeout)
    except WorkerGone as error:
        raise BadEnvironment(
            f"{spec.id}: while it started, {error} (a script needs `if __name__ =="
            ' "__main__":`; its own error is printed above); vec="sync" does without workers'
        ) from error


def check_vec(vec: object) -> None:
    """Refuse what ``vec`` cannot be.

    Raises:
        BadArgument: There is no such way to step environments.
    """
    _require_choice("vec", vec, get_args(Vec))


def _require_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise BadArgument(f"{name} is {value!r}: choose one of {', '.join(choices)}")


def _seeds(seed: int | None, n_envs: int) -> list[int | None]:
    if seed is None:
        return [None] * n_envs
    first = whole("seed", seed)
    if first > 2**32 - n_envs:
        raise BadArgument(f"seed is {seed!r}: give a whole number up to 2**32 - n_envs, or None")
    return [first + index for index in range(n_envs)]
