"""Nothing in the packages can run code from a file: no unpickling, no eval, no unsafe loader.

Every use of what could is found in the source, wherever it stands, also behind an alias, in a
function, or in an ``except`` that falls back to it. The few that are needed are listed with why.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from test_imports import MODULES

#: What is needed, by module, and why no file can reach it.
ALLOWED = {
    # Written for VecNormalize.load of SB3, never read.
    "rltransfer.agents.sb3.export": {"pickle", "pickle.dumps"},
    # Classes that the user handed to a sweep, named in its order to its own workers.
    "rltransfer.experiments.requests": {"importlib.import_module"},
    # The module in `--task module:Id`, which the user types.
    "rltransfer.registry": {"importlib.import_module"},
    # "minigrid" and "gymnasium.envs.mujoco", written out there, to see whether they are installed.
    "rltransfer_envs.minigrid": {"importlib.import_module"},
    "rltransfer_envs.mujoco": {"importlib.import_module"},
}
#: Modules that are not even imported.
MODULES_THAT_RUN_CODE = (
    *("pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "dbm"),
    *("jsonpickle", "pandas", "runpy", "code", "codeop", "imp", "zipimport", "pkgutil", "ctypes"),
    *("torch.hub", "torch.package", "torch.jit", "huggingface_sb3", "rl_zoo3"),
)
#: Functions and classes, by the end of their dotted name.
FUNCTIONS = (
    *("torch.load", "torch.serialization.load", "numpy.load", "numpy.fromfile", "numpy.memmap"),
    *("numpy.lib.npyio.load", "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load"),
    *("yaml.unsafe_load_all", "yaml.full_load_all", "yaml.UnsafeLoader", "yaml.FullLoader"),
    *("yaml.Loader", "yaml.CLoader", "yaml.CUnsafeLoader", "yaml.CFullLoader", "os.system"),
    *("os.popen", "importlib.import_module", "importlib.__import__", "importlib.reload"),
    *("importlib.util.spec_from_file_location", "importlib.util.module_from_spec"),
    *("pydoc.locate", "types.FunctionType", "types.CodeType", "operator.attrgetter"),
)
#: Methods of SB3 that unpickle, whatever they are called on.
METHODS = (
    *("load_from_zip_file", "load_from_pkl", "json_to_data", "load_replay_buffer"),
    *("load_running_average", "set_parameters", "unsafe_load", "add_safe_globals"),
)
BUILTINS = ("eval", "exec", "compile", "__import__", "globals", "breakpoint", "input")
KEYWORDS = {"weights_only": False, "allow_pickle": True, "trust_remote_code": True, "shell": True}


def _aliases(tree: ast.Module) -> dict[str, str]:
    """Return what each name means that an import binds, anywhere in a module."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                found[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def _dotted(node: ast.expr, aliases: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return aliases.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, aliases)}.{node.attr}"
    return ""


def _runs_code(path: str) -> bool:
    """Tell whether a dotted name is, or lies in, something that runs code from files."""
    parents = [path, *(path[:i] for i, char in enumerate(path) if char == ".")]
    return any(part in MODULES_THAT_RUN_CODE or part in FUNCTIONS for part in parents)


def _of_import(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if _runs_code(alias.name))
        return
    for alias in node.names:
        path = f"{node.module}.{alias.name}"
        if alias.name == "*":
            yield path
        elif _runs_code(path):
            yield str(node.module) if _runs_code(str(node.module)) else path
        elif alias.name in METHODS:
            yield path


def _of_name(node: ast.Name | ast.Attribute, aliases: dict[str, str]) -> Iterator[str]:
    """Yield a builtin, or what an import bound, or a method, that could run code."""
    path = _dotted(node, aliases)
    owner, _, last = path.rpartition(".")
    if path == getattr(node, "id", "") and path not in aliases:
        if path in (*BUILTINS, "__builtins__") and isinstance(node.ctx, ast.Load):
            yield path
        return
    imported = _root(node) in aliases and _runs_code(path)
    loads = last == "load" and path.startswith(("stable_baselines3.", "sb3_contrib."))
    if "." in path and (imported or last in METHODS or owner == "builtins" or loads):
        yield path


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _of_keyword(node: ast.keyword) -> Iterator[str]:
    if node.arg in KEYWORDS:
        value = node.value.value if isinstance(node.value, ast.Constant) else "a variable"
        if value in (KEYWORDS[node.arg], "a variable"):
            yield f"{node.arg}={value}"


def _of_call(node: ast.Call) -> Iterator[str]:
    """Yield a name that is looked up by text."""
    if isinstance(node.func, ast.Name) and node.func.id == "getattr" and len(node.args) > 1:
        name = getattr(node.args[1], "value", None)
        if name in ("load", "loads", *BUILTINS, *METHODS):
            yield f"getattr {name}"


