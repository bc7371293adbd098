"""What private distillation is given, checked before anything is trained."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from gymnasium import spaces

from rltransfer.agents import Agent, Normalization, RunningStats
from rltransfer.agents.numbers import finite
from rltransfer.errors import BadArgument, SpaceMismatch
from rltransfer.privacy.accounting import Privacy, epsilon_of, noise_for


def privacy_of(
    epsilon: float | None,
    noise_multiplier: float | None,
    delta: float,
    clip: float,
    sample_rate: float,
    steps: int,
    trajectories: int,
) -> Privacy:
    """How private the student will be, of ``epsilon`` or of ``noise_multiplier``.

    Raises:
        BadArgument: Both or none are given, or a number is outside its range.
    """
    if (epsilon is None) == (noise_multiplier is None):
        raise BadArgument("give epsilon, or noise_multiplier, and not both")
    clip = clip if clip == math.inf else finite("clip", clip)
    if clip <= 0 or (clip == math.inf and noise_multiplier != 0):
        raise BadArgument(f"clip is {clip!r}: give a positive number; inf only without noise")
    if finite("delta", delta) >= 1 / trajectories:
        raise BadArgument(
            f"delta is {delta:g}: with {trajectories} trajectories, publishing one of them as it "
            f"is would count as private; give one far below {1 / trajectories:.2g}"
        )
    settings = {"sample_rate": sample_rate, "steps": steps, "delta": delta}
    noise = noise_for(epsilon=epsilon, **settings) if epsilon is not None else noise_multiplier
    spent = epsilon_of(noise_multiplier=noise or 0.0, **settings)
    return Privacy(epsilon=spent, noise_multiplier=noise or 0.0, clip=clip, **settings)


def check_source(agent: Agent) -> None:
    """Refuse a source whose actions depend on more than one observation.

    Raises:
        BadArgument: It is recurrent, masks actions, explores by gSDE, or sees no Box.
    """
    check_actions(agent, "distill_private")
    if not isinstance(agent.observation_space, spaces.Box):
        raise BadArgument(f"distill_private takes Box observations, not {agent.observation_space}")


def check_actions(agent: Agent, who: str) -> None:
    """Refuse a source that a single observation does not tell what to do.

    Args:
        agent: The source.
        who: What it is given to.

    Raises:
        BadArgument: It is recurrent, masks actions, or explores by gSDE.
    """
    sde = agent.hyperparameters["use_sde"]
    if agent.algorithm != "ppo" or sde:
        raise BadArgument(
            f"{agent.card.name} is a {agent.algorithm}{' with gSDE' if sde else ''}: {who} takes "
            "agents of ppo without gSDE, whose actions depend on the observation alone"
        )


def checked_trajectories(trajectories: Sequence[np.ndarray], agent: Agent) -> list[np.ndarray]:
    """Return trajectories as arrays, (steps, *observation) each.

    Raises:
        BadArgument: There are none, they are no arrays, or they hold no numbers.
        SpaceMismatch: One is not what the source observes.
    """
    shape = agent.observation_space.shape
    try:
        found = [np.asarray(one) for one in trajectories]
    except (TypeError, ValueError) as error:
        raise BadArgument(
            "trajectories are no list of arrays (steps, *observation) each: give those of "
            "rltransfer.privacy.record"
        ) from error
    if any(one.dtype.kind not in "fiub" for one in found):
        raise BadArgument(
            "trajectories hold no numbers: give arrays, see rltransfer.privacy.record"
        )
    if not found:
        raise BadArgument("trajectories is empty: give at least one, see rltransfer.privacy.record")
    for one in found:
        if one.ndim == 0 or one.shape[1:] != shape or not len(one) or not np.isfinite(one).all():
            raise SpaceMismatch(
                f"a trajectory has shape {one.shape}: give finite observations of shape "
                f"(steps, {', '.join(map(str, shape or ()))}), at least one"
            )
    return found


def public_normalization(agent: Agent, statistics: RunningStats | None) -> Normalization | None:
    """The source's settings, none of its statistics; None where it does not normalize.

    Raises:
        BadArgument: Statistics are missing, or not needed.
    """
    spec = agent.normalization
    if spec is None or not spec.obs:
        if statistics is not None:
            raise BadArgument("the source does not normalize observations: drop statistics")
        return None
    if not isinstance(statistics, RunningStats):
        raise BadArgument(
            "the source normalizes observations by statistics of private trajectories: give "
            "statistics of public states, such as rltransfer.privacy.public_statistics(task), "
            f"instead of {statistics!r:.60}"
        )
    return dataclasses.replace(spec, obs_stats=statistics, return_stats=None)
