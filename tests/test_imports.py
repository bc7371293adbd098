"""Imports point one way, so that each part can be understood from those below it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = (ROOT / "rltransfer", ROOT / "envs/rltransfer_envs", ROOT / "zoo/rltransfer_zoo")

# From the top down: a module may import from its own layer and from later ones.
LAYERS = (
    ("rltransfer", "rltransfer.__main__", "rltransfer_zoo.train", "rltransfer_envs.measure_random"),
    ("rltransfer.cli", "rltransfer.cli.*"),
    ("rltransfer.experiments", "rltransfer.experiments.*"),
    ("rltransfer.report", "rltransfer.report.*"),
    ("rltransfer.meta", "rltransfer.meta.*"),
    (
        *("rltransfer.describe", "rltransfer.distilling", "rltransfer.pretrain"),
        *("rltransfer.privacy", "rltransfer.privacy.*"),
        *("rltransfer.multitask", "rltransfer.multitask.*"),
        *("rltransfer.continual", "rltransfer.continual.*", "rltransfer.distilling"),
    ),
    # And every module that is named nowhere else: the parts of a transfer.
    (
        *("rltransfer.transfer", "rltransfer.choose", "rltransfer.probe", "rltransfer.surgery"),
        *("rltransfer.selectors", "rltransfer.selectors.*"),
        *("rltransfer.similarity", "rltransfer.similarity.*"),
        *("rltransfer.online", "rltransfer.online.*"),
    ),
    ("rltransfer.callbacks",),
    ("rltransfer.evaluate", "rltransfer.evaluation", "rltransfer.evaluation.*"),
    ("rltransfer.training", "rltransfer.training.*"),
    ("rltransfer.engine", "rltransfer.engine.*"),
    (
        *("rltransfer.vec", "rltransfer.vec.*"),
        *("rltransfer.guard", "rltransfer.normalizing", "rltransfer.strict"),
        *("rltransfer.bounds", "rltransfer.faults", "rltransfer.fits"),
    ),
    ("rltransfer.agents", "rltransfer.agents.*"),
    ("rltransfer.policies", "rltransfer.policies.*"),
    ("rltransfer.check", "rltransfer.checks", "rltransfer.trajectories"),
    (
        *("rltransfer.adapters", "rltransfer.adapting", "rltransfer.missions"),
        *("rltransfer.projections", "rltransfer.randomizing", "rltransfer.ranges"),
        "rltransfer.trials",
    ),
    ("rltransfer.layers", "rltransfer.layer_naming"),
    ("rltransfer.recipe", "rltransfer.recipe_rules", "rltransfer.presets"),
    ("rltransfer.methods", "rltransfer.methods.*"),
    ("rltransfer_envs", "rltransfer_envs.*"),
    ("rltransfer.registry", "rltransfer.task_types", "rltransfer.vectorizing"),
    ("rltransfer.metrics", "rltransfer.metrics.*"),
    (
        *("rltransfer.errors", "rltransfer.finite", "rltransfer.heartbeat"),
        "rltransfer.random_streams",
    ),
)
TRANSFER = next(i for i, layer in enumerate(LAYERS) if "rltransfer.transfer" in layer)
REGISTRY = {"rltransfer.registry", "rltransfer.vectorizing"}
HEAVY = ("torch", "stable_baselines3", "sb3_contrib", "matplotlib", "tensorboard")


def _name(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(p, package): p for package in PACKAGES for p in sorted(package.rglob("*.py"))}


def _statements(body: list[ast.stmt], *, everywhere: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """Import statements, without those for type checkers alone; or without those in functions."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from _statements(node.orelse, everywhere=everywhere)
        elif everywhere or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for field in ("body", "orelse", "finalbody", "handlers"):
                inner = getattr(node, field, [])
                yield from _statements(inner, everywhere=everywhere)


