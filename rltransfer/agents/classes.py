"""Names for the classes in a policy's arguments; a name from a file is never imported."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common import torch_layers
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike

from rltransfer.agents import spaces
from rltransfer.agents.multitask import codec
from rltransfer.errors import BadArgument, BadCheckpoint
from rltransfer.policies.frozen_resnet import FrozenResNet
from rltransfer.policies.multitask import MultiTaskPolicy
from rltransfer.policies.recurrent import MultiTaskLstmPolicy
from rltransfer.policies.task_features import TaskFeatures
from rltransfer.policies.tasks import PolicyTask

_MAX_DEPTH = 16


def _public(module: Any, base: type, prefix: str) -> Iterator[tuple[str, type]]:
    for name, value in vars(module).items():
        if inspect.isclass(value) and issubclass(value, base) and not name.startswith("_"):
            yield f"{prefix}.{name}", value


#: Names of the policies of several tasks, without memory and with it.
MULTITASK = "rltransfer.MultiTaskPolicy"
MULTITASK_LSTM = "rltransfer.MultiTaskLstmPolicy"
#: Name of the features extractor that is one task's way through such a policy.
TASK_FEATURES = "rltransfer.TaskFeatures"

#: Classes that a file may name: layers, optimizers, SB3's own features extractors, and ours.
KNOWN: dict[str, type] = {
    **dict(_public(torch.nn, torch.nn.Module, "torch.nn")),
    **dict(_public(torch.optim, torch.optim.Optimizer, "torch.optim")),
    "stable_baselines3.FlattenExtractor": torch_layers.FlattenExtractor,
    "stable_baselines3.NatureCNN": torch_layers.NatureCNN,
    "stable_baselines3.CombinedExtractor": torch_layers.CombinedExtractor,
    "stable_baselines3.RMSpropTFLike": RMSpropTFLike,
    MULTITASK: MultiTaskPolicy,
    MULTITASK_LSTM: MultiTaskLstmPolicy,
    TASK_FEATURES: TaskFeatures,
    "rltransfer.FrozenResNet": FrozenResNet,
}
#: Values that are written as one object: tag, class, and how they are written and read.
_TAGGED: dict[str, tuple[type, Callable[[Any], Any], Callable[[Any], Any]]] = {
    "$space": (gym.Space, spaces.encode, spaces.decode),
    "$task": (PolicyTask, codec.encode, codec.decode),
}
_NAMES = {value: name for name, value in KNOWN.items()}


def name_of(value: type) -> str:
    """Name a class: ``"torch.nn.Tanh"`` for a known one, ``"module:QualName"`` for a user's."""
    return _NAMES.get(value) or f"{value.__module__}:{value.__qualname__}"


def find(name: str, classes: Mapping[str, type]) -> type:
    """Return the class of that name.

    Args:
        name: What :func:`name_of` gave.
        classes: Classes of the user, by ``"module:QualName"``, qualified name, or plain name.

    Raises:
        BadArgument: It is neither known nor given, or what was given is not a class.
    """
    if name in KNOWN:
        return KNOWN[name]
    qualified = name.partition(":")[2]
    for key in (name, qualified, qualified.rpartition(".")[2]):
        if key and key in classes:
            if not inspect.isclass(classes[key]):
                raise BadArgument(f"classes[{key!r}] is {classes[key]!r:.60}: expected a class")
            return classes[key]
    raise BadArgument(
        f"the policy uses the class {name!r}, which files may not import: "
        f"in Python, pass classes={{{name!r}: TheClass}}"
    )


