"""The classes of the user that a policy needs: which were given, and what they are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from rltransfer.agents import classes as named
from rltransfer.agents.inert import Global
from rltransfer.agents.sb3.names import SKELETONS, is_known, is_of_class
from rltransfer.errors import BadArgument

#: The entries in which a policy has classes.
_ENTRIES = ("policy_class", "policy_kwargs")


@dataclass(frozen=True)
class OwnClasses:
    """Classes of the user.

    Attributes:
        needed: Those that the policy needs, as ``"module:QualName"``.
        given: Those that the user gave, by name.
    """

    needed: frozenset[str]
    given: Mapping[str, type]

    def missing(self) -> list[str]:
        """Return the dotted names of those that are needed and were not given."""
        return [name.replace(":", ".", 1) for name in sorted(self.needed) if not self._has(name)]

    def foreign(self, entry: str, found: Iterable[Global]) -> Iterator[Global]:
        """Yield the names in a pickle that are neither known nor of a class that was given.

        Args:
            entry: The entry of the zip that is the pickle.
            found: The names in it.
        """
        found = list(found)
        by_value = (
            bool(self.needed)
            and entry in _ENTRIES
            and any(name.path in SKELETONS for name in found)
        )
        for name in found:
            known = is_known(name) or (by_value and is_of_class(name))
            if not known and not self._is_given(name):
                yield name

    def _is_given(self, name: Global) -> bool:
        """Tell whether a name is that of a given class, which its last part alone does not say."""
        full = f"{name.module}:{name.name}"
        if full in self.needed:
            return self._has(full)
        return full in self.given or full in map(named.name_of, self.given.values())

    def _has(self, name: str) -> bool:
        try:
            named.find(name, self.given)
        except BadArgument:
            return False
        return True
