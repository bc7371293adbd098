"""Training on a GPU that is make-believe: nothing may mix devices, or draw from others' streams."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import resume_cases
import torch
import transfer_cases as cases
from pretended_gpu import Gpu, OtherDevice, on_gpu, pretended

import rltransfer as rlt
from rltransfer import carry
from rltransfer.distilling import distill
from rltransfer.engine.multitask.options import MultiTaskOptions
from rltransfer.methods import METHODS
from rltransfer.similarity import similarity
from rltransfer.source_states import source_states
from rltransfer.training.terms.adversaries import Adversary


@pytest.fixture
def gpu() -> Iterator[Gpu]:
    for kind in ("discrete", "gsde", "image", "recurrent"):
        cases.KINDS[kind].task()
        cases.source(kind)  # trained once, before there is a GPU
    with warnings.catch_warnings(), pretended() as made:
        warnings.simplefilter("ignore")  # SB3 prefers the CPU for small networks
        yield made


MIXED: dict[str, Callable[[torch.Tensor], Any]] = {
    "a sum": lambda there: there + torch.ones(3),
    "a write": lambda there: torch.ones(3).add_(there),
    "an index": lambda there: torch.ones(3)[there.long()],
    "a stack": lambda there: torch.stack([there[0], torch.ones(())]),
    "numpy": lambda there: np.asarray(there),
    "a generator": lambda there: there.uniform_(generator=torch.Generator()),
    "a gradient": lambda there: (there.requires_grad_() * torch.ones(3)).sum().backward(),
}


@pytest.mark.parametrize("name", MIXED)
def test_the_gpu_refuses_what_cuda_refuses(name: str, gpu: Gpu) -> None:
    with pytest.raises(OtherDevice):
        MIXED[name](torch.ones(3, device="cuda"))


def trains(kind: str, recipe: Any) -> None:
    with cases.adapted(kind, cases.KINDS[kind].task(flip=True), recipe, device="cuda") as model:
        assert all(map(on_gpu, model.policy.state_dict().values()))
        model.learn(64)
        terms = model.transfer.terms
        if terms:
            terms.restore({name: value.cpu() for name, value in terms.state().items()})
        model.learn(32)


@pytest.mark.parametrize("name", METHODS)
def test_methods(name: str, gpu: Gpu) -> None:
    kind = METHODS[name]
    # Few states, and at work until the end.
    given = {"states": 64, "fade": "constant", "until": 1.0}
    known = {one.name for one in fields(kind)}
    few = {key: value for key, value in given.items() if key in known}
    trains("discrete", rlt.Recipe(**{kind.role: kind(**few)}))


@pytest.mark.parametrize("kind", ["gsde", "image", "recurrent"])
@pytest.mark.parametrize(
    "recipe", ["gradual", rlt.Recipe(critic="refit", refit_rollouts=2)], ids=["gradual", "refit"]
)
def test_policies(kind: str, recipe: Any, gpu: Gpu) -> None:
    trains(kind, recipe)


def test_moments_beside_the_parameters(gpu: Gpu) -> None:
    fused = {**cases.SMALL, "optimizer_kwargs": {"fused": True}}
    source = cases.train(cases.toy(), 32, policy_kwargs=fused)
    with cases.adapted(source, cases.toy(), rlt.Recipe(optimizer="source"), device="cuda") as model:
        model.learn(32)


@pytest.mark.parametrize("options", [{}, {"algorithm": "recurrent_ppo"}], ids=["ppo", "recurrent"])
def test_many_tasks(options: dict[str, Any], gpu: Gpu) -> None:
    small = {"n_steps": 16, "n_envs": 2, "batch_size": 16, "n_epochs": 2}
    if not options:
        options = {"options": MultiTaskOptions(gradient="pcgrad"), "normalize_obs": True}
    tasks = [cases.KINDS[kind].task() for kind in ("discrete", "box")]
    rlt.multitask(tasks, 64, device="cuda", points=0, max_steps=8, **small, **options)


def test_a_run_goes_on(gpu: Gpu, tmp_path: Path) -> None:
    spec = resume_cases.spec_of("cartpole", "moments", device="cuda")
    expected = resume_cases.whole("cartpole", spec)
    resume_cases.interrupted("cartpole", spec, 384, tmp_path)
    with resume_cases.executed("cartpole", spec, tmp_path) as found:
        assert resume_cases.digest(*found) == expected


def _similar() -> None:
    similarity(cases.source("discrete"), cases.KINDS["discrete"].task(), steps=64, device="cuda")


QUIET: dict[str, Callable[[], Any]] = {
    "build": lambda: cases.source("gsde").build(device="cuda"),
    "source states": lambda: source_states(cases.source("gsde"), 16, device="cuda"),
    "similarity": _similar,
    "distill": lambda: distill([cases.source("discrete")], steps=1, device="cuda", episodes=2),
    "an adversary": lambda: Adversary(4, 2, torch.optim.Adam, device="cuda", seed=3),
}


@pytest.mark.parametrize("name", QUIET)
def test_streams_continue(name: str, gpu: Gpu) -> None:
    before = gpu.stream.clone()
    QUIET[name]()
    assert torch.equal(gpu.stream, before)


def test_streams_continue_behind_new_noise(gpu: Gpu) -> None:
    with cases.adapted("gsde", cases.KINDS["gsde"].task(), device="cuda") as model:
        before = gpu.stream.clone()
        carry._refresh_noise(model)
        assert torch.equal(gpu.stream, before)
