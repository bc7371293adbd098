"""``ls`` and ``show``: what there is."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from rltransfer.agents import Card, Score, agents, hub, load
from rltransfer.agents.loading import is_file
from rltransfer.cli import methods
from rltransfer.cli.tables import table, terminal_width
from rltransfer.errors import UnknownName, suggest
from rltransfer.methods import METHODS
from rltransfer.presets import PRESETS
from rltransfer.registry import pairs, task, tasks

Rows = list[tuple[str, ...]]


def ls(args: argparse.Namespace) -> int:
    """List one kind of thing, or all."""
    chosen = [args.what] if args.what else list(TABLES)
    width = terminal_width()
    texts = []
    for what in chosen:
        header, rows = TABLES[what]()
        texts.append(f"{what.upper()}\n{table(header, rows, width=width)}")
    print("\n\n".join(texts))
    return 0


def show(args: argparse.Namespace) -> int:
    """Show one thing by name, or an agent by its path."""
    found = [text for text in (look(args.name) for look in _LOOKS) if text]
    if not found:
        known = [*agents(), *pairs(), *tasks(), *PRESETS, *METHODS]
        raise UnknownName(suggest(args.name, known, kind="agent, pair, task, recipe or method"))
    print("\n\n".join(found))
    return 0


def _tasks() -> tuple[tuple[str, ...], Rows]:
    rows = [
        (t.id, _number(t.random), _number(t.reference), t.extra or "", t.summary)
        for t in tasks().values()
    ]
    return ("id", "random", "reference", "extra", "what it is"), rows


def _pairs() -> tuple[tuple[str, ...], Rows]:
    rows = [
        (p.name, p.target, f"{p.steps:,}", p.expect, p.agent or f"({p.source})", p.why)
        for p in pairs().values()
    ]
    return ("name", "target", "steps", "expect", "source agent (or task)", "why"), rows


def _agents() -> tuple[tuple[str, ...], Rows]:
    rows = [(name, card.task, f"{card.steps:,}", _scores(card)) for name, card in agents().items()]
    return ("name", "task", "steps", "score [95 % interval]"), rows


def _recipes() -> tuple[tuple[str, ...], Rows]:
    rows: Rows = [(name, recipe.to_json()) for name, recipe in PRESETS.items()]
    return ("name", "fields that differ from the default"), rows


def _methods() -> tuple[tuple[str, ...], Rows]:
    return ("name", "field of a recipe", "defaults", "what it does"), methods.listed()


TABLES: dict[str, Callable[[], tuple[tuple[str, ...], Rows]]] = {
    "tasks": _tasks,
    "pairs": _pairs,
    "agents": _agents,
    "recipes": _recipes,
    "methods": _methods,
}


def _show_agent(name: str) -> str:
    return str(load(name)) if is_file(name) or name in agents() else ""


def _show_pair(name: str) -> str:
    return _fields(pairs()[name]) if name in pairs() else ""


def _show_task(name: str) -> str:
    in_module = ":" in name and not name.startswith(hub.PREFIX)
    known = task(name).id if in_module else name
    return _fields(tasks()[known]) if known in tasks() else ""


def _show_recipe(name: str) -> str:
    """The fields of a recipe, and what its methods do."""
    if name not in PRESETS:
        return ""
    used = [methods.shown(one.name) for one in PRESETS[name].methods]
    fields = f"recipe {name}: {PRESETS[name].to_json()}"
    rest = "all other fields have the defaults that help(rltransfer.Recipe) explains"
    return "\n\n".join([f"{fields}\n{rest}", *used])


def _show_method(name: str) -> str:
    """A method, unless the recipe of its name has explained it."""
    used = PRESETS[name].methods if name in PRESETS else ()
    return "" if any(one.name == name for one in used) else methods.shown(name)


_LOOKS = (_show_agent, _show_pair, _show_task, _show_recipe, _show_method)


def _fields(thing: object) -> str:
    names = getattr(thing, "__dataclass_fields__", {})
    width = max(len(name) for name in names)
    return "\n".join(f"{name.ljust(width)}  {getattr(thing, name)}" for name in names)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _scores(card: Card) -> str:
    """Score of an agent, or those of its tasks in their order."""
    return ", ".join(map(_score, card.scores.values())) or _score(card.score)


def _score(score: Score | None) -> str:
    if score is None:
        return "-"
    return f"{score.mean:.4g} [{score.ci_low:.4g}, {score.ci_high:.4g}]"
