"""Whether the state of the optimizer goes on with an agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rltransfer.agents.sb3 import arguments, moments, weights
from rltransfer.agents.sb3.kinds import Kind
from rltransfer.agents.sb3.report import Ledger


def keep(
    optimizer: Mapping[str, Any] | None,
    raw: weights.Arrays,
    policy_kwargs: Mapping[str, Any],
    kind: Kind,
    ledger: Ledger,
) -> weights.Arrays | None:
    """Keep the state of the optimizer where it fits, and say so where it does not."""
    share = policy_kwargs.get("share_features_extractor", True) is not False
    if not kind.own:
        weights.check_aliases(raw, shared_extractor=share)
    if optimizer is None:
        ledger.add("optimizer", "none", "default")
        return None
    try:
        if kind.foreign:
            raise moments.Unfit(f"it is of {kind.trained_by}")
        if weights.shares_layers(raw):
            raise moments.Unfit("actor and critic no longer share layers")
        others = weights.aliases(raw, shared_extractor=share)
        names = [name for name in raw if name not in others]
        kept = moments.by_parameter(
            optimizer,
            {name: raw[name] for name in names},
            of_torch=arguments.optimizer(policy_kwargs).startswith("torch."),
        )
    except moments.Unfit as why:
        ledger.add("optimizer", "dropped", "tensors")
        ledger.note(f"the state of the optimizer was dropped, as {why}")
        return None
    ledger.add("optimizer", weights.counted(kept), "tensors")
    return kept
