# SPDX-License-Identifier: Apache-2.0
"""Batches as their source sees them: how far one is, its receipt, and which of its rows were rejected and why."""

from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy import Connection, select

from bureau.models import batch as batches
from bureau.models import open_batch, rejected_row
from kernel.errors import NotFound

RECEIVING, RECEIVED = "receiving", "received"
_DIGITS = 9  # of a batch's number: more are beyond the column


def document(reading: Connection, batch: str, source: str, after: int, limit: int) -> dict[str, Any]:
    """The receipt as `bureau collect` prints it, with `status` and a page of rejected rows behind row `after`.

    `receiving` until it is published, with the counts so far; then `received`. Raises NotFound, also for a batch of
    another source.
    """
    if not (batch.isascii() and batch.isdigit() and len(batch) <= _DIGITS):
        raise NotFound("there is no such batch of this source")
    number = int(batch)
    with_progress = select(batches, open_batch.c.progress).select_from(batches.outerjoin(open_batch))
    row = reading.execute(with_progress.where(batches.c.id == number, batches.c.source == source)).one_or_none()
    if row is None:
        raise NotFound("there is no such batch of this source")
    told: Mapping[str, Any] = orjson.loads(row.receipt or row.progress)
    here = rejected_row.c.batch == number, rejected_row.c.row > after
    page = select(rejected_row.c.row, rejected_row.c.reason).where(*here).order_by(rejected_row.c.row).limit(limit)
    rejects = [{"row": one.row, "reason": one.reason} for one in reading.execute(page)]
    return {
        **{name: value for name, value in told.items() if name != "records"},
        "status": RECEIVING if row.publication is None else RECEIVED,
        "rejects": rejects,
        "last_row": rejects[-1]["row"] if len(rejects) == limit else None,
    }
