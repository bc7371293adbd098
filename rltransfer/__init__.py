"""Transfer pretrained PPO policies to related tasks, and measure what the transfer gained."""

from rltransfer import meta, methods
from rltransfer.adapting import adapted
from rltransfer.agents import Agent, Card, agents, load, read_sb3
from rltransfer.check import check_task
from rltransfer.continual import ContinualRun, continual
from rltransfer.describe import describe
from rltransfer.distilling import distill
from rltransfer.engine.multitask.options import MultiTaskOptions
from rltransfer.engine.options import EngineOptions
from rltransfer.errors import (
    BadArgument,
    BadCheckpoint,
    BadEnvironment,
    MissingExtra,
    NotReachable,
    NotWritable,
    RecipeError,
    RegistrationConflict,
    SpaceMismatch,
    TransferError,
    UnknownName,
)
from rltransfer.evaluate import evaluate
from rltransfer.experiments import Gain, finetune, measure
from rltransfer.layers import layer_groups
from rltransfer.multitask import MultiTaskRun, fresh_multitask, multitask
from rltransfer.online import OnlineRun, online
from rltransfer.policies.tasks import PolicyTask
from rltransfer.presets import PRESETS as recipes
from rltransfer.pretrain import as_agent, pretrain
from rltransfer.randomizing import randomized
from rltransfer.recipe import Recipe
from rltransfer.registry import Pair, Task, pairs, register_pair, register_task, task, tasks
from rltransfer.similarity import Similarity, similarity
from rltransfer.training import TransferMaskablePPO, TransferPPO, TransferRecurrentPPO
from rltransfer.training.multitask import MultiTaskPPO
from rltransfer.transfer import adapt
from rltransfer.vec import MultiTaskVecEnv, VectorEnvAdapter
from rltransfer.zero_shot import ZeroShot, zero_shot

__version__ = "0.1.0"

__all__ = [
    "Agent",
    "BadArgument",
    "BadCheckpoint",
    "BadEnvironment",
    "Card",
    "ContinualRun",
    "EngineOptions",
    "Gain",
    "MissingExtra",
    "MultiTaskOptions",
    "MultiTaskPPO",
    "MultiTaskRun",
    "MultiTaskVecEnv",
    "NotReachable",
    "NotWritable",
    "OnlineRun",
    "Pair",
    "PolicyTask",
    "Recipe",
    "RecipeError",
    "RegistrationConflict",
    "Similarity",
    "SpaceMismatch",
    "Task",
    "TransferError",
    "TransferMaskablePPO",
    "TransferPPO",
    "TransferRecurrentPPO",
    "UnknownName",
    "VectorEnvAdapter",
    "ZeroShot",
    "adapt",
    "adapted",
    "agents",
    "as_agent",
    "check_task",
    "continual",
    "describe",
    "distill",
    "evaluate",
    "finetune",
    "fresh_multitask",
    "layer_groups",
    "load",
    "measure",
    "meta",
    "methods",
    "multitask",
    "online",
    "pairs",
    "pretrain",
    "randomized",
    "read_sb3",
    "recipes",
    "register_pair",
    "register_task",
    "similarity",
    "task",
    "tasks",
    "zero_shot",
]

# Registers the built-in tasks and pairs; last, as it imports us.
import rltransfer_envs as _envs  # noqa: F401
