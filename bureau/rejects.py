# SPDX-License-Identifier: Apache-2.0
"""Rejected rows: kept encrypted, in the source's own words, so that they can be repaired and sent again."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, insert, select

from bureau.judging import Rejected
from bureau.models import rejected_row
from kernel import keys


def keep(tx: Connection, batch: int, rejected: Sequence[Rejected]) -> None:
    """Store the rejected rows of a batch. The caller commits."""
    key = keys.purpose("rejects")
    rows = [
        {
            "batch": batch,
            "row": one.number,
            "reason": one.reason,
            "uscc": one.uscc,
            "ciphertext": key.encrypt(_dumps(one.delivered), _bound_to(batch, one.number)),
        }
        for one in rejected
    ]
    if rows:
        tx.execute(insert(rejected_row), rows)


def kept(tx: Connection, batch: int) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """The rejected rows of a batch: number, reason, and the row in the source's own words."""
    key = keys.purpose("rejects")
    for row in tx.execute(select(rejected_row).where(rejected_row.c.batch == batch).order_by(rejected_row.c.row)):
        plain = key.decrypt(row.ciphertext, _bound_to(batch, row.row))
        yield row.row, row.reason, json.loads(plain.decode("utf-8", "surrogatepass"))


def _dumps(delivered: Mapping[str, Any]) -> bytes:
    """JSON of what may be no honest JSON: a rejected row may hold lone surrogates, NaN or endless integers."""
    return json.dumps(dict(delivered), ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")


def _bound_to(batch: int, row: int) -> bytes:
    return f"reject\0{batch}\0{row}".encode()
