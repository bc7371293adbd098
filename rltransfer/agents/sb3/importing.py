"""From a zip of Stable-Baselines3 to an agent, without running anything in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from rltransfer.agents import classes as named
from rltransfer.agents import files
from rltransfer.agents.agent import Agent
from rltransfer.agents.sb3 import (
    arguments,
    kept_moments,
    moments,
    provenance,
    settings,
    shapes,
    spaces,
    surroundings,
    task_spaces,
    tasks,
    weights,
)
from rltransfer.agents.sb3.container import Container
from rltransfer.agents.sb3.kinds import Kind, kind_of
from rltransfer.agents.sb3.own_classes import OwnClasses
from rltransfer.agents.sb3.report import Ledger, Report
from rltransfer.errors import BadArgument, BadCheckpoint

_OPTIMIZER_ARGUMENTS = ("optimizer_class", "optimizer_kwargs")


@dataclass(frozen=True)
class Imported:
    """An agent that was read from a zip of Stable-Baselines3, and how.

    Attributes:
        agent: The agent.
        report: What was read, value by value.
    """

    agent: Agent
    report: Report


@dataclass(frozen=True)
class Given:
    """What the user says about a file."""

    task: str | None
    classes: Mapping[str, type]
    normalization: str | Path | bool | None
    hyperparameters: Mapping[str, Any]


def read(
    path: str | Path,
    *,
    task: str | None = None,
    classes: Mapping[str, type] | None = None,
    normalization: str | Path | bool | None = None,
    hyperparameters: Mapping[str, Any] | None = None,
    strict: bool = False,
) -> Imported:
    """Read an agent of Stable-Baselines3 from the zip that ``model.save`` wrote.

    PPO, A2C, TRPO, MaskablePPO and RecurrentPPO of versions 1.0 to 2.9. Pickles in the zip are
    parsed as data: no class or function that they name is imported, and none of their code runs.

    Args:
        path: The zip.
        task: Gymnasium id of the task that it was trained on, or ``module:id`` for one that this
            module registers; by default what ``args.yml`` of the RL Zoo beside it, or the name of
            the file or its folder, says.
        classes: Classes of yours that the policy needs, by ``"module:QualName"`` or by name. The
            report names them; without them the agent has its weights, and cannot be built.
        normalization: Path of the pickle that ``VecNormalize.save`` wrote. By default it is looked
            for beside the zip; False goes without.
        hyperparameters: Values to take instead of the file's, such as of a schedule that is a
            function.
        strict: Refuse a file that names a class or function that rltransfer does not know, or
            holds a value that cannot be recovered.

    Returns:
        The agent, and a report of what was read and how.

    Raises:
        BadArgument: An argument is out of range.
        BadCheckpoint: The file is corrupt, contradicts itself, or of another algorithm; or
            statistics of a normalized agent are missing.
        UnknownName: ``hyperparameters`` has a name that no hyperparameter has, or Gymnasium knows
            no such ``task``.
    """
    path = _with_suffix(files.usable(path))
    given = Given(task, named.check_given(classes), normalization, hyperparameters or {})
    try:
        surroundings.check_there(path)
        found = _read(path, given)
        if strict:
            _refuse_unknown(found.report)
    except (RecursionError, MemoryError) as error:
        raise BadCheckpoint(f"{path}: nested too deep, or too large") from error
    except BadCheckpoint as error:
        text = str(error)
        raise BadCheckpoint(text if text.startswith(f"{path}:") else f"{path}: {text}") from error
    return found


def _with_suffix(path: Path) -> Path:
    """Add the suffix that SB3 lets its users leave out."""
    zipped = path.with_name(f"{path.name}.zip") if path.name else path
    return zipped if not path.exists() and zipped.exists() else path


def _read(path: Path, given: Given) -> Imported:
    container, ledger = Container(path), Ledger()
    agent, kind = _agent(container, ledger, given)
    report = Report(
        path=str(path),
        sha256=container.sha256,
        version=container.version,
        algorithm=kind.trained_by,
        fields=tuple(ledger.fields),
        foreign=tuple(ledger.foreign),
        notes=tuple(ledger.notes),
    )
    return Imported(agent, report)


def _agent(container: Container, ledger: Ledger, given: Given) -> tuple[Agent, Kind]:
    raw = weights.read(container)
    kind = kind_of(container, raw, given.classes)
    fields = _learned(container, ledger, given, kind, raw)
    around = surroundings.look(container.path, ledger)
    normalization = surroundings.normalization(
        around,
        given.normalization,
        provenance.trained_normalized(container),
        fields["observation_space"],
        ledger,
    )
    task = tasks.task_of(container.path, around.args, given.task, ledger)
    if given.task is not None:
        task_spaces.compare(task, fields["observation_space"], fields["action_space"], ledger)
    own = _own_classes(fields["policy_kwargs"], kind)
    provenance.compare(normalization, provenance.steps(container) or 0, ledger)
    provenance.look_around(container, ledger, OwnClasses(own, given.classes))
    try:
        agent = Agent(
            **fields,
            algorithm=kind.algorithm,
            policy=kind.policy,
            normalization=normalization,
            card=provenance.card(container, kind.trained_by, task, ledger),
            classes=dict(given.classes),
        )
    except BadArgument as error:
        raise BadCheckpoint(str(error)) from error
    return agent, kind


def _learned(
    container: Container, ledger: Ledger, given: Given, kind: Kind, raw: weights.Arrays
) -> dict[str, Any]:
    """Read what the zip alone says, and check each part against the others."""
    policy_kwargs = _arguments(container, kind, ledger)
    observations, actions = (
        _space(container, ledger, name) for name in ("observation_space", "action_space")
    )
    arrays, today = weights.today(raw, policy_kwargs, ledger)
    ledger.add("weights", weights.counted(arrays), "tensors")
    optimizer = moments.read(container)
    kept = kept_moments.keep(optimizer, raw, policy_kwargs, kind, ledger)
    hyperparameters = settings.read(
        container,
        ledger,
        algorithm=kind.algorithm,
        trained_by=kind.trained_by,
        learning_rate=moments.learning_rate(optimizer),
        overrides=given.hyperparameters,
    )
    if not kind.own:
        described = (kind.algorithm, kind.policy, today, observations, actions)
        shapes.check(arrays, shapes.Policy(*described, hyperparameters["use_sde"]))
    return {
        "policy_kwargs": _for_ppo(today, kind),
        "observation_space": observations,
        "action_space": actions,
        "weights": _torch(arrays),
        "hyperparameters": hyperparameters,
        "optimizer": None if kept is None else _torch(kept),
    }


def _arguments(container: Container, kind: Kind, ledger: Ledger) -> dict[str, Any]:
    ledger.add("policy", kind.policy, "inert pickle")
    recurrent = kind.algorithm == "recurrent_ppo"
    found, how = arguments.read(container, own_policy=kind.own, recurrent=recurrent)
    ledger.add("policy_kwargs", arguments.shown(_for_ppo(found, kind)), how)
    for name in sorted(_own_classes(found, kind)):
        ledger.note(
            f"the policy uses the class {name}: to build it, load it in Python with "
            f"classes={{{name!r}: TheClass}}"
        )
    if kind.foreign:
        ledger.note(
            f"trained by {kind.trained_by}, whose policies are those of PPO: it is a PPO agent "
            "now, and settings that mean something else there are PPO's defaults"
        )
    return found


def _own_classes(policy_kwargs: Mapping[str, Any], kind: Kind) -> frozenset[str]:
    """Name the classes of the user that the policy is, or is made of."""
    return frozenset(arguments.own_classes(policy_kwargs) | ({kind.policy} if kind.own else set()))


def _space(container: Container, ledger: Ledger, name: str) -> gym.Space:
    if not container.is_pickled(name):
        raise BadCheckpoint(f"the zip has no {name}")
    space = spaces.decode(container.record(name), container.twin(name), name, container.budget)
    ledger.add(name, space, "inert pickle")
    return space


def _for_ppo(policy_kwargs: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
    """Leave out the optimizer of another algorithm: its learning rate is not carried either."""
    dropped = _OPTIMIZER_ARGUMENTS if kind.foreign else ()
    return {name: value for name, value in policy_kwargs.items() if name not in dropped}


def _torch(arrays: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _refuse_unknown(report: Report) -> None:
    if report.foreign or report.lost:
        parts = [*report.foreign[:5], *(f"{name}, a function" for name in report.lost)]
        raise BadCheckpoint(
            f"strict: the file holds what rltransfer does not know: {', '.join(parts)}"
        )
