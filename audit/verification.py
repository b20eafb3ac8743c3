# SPDX-License-Identifier: Apache-2.0
"""Recompute the trail from its own bytes and name every entry that is not what was written.

What this finds before sealing: an edited byte, an edited column, an entry whose `unsealed` note is gone, a note
whose entry is gone. What it cannot find before sealing: an entry removed together with its note, or rewritten
together with its leaf hash; only the signed tree shows that.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import Connection, String, cast, func, select

from audit import trail
from audit.merkle import leaf_hash
from audit.models import entry as entries
from audit.models import unsealed
from kernel import canonical, clock

ROWS_AT_ONCE = 2_000
_INDEXED = ("id", "type", "actor", "uscc", "institution", "consent", "outcome", "billable")
_SALTED = ("operator", "reference", "idempotency_key")


@dataclass(frozen=True, slots=True)
class Fault:
    """An entry (or what `kind` says, by its id) that is not what was written, and what is wrong with it."""

    entry: str
    fault: str
    kind: str = "entry"


@dataclass(frozen=True, slots=True)
class Report:
    """What a check of the trail found. Before any sealing the tree has size 0 and no root."""

    ok: bool
    entries: int
    size: int
    root: str | None
    unsealed: int
    faults: tuple[Fault, ...]


def verify(tx: Connection) -> Report:
    """Check every entry; memory stays flat whatever their number."""
    faults, checked = [], 0
    for row in _all_entries(tx):
        checked += 1
        if told := _checked(row):
            faults.append(Fault(row.id, told))
    faults.extend(_missing(tx))
    waiting = tx.scalar(select(func.count()).select_from(unsealed)) or 0
    return Report(not faults, checked, 0, None, waiting, tuple(faults))


def _missing(tx: Connection) -> Iterator[Fault]:
    note = unsealed.c.entry
    for entry_id in tx.scalars(select(note).where(~select(entries.c.id).where(entries.c.id == note).exists())):
        yield Fault(entry_id, "deleted: it was noted as unsealed and is no longer there")


def _checked(row: Any) -> str | None:
    """As `check`, for a row whose columns may even be of the wrong type."""
    try:
        return check(row)
    except (TypeError, AttributeError, ValueError, UnicodeError):
        return "edited: a column holds what was never written"


def check(row: Any) -> str | None:
    """What is wrong with one row of the trail, or None."""
    if not isinstance(row.bytes, bytes):
        return "edited: its bytes are gone"
    if leaf_hash(row.bytes) != row.leaf_hash:
        return "edited: its bytes do not hash to its leaf hash"
    document = _read(row.bytes)
    if document is None:
        return "edited: its bytes are not a canonical JSON object"
    for name in _INDEXED:
        if document.get(name) != getattr(row, name):
            return f"edited: its column {name} differs from its bytes"
    if document.get("time") != _written(row.time):
        return "edited: its column time differs from its bytes"
    for name in _SALTED:
        clear = getattr(row, name)
        if document.get(f"{name}_digest") != (clear and trail.salted_digest(row.salt, clear)):
            return f"edited: its {name} differs from its digest"
    if not row.noted:
        return "edited: its note as unsealed is gone"
    return None


def _read(leaf: bytes) -> dict[str, Any] | None:
    """The document of an entry's bytes, if they are what canonical JSON makes of one."""
    try:
        document = orjson.loads(leaf)
        return document if isinstance(document, dict) and canonical.encode(document) == leaf else None
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):  # the latter where it is nested too deeply
        return None


def _written(time: str) -> str | None:
    """A time as the database tells it in words, in the form that an entry's bytes have."""
    try:
        return clock.rfc3339(datetime.fromisoformat(time).replace(tzinfo=UTC))
    except ValueError:
        return None


def _all_entries(tx: Connection) -> Iterator[Any]:
    after = ""
    noted = select(unsealed.c.entry).where(unsealed.c.entry == entries.c.id).exists().label("noted")
    # In words, because a time that was made into nonsense must be named, and could not be fetched as a time.
    time = cast(entries.c.time, String).label("time")
    columns = [column for column in entries.c if column.name != "time"]
    while True:
        page = select(*columns, time, noted).where(entries.c.id > after).order_by(entries.c.id).limit(ROWS_AT_ONCE)
        rows = tx.execute(page).all()
        yield from rows
        if len(rows) < ROWS_AT_ONCE:
            return
        after = rows[-1].id
