"""The fields of an agent as tensors by name and one JSON document, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from rltransfer.agents import spaces
from rltransfer.agents.card import Card, Score
from rltransfer.agents.jsondata import only, take
from rltransfer.agents.normalization import Normalization, RunningStats
from rltransfer.errors import BadCheckpoint

if TYPE_CHECKING:
    from rltransfer.agents.agent import Agent

_SETTINGS = ("obs", "reward", "clip_obs", "clip_reward", "gamma", "epsilon")
_FIELDS = (
    *("format", "version", "card", "algorithm", "policy", "policy_kwargs"),
    *("observation_space", "action_space", "hyperparameters", "normalization"),
    *("optimizer", "weights", "sha256"),
)


def write(agent: Agent) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Split an agent into tensors, under ``policy/``, ``optimizer/`` and ``stats/``, and JSON."""
    stats = dict(_statistics(agent.normalization))
    tensors = {
        **{f"policy/{name}": value for name, value in agent.weights.items()},
        **{f"optimizer/{name}": value for name, value in (agent.optimizer or {}).items()},
        **{f"stats/{name}": value for name, value in stats.items()},
    }
    document = {
        "card": _write_card(agent.card),
        "algorithm": agent.algorithm,
        "policy": agent.policy,
        "policy_kwargs": dict(agent.policy_kwargs),
        "observation_space": spaces.encode(agent.observation_space),
        "action_space": spaces.encode(agent.action_space),
        "hyperparameters": dict(agent.hyperparameters),
        "normalization": _settings(agent.normalization),
        "optimizer": agent.optimizer is not None,
    }
    # Cloned, because safetensors refuses tensors that share memory.
    own = torch.contiguous_format
    return {
        name: value.detach().cpu().clone(memory_format=own) for name, value in tensors.items()
    }, document


def read(tensors: Mapping[str, torch.Tensor], document: Mapping[str, Any]) -> dict[str, Any]:
    """Rebuild the fields of an agent.

    Raises:
        BadCheckpoint: A field or tensor is missing, unknown, or of another kind.
    """
    only(document, _FIELDS, "the agent")
    rest = dict(tensors)
    weights, optimizer = _pull(rest, "policy/"), _pull(rest, "optimizer/")
    normalization = _normalization(take(document, "normalization", dict, type(None)), rest)
    has_optimizer = take(document, "optimizer", bool)
    stray = [*rest, *(() if has_optimizer else optimizer)]
    if stray:
        raise BadCheckpoint(f"tensor {stray[0]!r} belongs to nothing in the agent")
    return {
        "algorithm": take(document, "algorithm", str),
        "policy": take(document, "policy", str),
        "policy_kwargs": take(document, "policy_kwargs", dict),
        "observation_space": spaces.decode(take(document, "observation_space", dict)),
        "action_space": spaces.decode(take(document, "action_space", dict)),
        "weights": weights,
        "hyperparameters": take(document, "hyperparameters", dict),
        "normalization": normalization,
        "optimizer": optimizer if has_optimizer else None,
        "card": read_card(take(document, "card", dict)),
    }


def _write_card(card: Card) -> dict[str, Any]:
    plain = dataclasses.replace(card, versions=dict(card.versions), scores=dict(card.scores))
    written = dataclasses.asdict(plain)
    # Agents of one task have none, and stay byte for byte what they were before there were any.
    return written if card.scores else {k: v for k, v in written.items() if k != "scores"}


def read_card(data: Mapping[str, Any]) -> Card:
    """Rebuild a card.

    Raises:
        BadArgument: A value is out of range.
        BadCheckpoint: A field is missing, unknown, or of another kind.
    """
    only(data, tuple(field.name for field in dataclasses.fields(Card)), "the card")
    texts = ("name", "task", "command", "created", "notes", "source")
    score = take(data, "score", dict, type(None))
    versions = take(data, "versions", dict)
    scores = take(data, "scores", dict) if "scores" in data else {}
    return Card(
        **{name: take(data, name, str) for name in texts},
        steps=take(data, "steps", int),
        seed=take(data, "seed", int, type(None)),
        score=None if score is None else _score(score),
        versions={name: take(versions, name, str) for name in versions},
        scores={id: _score(take(scores, id, dict)) for id in scores},
    )


def _score(data: Mapping[str, Any]) -> Score:
    only(data, tuple(field.name for field in dataclasses.fields(Score)), "the score")
    return Score(
        **{name: take(data, name, float) for name in ("mean", "ci_low", "ci_high")},
        episodes=take(data, "episodes", int),
        deterministic=take(data, "deterministic", bool),
        seed=take(data, "seed", int, type(None)),
    )


def _settings(spec: Normalization | None) -> dict[str, Any] | None:
    if spec is None:
        return None
    settings = {name: getattr(spec, name) for name in _SETTINGS}
    stats = spec.obs_stats
    # The names are listed, so that none has to be guessed from the name of a tensor.
    settings["obs_stats"] = list(stats) if isinstance(stats, dict) else stats is not None
    settings["return_stats"] = spec.return_stats is not None
    return settings


def _statistics(spec: Normalization | None) -> dict[str, torch.Tensor]:
    if spec is None:
        return {}
    parts = dict(_named("obs", spec.obs_stats)) | dict(_named("return", spec.return_stats))
    return {
        f"{name}/{part}": torch.tensor(getattr(stats, part), dtype=torch.float64)
        for name, stats in parts.items()
        for part in ("mean", "var", "count")
    }


def _named(
    name: str, stats: RunningStats | dict[str, RunningStats] | None
) -> dict[str, RunningStats]:
    if isinstance(stats, dict):
        return {f"{name}/{key}": part for key, part in stats.items()}
    return {} if stats is None else {name: stats}


def _normalization(
    data: Mapping[str, Any] | None, tensors: dict[str, torch.Tensor]
) -> Normalization | None:
    """Rebuild the normalization, and take its tensors out of ``tensors``."""
    if data is None:
        return None
    only(data, (*_SETTINGS, "obs_stats", "return_stats"), "the normalization")
    keys = take(data, "obs_stats", bool, list)
    if isinstance(keys, list):
        obs_stats = {str(key): _pull_stats(tensors, f"stats/obs/{key}") for key in keys}
    else:
        obs_stats = _pull_stats(tensors, "stats/obs") if keys else None
    has_return = take(data, "return_stats", bool)
    return Normalization(
        obs=take(data, "obs", bool),
        reward=take(data, "reward", bool),
        **{name: take(data, name, float) for name in _SETTINGS[2:]},
        obs_stats=obs_stats,
        return_stats=_pull_stats(tensors, "stats/return") if has_return else None,
    )


def _pull_stats(tensors: dict[str, torch.Tensor], name: str) -> RunningStats:
    try:
        mean, var, count = (tensors.pop(f"{name}/{part}") for part in ("mean", "var", "count"))
    except KeyError as error:
        raise BadCheckpoint(f"tensor {error} is missing") from error
    if count.shape != () or {mean.dtype, var.dtype, count.dtype} != {torch.float64}:
        raise BadCheckpoint(f"{name!r} are no running statistics")
    return RunningStats(mean=mean.numpy(), var=var.numpy(), count=count.item())


def _pull(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    names = [name for name in tensors if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors.pop(name) for name in names}