def _of_node(node: ast.AST, aliases: dict[str, str]) -> Iterator[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from _of_import(node)
    elif isinstance(node, ast.Name | ast.Attribute):
        yield from _of_name(node, aliases)
    elif isinstance(node, ast.keyword):
        yield from _of_keyword(node)
    elif isinstance(node, ast.Call):
        yield from _of_call(node)


def uses(source: str) -> dict[str, int]:
    """Return what a module uses that could run code, and in which line."""
    tree = ast.parse(source)
    aliases = _aliases(tree)
    return {
        what: getattr(node, "lineno", 0)
        for node in ast.walk(tree)
        for what in _of_node(node, aliases)
    }


@pytest.mark.parametrize("module", [*MODULES])
def test_nothing_runs_code_from_files(module: str) -> None:
    found = uses(MODULES[module].read_text())
    more = {what: line for what, line in found.items() if what not in ALLOWED.get(module, ())}
    assert not more, f"{MODULES[module]}: {more}"


def test_what_is_allowed_is_needed() -> None:
    for module, allowed in ALLOWED.items():
        assert set(uses(MODULES[module].read_text())) == allowed


def test_only_two_yaml_classes_are_known_and_both_are_safe() -> None:
    """A loader of ours derives from the safe one, and knows two tags more."""
    tags = []
    for path in MODULES.values():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and "Loader" in node.name:
                assert [ast.unparse(base) for base in node.bases] == ["yaml.SafeLoader"]
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("_constructor"):
                assert isinstance(node.args[0], ast.Constant)
                tags.append(str(node.args[0].value))
    assert sorted(tag.rpartition("python/")[2] for tag in tags) == [
        *("object/apply:collections.OrderedDict", "tuple"),
    ]


def test_readers_of_foreign_files_know_no_torch_and_no_sb3() -> None:
    """The parsers import the standard library, numpy and the errors alone."""
    for name, path in MODULES.items():
        if not name.startswith("rltransfer.agents.inert"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names]
                modules = names if isinstance(node, ast.Import) else [str(node.module)]
                for module in modules:
                    own = module.startswith(("rltransfer.agents.inert", "rltransfer.errors"))
                    assert own or module.partition(".")[0] in _PARSING, f"{name}: {module}"


_PARSING = {
    *("__future__", "codecs", "collections", "dataclasses", "io", "json", "math", "numpy", "re"),
    *("struct", "typing", "zipfile", "zlib"),
}


# ---- these checks can fail ----


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import cloudpickle as data",
        "from pickle import loads",
        "from pickle import loads as read\nread(b'')",
        "def f():\n    import marshal",
        "import torch\ntorch.load('a')",
        "import torch as th\nth.load('a', weights_only=True)",
        "from torch import load",
        "from torch import load as tensors\ntensors('a')",
        "import torch\nread = torch.load",
        "import torch.hub",
        "import torch\ntorch.hub.load('a', 'b')",
        "import numpy as np\nnp.load('a')",
        "import numpy as np\nnp.savez('a', allow_pickle=True)",
        "f(weights_only=False)",
        "f(weights_only=flag)",
        "import yaml\nyaml.load(x, Loader=yaml.SafeLoader)",
        "import yaml\nf(Loader=yaml.UnsafeLoader)",
        "from yaml import full_load",
        "eval('1')",
        "exec('1')",
        "run = eval",
        "import builtins\nbuiltins.exec('1')",
        "__builtins__['eval']('1')",
        "compile('1', 'a', 'eval')",
        "__import__('os')",
        "import importlib\nimportlib.import_module(name)",
        "from importlib import import_module as get\nget(name)",
        "from stable_baselines3 import PPO\nPPO.load('a')",
        "from stable_baselines3 import PPO as Algorithm\nload = Algorithm.load",
        "import stable_baselines3 as sb3\nsb3.A2C.load('a')",
        "from sb3_contrib import MaskablePPO\nMaskablePPO.load('a')",
        "from stable_baselines3.common.vec_env import VecNormalize\nVecNormalize.load('a', venv)",
        "from stable_baselines3.common.policies import BasePolicy\nBasePolicy.load('a')",
        "from stable_baselines3.common.save_util import load_from_zip_file",
        "from stable_baselines3.common import save_util\nsave_util.json_to_data('a')",
        "model.set_parameters('a.zip')",
        "model.load_replay_buffer('a')",
        "from rl_zoo3 import utils",
        "from os import *",
        "import os\nos.system('ls')",
        "getattr(torch, 'load')('a')",
        "try:\n    read(x)\nexcept ValueError:\n    import pickle\n    pickle.loads(x)",
        "try:\n    read(x, weights_only=True)\nexcept ValueError:\n    read(x, weights_only=False)",
    ],
)
def test_what_runs_code_is_found(source: str) -> None:
    assert uses(source)


@pytest.mark.parametrize(
    "source",
    [
        "import re\nre.compile('a')",
        "import json\njson.loads('1')",
        "import safetensors.torch\nsafetensors.torch.load(b'')",
        "import torch\ntorch.save(x, 'a')",
        "import yaml\nyaml.safe_load('a')",
        "from importlib.metadata import version",
        "from stable_baselines3 import PPO\nPPO('MlpPolicy', env).save('a')",
        "model.policy.load_state_dict(weights)",
        "def load(path):\n    return read(path)\nload('a')",
        "f(weights_only=True)",
    ],
)
def test_what_runs_no_code_is_let_through(source: str) -> None:
    assert not uses(source)
