"""One task of a multi-task agent as an agent of its own, with the same outputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from torch import Tensor

from rltransfer.agents import classes as named
from rltransfer.agents.multitask.names import full_name, known
from rltransfer.agents.multitask.parts import PASSED_ON, first_linear, live_policy
from rltransfer.agents.normalization import Normalization, RunningStats
from rltransfer.agents.spaces import counts_from_zero
from rltransfer.errors import BadArgument, SpaceMismatch
from rltransfer.policies.encoders import ClassEncoder, VectorEncoder
from rltransfer.policies.observation_stats import CLIP, EPSILON
from rltransfer.policies.recurrent import MultiTaskLstmPolicy
from rltransfer.policies.task_features import seen
from rltransfer.policies.tasks import PolicyTask
from rltransfer.policies.trunks import MlpTrunk

if TYPE_CHECKING:
    from rltransfer.agents.agent import Agent

#: Linear layer of an SB3 policy: its name, weight and bias.
_Layer = tuple[str, Tensor, Tensor]


def for_task(agent: Agent, id: str) -> Agent:
    """Make the agent of one task; see :meth:`Agent.for_task`."""
    id = known(agent, id)
    if not agent.multitask:
        return agent
    policy = live_policy(agent)
    task = policy.tasks[policy.index(id)]
    _check_task(task, recurrent=isinstance(policy, MultiTaskLstmPolicy))
    plain = _is_plain(policy, task)
    given = _plain_arguments(policy) if plain else _feature_arguments(agent, policy, task)
    with torch.no_grad():
        weights = _weights(policy, task, plain=plain)
    return dataclasses.replace(
        agent,
        algorithm="maskable_ppo" if task.masked else agent.algorithm,
        policy=_policy_name(policy, task, plain=plain),
        policy_kwargs={**_passed_on(agent, task), **given},
        observation_space=seen(task.observation_space),
        action_space=task.action_space,
        weights={name: value.detach().clone().contiguous() for name, value in weights.items()},
        hyperparameters=_hyperparameters(agent, task),
        normalization=_normalization(policy, task),
        optimizer=None,
        card=_card(agent, id),
    )


def _is_plain(policy: Any, task: PolicyTask) -> bool:
    """Whether the task's layers are those of an ``MlpPolicy``."""
    trunk, encoder = policy.actor.trunk, policy.actor.encoders[task.encoder]
    simple = isinstance(trunk, MlpTrunk) and isinstance(encoder, VectorEncoder | ClassEncoder)
    return simple and not isinstance(policy, MultiTaskLstmPolicy)


def _weights(policy: Any, task: PolicyTask, *, plain: bool) -> dict[str, Tensor]:
    layers = [*_heads(policy, task), *(_plain_layers(policy, task) if plain else ())]
    weights = {f"{name}.weight": weight for name, weight, _ in layers}
    weights |= {f"{name}.bias": bias for name, _, bias in layers}
    if not plain:
        weights |= _features(policy, task)
    for name in ("lstm_actor", "lstm_critic"):
        lstm = getattr(policy, name, None)
        if lstm is not None:
            weights |= {f"{name}.{part}": value for part, value in lstm.state_dict().items()}
    return weights | ({"log_std": policy.log_stds[task.head]} if task.continuous else {})


def _check_task(task: PolicyTask, *, recurrent: bool) -> None:
    """Refuse a task that no policy of SB3 computes as it is.

    Raises:
        BadArgument: It has action masks, and the policy a memory.
        SpaceMismatch: Its numbers do not begin at 0, or have a shape that SB3 does not read.
    """
    if recurrent and task.masked:
        raise BadArgument(
            f"{task.id} has action masks and the policy a memory, which no algorithm of "
            "Stable-Baselines3 has together: act with policy.act(id, observations, masks=...)"
        )
    everything = [task.observation_space, task.action_space]
    if isinstance(task.observation_space, spaces.Dict):
        everything += task.observation_space.spaces.values()
    for space in everything:
        if not counts_from_zero(space):
            raise SpaceMismatch(
                f"{task.id} has {space}, whose numbers do not begin at 0 as Stable-Baselines3 "
                "takes them: wrap the task, or act with policy.act(id, observations)"
            )
        table = isinstance(space, spaces.MultiDiscrete) and len(space.shape) > 1
        if table or (isinstance(space, spaces.Box) and not space.shape):
            raise SpaceMismatch(
                f"{task.id} has {space}, and Stable-Baselines3 reads no such shape: wrap the task, "
                "for instance with FlattenObservation, or act with policy.act(id, observations)"
            )


