"""Showing what a transfer did, and how each layer group trains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rltransfer.carry import TransferReport
from rltransfer.errors import BadArgument
from rltransfer.training.ppo import TransferMixin
from rltransfer.training.schedule import GroupPlan, GroupScheduler

FROM = "copied from "
HEADER = ("group", "weights from", "trains from", "lr", "parameters")


def describe(model: Any) -> str:
    """Say where each layer group of a model comes from and how it trains.

    Args:
        model: A model from ``adapt`` or ``pretrain``. One that was loaded from a zip remembers no
            transfer: SB3's zip has no place for it, and all its layers train.

    Returns:
        A table ``group | weights from | trains from | lr | parameters``, and below it what was
        done with everything else.

    Raises:
        BadArgument: The model was not made by rltransfer.
    """
    if not isinstance(model, TransferMixin) or model.transfer is None:
        raise BadArgument(
            f"{type(model).__name__} remembers no transfer: describe a model that adapt() returned"
        )
    scheduler, report = model.transfer.scheduler, model.transfer.report
    # The last rollout may have gone beyond the budget.
    base = model.lr_schedule(max(0.0, model._current_progress_remaining))
    rows = [_row(model, scheduler, name, base) for name in scheduler.plans]
    return "\n".join([_title(report), _table([HEADER, *rows]), *_notes(report)])


def _title(report: TransferReport | None) -> str:
    if report is None:
        return "trained from scratch"
    return f"{report.source} -> {report.target}"


def _row(model: Any, scheduler: GroupScheduler, name: str, base: float) -> tuple[str, ...]:
    group, plan = scheduler.groups[name], scheduler.plans[name]
    sizes = dict(model.policy.named_parameters())
    count = sum(sizes[key].numel() for key in group.parameters)
    if not count:
        return (name, _origin(model.transfer.report, name), "never (fixed)", "-", "0")
    return (
        name,
        _origin(model.transfer.report, name),
        _start(plan, frozen=name in scheduler.frozen),
        f"{base * plan.lr_scale:.2g}" if plan.trains_from < math.inf else "-",
        f"{count:,}",
    )


def _origin(report: TransferReport | None, name: str) -> str:
    if report is None:
        return "fresh"
    actions = {copy.action for copy in report.tensors if copy.group == name}
    if actions & {"padded", "mapped"}:
        actions.discard("copied")  # its bias, say
    words = {"reset": "fresh", "copied": report.source, "refit": "refit to returns"}
    labels = {
        action.removeprefix(FROM)
        if action.startswith(FROM)
        else words.get(action, f"{report.source}, {action}")
        for action in actions
    }
    return " + ".join(sorted(labels))


def _start(plan: GroupPlan, *, frozen: bool) -> str:
    if plan.trains_from == math.inf:
        return "never (frozen)"
    if plan.trains_from == 0:
        return "the start"
    return f"{plan.trains_from * 100:.3g}%" + (" (frozen now)" if frozen else " (thawed)")


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [" | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, "-+-".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def _notes(report: TransferReport | None) -> list[str]:
    if report is None:
        return []
    notes = {**report.notes, "recipe": report.recipe.to_json()}
    if report.choice:
        notes["auto"] = report.choice.reason
    return [f"{name}: {words}" for name, words in notes.items()]
