"""Giving a source away without giving away the trajectories behind it (extra ``private``)."""

from rltransfer.privacy.accounting import Privacy, epsilon_of, noise_for
from rltransfer.privacy.distilling import distill_private
from rltransfer.privacy.recording import public_statistics, record

__all__ = [
    "Privacy",
    "distill_private",
    "epsilon_of",
    "noise_for",
    "public_statistics",
    "record",
]
