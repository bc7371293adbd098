"""Encoder and heads of an agent of one task for a trunk that others have learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gymnasium import spaces
from torch import Tensor

from rltransfer.agents import classes as named
from rltransfer.agents.multitask import sources
from rltransfer.agents.multitask.parts import belongs, encoder_prefixes
from rltransfer.errors import BadArgument, SpaceMismatch
from rltransfer.policies.encoders import is_vector
from rltransfer.policies.tasks import PolicyTask

if TYPE_CHECKING:
    from rltransfer.agents.agent import Agent

_TANH = {"$class": "torch.nn.Tanh"}
_ANEW = "add the task without a source, which gives it a fresh encoder and heads"


def taken(
    agent: Agent,
    task: PolicyTask,
    source: Agent,
    fresh: Mapping[str, Tensor],
    *,
    log_std: float | None,
) -> dict[str, Tensor]:
    """Tensors of a source that replace the fresh ones of a new task.

    Args:
        agent: The multi-task agent.
        task: The new task.
        source: An agent of one task.
        fresh: The new task's tensors, by name.
        log_std: The standard deviation that replaces gSDE, if given.

    Raises:
        BadArgument: The source is of a kind whose layers do not fit, whatever their shapes.
        SpaceMismatch: Its spaces or layers are not those of the task and of the agent.
    """
    sources.check_source(source, "add_task", log_std=log_std)
    layers = sources.hidden_layers(source)
    problems = [*_differing_spaces(task, source), *_differing_layers(agent, source, layers)]
    tensors = sources.renamed(source, task, layers)
    own = {name: value for name, value in tensors.items() if ".trunk." not in name}
    problems += [
        f"{_place(name, task)} is {tuple(value.shape)}, and {tuple(fresh[name].shape)} is needed"
        for name, value in own.items()
        if name in fresh and value.shape != fresh[name].shape and value.dim() > 1
    ]
    if problems:
        raise SpaceMismatch(
            f"{source.card.name!r} does not fit {agent.card.name!r}: {'; '.join(problems)}. Learn "
            f"both with the same width, sizes and activation_fn, or {_ANEW}"
        )
    own |= sources.value_statistics(source, task)
    shared = any(belongs(name, encoder_prefixes(task.encoder)) for name in agent.weights)
    return own if shared else own | _statistics(agent, task, source)


def _differing_spaces(task: PolicyTask, source: Agent) -> list[str]:
    pairs: list[tuple[str, Any, Any]] = [
        ("observes", source.observation_space, task.observation_space),
        ("acts in", source.action_space, task.action_space),
    ]
    return [
        f"it {verb} {has}, and {task.id} {needs}"
        for verb, has, needs in pairs
        if has != needs and not (verb == "observes" and _same_but_bounds(has, needs))
    ]


def _same_but_bounds(first: Any, second: Any) -> bool:
    both = isinstance(first, spaces.Box) and isinstance(second, spaces.Box)
    return both and first.shape == second.shape


def _differing_layers(agent: Agent, source: Agent, layers: sources.Layers) -> list[str]:
    given = agent.policy_kwargs
    if agent.policy != named.MULTITASK:
        raise BadArgument(f"{agent.card.name!r} has a memory between trunk and heads: {_ANEW}")
    if given.get("share_critic", False):
        raise BadArgument(
            f"actor and critic of {agent.card.name!r} share their layers, and those of "
            f"{source.card.name!r} do not: {_ANEW}"
        )
    if given.get("encoder_kind", "auto") != "auto":
        raise BadArgument(f"encoders of {agent.card.name!r} are no linear layers: {_ANEW}")
    problems = []
    has, needs = (kwargs.get("activation_fn", _TANH) for kwargs in (source.policy_kwargs, given))
    if has != needs:
        problems.append(f"its activation_fn is {has['$class']}, and {needs['$class']} is needed")
    if given.get("trunk", "mlp") == "mlp":
        depth = 1 + sum(
            name.startswith("actor.trunk.layers.") and name.endswith(".weight")
            for name in agent.weights
        )
        if len(layers.numbers) != depth:
            problems.append(
                f"it has {len(layers.numbers)} hidden layers, and encoder and trunk have {depth}"
            )
    return problems


def _statistics(agent: Agent, task: PolicyTask, source: Agent) -> dict[str, Tensor]:
    if agent.policy_kwargs.get("normalize_observations", False):
        vector = is_vector(task.observation_space)
        return sources.observation_statistics(source, task) if vector else {}
    if sources.normalizes(source):
        raise SpaceMismatch(
            f"{source.card.name!r} normalizes observations, and {agent.card.name!r} does not: take "
            f"a source that was trained without, or {_ANEW}"
        )
    return {}


def _place(name: str, task: PolicyTask) -> str:
    """Name of a source's tensor, by that of the multi-task policy's."""
    part = name.rpartition(".")[2]
    if name.startswith("action_heads."):
        return f"action_net.{part}"
    if name.startswith(f"value_heads.{task.key}."):
        return f"value_net.{part}"
    return f"mlp_extractor.{'policy' if name.startswith('actor.') else 'value'}_net.0.{part}"
