"""What a training run is between an update and the next rollout, taken out of a model and put back.

Only what cannot be made again from the spec: the model is adapted anew before it is restored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.running_mean_std import RunningMeanStd

from rltransfer.callbacks import Curve, Evaluate
from rltransfer.carry import placed
from rltransfer.errors import BadCheckpoint
from rltransfer.training.terms.term import below

_COUNTERS = ("num_timesteps", "_n_updates", "_current_progress_remaining")
_CURVE = ("steps", "deterministic", "stochastic")
_STATISTICS = ("mean", "var", "count")

Tensors = dict[str, torch.Tensor]


def capture(model: Any, evaluation: Evaluate) -> tuple[Tensors, dict[str, Any]]:
    """Copy the state of a run.

    Args:
        model: The model, between an update and the next rollout.
        evaluation: Its curve so far.

    Returns:
        Tensors by name, and the rest as JSON data.
    """
    optimizer, plain = _moments(model)
    arrays = {f"curve/{name}": getattr(evaluation.curve, name) for name in _CURVE}
    for name, statistics in _statistics(model):
        arrays |= {f"{name}/{key}": getattr(statistics, key) for key in _STATISTICS}
    refit = model.transfer.refit
    for name, rollouts in (refit.state() if refit else {}).items():
        arrays |= {f"refit/{name}/{i}": rollout for i, rollout in enumerate(rollouts)}
    tensors = {f"policy/{name}": value for name, value in model.policy.state_dict().items()}
    tensors |= optimizer | {name: torch.from_numpy(np.array(a)) for name, a in arrays.items()}
    terms = model.transfer.terms.state() if model.transfer.terms else {}
    tensors |= {f"terms/{name}": value for name, value in terms.items()}
    guide = model.transfer.guide.state() if model.transfer.guide else {}
    tensors |= {f"guide/{name}": value for name, value in guide.items()}
    state = {
        "counters": {name: getattr(model, name) for name in _COUNTERS},
        "optimizer": plain,
        "frozen": model.transfer.scheduler.frozen,
        "refit": refit.remaining if refit else None,
        "log": _pending(model.logger),
    }
    return {name: value.detach().cpu().clone() for name, value in tensors.items()}, state


def restore(
    model: Any, evaluation: Evaluate, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]
) -> None:
    """Put the state of a run into a model that was adapted anew from the same spec.

    ``learn`` then has to begin with a new part; see :func:`rltransfer.experiments.parts.begin`.

    Raises:
        BadCheckpoint: The state is not one of such a model.
    """
    try:
        _restore(model, evaluation, tensors, state)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise BadCheckpoint(
            f"the checkpoint does not fit the model ({error!r:.200}): it was written by another "
            "version, remove it"
        ) from error


def _restore(model: Any, evaluation: Evaluate, tensors: Mapping[str, Any], state: Any) -> None:
    # `learn` resets environments that were never reset, which would count in the statistics.
    model._last_obs = model.env.reset()
    model.policy.load_state_dict(below("policy/", tensors))
    _restore_moments(model, tensors, state["optimizer"])
    for name, statistics in _statistics(model):
        mean, var, count = (tensors[f"{name}/{key}"].numpy() for key in _STATISTICS)
        statistics.mean, statistics.var, statistics.count = mean, var, count.item()
    for name in _COUNTERS:
        setattr(model, name, state["counters"][name])
    _restore_transfer(model.transfer, tensors, state)
    evaluation.restore(Curve(**{name: tensors[f"curve/{name}"].numpy() for name in _CURVE}))
    for name, (value, count, excluded) in state["log"].items():
        model.logger.name_to_value[name] = float(value)
        model.logger.name_to_count[name] = count
        model.logger.name_to_excluded[name] = tuple(excluded)


def _moments(model: Any) -> tuple[Tensors, dict[str, Any]]:
    """What the optimizer keeps of each parameter: tensors, and plain numbers."""
    tensors: Tensors = {}
    plain: dict[str, Any] = {}
    for name, parameter in model.policy.named_parameters():
        for key, value in model.policy.optimizer.state.get(parameter, {}).items():
            held = tensors if isinstance(value, torch.Tensor) else plain
            held[f"optimizer/{name}/{key}"] = value
    return tensors, plain


def _restore_moments(model: Any, tensors: Mapping[str, Any], plain: Mapping[str, Any]) -> None:
    optimizer, parameters = model.policy.optimizer, dict(model.policy.named_parameters())
    optimizer.state.clear()
    for full, value in {**below("optimizer/", tensors), **below("optimizer/", plain)}.items():
        name, _, key = full.rpartition("/")
        parameter = parameters[name]
        tensor = isinstance(value, torch.Tensor)
        optimizer.state[parameter][key] = placed(value, parameter, optimizer) if tensor else value


def _statistics(model: Any) -> Iterator[tuple[str, RunningMeanStd]]:
    """Running statistics of the model's environments, by name."""
    venv = model.get_vec_normalize_env()
    if venv is None:
        return
    if venv.norm_obs:
        observed = venv.obs_rms
        parts = observed.items() if isinstance(observed, dict) else [("", observed)]
        yield from ((f"observations/{key}", one) for key, one in parts)
    yield "returns", venv.ret_rms


def _restore_transfer(transfer: Any, tensors: Mapping[str, Any], state: Any) -> None:
    frozen = set(state["frozen"])
    transfer.scheduler.thaw([name for name in transfer.scheduler.frozen if name not in frozen])
    transfer.spent = 0  # it is among the steps
    if transfer.terms:
        transfer.terms.restore(below("terms/", tensors))
    if transfer.guide:
        transfer.guide.restore(below("guide/", tensors))
    if state["refit"] is None:
        transfer.refit = None
        return
    held = below("refit/", tensors)
    count = len(held) // len(transfer.refit.state())
    names = transfer.refit.state()
    rollouts = {name: [held[f"{name}/{i}"].numpy() for i in range(count)] for name in names}
    transfer.refit.restore(state["refit"], rollouts)


def _pending(logger: Any) -> dict[str, tuple[str, int, list[str]]]:
    """What the last update recorded, which is written with the next rollout; NaN as text."""
    return {
        name: (
            repr(float(value)),
            logger.name_to_count[name],
            list(logger.name_to_excluded[name] or ()),
        )
        for name, value in logger.name_to_value.items()
        if isinstance(value, int | float | np.number)
    }
