# SPDX-License-Identifier: Apache-2.0
"""The sealed entries, read and looked at row by row in the order of their leaves, a section of the log at a time.

To look at a row costs more than all else that a check does, and sections do not depend on each other: of a large log
several processes take them in turns, each with a connection of its own.
"""

import os
import sqlite3
import sys
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing import get_context
from multiprocessing.context import BaseContext
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, select

from audit import rows
from audit.merkle import HASH_BYTES
from audit.models import entry as entries
from audit.models import leaf as leaves
from kernel import db
from kernel.prepared import Prepared

MOST_PROCESSES = 4
WORTH_IT = 400_000  # leaves: fewer are looked at in the time that processes take to start
AHEAD = 4  # sections of each process that may wait to be taken
LEAVES = 2_048  # of a section: what is held in memory at once
HOLE = b"\0" * HASH_BYTES  # in the place of a leaf whose entry has no hash of its own any more


@dataclass(frozen=True, slots=True)
class Section:
    """Leaves `first` and on: the hashes that their entries have, or HOLE; what is wrong, by leaf."""

    first: int
    hashes: bytes
    entries: int  # that are still there
    faults: tuple[tuple[int, str, str], ...]  # leaf, entry, what is wrong


def read(tx: Connection, size: int) -> Iterator[Section]:
    """The first `size` leaves, a section at a time, in order."""
    ranges = ((first, min(size, first + LEAVES)) for first in range(0, size, LEAVES))
    processes, bound = min(os.cpu_count() or 1, MOST_PROCESSES), db.current()
    if size < WORTH_IT or processes < 2 or not isinstance(bound, Engine):
        for first, last in ranges:
            yield _read(tx, first, last)
        return
    url = bound.url.render_as_string(hide_password=False)
    waiting: deque[Future[Section]] = deque()
    with ProcessPoolExecutor(processes, _way_to_start(), _open, (url,)) as pool:
        try:
            waiting.extend(pool.submit(_read_apart, *each) for each in islice(ranges, AHEAD * processes))
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(_read_apart, *each) for each in islice(ranges, 1))
        finally:
            pool.shutdown(cancel_futures=True)


def _way_to_start() -> BaseContext:
    """A fork needs neither to import anything nor memory of its own; beside other threads it is not safe."""
    return get_context("fork" if sys.platform == "linux" and threading.active_count() == 1 else "spawn")


def _open(url: str) -> None:
    """In a process of its own: its database. Connections that came by a fork are left to the parent."""
    db.use(db.open_engine(url))


def _read_apart(first: int, last: int) -> Section:
    with db.reading() as reading:
        return _read(reading, first, last)


def fetched(tx: Connection, statement: Prepared, parameters: dict[str, Any]) -> list[Any]:
    """Rows of `rows.COLUMNS`, also where SQLite holds a text that was edited so that it is no UTF-8: to name it."""
    try:
        return statement.all(tx, parameters)
    except sqlite3.OperationalError:  # while rows are fetched: what goes wrong before, SQLAlchemy has dressed
        driver: Any = tx.connection.driver_connection
        driver.text_factory = partial(str, encoding="utf-8", errors="replace")
        try:
            return statement.all(tx, parameters)
        finally:
            driver.text_factory = str


def _read(tx: Connection, first: int, last: int) -> Section:
    found = fetched(tx, _PAGE, {"first": first, "last": last})
    if len(found) != last - first:
        by_place = {row.place: row for row in found}
        found = [by_place.get(index) for index in range(first, last)]
    hashes, faults, there = [], [], 0
    for index, row in enumerate(found, first):
        if row is None or row.id is None:
            faults.append((index, *_gone(index, row)))
            hashes.append(HOLE)
            continue
        there += 1
        told = rows.fault(row)
        if told is not None:
            faults.append((index, row.id, told))
        hashes.append(row.leaf_hash if told is None or rows.is_hashed(row) else HOLE)
    return Section(first, b"".join(hashes), there, tuple(faults))


def _gone(index: int, row: Any) -> tuple[str, str]:
    told = f"deleted: it was sealed as leaf {index} and is no longer there"
    return (f"leaf {index}" if row is None else row.of), told


_PAGE = Prepared(
    select(*rows.COLUMNS, leaves.c.index.label("place"), leaves.c.entry.label("of"))
    .select_from(leaves.outerjoin(entries, entries.c.id == leaves.c.entry))
    .where(leaves.c.index >= bindparam("first"), leaves.c.index < bindparam("last"))
    .order_by(leaves.c.index)
    .limit(LEAVES)
)
