"""The gradient of a minibatch as one CUDA graph, where the policy is plain enough for it.

A graph replays kernels with neither Python nor launches in between, which small networks spend most
of their time on. See "CUDA Graphs" in torch's notes on CUDA semantics, whose example of capturing
forward and backward passes this follows; the optimizer steps outside the graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from stable_baselines3.common.torch_layers import (
    CombinedExtractor,
    FlattenExtractor,
    MlpExtractor,
    NatureCNN,
)
from torch import Tensor, nn
from torch.distributions import Distribution

from rltransfer.engine.autograd.gradient import Gradient
from rltransfer.engine.autograd.loss import Losses
from rltransfer.engine.autograd.minibatches import Minibatches
from rltransfer.engine.features.front import computes_as_sb3

# Neither random, nor with a memory, nor waiting for the host.
PLAIN_MODULES = (
    *(nn.Sequential, nn.ModuleDict, nn.Flatten, nn.Identity, nn.Linear, nn.Conv2d, nn.LayerNorm),
    *(nn.Tanh, nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Sigmoid),
    *(FlattenExtractor, MlpExtractor, NatureCNN, CombinedExtractor),
)
WARM_UPS = 3


def why_no_graph(policy: Any, batches: Minibatches) -> str | None:
    """Say why the gradient cannot be captured; None if it can."""
    if policy.device.type != "cuda":
        return f"the device is {policy.device.type}"
    if not computes_as_sb3(policy):
        return f"{type(policy).__name__} computes in its own way"
    if not batches.on_device:
        return "the rollout is not on the GPU as a whole"
    if policy.use_sde:
        return "exploration depends on the state"
    if any(p._backward_hooks or p._post_accumulate_grad_hooks for p in policy.parameters()):
        return "a parameter has hooks"
    odd = [m for m in policy.modules() if m is not policy and type(m) not in PLAIN_MODULES]
    return f"a layer is a {type(odd[0]).__name__}" if odd else None


class GraphGradient(Gradient):
    """Gradients of minibatches of one size, by replaying a graph; of others, as they come.

    Args:
        gradient: How to compute it without a graph.
        size: Rows of the minibatches that are replayed.
    """

    def __init__(self, gradient: Gradient, size: int) -> None:
        super().__init__(gradient.policy, gradient.optimizer, gradient.batches, gradient.settings)
        self._size = size
        self._graph: torch.cuda.CUDAGraph | None = None
        self._rows = torch.empty(0)
        self._losses = torch.empty(0)
        self._grads: list[Tensor | None] = []
        self._replayed = False

    def losses(self, rows: Any, index: Tensor) -> Losses:
        """Evaluate the policy on a minibatch; with a graph, compute its gradient as well."""
        self._replayed = len(index) == self._size
        if not self._replayed:
            return super().losses(rows, index)
        if self._graph is None:
            self._graph = self._capture(index)
        self._rows.copy_(index)
        self._graph.replay()
        return Losses(*self._losses.clone().unbind())

    def backward(self, losses: Losses) -> None:
        """Leave the clipped gradient of the loss in the parameters."""
        if not self._replayed:
            super().backward(losses)
            return
        for parameter, grad in zip(self.parameters, self._grads, strict=True):
            parameter.grad = grad

    def _capture(self, index: Tensor) -> torch.cuda.CUDAGraph:
        self._rows = index.clone()
        with _unchecked():
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UPS):
                    super().backward(super().losses(self._rows, self._rows))
            torch.cuda.current_stream().wait_stream(stream)
            # Without gradients at hand, the backward pass allocates them in the graph's own memory.
            self._clear()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                losses = super().losses(self._rows, self._rows)
                super().backward(losses)
                self._losses = torch.stack([number.detach() for number in losses])
        self._grads = [parameter.grad for parameter in self.parameters]
        return graph

    def _clear(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None


@contextmanager
def _unchecked() -> Iterator[None]:
    """Keep distributions from checking their arguments, which waits for the GPU."""
    before = Distribution._validate_args
    Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(before)
