"""Training on the target: PPO with frozen, thawing and slowed-down layer groups."""

from rltransfer.training.ppo import (
    TRANSFER_ALGORITHMS,
    TransferMaskablePPO,
    TransferPPO,
    TransferRecurrentPPO,
)
from rltransfer.training.schedule import GroupPlan, GroupScheduler

__all__ = [
    "TRANSFER_ALGORITHMS",
    "GroupPlan",
    "GroupScheduler",
    "TransferMaskablePPO",
    "TransferPPO",
    "TransferRecurrentPPO",
]
