# SPDX-License-Identifier: Apache-2.0
"""Removal: negative records of persons go from the vault once their time is over (征信业管理条例 Art. 16).

Answers leave them out by themselves from that day on (`bureau.retention`). Here they are taken out of their folios,
with what was laid over them, some classes in each transaction, each class with its entry: how many, and the sums by
publication without which `bureau verify` would miss them. An answer that told of one can then not be composed again
(410). Interrupted, the next sweep goes on with what is left; a sweep with nothing to do reads one index.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import orjson
import structlog
from sqlalchemy import Connection, delete, select, update

from audit import trail
from audit.events import Event
from bureau import catalogue, folios, identities, overlays, retention, vault
from bureau.folios import Correction, Entry
from bureau.models import batch as batches
from bureau.models import folio, overlay
from bureau.publications import publish
from bureau.retention import Cutoff
from bureau.sums import Held, chunks
from kernel import clock, db
from kernel.keys import Altered

CLASSES_AT_ONCE = 500
CLASSES_A_COMMIT = 20

log = structlog.get_logger()


def sweep(day: date | None = None, tell: Callable[[int], None] = lambda removed: None) -> int:
    """Remove what has run its time as of a day (default: today). Returns how many records went.

    A class with a folio that does not open is left as it is and logged; Altered is raised when all the rest is done.
    """
    cutoff = retention.current().cutoff(day or clock.legal_day(clock.now()))
    removed, altered, after = 0, 0, ("", 0)
    while True:
        with db.reading() as reading:
            page = _due(reading, cutoff, after)
        for start in range(0, len(page), CLASSES_A_COMMIT):
            with trail.recording() as tx:
                done = [_remove_apart(tx, *place, cutoff) for place in page[start : start + CLASSES_A_COMMIT]]
            removed, altered = removed + sum(count or 0 for count in done), altered + done.count(None)
            tell(removed)
        if len(page) < CLASSES_AT_ONCE:
            break
        after = page[-1]
    if altered:
        raise Altered(f"{altered} classes hold a folio that does not open and were left alone: see the log")
    return removed


def remove(tx: Connection, uscc: str, number: int, cutoff: Cutoff) -> int:
    """Take what is over out of one class, with its entry. Returns how many records. The caller commits.

    Raises Altered, and changes nothing, where a folio does not open.
    """
    rows = _locked(tx, uscc, number)
    held = [[entry for region in regions for entry in region.entries()] for regions in vault.read(tx, uscc, rows)]
    over = _over(tx, uscc, [entry for entries in held for entry in entries], cutoff)
    gone = [entry for entries in held for entry in entries if _told_apart(entry) in over]
    kept = [[entry for entry in entries if _told_apart(entry) not in over] for entries in held]
    marks = Counter(_mark(uscc, entry) for entry in gone)
    for row, before, left in zip(rows, held, kept, strict=True):
        _write(tx, row, before, left, marks)
    if gone:
        publication, _ = publish(tx, "retention", uscc=uscc)
        laid = _remove_overlays(tx, uscc, {_id_of(entry) for entry in gone})
        _tell(tx, uscc, number, publication, gone, laid)
    return len(gone)


def _remove_apart(tx: Connection, uscc: str, number: int, cutoff: Cutoff) -> int | None:
    """Remove from one class in a savepoint of its own; None where it does not open."""
    try:
        with tx.begin_nested():
            return remove(tx, uscc, number, cutoff)
    except Altered as error:
        log.error("not removed", enterprise=uscc, number=number, problem=error.detail)
        return None


def _over(tx: Connection, uscc: str, entries: Sequence[Entry], cutoff: Cutoff) -> set[tuple[str, int]]:
    """Of which records the time is over: the latest version decides for all, lest an earlier one stand again."""
    latest = {_told_apart(entry): entry for entry in entries}
    if not any(entry.end < 0 for entry in latest.values()):
        return set()
    above: dict[str, list[Correction]] = defaultdict(list)
    for one in overlays.lying(tx, uscc):
        if one.until is None:
            above[one.record].append(one.correction)
    return {
        place for place, entry in latest.items() if (end := folios.end_under(entry, above)) < 0 and cutoff.is_over(end)
    }


def _told_apart(entry: Entry) -> tuple[str, int]:
    return entry.dataset, entry.identity


def _write(tx: Connection, row: Any, before: Sequence[Entry], left: Sequence[Entry], gone: "Counter[int]") -> None:
    """Put what is left of a folio in its place, without the marks of what went (taken off `gone`)."""
    kept_marks = array("Q")
    for mark in array("Q", row.marks):
        if gone[mark] > 0:
            gone[mark] -= 1
        else:
            kept_marks.append(mark)
    number = getattr(row, "class")
    here = (
        folio.c.uscc == row.uscc,
        folio.c["class"] == number,
        folio.c.batch == row.batch,
        folio.c.part == row.part,
    )
    if not left and not kept_marks:
        tx.execute(delete(folio).where(*here))
        return
    values: dict[str, Any] = {"ended": folios.first_end(left), "marks": kept_marks.tobytes()}
    if len(left) < len(before):
        key = vault.held_keys(tx, [row.uscc])[row.uscc][row.key_version]
        packed = folios.pack(left)
        ciphertext = vault.encrypt_folio(key, row.uscc, number, row.batch, row.part, packed)
        values |= {"record_count": len(left), "ciphertext": ciphertext}
    if any(getattr(row, name) != value for name, value in values.items()):
        tx.execute(update(folio).where(*here).values(**values))


def _mark(uscc: str, entry: Entry) -> int:
    said = orjson.loads(entry.body)
    items = orjson.dumps(said["items"], option=orjson.OPT_SORT_KEYS)
    return identities.mark_of(said["source"], entry.dataset, uscc, orjson.dumps(said["event_date"]), items)


def _id_of(entry: Entry) -> str:
    return str(orjson.loads(entry.body)["id"])


def _remove_overlays(tx: Connection, uscc: str, records: set[str]) -> dict[int, Held]:
    """Delete what lies on these records. Returns its sums by the publication that laid it."""
    lying = [one for one in overlays.lying(tx, uscc) if one.record in records]
    if lying:
        tx.execute(delete(overlay).where(overlay.c.uscc == uscc, overlay.c.id.in_([one.id for one in lying])))
    return overlays.summed(uscc, lying)


def _tell(
    tx: Connection, uscc: str, number: int, publication: int, gone: Sequence[Entry], laid: dict[int, Held]
) -> None:
    sums: dict[int, Held] = defaultdict(Held)
    for entry in gone:
        assert entry.publication is not None, "only published folios are looked at"
        sums[entry.publication].add([entry.body])
    datasets = Counter(catalogue.current().datasets[entry.dataset].code for entry in gone)
    counts = {"records": len(gone), "datasets": dict(sorted(datasets.items())), "class": number}
    for some in chunks(removed=sums, overlays=laid):
        said = trail.Entry(
            type=Event.RECORDS_REMOVED,
            actor="retention",
            channel="counter",
            uscc=uscc,
            classes=(number,),
            publication=publication,
            rule="征信业管理条例 Art. 16",
            detail={**counts, **some},
        )
        trail.append(tx, said)


def _locked(tx: Connection, uscc: str, number: int) -> Sequence[Any]:
    """The published folios of a class, locked against a compactor."""
    held = (
        select(*folio.c, batches.c.publication)
        .select_from(folio.join(batches, batches.c.id == folio.c.batch))
        .where(folio.c.uscc == uscc, folio.c["class"] == number, batches.c.publication.is_not(None))
        .order_by(batches.c.publication, folio.c.part)
        .with_for_update(of=folio)
    )
    return tx.execute(held).all()


def _due(reading: Connection, cutoff: Cutoff, after: tuple[str, int]) -> list[tuple[str, int]]:
    """The next (USCC, class) pairs in which something may have to go, in order."""
    number = folio.c["class"]
    place = (folio.c.uscc > after[0]) | ((folio.c.uscc == after[0]) & (number > after[1]))
    due = (
        select(folio.c.uscc, number)
        .select_from(folio.join(batches, batches.c.id == folio.c.batch))
        .where(place, batches.c.publication.is_not(None), folio.c.ended <= retention.month_of(cutoff.personal))
        .distinct()
        .order_by(folio.c.uscc, number)
        .limit(CLASSES_AT_ONCE)
    )
    return [(uscc, int(number)) for uscc, number in reading.execute(due)]
