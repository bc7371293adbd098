"""All families, which register themselves when their modules are imported."""

from hostile import (
    family_arguments,
    family_calls,
    family_claims,
    family_limits,
    family_members,
    family_own,
    family_sound,
    family_spaces,
    family_statistics,
    family_tensor_trees,
    family_tensors,
    family_text,
    family_zip,
)
from hostile.samples import FAMILIES

__all__ = [
    "FAMILIES",
    "family_arguments",
    "family_calls",
    "family_claims",
    "family_limits",
    "family_members",
    "family_own",
    "family_sound",
    "family_spaces",
    "family_statistics",
    "family_tensor_trees",
    "family_tensors",
    "family_text",
    "family_zip",
]
