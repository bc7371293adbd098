"""What the methods of a recipe do in the updates of PPO."""

# Each registers how its methods are made.
from rltransfer.training.terms import (  # noqa: F401
    adversaries,
    align,
    dropout,
    ewc,
    grow,
    imitate,
    lora,
    regularize,
    renew,
    retain,
    smooth,
)
from rltransfer.training.terms.setting import Setting, term_of
from rltransfer.training.terms.teacher import Teacher
from rltransfer.training.terms.term import Batch, Seen, Term
from rltransfer.training.terms.working import Working

__all__ = ["Batch", "Seen", "Setting", "Teacher", "Term", "Working", "term_of"]
