"""Who acts in an evaluation: a model in its own space, or chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib import MaskablePPO
from stable_baselines3.common.base_class import BaseAlgorithm

from rltransfer.agents.normalization import Normalization
from rltransfer.engine.closed_form import Predictor, cannot_act
from rltransfer.engine.plan import has_plain_observations
from rltransfer.errors import BadEnvironment
from rltransfer.evaluation.given import Acting
from rltransfer.normalizing import observation_normalizer


class Actor(Protocol):
    """Chooses actions for a batch of environments, episode after episode in the same rows."""

    def __call__(self, observations: Any, live: Sequence[int], step: int) -> Sequence[Any]:
        """Choose actions.

        Args:
            observations: One row per environment; rows of ended episodes keep their last one.
            live: Rows whose episode has not ended; only their actions are used.
            step: Steps taken so far, 0 at the start of the episodes.

        Returns:
            One action per row.
        """
        ...


class PolicyActor:
    """Acts by a model's policy, in one batch; without torch where the closed form can.

    Args:
        model: A Stable-Baselines3 model.
        envs: One environment per row, for action masks.
        normalization: How its observations are normalized; None for not at all.
        deterministic: The most likely action, not a sample.

    Raises:
        BadEnvironment: The model needs action masks and the environments have none.
    """

    def __init__(
        self,
        model: BaseAlgorithm | Acting,
        envs: Sequence[gym.Env],
        *,
        normalization: Normalization | None,
        deterministic: bool,
    ) -> None:
        self._model: Any = model
        self._deterministic = deterministic
        self._normalize = observation_normalizer(envs[0].observation_space, normalization)
        self._rows = len(envs)
        self._state: Any = None
        self._masks = Masks(envs) if isinstance(model, MaskablePPO) else None
        self._predictor = _predictor(model, deterministic=deterministic)
        samples_noise = getattr(model, "use_sde", False) and not deterministic
        self._noise_every = getattr(model, "sde_sample_freq", -1) if samples_noise else None

    def __call__(self, observations: Any, live: Sequence[int], step: int) -> Sequence[Any]:
        """Choose actions; see :class:`Actor`."""
        self._refresh_noise(step)
        # All rows, ended or not: a policy may answer differently, in the last bits, to another
        # size of batch, and a sample belongs to a row.
        observations = self._normalize(observations)
        if self._predictor is not None:
            actions: Any = self._predictor.predict(observations)
            if actions is not None:
                return actions
        actions, self._state = self._model.predict(
            observations,
            state=self._state,
            episode_start=np.full(self._rows, step == 0),
            deterministic=self._deterministic,
            **({} if self._masks is None else {"action_masks": self._masks(live)}),
        )
        return actions

    def _refresh_noise(self, step: int) -> None:
        """Sample gSDE's noise matrices as often as training does."""
        every = self._noise_every
        if every is not None and (step == 0 or (every > 0 and step % every == 0)):
            self._model.policy.reset_noise(self._rows)


class Masks:
    """Valid actions of a batch of environments; those of ended episodes stay what they were.

    Args:
        envs: One environment per row.

    Raises:
        BadEnvironment: The environments have no masks.
    """

    def __init__(self, envs: Sequence[gym.Env]) -> None:
        self._functions = _mask_functions(envs)
        self._last: np.ndarray | None = None

    def __call__(self, live: Sequence[int]) -> np.ndarray:
        """Masks of all rows, shape (rows, flags); asked of the rows in ``live``."""
        if self._last is None:
            self._last = np.stack([mask() for mask in self._functions])
        for row in live:
            self._last[row] = self._functions[row]()
        return self._last


class RandomActor:
    """Acts uniformly at random; each row draws from its own stream.

    Args:
        space: Action space of one environment.
        rows: Number of environments.
        seed: Seed of the streams.
    """

    def __init__(self, space: spaces.Space, rows: int, seed: int) -> None:
        self._spaces = [deepcopy(space) for _ in range(rows)]
        for row, one in enumerate(self._spaces):
            # Not seed + row, which seeds the environment: the same stream would choose its noise.
            one.seed(int(np.random.SeedSequence([seed, row]).generate_state(1)[0]))

    def __call__(self, observations: Any, live: Sequence[int], step: int) -> Sequence[Any]:
        """Choose actions; see :class:`Actor`."""
        actions: list[Any] = [None] * len(self._spaces)
        for row in live:
            actions[row] = self._spaces[row].sample()
        return actions


def _predictor(model: Any, *, deterministic: bool) -> Predictor | None:
    """Make what stands in for ``model.predict``, unless it may compute anything else."""
    own = type(model).predict is not BaseAlgorithm.predict or "predict" in vars(model)
    if own or cannot_act(model.policy) is not None or not has_plain_observations(model):
        return None
    if next(model.policy.parameters()).dtype != torch.float32:  # which torch would refuse
        return None
    return Predictor(model.policy, deterministic=deterministic)


def _mask_functions(envs: Sequence[gym.Env]) -> list[Callable[[], np.ndarray]]:
    if not envs[0].has_wrapper_attr("action_masks"):
        name = envs[0].spec.id if envs[0].spec is not None else str(envs[0].unwrapped)
        raise BadEnvironment(
            f"{name} has no action_masks(), which MaskablePPO needs: define it, or register the"
            " environment with sb3_contrib.common.wrappers.ActionMasker around it"
        )
    return [env.get_wrapper_attr("action_masks") for env in envs]
