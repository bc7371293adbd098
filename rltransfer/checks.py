"""The single checks of a task's self-test; :mod:`rltransfer.check` runs them and reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import stable_baselines3.common.env_checker as sb3
from gymnasium.envs.registration import EnvSpec

from rltransfer import registry
from rltransfer.registry import Task
from rltransfer.trajectories import Evidence, Subject, Trajectory, first_difference, one_line

Status = Literal["ok", "failed", "skipped"]

# Below it, two numbers of different formulas for the same physics may differ by rounding.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Case:
    """Everything the checks of one task look at.

    Attributes:
        spec: Gymnasium's spec of it.
        task: What is registered about it.
        subject: What was run.
        here: What this process saw.
        there: What a worker process saw.
    """

    spec: EnvSpec
    task: Task
    subject: Subject
    here: Evidence
    there: Evidence

    @property
    def wavers_at(self) -> int | None:
        """First step at which two fresh instances differ; what they show proves nothing then."""
        return first_difference(self.here.variant, self.here.variant_again)


def check_env(case: Case, notes: list[str]) -> tuple[Status, str]:
    """Stable-Baselines3 accepts it; what it only warns about becomes a note."""
    env = registry.make(case.spec)
    try:
        sb3.check_env(env, skip_render_check=True)
    except Exception as error:
        return "failed", one_line(error)
    finally:
        env.close()
    return "ok", "Stable-Baselines3 accepts spaces and types"


def deterministic(case: Case, notes: list[str]) -> tuple[Status, str]:
    """The same seed and actions give the same trajectory."""
    step = case.wavers_at
    if step is None:
        return "ok", "same seed and actions, same trajectory"
    return (
        "failed",
        f"same seed and actions part at step {step}: draw all randomness from self.np_random",
    )


def json(case: Case, notes: list[str]) -> tuple[Status, str]:
    """The spec, written to JSON and read again, makes the same environment."""
    try:
        spec = EnvSpec.from_json(case.spec.to_json())
        again = case.subject.play(spec)
    except Exception as error:
        return "failed", f"register a string entry point and JSON-able kwargs: {one_line(error)}"
    if case.wavers_at is not None:
        return "ok", "an environment is made from EnvSpec.from_json(spec.to_json())"
    step = first_difference(case.here.variant, again)
    if step is None:
        return "ok", "EnvSpec.from_json(spec.to_json()) makes the same environment"
    return "failed", f"an environment made from the JSON of the spec differs from step {step}"


def differs(case: Case, notes: list[str]) -> tuple[Status, str]:
    """The trajectory leaves that of the base, at the latest at the step it declares."""
    task = case.task
    if task.base is None:
        return "skipped", f"no base; declare it: register_task({case.spec.id!r}, base=...)"
    if case.wavers_at is not None:
        return "skipped", "it is not deterministic, so any difference may be chance"
    if not _comparable(case.spec, registry.spec(task.base)):
        return "ok", f"its spaces differ from those of {task.base}, so the tasks do"
    before = case.here.base_before
    step = first_difference(before, case.here.variant, tolerance=TOLERANCE)
    if step is None:
        return (
            "failed",
            f"nothing is varied: same {case.subject.steps} steps as {task.base}",
        )
    if step > task.differs_by:
        return "failed", (
            f"differs from step {step} only, and declares differs_by={task.differs_by}:"
            f" vary what shows at once, or register_task(..., differs_by={step})"
        )
    return "ok", f"from {task.base}, from step {step} (declared: {task.differs_by})"


def _comparable(variant: EnvSpec, base: EnvSpec) -> bool:
    """Whether both take the same actions, and give observations of the same make."""
    a, b = registry.make(variant), registry.make(base)
    try:
        actions = a.action_space == b.action_space
        return actions and _make_of(a.observation_space) == _make_of(b.observation_space)
    finally:
        a.close()
        b.close()


def _make_of(space: gym.Space) -> object:
    """Of a Box, what remains of it without its bounds, which a variant may well move."""
    return (space.shape, space.dtype) if isinstance(space, gym.spaces.Box) else space


def no_leak(case: Case, notes: list[str]) -> tuple[Status, str]:
    """Instances of the base are alike, whether a variant was made or not."""
    task, here, there = case.task, case.here, case.there
    if task.base is None:
        return "skipped", f"no base; declare it: register_task({case.spec.id!r}, base=...)"
    if first_difference(here.base_before, here.base_before_again) is not None:
        return "skipped", f"{task.base} is not deterministic, so a leak cannot be seen"
    seen: dict[str, Trajectory] = {
        "one living at the same time": here.base_alongside,
        "one made afterwards": here.base_after,
    }
    if not there.error:
        # The worker is new: no earlier import or instance can have touched its base.
        seen["one in a new process"] = there.base_before
        seen["one living at the same time, in a new process"] = there.base_alongside
        seen["one made afterwards, in a new process"] = there.base_after
    for which, other in seen.items():
        step = first_difference(here.base_before, other)
        if step is not None:
            return "failed", (
                f"an instance of {task.base} made before and {which} differ from step {step}:"
                " set attributes on the instance, never on the class or module"
            )
    return "ok", f"instances of {task.base} before, beside and after it are alike"


def worker(case: Case, notes: list[str]) -> tuple[Status, str]:
    """A process started with spawn makes it, and sees the same trajectory."""
    if case.there.error:
        return "failed", f"{case.there.error}; register it in a module, with a string entry point"
    if case.wavers_at is not None:
        return "ok", "a process started with spawn makes it"
    step = first_difference(case.here.variant, case.there.variant)
    if step is None:
        return "ok", "same trajectory in a process started with spawn"
    return "failed", f"differs in a process started with spawn, from step {step}"


def finite(case: Case, notes: list[str]) -> tuple[Status, str]:
    """No NaN, no infinity; observations outside the declared space become a note."""
    env = registry.make(case.spec)
    space = env.observation_space
    env.close()
    for step, entry in enumerate(case.here.variant):
        observations = [entry[0], *entry[4:]]
        if not all(_is_finite(value) for value in [*observations, *entry[1:2]]):
            return "failed", f"NaN or infinity in the observation or reward of step {step}"
        if not all(observation in space for observation in observations):
            notes.append(f"an observation is outside the declared space {space}")
    return "ok", "observations and rewards"


def _is_finite(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(_is_finite(part) for part in value.values())
    if isinstance(value, tuple | list):
        return all(_is_finite(part) for part in value)
    array = np.asarray(value)
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


# In the order of the report.
CHECKS: dict[str, Callable[[Case, list[str]], tuple[Status, str]]] = {
    "passes check_env": check_env,
    "is deterministic": deterministic,
    "survives JSON": json,
    "differs from base": differs,
    "leaves base alone": no_leak,
    "runs in a worker": worker,
    "is finite": finite,
}
