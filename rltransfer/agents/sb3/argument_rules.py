"""What the arguments of the policies of Stable-Baselines3 may be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from rltransfer.agents.sb3.extractors import COMBINED, FLATTEN, NATURE
from rltransfer.agents.sb3.names import CLASSES
from rltransfer.errors import BadCheckpoint

_NOT_ACTIVATIONS = {"torch.nn.MultiheadAttention"}
_ACTIVATIONS = {"torch.nn.Identity"} | {
    name
    for path, name in CLASSES.items()
    if path.startswith("torch.nn.modules.activation.") and name not in _NOT_ACTIVATIONS
}
_OPTIMIZERS = {
    name for name in CLASSES.values() if name.startswith("torch.optim.") or "RMSprop" in name
}
_EXTRACTORS = {FLATTEN, NATURE, COMBINED}


def _flag(value: Any) -> bool:
    return type(value) is bool


def _size(value: Any) -> bool:
    return type(value) is int and 1 <= value <= 10**6


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _optional_dict(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and not any(k.startswith("$") for k in value))


def _sizes(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= 64 and all(map(_size, value))


def _by_part(value: Any) -> bool:
    return (
        isinstance(value, dict) and set(value) <= {"pi", "vf"} and all(map(_sizes, value.values()))
    )


def _net_arch(value: Any) -> bool:
    """Also the lists of before 1.8: widths of shared layers, then those of actor and critic."""
    if value is None or _sizes(value) or _by_part(value):
        return True
    return (
        isinstance(value, list) and len(value) <= 64 and _sizes(value[:-1]) and _by_part(value[-1])
    )


def _class_of(known: set[str]) -> Callable[[Any], bool]:
    """Accept the classes of this kind, and those of users, whose kind nobody knows."""

    def check(value: Any) -> bool:
        name = value.get("$class") if isinstance(value, dict) else None
        return isinstance(name, str) and (name in known or ":" in name)

    return check


#: What the policies of SB3 take: in words, and as a check of JSON data.
_RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "net_arch": ("widths of layers, or lists of them under 'pi' and 'vf'", _net_arch),
    "activation_fn": ("an activation of torch.nn", _class_of(_ACTIVATIONS)),
    "ortho_init": ("true or false", _flag),
    "log_std_init": ("a finite number", _number),
    "full_std": ("true or false", _flag),
    "use_expln": ("true or false", _flag),
    "squash_output": ("true or false", _flag),
    "features_extractor_class": ("a features extractor", _class_of(_EXTRACTORS)),
    "features_extractor_kwargs": ("null, or an object", _optional_dict),
    "share_features_extractor": ("true or false", _flag),
    "normalize_images": ("true or false", _flag),
    "optimizer_class": ("an optimizer of torch.optim", _class_of(_OPTIMIZERS)),
    "optimizer_kwargs": ("null, or an object", _optional_dict),
}
_RECURRENT: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "lstm_hidden_size": ("a whole number from 1", _size),
    "n_lstm_layers": ("a whole number from 1 to 64", lambda value: _size(value) and value <= 64),
    "shared_lstm": ("true or false", _flag),
    "enable_critic_lstm": ("true or false", _flag),
    "lstm_kwargs": ("null, or an object", _optional_dict),
}
#: Arguments that old versions had, and that mean nothing where they have this value.
_GONE = {"device": lambda value: True, "sde_net_arch": lambda value: value is None}


def drop_old(arguments: dict[str, Any]) -> None:
    """Remove what old versions had, and what means nothing."""
    for name, means_nothing in _GONE.items():
        if name in arguments and means_nothing(arguments[name]):
            del arguments[name]


def check(arguments: Mapping[str, Any], *, recurrent: bool) -> None:
    """Check the arguments of a policy of SB3.

    Raises:
        BadCheckpoint: One is unknown, or out of range.
    """
    rules = {**_RULES, **_RECURRENT} if recurrent else _RULES
    for name, value in arguments.items():
        if name not in rules:
            raise BadCheckpoint(
                f"policy_kwargs has {name!r:.60}, which no policy of Stable-Baselines3 takes"
            )
        expected, valid = rules[name]
        if not valid(value):
            raise BadCheckpoint(f"policy_kwargs[{name!r}] is {value!r:.60}: expected {expected}")
