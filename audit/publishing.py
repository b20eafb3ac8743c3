# SPDX-License-Identifier: Apache-2.0
"""The log as files, for any web server or bucket: `checkpoint` and `tile/…` (C2SP tlog-tiles), hashes only.

Written from the database after each sealing: tiles first, the checkpoint last, each by an atomic rename; whatever
was interrupted is done by the next run. What is published is the bureau's memory outside of its database: a
database that is behind it was restored from a backup, and must not sign another history.
"""

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from audit import log, merkle, notes, tiles
from audit.notes import Checkpoint
from audit.sealing import LogBroken


@dataclass(frozen=True, slots=True)
class Published:
    """What the folder says: the newest checkpoint in it."""

    checkpoint: Checkpoint
    note: str


def read(folder: Path) -> Published | None:
    """The newest published checkpoint; None where nothing was published. Raises BadNote where it is none."""
    try:
        note = (folder / "checkpoint").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return Published(notes.parse_checkpoint(notes.split(note)[0]), note)


def require_consistent(tx: Connection, folder: Path) -> int:
    """The published size. Raises LogBroken where the database is behind what was published, or tells otherwise."""
    published, head = read(folder), log.head(tx)
    if published is None:
        return 0
    told = published.checkpoint
    size = head.size if head else 0
    if told.size > size:
        raise LogBroken(
            f"the log was published up to {told.size} entries and the database has {size}: it was restored from a "
            f"backup. Restore a newer one; to go on would sign a second history"
        )
    if told.size and log.root_at(tx, told.size) != told.root:
        raise LogBroken(f"the log published at size {told.size} is not the database's: run `bureau verify`")
    if head and told.origin != head.origin:
        raise LogBroken(f"{folder} holds the log of {told.origin}, not of {head.origin}: it belongs to another bureau")
    return told.size


def publish(tx: Connection, folder: Path) -> int:
    """Bring the folder up to the newest checkpoint that is shown. Returns how many files were written.

    One at a time, whoever publishes: a checkpoint never gives way to an older one. Raises LogBroken.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _publish(tx, folder)


def _publish(tx: Connection, folder: Path) -> int:
    since, head, before = require_consistent(tx, folder), log.shown(tx), read(folder)
    if head is None or head.size < since or (before and before.note == head.note):
        return 0
    written = 0
    for tile in tiles.of_size(head.size, since):
        content = log.load_tile(tx, tile.level, tile.number)[: tile.width * merkle.HASH_BYTES]
        _write(folder / tile.path, content)
        written += 1
    _write(folder / "key", "".join(f"{key}\n" for key in log.keys(tx, head.origin)).encode())
    _write(folder / "checkpoint", head.note.encode())
    for path in _outgrown(folder, head.size, since):
        path.unlink(missing_ok=True)
    return written + 1


def _outgrown(folder: Path, size: int, since: int) -> Iterator[Path]:
    """Partial tiles that became full: no one needs them any more (tlog-tiles, Partial Tiles)."""
    for tile in tiles.of_size(size, since):
        if tile.width == tiles.WIDTH:
            partial = (folder / tile.path).with_name((folder / tile.path).name + ".p")
            if partial.is_dir():
                yield from partial.iterdir()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
