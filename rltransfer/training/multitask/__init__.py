"""PPO for multi-task policies."""

from rltransfer.training.multitask.ppo import MultiTaskPPO
from rltransfer.training.multitask.recurrent import MultiTaskRecurrentPPO
from rltransfer.training.multitask.sampling import LearningProgress, shares

__all__ = ["LearningProgress", "MultiTaskPPO", "MultiTaskRecurrentPPO", "shares"]
