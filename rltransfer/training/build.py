"""Building a fresh model on a target task."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.utils import get_device
from stable_baselines3.common.vec_env import VecEnv

from rltransfer.agents.backbone import load_backbone
from rltransfer.agents.hyperparameters import NAMES, arguments, check, plain
from rltransfer.agents.spaces import counts_from_zero
from rltransfer.errors import BadArgument, TransferError, UnknownName, suggest
from rltransfer.policies.frozen_resnet import FrozenResNet
from rltransfer.training.ppo import TRANSFER_ALGORITHMS, TransferMixin


def build_model(
    algorithm: str,
    policy: Any,
    venv: VecEnv,
    *,
    policy_kwargs: Mapping[str, Any],
    hyperparameters: Mapping[str, Any],
    seed: int | None = None,
    device: str = "auto",
    tensorboard_log: str | None = None,
    verbose: int = 0,
    kind: type[TransferMixin] | None = None,
) -> TransferMixin:
    """Build a fresh model.

    Args:
        algorithm: ``"ppo"``, ``"maskable_ppo"`` or ``"recurrent_ppo"``.
        policy: Policy name, such as ``"MlpPolicy"``, or class.
        venv: Vectorized target environment.
        policy_kwargs: Keyword arguments of the policy. ``features_extractor_kwargs`` of a
            ``FrozenResNet`` may name its ``weights``, a file for
            :func:`rltransfer.agents.backbone.load_backbone`.
        hyperparameters: PPO's hyperparameters; as data (a linear
            schedule is ``{"start", "end", "end_fraction"}``) or, for schedules, as functions.
        seed: Seed of the weights, the actions and the environments.
        device: ``"cpu"``, ``"cuda"``, or ``"auto"``, which takes a GPU only for image policies:
            small networks are faster on the CPU.
        tensorboard_log: Folder for TensorBoard, or None.
        verbose: 0 for silence, 1 for SB3's messages.
        kind: Class to build; by default what belongs to the algorithm.

    Raises:
        UnknownName: An algorithm or a hyperparameter does not exist.
        BadArgument: A hyperparameter is out of range, or SB3 or the policy refuses the spaces.
        BadCheckpoint: A file of weights is missing or malformed.
    """
    if algorithm not in TRANSFER_ALGORITHMS:
        raise UnknownName(suggest(algorithm, TRANSFER_ALGORITHMS, kind="algorithm"))
    kind = kind or TRANSFER_ALGORITHMS[algorithm]
    given = _constructor_arguments(algorithm, kind, hyperparameters)
    chosen = pick_device(device, policy)
    arguments_of_policy, weights = _without_file(policy_kwargs)
    try:
        _require_readable(venv)
        model = kind(
            policy,
            venv,
            policy_kwargs=arguments_of_policy,
            seed=seed,
            device=chosen,
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            **given,
        )
    except (TransferError, Warning):
        raise
    except Exception as error:  # a user's own policy or extractor may raise anything
        why = str(error).strip().splitlines() or [type(error).__name__]
        raise BadArgument(
            f"{algorithm} with {_policy_name(policy)} cannot be built on "
            f"{venv.observation_space} and {venv.action_space}: {why[0]}"
        ) from error
    if weights is not None:
        load_backbone(model.policy, weights)
    return model


def policy_arguments(policy_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return keyword arguments of a policy as a dict of their own.

    Raises:
        BadArgument: They are none.
    """
    if not isinstance(policy_kwargs, Mapping):
        raise BadArgument(
            f"policy_kwargs is {policy_kwargs!r:.60}: give a dict, such as {{'net_arch': [64, 64]}}"
        )
    return dict(policy_kwargs)


def _require_readable(venv: VecEnv) -> None:
    """Refuse spaces that Stable-Baselines3 misreads without a word, or fails on while training."""
    seen = venv.observation_space
    parts = seen.spaces.values() if isinstance(seen, spaces.Dict) else (seen,)
    for space in (*parts, venv.action_space):
        if not counts_from_zero(space):
            raise ValueError(
                f"the numbers of {space} do not begin at 0, as Stable-Baselines3 takes them: wrap"
                " the task, or train it with rltransfer.multitask"
            )
    if any(isinstance(part, spaces.Box) and not part.shape for part in parts):
        raise ValueError("no network reads observations without an axis: wrap the task")


def _without_file(policy_kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """Take the file of a frozen image encoder's weights out of the policy's arguments.

    It is read once: models and agents keep the weights, and are built where the file is not.
    """
    given = policy_arguments(policy_kwargs)
    kind, options = given.get("features_extractor_class"), given.get("features_extractor_kwargs")
    if kind is not FrozenResNet or not options or "weights" not in options:
        return given, None
    rest = {name: value for name, value in options.items() if name != "weights"}
    return {**given, "features_extractor_kwargs": rest}, options["weights"]


def _policy_name(policy: Any) -> str:
    return policy if isinstance(policy, str) else policy.__name__


def _constructor_arguments(
    algorithm: str, kind: type[TransferMixin], hyperparameters: Mapping[str, Any]
) -> dict[str, Any]:
    """SB3's defaults with the given values, each checked; schedules may be functions."""
    for name in hyperparameters:
        if name not in NAMES:
            raise UnknownName(suggest(name, NAMES, kind="hyperparameter"))
    signature = inspect.signature(kind.__init__).parameters
    defaults = {n: signature[n].default if n in signature else _ABSENT[n] for n in NAMES}
    functions = {name: value for name, value in hyperparameters.items() if callable(value)}
    numbers = plain({n: v for n, v in hyperparameters.items() if n not in functions})
    return {**arguments(check({**defaults, **numbers}), algorithm), **functions}


# Not in every constructor; n_envs comes with the environment.
_ABSENT = {"n_envs": 1, "use_sde": False, "sde_sample_freq": -1}


def pick_device(device: str, policy: Any) -> str:
    """Resolve ``"auto"``, and refuse a device that this machine does not have."""
    if device == "auto":
        images = isinstance(policy, str) and not policy.startswith("Mlp")
        return str(get_device("auto")) if images else "cpu"
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise BadArgument(f"device is {device!r}: choose 'auto', 'cpu' or 'cuda'") from error
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    there = chosen.type == "cpu" or (chosen.type == "cuda" and (chosen.index or 0) < count)
    if not there:
        has = f"{count} CUDA device(s)" if count else "no CUDA device"
        raise BadArgument(f"device is {device!r}, but this machine has {has}: choose 'cpu'")
    return str(chosen)
