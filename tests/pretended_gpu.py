"""A make-believe GPU: tensors of the host that refuse what real CUDA tensors refuse.

While :func:`pretended` is open, ``device="cuda"`` is to be had. What is put there computes on the
CPU, but says that it is on ``cuda:0``, may not meet tensors of the host, is not readable by numpy,
and draws from a random stream of its own. Speed, rounding and asynchrony are not those of a GPU.
"""

# It answers for functions of torch that have no types.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

CUDA, HOST = torch.device("cuda", 0), torch.device("cpu")
aten = torch.ops.aten
# Crosses from one device to the other.
_COPY = aten.copy_.default
# CUDA tensors take indices of the host, and tensors of the host none of CUDA.
_INDEXING = {aten.index.Tensor, aten.index_put_.default, aten._index_put_impl_.default}
# Take no number of the host beside tensors of the GPU, as most operations do.
_STRICT = {aten.cat.default, aten.stack.default, aten._fused_adam_.default}
# Fill tensors that they make within, on the device of what they are given.
_FILLING = {torch._C._nn.pad_sequence, torch._C._nn.one_hot}
_CONVERTING = {torch.as_tensor, torch.asarray, torch.tensor, Tensor.to, Tensor.cpu, Tensor.cuda}


class OtherDevice(RuntimeError):
    """What CUDA would have refused."""


def on_gpu(tensor: Tensor) -> bool:
    """Whether a tensor is on the make-believe GPU."""
    return bool(_place(tensor))


def _place(tensor: Tensor) -> bool | None:
    """Whether it is there; None if it may be taken for either."""
    return getattr(tensor.untyped_storage(), "on_gpu", False)


def _put(value: Any, there: bool | None) -> Any:
    if isinstance(value, Tensor):
        value.untyped_storage().on_gpu = there  # views share it
    return value


class Gpu(TorchDispatchMode):
    """Refuses operations across devices, those of backward passes too.

    Attributes:
        stream: State of the GPU's random stream.
        filling: Whether what is made from nothing is meant for the GPU.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stream = torch.Generator().manual_seed(1).get_state()
        self.filling = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        if func is _COPY or not any(map(on_gpu, tensors)):
            made = func(*args, **kwargs)
            if not tensors and (self.filling or torch._C._current_graph_task_id() >= 0):
                _put(made, self.filling or None)  # a backward pass makes it where it is needed
            return made
        _check(func, args, tensors)
        random = torch.Tag.nondeterministic_seeded in func.tags
        if random and kwargs.get("generator") is not None:
            raise OtherDevice(f"{func}: expected a 'cuda' generator, but found 'cpu'")
        with self.drawing() if random else ExitStack():
            made = func(*args, **kwargs)
        held = {one.untyped_storage()._cdata for one in tensors}
        for one in tree_leaves(made):
            if isinstance(one, Tensor) and one.untyped_storage()._cdata not in held:
                _put(one, True)
        return made

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Draw from the GPU's stream instead of the host's."""
        kept = torch.default_generator.get_state()
        torch.default_generator.set_state(self.stream)
        try:
            yield
        finally:
            self.stream = torch.default_generator.get_state()
            torch.default_generator.set_state(kept)


def _check(func: Any, args: Any, tensors: list[Tensor]) -> None:
    if func in _INDEXING:
        if not on_gpu(args[0]):
            raise OtherDevice(f"{func}: indices are on the GPU, and what is indexed is not")
        tensors = [args[0], *args[2:3]]
    for argument, value in zip(func._schema.arguments, args, strict=False):
        written = argument.alias_info is not None and argument.alias_info.is_write
        if written and isinstance(value, Tensor) and not on_gpu(value):
            raise OtherDevice(f"{func}: writes to the host what is on the GPU")
    strays = [one for one in tensors if _place(one) is False]
    if any(one.dim() or func in _STRICT for one in strays):
        found = [(tuple(one.shape), "cuda" if on_gpu(one) else "cpu") for one in tensors]
        raise OtherDevice(f"{func}: expected all tensors on the same device, found {found}")


