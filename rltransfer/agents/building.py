"""From an agent to a live Stable-Baselines3 model, without an environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from gymnasium.spaces.utils import flatdim
from torch.utils._python_dispatch import TorchDispatchMode

from rltransfer.agents import classes as named
from rltransfer.agents import hyperparameters, policies
from rltransfer.errors import BadArgument, BadCheckpoint, TransferError, printable
from rltransfer.policies.networks import TaskNetworks
from rltransfer.random_streams import forked

if TYPE_CHECKING:
    from rltransfer.agents.agent import Agent

# Steps of a rollout, times the actions that can be masked: a hundred times what trainings have.
_MAX_ROLLOUT = 2**26

# What an operation costs besides the elements that it makes: many small layers take long, too.
_PER_CALL = 2**10


class _Budget(TorchDispatchMode):
    """Stops a description that asks for far more memory than its weights have.

    Memory that was asked for and not written yet costs nothing, so it is enough to look at what
    each operation returns.
    """

    def __init__(self, weights: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        # Initializing a layer takes several temporary tensors of its size.
        self.left = 32 * sum(tensor.numel() for tensor in weights.values()) + 2**26
        self.left += _PER_CALL * 2**6 * len(weights)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and count what it made; in-place operations make nothing."""
        result = func(*args, **(kwargs or {}))
        if not func._schema.name.endswith("_"):
            made = result if isinstance(result, tuple | list) else (result,)
            self.left -= sum(part.numel() for part in made if isinstance(part, torch.Tensor))
        self.left -= _PER_CALL
        if self.left < 0:
            raise MemoryError("it asks for far more memory than its weights take")
        return result


def arguments(agent: Agent, classes: Mapping[str, type] | None) -> dict[str, Any]:
    """Return the keyword arguments, all but ``env``, of the constructor that made the agent."""
    known = {**agent.classes, **(classes or {})}
    return {
        "policy": policies.policy_class(agent.policy, agent.algorithm, known),
        "policy_kwargs": named.decode(agent.policy_kwargs, known),
        **hyperparameters.arguments(agent.hyperparameters, agent.algorithm),
    }


def build(
    agent: Agent,
    *,
    device: torch.device | str,
    classes: Mapping[str, type] | None,
    algorithm_class: type | None,
) -> Any:
    """Build the model of an agent; see :meth:`Agent.build`."""
    kind = policies.algorithm_class(agent.algorithm, algorithm_class)
    given = {**arguments(agent, classes), "device": _device(device)}
    # The first weights are drawn at random and then replaced: the caller's own draws must not move.
    with torch.random.fork_rng(devices=[]):
        with _Budget(agent.weights), _naming(agent):
            model = _construct(kind, given, agent)
        _load_weights(model.policy, agent)
        if model.use_sde:
            # After loading, as the noise has the deviation that was learned. It is drawn on the
            # policy's device.
            with _naming(agent), forked(model.device):
                model.policy.reset_noise()
    if agent.optimizer is not None:
        _load_moments(model.policy, agent.optimizer, agent.card.name)
    model.policy.set_training_mode(False)
    return model


def _device(device: torch.device | str) -> torch.device | str:
    try:
        return device if device == "auto" else torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise BadArgument(f"device={device!r}: expected 'auto', 'cpu', 'cuda', ...") from error


@contextmanager
def _naming(agent: Agent) -> Iterator[None]:
    """Turn what a constructor raises at a bad description into an error about the agent."""
    try:
        yield
    except (
        *(ArithmeticError, AssertionError, LookupError, MemoryError),
        *(NotImplementedError, RuntimeError, TransferError, TypeError, ValueError),
    ) as error:
        why = str(error).splitlines()[0] if str(error) else repr(error)
        why = printable(why[:500])
        raise BadCheckpoint(
            f"agent {agent.card.name!r}: no {agent.policy} can be built from its description: {why}"
        ) from error


