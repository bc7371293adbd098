"""Environments for held-out episodes, kept for repeated evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from types import TracebackType
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from rltransfer import registry
from rltransfer.agents.normalization import Normalization
from rltransfer.agents.numbers import whole
from rltransfer.bounds import BoundsWatch
from rltransfer.errors import BadArgument, BadEnvironment
from rltransfer.evaluation.acting import Actor, PolicyActor, RandomActor
from rltransfer.evaluation.batch import Batch
from rltransfer.evaluation.episodes import episodes_of
from rltransfer.evaluation.given import require_fit, resolve
from rltransfer.evaluation.result import Evaluation
from rltransfer.evaluation.undisturbed import seeded, undisturbed
from rltransfer.faults import broken
from rltransfer.heartbeat import beat
from rltransfer.strict import StrictEnv
from rltransfer.training.threads import few_threads

HELD_OUT_SEED = 1_000_000
"""Seed of the first held-out episode. Training seeds below it are never evaluated on."""


class Evaluator:
    """Held-out episodes of a task, to be played again and again.

    Use it as a context manager, or call :meth:`close`.

    Args:
        task: Gymnasium id, ``module:id``, or a spec.
        episodes: Number of episodes, at least 1.
        seed: Episode ``i`` is reset with ``seed + i``.
        max_steps: Episodes end after so many steps at the latest; needed where the environment has
            no time limit of its own.

    Raises:
        UnknownName: Gymnasium has no such id.
        MissingExtra: The environment needs a package that is not installed.
        BadArgument: ``episodes``, ``seed`` or ``max_steps`` is outside its range, or ``max_steps``
            is needed.
    """

    def __init__(
        self,
        task: str | EnvSpec,
        *,
        episodes: int = 20,
        seed: int = HELD_OUT_SEED,
        max_steps: int | None = None,
    ) -> None:
        episodes, seed = whole("episodes", episodes, least=1), whole("seed", seed)
        if max_steps is not None:
            max_steps = whole("max_steps", max_steps, least=1)
        spec = task if isinstance(task, EnvSpec) else registry.spec(task)
        self.task = spec.id
        self._seed = seed
        self._max_steps = math.inf if max_steps is None else max_steps
        with seeded(seed):
            self._envs = [StrictEnv(registry.make(spec), index) for index in range(episodes)]
        if max_steps is None:
            self._require_time_limit()
        self._episodes = episodes_of(spec, self._envs)
        space = self._envs[0].observation_space
        self._batch = Batch(space, episodes)
        self._bounds = BoundsWatch(space, episodes, f"{self.task} (evaluated)")

    @property
    def envs(self) -> Sequence[gym.Env]:
        """One environment for each episode, in order; what a batch steps at once stays at rest."""
        return self._envs

    def run(
        self,
        actor: Any,
        *,
        deterministic: bool = True,
        normalization: Normalization | None = None,
    ) -> Evaluation:
        """Play all episodes once; see :func:`evaluate` for arguments and errors."""
        model, own = resolve(actor)
        normalization = normalization or own
        require_fit(model, self._envs[0], self.task, normalization)
        with few_threads(model.policy.parameters()), undisturbed(model, self._seed):
            policy = PolicyActor(
                model, self._envs, normalization=normalization, deterministic=deterministic
            )
            return self._play(policy, deterministic=deterministic)

    def random(self) -> Evaluation:
        """Play all episodes once with uniformly random actions."""
        with seeded(self._seed):
            chance = RandomActor(self._envs[0].action_space, len(self._envs), self._seed)
            return self._play(chance, deterministic=False)

    def close(self) -> None:
        """Close the environments."""
        self._episodes.close()
        for env in self._envs:
            env.close()

    def __enter__(self) -> Evaluator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _play(self, actor: Actor, *, deterministic: bool) -> Evaluation:
        count = len(self._envs)
        returns, lengths = [0.0] * count, [0] * count
        for row, observation in enumerate(self._episodes.reset(self._seed)):
            self._batch.put(row, observation)
        self._check([None] * count, step=0)
        live, step = list(range(count)), 0
        while live:
            actions = actor(self._batch.observations, live, step)
            step += 1
            beat()
            live = self._step(live, actions, step, returns, lengths)
            self._check(actions, step)
        self._bounds.look(lambda row, when: when)
        return Evaluation(
            task=self.task,
            returns=np.array(returns),
            lengths=np.array(lengths),
            deterministic=deterministic,
            seed=self._seed,
        )

    def _step(
        self,
        live: list[int],
        actions: Sequence[Any],
        step: int,
        returns: list[float],
        lengths: list[int],
    ) -> list[int]:
        """Step the live episodes, and return those that go on."""
        going, isfinite = [], math.isfinite
        for row, reward, ended in self._episodes.step(live, actions, self._batch):
            returns[row] += reward
            # The sum of finite rewards is finite, so it stands in for the reward.
            if not isfinite(returns[row]):
                problem = f"the reward is {reward}, not a finite number"
                raise self._broken(row, step, actions[row], problem)
            if ended or step >= self._max_steps:
                lengths[row] = step
            else:
                going.append(row)
        return going

    def _check(self, actions: Sequence[Any], step: int) -> None:
        """Refuse observations that are not finite; those of ended episodes were finite before."""
        found = self._batch.first_not_finite()
        if found is not None:
            (row, *place), problem = found
            raise self._broken(row, step, actions[row], f"observation{place or ''} {problem}")
        if self._bounds.needed and self._bounds.add(deepcopy(self._batch.observations), step):
            self._bounds.look(lambda row, when: when)

    def _broken(self, row: int, step: int, action: Any, problem: str) -> BadEnvironment:
        where = self.task, row, step, action, problem
        return broken(*where, seed=self._seed + row, episode=1)

    def _require_time_limit(self) -> None:
        env = self._envs[0]
        limited = env.spec is not None and env.spec.max_episode_steps is not None
        # Some simulators, such as MiniGrid, count the steps themselves.
        if not limited and not isinstance(getattr(env.unwrapped, "max_steps", None), int):
            raise BadArgument(
                f"{self.task} has no time limit, an episode may never end: give max_steps, such as"
                " max_steps=1000"
            )
