"""Fine-tuning once, and keeping the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rltransfer.agents import Agent, load
from rltransfer.agents.multitask.names import of_one_task
from rltransfer.experiments import folders, results
from rltransfer.experiments.checkpoints import Checkpoints
from rltransfer.experiments.run import Report, Run, close, execute
from rltransfer.experiments.signals import Stop
from rltransfer.experiments.spec import RunSpec
from rltransfer.presets import recipe as preset
from rltransfer.pretrain import as_agent
from rltransfer.recipe import Recipe
from rltransfer.registry import task
from rltransfer.training.ppo import TransferPPO

MODEL = "model.zip"
AGENT = "agent"
CHECKPOINTS = "checkpoints"
SETTINGS = ("points", "episodes", "max_steps", "device", "vec", "checkpoint_every")


@dataclass(frozen=True, kw_only=True, eq=False)
class Finetuned:
    """A fine-tuned model and its learning curve.

    Attributes:
        model: The model, an ordinary ``PPO`` on the target.
        run: Its evaluations from step 0.
        folder: Where everything was written, if it was.
    """

    model: TransferPPO
    run: Run
    folder: Path | None

    def __str__(self) -> str:
        first, last = self.run.returns[0].mean(), self.run.returns[-1].mean()
        known = task(self.run.spec.target)
        scale = ""
        if known.random is not None and known.reference is not None:
            low, high = known.normalize(first), known.normalize(last)
            scale = f" (normalized {low:.2f} -> {high:.2f})"
        where = f"\nwritten to {self.folder}" if self.folder else ""
        choice = f"\n{self.run.spec.label}: {self.run.choice}" if self.run.choice else ""
        return (
            f"{self.run.spec.target}: mean return {first:.1f} -> {last:.1f}{scale} "
            f"after {self.run.steps[-1]:,} steps{choice}{where}"
        )


def finetune(
    source: Agent | str | Path,
    target: str,
    recipe: Recipe | str = "auto",
    *,
    steps: int,
    seed: int = 0,
    out: str | Path | None = None,
    report: Report | None = None,
    label: str | None = None,
    command: str = "",
    classes: Mapping[str, type] | None = None,
    stop: Stop | None = None,
    **options: Any,
) -> Finetuned:
    """Fine-tune once, evaluated from step 0, and keep the model.

    With ``out``, a run that was interrupted or killed goes on from its last checkpoint when it is
    called again with the same arguments, and gives the same numbers as if nothing had happened.

    Args:
        source: An agent, the name of a zoo agent, or a path.
        target: Gymnasium id or ``module:Id``.
        recipe: A recipe or preset.
        steps: Budget of environment steps, at least 1.
        seed: Seed of weights, actions and environments.
        out: Folder for ``model.zip`` (for plain SB3), ``agent`` (for rltransfer), the result and
            TensorBoard's events, and for ``checkpoints`` while it runs; None keeps nothing.
        report: Called with (steps done, steps in all) after every rollout.
        label: What the recipe is called in TensorBoard; its name by default.
        command: Command line for the card of the agent that is written.
        classes: Your own classes that the agent was built with, by name.
        stop: Whether the run is asked to stop; see :func:`rltransfer.experiments.signals.catching`.
        **options: ``points``, ``episodes``, ``max_steps``, ``device``, ``vec`` and
            ``checkpoint_every`` of :class:`RunSpec`, or hyperparameters.

    Returns:
        The model and its curve. Without ``out``, save the model yourself with ``model.save``.

    Raises:
        NotWritable: ``out`` cannot be written.
        BadArgument: ``steps`` is not a whole number >= 1, or ``out`` holds another run.
        Interrupted: ``stop`` asked for it.
        Diverged: A loss, gradient, weight or output of the policy is not finite.
    """
    agent = source if isinstance(source, Agent) else load(source, classes=classes)
    of_one_task(agent, "finetune")
    spec = RunSpec.of(
        agent,
        target,
        preset(recipe),
        label=label or (recipe if isinstance(recipe, str) else "recipe"),
        steps=steps,
        seed=seed,
        hyperparameters={k: v for k, v in options.items() if k not in SETTINGS},
        **{k: v for k, v in options.items() if k in SETTINGS},
    )
    folder = Path(out) if out else None
    if folder:
        folders.check_writable(folder)
    checkpoints = _checkpoints(folder, spec)
    with folders.attempt(folder, checkpoints.exist if checkpoints else lambda: False):
        kept = checkpoints.folder if checkpoints else None
        run, model = execute(spec, agent, folder, report, checkpoints=kept, stop=stop)
        if folder:
            _keep(folder, run, model, command)
        if checkpoints:
            checkpoints.remove()
    return Finetuned(model=model, run=run, folder=folder)


def _checkpoints(folder: Path | None, spec: RunSpec) -> Checkpoints | None:
    """Checkpoints of a run in its folder; a finished one that is run again has none.

    Raises:
        BadArgument: The folder holds a run with other settings.
    """
    if folder is None:
        return None
    found = Checkpoints(folder / CHECKPOINTS, spec.id)
    if results.find(folder, spec) is None:
        return found
    found.remove()
    return None


def _keep(folder: Path, run: Run, model: TransferPPO, command: str) -> None:
    """Write the model twice, for SB3 and for rltransfer; the result last, as it says all is there.

    Raises:
        NotWritable: Something cannot be written.
    """
    spec = run.spec
    try:
        agent = as_agent(
            model,
            task=spec.target,
            seed=spec.seed,
            command=command,
            source=spec.source,
            max_steps=spec.max_steps,
        )
        model.save(folder / MODEL)
        agent.save(folder / AGENT)
        results.save(folder, run)
    except BaseException:
        close(model)
        raise
