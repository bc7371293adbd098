"""``pretrain --tasks``: one policy for many tasks."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from rltransfer.cli.progress import watching
from rltransfer.engine.multitask.options import Gradient, MultiTaskOptions
from rltransfer.errors import BadArgument
from rltransfer.multitask import MultiTaskRun, multitask
from rltransfer.multitask.tasks import Sharing, require_played
from rltransfer.policies.conditioning import CONDITIONINGS
from rltransfer.policies.trunks import TRUNKS
from rltransfer.presets import recipe as preset
from rltransfer.recipe import Recipe

# Flags that are passed on as they are; those that were not given stay out.
_PASSED = (
    *("start", "encoders", "heads", "width", "encoder_kind", "trunk", "sizes", "conditioning"),
    *("share_critic", "points", "episodes"),
)
_RECIPE = ("freeze", "thaw", "reset", "lr_decay", "lr_scale")
_BY_TASK = ("gamma", "noise", "log_std", "source")
_OTHERS = ("recipe", "weights", "missions", "trunk_set", "normalize", "gradient", "tensorboard")
FLAGS = (*_PASSED, *_RECIPE, *_BY_TASK, *_OTHERS)


def add_flags(
    parser: argparse.ArgumentParser, *, names: Any, number: Any, text: Any, setting: Any
) -> None:
    """Add the flags that go with ``--tasks``.

    Args:
        parser: Of ``pretrain``.
        names: Type of names with commas between them.
        number: Type of ``NAME=NUMBER``.
        text: Type of ``NAME=TEXT``.
        setting: Type of ``NAME=VALUE``, where values are JSON.
    """
    p = parser.add_argument_group("with --tasks")
    several: dict[str, Any] = {"nargs": "+", "action": "extend"}
    p.add_argument("--start", help="agent to begin with; its tasks that are not named are frozen")
    words = "preset: head trains all but the shared layers (default full)"
    p.add_argument("--recipe", help=words)
    p.add_argument("--freeze", metavar="GROUP", help="layer groups that do not train", **several)
    words = "frozen groups train again from this fraction of training"
    p.add_argument("--thaw", metavar="GROUP=FRACTION", type=number, help=words, **several)
    p.add_argument("--reset", metavar="GROUP", help="layer groups that start fresh", **several)
    p.add_argument("--lr-decay", type=float, help="learning-rate factor per layer below the heads")
    words = "learning-rate factors"
    p.add_argument("--lr-scale", metavar="GROUP=FACTOR", type=number, help=words, **several)
    words = "shares of the environments, such as A=2,B=1, or progress: more where returns change"
    p.add_argument("--weights", type=names, help=words)
    p.add_argument("--gamma", metavar="TASK=GAMMA", type=number, help="discount factors", **several)
    words = "correlation of exploration noise in time, for continuous actions"
    p.add_argument("--noise", metavar="TASK=NUMBER", type=number, help=words, **several)
    words = "logarithm of the standard deviation that continuous actions start with"
    p.add_argument("--log-std", metavar="TASK=NUMBER", type=number, help=words, **several)
    words = "single-task agents whose encoder and heads new tasks of --start begin with"
    p.add_argument("--source", metavar="TASK=AGENT", type=text, help=words, **several)
    words = "what to do, for --conditioning sentence"
    p.add_argument(
        "--mission", dest="missions", metavar="TASK=TEXT", type=text, help=words, **several
    )
    for flag in ("encoders", "heads"):
        words = f"whether tasks of equal spaces share {flag} (default own)"
        p.add_argument(f"--{flag}", choices=get_args(Sharing), help=words)
    p.add_argument("--width", type=int, help="features of each encoder (default 64)")
    p.add_argument("--encoder-kind", choices=["auto", "grid"], help="grid for MiniGrid's views")
    p.add_argument("--trunk", choices=list(TRUNKS), help="kind of the shared layers (default mlp)")
    p.add_argument("--sizes", type=names, help="widths of its layers, with commas (default 64)")
    p.add_argument("--trunk-set", metavar="NAME=VALUE", type=setting, help="its options", **several)
    words = "what tells the trunk which task it is (default heads: nothing)"
    p.add_argument("--conditioning", choices=CONDITIONINGS, help=words)
    p.add_argument("--share-critic", action="store_true", default=None, help="with the actor")
    words = "observations as they are, without running statistics"
    p.add_argument(
        "--no-normalize-obs", dest="normalize", action="store_false", default=None, help=words
    )
    words = "of the tasks: their mean (default), or without what conflicts"
    p.add_argument("--gradient", choices=get_args(Gradient), help=words)
    p.add_argument("--points", type=int, help="evaluations after that at step 0 (default 10)")
    p.add_argument("--episodes", type=int, help="episodes of each, for each task (default 20)")
    p.add_argument("--tensorboard", metavar="FOLDER", help="folder for TensorBoard")


def refuse_flags(args: argparse.Namespace) -> None:
    """Refuse flags of many tasks where there is one.

    Raises:
        BadArgument: One was given.
    """
    given = [name for name in FLAGS if getattr(args, name) is not None]
    if given:
        raise BadArgument(
            f"--{given[0].replace('_', '-')} is for many tasks: give --tasks A,B,... instead of a "
            "task, or leave it out"
        )


def train(args: argparse.Namespace, name: str, hyperparameters: Mapping[str, Any]) -> MultiTaskRun:
    """Train one policy on the tasks of ``--tasks``.

    Args:
        args: Arguments of ``pretrain``.
        name: Name of the agent.
        hyperparameters: What ``--set`` gave.

    Raises:
        BadArgument: A flag is for one task alone.
    """
    _refuse_single(args)
    label = "+".join(args.tasks)
    with watching(args.steps, alone=True) as watch:
        watch(label, 0, args.steps)
        return multitask(
            args.tasks,
            args.steps,
            name=name,
            seed=args.seed,
            n_envs=args.n_envs,
            algorithm=args.algorithm,
            device=args.device,
            vec=args.vec,
            max_steps=args.max_steps,
            command=args.command_line,
            progress=lambda steps, total: watch(label, min(steps, total), total),
            **_options(args),
            **hyperparameters,
        )


def _refuse_single(args: argparse.Namespace) -> None:
    if args.task:
        raise BadArgument(
            f"{args.task!r} is given beside --tasks: add it to --tasks, or leave --tasks out"
        )
    if args.normalize_reward:
        raise BadArgument(
            "--normalize-reward is for one task: with --tasks the returns of each are normalized "
            "anyway; leave it out"
        )
    if args.algorithm == "maskable_ppo":
        raise BadArgument(
            "--algorithm maskable_ppo is for one task: with --tasks masks are used wherever a task "
            "has them; leave it out"
        )


def _options(args: argparse.Namespace) -> dict[str, Any]:
    given = {name: getattr(args, name) for name in _PASSED if getattr(args, name) is not None}
    if args.sizes is not None:
        given["sizes"] = [_whole("--sizes", size) for size in args.sizes]
    if args.trunk_set is not None:
        given["trunk_kwargs"] = dict(args.trunk_set)
    if args.normalize is False:
        given["normalize_obs"] = False
    if args.missions is not None:
        given["missions"] = dict(args.missions)
    if args.gradient is not None:
        given["options"] = MultiTaskOptions(gradient=args.gradient)
    if args.tensorboard is not None:
        given["tensorboard_log"] = args.tensorboard
    if args.weights is not None:
        given["weights"] = _weights(args.weights)
    recipe = _recipe(args)
    if recipe is not None:
        given["recipe"] = recipe
    return {**given, "task_options": _by_task(args)}


def _recipe(args: argparse.Namespace) -> Recipe | None:
    """The preset with the fields that were given; None if nothing was said."""
    changes = {name: getattr(args, name) for name in _RECIPE if getattr(args, name) is not None}
    for name in ("thaw", "lr_scale"):
        if name in changes:
            changes[name] = dict(changes[name])
    if args.recipe is None and not changes:
        return None
    return preset(args.recipe or "full").but(**changes)


def _by_task(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    options: dict[str, dict[str, Any]] = {}
    for name in _BY_TASK:
        for task, value in getattr(args, name) or ():
            require_played(task, args.tasks)
            options.setdefault(task, {})[name] = value
    return options


def _weights(words: Sequence[str]) -> Any:
    if list(words) == ["progress"]:
        return "progress"
    weights = {}
    for word in words:
        task, _, value = word.rpartition("=")
        try:
            weights[task] = float(value)
        except ValueError:
            raise BadArgument(
                f"--weights has {word!r}: give TASK=NUMBER with commas between, or progress"
            ) from None
    return weights


def _whole(flag: str, text: str) -> int:
    if not text.isdecimal():
        raise BadArgument(f"{flag} has {text!r}: give whole numbers with commas between")
    return int(text)
