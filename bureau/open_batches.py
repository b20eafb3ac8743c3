# SPDX-License-Identifier: Apache-2.0
"""Batches that are being received: how far one is, its receipt so far, and what its entry will say of it.

One process at a time moves a batch on: each step first claims it from where it read it, or fails.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
from sqlalchemy import Connection, insert, select, update

from bureau.judging import Accepted, Rejected
from bureau.models import batch as batches
from bureau.models import open_batch
from bureau.publications import wait_in_line
from bureau.records import Batch
from bureau.sums import Held
from kernel import clock
from kernel.errors import Conflict


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

    def dumps(self) -> str:
        """As JSON, in which it is kept."""
        return orjson.dumps(asdict(self)).decode()


@dataclass(frozen=True, slots=True)
class Opened:
    """How far a batch is."""

    batch: int
    received_at: str
    rows_done: int
    parts_done: int
    receipt: Receipt
    newest: str | None  # the newest event date so far
    held: Held  # what its entry will say that the vault must hold of records
    laid: Held  # and of overlays


def find(tx: Connection, batch: Batch) -> Opened | Receipt | None:
    """The open batch of this delivery; or the receipt, where it was received before; or neither."""
    progress = open_batch.c.rows_done, open_batch.c.parts_done, open_batch.c.progress
    here = batches.c.feed == batch.feed, batches.c.digest == batch.digest
    both = select(batches, *progress).select_from(batches.outerjoin(open_batch)).where(*here)
    held = tx.execute(both).one_or_none()
    if held is None:
        return None
    if held.publication is not None:
        return Receipt(**{**orjson.loads(held.receipt), "duplicate": True})
    told = orjson.loads(held.progress)
    total, (count, laid) = told.pop("records", "0"), told.pop("overlays", (0, "0"))
    newest = told.pop("newest", None)
    receipt = Receipt(**told)
    return Opened(
        batch=held.id,
        received_at=clock.rfc3339(held.received_at),
        rows_done=held.rows_done,
        parts_done=held.parts_done,
        receipt=receipt,
        newest=newest,
        held=Held(receipt.accepted - receipt.amended, int(total, 16)),
        laid=Held(count, int(laid, 16)),
    )


def begin(tx: Connection, batch: Batch) -> Opened:
    """Write a batch down, before its first row."""
    now = clock.now()
    values: dict[str, Any] = {"feed": batch.feed, "source": batch.source, "digest": batch.digest, "received_at": now}
    values["repairs"] = batch.repairs
    number: int = tx.execute(insert(batches).values(**values).returning(batches.c.id)).scalar_one()
    receipt = Receipt(str(number), batch.feed)
    tx.execute(insert(open_batch).values(batch=number, rows_done=0, parts_done=0, progress=receipt.dumps()))
    return Opened(number, clock.rfc3339(now), 0, 0, receipt, None, Held(), Held())


def claim(tx: Connection, opened: Opened) -> None:
    """Keep others off the batch until the commit; raises Conflict where one of them has moved it on."""
    wait_in_line(tx)
    done = select(open_batch.c.rows_done).where(open_batch.c.batch == opened.batch).with_for_update()
    if tx.scalar(done) != opened.rows_done:
        raise Conflict(f"batch {opened.batch} is being received by another process", slug="batch-in-progress")


def advance(tx: Connection, done: Opened) -> Opened:
    """Write down how far a batch is now. The caller commits."""
    progress = {**asdict(done.receipt), "records": done.held.hex, "overlays": done.laid.told, "newest": done.newest}
    values = {"rows_done": done.rows_done, "parts_done": done.parts_done, "progress": orjson.dumps(progress).decode()}
    tx.execute(update(open_batch).where(open_batch.c.batch == done.batch).values(**values))
    return done
