# SPDX-License-Identifier: Apache-2.0
"""The spool: what comes over a network is written to a private file within a limit, and taken in as files are.

The file goes when its block ends. What a killed process leaves behind, `sweep` removes: each file is locked by the
process that holds it, and a lock ends with its process.
"""

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from kernel.errors import TooLarge

PREFIX = "bureau-spool-"
LONGEST_NAME = 120
_UNSAFE = re.compile(r"[^\w.@+-]+")


def use(folder: Path) -> None:
    """Spool into this folder, made if need be, from now on; without it, where the system keeps its temporary files."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    global _folder
    _folder = folder


class Spool:
    """One file being written; `path` bears its safe name, which errors tell."""

    def __init__(self, path: Path, file: BinaryIO, limit_bytes: int, beat: Callable[[], None]) -> None:
        self.path, self.limit_bytes, self.size = path, limit_bytes, 0
        self._file, self._beat = file, beat

    def write(self, piece: bytes) -> int:
        """Append a piece. Raises `TooLarge` above the limit."""
        self._beat()
        self.size += len(piece)
        if self.size > self.limit_bytes:
            raise TooLarge(f"{self.path.name}: more than {self.limit_bytes:,} bytes; deliver it in smaller parts")
        return self._file.write(piece)

    def restart(self) -> None:
        """Begin anew: what was written so far was cut off."""
        self._file.seek(0)
        self._file.truncate()
        self.size = 0

    def done(self) -> Path:
        """Have all of it in the file. Returns the path, good until the block ends."""
        self._file.flush()
        return self.path


@contextmanager
def spooled(name: str, limit_bytes: int, beat: Callable[[], None] = lambda: None) -> Iterator[Spool]:
    """A new spool file of this name (what is unsafe in it replaced), gone when the block ends.

    `beat` is called with each piece written: who waits for all of it says there that it is still at work.
    """
    safe = _UNSAFE.sub("_", name)[-LONGEST_NAME:].lstrip(".") or "delivery"
    # Made with mode 0700 by mkdtemp, so that nobody else reads what lies in it.
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=_folder) as own:
        path = Path(own) / safe
        with path.open("xb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield Spool(path, file, limit_bytes, beat)


def sweep() -> int:
    """Remove what killed processes left in the spool's folder. Returns how many files."""
    removed = 0
    for own in (_folder or Path(tempfile.gettempdir())).glob(f"{PREFIX}*"):
        with suppress(OSError):
            files = list(own.iterdir())
            if files and not any(map(_is_held, files)):
                shutil.rmtree(own)
                removed += 1
    return removed


def _is_held(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


_folder: Path | None = None