class _Devices(TorchFunctionMode):
    """Answers which device a tensor is on, and makes tensors where they are asked for."""

    def __init__(self, gpu: Gpu) -> None:
        super().__init__()
        self._gpu = gpu

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, first = kwargs or {}, args[0] if args else None
        name = getattr(func, "__name__", "")
        if isinstance(first, Tensor) and on_gpu(first):
            attribute = getattr(func, "__self__", None) if name == "__get__" else None
            if attribute is Tensor.device:
                return CUDA
            if attribute in (Tensor.is_cuda, Tensor.is_cpu):
                return attribute is Tensor.is_cuda
            if func in (Tensor.numpy, Tensor.__array__):
                raise OtherDevice("can't convert cuda:0 device type tensor to numpy")
        if func is Tensor.pin_memory:
            return first
        asked = None if func is torch.device or name == "_parse_to" else _asked(func, args, kwargs)
        if asked is not None:
            return self._made(func, args, kwargs, asked)
        self._gpu.filling = func in _FILLING and on_gpu(tree_leaves(args)[0])
        try:
            made = func(*args, **kwargs)
        finally:
            self._gpu.filling = False
        if func in (Tensor.__deepcopy__, Tensor.new_tensor):
            return _put(made, on_gpu(args[0]))
        if name == "lstm" and made[0].requires_grad and on_gpu(made[0]):
            _refuse_backward_of_evaluation(made, args)
        return made

    def _made(self, func: Any, args: Any, kwargs: Any, there: bool) -> Any:
        args, kwargs = tree_map(_of_host, (args, kwargs))
        if func in (Tensor.cuda, Tensor.cpu):
            func, args, kwargs = Tensor.to, (args[0], HOST), {}
        if func in _CONVERTING:
            made = func(*args, **kwargs)
            return made if on_gpu(made) == there else _put(made.clone(), there)
        if there and kwargs.get("generator") is not None:
            raise OtherDevice(f"{func}: expected a 'cuda' generator, but found 'cpu'")
        with self._gpu.drawing() if there else ExitStack():
            return tree_map(lambda one: _put(one, there), func(*args, **kwargs))


def _asked(func: Any, args: Any, kwargs: Any) -> bool | None:
    """Whether a call wants something on the GPU; None if it says nothing of devices."""
    if func in (Tensor.cuda, Tensor.cpu):
        return func is Tensor.cuda
    if func is Tensor.to and len(args) > 1 and isinstance(args[1], Tensor):
        return on_gpu(args[1])
    named = [kwargs.get("device"), *(args[1:2] if func is Tensor.to else ())]
    given = [one for one in named if isinstance(one, str | torch.device)]
    given += [one for one in args if isinstance(one, torch.device)]
    known = [torch.device(one).type for one in given[:1]]
    return known[0] == "cuda" if known and known[0] in ("cuda", "cpu") else None


def _of_host(value: Any) -> Any:
    if isinstance(value, str) and value.partition(":")[0] == "cuda":
        return HOST
    return HOST if isinstance(value, torch.device) and value.type == "cuda" else value


def _refuse_backward_of_evaluation(made: Any, args: Any) -> None:
    """The LSTM of cuDNN passes gradients on in training mode alone."""
    training = args[6] if isinstance(args[3], bool) else args[7]  # packed sequences tell sizes

    def refuse(gradient: Tensor) -> None:
        raise OtherDevice("cudnn RNN backward can only be called in training mode")

    if not training:
        made[0].register_hook(refuse)


@contextmanager
def pretended() -> Iterator[Gpu]:
    """Pretend that there is a GPU."""
    gpu = Gpu()

    def seed(value: int) -> None:
        gpu.stream = torch.Generator().manual_seed(value).get_state()

    def set_state(state: Tensor, device: Any = None) -> None:
        gpu.stream = state.clone()

    answers: dict[str, Any] = {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 1,
        "device": lambda device: ExitStack(),
        "get_device_name": lambda device=None: "make-believe",
        "mem_get_info": lambda device=None: (2**33, 2**34),
        "manual_seed": seed,
        "manual_seed_all": seed,
        "get_rng_state": lambda device=None: gpu.stream.clone(),
        "set_rng_state": set_state,
    }
    with ExitStack() as stack:
        for name, answer in answers.items():
            stack.enter_context(patch.object(torch.cuda, name, answer))
        stack.enter_context(gpu)
        stack.enter_context(_Devices(gpu))
        yield gpu
