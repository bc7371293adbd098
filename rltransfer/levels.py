"""What a source returns on a target, as the level that its learner is compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.envs.registration import EnvSpec
from stable_baselines3.common.vec_env import VecEnv

from rltransfer.errors import RecipeError
from rltransfer.evaluation.undisturbed import seeded
from rltransfer.training.terms import Teacher
from rltransfer.training.terms.performance import Performance
from rltransfer.training.threads import few_threads
from rltransfer.trial_episodes import EPISODES, first_seed, random_level, try_out


def performance_next_to(
    teacher: Teacher, target: str | EnvSpec, *, seed: int | None
) -> tuple[Performance, int]:
    """Let a source play a few episodes of the target, to compare its learner with.

    Its actions are sampled, as those of the learner are. Random streams go on as they were.

    Args:
        teacher: The source on the target's spaces.
        target: The target; its random level is played too, unless it is registered.
        seed: Shifts the episodes, so that runs with several seeds see different ones.

    Returns:
        The comparison, and the environment steps that it took.

    Raises:
        RecipeError: The source returns no more than random actions.
    """
    first = first_seed(seed)

    def act(venv: VecEnv, observations: Any, starts: np.ndarray, alive: np.ndarray) -> np.ndarray:
        return teacher.sample(observations)

    with few_threads(teacher.policy.parameters()), seeded(first, teacher.policy.device):
        if getattr(teacher.policy, "use_sde", False):
            teacher.policy.reset_noise(EPISODES)
        trial = try_out(target, act, first)
        low, steps = random_level(target, first)
    if trial.score <= low:
        raise RecipeError(
            f"fade='performance' compares the learner with its source, which returns "
            f"{trial.score:.4g} on the target and random actions {low:.4g}: there is nothing to "
            "reach, use fade='exponential' or drop the method"
        )
    return Performance(low, trial.score), trial.steps + steps
