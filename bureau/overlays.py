# SPDX-License-Identifier: Apache-2.0
"""Overlays: what lies over a record (a correction, a dispute mark, a withdrawal) from one publication to another.

The record itself stays as it was delivered (征信业务管理办法 Art. 17). An overlay is a row of its own, encrypted like
a folio; it is never edited: lifting it sets the publication from which it no longer holds. The entry of the act
that laid overlays tells how many and the sum of their keyed digests, so that `faults` finds one that was edited,
deleted, added, or put at another time.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, insert, select, update

from audit import search
from audit.events import Event
from audit.verification import Fault
from bureau import folios, vault
from bureau.folios import Correction
from bureau.models import batch as batches
from bureau.models import overlay
from bureau.sums import Held
from kernel.keys import Altered

ROWS_AT_ONCE = 2_000
TAKING_AWAY = Event.ENTERPRISE_SHREDDED, Event.RECORDS_REMOVED


class Laid(NamedTuple):
    """One overlay as it is laid."""

    uscc: str
    id: str  # of several on one record, and of one publication, the greater lies above
    record: str
    correction: Correction


class Shown(NamedTuple):
    """One overlay as it lies, opened."""

    id: str
    record: str
    correction: Correction
    since: int  # 0 while its batch is open
    until: int | None
    batch: int | None


def write(tx: Connection, laid: Sequence[Laid], *, since: int | None = None, batch: int | None = None) -> Held:
    """Encrypt and store overlays, valid from a publication or, without one, once their batch is published.

    Returns their sum, which the act's entry must tell. The caller commits.
    """
    if not laid:
        return Held()
    current, rows, summed = vault.current_keys(tx, {one.uscc for one in laid}), [], Held()
    for one in laid:
        key, number = current[one.uscc], vault.class_of(one.record)
        content = folios.pack_correction(one.record, one.correction)
        summed.add([_told(one.uscc, one.id, content)])
        rows.append(
            {
                "uscc": one.uscc,
                "id": one.id,
                "class": number,
                "since": since,
                "until": None,
                "batch": batch,
                "key_version": key.version,
                "suite": key.suite.number,
                "ciphertext": vault.encrypt_overlay(key, one.uscc, number, one.id, content),
            }
        )
    if rows:
        tx.execute(insert(overlay), rows)
    return summed


def publish_with(tx: Connection, batch: int, publication: int) -> None:
    """Make the overlays of a batch valid from its publication."""
    tx.execute(update(overlay).where(overlay.c.batch == batch).values(since=publication))


def end(tx: Connection, uscc: str, overlay_id: str, until: int) -> bool:
    """Let an overlay hold no longer, from a publication on. Returns whether there was one that held."""
    of = (overlay.c.uscc == uscc) & (overlay.c.id == overlay_id) & overlay.c.until.is_(None)
    return tx.execute(update(overlay).where(of, overlay.c.since.is_not(None)).values(until=until)).rowcount == 1


def lying(tx: Connection, uscc: str) -> list[Shown]:
    """All published overlays of an enterprise, those that were lifted too, in the order in which they were laid."""
    return _opened(tx, uscc, overlay.c.since.is_not(None))


def brought(tx: Connection, uscc: str, batch: int) -> list[Shown]:
    """What an open batch has brought to lie on an enterprise's records so far, in that order."""
    return _opened(tx, uscc, (overlay.c.batch == batch) & overlay.c.since.is_(None))


def _opened(tx: Connection, uscc: str, which: ColumnElement[bool]) -> list[Shown]:
    rows = tx.execute(select(overlay).where(overlay.c.uscc == uscc, which)).all()
    opened = vault.held_keys(tx, [uscc]).get(uscc, {})
    shown = []
    for row in sorted(rows, key=lambda row: (row.since or 0, row.id)):
        content = vault.open_overlay(opened, uscc, getattr(row, "class"), row.id, row)
        shown.append(Shown(row.id, *folios.unpack_correction(content), row.since or 0, row.until, row.batch))
    return shown


