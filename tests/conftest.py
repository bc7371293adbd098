"""One thread, and nothing that a test registers or imports outlives it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import gymnasium as gym
import matplotlib
import pytest
import torch
from hostile.bases import Bases
from hostile.bases import load as load_bases

from rltransfer import registry


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Small networks are slower with several threads, and the cores are shared."""
    torch.set_num_threads(1)
    matplotlib.use("Agg")


@pytest.fixture(scope="session", autouse=True)
def _logs_of_sb3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Stable-Baselines3 makes a folder for every training, also where nothing is logged."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SB3_LOGDIR", str(tmp_path_factory.getbasetemp() / "sb3"))
        yield


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Bases:
    """Agents that Stable-Baselines3 saved, made once for all processes of this run."""
    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    return load_bases(shared / "hostile")


@pytest.fixture(scope="module", autouse=True)
def _module_is_isolated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with _isolated(str(tmp_path_factory.getbasetemp())):
        yield


@pytest.fixture(autouse=True)
def _gradients_stay_on() -> Iterator[None]:
    """One test that left them off would fail hundreds of others."""
    yield
    on = torch.is_grad_enabled()
    torch.set_grad_enabled(True)
    assert on, "gradients were left off"


@pytest.fixture(autouse=True)
def _test_is_isolated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with _isolated(str(tmp_path_factory.getbasetemp())):
        yield


@contextmanager
def _isolated(temporary: str) -> Iterator[None]:
    """Put registries, the import path and the modules of made-up users back as they were."""
    tables = (gym.registry, registry._tasks, registry._pairs)
    before, modules, path = [dict(table) for table in tables], set(sys.modules), list(sys.path)
    try:
        yield
    finally:
        for table, entries in zip(tables, before, strict=True):
            table.clear()
            table.update(entries)
        for name in set(sys.modules) - modules:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(temporary):
                del sys.modules[name]
        sys.path[:] = path
