# SPDX-License-Identifier: Apache-2.0
"""The sealed entries, read and looked at row by row in the order of their leaves, a section of the log at a time.

To look at a row costs more than all else that a check does, and sections do not depend on each other: of a large log
several processes take them in turns, each with a connection of its own.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, bindparam, select

from audit import apart, rows
from audit.merkle import HASH_BYTES
from audit.models import entry as entries
from audit.models import leaf as leaves
from kernel.prepared import Prepared

LEAVES = 2_048  # of a section
ROWS = 256  # fetched at once: as many as stay in a core's cache until they are looked at
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
    return apart.in_order(_read, tx, ranges, size)


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
    hashes, faults, there = [], [], 0
    for index, row in enumerate(_rows(tx, first, last), first):
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


def _rows(tx: Connection, first: int, last: int) -> Iterator[Any]:
    """The rows of leaves `first` to `last` - 1, None for a leaf that is not there."""
    for at in range(first, last, ROWS):
        end = min(last, at + ROWS)
        found = fetched(tx, _PAGE, {"first": at, "last": end})
        if len(found) != end - at:
            by_place = {row.place: row for row in found}
            found = [by_place.get(index) for index in range(at, end)]
        yield from found


def _gone(index: int, row: Any) -> tuple[str, str]:
    told = f"deleted: it was sealed as leaf {index} and is no longer there"
    return (f"leaf {index}" if row is None else row.of), told


_PAGE = Prepared(
    select(*rows.COLUMNS, leaves.c.index.label("place"), leaves.c.entry.label("of"))
    .select_from(leaves.outerjoin(entries, entries.c.id == leaves.c.entry))
    .where(leaves.c.index >= bindparam("first"), leaves.c.index < bindparam("last"))
    .order_by(leaves.c.index)
    .limit(ROWS)
)
