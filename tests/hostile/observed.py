"""The process that reads hostile files, and tells what happened while it did.

It gets one JSON object a line, ``{"folder", "target", "reader"}``, and answers with one.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: Events that say nothing about a file.
_HARMLESS = {"builtins.id"}
#: In building a model, SB3 and torch look at their own functions, and safetensors makes arrays.
_HARMLESS_IN_USE = _HARMLESS | {"object.__getattr__", "object.__setattr__"}
_LISTING = ("os.scandir", "os.listdir", "pathlib.Path.glob")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
#: Functions that no reader may call, whether or not they raise an event.
_FORBIDDEN = (
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "pickle._Unpickler", "_pickle.loads"),
    *("cloudpickle.load", "cloudpickle.loads", "numpy.load"),
    *("torch.load", "torch.jit.load", "torch.serialization.load", "yaml.load", "yaml.unsafe_load"),
    *("yaml.full_load", "builtins.eval", "builtins.exec", "builtins.compile"),
    *("stable_baselines3.PPO.load", "stable_baselines3.common.vec_env.VecNormalize.load"),
    *("stable_baselines3.common.policies.BasePolicy.load"),
    *("stable_baselines3.common.save_util.load_from_zip_file", "numpy.fromfile", "numpy.memmap"),
)


class _Watch:
    """Collects audit events, except for reading files in some folders."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.folders: tuple[str, ...] = ()
        self.harmless = _HARMLESS
        self.active = False
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.active or event in self.harmless:
            return
        self.active = False  # what follows may raise events of its own
        try:
            if not self._is_reading(event, args):
                self.events.append(f"{event}{tuple(str(arg)[:80] for arg in args[:3])}")
        finally:
            self.active = True

    def _is_reading(self, event: str, args: tuple[Any, ...]) -> bool:
        if event == "open":
            path, _, flags = args
            reading = not flags & _WRITING
        else:
            path, reading = args[0] if args else None, event in _LISTING
        known = isinstance(path, str | os.PathLike)
        return reading and known and os.path.realpath(path).startswith(self.folders)

    @contextmanager
    def watching(self, folder: str, harmless: set[str]) -> Iterator[None]:
        import rltransfer_zoo

        zoo = os.path.dirname(rltransfer_zoo.__file__)
        self.folders, self.events = (os.path.realpath(folder), os.path.realpath(zoo)), []
        self.harmless, self.active = harmless, True
        try:
            yield
        finally:
            self.active = False


def _forbid(watch: _Watch) -> None:
    """Put a trap in place of each function that runs code from files."""
    for path in _FORBIDDEN:
        owner, _, attribute = path.rpartition(".")
        module, _, kind = owner.rpartition(".")
        # A class, or a module that is loaded already.
        target = sys.modules.get(owner) or getattr(sys.modules.get(module), kind, None)
        if target is not None:
            setattr(target, attribute, _trap(path, getattr(target, attribute), watch))


def _trap(path: str, original: Any, watch: _Watch) -> Callable[..., Any]:
    def called(*args: Any, **kwargs: Any) -> Any:
        if watch.active:
            watch.events.append(f"called {path}")
            raise PermissionError(f"{path} was called")
        return original(*args, **kwargs)

    return called


def _memory(field: str) -> int:
    """Return a field of the process's status, in bytes."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # elsewhere only the peak since the start is known
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    line = next(line for line in status.splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def _forget_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _import(path: Path) -> Any:
    from rltransfer.agents import sb3

    found = sb3.read(path)
    _check_text(str(found.report))
    return found.agent


def _own(path: Path) -> Any:
    from rltransfer.agents import load

    return load(path)


def _unsafe(path: Path) -> Any:
    from stable_baselines3 import PPO

    return PPO.load(path)


def _waste(path: Path) -> Any:
    """Take more time and memory than a file may, so that it can be seen that this is noticed."""
    start, much = time.process_time(), bytearray(600 * 2**20)
    while time.process_time() < start + 1.2:
        much[0] = 1


def _break(path: Path) -> Any:
    path.write_bytes(path.read_bytes() + b"x")
    raise ValueError("no error of rltransfer")


_READERS: dict[str, Callable[[Path], Any]] = {
    **{"import": _import, "own": _own, "unsafe": _unsafe, "waste": _waste, "break": _break},
}


def _check_text(text: str) -> None:
    """A file may not speak to the terminal."""
    text.encode("utf-8")
    odd = [char for char in text if not (char.isprintable() or char == "\n")]
    if odd:
        raise ValueError(f"the text for the user holds {odd[0]!r}")


def _attempt(action: Callable[[], Any], watching: Any) -> tuple[Any, dict[str, Any]]:
    """Do it, and return what came of it, with the outcome, the seconds, and the error if any."""
    from rltransfer.errors import TransferError

    cpu, wall = time.process_time(), time.perf_counter()

    def times() -> dict[str, float]:
        return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}

    try:
        with watching:
            result = action()
        return result, {"outcome": "done", **times()}
    except TransferError as error:
        kind, message = type(error).__name__, str(error)
        return None, {"outcome": "refused", "error": kind, "message": message, **times()}
    except BaseException as error:
        spent, kind = times(), type(error).__name__
        message = "".join(traceback.format_exception(error, limit=-12))[-4000:]
        return None, {"outcome": "crashed", "error": kind, "message": message, **spent}


_built: set[str] = set()


def _use(agent: Any) -> None:
    """Do what a user would: look at the agent, store it, build it, unless an equal one was."""
    from rltransfer.agents import Agent, Card, bundle, document

    _check_text(str(agent.describe()))
    card = Card(name="any", task="", steps=0, seed=None, versions={})
    content, text, digest = bundle.seal(*document.write(dataclasses.replace(agent, card=card)))
    if digest not in _built:
        again = document.read(bundle.unpack(content), bundle.unseal(text))
        assert Agent(**again).sha256 == digest
        with warnings.catch_warnings():  # of torch and SB3, about arguments that they take
            warnings.simplefilter("ignore")
            agent.build()
        _built.add(digest)


def _serve(watch: _Watch, order: dict[str, Any]) -> dict[str, Any]:
    folder = order["folder"]
    path, reader = Path(folder, order["target"]), _READERS[order["reader"]]
    _forget_peak()
    agent, read = _attempt(lambda: reader(path), watch.watching(folder, _HARMLESS))
    answer = {"read": read, "events": watch.events, "peak": _memory("VmHWM:")}
    if agent is not None and order["reader"] != "unsafe":
        _forget_peak()
        _, used = _attempt(lambda: _use(agent), watch.watching(folder, _HARMLESS_IN_USE))
        answer |= {"used": used, "events_used": watch.events}
        answer["peak"] = max(answer["peak"], _memory("VmHWM:"))
    return answer


def _main() -> None:
    import torch
    import torch._subclasses.schema_check_mode  # which torch imports to print a tensor

    import rltransfer  # noqa: F401  # warm, as everything below

    torch.set_num_threads(1)
    answers, watch = os.fdopen(os.dup(1), "w"), _Watch()
    os.dup2(2, 1)
    # Whatever goes wrong, it is this process that suffers.
    most = _memory("VmSize:") + 6 * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for line in sys.stdin:
        order = json.loads(line)
        if order["reader"] == "warm":
            warnings.simplefilter("error")
            _forbid(watch)
            answer: dict[str, Any] = {"resident": _memory("VmRSS:")}
        else:
            answer = _serve(watch, order)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    _main()
