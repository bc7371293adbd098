"""The innermost loops, in numpy and in numba, with the same names.

``plain`` needs numpy alone. ``compiled`` needs numba (``pip install 'rltransfer[fast]'``); it is
imported only where it is used, since that takes a second.
"""

from __future__ import annotations

from types import ModuleType

from rltransfer.errors import MissingExtra


def available() -> bool:
    """Whether numba is installed, for this version of numpy too."""
    try:
        import numba  # noqa: F401
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
    if compiled:
        from rltransfer.engine.closed_form.kernels import compiled as chosen
    else:
        from rltransfer.engine.closed_form.kernels import plain as chosen
    return chosen
