"""Terms that act on weights, or smooth outputs."""

from __future__ import annotations

from rltransfer.methods import L2SP
from rltransfer.training.terms.pull import FadingPull, Pulled
from rltransfer.training.terms.setting import Setting, term_of
from rltransfer.training.terms.term import Term


@term_of.register
def _(method: L2SP, setting: Setting) -> Term:
    # The strength of fresh weights is relative to that of the copied ones, which fades for both.
    share = method.fresh / method.strength
    pulled = [
        Pulled(name, one, one.detach().clone())
        if name in setting.copied
        else Pulled(name, one, 0.0, share)
        for name, one in setting.parameters().items()
    ]
    return FadingPull(method, pulled)
