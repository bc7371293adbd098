"""A process that has imported everything, and forks a process of its own for each run.

Python's own fork server would import the user's script into each of them, which costs its imports
every time and wants ``if __name__ == "__main__":`` in it.

It ends when the socket to its parent closes, and takes all runs with it. Each run ends by itself
too when the lifeline closes, a pipe whose other end the parent alone holds.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rltransfer import heartbeat
from rltransfer.callbacks import Evaluate
from rltransfer.experiments.signals import catching
from rltransfer.experiments.store import Store
from rltransfer.experiments.worker import EXIT_CODES, GRACE, work
from rltransfer.training.ppo import TransferPPO
from rltransfer.training.threads import one_thread
from rltransfer.vec import make_vec

# Signs of life are told so often, in seconds.
BEAT = 0.5
LONGEST = 2**16


def serve(control_fd: int, lifeline_fd: int) -> None:
    """Fork a process for each order, and tell when one ended, until the parent ends.

    Args:
        control_fd: Socket of JSON lines. An order comes with the pipe to tell news on; answers are
            ``{"started": pid}`` and ``{"ended": pid, "code": exit code or -signal}``.
        lifeline_fd: Pipe that is closed when the parent ends.
    """
    _preload()
    control = socket.socket(fileno=control_fd)
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    groups: set[int] = set()
    _send(control, ready=True)
    while True:
        ready, _, _ = select.select([control, wake], [], [])
        if wake in ready:
            os.read(wake, LONGEST)
            _reap(control, groups)
        if control in ready:
            text, fds, _, _ = socket.recv_fds(control, LONGEST, 1)
            if not text:
                break
            pid = _fork(json.loads(text), fds[0], lifeline_fd, control, (wake, woken))
            groups.add(pid)
            _send(control, started=pid)
    for group in groups:
        kill_group(group)


def _preload() -> None:
    """Train a little: what the first run imports and loads, such as compiled code, is then there.

    It is taken out of the garbage collector's way, so that children go on sharing its memory.
    """
    with warnings.catch_warnings(), one_thread():
        warnings.simplefilter("ignore")
        from torch.utils import tensorboard

        del tensorboard
        envs = make_vec("CartPole-v1", 2, seed=0)
        model = TransferPPO("MlpPolicy", envs, n_steps=8, batch_size=8, n_epochs=1, device="cpu")
        model.learn(16, callback=Evaluate("CartPole-v1", points=1, episodes=2, max_steps=4))
        envs.close()
    gc.collect()
    gc.freeze()


def _send(control: socket.socket, **message: Any) -> None:
    with suppress(OSError):  # The parent is gone, as the next order will show.
        control.sendall(json.dumps(message).encode() + b"\n")


def _reap(control: socket.socket, groups: set[int]) -> None:
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            kill_group(pid)  # What is left of it: processes of environments.
            groups.discard(pid)
            _send(control, ended=pid, code=os.waitstatus_to_exitcode(status))


def kill_group(group: int) -> None:
    """Kill all processes of a group, if there are any."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _fork(
    order: dict[str, Any],
    news: int,
    lifeline: int,
    control: socket.socket,
    wakeup: tuple[int, int],
) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            for fd in wakeup:
                os.close(fd)
            code = _run(order, news, lifeline)
        except BaseException:
            traceback.print_exc()
        finally:
            with suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)
    with suppress(OSError):
        os.setpgid(pid, pid)  # Here too: whoever comes first.
    os.close(news)
    return pid


def _run(order: dict[str, Any], news: int, lifeline: int) -> int:
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    os.set_blocking(news, False)
    heartbeat.listen(_beats(news))
    with catching(GRACE) as stop:
        outcome = work(
            Store(order["out"]),
            order["id"],
            lambda steps, total: _tell(news, steps),
            attempt=order["attempt"],
            stop=stop,
        )
    return EXIT_CODES[outcome.status]


def _tell(news: int, steps: int) -> None:
    with suppress(OSError):  # A parent that does not read misses some; one that ended, all.
        os.write(news, b"%d\n" % steps)


def _beats(news: int) -> Callable[[], None]:
    last = 0.0

    def beat() -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > BEAT:
            last = now
            with suppress(OSError):
                os.write(news, b"\n")

    return beat


def _end_with(lifeline: int) -> None:
    with suppress(OSError):
        os.read(lifeline, 1)
    kill_group(os.getpgid(0))
    os._exit(1)


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
