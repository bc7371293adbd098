"""Names of the algorithms and of their policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import PPO

from rltransfer.agents import classes as named
from rltransfer.errors import BadArgument, UnknownName, suggest

ALGORITHMS: Mapping[str, type] = {
    "ppo": PPO,
    "maskable_ppo": MaskablePPO,
    "recurrent_ppo": RecurrentPPO,
}


def algorithm_name(model: Any) -> str:
    """Name the algorithm of a live model.

    Raises:
        BadArgument: It is not a PPO, MaskablePPO or RecurrentPPO, nor a subclass of one.
    """
    for name, kind in ALGORITHMS.items():
        if isinstance(model, kind):
            return name
    hint = "; for a file use rltransfer.load(path)" if isinstance(model, str) else ""
    raise BadArgument(
        f"expected a live PPO, MaskablePPO or RecurrentPPO model, got {type(model).__name__}{hint}"
    )


def algorithm_class(name: str, override: type | None = None) -> Any:
    """Return the class of an algorithm, or ``override`` if that is one.

    Raises:
        BadArgument: ``override`` is not a subclass of the algorithm.
        UnknownName: No algorithm has that name.
    """
    if name not in ALGORITHMS:
        raise UnknownName(suggest(name, ALGORITHMS, kind="algorithm"))
    if override is None:
        return ALGORITHMS[name]
    if not (isinstance(override, type) and issubclass(override, ALGORITHMS[name])):
        raise BadArgument(
            f"algorithm_class={override!r}: the agent needs {ALGORITHMS[name].__name__} "
            "or a subclass of it"
        )
    return override


def policy_name(model: Any, found: dict[str, type]) -> str:
    """Name the policy class of a live model, such as ``"MlpPolicy"``.

    Args:
        model: A PPO, MaskablePPO or RecurrentPPO.
        found: Filled with the policy class, by name, if it is the user's own.
    """
    # From the plain algorithm: a subclass may have aliases that others do not know.
    aliases = ALGORITHMS[algorithm_name(model)].policy_aliases
    kind = type(model.policy)
    for alias, known in aliases.items():
        if kind is known:
            return alias
    name = named.name_of(kind)
    if name not in named.KNOWN:
        found[name] = kind
    return name


def policy_class(name: str, algorithm: str, classes: Mapping[str, type]) -> str | type:
    """Return what a constructor takes as ``policy``: an alias, or the class of the user.

    Raises:
        BadArgument: The policy is the user's own, and was not given in ``classes``.
    """
    if name in algorithm_class(algorithm).policy_aliases:
        return name
    return named.find(name, classes)
