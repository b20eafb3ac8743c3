# SPDX-License-Identifier: Apache-2.0
"""Shredding: what the bureau holds on one enterprise is destroyed for good, and the trail says so.

    1. nothing may be on its way in: while a delivery is open, shredding is refused
    2. what goes is summed up by publication (of rejected rows: counted by batch), so that `bureau verify` knows what no
       longer has to be there
    3. the data keys go, and with them all that was encrypted under them; then folios, overlays, rejected rows,
       directory lines, and what the screening index and the reconciliation list hold on it
    4. the entries; then all of it commits together

Answers given before stay on the trail by their digests; to compose one again is 410 from then on. What no
command can reach: backups made before, replicas that lag, and what institutions keep of their answers. Consents
and entries stay: they are evidence.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, select, text

from audit import trail
from audit.events import Event
from bureau import overlays, rejects, vault
from bureau.models import batch as batches
from bureau.models import (
    data_key,
    directory,
    discrepancy,
    discrepancy_source,
    folio,
    open_batch,
    overlay,
    rejected_row,
)
from bureau.publications import hold, publish, wait_in_line
from bureau.screening import index
from bureau.sums import Held, chunks
from kernel.errors import Conflict, NotFound

TABLES = (data_key, folio, overlay, rejected_row, directory, discrepancy_source, discrepancy)


@dataclass(frozen=True, slots=True)
class Shredded:
    """What was destroyed: rows by table, records, and the moment before which backups still hold it."""

    uscc: str
    publication: int
    records: int
    rows: dict[str, int]
    backups_before: datetime


def shred(tx: Connection, uscc: str, reason: str) -> Shredded:
    """Destroy what is held on an enterprise. The caller commits.

    Raises Conflict while a delivery is open, NotFound where nothing is held, Altered where a folio does not open
    (the vault must be whole for what goes to be summed up; restore it first).
    """
    _require_quiet(tx)
    held = _sums(tx, uscc)
    laid, rejected = overlays.sums(tx, uscc), rejects.counted(tx, uscc)
    hold(tx)  # what is derived beside us was written before, or will see that the enterprise is gone
    rows = {str(table.name): tx.execute(delete(table).where(table.c.uscc == uscc)).rowcount for table in TABLES}
    if not any(rows.values()):
        raise NotFound(f"the bureau holds nothing on {uscc}")
    index.forget(tx, uscc)
    publication, time = publish(tx, "shred", uscc=uscc)
    for some in chunks(removed=held, overlays=laid, rejects=rejected):
        said = trail.Entry(
            type=Event.ENTERPRISE_SHREDDED,
            actor="counter",
            channel="counter",
            uscc=uscc,
            publication=publication,
            detail={"reason": reason, "rows": rows, **some},
        )
        trail.append(tx, said)
    return Shredded(uscc, publication, sum(one.count for one in held.values()), rows, time)


def _require_quiet(tx: Connection) -> None:
    """Refuse while a delivery is open, and keep others from opening until the commit: it may hold the old key."""
    wait_in_line(tx)
    if tx.dialect.name == "postgresql":  # SQLite's writers wait for each other anyway
        tx.execute(text("LOCK TABLE open_batch IN SHARE MODE"))
    if tx.scalar(select(func.count()).select_from(open_batch)):
        raise Conflict("a delivery is open: let it end, then shred", slug="batch-in-progress")


def _sums(tx: Connection, uscc: str) -> dict[int, Held]:
    """What is held by publication. Locks the folios against a compactor."""
    rows: Any = tx.execute(
        select(*folio.c, batches.c.publication)
        .select_from(folio.join(batches, batches.c.id == folio.c.batch))
        .where(folio.c.uscc == uscc)
        .with_for_update(of=folio)
    ).all()
    sums: dict[int, Held] = {}
    for regions in vault.read(tx, uscc, rows):
        for record in (record for region in regions for record in region.entries()):
            assert record.publication is not None, "no batch is open"
            sums.setdefault(record.publication, Held()).add([record.body])
    return dict(sorted(sums.items()))
