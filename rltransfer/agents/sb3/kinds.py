"""What an agent is: which algorithm trained it, and which policy it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rltransfer.agents import classes as named
from rltransfer.agents import policies
from rltransfer.agents.inert import Global, Record
from rltransfer.agents.sb3.arguments import bases, class_path
from rltransfer.agents.sb3.container import Container
from rltransfer.agents.sb3.names import POLICIES, class_name, other_algorithm
from rltransfer.errors import BadArgument, BadCheckpoint

READ = "PPO, A2C, TRPO, MaskablePPO and RecurrentPPO"
_TITLES = {"maskable_ppo": "MaskablePPO", "recurrent_ppo": "RecurrentPPO"}
#: Settings that one algorithm alone has.
_TRPO, _PPO, _ON_POLICY = "cg_max_steps", "clip_range", "gae_lambda"


@dataclass(frozen=True)
class Kind:
    """Algorithm and policy.

    Attributes:
        algorithm: What the agent is built as: ``"ppo"``, ``"maskable_ppo"``, ``"recurrent_ppo"``.
        trained_by: What trained it, such as ``"A2C"``.
        policy: Name of the policy, or ``"module:QualName"`` of a class of the user.
    """

    algorithm: str
    trained_by: str
    policy: str

    @property
    def own(self) -> bool:
        """Whether the policy is a class of the user."""
        return ":" in self.policy

    @property
    def foreign(self) -> bool:
        """Whether another algorithm than the one that it is built as has trained it."""
        return self.trained_by in ("A2C", "TRPO")


def kind_of(container: Container, weights: Iterable[str], classes: Mapping[str, type]) -> Kind:
    """Find out what an agent is.

    Args:
        container: The zip.
        weights: Names of its weights.
        classes: Classes of the user, by name.

    Raises:
        BadCheckpoint: It is of an algorithm that is not read, or says nothing about its policy.
    """
    if not container.is_pickled("policy_class"):
        raise BadCheckpoint("the zip does not say which policy it holds")
    record = container.record("policy_class")
    path = class_path(record)
    if path is None:
        raise BadCheckpoint("policy_class is no class")
    other = other_algorithm(path.path)
    if other is not None:
        raise BadCheckpoint(
            f"an agent of {other}; what can be read is {READ}: train the source with one of these, "
            "with `rltransfer pretrain` for instance"
        )
    if path.path in POLICIES:
        algorithm, policy = POLICIES[path.path]
    else:
        policy = class_name(path)
        algorithm = _algorithm(container, record, policy, weights, classes)
    return Kind(algorithm, _trained_by(container, algorithm), policy)


def _trained_by(container: Container, algorithm: str) -> str:
    settings = container.data
    if _ON_POLICY not in settings:
        raise BadCheckpoint(f"of no algorithm that can be read: {READ}")
    if algorithm in _TITLES:
        return _TITLES[algorithm]
    return "TRPO" if _TRPO in settings else "PPO" if _PPO in settings else "A2C"


def _algorithm(
    container: Container,
    record: Record,
    policy: str,
    weights: Iterable[str],
    classes: Mapping[str, type],
) -> str:
    """Tell the algorithm of a policy of the user: by the class, its bases, or what is around it."""
    try:
        given = named.find(policy, classes)
    except BadArgument:
        given = None
    for algorithm in ("recurrent_ppo", "maskable_ppo", "ppo"):  # the first derives from the last
        known = tuple(policies.ALGORITHMS[algorithm].policy_aliases.values())  # pyright: ignore
        if given is not None and issubclass(given, known):
            return algorithm
    for base in bases(record):
        if base in POLICIES:
            return POLICIES[base][0]
    if any(name.startswith("lstm_actor.") for name in weights):
        return "recurrent_ppo"
    return "maskable_ppo" if _uses_masks(container) else "ppo"


def _uses_masks(container: Container) -> bool:
    key = "rollout_buffer_class"
    buffer: Any = container.record(key) if container.is_pickled(key) else None
    return isinstance(buffer, Global) and buffer.module.startswith("sb3_contrib.common.maskable")