def _imports(module: str, *, everywhere: bool = True) -> set[str]:
    """Names of the modules that a module imports."""
    found = set()
    for node in _statements(ast.parse(MODULES[module].read_text()).body, everywhere=everywhere):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        else:
            assert node.level == 0 and node.module, f"{module} imports relatively"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            # `from package import module` needs the module, whatever else the package holds.
            inside = names & MODULES.keys()
            found |= inside | ({node.module} if names - inside else set())
    return found


def _layer(module: str) -> int:
    exact = [i for i, layer in enumerate(LAYERS) if module in layer]
    matching = [i for i, layer in enumerate(LAYERS) if any(fnmatchcase(module, p) for p in layer)]
    part = [TRANSFER] if module.count(".") == 1 and module.startswith("rltransfer.") else [-1]
    return (exact or matching or part)[0]


def _own(module: str, **options: bool) -> set[str]:
    return {name for name in _imports(module, **options) if name in MODULES}


def test_every_module_has_a_layer_and_every_layer_a_module() -> None:
    assert {m for m in MODULES if _layer(m) < 0} <= {"rltransfer_zoo"}
    for layer in LAYERS:
        for pattern in layer:
            assert any(fnmatchcase(module, pattern) for module in MODULES), pattern


@pytest.mark.parametrize("module", [m for m in MODULES if m != "rltransfer_zoo"])
def test_imports_point_downward(module: str) -> None:
    # The environments register themselves through the registry, and the package's own __init__
    # imports them last, for that effect alone.
    upward = {other for other in _own(module) if _layer(other) < _layer(module)}
    assert not upward, f"{module} imports from above: {sorted(upward)}"


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = {module: _own(module) - {module} for module in MODULES}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module not in done:
            for other in graph[module]:
                visit(other, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_metrics_need_numpy_alone() -> None:
    for module in MODULES:
        if module == "rltransfer.metrics" or module.startswith("rltransfer.metrics."):
            foreign = {name.partition(".")[0] for name in _imports(module)}
            assert foreign <= {"__future__", "numpy", "rltransfer"} | sys.stdlib_module_names
            allowed = ("rltransfer.metrics", "rltransfer.errors")
            assert all(name.startswith(allowed) for name in _own(module)), module


def test_foreign_files_are_read_by_the_standard_library_and_numpy_alone() -> None:
    """What parses files of others can import nothing that acts on them, such as torch."""
    inert = [m for m in MODULES if m.startswith("rltransfer.agents.inert")]
    assert len(inert) > 5
    for module in inert:
        foreign = {name.partition(".")[0] for name in _imports(module)}
        assert foreign <= {"__future__", "numpy", "rltransfer"} | sys.stdlib_module_names
        allowed = ("rltransfer.agents.inert", "rltransfer.errors")
        assert all(name.startswith(allowed) for name in _own(module)), module
        assert not foreign & {"pickle", "marshal", "shelve", "importlib", "ctypes", "subprocess"}


@pytest.mark.parametrize("module", ["rltransfer.registry", "rltransfer.metrics"])
def test_light_modules_need_nothing_heavy(module: str) -> None:
    reached, todo = set(), {module}
    while todo:
        name = todo.pop()
        reached.add(name)
        todo |= (_own(name) if name in MODULES else set()) - reached
    outside = {i.partition(".")[0] for name in reached for i in _imports(name)}
    assert not outside & set(HEAVY)


def test_environments_know_the_registry_alone() -> None:
    for module in MODULES:
        if module.startswith("rltransfer_envs") and not module.endswith("measure_random"):
            own = {m for m in _own(module, everywhere=False) if m.startswith("rltransfer.")}
            assert own <= REGISTRY | {"rltransfer.errors"}, module


def test_the_zoo_imports_nothing() -> None:
    assert _imports("rltransfer_zoo") == set()
    assert _layer("rltransfer_zoo.train") == 0


def test_importing_the_zoo_or_the_metrics_definitions_starts_nothing_else() -> None:
    code = "import sys, rltransfer_zoo; print('torch' in sys.modules, 'rltransfer' in sys.modules)"
    paths = f"import sys; sys.path[:0] = [{str(ROOT / 'zoo')!r}]; "
    done = subprocess.run(
        [sys.executable, "-c", paths + code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]
