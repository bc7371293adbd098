"""What a model remembers of its transfer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from rltransfer.training.critic import CriticRefit
from rltransfer.training.guides import Guide
from rltransfer.training.schedule import GroupScheduler
from rltransfer.training.terms import Working


@dataclass
class Transfer:
    """What a model remembers of its transfer. It lives on the object and is not saved in the zip.

    Attributes:
        scheduler: Freezes, thaws and scales the layer groups.
        origin: Source tensors by parameter name, for the groups that were copied.
        carried: Of those that were padded or mapped, which entries are the source's.
        refit: Pending refit of the critic head, if any.
        spent: Environment steps spent before learning, charged to the next ``learn``.
        terms: Methods at work in updates; None for none.
        guide: The source, if it begins the episodes of training.
        report: What was copied, reset and chosen.
    """

    scheduler: GroupScheduler
    origin: Mapping[str, torch.Tensor] = field(default_factory=dict)
    carried: Mapping[str, torch.Tensor] = field(default_factory=dict)
    refit: CriticRefit | None = None
    spent: int = 0
    terms: Working | None = None
    guide: Guide | None = None
    report: Any = None

    @torch.no_grad()
    def drift(self, policy: torch.nn.Module) -> dict[str, float]:
        """Relative distance of each copied layer group from the source.

        Args:
            policy: The policy of the model.

        Returns:
            ``|w - w_source| / |w_source|`` by group name (L2 norms over the group's parameters);
            empty for a model that copied nothing.
        """
        now, distances = dict(policy.named_parameters()), {}
        for name, group in self.scheduler.groups.items():
            keys = [key for key in group.parameters if key in self.origin]
            moved = sum(float((now[key] - self.origin[key]).square().sum()) for key in keys)
            length = sum(float(self.origin[key].square().sum()) for key in keys)
            if length > 0:
                distances[name] = (moved / length) ** 0.5
        return distances
