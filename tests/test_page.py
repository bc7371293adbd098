"""The page of a benchmark: what it says, how large it is, and how it looks in a browser."""

from __future__ import annotations

import subprocess
import sys


def test_importing_the_package_does_not_import_matplotlib() -> None:
    code = "import rltransfer, rltransfer.report, sys; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
