"""Arguments of each command."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any, get_args

from rltransfer.cli import commands, exporting, importing, listing, multitask
from rltransfer.experiments.controls import CONTROLS
from rltransfer.experiments.engines import EngineName
from rltransfer.training import TRANSFER_ALGORITHMS
from rltransfer.vec import Vec

_AGENT = (
    "zoo agent, path of a saved agent or of a zip of SB3, or hub:owner/repo; AGENT#TASK takes one "
    "task of an agent of many"
)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of ``rltransfer``."""
    parser = argparse.ArgumentParser(
        prog="rltransfer",
        description="Transfer pretrained PPO policies to related tasks, and measure the gain.",
    )
    sub = parser.add_subparsers(required=True, metavar="COMMAND")
    _ls(sub)
    _show(sub)
    _check(sub)
    _pretrain(sub)
    _finetune(sub)
    _evaluate(sub)
    _benchmark(sub)
    _index(sub)
    _export(sub)
    _import(sub)
    return parser


def _ls(sub: Any) -> None:
    p = sub.add_parser("ls", help="list tasks, pairs, agents, recipes and methods")
    p.add_argument("what", nargs="?", choices=list(listing.TABLES), help="one of them only")
    p.set_defaults(command=listing.ls)


def _show(sub: Any) -> None:
    p = sub.add_parser("show", help="show a task, pair, agent, recipe or method")
    p.add_argument("name")
    p.set_defaults(command=listing.show)


def _check(sub: Any) -> None:
    p = sub.add_parser("check", help="test a task: dynamics, leaks, seeding, worker processes")
    p.add_argument("tasks", nargs="+", metavar="TASK", help="Gymnasium id, or module:Id")
    p.set_defaults(command=commands.check)


def _pretrain(sub: Any) -> None:
    p = sub.add_parser("pretrain", help="train an agent from scratch, or one on many tasks")
    p.add_argument("task", nargs="?", help="Gymnasium id, or module:Id")
    words = "several, with commas, that one policy learns: own encoders and heads, a shared trunk"
    p.add_argument("--tasks", action="extend", type=_names, help=words)
    p.add_argument("--steps", type=int, required=True, help="environment steps")
    p.add_argument("--out", type=Path, required=True, help="path of the agent, without suffix")
    p.add_argument("--seed", type=int, default=0, help="(default 0)")
    words = "(default ppo, or that of --start)"
    p.add_argument("--algorithm", choices=list(TRANSFER_ALGORITHMS), help=words)
    words = "parallel environments, of each task (default 8)"
    p.add_argument("--n-envs", type=int, default=8, help=words)
    p.add_argument("--normalize-obs", action="store_true", help="by running statistics")
    p.add_argument("--normalize-reward", action="store_true", help="by the spread of returns")
    _shared(p)
    multitask.add_flags(p, names=_names, number=_pair, text=_text, setting=_setting)
    p.set_defaults(command=commands.pretrain)


def _finetune(sub: Any) -> None:
    p = sub.add_parser("finetune", help="fine-tune an agent on a target task")
    p.add_argument("source", help=_AGENT)
    p.add_argument("target", help="Gymnasium id, or module:Id")
    p.add_argument("--steps", type=int, required=True, help="environment steps on the target")
    p.add_argument("--seed", type=int, default=0, help="(default 0)")
    p.add_argument("--out", type=Path, default=None, help="folder (default runs/SOURCE__TARGET...)")
    words = "a name of `rltransfer ls recipes`, or a recipe's JSON file (default auto; full where "
    words += "--method or one of the flags below says what to do)"
    p.add_argument("--recipe", help=words)
    words = "methods to add to the recipe, which may not be auto; see `rltransfer ls methods`"
    _several(p, "--method", dest="methods", metavar="NAME[:FIELD=VALUE,...]", help=words)
    _several(p, "--freeze", metavar="GROUP", help="layer groups that do not train")
    _several(
        p,
        "--thaw",
        metavar="GROUP=FRACTION",
        type=_pair,
        help="frozen groups train again from this fraction of training",
    )
    _several(p, "--reset", metavar="GROUP", help="layer groups that start fresh")
    p.add_argument("--lr-decay", type=float, help="learning-rate factor per layer below the heads")
    _several(p, "--lr-scale", metavar="GROUP=FACTOR", type=_pair, help="learning-rate factors")
    p.add_argument("--pad-inputs", action="store_true", default=None, help="new inputs come last")
    p.add_argument(
        "--checkpoint-every", type=int, metavar="STEPS", help="checkpoints (default 250000 steps)"
    )
    _obs_stats(p)
    _shared(p)
    p.set_defaults(command=commands.finetune)


def _evaluate(sub: Any) -> None:
    p = sub.add_parser("evaluate", help="score an agent on a task")
    p.add_argument("agent", help=_AGENT)
    p.add_argument("task", nargs="?", help="Gymnasium id, or module:Id (default: its own task)")
    p.add_argument("--episodes", type=int, default=100)
    p.add_argument("--stochastic", action="store_true", help="sample the actions")
    _max_steps(p)
    p.set_defaults(command=commands.evaluate)


