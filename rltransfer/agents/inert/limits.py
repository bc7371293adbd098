"""How much one file may ask for."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from rltransfer.errors import BadCheckpoint


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What reading one file, with everything packed into it, may cost at the most.

    The largest public PPO agents (pixels, Adam's moments included) need a tenth of this or less.

    Attributes:
        members: Files in all archives together; a torch archive has one for each tensor.
        unpacked_bytes: Bytes that compressed members grow to.
        opcodes: Pickle instructions.
        nodes: Values of decoded structures; a value that is shared counts each time it is met.
        tensors: Tensors.
        tensor_bytes: Bytes of all tensors, each view counted in full.
        json_bytes: Length of a JSON text.
    """

    members: int = 8_192
    unpacked_bytes: int = 2**26
    opcodes: int = 100_000
    nodes: int = 100_000
    tensors: int = 4_096
    tensor_bytes: int = 2**28
    json_bytes: int = 2**24


class Budget:
    """Counts what reading one file has cost so far."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._left: dict[str, int] = asdict(limits or Limits())

    def spend(self, what: str, amount: int = 1) -> None:
        """Count ``amount`` of a field of :class:`Limits`.

        Raises:
            BadCheckpoint: It is more than is left.
        """
        self._left[what] -= amount
        if self._left[what] < 0:
            raise BadCheckpoint(f"asks for more {what.replace('_', ' ')} than any agent needs")
