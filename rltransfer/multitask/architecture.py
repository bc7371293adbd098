"""What a policy of many tasks is built of: from what a user gives to arguments of the policy."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rltransfer import registry
from rltransfer.agents import Agent
from rltransfer.errors import BadArgument, UnknownName, suggest
from rltransfer.multitask.given import check_kinds
from rltransfer.multitask.tasks import require_played
from rltransfer.policies import sentences
from rltransfer.policies.multitask import MultiTaskPolicy
from rltransfer.policies.recurrent import MultiTaskLstmPolicy
from rltransfer.policies.trunks import TRUNKS, trunk_options

Embed = Callable[[list[str]], Any]

# Of a policy that starts from scratch, where the user gives nothing else.
DEFAULTS: Mapping[str, Any] = {
    "width": 64,
    "encoder_kind": "auto",
    "trunk": "mlp",
    "conditioning": "heads",
    "share_critic": False,
    "normalize_observations": True,
}
OTHERS = (
    *("trunk_kwargs", "conditioning_kwargs", "activation_fn", "ortho_init"),
    *("optimizer_class", "optimizer_kwargs", "lstm_hidden_size", "n_lstm_layers"),
)


def chosen(
    *,
    sizes: Sequence[int] | None,
    trunk_kwargs: Mapping[str, Any] | None,
    policy_kwargs: Mapping[str, Any] | None,
    **given: Any,
) -> dict[str, Any]:
    """Collect the arguments of the policy that a user gave, and no others.

    Args:
        sizes: Widths of the trunk's layers, which go to ``trunk_kwargs``.
        trunk_kwargs: Options of the trunk.
        policy_kwargs: Any arguments of the policy.
        given: Arguments that have a name of their own; None for those that were not given.

    Raises:
        BadArgument: One is given twice, or of another kind than it has to be.
        UnknownName: The policy has no such argument.
    """
    check_kinds({"sizes": sizes, "trunk_kwargs": trunk_kwargs, "policy_kwargs": policy_kwargs})
    named = {name: value for name, value in given.items() if value is not None}
    options = dict(trunk_kwargs or {})
    if sizes is not None:
        _once("sizes", options, "trunk_kwargs")
        options["sizes"] = [int(size) for size in sizes]
    if options:
        named["trunk_kwargs"] = options
    known = [*DEFAULTS, *OTHERS]
    for name in policy_kwargs or {}:
        if name not in known:
            raise UnknownName(suggest(str(name), known, kind="argument of the policy"))
        _once(name, named, "policy_kwargs")
    named = {**(policy_kwargs or {}), **named}
    check_kinds(named)
    return named


def completed(given: Mapping[str, Any]) -> dict[str, Any]:
    """Add the defaults of what was not given, for a policy that starts from scratch."""
    kwargs = {**DEFAULTS, **given}
    trunk = TRUNKS.get(kwargs["trunk"])
    if "conditioning" not in given and trunk is not None and trunk.needs_context:
        kwargs["conditioning"] = "one-hot"
    return kwargs


def contradictions(agent: Agent, given: Mapping[str, Any]) -> None:
    """Refuse arguments that are not those that an agent was built with.

    Args:
        agent: A multi-task agent.
        given: What the user gave.

    Raises:
        BadArgument: One differs.
    """
    has: dict[str, Any] = {}
    for policy in (MultiTaskPolicy, MultiTaskLstmPolicy):
        has |= {one.name: one.default for one in inspect.signature(policy).parameters.values()}
    has |= agent.live_policy_kwargs()
    for name, value in given.items():
        own = has.get(name)
        if name == "trunk_kwargs":
            all_options = trunk_options(has["trunk"]) | (own or {})
            own = {key: all_options.get(key) for key in value}
        if _plain(own) != _plain(value):
            raise BadArgument(
                f"{name} is {value!r}, but start ({agent.card.name}) was built with {own!r}: leave "
                f"it out, or leave start out to begin anew"
            )


def mission_vectors(
    ids: Sequence[str], missions: Mapping[str, str] | None, embed: Embed | None
) -> list[list[float]]:
    """Embed the missions of tasks.

    Args:
        ids: The tasks.
        missions: What to do, in words, by task; else what the registry knows.
        embed: From sentences to an array with a row for each; by default
            :func:`rltransfer.policies.sentences.embed`.

    Raises:
        UnknownName: A mission is of another task.
        BadArgument: A task has none, or ``embed`` gives something else than finite vectors.
    """
    given = dict(missions or {})
    for id in given:
        require_played(id, ids)
    texts = [given.get(id) or registry.task(id).mission for id in ids]
    for id, text in zip(ids, texts, strict=True):
        if not text:
            raise BadArgument(
                f"{id} has no mission, which conditioning='sentence' embeds: give "
                f"missions={{{id!r}: 'what to do'}}, or register_task({id!r}, mission=...)"
            )
    found = (embed or sentences.embed)(texts)
    expected = f"{len(ids)} missions: expected an array with a row of finite numbers for each"
    try:
        vectors = np.asarray(found, np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadArgument(f"embed gave {found!r:.80} for {expected} ({error})") from error
    if (
        vectors.ndim != 2
        or len(vectors) != len(ids)
        or not (vectors.size and np.isfinite(vectors).all())
    ):
        raise BadArgument(f"embed gave an array of shape {vectors.shape} for {expected}")
    return vectors.tolist()


def check_missions(
    conditioning: str, missions: Mapping[str, str] | None, embed: Embed | None
) -> None:
    """Refuse missions where nothing reads them.

    Raises:
        BadArgument: They are given, and the conditioning is another than by sentences.
    """
    if conditioning != "sentence" and (missions is not None or embed is not None):
        raise BadArgument(
            f"missions and embed are for conditioning='sentence', and conditioning is "
            f"{conditioning!r}: change it, or leave them out"
        )


def _once(name: str, options: Mapping[str, Any], where: str) -> None:
    if name in options:
        raise BadArgument(f"{name} is given twice, by itself and in {where}: give it once")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
