"""Playing single episodes, and hearing when their returns have fallen."""

from __future__ import annotations

from typing import Any

from rltransfer.agents import Agent
from rltransfer.changes import Detector
from rltransfer.evaluate import Evaluator
from rltransfer.evaluation.given import require_fit


class Watch:
    """Keeps to the old normal after an alarm, until it is regained or given up."""

    def __init__(self, detector: Detector, retries: int) -> None:
        self._detector, self._retries = detector, retries
        self._tries = self._quiet = 0

    def alarms(self, value: float) -> bool:
        """Whether the next return raises an alarm."""
        alarm = self._detector.update(value)
        self._tries, self._quiet = self._tries + alarm, 0 if alarm else self._quiet + 1
        settled = self._quiet >= self._detector.settings.warmup
        if self._tries >= self._retries or (self._tries and settled):
            self._detector.reset()
            self._tries = 0
        elif alarm:
            self._detector.clear()
        return alarm


class Player:
    """Plays single episodes with an agent that is built once."""

    def __init__(self, agent: Agent, deterministic: bool, max_steps: int | None) -> None:
        self._model, self._normalization = agent.build(), agent.normalization
        self._deterministic, self._max_steps = deterministic, max_steps

    def check(self, task: str) -> None:
        """Refuse a task that cannot be played."""
        with Evaluator(task, episodes=1, max_steps=self._max_steps) as evaluator:
            require_fit(self._model, evaluator.envs[0], task, self._normalization)

    def play(self, task: str, seed: int) -> Any:
        """Play one episode."""
        with Evaluator(task, episodes=1, seed=seed, max_steps=self._max_steps) as evaluator:
            return evaluator.run(
                self._model, deterministic=self._deterministic, normalization=self._normalization
            )
