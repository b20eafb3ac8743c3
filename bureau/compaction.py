# SPDX-License-Identifier: Apache-2.0
"""Compaction: many small folios of one enterprise and class become few, and say exactly the same.

A year of monthly deliveries would leave one folio a record; merging them is what keeps a question's cost flat.
Nothing is dropped: superseded records stay, each with its publication, so that an answer as of any earlier
publication keeps its bytes. The merged folios are packed, encrypted, decrypted and unpacked again, and their
digest is compared with that of the old ones, before the old ones go; all in one transaction.
"""

import hashlib
from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog
from sqlalchemy import Connection, bindparam, delete, func, insert, select

from bureau import folios, vault
from bureau.folios import MAX_FOLIO_RECORDS, Entry
from bureau.models import batch as batches
from bureau.models import folio
from kernel import db
from kernel.keys import Altered

MANY = 8  # folios of one class from which merging pays
CLASSES_AT_ONCE = 500  # dossier classes looked for at once
CLASSES_A_COMMIT = 20  # and merged in one transaction: on SQLite questions wait meanwhile

log = structlog.get_logger()


def sweep(tell: Callable[[int], None] = lambda merged: None) -> int:
    """Compact every dossier's class that has MANY mergeable folios. Returns how many were merged.

    A class with a folio that does not open is left as it is, logged, and does not keep the others waiting;
    Altered is raised when all the rest is done.
    """
    merged, altered, after = 0, 0, ("", 0)
    while True:
        with db.reading() as reading:
            page = _crowded(reading, after)
        for start in range(0, len(page), CLASSES_A_COMMIT):
            with db.transaction() as tx:
                done = [_compact_apart(tx, *place) for place in page[start : start + CLASSES_A_COMMIT]]
            merged, altered = merged + done.count(True), altered + done.count(None)
            tell(merged)
        if len(page) < CLASSES_AT_ONCE:
            break
        after = page[-1]
    if altered:
        raise Altered(f"{altered} classes hold a folio that does not open and were left alone: see the log")
    return merged


def _compact_apart(tx: Connection, uscc: str, number: int) -> bool | None:
    """Compact one class in a savepoint of its own; None where it does not open."""
    try:
        with tx.begin_nested():
            return compact(tx, uscc, number)
    except Altered as error:
        log.error("not compacted", enterprise=uscc, number=number, problem=error.detail)
        return None


def compact(tx: Connection, uscc: str, number: int) -> bool:
    """Merge the folios of one class that are not full. The caller commits. Returns whether anything changed.

    Raises Altered, and changes nothing, where a folio does not open or the merged ones would say anything else.
    """
    rows = _to_merge(_published(tx, uscc, number))
    if len(rows) < 2:
        return False
    records = _entries(tx, uscc, rows)
    # By dataset, then as delivered: the order that `splice` relies on across the parts of one merge.
    records.sort(key=lambda entry: entry.dataset)
    newest = max(rows, key=lambda row: (row.publication, row.part))
    since = min(row.since if row.since is not None else row.publication for row in rows)
    marks = array("Q")
    for row in rows:
        marks.frombytes(row.marks)
    key = vault.current_keys(tx, [uscc])[uscc]
    parts = [records[at : at + MAX_FOLIO_RECORDS] for at in range(0, len(records), MAX_FOLIO_RECORDS)]
    first = max(row.part for row in rows if row.batch == newest.batch) + 1
    merged = []
    for offset, part in enumerate(parts):
        ciphertext = vault.encrypt_folio(key, uscc, number, newest.batch, first + offset, folios.pack(part))
        merged.append(
            {
                "uscc": uscc,
                "class": number,
                "batch": newest.batch,
                "part": first + offset,
                "record_count": len(part),
                "since": since,
                "ended": folios.first_end(part),
                "key_version": key.version,
                "suite": key.suite.number,
                "marks": marks.tobytes() if offset == 0 else b"",
                "ciphertext": ciphertext,
            }
        )
    _replace(tx, uscc, number, rows, merged)
    written = [row for row in _published(tx, uscc, number) if row.batch == newest.batch and row.part >= first]
    if digest(_entries(tx, uscc, written)) != digest(records):
        raise Altered(f"compaction of class {number} would not have kept every record; nothing was changed")
    return True


def digest(records: Iterable[Entry]) -> bytes:
    """SHA-256 over records in order: dataset, publication, identity, bytes."""
    hashed = hashlib.sha256()
    for record in records:
        head = f"{record.dataset}\0{record.publication}\0{record.identity}\0{len(record.body)}\0"
        hashed.update(head.encode() + record.body)
    return hashed.digest()


def _replace(tx: Connection, uscc: str, number: int, rows: Sequence[Any], merged: Sequence[dict[str, Any]]) -> None:
    places = [{"of": uscc, "number": number, "from_batch": row.batch, "from_part": row.part} for row in rows]
    if tx.execute(_DELETE, places).rowcount != len(rows):
        raise Altered("a folio vanished while it was being compacted; nothing was changed")
    tx.execute(insert(folio), merged)


def _entries(tx: Connection, uscc: str, rows: Sequence[Any]) -> list[Entry]:
    return [entry for regions in vault.read(tx, uscc, rows) for region in regions for entry in region.entries()]


def _to_merge(rows: Sequence[Any]) -> Sequence[Any]:
    """What is merged: all behind the last full folio; from the first part-filled one, where several are before it."""
    full = [place for place, row in enumerate(rows) if row.record_count >= MAX_FOLIO_RECORDS]
    if not full:
        return rows
    filled_in_part = [place for place in range(full[-1]) if place not in full]
    return rows[filled_in_part[0] :] if len(filled_in_part) > 1 else rows[full[-1] + 1 :]


def _published(tx: Connection, uscc: str, number: int) -> Sequence[Any]:
    """The published folios of a class, in order, locked against another compactor."""
    columns = [*folio.c, batches.c.publication]
    held = (
        select(*columns)
        .select_from(folio.join(batches, batches.c.id == folio.c.batch))
        .where(folio.c.uscc == uscc, folio.c["class"] == number, batches.c.publication.is_not(None))
        .order_by(batches.c.publication, folio.c.part)
        .with_for_update(of=folio)
    )
    return tx.execute(held).all()


def _crowded(reading: Connection, after: tuple[str, int]) -> list[tuple[str, int]]:
    """The next (USCC, class) pairs with MANY folios that are not full, in order."""
    number = folio.c["class"]
    place = (folio.c.uscc > after[0]) | ((folio.c.uscc == after[0]) & (number > after[1]))
    crowded = (
        select(folio.c.uscc, number)
        .select_from(folio.join(batches, batches.c.id == folio.c.batch))
        .where(place, batches.c.publication.is_not(None), folio.c.record_count < MAX_FOLIO_RECORDS)
        .group_by(folio.c.uscc, number)
        .having(func.count() >= MANY)
        .order_by(folio.c.uscc, number)
        .limit(CLASSES_AT_ONCE)
    )
    return [(uscc, int(number)) for uscc, number in reading.execute(crowded)]


_DELETE = delete(folio).where(
    folio.c.uscc == bindparam("of"),
    folio.c["class"] == bindparam("number"),
    folio.c.batch == bindparam("from_batch"),
    folio.c.part == bindparam("from_part"),
)
