"""How close two tasks are, before any policy is asked: what one sees, and what actions do."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from gymnasium.envs.registration import EnvSpec

from rltransfer.similarity.dynamics import DynamicsFit, Transitions, dynamics_fit
from rltransfer.similarity.flat import alike
from rltransfer.similarity.mmd import mmd
from rltransfer.similarity.two_sample import classifier_auc
from rltransfer.similarity.walking import random_walk
from rltransfer.training.threads import one_thread

STEPS = 2_048
"""Random steps in each of the two tasks."""


@dataclass(frozen=True)
class Closeness:
    """How alike two tasks are under random actions; nan where their spaces differ.

    Attributes:
        observation_auc: See :func:`classifier_auc`; 0.5 if observations cannot be told apart.
        observation_mmd: See :func:`mmd`; 0 if they are the same.
        dynamics_gap: See :class:`DynamicsFit`; 1 if the source's dynamics predict the target.
        dynamics_fit: ``retained`` there; 1 if they do, 0 if they do not help.
        control: ``control`` there; 1 if actions do the same, -1 if they do the opposite. No part of
            ``value``.
        steps: Environment steps on the target.
        source_steps: Environment steps on the source's task.
    """

    observation_auc: float
    observation_mmd: float
    dynamics_gap: float
    dynamics_fit: float
    control: float
    steps: int
    source_steps: int

    @property
    def value(self) -> float:
        """Geometric mean of two similarities in [0, 1]: of observations, and of dynamics.

        Observations: ``2 (1 - AUC)``, as the proxy A-distance of Ben-David et al. (2007) turned
        round. Dynamics: ``dynamics_fit``; rewards are part of them (Sutton and Barto 2018, equation
        3.2). Where dynamics are unknown because nothing could be learnt, observations alone; nan
        where observations differ.
        """
        seen = float(np.clip(2 * (1 - self.observation_auc), 0, 1))
        return seen if math.isnan(self.dynamics_fit) else math.sqrt(seen * self.dynamics_fit)


def compare_tasks(
    source: str | EnvSpec, target: str | EnvSpec, *, seed: int | None, steps: int = STEPS
) -> Closeness:
    """Play two tasks with the same random actions, and compare what happened.

    Args:
        source: Gymnasium id, ``module:Id``, or spec.
        target: The same.
        seed: Seed of environments and actions.
        steps: Random steps in each.

    Raises:
        TransferError: An environment cannot be made, or breaks its contract.
    """
    with one_thread():
        first, seen, acting = random_walk(source, steps, seed)
        second, shown, acts = random_walk(target, steps, seed)
        return _compared(first, second, alike(seen, shown), alike(acting, acts))


def _compared(
    first: Transitions, second: Transitions, same_observations: bool, same_actions: bool
) -> Closeness:
    nan = math.nan
    both = same_observations and same_actions
    fit = dynamics_fit(first, second) if both else DynamicsFit(nan, nan, nan)
    return Closeness(
        observation_auc=_auc(first, second) if same_observations else nan,
        observation_mmd=_mmd(first, second) if same_observations else nan,
        dynamics_gap=fit.gap,
        dynamics_fit=fit.retained,
        control=fit.control,
        steps=second.rewards.size,
        source_steps=first.rewards.size,
    )


def _auc(first: Transitions, second: Transitions) -> float:
    return classifier_auc(first.observations, second.observations)


def _mmd(first: Transitions, second: Transitions) -> float:
    width = first.observations.shape[-1]
    return mmd(*(task.observations.reshape(-1, width) for task in (first, second)))
