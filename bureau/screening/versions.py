# SPDX-License-Identifier: Apache-2.0
"""Versions of the screening index: which are kept, and a snapshot of one, opened.

A version's sheets are decrypted into one stretch of memory. Who has that memory is a *source*: this process alone
(the default: commands, tests, a server without `bureau serve`), or one process for all workers (`shared`).

Between a shredding and the next version the enterprise stands in no sheet any more, but still in snapshots that are
open: `current` names it as hidden, so that the very next page does without, and the source opens the version anew.
"""

import mmap
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, select

from bureau import publications
from bureau.models import screening_sheet, screening_version
from bureau.screening import columns, sheets
from bureau.screening.columns import Snapshot
from bureau.screening.sheets import Allocate, Sheet
from kernel import clock, db, keys
from kernel.errors import Gone, Unavailable

KEPT = 2  # versions: the newest, and the one that open cursors may still need
NOT_READY = "screening-not-ready"
WAIT_S, LOOK_EVERY_S = 2.0, 0.05  # for a source that is just opening its first version


@dataclass(frozen=True, slots=True)
class Head:
    """A version: a build and its patches up to one, as of a publication."""

    version: int
    build: int
    patch: int
    publication: int
    time: datetime


class Source(Protocol):
    """Who has snapshots open. `beyond`: only one in which shreddings up to that publication, and more, are done."""

    def __call__(self, reading: Connection, head: Head, beyond: int) -> Snapshot | None: ...


def heads(reading: Connection) -> list[Head]:
    """The versions that are kept, the newest first."""
    rows = reading.execute(select(screening_version).order_by(screening_version.c.version.desc()).limit(KEPT))
    return [Head(row.version, row.build, row.patch, row.publication, row.time) for row in rows]


def await_open(version: int | None = None) -> tuple[Snapshot, list[str]]:
    """As `current`, but waits a moment for a source that is just opening it; looks anew each time."""
    give_up = time.monotonic() + WAIT_S
    while True:
        try:
            with db.reading() as reading:
                return current(reading, version)
        except Unavailable as error:
            if error.slug != NOT_READY or time.monotonic() > give_up:
                raise
        time.sleep(LOOK_EVERY_S)


def current(reading: Connection, version: int | None = None) -> tuple[Snapshot, list[str]]:
    """The newest snapshot that is open, or that of a version; and who is to be hidden in it, shredded since.

    Where the source has none of those that are kept open yet, the one that this process used last serves on.

    Raises Unavailable before the first build (`no-screening-index`) and while none is open (`screening-not-ready`),
    Gone (`snapshot-gone`) where the version is no longer kept.
    """
    global _last
    kept = heads(reading)
    if not kept:
        raise Unavailable("there is no screening index yet: run `bureau index`", slug="no-screening-index")
    sought = [head for head in kept if version in (None, head.version)]
    if not sought:
        raise Gone("the screening index has moved on: start the screening anew", slug="snapshot-gone")
    opened = ((head, _source(reading, head, 0)) for head in sought)
    head, snapshot = next(((head, found) for head, found in opened if found is not None), (None, _last))
    if snapshot is None or (head is None and version is not None):
        raise Unavailable("the screening index is being opened: try again in a moment", slug=NOT_READY)
    hidden = publications.shredded_since(reading, snapshot.edition)
    if hidden and head is not None and (fresh := _source(reading, head, snapshot.edition + 1)) is not None:
        snapshot, hidden = fresh, publications.shredded_since(reading, fresh.edition)
    if version is None:
        _last = snapshot
    return snapshot, hidden


def use(source: Source) -> None:
    """Make this the process's source of snapshots."""
    global _source, _last
    _source, _last = source, None


def open_version(reading: Connection, head: Head, allocate: Allocate) -> int:
    """Decrypt a version into memory. Returns how many enterprises. Raises Altered where a sheet does not open."""
    edition = max(head.publication, publications.newest_shred(reading))  # before the sheets are read: it may be less
    said: dict[str, Any] = {"version": head.version, "publication": head.publication, "edition": edition}
    said["time"] = clock.rfc3339(head.time)
    return sheets.assemble(lambda: _sheets(reading, head), said, allocate)


def anonymous(size: int) -> memoryview:
    """Memory that ends with this process and stands in none of its core dumps."""
    memory = mmap.mmap(-1, max(size, 1))
    memory.madvise(mmap.MADV_DONTDUMP)
    return memoryview(memory)


def encrypted(sheet: Sheet, build: int, patch: int, part: int) -> bytes:
    """A sheet's ciphertext, bound to its place."""
    return keys.purpose("screening").encrypt(sheets.packed(sheet), _bound_to(build, patch, part))


def decrypted(row: Any) -> Sheet:
    """The sheet of a row; raises Altered where it is not what was written."""
    place = _bound_to(row.build, row.patch, row.part)
    return sheets.unpacked(keys.purpose("screening").decrypt(row.ciphertext, place))


def _sheets(reading: Connection, head: Head) -> Iterator[Sheet]:
    """The sheets of a version, one in memory at a time: a build's, then its patches' in their order."""
    table = screening_sheet.c
    places = select(table.patch, table.part).where(table.build == head.build, table.patch <= head.patch)
    for patch, part in reading.execute(places.order_by(table.patch, table.part)).all():
        of = (table.build == head.build) & (table.patch == patch) & (table.part == part)
        row = reading.execute(select(screening_sheet).where(of)).one()
        yield decrypted(row)


def _bound_to(build: int, patch: int, part: int) -> bytes:
    return f"screening\0{build}\0{patch}\0{part}".encode()


class Own:
    """Snapshots that this process opens for itself, once each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[tuple[int, datetime], Snapshot] = {}

    def __call__(self, reading: Connection, head: Head, beyond: int) -> Snapshot | None:
        with self._lock:
            held = self._held.get((head.version, head.time))
            if held is None or held.edition < beyond:
                held = self._held[head.version, head.time] = self._open(reading, head)
                for old in list(self._held)[:-KEPT]:
                    del self._held[old]
        return held

    @staticmethod
    def _open(reading: Connection, head: Head) -> Snapshot:
        memory: list[memoryview] = []

        def allocate(size: int) -> memoryview:
            memory.append(anonymous(size))
            return memory[0]

        open_version(reading, head, allocate)
        return columns.opened(memory[0].toreadonly())


_source: Source = Own()
_last: Snapshot | None = None
