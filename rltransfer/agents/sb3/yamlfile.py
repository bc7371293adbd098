"""The YAML of the RL Zoo, read as data.

The files are written with two tags that Python's safe reader does not know: for an ordered dict and
for a tuple. These two are known here, as data; every other tag is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from rltransfer.agents import files
from rltransfer.errors import BadCheckpoint

# Real files have 2 kB.
_MAX_BYTES = 2**15
_MAX_EVENTS = 4_000
_MAX_DEPTH = 16
_MAX_SCALAR = 1_000  # characters; a number of more digits could not even be printed


class _Loader(yaml.SafeLoader):
    """Python's safe reader with the two tags of the RL Zoo, and without what multiplies itself."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.events = self.open_collections = 0

    def get_event(self) -> yaml.Event:
        """Count an event before anything is built from it."""
        event = super().get_event()
        self.events += 1
        self.open_collections += isinstance(event, yaml.CollectionStartEvent)
        self.open_collections -= isinstance(event, yaml.CollectionEndEvent)
        if self.events > _MAX_EVENTS or self.open_collections > _MAX_DEPTH:
            raise ValueError("it is too large, or nested too deep")
        if isinstance(event, yaml.ScalarEvent) and len(event.value) > _MAX_SCALAR:
            raise ValueError("it has too long a value")
        return event

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse aliases: with a few of them a small file says a huge thing."""
        if self.check_event(yaml.AliasEvent):
            raise ValueError("it uses aliases")
        return super().compose_node(parent, index)


def _ordered(loader: _Loader, node: yaml.Node) -> dict[Any, Any]:
    """Read ``OrderedDict([[[key, value], ...]])``."""
    if not isinstance(node, yaml.SequenceNode):
        raise yaml.constructor.ConstructorError(None, None, "no ordered dict", node.start_mark)
    args = loader.construct_sequence(node, deep=True)
    return dict(args[0]) if args else {}


def _tuple(loader: _Loader, node: yaml.Node) -> tuple[Any, ...]:
    if not isinstance(node, yaml.SequenceNode):
        raise yaml.constructor.ConstructorError(None, None, "no tuple", node.start_mark)
    return tuple(loader.construct_sequence(node, deep=True))


_Loader.add_constructor("tag:yaml.org,2002:python/object/apply:collections.OrderedDict", _ordered)
_Loader.add_constructor("tag:yaml.org,2002:python/tuple", _tuple)


def read(path: Path) -> dict[str, Any]:
    """Read a mapping with text keys.

    Raises:
        BadCheckpoint: It is malformed, too large or deep, uses aliases or merges, or has another
            tag.
    """
    content = files.read(path, _MAX_BYTES)
    try:
        found = _Loader(content.decode("utf-8")).get_single_data()
    except (
        *(yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError),
        *(LookupError, AttributeError),  # from tags whose text is none of theirs, as in !!bool foo
    ) as error:
        raise BadCheckpoint(f"{path}: not a file of the RL Zoo: {_first_line(error)}") from error
    if not isinstance(found, dict):
        raise BadCheckpoint(f"{path}: expected names and values")
    return {key: value for key, value in found.items() if isinstance(key, str)}


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__
