# SPDX-License-Identifier: Apache-2.0
"""Serving: one parent that does nothing but keep its children alive, and takes them along when it ends.

    http          granian with its worker processes; where it ends, so does the service
    sealer        `bureau sealer`; started again where it dies
    housekeeping  `bureau worker`; the same
    messenger     `bureau messenger`; the same
    screener      `bureau screener`; the same: the screening index, open for all workers

Before the first request is taken, all that waits is sealed: a log that is not what was published stops the start.

The parent has neither threads nor connections, so that it cannot be what fails. Should it be killed outright,
its children notice and stop (PR_SET_PDEATHSIG).
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

from bureau.screening import shared
from kernel.errors import SettingError

LOOK_EVERY_S = 0.2
RESTART_AFTER_S = 2.0
STOP_WITHIN_S = 10.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def serve(host: str, port: int, workers: int, run_folder: Path, *, sealer: bool = True) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code. Sockets stand in `run_folder` while it does.

    Where BUREAU_PUBLIC_URL is not set, the issuer is where we bind. Raises SettingError where the port is taken or
    the log cannot be sealed on.
    """
    require_free(host, port)
    if not os.environ.get("BUREAU_PUBLIC_URL"):
        os.environ["BUREAU_PUBLIC_URL"] = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    if shared.IS_POSSIBLE:
        os.environ["BUREAU_SCREENING_SOCKET"] = str(run_folder / "screening.sock")
    stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    if sealer and _start("-m", "app.cli", "seal", quiet=True).wait() != 0:
        raise SettingError("the trail cannot be sealed, so nothing is served: see the line above")
    http = _start("-m", "app.http", host, str(port), str(workers))
    names = ["worker", "messenger", *(["sealer"] if sealer else []), *(["screener"] if shared.IS_POSSIBLE else [])]
    helpers = [_Helper(name) for name in names]
    while not stopping and http.poll() is None:
        time.sleep(LOOK_EVERY_S)
        for helper in helpers:
            helper.keep_alive()
    code = http.poll()
    children = (http, *(helper.child for helper in helpers))
    for child in children:
        child.terminate()
    for child in children:
        _end(child)
    return 0 if stopping else (code or 1)


class _Helper:
    """A child that is started again where it dies."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.child = _start("-m", "app.cli", name)
        self._due = 0.0

    def keep_alive(self) -> None:
        if self.child.poll() is None:
            return
        self._due = self._due or time.monotonic() + RESTART_AFTER_S
        if time.monotonic() >= self._due:
            self.child, self._due = _start("-m", "app.cli", self.name), 0.0


def require_free(host: str, port: int) -> None:
    """Raise SettingError where nobody could bind."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SettingError(f"cannot listen on {host}:{port}: {error.strerror}; choose another --port") from error


def _start(*arguments: str, quiet: bool = False) -> subprocess.Popen[bytes]:
    # A session of its own: a Ctrl-C at the terminal reaches the parent alone, which then ends the children.
    # What lies in the working folder is no module of ours (-P).
    return subprocess.Popen(  # noqa: S603  # our own program and our own arguments
        [sys.executable, "-P", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if quiet else None,
        start_new_session=True,
        preexec_fn=end_with_parent,  # noqa: PLW1509  # the parent has no other threads
    )


def end_with_parent() -> None:
    """Have the kernel end this child when its parent dies (Linux; elsewhere it lives on).

    Between fork and exec, so that a child that is still starting is bound already.
    """
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)  # what it may have left behind: its group bears its number
