"""Threads while training."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from threadpoolctl import threadpool_info

from rltransfer.training import threads

SMALL = [torch.zeros(10)]
LARGE = [torch.zeros(threads.SMALL)]


def _blas() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def _three_threads() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_small_networks_use_one_thread_and_the_setting_comes_back() -> None:
    with threads.few_threads(SMALL):
        assert torch.get_num_threads() == 1 and _blas() == {1}
    assert torch.get_num_threads() == 3
    with pytest.raises(KeyboardInterrupt), threads.few_threads(SMALL):
        raise KeyboardInterrupt
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(
    ("quota", "expected"), [("max 100000", 3), ("150000 100000", 2), ("5000 100000", 1), ("", 3)]
)
def test_large_networks_use_the_cores_that_there_are(
    quota: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(threads, "QUOTA", tmp_path / "cpu.max")
    threads.QUOTA.write_text(quota)
    with threads.few_threads(LARGE):
        assert torch.get_num_threads() == expected and _blas() == {1}
    assert torch.get_num_threads() == 3


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux alone has it")
def test_a_process_on_one_core_uses_one_thread() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        with threads.few_threads(LARGE):
            assert torch.get_num_threads() == 1
    finally:
        os.sched_setaffinity(0, before)
