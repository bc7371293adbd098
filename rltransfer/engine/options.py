"""Which of the engine's paths may be taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from rltransfer.errors import BadArgument

Path = Literal["auto", "closed_form", "autograd", "stock"]
MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Choices for the training engine; the defaults are the fastest that give the same learning.

    Attributes:
        path: ``"auto"`` takes the first that covers the model: ``"closed_form"`` (gradients of
            plain MLPs written out in numpy), ``"autograd"`` (torch), ``"stock"`` (SB3's own code).
            Naming one skips those before it.
        compiled: Whether closed form uses numba; None where it is installed
            (``pip install 'rltransfer[fast]'``).
        cache_mib: Memory for the features of frozen layers, in MiB. A rollout whose features need
            more is recomputed at each epoch instead. 0 for no cache.
        cuda_graph: Whether updates on a GPU replay a captured CUDA graph. Off by default: where
            capturing fails it ends the training with torch's error.

    Raises:
        BadArgument: A choice does not exist.
    """

    path: Path = "auto"
    compiled: bool | None = None
    cache_mib: float = 1024.0
    cuda_graph: bool = False

    def __post_init__(self) -> None:
        if self.path not in get_args(Path):
            raise BadArgument(f"path is {self.path!r}: choose one of {', '.join(get_args(Path))}")
        if not self.cache_mib >= 0:
            raise BadArgument(f"cache_mib is {self.cache_mib!r}: give a number >= 0")
