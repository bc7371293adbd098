"""The tensors of a ``.pth`` file that ``torch.save`` wrote, without torch."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from rltransfer.agents.inert.archive import read_archive
from rltransfer.agents.inert.limits import Budget
from rltransfer.agents.inert.machine import examine
from rltransfer.agents.inert.plain import plain
from rltransfer.agents.inert.records import Call, Global, Persistent, Record, called, name_in
from rltransfer.errors import BadCheckpoint

_STORAGES = {
    f"torch.{kind}Storage": np.dtype(number)
    for kind, number in {
        "Bool": "bool",
        "Byte": "uint8",
        "Char": "int8",
        "Double": "float64",
        "Float": "float32",
        "Half": "float16",
        "Int": "int32",
        "Long": "int64",
        "Short": "int16",
    }.items()
}
_REBUILD = "torch._utils._rebuild_tensor_v2"
#: All that a file of dense tensors names, used or not.
_NAME = re.compile(rf"{re.escape(_REBUILD)}|collections\.OrderedDict|torch\.[A-Z]\w*Storage")
#: What else torch puts into the archive.
_EXTRAS = re.compile(r"version|byteorder|\.format_version|\.storage_alignment|\.data/.+")


def read_tensors(content: bytes, budget: Budget) -> Any:
    """Read what ``torch.save`` wrote: tensors in dicts, lists and tuples, and plain values.

    Args:
        content: The bytes of the file, in the zip format that torch has written since 1.6.
        budget: What reading may cost.

    Returns:
        The same structure, with NumPy arrays, owned and in C order, in place of the tensors. Arrays
        that shared memory no longer do.

    Raises:
        BadCheckpoint: It is malformed, too large, of the old format, a TorchScript program, or
            holds anything but dense tensors of plain numbers.
    """
    return _Archive(content, budget).read()


def globals_in_tensors(content: bytes, budget: Budget) -> list[Global]:
    """Return the classes and functions that a file of ``torch.save`` names, used or not.

    Raises:
        BadCheckpoint: It is malformed, too large, or of the old format.
    """
    return examine(_Archive(content, budget).program, budget)[1]


class _Archive:
    """The members of one file."""

    def __init__(self, content: bytes, budget: Budget) -> None:
        if not content.startswith(b"PK"):
            raise BadCheckpoint("tensors are in the format before torch 1.6: save them again")
        self.budget = budget
        self.storages: dict[str, bytes] = {}
        self.types: dict[str, str] = {}
        self.program = self._sort(read_archive(content, budget))

    def read(self) -> Any:
        record, names = examine(self.program, self.budget)
        for name in names:
            if not _NAME.fullmatch(name.path):
                raise BadCheckpoint(f"expected a dense tensor, got {name.path:.100}")
        return plain(record, self._tensor, self.budget)

    def _sort(self, members: dict[str, bytes]) -> bytes:
        """Split the members into storages and the pickle, which is returned."""
        roots = [n.removesuffix("data.pkl") for n in members if n.endswith("/data.pkl")]
        if len(roots) != 1:
            raise BadCheckpoint("not an archive of torch.save")
        root = roots[0]
        for name, content in members.items():
            part = name.removeprefix(root)
            if name.startswith(f"{root}data/"):
                self.storages[part.removeprefix("data/")] = content
            elif part == "byteorder" and content != b"little":
                raise BadCheckpoint("tensors are stored in big-endian order")
            elif not (part == "data.pkl" or _EXTRAS.fullmatch(part)):
                raise BadCheckpoint(f"an archive of tensors holds {name!r:.80} as well")
        return members[f"{root}data.pkl"]

    def _tensor(self, record: Record) -> np.ndarray:
        if not isinstance(record, Call) or called(record) != _REBUILD:
            raise BadCheckpoint(
                f"expected a dense tensor, got {name_in(record) or 'something else'!s:.100}"
            )
        if len(record.args) not in (6, 7):
            raise BadCheckpoint("a tensor is malformed")
        storage, offset, sizes, strides = record.args[:4]
        data, kind = self._storage(storage)
        for numbers in ((offset,), sizes, strides):
            _check_counts(numbers)
        return self._view(data, kind, offset, sizes, strides)

    def _storage(self, record: Record) -> tuple[bytes, np.dtype]:
        parts = record.id if isinstance(record, Persistent) else None
        if not isinstance(parts, tuple) or len(parts) != 5 or parts[0] != "storage":
            raise BadCheckpoint("a tensor has no storage")
        _, kind, key, _, length = parts
        number = _STORAGES.get(kind.path) if isinstance(kind, Global) else None
        if number is None or type(key) is not str or key not in self.storages:
            raise BadCheckpoint("a tensor has a storage that is missing, or of an unknown type")
        data = self.storages[key]
        if type(length) is not int or len(data) != length * number.itemsize:
            raise BadCheckpoint(f"storage {key:.20} has not the length that its tensors say")
        if self.types.setdefault(key, number.str) != number.str:
            raise BadCheckpoint(f"storage {key:.20} is read as two types")
        return data, number

    def _view(self, data: bytes, kind: np.dtype, offset: Any, sizes: Any, strides: Any) -> Any:
        count, stored = math.prod(sizes), len(data) // kind.itemsize
        # A view may not be larger than what it looks at, as expand() could make it.
        if len(sizes) != len(strides) or len(sizes) > 16 or count > stored:
            raise BadCheckpoint("a tensor is larger than its storage")
        # Counted without the sides of 0: NumPy refuses an empty one that it could not address.
        if math.prod(size or 1 for size in sizes) >= 2**31:
            raise BadCheckpoint("a tensor has too large a shape")
        last = offset + sum((n - 1) * step for n, step in zip(sizes, strides, strict=True))
        if count and last >= stored:
            raise BadCheckpoint("a tensor reaches beyond its storage")
        self.budget.spend("tensors")
        self.budget.spend("tensor_bytes", count * kind.itemsize)
        if not count:
            return np.empty(sizes, kind)
        steps = [step * kind.itemsize for step in strides]
        view = np.ndarray(sizes, kind, data, offset * kind.itemsize, steps)
        return view.copy(order="C")


def _check_counts(numbers: Any) -> None:
    if not isinstance(numbers, tuple) or not all(
        type(number) is int and 0 <= number < 2**31 for number in numbers
    ):
        raise BadCheckpoint("a tensor has a malformed shape, stride or offset")