def sums(tx: Connection, uscc: str) -> dict[int, Held]:
    """What lies on an enterprise's records, by the publication that laid it."""
    return summed(uscc, lying(tx, uscc))


def summed(uscc: str, lying: Iterable[Shown]) -> dict[int, Held]:
    """Some of them, by the publication that laid them."""
    found: dict[int, Held] = {}
    for one in lying:
        content = folios.pack_correction(one.record, one.correction)
        found.setdefault(one.since, Held()).add([_told(uscc, one.id, content)])
    return found


def faults(reading: Connection, until: int) -> Iterator[Fault]:
    """Every overlay, of those laid up to a publication, that is not what the trail says was laid or lifted."""
    told, lifted = _on_the_trail(reading, until)
    held: dict[int, Held] = defaultdict(Held)
    for row, content in _rows(reading):
        name = f"{row.uscc} overlay {row.id}"
        if content is None:
            yield Fault(name, "altered: it does not open", "overlay")
            continue
        if row.since is None:
            if row.published is not None:
                yield Fault(name, "edited: its batch is published and it is hidden", "overlay")
            continue
        if row.since <= until:
            held[row.since].add([_told(row.uscc, row.id, content)])
        ended = lifted.pop((row.uscc, row.id), None)
        if row.until != ended and (row.until is None or row.until <= until):
            yield Fault(name, f"edited: it holds until {row.until}, on the trail until {ended}", "overlay")
    for number in sorted({*told, *held}):
        if held[number] != told[number]:
            missing = told[number].count - held[number].count
            what = "deleted" if missing > 0 else "inserted" if missing < 0 else "edited"
            yield Fault(str(number), f"{what}: its overlays are not those that were laid", "publication")


def _told(uscc: str, overlay_id: str, content: bytes) -> bytes:
    """What is summed up of an overlay: no record begins so."""
    return f"overlay\0{uscc}\0{overlay_id}\0".encode() + content


def _on_the_trail(reading: Connection, until: int) -> tuple[dict[int, Held], dict[tuple[str, str], int]]:
    """What was laid by publication, less what went since; and which overlays were lifted, at which publication."""
    told: dict[int, Held] = defaultdict(Held)
    lifted: dict[tuple[str, str], int] = {}
    kinds = (Event.BATCH_RECEIVED, Event.OVERLAY_LAID, Event.OVERLAY_LIFTED, *TAKING_AWAY)
    for document in search.documents(reading, *kinds):
        detail, number = document["detail"], document["publication"]
        if number > until:
            continue
        if document["type"] == Event.OVERLAY_LIFTED:
            lifted[document["uscc"], detail["overlay"]] = number
        elif document["type"] in TAKING_AWAY:
            for publication, (count, total) in detail.get("overlays", {}).items():
                told[int(publication)].take_out(count, int(total, 16))
        elif "overlays" in detail:
            count, total = detail["overlays"]
            told[number].put_in(count, int(total, 16))
    return told, lifted


def _rows(reading: Connection) -> Iterator[tuple[Any, bytes | None]]:
    """Every overlay with what it says, None where it does not open; memory stays flat."""
    after = ("", "")
    columns = *overlay.c, batches.c.publication.label("published")
    page = select(*columns).select_from(overlay.outerjoin(batches, batches.c.id == overlay.c.batch))
    while True:
        beyond = (overlay.c.uscc > after[0]) | ((overlay.c.uscc == after[0]) & (overlay.c.id > after[1]))
        rows = reading.execute(page.where(beyond).order_by(overlay.c.uscc, overlay.c.id).limit(ROWS_AT_ONCE)).all()
        opened = vault.held_keys(reading, {row.uscc for row in rows})
        for row in rows:
            try:
                number = getattr(row, "class")
                yield row, vault.open_overlay(opened.get(row.uscc, {}), row.uscc, number, row.id, row)
            except Altered:
                yield row, None
        if len(rows) < ROWS_AT_ONCE:
            return
        after = rows[-1].uscc, rows[-1].id
