"""The innermost loops, in numpy and in numba, with the same names.

``plain`` needs numpy alone. ``compiled`` needs numba (``pip install 'rltransfer[fast]'``); it is
imported only where it is used, since that takes a second.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from rltransfer.errors import MissingExtra


def available() -> bool:
    """Whether numba is installed, for this version of numpy too."""
    try:
        import_module("numba")
    except ImportError:
        return False
    return True


def kernels(*, compiled: bool) -> ModuleType:
    """Give the module with the loops.

    Raises:
        MissingExtra: Compiled ones are asked for, and numba is not installed.
    """
    if compiled and not available():
        raise MissingExtra.of("compiled=True", "fast")
    return import_module(f"{__name__}.{'compiled' if compiled else 'plain'}")
