"""What an agent says about itself: how it was made, and how well it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rltransfer.agents.numbers import finite, whole
from rltransfer.errors import BadArgument

_SHOWN = ("name", "task")
_MAPPINGS = ("versions", "scores")
_TEXTS = (*_SHOWN, "command", "created", "notes", "source")


@dataclass(frozen=True, kw_only=True)
class Score:
    """A measured mean episode return.

    Attributes:
        mean: Mean undiscounted return, in the task's own unit.
        ci_low: Lower end of the 95 % interval of the mean.
        ci_high: Upper end of the 95 % interval of the mean.
        episodes: Number of episodes, at least 1.
        deterministic: Whether the most likely action was taken instead of a sampled one.
        seed: Seed of the evaluation episodes, or None when it is not known.

    Raises:
        BadArgument: A value is of another kind, or out of range. Numbers may be numpy's, and are
            kept as Python's.
    """

    mean: float
    ci_low: float
    ci_high: float
    episodes: int
    deterministic: bool
    seed: int | None = None

    def __post_init__(self) -> None:
        for name in ("mean", "ci_low", "ci_high"):
            _set(self, name, finite(f"score {name}", getattr(self, name)))
        _set(self, "episodes", whole("score episodes", self.episodes, least=1))
        if not isinstance(self.deterministic, bool | np.bool):
            raise BadArgument(f"deterministic is {self.deterministic!r:.60}: give True or False")
        _set(self, "deterministic", bool(self.deterministic))
        if self.seed is not None:
            _set(self, "seed", whole("score seed", self.seed, least=None))
        if not self.ci_low <= self.mean <= self.ci_high:
            raise BadArgument(
                f"score {self.mean} lies outside its interval [{self.ci_low}, {self.ci_high}]"
            )

    def __str__(self) -> str:
        how = "deterministic" if self.deterministic else "stochastic"
        seed = "" if self.seed is None else f", seed {self.seed}"
        interval = f"95% interval {self.ci_low:.4g} to {self.ci_high:.4g}"
        return f"{self.mean:.4g} ({interval}, {self.episodes} episodes, {how}{seed})"


@dataclass(frozen=True, kw_only=True)
class Card:
    """Where an agent comes from.

    Attributes:
        name: Short name, such as ``"cartpole"``.
        task: Gymnasium id of the task that it was trained on.
        steps: Environment steps that it was trained for.
        seed: Seed of that training, or None when it is not known.
        score: Measured score on ``task``, or None when it was not measured.
        command: Command line that made it, or empty.
        versions: Version of each package that made it, by package name.
        created: When it was made, as an ISO 8601 date or time.
        notes: Free text.
        source: Agent that it was made from, or empty when it started from scratch.
        scores: Measured score on each task, by Gymnasium id, of an agent that is meant for several;
            empty for one of a single task, whose score is ``score``.

    Raises:
        BadArgument: A value is of another kind, or out of range. Numbers may be numpy's, and are
            kept as Python's.
    """

    name: str
    task: str
    steps: int
    seed: int | None = None
    score: Score | None = None
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    notes: str = ""
    source: str = ""
    scores: Mapping[str, Score] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name:
            raise BadArgument("a card needs a name, such as 'cartpole'")
        self._check_texts()
        self._check_scores()
        _set(self, "steps", whole("card steps", self.steps))
        if self.seed is not None:
            _set(self, "seed", whole("card seed", self.seed, least=None))

    def _check_texts(self) -> None:
        texts = [(name, getattr(self, name)) for name in _TEXTS]
        held = [(name, one) for name in _MAPPINGS for one in self._mapping(name)]
        versions = [("versions", one) for one in self.versions.values()]
        for name, text in [*texts, *held, *versions]:
            if not isinstance(text, str):
                raise BadArgument(f"card {name}={text!r:.80}: expected text")
        for name, text in [*texts[: len(_SHOWN)], *(("scores", id) for id in self.scores)]:
            if not text.isprintable():  # a terminal would act upon it
                raise BadArgument(f"card {name}={text!r:.80}: expected printable text")

    def _mapping(self, name: str) -> Mapping[str, Any]:
        value = getattr(self, name)
        if not isinstance(value, Mapping):
            raise BadArgument(f"card {name}={value!r:.80}: expected a mapping of texts")
        return value

    def _check_scores(self) -> None:
        for score in (*([] if self.score is None else [self.score]), *self.scores.values()):
            if not isinstance(score, Score):
                raise BadArgument(f"card score is {score!r:.60}: give a Score, or None")


def _set(card: Any, name: str, value: Any) -> None:
    """Replace a field of a frozen card by what is kept of it."""
    object.__setattr__(card, name, value)
