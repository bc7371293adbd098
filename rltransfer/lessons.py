"""Lessons of a student in what teachers do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from rltransfer.heartbeat import beat
from rltransfer.training.terms import Teacher
from rltransfer.training.terms.actions import Actions, kl
from rltransfer.training.terms.teacher import concatenated, part_of, see

ENVS = 4
"""Environments of each task."""
N_STEPS = 128
"""Steps of each environment in a round."""


class Lesson:
    """One task, and who teaches it.

    Args:
        teacher: The teacher.
        venv: Environments of its task, as the student sees them.
    """

    def __init__(self, teacher: Teacher, venv: VecEnv) -> None:
        self._teacher = teacher
        self._venv = venv
        self._seen = venv.reset()

    def round(self, model: Any) -> tuple[Actions, Any]:
        """Let the student play for :data:`N_STEPS` steps, with actions that it samples.

        Args:
            model: The student.

        Returns:
            What the teacher would do in the states that the student saw, and these, not
            normalized.
        """
        steps = []
        for _ in range(N_STEPS):
            steps.append(self._raw())
            actions, _ = model.predict(self._seen, deterministic=False)
            self._seen = self._venv.step(actions)[0]
        raw = concatenated(steps)
        return self._teacher.actions(raw), raw

    def _raw(self) -> Any:
        venv = self._venv
        return venv.get_original_obs() if isinstance(venv, VecNormalize) else self._seen


def gathered(rounds: Sequence[tuple[Actions, Any]]) -> tuple[Actions, Any]:
    """Put the states of all tasks together, with what the teacher of each wants there."""
    wanted, raw = zip(*rounds, strict=True)
    return Actions.concatenated(wanted), concatenated(raw)


def learn(
    model: Any, optimizer: torch.optim.Optimizer, wanted: Actions, raw: Any, batch_size: int
) -> float:
    """Pass over states once.

    Args:
        model: The student.
        optimizer: Of its parameters.
        wanted: What teachers would do in N states.
        raw: The states, not normalized.
        batch_size: States of a minibatch.

    Returns:
        Mean of ``KL(teacher || student)`` over the states, in nats, each before it was learnt from.
    """
    model.policy.set_training_mode(True)
    total, count = 0.0, len(wanted.outputs)
    for rows in torch.randperm(count).split(batch_size):
        learner = Actions.of(model.policy.get_distribution(see(model, part_of(raw, rows.numpy()))))
        loss = kl(wanted.take(rows.to(model.device)), learner).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.policy.parameters(), model.max_grad_norm)
        optimizer.step()
        beat()
        total += loss.item() * len(rows)
    model.policy.set_training_mode(False)
    return total / count
