# SPDX-License-Identifier: Apache-2.0
"""Intake: one delivery in, every row accepted or rejected with its reason, a receipt back. Nothing is lost.

    1. open    the batch is written down before its first row; the same delivery again gives its first receipt,
               and one that was interrupted goes on behind its last stored row
    2. rows    a chunk at a time: judged, packed, encrypted and stored, with the progress, in one transaction
    3. close   one short transaction: publication number, receipt, entry on the trail; now all of it is visible

Kill the process anywhere: an open batch's folios are invisible, and the next run resumes it. Two processes
given the same delivery cannot both advance it: each chunk first claims the batch from where it read it, or fails.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any

import orjson
from sqlalchemy import Connection, delete, insert, literal, select, update

from access import sources
from audit import trail
from audit.events import Event
from bureau import amendments, catalogue, coverage, directory, identities, overlays, rejects, retention, vault
from bureau.catalogue import Catalogue, Dataset
from bureau.folios import Entry, Packet
from bureau.identities import mark_of
from bureau.judging import CONSENT_BASES, Accepted, Rejected, judge
from bureau.models import batch as batches
from bureau.models import folio, open_batch
from bureau.publications import publish, wait_in_line
from bureau.records import Batch, Row, Unreadable
from bureau.sums import Held
from consent import collection
from kernel import bulk, clock
from kernel import uscc as codes
from kernel.errors import Conflict
from kernel.idempotency import settle

CHUNK_ROWS = 10_000
CHUNK_CHARACTERS = 2_000_000
NAME_ITEM, DIVISION_ITEM = "C1.01.01", "C1.01.17"


@dataclass(slots=True)
class Receipt:
    """What became of a delivery: `accepted + rejected == rows`.

    Of the accepted, `repeated` said nothing new and `amended` correct or withdraw records, so are none themselves.
    """

    batch: str
    feed: str
    rows: int = 0
    accepted: int = 0
    rejected: int = 0
    repeated: int = 0
    amended: int = 0
    duplicate: bool = False
    reasons: dict[str, int] = field(default_factory=dict)
    warnings: dict[str, int] = field(default_factory=dict)

    def count(self, judged: Sequence[Accepted | Rejected], repeated: int) -> None:
        reasons, warnings = Counter(self.reasons), Counter(self.warnings)
        for one in judged:
            if isinstance(one, Rejected):
                self.rejected += 1
                reasons[one.reason] += 1
            else:
                self.accepted += 1
                self.amended += bool(one.row.act)
                warnings.update(one.warnings)
        self.rows += len(judged)
        self.repeated += repeated
        self.reasons, self.warnings = dict(sorted(reasons.items())), dict(sorted(warnings.items()))


@dataclass(frozen=True, slots=True)
class _Opened:
    batch: int
    received_at: str
    rows_done: int
    parts_done: int
    receipt: Receipt
    newest: str | None  # the newest event date so far
    held: Held  # what its entry will say that the vault must hold of records
    laid: Held  # and of overlays


def receive(batch: Batch, tell: Callable[[int], None] = lambda rows: None) -> Receipt:
    """Take a delivery in. `tell` hears the number of rows done after each chunk.

    Raises NotPermitted (`source-not-approved`) before anything is stored where the source may not deliver,
    Conflict where another process is receiving the same delivery, and what the reader of `batch.rows`
    raises; the batch then stays open, invisible, and is resumed by the next call.
    """
    opened = settle(lambda: _open(batch))
    if isinstance(opened, Receipt):
        return opened
    for chunk in _chunks(islice(batch.rows, opened.rows_done, None)):
        with trail.recording() as tx:
            opened = _store_chunk(tx, batch, opened, chunk)
        tell(opened.rows_done)
    with trail.recording() as tx:
        return _close(tx, batch, opened)


def _chunks(rows: Iterable[Row | Unreadable]) -> Iterator[list[Row | Unreadable]]:
    """Rows by the chunk: few where they are long, so that memory follows neither the file nor its longest rows."""
    chunk: list[Row | Unreadable] = []
    characters = 0
    for row in rows:
        chunk.append(row)
        characters += sum(map(len, row.delivered.values()))
        if len(chunk) >= CHUNK_ROWS or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _open(batch: Batch) -> _Opened | Receipt:
    """The open batch of this delivery, made or found; or the receipt, where it was received before."""
    with trail.recording() as tx:
        sources.require_approved(tx, batch.source)
        progress = open_batch.c.rows_done, open_batch.c.parts_done, open_batch.c.progress
        here = batches.c.feed == batch.feed, batches.c.digest == batch.digest
        both = select(batches, *progress).select_from(batches.outerjoin(open_batch)).where(*here)
        held = tx.execute(both).one_or_none()
        if held is None:
            return _begin(tx, batch)
        if held.publication is not None:
            return Receipt(**{**orjson.loads(held.receipt), "duplicate": True})
        told = orjson.loads(held.progress)
        total, (count, laid) = told.pop("records", "0"), told.pop("overlays", (0, "0"))
        newest = told.pop("newest", None)
        receipt = Receipt(**told)
        return _Opened(
            batch=held.id,
            received_at=clock.rfc3339(held.received_at),
            rows_done=held.rows_done,
            parts_done=held.parts_done,
            receipt=receipt,
            newest=newest,
            held=Held(receipt.accepted - receipt.amended, int(total, 16)),
            laid=Held(count, int(laid, 16)),
        )


def _begin(tx: Connection, batch: Batch) -> _Opened:
    now = clock.now()
    values: dict[str, Any] = {"feed": batch.feed, "source": batch.source, "digest": batch.digest, "received_at": now}
    values["repairs"] = batch.repairs
    number: int = tx.execute(insert(batches).values(**values).returning(batches.c.id)).scalar_one()
    receipt = Receipt(str(number), batch.feed)
    tx.execute(insert(open_batch).values(batch=number, rows_done=0, parts_done=0, progress=_dumps(receipt)))
    return _Opened(number, clock.rfc3339(now), 0, 0, receipt, None, Held(), Held())


def _store_chunk(tx: Connection, batch: Batch, opened: _Opened, chunk: Sequence[Row | Unreadable]) -> _Opened:
    """Judge, pack, encrypt and store one chunk, and move the progress behind it."""
    _claim(tx, opened)
    known = catalogue.current()
    needed: set[str] = set()
    if batch.basis in CONSENT_BASES:
        needed = {row.uscc for row in chunk if isinstance(row, Row) and codes.has_pattern(row.uscc)}
    if batch.basis == "lender":
        coverage.note_borrowers(tx, filter(codes.is_valid, needed), batch.source)
    collecting = collection.allowed(tx, needed)
    judged = [judge(row, batch, known, collecting) for row in chunk]
    acts = [one for one in judged if isinstance(one, Accepted) and one.row.act]
    amended = amendments.from_source(tx, opened.batch, batch.source, acts)
    refused = dict(amended.refused)
    if batch.repairs is not None:
        sound = [one for one in judged if isinstance(one, Accepted) and one.row.number not in refused]
        refused |= rejects.claim(tx, batch.repairs, opened.batch, sound)
    if refused:
        judged = [refused.get(_number(one), one) for one in judged]
    accepted = [one for one in judged if isinstance(one, Accepted) and not one.row.act]
    packets = _packets(accepted, batch, opened, known)
    repeated = _count_repeats(tx, packets) + amended.repeated
    parts = vault.store(tx, opened.batch, opened.parts_done, packets)
    rejects.keep(tx, opened.batch, [one for one in judged if isinstance(one, Rejected)])
    directory.note(tx, opened.batch, _directory_lines(accepted))
    receipt = Receipt(**asdict(opened.receipt))
    receipt.count(judged, repeated)
    held, laid = replace(opened.held), replace(opened.laid)
    held.add(record.body for packet in packets.values() for record in packet.records)
    laid.put_in(amended.held.count, amended.held.total)
    done = replace(opened, rows_done=opened.rows_done + len(chunk), parts_done=parts, receipt=receipt)
    dates = (one.row.event_date for one in accepted)
    newest = max(filter(None, (opened.newest, *dates)), default=None)
    return _advance(tx, replace(done, newest=newest, held=held, laid=laid))


def _number(one: Accepted | Rejected) -> int:
    return one.row.number if isinstance(one, Accepted) else one.number


def _claim(tx: Connection, opened: _Opened) -> None:
    """Keep others off the batch until the commit; raises Conflict where one of them has moved it on."""
    wait_in_line(tx)
    done = select(open_batch.c.rows_done).where(open_batch.c.batch == opened.batch).with_for_update()
    if tx.scalar(done) != opened.rows_done:
        raise Conflict(f"batch {opened.batch} is being received by another process", slug="batch-in-progress")


def _advance(tx: Connection, done: _Opened) -> _Opened:
    progress = {**asdict(done.receipt), "records": done.held.hex, "overlays": done.laid.told, "newest": done.newest}
    values = {"rows_done": done.rows_done, "parts_done": done.parts_done, "progress": orjson.dumps(progress).decode()}
    tx.execute(update(open_batch).where(open_batch.c.batch == done.batch).values(**values))
    return done


def _close(tx: Connection, batch: Batch, opened: _Opened) -> Receipt:
    """Publish the batch: from this commit on its folios are visible, all at once."""
    _claim(tx, opened)
    for uscc in directory.overtaken(tx, opened.batch, clock.parse(opened.received_at)):
        for line in _stored_lines(tx, opened.batch, uscc):
            directory.note(tx, opened.batch, {uscc: line})
    tx.execute(delete(open_batch).where(open_batch.c.batch == opened.batch))
    number, _ = publish(tx, "batch", opened.batch)
    overlays.publish_with(tx, opened.batch, number)
    receipt = _dumps(opened.receipt)
    tx.execute(
        update(batches)
        .where(batches.c.id == opened.batch)
        .values(publication=number, receipt=receipt, newest=opened.newest)
    )
    detail = {**asdict(opened.receipt), "source": batch.source, "digest": batch.digest, "basis": batch.basis}
    del detail["duplicate"]
    detail["records"] = opened.held.hex
    if batch.repairs is not None:
        detail["repairs"] = str(batch.repairs)
    if opened.laid.count:
        detail["overlays"] = opened.laid.told
    said = trail.Entry(
        type=Event.BATCH_RECEIVED,
        actor=f"source:{batch.source}",
        channel=batch.channel,
        client=batch.client,
        publication=number,
        detail=detail,
    )
    trail.append(tx, said)
    return opened.receipt


def _packets(
    accepted: Sequence[Accepted], batch: Batch, opened: _Opened, known: Catalogue
) -> dict[tuple[str, int], Packet]:
    """The accepted rows as records, by enterprise and class, each with the mark of its row."""
    packets: dict[tuple[str, int], Packet] = {}
    for one in accepted:
        row, dataset = one.row, known.datasets[one.row.dataset]
        event_date = orjson.dumps(row.event_date)
        content = mark_of(batch.source, dataset.code, row.uscc, event_date, one.items_json)
        raw = b'"raw":%b,' % one.raw_json if one.raw_json else b""
        body = b'{"event_date":%b,"id":"%d.%d.%b","items":%b,%b"received_at":"%b","source":"%b"}' % (
            event_date,
            opened.batch,
            row.number,
            dataset.code.encode(),
            one.items_json,
            raw,
            opened.received_at.encode(),
            batch.source.encode(),
        )
        identity = _identity(one, dataset, batch.source, content)
        place = row.uscc, dataset.class_number
        packet = packets.get(place) or packets.setdefault(place, Packet([], array("Q")))
        end = retention.end_of(dataset, row.event_date, one.items)
        packet.records.append(Entry(dataset.code, None, identity, body, end))
        packet.marks.append(content)
    return packets


def _identity(one: Accepted, dataset: Dataset, source: str, content: int) -> int:
    if dataset.kind == "event":
        return content
    return identities.of_key(dataset, source, one.row.event_date, one.items)


def _count_repeats(tx: Connection, packets: Mapping[tuple[str, int], Packet]) -> int:
    """How many of these rows were delivered before, in this batch or an earlier one."""
    usccs, numbers = {uscc for uscc, _ in packets}, sorted({number for _, number in packets})
    of_these = bulk.among(tx, folio.c.uscc, usccs), folio.c["class"].in_(numbers)
    # One statement for all classes: whichever it reads too many of, a mark is that of one dataset's row.
    seen = set(array("Q", bulk.joined(tx, folio.c.marks, *of_these)))
    repeated = 0
    for _, marks in packets.values():
        for mark in marks:
            repeated += mark in seen
            seen.add(mark)
    return repeated


def _stored_lines(tx: Connection, batch: int, uscc: str) -> Iterator[directory.Line]:
    """What the records of a batch say of an enterprise's name and division, in their order."""
    here = folio.c.uscc == uscc, folio.c["class"] == 1, folio.c.batch == batch
    rows = tx.execute(select(*folio.c, literal(0).label("publication")).where(*here).order_by(folio.c.part)).all()
    for regions in vault.read(tx, uscc, rows):
        for entry in (entry for region in regions for entry in region.entries()):
            items = orjson.loads(entry.body)["items"]
            if name := items.get(NAME_ITEM):
                yield name, items.get(DIVISION_ITEM)


def _directory_lines(accepted: Sequence[Accepted]) -> dict[str, directory.Line]:
    lines: dict[str, directory.Line] = {}
    for one in accepted:
        if name := one.items.get(NAME_ITEM):
            division = one.items.get(DIVISION_ITEM)
            lines[one.row.uscc] = (str(name), str(division) if division else None)
    return lines


def _dumps(receipt: Receipt) -> str:
    return orjson.dumps(asdict(receipt)).decode()
