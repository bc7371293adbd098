"""Cutting training into parts, so that a run goes on from a cut as if nothing had happened.

At a cut the environments are made anew, and every random stream is seeded with the run's seed and
the number of the part, whether the run was interrupted there or not. So a checkpoint need not hold
the state of environments and generators, which cannot be had of every environment, and yet a run
that was resumed gives the same numbers as one that was not. The price is that the episodes under
way are given up at each cut.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from rltransfer.callbacks import Evaluate
from rltransfer.errors import Interrupted
from rltransfer.experiments.checkpoints import Checkpoint, Checkpoints
from rltransfer.experiments.signals import Stop
from rltransfer.experiments.spec import RunSpec
from rltransfer.experiments.state import capture
from rltransfer.vec import make_vec

# Seeds of environments: apart from those of held-out episodes and probes, and within 31 bits.
_FIRST_SEED = 2**30


class Parts(BaseCallback):
    """Cuts training every ``spec.checkpoint_every`` steps, and writes a checkpoint at each cut.

    A cut is at the first rollout boundary at or after these steps, between an update and the next
    rollout. There is none before the first rollout, and none after the last.

    Args:
        spec: The run.
        evaluation: Its curve; it has to be called before this callback.
        checkpoints: Where checkpoints go; None for nowhere, which changes no number.
        stop: Whether the run is asked to stop.
        resumed: Whether the model was restored from a checkpoint, and a part begins with the
            first rollout.
        seconds: Wall-clock seconds that the run took before.

    Attributes:
        part: Number of the part under way, from 0.
    """

    def __init__(
        self,
        spec: RunSpec,
        evaluation: Evaluate,
        checkpoints: Checkpoints | None = None,
        stop: Stop | None = None,
        *,
        resumed: bool = False,
        seconds: float = 0.0,
    ) -> None:
        super().__init__()
        self.part = 0
        self._spec = spec
        self._evaluation = evaluation
        self._checkpoints = checkpoints
        self._stop = stop or Stop()
        self._resumed = resumed
        self._began = time.monotonic() - seconds
        self._saved_at: int | None = None
        self._said = False

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of the run so far, without those of attempts that were lost."""
        return time.monotonic() - self._began

    def interrupted(self) -> Interrupted:
        """Build the error of a run that was asked to stop, and says from where it goes on."""
        done, kept = self.model.num_timesteps, self._saved_at
        goes_on = (
            "nothing is kept, as there was no checkpoint yet"
            if kept is None
            else f"the same command goes on from the checkpoint at step {kept:,}"
        )
        return Interrupted(
            f"stopped by {self._stop.name} at step {done:,}: {goes_on}", signal=self._stop.signal
        )

    def _on_training_start(self) -> None:
        self._note_part()
        if self._resumed:
            self._saved_at = self.model.num_timesteps

    def _on_rollout_start(self) -> None:
        if self._resumed:
            self._resumed = False
            begin(self.model, self._spec, self.part)
        elif self.model.num_timesteps >= self._next:
            self._note_part()
            self._save()
            if self._stop.signal:
                raise self.interrupted()
            begin(self.model, self._spec, self.part)

    def _on_step(self) -> bool:
        if self._stop.signal:
            if not self._comes_in_time():
                raise self.interrupted()
            self._say_goal()
        return True

    def _say_goal(self) -> None:
        """Say once why the run has not stopped yet."""
        if not self._said:
            self._said = True
            what = "its end" if self._goal == self._spec.steps else "the next checkpoint"
            self._stop.say(
                f"{self._stop.name}: goes on from step {self.model.num_timesteps:,} to {what}, due"
                f" at step {self._goal:,}; once more stops it at once, and loses these steps"
            )

    def _note_part(self) -> None:
        done, every = self.model.num_timesteps, self._spec.checkpoint_every
        self.part = done // every
        self._next = (self.part + 1) * every
        self._part_began = (done, time.monotonic())

    def _save(self) -> None:
        if self._checkpoints is None:
            return
        tensors, state = capture(self.model, self._evaluation)
        state["seconds"] = self.seconds
        run, part = self._spec.id, self.part
        self._checkpoints.save(Checkpoint(run=run, part=part, tensors=tensors, state=state))
        self._saved_at = self.model.num_timesteps

    def _comes_in_time(self) -> bool:
        """Tell whether the next cut, or the end, is so near that the run may go on to it."""
        done = self.model.num_timesteps
        first, began = self._part_began
        speed = max(1, done - first) / max(time.monotonic() - began, 1e-9)
        return (self._goal - done) / speed < self._stop.seconds_left

    @property
    def _goal(self) -> int:
        """Step of the next cut that keeps something, or of the end."""
        total = self._spec.steps
        return total if self._checkpoints is None else min(self._next, total)


def begin(model: Any, spec: RunSpec, part: int) -> None:
    """Begin a part of training: between two rollouts, nothing but what is learnt lives on.

    That is weights, optimizer, statistics of normalization, counters and what is thawed.

    Args:
        model: The model of the run.
        spec: The run.
        part: Number of the part, at least 1.
    """
    sequence = np.random.SeedSequence([spec.seed, part])
    words = [int(word) for word in sequence.generate_state(5)]
    random.seed(words[0])
    np.random.seed(words[1])
    torch.manual_seed(words[2])  # CUDA too
    model.action_space.seed(words[3])
    seed = _FIRST_SEED + words[4] % (_FIRST_SEED - model.n_envs)
    guide = model.transfer.guide
    vec = "sync" if guide else spec.vec
    _renew(model.env, lambda: make_vec(spec.target, model.n_envs, seed=seed, vec=vec))
    if guide:
        guide.surround(model.env)
    _forget(model)
    _reset(model)


def _renew(venv: Any, make: Callable[[], VecEnv]) -> None:
    """Put new environments into the wrappers of the old ones, which are closed first."""
    while isinstance(venv.venv, VecEnvWrapper):
        venv = venv.venv
    venv.venv.close()
    venv.venv = make().unwrapped


def _forget(model: Any) -> None:
    """Drop what would otherwise last from one rollout to the next."""
    model.policy.optimizer.zero_grad(set_to_none=True)
    model.ep_info_buffer = deque(maxlen=model._stats_window_size)
    model.ep_success_buffer = deque(maxlen=model._stats_window_size)
    model._episode_num = 0
    if getattr(model, "_engine", None) is not None:
        model._engine.forget()
    states = getattr(model, "_last_lstm_states", None)
    if states is not None:
        model._last_lstm_states = type(states)(
            *(tuple(torch.zeros_like(one) for one in pair) for pair in states)
        )


def _reset(model: Any) -> None:
    """Reset the environments, and draw the noise of gSDE, as at the beginning of ``learn``."""
    normalizer = model.get_vec_normalize_env()
    model._last_obs = model.env.reset()
    model._last_episode_starts = np.ones(model.n_envs, dtype=bool)
    if normalizer is not None:
        normalizer.old_reward = np.array([])
        model._last_original_obs = normalizer.get_original_obs()
    if model.use_sde:
        model.policy.reset_noise(model.n_envs)
    if model.transfer.terms is not None:
        model.transfer.terms.rollout_begins(model)
