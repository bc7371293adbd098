"""Multi-task agents with one task more, or one less; nothing changes for all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import gymnasium as gym
from gymnasium import spaces
from torch import Tensor

from rltransfer.agents import classes as named
from rltransfer.agents.multitask import context, joining
from rltransfer.agents.multitask.converting import own_log_std
from rltransfer.agents.multitask.names import described, known
from rltransfer.agents.multitask.parts import (
    belongs,
    encoder_prefixes,
    head_prefixes,
    live_policy,
    of_parameter,
    with_tasks,
)
from rltransfer.errors import BadArgument, SpaceMismatch
from rltransfer.policies.multitask import MultiTaskPolicy
from rltransfer.policies.packing import Packing
from rltransfer.policies.tasks import PolicyTask, module_name, policy_tasks
from rltransfer.random_streams import drawn_from
from rltransfer.registry import make

if TYPE_CHECKING:
    from rltransfer.agents.agent import Agent

_CONTEXT = "context."
# Arguments of the policy that encoders and heads do not depend on.
_NOT_OF_A_TASK = (
    *("tasks", "trunk", "trunk_kwargs", "conditioning", "conditioning_kwargs"),
    *("lstm_hidden_size", "n_lstm_layers"),
)


def add_task(
    agent: Agent,
    id: str,
    *,
    source: Agent | None = None,
    encoder: str | None = None,
    head: str | None = None,
    gamma: float | None = None,
    noise: float = 0.0,
    log_std: float | None = None,
    seed: int = 0,
    observation_space: gym.Space | None = None,
    action_space: gym.Space | None = None,
    masked: bool | None = None,
    vector: Sequence[float] | None = None,
) -> Agent:
    """Add a task; see :meth:`Agent.add_task`."""
    _check_multitask(agent, "add_task")
    if source is not None and not isinstance(source, type(agent)):
        raise BadArgument(
            f"source is {source!r:.80}: give an agent, such as rltransfer.load('cartpole')"
        )
    old = described(agent)
    found = _spaces(id, observation_space, action_space, masked)
    task = PolicyTask(
        id=id,
        encoder=encoder or _free(id, {one.encoder for one in old}),
        head=head or _free(id, {one.head for one in old}),
        gamma=_gamma(gamma, source),
        noise=noise,
        log_std=_start(log_std, source),
        **found,
    )
    tasks = policy_tasks([*old, task])
    told = context.of(agent).with_row(vector, seed=seed)
    fresh = _fresh(agent, task, seed)
    if source is not None:
        fresh |= joining.taken(agent, task, source, fresh, log_std=log_std)
        fresh |= own_log_std(task, log_std)
    # What the task shares with others is theirs.
    added = {name: value for name, value in fresh.items() if name not in agent.weights}
    return with_tasks(
        agent,
        tasks,
        weights={**agent.weights, **added, **told.tensors()},
        optimizer=_moments(agent, ()),
        policy_kwargs={**agent.policy_kwargs, **told.arguments()},
    )


def without(agent: Agent, id: str) -> Agent:
    """Drop a task; see :meth:`Agent.without`."""
    _check_multitask(agent, "without")
    id = known(agent, id)
    index = agent.tasks.index(id)
    old = described(agent)
    gone, rest = old[index], (*old[:index], *old[index + 1 :])
    if not rest:
        raise BadArgument(f"{id!r} is the only task of {agent.card.name!r}: an agent needs one")
    prefixes = [f"value_heads.{gone.key}."]
    if gone.encoder not in {task.encoder for task in rest}:
        prefixes += encoder_prefixes(gone.encoder)
    if gone.head not in {task.head for task in rest}:
        prefixes += head_prefixes(gone.head)
    told = context.of(agent).without_row(index)
    kept = {name: value for name, value in agent.weights.items() if not belongs(name, prefixes)}
    return with_tasks(
        agent,
        rest,
        weights={**kept, **told.tensors()},
        optimizer=_moments(agent, prefixes),
        policy_kwargs={**agent.policy_kwargs, **told.arguments()},
    )


def _check_multitask(agent: Agent, what: str) -> None:
    if not agent.multitask:
        raise BadArgument(
            f"{what} is for multi-task agents, and {agent.card.name!r} has {agent.policy}: "
            f"agent.as_multitask().{what}(...)"
        )
    live_policy(agent)  # whose description may be of a file that somebody else wrote


def _spaces(
    id: str,
    observation_space: gym.Space | None,
    action_space: gym.Space | None,
    masked: bool | None,
) -> dict[str, Any]:
    """The spaces that were given, or else those of an environment that is made for it."""
    if observation_space is None or action_space is None:
        env = make(id)
        try:
            observation_space = observation_space or env.observation_space
            action_space = action_space or env.action_space
            has_masks = env.has_wrapper_attr("action_masks")
        finally:
            env.close()
        discrete = not isinstance(action_space, spaces.Box)
        masked = has_masks and discrete if masked is None else masked
    return {
        "observation_space": observation_space,
        "action_space": action_space,
        "masked": bool(masked),
    }


def _gamma(given: float | None, source: Agent | None) -> float:
    if given is not None:
        return given
    return 0.99 if source is None else float(source.hyperparameters["gamma"])


def _start(given: float | None, source: Agent | None) -> float:
    if given is not None:
        return given
    return 0.0 if source is None else float(source.policy_kwargs.get("log_std_init", 0.0))


def _free(id: str, taken: set[str]) -> str:
    """A name of its own, also where a task of that name left its module to others."""
    name = module_name(id.rpartition(":")[2])
    numbers = iter(range(2, len(taken) + 3))
    free = name
    while free in taken:
        free = f"{name}_{next(numbers)}"
    return free


def _fresh(agent: Agent, task: PolicyTask, seed: int) -> dict[str, Tensor]:
    """New encoders and heads of a task: all tensors of a policy of it alone but the trunk's."""
    given = named.decode(dict(agent.policy_kwargs), agent.classes)
    for name in _NOT_OF_A_TASK:
        given.pop(name, None)
    heads = (value for name, value in agent.weights.items() if name.startswith("action_heads."))
    features = next(value.shape[1] for value in heads if value.dim() == 2)
    packing = Packing([task])
    with drawn_from(seed):
        try:
            policy = MultiTaskPolicy(
                packing.observation_space,
                packing.action_space,
                lambda _: 0.0,
                tasks=[task],
                trunk_kwargs={"sizes": [features]},
                **given,
            )
        except (AssertionError, RuntimeError) as error:
            why = str(error).strip().splitlines() or [type(error).__name__]
            raise SpaceMismatch(
                f"no encoder of {agent.card.name!r} reads what {task.id} observes, "
                f"{task.observation_space}: {why[0]}"
            ) from error
    trunks = ("actor.trunk.", "critic.trunk.")
    tensors = policy.state_dict().items()
    return {name: value.detach() for name, value in tensors if not name.startswith(trunks)}


def _moments(agent: Agent, gone: Sequence[str]) -> Mapping[str, Tensor] | None:
    """State of the optimizer, without that of what is gone, and of the context.

    Its table has other rows now; and a row whose task is not trained does not move while its state
    is zero.
    """
    if agent.optimizer is None:
        return None
    prefixes = [_CONTEXT, *gone]
    return {
        name: value
        for name, value in agent.optimizer.items()
        if not belongs(of_parameter(name), prefixes)
    }
