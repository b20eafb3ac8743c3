# SPDX-License-Identifier: Apache-2.0
"""The HTTP child of `bureau serve`: granian over `app.wsgi:application`, behind `app.lobby`."""

import sys

from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server import Server

THREADS = 8  # requests at work at once in each worker process: while some wait for the disk, others compute
CALLERS = 128  # requests of each worker process that may be coming in at once; few of them are at work
BACKLOG = 1024  # connections that may wait for a worker
STOP_WITHIN_S = 5  # a caller who never finishes keeps no worker alive longer than this


def run(host: str, port: int, workers: int) -> None:
    """Serve until told to stop; a worker process that dies is started again."""
    Server(
        "app.lobby:receive",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=CALLERS,
        backlog=BACKLOG,
        websockets=False,
        log_level=LogLevels.error,
        workers_kill_timeout=STOP_WITHIN_S,
        respawn_failed_workers=True,
    ).serve()


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