def _heads(policy: Any, task: PolicyTask) -> Iterator[_Layer]:
    action, value = policy.action_heads[task.head], policy.value_heads[task.key]
    weight, bias = action.weight, action.bias
    if task.masked and isinstance(task.action_space, spaces.MultiBinary):
        # MaskablePPO has two logits for each flag, whose difference is that of a Bernoulli.
        pairs = (torch.stack([torch.zeros_like(on), on], dim=1) for on in (weight, bias))
        weight, bias = (pair.flatten(0, 1) for pair in pairs)
    yield "action_net", weight, bias
    # mean + std * (W h + b), in double precision: the statistics may be large.
    std, mean, linear = value.std.double(), value.mean.double(), value.linear
    bias = mean + std * linear.bias.double()
    yield "value_net", (std * linear.weight.double()).to(linear.weight), bias.to(linear.bias)


def _plain_layers(policy: Any, task: PolicyTask) -> Iterator[_Layer]:
    for name, stream in (("policy_net", policy.actor), ("value_net", policy.critic)):
        first = first_linear(stream.encoders[task.encoder])
        layers = [_with_statistics(policy, task, first.weight, first.bias)]
        layers += [(layer[0].weight, layer[0].bias) for layer in stream.trunk.layers]
        told = context_of(policy, task)
        if told is not None:
            layers[1] = _with_context(*layers[1], told)
        for i, (weight, bias) in enumerate(layers):
            # An activation, which has no tensors, follows each.
            yield f"mlp_extractor.{name}.{2 * i}", weight, bias


def context_of(policy: Any, task: PolicyTask) -> Tensor | None:
    """What tells the trunk of a policy this task, shape (c,); None where nothing does."""
    if policy.context is None:
        return None
    index = torch.tensor([policy.index(task.id)])
    return policy.context(index, policy.value_heads[task.key].mean)[0]