def _benchmark(sub: Any) -> None:
    p = sub.add_parser("benchmark", help="measure what recipes gain over scratch")
    p.add_argument(
        "--pair", dest="pairs", action="extend", type=_names, default=[], help="names, with commas"
    )
    words = f"{_AGENT}; instead of the pair's, or with --target; again for each other checkpoint"
    p.add_argument("--source", action="append", help=words)
    p.add_argument("--target", help="Gymnasium id or module:Id, instead of --pair")
    p.add_argument(
        "--recipes",
        action="extend",
        type=_names,
        help="names or JSON files, with commas (default auto)",
    )
    _obs_stats(p)
    words = f"names of control arms, with commas, or all: {', '.join(CONTROLS)}"
    p.add_argument("--controls", action="extend", type=_names, help=words)
    p.add_argument("--unrelated", help="agent of another task, for the control of that name")
    p.add_argument("--seeds", type=int, default=5, help="number of paired seeds (default 5)")
    p.add_argument("--first-seed", type=int, default=0)
    p.add_argument("--steps", type=int, help="budget (default: the pair's)")
    p.add_argument("--points", type=int, default=20, help="evaluations after the one at step 0")
    p.add_argument("--episodes", type=int, default=20, help="episodes of each evaluation")
    p.add_argument("--out", type=Path, default=Path("runs"), help="folder (default runs)")
    words = "go on with what OUT/benchmark.json says; other flags may be left out"
    p.add_argument("--resume", action="store_true", help=words)
    _engine(p)
    _shared(p)
    p.set_defaults(command=commands.benchmark, default=p.get_default)


def _engine(p: argparse.ArgumentParser) -> None:
    """Add what says where and within which limits runs are executed."""
    words = (
        "who executes the runs: local, processes of this machine (default); here, this process; "
        "ray or slurm, a cluster that shares OUT"
    )
    p.add_argument("--engine", choices=get_args(EngineName), default="local", help=words)
    p.add_argument("--address", help="of the Ray cluster (default: one of this machine alone)")
    p.add_argument("--jobs", type=int, help="runs at a time (default: the usable cores)")
    p.add_argument("--timeout", type=float, metavar="SECONDS", help="of a run (default: any)")
    p.add_argument("--memory", type=float, metavar="GIB", help="of a run (default: any)")
    words = "end a run of which nothing is heard for so long (default 300)"
    p.add_argument("--hang", type=float, metavar="SECONDS", default=300.0, help=words)
    words = "start a run again whose process was killed (default 2 times)"
    p.add_argument("--retries", type=int, default=2, help=words)


def _index(sub: Any) -> None:
    p = sub.add_parser("index", help="write a table of all runs in a folder, for SQLite")
    p.add_argument("out", type=Path, help="folder of a benchmark")
    p.set_defaults(command=commands.index)


def _export(sub: Any) -> None:
    p = sub.add_parser("export", help="write an agent for plain PPO.load, or for the Hub")
    p.add_argument("agent", help=_AGENT)
    p.add_argument("path", type=Path, help="path of the zip, or of the new folder")
    p.add_argument(
        "--to",
        choices=list(exporting.FORMATS),
        default="zip",
        help="a zip of Stable-Baselines3 (default), or a folder for the Hugging Face Hub",
    )
    p.add_argument("--repository", metavar="OWNER/REPO", help="that the folder is meant for")
    p.add_argument("--licence", help="of the agent, for its card on the Hub, such as mit")
    p.set_defaults(command=exporting.export)


def _import(sub: Any) -> None:
    p = sub.add_parser("import", help="read a zip of Stable-Baselines3, and run nothing in it")
    p.add_argument("path", type=Path, help="zip that model.save wrote")
    p.add_argument("--out", type=Path, required=True, help="path of the agent, without suffix")
    p.add_argument("--task", help="Gymnasium id that it was trained on (default: from its files)")
    statistics = p.add_mutually_exclusive_group()
    statistics.add_argument(
        "--normalization", type=Path, help="pickle of VecNormalize (default: found beside the zip)"
    )
    statistics.add_argument(
        "--no-normalization",
        dest="normalization",
        action="store_false",
        default=None,
        help="use it on observations as they are",
    )
    p.add_argument("--strict", action="store_true", help="refuse what rltransfer does not know")
    p.add_argument("--episodes", type=int, help="evaluate so many, and note the score on its card")
    _max_steps(p)
    _set(p)
    p.set_defaults(command=importing.import_)


def _shared(p: argparse.ArgumentParser) -> None:
    _max_steps(p)
    p.add_argument("--device", default="auto", help="auto, cpu or cuda")
    words = (
        "how environments are stepped: sync in turn, subproc each in its own process, native all at"
        " once (classic control), envpool in its threads (other random numbers); default auto:"
        " native or sync, whichever is faster"
    )
    p.add_argument("--vec", choices=get_args(Vec), default="auto", help=words)
    _set(p)


def _set(p: argparse.ArgumentParser) -> None:
    _several(
        p,
        "--set",
        dest="settings",
        default=[],
        type=_setting,
        metavar="NAME=VALUE",
        help="PPO hyperparameters, such as learning_rate=1e-3",
    )


def _obs_stats(p: argparse.ArgumentParser) -> None:
    words = "statistics of a normalized source: go on adapting (default), stay, or start fresh"
    p.add_argument("--obs-stats", choices=["copy", "freeze", "reset"], help=words)


def _max_steps(p: argparse.ArgumentParser) -> None:
    words = "end of evaluation episodes, for a task without a time limit"
    p.add_argument("--max-steps", type=int, help=words)


def _several(p: argparse.ArgumentParser, flag: str, **options: Any) -> None:
    """Add a flag with one or more values, which may be given more than once."""
    p.add_argument(flag, nargs="+", action="extend", **options)


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _pair(text: str) -> tuple[str, float]:
    name, _, value = text.rpartition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not name or math.isnan(number):
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=NUMBER, such as actor.1=0.3")
    return name, number


def _text(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not name or not value:
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=TEXT")
    return name, value


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=VALUE, such as gamma=0.99")
    if value in ("True", "False", "None"):
        return name, {"True": True, "False": False, "None": None}[value]
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
