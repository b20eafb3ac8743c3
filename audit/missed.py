# SPDX-License-Identifier: Apache-2.0
"""Entries that were deleted before they were sealed, but for their notes: the trail itself tells which.

A note without an entry is never rightful: a trigger writes it in the entry's own transaction. Left where they are,
enough of such notes would keep the sealer from all that waits behind them; thrown away, nobody would know. So the
sealer writes them into an entry, which is sealed like any other, and only then takes the notes away, in one commit.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, func, select

from audit import trail
from audit.events import Event
from audit.models import entry as entries

ID_CHARACTERS = 36  # an honest note has no more; on SQLite nothing keeps a forged one from it
ENTRIES_AT_ONCE = 50
IDS_AN_ENTRY = 250  # of at most 6 bytes a character: an entry holds at most 64 KiB
_FACET = trail.facet_of({"type": Event.ENTRIES_MISSED.value})


def tell(tx: Connection, notes: Sequence[Any]) -> None:
    """Write down whose notes were found without their entries. The caller commits."""
    for start in range(0, len(notes), IDS_AN_ENTRY):
        named = [str(note)[:ID_CHARACTERS] for note in notes[start : start + IDS_AN_ENTRY]]
        detail = {"count": len(named), "entries": named}
        trail.append(tx, trail.Entry(type=Event.ENTRIES_MISSED, actor="sealer", channel="worker", detail=detail))


def count(tx: Connection) -> int:
    """How many entries tell of such a finding; more than 0 means that someone reached into the database."""
    return tx.scalar(select(func.count()).where(entries.c.facet == _FACET)) or 0


def told(tx: Connection) -> Iterator[tuple[str, str]]:
    """Each entry that was missed, and the entry that tells so."""
    after = ""
    page = select(entries.c.id, entries.c.bytes).where(entries.c.facet == _FACET).order_by(entries.c.id)
    while rows := tx.execute(page.where(entries.c.id > after).limit(ENTRIES_AT_ONCE)).all():
        for row in rows:
            yield from ((str(one), row.id) for one in _missed(row.bytes))
        after = rows[-1].id


def _missed(content: bytes | None) -> Sequence[Any]:
    """The ids in such an entry; none where it was edited, which the check of the trail names."""
    try:
        found = orjson.loads(content or b"")["detail"]["entries"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ()
    return found if isinstance(found, list) else ()