def _with_context(weight: Tensor, bias: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
    """The columns of a constant, moved into the bias."""
    own = weight.shape[1] - len(told)
    constant = weight[:, own:].double() @ told.double()
    return weight[:, :own], (bias.double() + constant).to(bias)


def _with_statistics(
    policy: Any, task: PolicyTask, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """Binary observations with their normalization moved into the layer.

    ``VecNormalize`` does not take them; and what it would do to 0 and to 1, clipping too, is linear
    between them.
    """
    if task.encoder not in policy.observation_stats or isinstance(
        task.observation_space, spaces.Box
    ):
        return weight, bias
    stats = policy.observation_stats[task.encoder].double()
    zeros = torch.zeros(2, weight.shape[1], dtype=torch.float64)
    zeros[1] = 1
    off, on = stats(zeros)
    moved = bias.double() + weight.double() @ off
    return (weight.double() * (on - off)).to(weight), moved.to(bias)


def _features(policy: Any, task: PolicyTask) -> dict[str, Tensor]:
    """Tensors of the features extractors, under all the names that SB3 has for them."""
    actor, critic = (_stream(policy, task, stream) for stream in (policy.actor, policy.critic))
    places = {"features_extractor": actor, "pi_features_extractor": actor}
    return {
        f"{place}.{name}": value
        for place, tensors in {**places, "vf_features_extractor": critic}.items()
        for name, value in tensors.items()
    }


def _stream(policy: Any, task: PolicyTask, stream: Any) -> dict[str, Tensor]:
    encoder = stream.encoders[task.encoder]
    tensors = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
    if isinstance(encoder, VectorEncoder):
        first = first_linear(encoder)
        both = _with_statistics(policy, task, first.weight, first.bias)
        tensors |= dict(zip(("encoder.0.weight", "encoder.0.bias"), both, strict=True))
    tensors |= {f"trunk.{name}": value for name, value in stream.trunk.state_dict().items()}
    told = context_of(policy, task)
    return tensors if told is None else {**tensors, "context.value": told}


def _plain_arguments(policy: Any) -> dict[str, Any]:
    trunk = policy.actor.trunk
    sizes = [trunk.in_features, *(layer[0].out_features for layer in trunk.layers)]
    return {"net_arch": {"pi": sizes, "vf": sizes}}


def _feature_arguments(agent: Agent, policy: Any, task: PolicyTask) -> dict[str, Any]:
    given = agent.policy_kwargs
    names = ("width", "encoder_kind", "trunk", "trunk_kwargs", "activation_fn")
    memory = {}
    if isinstance(policy, MultiTaskLstmPolicy):
        lstm, own = policy.lstm_actor, policy.lstm_critic is not None
        memory = {"lstm_hidden_size": lstm.hidden_size, "n_lstm_layers": lstm.num_layers}
        memory |= {"enable_critic_lstm": own, "shared_lstm": not own}
    return {
        **memory,
        "net_arch": [],
        "normalize_images": False,
        "share_features_extractor": policy.critic is policy.actor,
        "features_extractor_class": {"$class": named.TASK_FEATURES},
        "features_extractor_kwargs": {
            "space": named.encode(task.observation_space, {}),
            "context_features": policy.actor.trunk.context_features,
            **{name: given[name] for name in names if name in given},
        },
    }


def _passed_on(agent: Agent, task: PolicyTask) -> dict[str, Any]:
    found = {name: agent.policy_kwargs[name] for name in PASSED_ON if name in agent.policy_kwargs}
    return {**found, "log_std_init": float(task.log_std)} if task.log_std else found


def _policy_name(policy: Any, task: PolicyTask, *, plain: bool) -> str:
    space = task.observation_space
    images = isinstance(space, spaces.Box) and is_image_space(space) and not plain
    kind = "MultiInput" if isinstance(space, spaces.Dict) else "Cnn" if images else "Mlp"
    return f"{kind}LstmPolicy" if isinstance(policy, MultiTaskLstmPolicy) else f"{kind}Policy"


def _hyperparameters(agent: Agent, task: PolicyTask) -> dict[str, Any]:
    """Those of the agent, with the task's share of environments and of a minibatch."""
    values = dict(agent.hyperparameters)
    tasks = len(agent.tasks)
    copies = max(values["n_envs"] // tasks, 1)
    values |= {"gamma": float(task.gamma), "n_envs": copies}
    if values["batch_size"] is None:
        return values
    rows = copies * values["n_steps"]
    share = min(max(values["batch_size"] // tasks, 2), rows)
    # The largest that leaves no smaller minibatch at the end of an epoch, if one is near.
    whole = (n for n in range(share, share // 2, -1) if rows % n == 0)
    return values | {"batch_size": next(whole, share)}


def _normalization(policy: Any, task: PolicyTask) -> Normalization | None:
    space = task.observation_space
    if task.encoder not in policy.observation_stats or not isinstance(space, spaces.Box):
        return None
    stats = policy.observation_stats[task.encoder]
    mean, var = (part.double().numpy().reshape(space.shape) for part in (stats.mean, stats.var))
    return Normalization(
        obs=True,
        reward=False,
        clip_obs=CLIP,
        epsilon=EPSILON,
        gamma=float(task.gamma),
        obs_stats=RunningStats(mean=mean, var=var, count=stats.count.item()),
    )


def _card(agent: Agent, id: str) -> Any:
    card = agent.card
    return dataclasses.replace(
        card,
        name=full_name(agent, id),
        task=id,
        score=card.scores.get(id),
        scores={},
        source=card.name,
    )
