# SPDX-License-Identifier: Apache-2.0
"""Whether the vault still holds what the trail says was delivered: nothing gone, nothing twice, nothing hidden.

A folio that was edited or moved does not open. One that was deleted, or put back after it had been merged into
another, or hidden by an edit of a column beside it, does not show by itself. So each batch's entry tells how
many records it brought and the sum of their keyed digests, which does not depend on how they are packed and
which compaction leaves as it is. Here the whole vault is opened and summed up again. It also tells how many rows were
rejected, and why; those are opened and counted too.

What cannot be found: folios or rejected rows deleted while their batch is still open, together with what stands beside
them.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import orjson
from sqlalchemy import Connection, select

from audit import search
from audit.events import Event
from audit.models import entry as entries
from audit.verification import Fault
from bureau import folios, overlays, rejects, vault
from bureau.folios import Entry
from bureau.identities import mark_of
from bureau.models import batch as batches
from bureau.models import folio
from bureau.publications import latest
from bureau.sums import Held
from kernel.keys import Altered, Key

ENTERPRISES_AT_ONCE = 200


@dataclass(slots=True)
class _Summed:
    by_publication: dict[int, Held] = field(default_factory=lambda: defaultdict(Held))
    faults: list[Fault] = field(default_factory=list)


def faults(reading: Connection) -> Iterator[Fault]:
    """Every batch and folio that is not what was delivered; memory stays flat whatever their number.

    May run beside deliveries and compaction: what is published meanwhile is left to the next check.
    """
    until = latest(reading)
    told = list(_told(reading, until))
    yield from _batch_faults(reading, told)
    yield from rejects.faults(reading, told, until)
    summed = _Summed()
    for rows, opened in _enterprises(reading):
        _sum_up(rows, opened, summed)
        yield from summed.faults
        summed.faults.clear()
    _add_removed(reading, summed)
    for document in told:
        yield from _difference(document, summed.by_publication.pop(document["publication"], Held()))
    for number, held in summed.by_publication.items():
        if number <= until and not _is_pruned(reading):
            yield Fault(str(number), f"inserted: {held.count} records are of no batch on the trail", "publication")
    if not _is_pruned(reading):
        yield from overlays.faults(reading, until)


def _told(reading: Connection, until: int) -> Iterator[dict[str, Any]]:
    """The documents of all batches' entries, up to a publication."""
    for document in search.documents(reading, Event.BATCH_RECEIVED):
        if document["publication"] <= until:
            yield document


def _add_removed(reading: Connection, summed: _Summed) -> None:
    """Count in what the trail says was shredded or has run its time: it was delivered, but need not be held."""
    for document in search.documents(reading, Event.ENTERPRISE_SHREDDED, Event.RECORDS_REMOVED):
        for number, (count, total) in document["detail"]["removed"].items():
            summed.by_publication[int(number)].put_in(count, int(total, 16))


def _is_pruned(reading: Connection) -> bool:
    """Whether entries of batches have been taken out after their time: then not every batch has one to read."""
    gone = select(entries.c.id).where(search.of_types(reading, Event.BATCH_RECEIVED), entries.c.bytes.is_(None))
    return reading.scalar(gone.limit(1)) is not None


def _batch_faults(reading: Connection, told: Sequence[dict[str, Any]]) -> Iterator[Fault]:
    held = {str(row.id): row for row in reading.execute(select(batches))}
    for document in told:
        number, row = document["detail"]["batch"], held.get(document["detail"]["batch"])
        if row is None:
            yield Fault(number, "deleted: the trail says that it was received", "batch")
        elif row.publication != document["publication"]:
            yield Fault(
                number, f"edited: it was published as {document['publication']}, not {row.publication}", "batch"
            )
        elif (row.feed, row.digest) != (document["detail"]["feed"], document["detail"]["digest"]):
            yield Fault(number, "edited: its feed or digest is not the one received", "batch")


def _enterprises(reading: Connection) -> Iterator[tuple[list[Any], Mapping[int, Key]]]:
    """All folios of each enterprise, with their batches' publications, and its data keys."""
    after = ""
    page = select(folio.c.uscc).distinct().order_by(folio.c.uscc).limit(ENTERPRISES_AT_ONCE)
    of_all = select(*folio.c, batches.c.publication).select_from(
        folio.outerjoin(batches, batches.c.id == folio.c.batch)
    )
    while usccs := list(reading.scalars(page.where(folio.c.uscc > after))):
        between = folio.c.uscc > after, folio.c.uscc <= usccs[-1]
        rows = reading.execute(of_all.where(*between).order_by(folio.c.uscc, folio.c["class"])).all()
        opened = vault.held_keys(reading, usccs)
        for uscc, of_one in groupby(rows, key=lambda row: row.uscc):
            yield list(of_one), opened.get(uscc, {})
        after = usccs[-1]


def _sum_up(rows: Sequence[Any], opened: Mapping[int, Key], summed: _Summed) -> None:
    """Open an enterprise's folios: name those that do not say what stands beside them, count the others in."""
    for number, of_class in groupby(rows, key=lambda row: getattr(row, "class")):
        marks: Counter[int] = Counter()
        is_whole = True
        uscc = rows[0].uscc
        for row in of_class:
            name = f"{uscc} class {number} batch {row.batch} part {row.part}"
            try:
                records = [entry for region in vault.open_row(opened, row) for entry in region.entries()]
                marks.subtract(array("Q", row.marks))
                marks.update(_marks(uscc, records))
            except (Altered, ValueError, KeyError, TypeError):
                is_whole = False
                summed.faults.append(Fault(name, "altered: it does not open", "folio"))
                continue
            if said := _beside(row, records):
                summed.faults.append(Fault(name, said, "folio"))
            for publication, bodies in groupby(records, key=lambda record: record.publication):
                if publication is not None:
                    summed.by_publication[publication].add(record.body for record in bodies)
        if is_whole and any(marks.values()):
            summed.faults.append(
                Fault(f"{uscc} class {number}", "edited: its marks are not those of its records", "folio")
            )


def _marks(uscc: str, records: Iterable[Entry]) -> Iterator[int]:
    for record in records:
        said = orjson.loads(record.body)
        items = orjson.dumps(said["items"], option=orjson.OPT_SORT_KEYS)
        yield mark_of(said["source"], record.dataset, uscc, orjson.dumps(said["event_date"]), items)


def _beside(row: Any, records: Sequence[Entry]) -> str | None:
    """What is wrong with the columns beside a folio, or None."""
    if row.ended not in (0, folios.first_end(records)):
        return "edited: its column ended hides from retention what it holds"
    if row.record_count != len(records):
        return f"edited: it holds {len(records)} records, not {row.record_count}"
    known = [record.publication for record in records if record.publication is not None]
    if row.since is not None and known and row.since > min(known):
        return "edited: its column since hides its oldest records"
    return None


def _difference(document: dict[str, Any], held: Held) -> Iterator[Fault]:
    detail = document["detail"]
    if "records" not in detail:  # received by an earlier version, which did not sum up
        return
    missing = detail["accepted"] - detail.get("amended", 0) - held.count
    if missing:
        what = f"deleted: {missing} of its" if missing > 0 else f"put back: {-missing} more than its"
        yield Fault(detail["batch"], f"{what} {detail['accepted'] - detail.get('amended', 0)} records", "batch")
    elif held.hex != detail["records"]:
        yield Fault(detail["batch"], "edited: its records are not those that were received", "batch")
