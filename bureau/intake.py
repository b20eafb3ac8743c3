# SPDX-License-Identifier: Apache-2.0
"""Intake: one delivery in, every row accepted or rejected with its reason, a receipt back. Nothing is lost.

    1. open    the batch is written down before its first row; the same delivery again gives its first receipt,
               and one that was interrupted goes on behind its last stored row
    2. rows    a chunk at a time: judged, packed, encrypted and stored, with the progress, in one transaction
    3. close   one short transaction: publication number, receipt, entry on the trail; now all of it is visible

Kill the process anywhere: an open batch's folios are invisible, and the next run resumes it. Two processes
given the same delivery cannot both advance it: each chunk first claims the batch from where it read it, or fails.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import islice

import orjson
from sqlalchemy import Connection, delete, literal, select, update

from access import sources
from audit import trail
from audit.events import Event
from bureau import amendments, catalogue, coverage, directory, open_batches, overlays, packing, rejects, vault
from bureau.judging import CONSENT_BASES, Accepted, Rejected, judge
from bureau.models import batch as batches
from bureau.models import folio, open_batch
from bureau.open_batches import Opened, Receipt
from bureau.publications import publish
from bureau.records import Batch, Row, Unreadable
from consent import collection
from kernel import clock
from kernel import uscc as codes
from kernel.idempotency import settle

CHUNK_ROWS = 10_000
CHUNK_CHARACTERS = 2_000_000
NAME_ITEM, DIVISION_ITEM = "C1.01.01", "C1.01.17"


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


def _open(batch: Batch) -> Opened | Receipt:
    """The open batch of this delivery, made or found; or the receipt, where it was received before."""
    with trail.recording() as tx:
        sources.require_approved(tx, batch.source)
        return open_batches.find(tx, batch) or open_batches.begin(tx, batch)


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


def _store_chunk(tx: Connection, batch: Batch, opened: Opened, chunk: Sequence[Row | Unreadable]) -> Opened:
    """Judge, pack, encrypt and store one chunk, and move the progress behind it."""
    open_batches.claim(tx, opened)
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
    packets = packing.pack(accepted, batch.source, opened.batch, opened.received_at, known)
    repeated = packing.count_repeats(tx, packets) + amended.repeated
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
    return open_batches.advance(tx, replace(done, newest=newest, held=held, laid=laid))


def _number(one: Accepted | Rejected) -> int:
    return one.row.number if isinstance(one, Accepted) else one.number


def _close(tx: Connection, batch: Batch, opened: Opened) -> Receipt:
    """Publish the batch: from this commit on its folios are visible, all at once."""
    open_batches.claim(tx, opened)
    for uscc in directory.overtaken(tx, opened.batch, clock.parse(opened.received_at)):
        for line in _stored_lines(tx, opened.batch, uscc):
            directory.note(tx, opened.batch, {uscc: line})
    tx.execute(delete(open_batch).where(open_batch.c.batch == opened.batch))
    number, _ = publish(tx, "batch", opened.batch)
    overlays.publish_with(tx, opened.batch, number)
    receipt = opened.receipt.dumps()
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
