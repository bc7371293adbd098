"""What an agent says about itself: how it was made, and how well it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rltransfer.errors import BadArgument


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
    """

    mean: float
    ci_low: float
    ci_high: float
    episodes: int
    deterministic: bool
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.episodes < 1:
            raise BadArgument(f"score over {self.episodes} episodes: expected at least 1")
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
        texts = [("name", self.name), ("task", self.task), *(("scores", id) for id in self.scores)]
        for name, text in texts:
            if not text.isprintable():  # a terminal would act upon it
                raise BadArgument(f"card {name}={text!r:.80}: expected printable text")
        if self.steps < 0:
            raise BadArgument(f"card steps={self.steps}: expected 0 or more environment steps")
