"""Archives as ``torch.save`` writes them, of tensors that may lie about themselves."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from hostile import opcodes, zips
from hostile.opcodes import Raw

_TYPES = {"float32": "FloatStorage", "float64": "DoubleStorage", "int64": "LongStorage"}


@dataclass(frozen=True)
class Tensor:
    """What an archive says of one tensor.

    Attributes:
        data: Bytes of its storage.
        storage: Name of the storage's type in ``torch``.
        key: Name of the storage.
        length: Elements of the storage.
        offset: Of the first element.
        size: Shape.
        stride: Steps, in elements.
        location: Device.
        module: Where the function is that makes the tensor.
        function: Its name.
        rest: Arguments after the stride.
        state: What it gets afterwards, or None.
    """

    data: bytes
    storage: str
    key: Any
    length: Any
    offset: Any
    size: Any
    stride: Any
    location: Any = "cpu"
    module: str = "torch._utils"
    function: str = "_rebuild_tensor_v2"
    rest: tuple[Any, ...] = (False, Raw(opcodes.name("collections", "OrderedDict"), b")R"))
    state: Any = None

    def code(self) -> Raw:
        kind = Raw(opcodes.name("torch", self.storage))
        place = ("storage", kind, self.key, self.location, self.length)
        pointer = Raw(opcodes.value(place), b"Q")
        args = (pointer, self.offset, self.size, self.stride, *self.rest)
        return opcodes.call(self.module, self.function, *args, state=self.state)


Tree = Any


def tensor(array: np.ndarray, key: str) -> Tensor:
    """Describe an array truthfully."""
    stride = tuple(step // array.itemsize for step in np.ascontiguousarray(array).strides)
    kind = _TYPES[array.dtype.name]
    return Tensor(array.tobytes(), kind, key, array.size, 0, array.shape, stride[: array.ndim])


@functools.lru_cache(maxsize=64)
def _loaded(content: bytes) -> Any:
    return torch.load(io.BytesIO(content), weights_only=True)


def tree(content: bytes) -> Tree:
    """Read a sound archive into dicts, lists and descriptions of tensors."""
    keys = iter(range(10**6))

    def walk(node: Any) -> Any:
        if isinstance(node, torch.Tensor):
            return tensor(node.detach().numpy(), str(next(keys)))
        if isinstance(node, Mapping):
            return {key: walk(part) for key, part in node.items()}
        return [walk(part) for part in node] if isinstance(node, list | tuple) else node

    return walk(_loaded(content))


def _code(node: Tree) -> Any:
    if isinstance(node, Tensor):
        return node.code()
    if isinstance(node, dict):
        return {key: _code(part) for key, part in node.items()}
    return [_code(part) for part in node] if isinstance(node, list) else node


def _storages(node: Tree) -> dict[str, bytes]:
    if isinstance(node, Tensor):
        return {str(node.key): node.data}
    parts = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return {key: data for part in parts for key, data in _storages(part).items()}


def write(
    node: Tree, extra: Mapping[str, bytes | None] | None = None, root: str = "archive"
) -> bytes:
    """Write an archive; ``extra`` replaces or removes members by their name below the root."""
    program = opcodes.join(opcodes.value(_code(node)), protocol=2)
    members: dict[str, bytes | None] = {
        "data.pkl": program,
        "byteorder": b"little",
        "version": b"3\n",
    }
    members |= {f"data/{key}": data for key, data in _storages(node).items()}
    members |= dict(extra or {})
    return zips.pack({f"{root}/{name}": data for name, data in members.items() if data is not None})


def change(described: Tensor, **facts: Any) -> Tensor:
    return replace(described, **facts)
