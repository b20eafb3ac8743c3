# SPDX-License-Identifier: Apache-2.0
"""A sealer that is killed with SIGKILL where one wants, or when: for tests and for `python -m bench.kills`.

One process imports everything and opens nothing; for each kill it forks a sealer that opens the bureau anew.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from sqlalchemy import func, select

from app import config
from app import sealer as real
from app.opening import open_bureau
from audit import log, merkle, monitor, publishing, sealing, verification
from audit.models import checkpoint as checkpoints
from audit.models import entry as entries
from audit.models import leaf as leaves
from kernel import db
from kernel.errors import Unavailable
from tests.audit.test_sealing import ORIGIN, append, hashes, naive

ROOT = Path(__file__).parents[2]
MODULES = {"sealing": sealing, "publishing": publishing, "os": os}
# Where a sealing and a publication can be cut off: after the nth call of a function. `os.fsync` stands between the
# writing of a file and its renaming; `publishing._write` behind it: of the first tile, of the key, of the checkpoint.
STEPS = (
    ("publishing", "require_consistent", 1),
    ("sealing", "_lock_head", 1),
    ("sealing", "_waiting", 1),
    ("sealing", "_hash", 3),
    ("sealing", "_root", 1),
    ("sealing", "_write_tiles", 1),
    ("sealing", "seal_some", 1),
    ("sealing", "seal", 1),
    ("publishing", "require_consistent", 2),
    ("os", "fsync", 1),
    ("publishing", "_write", 1),
    ("publishing", "_write", 2),
    ("os", "fsync", 3),
    ("publishing", "_write", 3),
    ("os", "fsync", 4),
    ("publishing", "_write", 4),
    ("publishing", "_outgrown", 1),
)


class Sealer:
    """The other end of a process that runs `main`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def killed_at(self, module: str, name: str, nth: int) -> bool:
        """Seal and publish once, up to a step; whether it was reached, and the sealer killed there."""
        return self._say(f"at {module} {name} {nth}") == -signal.SIGKILL

    def killed_after(self, seconds: float) -> bool:
        """Seal and publish without end, for so long once it is at work."""
        return self._say(f"after {seconds}") == -signal.SIGKILL

    def _say(self, words: str) -> int:
        told, heard = self._process.stdin, self._process.stdout
        assert told is not None
        assert heard is not None
        print(words, file=told, flush=True)
        return int(heard.readline())


@contextmanager
def sealer(environment: Mapping[str, str]) -> Iterator[Sealer]:
    """A sealer to be killed again and again."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.audit.killing"],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Sealer(process)
        _close(process.stdin)


@contextmanager
def load(writers: int = 1, pause_s: float = 0.01) -> Iterator[list[str]]:
    """Threads that append all the while; the ids of what they appended, all of them committed."""
    stop, written = threading.Event(), []

    def write() -> None:
        while not stop.wait(pause_s):
            with suppress(Unavailable):  # the database was busy for too long: nothing was written
                written.extend(append(7))

    with _running(write, writers, stop):
        yield written


@contextmanager
def watched(folder: Path) -> Iterator[set[str]]:
    """Someone outside who reads the published checkpoint all the while; every one that was seen."""
    stop, seen = threading.Event(), set()

    def watch() -> None:
        while not stop.wait(0.005):
            if (folder / "checkpoint").exists():
                seen.add((folder / "checkpoint").read_text(encoding="utf-8"))

    with _running(watch, 1, stop):
        yield seen


def assert_whole(folder: Path, written: list[str], seen: set[str]) -> None:
    """Nothing is lost, nothing forks: every entry is a leaf once, every checkpoint ever signed or seen is a prefix."""
    sealing.seal(ORIGIN)
    with db.reading() as reading:
        publishing.publish(reading, folder)
        report = verification.verify(reading, folder)
        assert (report.ok, report.unsealed) == (True, 0), report.faults
        assert report.size == len(written) == reading.scalar(select(func.count()).select_from(entries))
        assert set(reading.scalars(select(leaves.c.entry))) == set(written)
        found, last = hashes(), log.head(reading)
        assert last is not None
        assert last.root == naive(found)
        for size, root in reading.execute(select(checkpoints.c.size, checkpoints.c.root)).all():
            proof = log.consistency(reading, size, last.size)
            assert merkle.is_consistent(size, last.size, proof, root, last.root)
        known = log.keys(reading, last.origin)
    newest = monitor.opened((folder / "checkpoint").read_bytes(), known)
    for note in seen:
        monitor.require_grown(monitor.opened(note, known), newest, newest, lambda path: (folder / path).read_bytes())
    monitor.require_whole(newest, lambda path: (folder / path).read_bytes())


@contextmanager
def _running(work: Callable[[], None], times: int, stop: threading.Event) -> Iterator[None]:
    threads = [threading.Thread(target=work) for _ in range(times)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _close(stream: IO[str] | None) -> None:
    if stream is not None:
        stream.close()


def main() -> None:
    """For each line of standard input: fork a sealer, see it die, print how."""
    for line in sys.stdin:
        kind, *told = line.split()
        at_work, says_so = os.pipe()
        child = os.fork()
        if child == 0:
            _seal(kind, told, says_so)
            os._exit(0)
        os.close(says_so)
        if kind == "after" and os.read(at_work, 1):
            time.sleep(float(told[0]))
            os.kill(child, signal.SIGKILL)
        os.close(at_work)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _seal(kind: str, told: list[str], says_so: int) -> None:
    settings = config.read()
    open_bureau(settings)
    os.write(says_so, b".")
    if kind == "at":
        module, name, nth = told
        _cut_off_after(MODULES[module], name, int(nth))
        real.seal_once(settings)
    while kind == "after":
        real.seal_once(settings)


def _cut_off_after(module: Any, name: str, nth: int) -> None:
    """Have a function kill this process as soon as it has done its work for the nth time."""
    step, calls = getattr(module, name), 0

    def cut_off(*given: Any, **named: Any) -> Any:
        nonlocal calls
        found = step(*given, **named)
        calls += 1
        if calls == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    setattr(module, name, cut_off)


if __name__ == "__main__":
    main()
