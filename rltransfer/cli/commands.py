"""What each command does."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from rltransfer.agents import Agent, bundle, load
from rltransfer.agents.hyperparameters import NAMES
from rltransfer.agents.loading import label_of
from rltransfer.agents.numbers import check_steps
from rltransfer.check import check_tasks
from rltransfer.cli import multitask, resuming
from rltransfer.cli.methods import with_methods
from rltransfer.cli.progress import watching
from rltransfer.errors import BadArgument, UnknownName, suggest
from rltransfer.evaluate import evaluate as evaluate_agent
from rltransfer.experiments import folders
from rltransfer.experiments.benchmark import Case, case_of, size_of
from rltransfer.experiments.benchmark import benchmark as run_benchmark
from rltransfer.experiments.controls import CONTROLS
from rltransfer.experiments.engines import Limits
from rltransfer.experiments.finetuning import finetune as run_finetune
from rltransfer.experiments.index import write_index
from rltransfer.experiments.measuring import default_label
from rltransfer.experiments.signals import catching
from rltransfer.experiments.spec import check_whole
from rltransfer.experiments.store import Store
from rltransfer.presets import recipe as preset
from rltransfer.pretrain import pretrain as run_pretrain
from rltransfer.recipe import Recipe
from rltransfer.training.threads import cores, few_threads

RECIPE_FIELDS = ("freeze", "thaw", "reset", "lr_decay", "lr_scale", "pad_inputs", "obs_stats")
# What --set takes in pretrain, where other flags set n_envs.
PRETRAIN_SETTINGS = (*(n for n in NAMES if n != "n_envs"), "policy", "policy_kwargs")


def check(args: argparse.Namespace) -> int:
    """Test tasks; the exit code is 1 if one fails."""
    reports = check_tasks(args.tasks)
    print("\n\n".join(str(report) for report in reports))
    return 0 if all(report.ok for report in reports) else 1


def pretrain(args: argparse.Namespace) -> int:
    """Train a source agent, of one task or of many, and store it."""
    check_steps(args.steps)
    options = settings(args, PRETRAIN_SETTINGS)
    path = agent_path(args.out)
    folders.check_writable(path.parent)
    if args.tasks is not None:
        run = multitask.train(args, path.name, options)
        _store(run.agent, path, run)
        print(f"curves written to {run.write_curve(path.with_name(f'{path.name}.curve.csv'))}")
        return 0
    if args.task is None:
        raise BadArgument("nothing to train on: give a task, or several with --tasks A,B")
    multitask.refuse_flags(args)
    with watching(args.steps, alone=True) as watch:
        watch(args.task, 0, args.steps)
        agent = run_pretrain(
            args.task,
            args.steps,
            name=path.name,
            seed=args.seed,
            algorithm=args.algorithm or "ppo",
            n_envs=args.n_envs,
            normalize_obs=args.normalize_obs,
            normalize_reward=args.normalize_reward,
            device=args.device,
            vec=args.vec,
            max_steps=args.max_steps,
            command=args.command_line,
            progress=lambda steps, total: watch(args.task, min(steps, total), total),
            **options,
        )
    return _store(agent, path, agent)


def _store(agent: Agent, path: Path, said: object) -> int:
    folders.create(path.parent)
    agent.save(path)
    print(said)
    print(f"written to {path}.safetensors and .json")
    return 0


def finetune(args: argparse.Namespace) -> int:
    """Fine-tune once; the model, its curve and TensorBoard's events go to a folder."""
    check_steps(args.steps)
    recipe, label = _recipe(args)
    out = args.out or _default_folder(args, label)
    every = {} if args.checkpoint_every is None else {"checkpoint_every": args.checkpoint_every}
    with catching(say=_to_stderr) as stop, watching(args.steps, alone=True) as watch:
        watch(args.target, 0, args.steps)
        done = run_finetune(
            args.source,
            args.target,
            recipe,
            label=label,
            steps=args.steps,
            seed=args.seed,
            out=out,
            report=lambda steps, total: watch(args.target, min(steps, total), total),
            device=args.device,
            vec=args.vec,
            max_steps=args.max_steps,
            command=args.command_line,
            stop=stop,
            **every,
            **settings(args, NAMES),
        )
    print(done.run.description)
    print(done)
    return 0


def _to_stderr(words: str) -> None:
    with suppress(OSError):  # nobody reads it any more
        print(words, file=sys.stderr, flush=True)


def evaluate(args: argparse.Namespace) -> int:
    """Score an agent."""
    agent = load(args.agent)
    every = agent.tasks if agent.multitask and args.task is None else (args.task,)
    with few_threads(agent.weights.values()):
        for task in every:
            result = evaluate_agent(
                agent,
                task,
                episodes=args.episodes,
                deterministic=not args.stochastic,
                max_steps=args.max_steps,
            )
            print(result, flush=True)
    return 0


