"""Files of others, read as data: pickles, torch archives, zips and JSON, none of it executed.

A pickle is a program. Here it is parsed and never run: a class or function that it names stays a
name, a call stays a record of a call. What the records mean is decided elsewhere, by decoders that
know a few names each and refuse the rest.
"""

from rltransfer.agents.inert.archive import read_archive
from rltransfer.agents.inert.arrays import array, dtype, scalar
from rltransfer.agents.inert.limits import Budget, Limits
from rltransfer.agents.inert.machine import examine
from rltransfer.agents.inert.plain import plain
from rltransfer.agents.inert.records import (
    Call,
    Global,
    Mapping,
    Members,
    Persistent,
    Record,
    instance,
    named,
    state,
)
from rltransfer.agents.inert.tensors import globals_in_tensors, read_tensors
from rltransfer.agents.inert.text import read_json

__all__ = [
    "Budget",
    "Call",
    "Global",
    "Limits",
    "Mapping",
    "Members",
    "Persistent",
    "Record",
    "array",
    "dtype",
    "examine",
    "globals_in_tensors",
    "instance",
    "named",
    "plain",
    "read_archive",
    "read_json",
    "read_tensors",
    "scalar",
    "state",
]
