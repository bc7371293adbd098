"""The runs of a comparison: sources x recipes x controls x seeds, as jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rltransfer.agents import Agent
from rltransfer.errors import BadArgument
from rltransfer.experiments import controls
from rltransfer.experiments.controls import FROM_SCRATCH, Control, control
from rltransfer.experiments.jobs import Job
from rltransfer.experiments.spec import RunSpec, source_hash
from rltransfer.presets import recipe as preset
from rltransfer.recipe import Recipe
from rltransfer.report import SCRATCH

TUNED = "scratch-tuned"


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """What is to be run for one comparison.

    Attributes:
        jobs: The runs, seed by seed, so that an early stop leaves whole pairs.
        agents: Every agent that a run starts from, by hash: sources, and those of controls.
    """

    jobs: Sequence[Job]
    agents: Mapping[str, Agent]


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparing:
    """What is compared on one target.

    Attributes:
        label: Name of the comparison.
        sources: Checkpoints of one source, at least one: trained alike, with other seeds.
        target: Gymnasium id or ``module:Id``.
        recipes: Recipes by name, ``"scratch"`` among them.
        steps: Budget of environment steps on the target.
        controls: Names of controls; see :mod:`rltransfer.experiments.controls`.
        unrelated: Agent of another task, for the control of that name.
        tuned_rate: Factor on the learning rate for the control ``"scratch-tuned"``, found by
            :mod:`rltransfer.experiments.tuning`.
        settings: ``points``, ``episodes``, ``max_steps``, ``device``, ``vec``,
            ``checkpoint_every`` and ``hyperparameters`` of :class:`RunSpec`.

    Raises:
        BadArgument: The sources were not trained alike, two have one name, ``recipes`` lacks
            scratch or gives that name to another recipe, or a control lacks what it needs.
        UnknownName: A control does not exist.
    """

    label: str
    sources: Sequence[Agent]
    target: str
    recipes: Mapping[str, Recipe]
    steps: int
    controls: Sequence[str] = ()
    unrelated: Agent | None = None
    tuned_rate: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.recipes.get(SCRATCH) != preset(SCRATCH):
            raise BadArgument("'scratch' is the control: give your recipe another name")
        _check_sources(self.sources)
        for name in self.controls:
            control(name)
            if name in self.recipes:
                raise BadArgument(f"{name!r} is a control: give your recipe another name")
        if "unrelated" in self.controls and self.unrelated is None:
            raise BadArgument(
                "the control 'unrelated' needs an agent of another task: give unrelated=AGENT"
            )

    def plan(self, seeds: Sequence[int]) -> Plan:
        """List the runs.

        Args:
            seeds: Training seeds, the same for every arm.

        Raises:
            BadArgument: A setting is out of range, or scratch was not tuned.
        """
        if TUNED in self.controls and self.tuned_rate is None:
            raise BadArgument(f"the control {TUNED!r} needs tuned_rate: tune scratch first")
        jobs, agents = [], {}
        for seed in seeds:
            for agent, spec in self._runs(seed):
                agents.setdefault(spec.source_hash, agent)
                jobs.append(Job(self.label, spec, self._source(spec)))
        return Plan(jobs=jobs, agents=agents)

    def scratch(self, seed: int) -> RunSpec:
        """The run from scratch with one seed."""
        first = self.sources[0]
        return self._spec(first, first, self.recipes[SCRATCH], SCRATCH, seed)

    def size(self, seeds: int) -> tuple[int, int]:
        """How much there is to do.

        Args:
            seeds: Number of training seeds.

        Returns:
            Number of runs, and their environment steps in all.
        """
        each = len(self.sources)
        many = [1] + [each] * (len(self.recipes) - 1)
        many += [1 if control(name).shared else each for name in self.controls]
        longer = sum(self.sources[0].card.steps for name in self.controls if control(name).longer)
        return seeds * sum(many), seeds * (sum(many) * self.steps + longer)

    def _runs(self, seed: int) -> Iterator[tuple[Agent, RunSpec]]:
        for i, source in enumerate(self.sources):
            for name, recipe in self.recipes.items():
                if name != SCRATCH or i == 0:  # scratch knows no source: one serves all
                    yield source, self._spec(source, source, recipe, name, seed)
            for name in self.controls:
                if i == 0 or not control(name).shared:
                    yield self._control(control(name), source, seed)

    def _control(self, arm: Control, source: Agent, seed: int) -> tuple[Agent, RunSpec]:
        agent = source
        if arm.change is not None:
            agent = arm.change(source, controls.stream(arm.name, seed))
        elif arm.name == "unrelated" and self.unrelated is not None:
            agent = controls.unrelated(source, self.unrelated)
        changes: dict[str, Any] = {"train": arm.train}
        if arm.longer:
            changes["steps"] = self.steps + source.card.steps
        spec = self._spec(source, agent, arm.recipe, arm.name, seed, **changes)
        if arm.name == TUNED and self.tuned_rate is not None:
            spec = with_rate(spec, source, self.tuned_rate)
        return agent, spec

    def _spec(
        self, source: Agent, agent: Agent, recipe: Recipe, name: str, seed: int, **changes: Any
    ) -> RunSpec:
        values = {"steps": self.steps, **self.settings, **changes}
        spec = RunSpec.of(agent, self.target, recipe, label=name, seed=seed, **values)
        # Controls are listed under the source that they are compared with.
        return replace(spec, source=source.card.name)

    def _source(self, spec: RunSpec) -> str:
        """Name of the checkpoint, where it tells runs apart."""
        return spec.source if len(self.sources) > 1 and spec.label not in FROM_SCRATCH else ""


def with_rate(spec: RunSpec, source: Agent, factor: float) -> RunSpec:
    """The same run with another learning rate.

    Args:
        spec: The run.
        source: Its source, whose rate is scaled unless the run has its own.
        factor: Factor, > 0.
    """
    held = spec.hyperparameters.get("learning_rate", source.hyperparameters["learning_rate"])
    rate = controls.scaled_rate(held, factor)
    return replace(spec, hyperparameters={**spec.hyperparameters, "learning_rate": rate})


def _check_sources(sources: Sequence[Agent]) -> None:
    names = [agent.card.name for agent in sources]
    if (
        not names
        or len(set(names)) < len(names)
        or len(set(map(source_hash, sources))) < len(names)
    ):
        raise BadArgument(
            f"sources are {', '.join(names) or 'none'}: expected different checkpoints, each with "
            "a name of its own"
        )
    first = sources[0]
    for other in sources[1:]:
        for what in ("algorithm", "policy", "policy_kwargs", "hyperparameters"):
            if getattr(first, what) != getattr(other, what):
                raise BadArgument(
                    f"sources {first.card.name!r} and {other.card.name!r} differ in {what}, so no "
                    "one training from scratch is the control of both: compare them apart"
                )
