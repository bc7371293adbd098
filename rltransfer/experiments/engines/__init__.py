"""Engines: who executes the runs of a store, and where."""

from __future__ import annotations

from typing import Literal, get_args

from rltransfer.errors import BadArgument
from rltransfer.experiments.engines.base import Engine
from rltransfer.experiments.engines.limits import Limits

__all__ = ["Engine", "EngineName", "Limits", "check_engine", "engine"]

EngineName = Literal["here", "local", "ray", "slurm"]


def check_engine(name: object) -> None:
    """Refuse a name that no engine has.

    Raises:
        BadArgument: There is no such engine.
    """
    if name not in get_args(EngineName):
        names = ", ".join(get_args(EngineName))
        raise BadArgument(f"engine is {name!r}: choose one of {names}")


def engine(name: EngineName) -> Engine:
    """Return an engine with processes of its own; what it needs is imported only now.

    Raises:
        MissingExtra: Its package is not installed.
    """
    if name == "ray":
        from rltransfer.experiments.engines import on_ray

        return on_ray.run
    if name == "slurm":
        from rltransfer.experiments.engines import on_slurm

        return on_slurm.run
    from rltransfer.experiments.engines import local

    return local.run
