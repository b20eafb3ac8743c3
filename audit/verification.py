# SPDX-License-Identifier: Apache-2.0
"""Recompute the trail from its own bytes and name every entry that is not what was written.

Two passes, each streaming. The first looks at every entry: its bytes, its leaf hash, its columns, its place. The
second grows the tree anew from the entries in the order of their leaves, and holds it against the tiles, against
every checkpoint's root and signature, and against the log as it was published.

What no check here can find: an entry removed together with its note before it was sealed, or rewritten together
with its leaf hash; and a log rolled back together with its published files. Those show against a receipt, an
institution's own copy, or a witness.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, String, cast, func, select

from audit import growth, trail
from audit.growth import Fault
from audit.merkle import leaf_hash
from audit.models import entry as entries
from audit.models import leaf as leaves
from audit.models import log_head, unsealed
from kernel import canonical, clock

ROWS_AT_ONCE = 2_000
_INDEXED = ("id", "type", "actor", "uscc", "institution", "consent", "outcome", "billable")
_SALTED = ("operator", "reference", "idempotency_key")

__all__ = ["Fault", "Report", "check", "verify"]


@dataclass(frozen=True, slots=True)
class Report:
    """What a check of the trail found. Before any sealing the tree has size 0 and no root."""

    ok: bool
    entries: int
    size: int
    root: str | None
    unsealed: int
    faults: tuple[Fault, ...]


def verify(tx: Connection, published: Path | None = None, tell: Callable[[int], None] = lambda done: None) -> Report:
    """Check every entry and the whole tree; memory stays flat whatever their number.

    `published` is the folder of the log as files, if there is one; `tell` hears how many entries were looked at.
    """
    faults, checked = [], 0
    for row in _all_entries(tx):
        checked += 1
        if told := _checked(row):
            faults.append(Fault(row.id, told))
        if checked % ROWS_AT_ONCE == 0:
            tell(checked)
    faults.extend(_missing(tx))
    named = {fault.entry for fault in faults}
    faults.extend(fault for fault in growth.faults(tx, published) if fault.entry not in named)
    waiting = tx.scalar(select(func.count()).select_from(unsealed)) or 0
    size = tx.scalar(select(log_head.c.size)) or 0
    root = growth.signed_root(tx, size)
    return Report(not faults, checked, size, root.hex() if root else None, waiting, tuple(faults))


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
    if trail.facet_of(document) != row.facet or trail.mask_of(document.get("classes")) != row.classes:
        return "edited: what review finds it by differs from its bytes"
    if document.get("time") != _written(row.time):
        return "edited: its column time differs from its bytes"
    for name in _SALTED:
        clear = getattr(row, name)
        if document.get(f"{name}_digest") != (clear and trail.salted_digest(row.salt, clear)):
            return f"edited: its {name} differs from its digest"
    if row.noted is None and row.place is None:
        return "inserted, or its note removed: it is neither sealed nor noted as unsealed"
    if row.noted is not None and row.place is not None:
        return "edited: it is noted as unsealed, and sealed"
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
    # In words, because a time that was made into nonsense must be named, and could not be fetched as a time.
    time = cast(entries.c.time, String).label("time")
    columns = [column for column in entries.c if column.name != "time"]
    places = leaves.c.index.label("place"), unsealed.c.entry.label("noted")
    joined = entries.outerjoin(leaves, leaves.c.entry == entries.c.id).outerjoin(
        unsealed, unsealed.c.entry == entries.c.id
    )
    page = select(*columns, time, *places).select_from(joined).order_by(entries.c.id).limit(ROWS_AT_ONCE)
    while True:
        rows = tx.execute(page.where(entries.c.id > after)).all()
        yield from rows
        if len(rows) < ROWS_AT_ONCE:
            return
        after = rows[-1].id
