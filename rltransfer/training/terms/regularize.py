"""Terms that act on weights, or smooth outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from rltransfer.methods import L2SP
from rltransfer.training.terms.fading import faded
from rltransfer.training.terms.setting import Setting, term_of
from rltransfer.training.terms.term import Batch, Seen, Term


class L2SPTerm(Term):
    """Squared distance from where copied weights began, and squares of the fresh ones.

    Args:
        method: The method.
        copied: Copied parameters by name.
        fresh: Fresh ones.
    """

    def __init__(self, method: L2SP, copied: Mapping[str, Tensor], fresh: Sequence[Tensor]) -> None:
        self.name = method.name
        self._method = method
        self._copied = list(copied.values())
        self._origin = [one.detach().clone() for one in self._copied]
        self._fresh = list(fresh)

    def begin(self, seen: Seen) -> None:
        """Set the strength."""
        self.strength = faded(self._method, seen.progress)

    def loss(self, batch: Batch) -> Tensor | None:
        """Give half the squared distances; ``fresh`` is relative to ``strength``."""
        pairs = zip(self._copied, self._origin, strict=True)
        total = sum(((now - then).square().sum() for now, then in pairs), torch.zeros(()))
        share = self._method.fresh / self._method.strength
        small = sum((one.square().sum() for one in self._fresh), torch.zeros(()))
        return 0.5 * (total + share * small)


@term_of.register
def _(method: L2SP, setting: Setting) -> Term:
    named = setting.parameters()
    copied = {name: one for name, one in named.items() if name in setting.copied}
    return L2SPTerm(method, copied, [one for name, one in named.items() if name not in copied])
