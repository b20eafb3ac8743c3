# SPDX-License-Identifier: Apache-2.0
"""A process that opened no database and forks workers at once, to be killed: a fresh one each would cost a second.

The work is a module's: `prepare(*arguments)` once, `work(line, tell)` in each worker, over the house's database.
"""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sqlalchemy import text

from kernel import db

ROOT = Path(__file__).parents[1]


class Nursery:
    """The other end of such a process."""

    def __init__(self, says: IO[str], told: IO[str]) -> None:
        self._says, self._told, self._is_gone = says, told, True

    def start(self, line: str) -> None:
        """Fork a worker for this line."""
        self._told.write(f"{line}\n")
        self._told.flush()
        self._child, self._is_gone = int(self._says.readline()), False

    def hear(self) -> None:
        """Wait until the worker has done another step (or is gone)."""
        self._is_gone = self._is_gone or self._says.readline().strip() == "gone"

    def kill_within(self, seconds: float) -> None:
        """End the worker as a power cut would, and wait until it is gone."""
        time.sleep(seconds)
        os.kill(self._child, signal.SIGKILL)
        while not self._is_gone:
            self.hear()
        self._told.write("bury\n")
        self._told.flush()
        while _others_at_work():
            time.sleep(0.005)


@contextmanager
def nursery(url: str, root: Path, module: str, *arguments: str) -> Iterator[Nursery]:
    """One for the database at `url`, opened with the root key in `root`."""
    command = [sys.executable, "-c", PROGRAM, url, str(root), module, *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, bufsize=1)
    with process:
        assert process.stdout
        assert process.stdin
        try:
            yield Nursery(process.stdout, process.stdin)
        finally:
            process.stdin.close()


PROGRAM = textwrap.dedent("""
    import os, sys
    from importlib import import_module
    from pathlib import Path
    from kernel import db, keys

    url, root, module, *arguments = sys.argv[1:]
    theirs = import_module(module)
    theirs.prepare(*arguments)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            db.use(db.open_engine(url))
            with db.reading() as reading:
                keys.use(keys.open_purpose_keys(reading, keys.read_root(Path(root))))
            theirs.work(line.strip(), lambda rows: os.write(1, b"step\\n"))
            os._exit(0)
        os.write(1, b"%d\\n" % child)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # its number is kept until it was killed
        os.write(1, b"gone\\n")
        sys.stdin.readline()
        os.waitpid(child, 0)
""")


def _others_at_work() -> bool:
    """Whether PostgreSQL is still at what a killed process asked of it (SQLite ends with the process)."""
    with db.reading() as reading:
        if reading.dialect.name == "sqlite":
            return False
        here = "datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
        return bool(reading.scalar(text(f"SELECT count(*) FROM pg_stat_activity WHERE {here}")))
