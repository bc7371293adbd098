"""Every number as one row of a CSV file."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from typing import Any

from multitask_parts.learning import has_scale, normalized
from multitask_parts.stats import Estimate

HEAD: tuple[str, ...] = (
    *("part", "arm", "seed", "task", "steps", "measure"),
    *("value", "normalized", "low", "high"),
)
Row = dict[str, Any]
_NAMES = {"mean": "return", "stochastic": "return_stochastic"}


def of_run(result: Mapping[str, Any]) -> Iterable[Row]:
    """Rows of one training run: its curve, and its scores after training."""
    who = {name: result[name] for name in ("part", "arm", "seed")}
    for point in result.get("curve", ()):
        for how in _NAMES.keys() & point.keys():
            yield {
                **who,
                **{"task": point["task"], "steps": point["steps"], "measure": _NAMES[how]},
                **_values(point["task"], point[how]),
            }
    for task, scores in result.get("final", {}).items():
        for how, value in scores.items():
            measure = f"final_{_NAMES[how]}"
            about = {"task": task, "steps": result["steps"], "measure": measure}
            yield {**who, **about, **_values(task, value)}
    for measure in ("zero_shot", "steps_per_second", "train_seconds"):
        if measure in result:
            yield {**who, "measure": measure, "value": result[measure]}


def of_estimate(part: str, arm: str, task: str, measure: str, found: Estimate) -> Row:
    """Row of a number over seeds."""
    return {
        **{"part": part, "arm": arm, "seed": "all", "task": task, "measure": measure},
        **{"value": found.value, "low": found.low, "high": found.high},
    }


def to_csv(rows: Iterable[Row]) -> bytes:
    """The rows as the content of a file; numbers with six digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, HEAD, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _shown(value) for name, value in row.items()})
    return text.getvalue().encode()


def _values(task: str, value: float) -> dict[str, float]:
    scaled = {"normalized": float(normalized(task, value))} if has_scale(task) else {}
    return {"value": value, **scaled}


def _shown(value: Any) -> Any:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return value
