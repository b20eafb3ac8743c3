# SPDX-License-Identifier: Apache-2.0
"""Serving: granian with some worker processes, and one housekeeping process under supervision."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server import Server

THREADS = 3  # questions at once in each worker process: more only fight for the interpreter lock
BACKLOG = 1024
RESTART_AFTER_S = 2.0


def serve(host: str, port: int, workers: int) -> None:
    """Serve until SIGTERM or SIGINT. Where BUREAU_PUBLIC_URL is not set, the issuer is where we bind."""
    os.environ.setdefault("BUREAU_PUBLIC_URL", f"http://{host}:{port}")
    server = Server(
        "app.wsgi:application",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=THREADS,
        backlog=BACKLOG,
        backpressure=THREADS * 4,
        websockets=False,
        log_level=LogLevels.warning,
        respawn_failed_workers=True,
        process_name=None,
    )
    with _housekeeping():
        server.serve()


@contextmanager
def _housekeeping() -> Iterator[None]:
    """Keep one worker process alive while the block runs."""
    stop = threading.Event()

    def supervise() -> None:
        while not stop.is_set():
            with subprocess.Popen([sys.executable, "-m", "app.cli", "worker"], stdin=subprocess.DEVNULL) as process:
                while process.poll() is None and not stop.wait(0.2):
                    pass
                process.terminate()
            stop.wait(RESTART_AFTER_S)

    thread = threading.Thread(target=supervise, name="housekeeping")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
