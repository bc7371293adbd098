"""Documents of older versions of the format, turned into documents of today's.

Every version that was ever released stays readable. Whoever raises ``bundle.VERSION`` adds here
the function that turns a document of the version before into one of the new version. An agent
that was upgraded has the sha256 that it gets when it is saved again, not that of its old file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rltransfer.agents.jsondata import take
from rltransfer.errors import BadCheckpoint

_Upgrade = Callable[[dict[str, Any]], dict[str, Any]]

#: By the version that it reads: a function that returns the document of the next version. It gets
#: a document of its own, whose seal was verified; whoever made the file may have written anything
#: into it, so fields are read with ``take``, and nothing is done that a field could abuse.
UPGRADES: Mapping[int, _Upgrade] = {}


def upgrade(document: Mapping[str, Any], version: int) -> dict[str, Any]:
    """Turn a document of any released version into one of ``version``.

    Args:
        document: A whole document, whose seal was verified.
        version: Today's version of the format.

    Returns:
        A document with that ``version``, and otherwise the same if it was of that version before.

    Raises:
        BadCheckpoint: Its version is newer, or none that was ever released, or it is not what it
            should be in its version.
    """
    document, found = dict(document), take(document, "version", int)
    if found > version:
        raise BadCheckpoint(
            f"format version {found}, this rltransfer reads {version}: install a newer rltransfer"
        )
    for old in range(found, version):
        if old not in UPGRADES:
            raise BadCheckpoint(
                f"format version {found}, which this rltransfer cannot turn into version "
                f"{version}: load and save it with the rltransfer that wrote it, or a newer one"
            )
        document = UPGRADES[old](document) | {"version": old + 1}
    return document
