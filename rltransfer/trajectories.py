"""What environments do under a fixed seed and fixed actions, and where they part."""

from __future__ import annotations

import copy
import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing.reduction import ForkingPickler
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from rltransfer import registry

# One entry a step: (observation of reset,), then (observation, reward, terminated, truncated), and
# behind these the observation of the reset that followed, where the episode ended.
Trajectory = tuple[tuple[Any, ...], ...]
Ref = str | EnvSpec


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What to run.

    Attributes:
        variant: The environment to look at.
        base: The one that it varies; None if there is none.
        seed: Seeds the environments and the actions.
        steps: Steps of each trajectory.
    """

    variant: Ref
    base: Ref | None = None
    seed: int
    steps: int

    def play(self, ref: Ref) -> Trajectory:
        """Play a fresh instance of an environment with this seed and length."""
        return trajectory(ref, seed=self.seed, steps=self.steps)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What one process saw of a :class:`Subject`; all trajectories start from the same seed.

    Attributes:
        variant: A fresh instance of the variant.
        variant_again: Another one.
        base_before: A fresh instance of the base, before any variant was made in the process.
        base_before_again: Another one.
        base_alongside: A base that was stepped in turn with a variant.
        base_after: A fresh instance of the base, after the variant was closed.
        error: Why there are no trajectories, in one line; empty when there are.
    """

    variant: Trajectory = ()
    variant_again: Trajectory = ()
    base_before: Trajectory = ()
    base_before_again: Trajectory = ()
    base_alongside: Trajectory = ()
    base_after: Trajectory = ()
    error: str = ""


def gather(subjects: Sequence[Subject]) -> list[Evidence]:
    """Run every subject in this process; all bases first, while no variant can have touched them.

    Args:
        subjects: What to run.

    Returns:
        One entry a subject. What a subject raises is told in its entry.
    """
    found = [_bases(subject) for subject in subjects]
    pairs = zip(subjects, found, strict=True)
    return [e if e.error else _variants(subject, e) for subject, e in pairs]


def gather_in_worker(subjects: Sequence[Subject]) -> list[Evidence]:
    """Run every subject as :func:`gather` does, in one new process started with spawn.

    Args:
        subjects: What to run; specs and ids are sent as they are.

    Returns:
        One entry a subject. What keeps one from reaching the worker is told in its entry.
    """
    if not subjects:
        return []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        sent = [s for s in subjects if not _unpicklable(s)]
        try:
            found = iter(pool.submit(gather, sent).result())
        except Exception as error:
            found = iter([Evidence(error=_worker_error(error))] * len(sent))
    return [Evidence(error=why) if (why := _unpicklable(s)) else next(found) for s in subjects]


def play(env: gym.Env, *, seed: int, steps: int) -> Iterator[tuple[Any, ...]]:
    """Step an environment with seeded random actions, over the ends of episodes.

    Args:
        env: The environment.
        seed: Seeds the first reset and the actions.
        steps: How many steps to take.

    Yields:
        The entries of a :data:`Trajectory`, steps + 1 in all.
    """
    actions = copy.deepcopy(env.action_space)
    actions.seed(seed)
    yield (copy.deepcopy(env.reset(seed=seed)[0]),)
    for _ in range(steps):
        observation, reward, terminated, truncated, _ = env.step(actions.sample())
        entry = (copy.deepcopy(observation), float(reward), bool(terminated), bool(truncated))
        if terminated or truncated:
            entry = (*entry, copy.deepcopy(env.reset()[0]))
        yield entry


def trajectory(ref: Ref, *, seed: int, steps: int) -> Trajectory:
    """Play a fresh instance, and close it.

    Args:
        ref: Id or spec.
        seed: Seeds the environment and the actions.
        steps: How many steps to take.
    """
    env = registry.make(ref)
    try:
        return tuple(play(env, seed=seed, steps=steps))
    finally:
        env.close()


def first_difference(a: Trajectory, b: Trajectory, *, tolerance: float = 0.0) -> int | None:
    """Find where two trajectories part.

    Args:
        a: One.
        b: The other.
        tolerance: Absolute and relative difference of numbers that counts as none.

    Returns:
        The first step that differs (0 is the first reset), or None.
    """
    steps = enumerate(zip(a, b, strict=False))
    differing = (step for step, (x, y) in steps if not _same(x, y, tolerance))
    return next(differing, None if len(a) == len(b) else min(len(a), len(b)))


def _bases(subject: Subject) -> Evidence:
    if subject.base is None:
        return Evidence()
    try:
        return Evidence(
            base_before=subject.play(subject.base),
            base_before_again=subject.play(subject.base),
        )
    except Exception as error:
        return Evidence(error=f"base: {one_line(error)}")


def _variants(subject: Subject, found: Evidence) -> Evidence:
    try:
        variant = subject.play(subject.variant)
        if subject.base is None:
            again = subject.play(subject.variant)
            return replace(found, variant=variant, variant_again=again)
        alongside, again = _in_turn(subject.base, subject)
        after = subject.play(subject.base)
    except Exception as error:
        return Evidence(error=one_line(error))
    return replace(
        found,
        variant=variant,
        variant_again=again,
        base_alongside=alongside,
        base_after=after,
    )


def _in_turn(base: Ref, subject: Subject) -> tuple[Trajectory, Trajectory]:
    envs = [registry.make(base), registry.make(subject.variant)]
    try:
        both = zip(*(play(e, seed=subject.seed, steps=subject.steps) for e in envs), strict=True)
        of_base, of_variant = zip(*both, strict=True)
        return of_base, of_variant
    finally:
        for env in envs:
            env.close()


def _same(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(a[k], b[k], tolerance) for k in a)
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(map(lambda x, y: _same(x, y, tolerance), a, b))
    x, y = np.asarray(a), np.asarray(b)
    if x.shape != y.shape:
        return False
    if x.dtype.kind in "biuf" and y.dtype.kind in "biuf":
        return np.allclose(x, y, rtol=tolerance, atol=tolerance, equal_nan=True)
    return bool(np.all(x == y))


def _unpicklable(subject: Subject) -> str:
    """Why a subject cannot be sent to a worker; empty if it can."""
    try:
        ForkingPickler.dumps(subject)
    except Exception as error:
        return f"cannot be sent to a worker: {one_line(error)}"
    return ""


def _worker_error(error: Exception) -> str:
    return f'the worker failed (a script needs `if __name__ == "__main__":`): {one_line(error)}'


def one_line(error: BaseException) -> str:
    """Say what was raised, without line breaks."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