def _construct(kind: Any, given: dict[str, Any], agent: Agent) -> Any:
    """Make the model without an environment, with any weights."""
    wanted = given["policy_kwargs"]
    # Orthogonal weights would take most of the time. A policy of the user may want them, or not
    # know the argument.
    quick = isinstance(given["policy"], str) or issubclass(given["policy"], TaskNetworks)
    if quick:
        given = {**given, "policy_kwargs": {**wanted, "ortho_init": False}}
    _check_rollout(agent)
    model = kind(env=None, _init_setup_model=False, **given)
    model.observation_space = agent.observation_space
    model.action_space = agent.action_space
    model.n_envs = agent.hyperparameters["n_envs"]
    model.num_timesteps = agent.card.steps
    model._setup_model()
    if quick:
        model.policy_kwargs = wanted
        model.policy.ortho_init = wanted.get("ortho_init", True)
    return model


def _check_rollout(agent: Agent) -> None:
    """Refuse a buffer that no training has, before SB3 makes it and fills it with masks."""
    values = agent.hyperparameters
    steps = values["n_steps"] * values["n_envs"]
    masks = flatdim(agent.action_space) if agent.algorithm == "maskable_ppo" else 1
    if steps * masks > _MAX_ROLLOUT:
        raise MemoryError(
            f"a rollout of {steps:,} steps (n_steps={values['n_steps']} in each of "
            f"{values['n_envs']} environments) is too large to be kept"
        )


def _load_weights(policy: Any, agent: Agent) -> None:
    """Load every tensor, and check that every tensor is what the policy then has."""
    expected = policy.state_dict()
    problems = [
        *(f"{name} is missing" for name in expected if name not in agent.weights),
        *(f"{name} is unknown" for name in agent.weights if name not in expected),
        *(
            f"{name} is {_form(agent.weights[name])}, expected {_form(tensor)}"
            for name, tensor in expected.items()
            if name in agent.weights and _form(tensor) != _form(agent.weights[name])
        ),
    ]
    if not problems:
        policy.load_state_dict(agent.weights, strict=True)
        # Two names of one tensor, such as of a shared extractor, may not disagree.
        problems = [
            f"{name} differs from another name of the same tensor"
            for name, tensor in policy.state_dict().items()
            if not torch.equal(tensor.cpu(), agent.weights[name])
        ]
    if problems:
        more = f", and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise BadCheckpoint(
            f"agent {agent.card.name!r}: weights do not fit {agent.policy}: "
            f"{'; '.join(problems[:3])}{more}"
        )


def _load_moments(policy: Any, moments: Mapping[str, torch.Tensor], name: str) -> None:
    """Put the state of the optimizer back, by the names of the parameters."""
    parameters = dict(policy.named_parameters())
    state = policy.optimizer.state_dict()
    order = {
        id(parameter): index
        for group, numbers in zip(policy.optimizer.param_groups, state["param_groups"], strict=True)
        for parameter, index in zip(group["params"], numbers["params"], strict=True)
    }
    for full, value in moments.items():
        parameter, _, key = full.rpartition("/")
        target = parameters.get(parameter)
        if target is None or id(target) not in order or value.shape not in (target.shape, ()):
            raise BadCheckpoint(
                f"agent {name!r}: optimizer state {full!r} of shape {tuple(value.shape)} "
                "fits no parameter of the policy"
            )
        # Counters that were plain integers are stored as int64 scalars.
        counter = value.dtype == torch.int64 and value.dim() == 0
        plain = value.item() if counter else value.clone()
        state["state"].setdefault(order[id(target)], {})[key] = plain
    try:
        if len({frozenset(part) for part in state["state"].values()}) > 1:
            raise ValueError("some parameters have more of it than others")
        policy.optimizer.load_state_dict(state)
    except (LookupError, RuntimeError, TypeError, ValueError) as error:
        raise BadCheckpoint(
            f"agent {name!r}: the optimizer state is none of {type(policy.optimizer).__name__}: "
            f"{error!s:.100}"
        ) from error


def _form(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
