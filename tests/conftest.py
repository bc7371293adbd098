import matplotlib
import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Small networks are slower with several threads, and the cores are shared."""
    torch.set_num_threads(1)
    matplotlib.use("Agg")
