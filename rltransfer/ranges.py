"""Ranges that parameters are drawn from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rltransfer.errors import BadArgument

__all__ = ["Range"]


@dataclass(frozen=True)
class Range:
    """Where a parameter is drawn from.

    Attributes:
        low: Lower end, finite.
        high: Upper end, at least ``low``.
        log: Whether its logarithm is uniform, not the parameter itself; then ``low`` is above 0.

    Raises:
        BadArgument: The ends are not in order, or not positive where their logarithm is taken.
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not -math.inf < self.low <= self.high < math.inf or (self.log and self.low <= 0):
            positive = "positive and " if self.log else ""
            raise BadArgument(
                f"a range is from {self.low} to {self.high}: give finite ends, {positive}in order"
            )

    @classmethod
    def of(cls, given: Range | Sequence[Any]) -> Range:
        """Read ``(low, high)`` or ``(low, high, "log")``.

        Raises:
            BadArgument: It is something else.
        """
        if isinstance(given, Range):
            return given
        try:
            low, high, *scale = given
            if scale not in ([], ["log"]):
                raise ValueError
            return cls(float(low), float(high), bool(scale))
        except (TypeError, ValueError) as error:
            raise BadArgument(
                f"a range is {given!r}: give (low, high), or (low, high, 'log')"
            ) from error

    def at(self, share: float) -> float:
        """The value at a share of the range, from 0 to 1."""
        low, high = self._ends()
        value = low + share * (high - low)
        return min(max(math.exp(value) if self.log else value, self.low), self.high)

    def scaled(self, value: float) -> float:
        """Where a value lies in the range: -1 at the lower end, 1 at the upper; 0 in a point."""
        low, high = self._ends()
        value = math.log(value) if self.log else value
        return 2 * (value - low) / (high - low) - 1 if high > low else 0.0

    def to_list(self) -> list[Any]:
        """Return what :meth:`of` reads, as JSON data."""
        return [self.low, self.high, *(["log"] if self.log else [])]

    def _ends(self) -> tuple[float, float]:
        return (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
