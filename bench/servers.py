# SPDX-License-Identifier: Apache-2.0
"""The servers that are measured: each a process tree of its own, with two workers, ended with its block."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app import http as served

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 2
PEER_THREADS = 4  # questions at once in each worker of the textbook build
START_WITHIN_S = 90.0
STOP_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Running:
    port: int
    process: int


@contextmanager
def bureau(environment: Mapping[str, str]) -> Iterator[Running]:
    """`bureau serve` as an operator starts it, with its housekeeping."""
    port = _free_port()
    arguments = ["app.cli", "serve", "--port", str(port), "--workers", str(WORKERS)]
    with _running(arguments, port, environment) as running:
        yield running


@contextmanager
def wsgi(application: str, environment: Mapping[str, str]) -> Iterator[Running]:
    """Another application or another database on the same server and settings, nothing beside it."""
    port = _free_port()
    arguments = ["granian", "--interface", "wsgi", "--port", str(port), "--workers", str(WORKERS)]
    arguments += ["--blocking-threads", str(served.THREADS), "--backlog", str(served.BACKLOG), "--no-ws"]
    arguments += ["--log-level", "error"]
    with _running([*arguments, application], port, environment) as running:
        yield running


@contextmanager
def oidc_provider(environment: Mapping[str, str]) -> Iterator[Running]:
    """node oidc-provider in one process, in memory."""
    port = _free_port()
    with _running(["bench/provider.mjs"], port, {**environment, "PORT": str(port)}, "node") as running:
        yield running


@contextmanager
def textbook(environment: Mapping[str, str]) -> Iterator[Running]:
    """The textbook build on gunicorn."""
    port = _free_port()
    arguments = ["gunicorn", "--bind", f"127.0.0.1:{port}", "--no-control-socket", "--log-level", "warning"]
    arguments += ["--worker-class", "gthread", "--workers", str(WORKERS), "--threads", str(PEER_THREADS)]
    with _running([*arguments, "bench.textbook:create_app()"], port, environment) as running:
        yield running


def workers_of(process: int) -> list[int]:
    """The process ids of the HTTP workers of `bureau serve`: the children of its HTTP child (Linux)."""
    (http_child,) = (child for child, command in _children(process) if b"app.http" in command)
    return [child for child, command in _children(http_child) if b"resource_tracker" not in command]


def memory_mib(process: int, field: str) -> float:
    """`VmRSS` or `VmHWM` (its highest so far) of a process."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {process} has no {field}")


def tree_mib(process: int) -> float:
    """The most that a process and its children took so far; 0 where it has just ended."""
    try:
        members = [process, *(child for child, _ in _children(process))]
        return sum(memory_mib(each, "VmHWM") for each in members)
    except (OSError, RuntimeError):
        return 0.0


def _children(process: int) -> list[tuple[int, bytes]]:
    """Process id and command line of each child."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [(int(child), Path(f"/proc/{child}/cmdline").read_bytes()) for child in children]


@contextmanager
def _running(arguments: Sequence[str], port: int, environment: Mapping[str, str], *program: str) -> Iterator[Running]:
    """A `python -m …` (or another program) that answers on its port; it and its children end with the block."""
    process = subprocess.Popen(
        [*(program or (sys.executable, "-m")), *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        start_new_session=True,
    )
    try:
        _await_answer(process, port)
        yield Running(port, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _await_answer(process: subprocess.Popen[bytes], port: int) -> None:
    give_up = time.monotonic() + START_WITHIN_S
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_WITHIN_S)
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            connection.close()
            return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"{process.args!r} did not start") from error
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