def benchmark(args: argparse.Namespace) -> int:
    """Compare recipes with scratch, and write tables, plots and a report."""
    plan = resuming.fill(args) if args.resume else resuming.plan(args)
    limits = Limits(timeout=args.timeout, memory=args.memory, hang=args.hang, retries=args.retries)
    cases, recipes = _cases(args), _recipes(args)
    check_whole("seeds", args.seeds, 1)
    if args.jobs is not None:
        check_whole("jobs", args.jobs, 1)
    cases, chosen = [case.loaded() for case in cases], _run_settings(args)
    for case in cases:  # What cannot work is refused before anything is written.
        case.comparing(recipes, chosen).scratch(args.first_seed)
    resuming.note(args.out, plan, args.command_line)
    runs, steps = size_of(cases, recipes, args.seeds)
    with watching(steps, runs=runs, events=args.out / "events" / "_sweep") as watch:
        gains = run_benchmark(
            cases,
            recipes,
            seeds=range(args.first_seed, args.first_seed + args.seeds),
            out=args.out,
            processes=cores() if args.jobs is None else args.jobs,
            engine=args.engine,
            address=args.address,
            limits=limits,
            watch=watch,
            command=args.command_line,
            **chosen,
        )
    print("\n\n".join(str(gain) for gain in gains))
    _say_where(args.out, [case.label for case in cases])
    return 0


def _run_settings(args: argparse.Namespace) -> dict[str, Any]:
    """What every run of a benchmark has in common."""
    names = ("points", "episodes", "max_steps", "device", "vec")
    return {n: getattr(args, n) for n in names} | {"hyperparameters": settings(args, NAMES)}


def index(args: argparse.Namespace) -> int:
    """Write a table of all runs."""
    path = write_index(Store(args.out))
    print(f"written to {path}; see it with: sqlite3 {shlex.quote(str(path))} 'SELECT * FROM runs'")
    return 0


def agent_path(out: Path) -> Path:
    """Return the path of an agent to be written, without a suffix.

    Raises:
        BadArgument: It is a folder, or a zip.
    """
    if out.is_dir():
        raise BadArgument(f"--out {out} is a folder: give a path in it, such as {out / 'mine'}")
    if out.suffix == ".zip":
        raise BadArgument(f"--out {out}: give a path without .zip, and `export` it afterwards")
    return bundle.stem(out)


def settings(args: argparse.Namespace, names: Collection[str]) -> dict[str, Any]:
    """Return what ``--set`` says, by name.

    Raises:
        UnknownName: One is not among ``names``.
    """
    for name, _ in args.settings:
        if name not in names:
            raise UnknownName(suggest(name, names, kind="hyperparameter"))
    return dict(args.settings)


def _recipe(args: argparse.Namespace) -> tuple[Recipe, str]:
    """The preset with the fields that were given, and what to call it."""
    given = {n: getattr(args, n) for n in RECIPE_FIELDS if getattr(args, n) is not None}
    changes = {n: dict(v) if n in ("thaw", "lr_scale") else v for n, v in given.items()}
    if args.recipe is None and not args.methods:
        # auto chooses most of these itself; what is spelled out starts from a plain transfer.
        base = "auto" if set(changes) <= {"pad_inputs"} else "full"
        label = base if not changes else "custom"
    else:
        base = args.recipe or "full"
        label = _label(base) if not (changes or args.methods) else f"{_label(base)}-custom"
    return with_methods(preset(base).but(**changes), args.methods or ()), label


def _label(recipe: str) -> str:
    """What a recipe is called in tables and folders: the name of a file, without its suffix."""
    return Path(recipe).stem if recipe.endswith(".json") else recipe


def _default_folder(args: argparse.Namespace, label: str) -> Path:
    source, target = label_of(args.source), default_label(args.target)
    return Path("runs") / f"{source}__{target}__{label}__seed{args.seed}"


def _cases(args: argparse.Namespace) -> list[Case]:
    if args.steps is not None:
        check_steps(args.steps)
    pairs = list(dict.fromkeys(args.pairs))
    if args.target:
        if not args.source or args.steps is None:
            raise BadArgument("--target needs --source AGENT and --steps N, or use --pair NAME")
        label = default_label(args.target)
        target = Case(label=label, source=args.source, target=args.target, steps=args.steps)
        found = [target, *(case_of(name, steps=args.steps) for name in pairs)]
        return [replace(one, **_controls(args)) for one in found]
    if not pairs:
        raise BadArgument("nothing to compare: give --pair NAME, see `rltransfer ls pairs`")
    found = [case_of(name, source=args.source, steps=args.steps) for name in pairs]
    return [replace(one, **_controls(args)) for one in found]


def _controls(args: argparse.Namespace) -> dict[str, Any]:
    """The controls that were named; ``all`` means all that can be had."""
    names = list(args.controls or [])
    if "all" in names:
        names = [name for name in CONTROLS if name != "unrelated" or args.unrelated]
    return {"controls": tuple(dict.fromkeys(names)), "unrelated": args.unrelated}


def _recipes(args: argparse.Namespace) -> dict[str, Recipe]:
    """Scratch, and the presets that were named, with the changes that hold for all of them."""
    arms = {_label(name): preset(name) for name in args.recipes or ["auto"] if name != "scratch"}
    if args.obs_stats:
        changed = {name: arm.but(obs_stats=args.obs_stats) for name, arm in arms.items()}
        arms = {f"{name}-{args.obs_stats}-stats": arm for name, arm in changed.items()}
    return {"scratch": preset("scratch"), **arms}


def _say_where(out: Path, labels: list[str]) -> None:
    plots = ", ".join(str(out / f"{label}.png") for label in labels)
    print(f"\nplots: {plots}\nreport: {out / 'report.html'}")
    print(f"TensorBoard: tensorboard --logdir {shlex.quote(str(out))}")