def check_given(given: Any) -> dict[str, type]:
    """Return the classes that a user gave, if they are classes by name.

    Raises:
        BadArgument: They are not.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise BadArgument(
            f"classes={given!r:.80}: expected classes by name, such as "
            "{'my_module:MyPolicy': MyPolicy}"
        )
    for name, kind in given.items():
        if not isinstance(name, str) or not inspect.isclass(kind):
            raise BadArgument(f"classes[{name!r:.60}] is {kind!r:.60}: expected a name and a class")
    return dict(given)


def encode(value: Any, found: dict[str, type], where: str = "policy_kwargs") -> Any:
    """Write a policy argument as JSON data.

    Tuples, classes, spaces, tasks, and mappings with other keys than plain text are tagged with
    ``$tuple``, ``$class``, ``$space``, ``$task`` and ``$dict``.

    Args:
        value: None, a boolean, number, text, class, space, task of a multi-task policy, or a list,
            tuple or dict of these.
        found: Filled with the classes of the user that were met, by name.
        where: How to call ``value`` in an error.

    Raises:
        BadArgument: Something else, such as a function or a tensor.
    """
    if inspect.isclass(value):
        name = name_of(value)
        if name not in KNOWN:
            found[name] = value
        return {"$class": name}
    for tag, (kind, write, _) in _TAGGED.items():
        if isinstance(value, kind):
            return {tag: write(value)}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return _encode_mapping(value, found, where)
    if isinstance(value, list | tuple):
        parts = [encode(part, found, f"{where}[{i}]") for i, part in enumerate(value)]
        return {"$tuple": parts} if isinstance(value, tuple) else parts
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and np.isfinite(value):
        return float(value)
    raise BadArgument(
        f"{where} is {value!r:.60}, which cannot be stored as data: expected None, a finite "
        "number, text, a class, or a list, tuple or dict of these"
    )


def _encode_mapping(value: Mapping, found: dict[str, type], where: str) -> dict[str, Any]:
    pairs = {key: encode(part, found, f"{where}[{key!r}]") for key, part in value.items()}
    if all(isinstance(key, str) and not key.startswith("$") for key in pairs):
        return pairs
    return {"$dict": [[encode(key, found, where), part] for key, part in pairs.items()]}


def check(data: Any) -> None:
    """Check that data are what :func:`encode` gives, without looking for the classes.

    Raises:
        BadCheckpoint: They are not.
    """
    codec.check_size(data)
    try:
        decode(data, _AnyClass())
    except (TypeError, ValueError) as error:
        raise BadCheckpoint(f"policy arguments are malformed: {error}") from error


class _AnyClass(dict):
    """Stands for classes that are given later."""

    def __contains__(self, _: object) -> bool:
        return True

    def __getitem__(self, _: str) -> type:
        return object


def decode(data: Any, classes: Mapping[str, type], *, depth: int = 0) -> Any:
    """Turn JSON data into the live policy argument.

    Args:
        data: What :func:`encode` gave.
        classes: Classes of the user, as for :func:`find`.
        depth: How deep ``data`` lies within other data.

    Raises:
        BadArgument: A class is neither known nor given.
        BadCheckpoint: A tag is malformed, or the nesting too deep.
    """
    if depth > _MAX_DEPTH:
        raise BadCheckpoint("policy arguments are nested too deep")
    if isinstance(data, list):
        return [decode(part, classes, depth=depth + 1) for part in data]
    if data is None or isinstance(data, bool | int | float | str):
        return data
    if not isinstance(data, Mapping):
        raise BadCheckpoint(f"policy argument {data!r:.60} is not JSON data")
    tag = next((key for key in data if key.startswith("$")), None)
    if tag is None:
        return {key: decode(part, classes, depth=depth + 1) for key, part in data.items()}
    content = data[tag]
    if len(data) == 1 and tag == "$class" and isinstance(content, str):
        return find(content, classes)
    if len(data) == 1 and tag in _TAGGED:
        return _TAGGED[tag][2](content)
    if len(data) == 1 and tag == "$tuple" and isinstance(content, list):
        return tuple(decode(content, classes, depth=depth + 1))
    if len(data) == 1 and tag == "$dict" and isinstance(content, list):
        return dict(tuple(decode(pair, classes, depth=depth + 1)) for pair in content)
    raise BadCheckpoint(f"policy argument {data!r:.60} is malformed")
