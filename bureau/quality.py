# SPDX-License-Identifier: Apache-2.0
"""The quality of what sources deliver (征信业务管理办法 Art. 9, 条例 Art. 23): by source and month, from the receipts.

`lag_days` says how old the newest fact of a delivery was when it came: the median of a month's deliveries that date
their facts. A rejected row that was repaired since counts as rejected and as repaired. `discrepancies` were first seen
in the month, with the source taking part; `discrepancies_open` of them nobody has explained or settled yet.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from statistics import median
from typing import Any

import orjson
from sqlalchemy import Connection, select

from bureau import reconciliation_list, rejects
from bureau.models import batch as batches
from kernel import clock
from kernel.errors import Invalid

COUNTS = ("rows", "accepted", "rejected", "repeated", "amended")


@dataclass(slots=True)
class Quality:
    """One source in one month (Asia/Shanghai)."""

    source: str
    month: str
    batches: int = 0
    rows: int = 0
    accepted: int = 0
    rejected: int = 0
    repaired: int = 0
    repeated: int = 0
    amended: int = 0
    discrepancies: int = 0
    discrepancies_open: int = 0
    accepted_percent: str | None = None
    lag_days: int | None = None
    last_received_at: str | None = None
    reasons: dict[str, int] = field(default_factory=dict)
    warnings: dict[str, int] = field(default_factory=dict)


def of_month(reading: Connection, month: str, source: str | None = None) -> list[Quality]:
    """The quality of each source (or of one) that delivered or was contradicted in a month `YYYY-MM`, by its code."""
    first, last = _days_of(month)
    columns = batches.c.id, batches.c.source, batches.c.received_at, batches.c.receipt, batches.c.newest
    when = batches.c.received_at >= first, batches.c.received_at < last, batches.c.publication.is_not(None)
    delivered = select(*columns).where(*when).order_by(batches.c.source, batches.c.received_at)
    rows = reading.execute(delivered.where(batches.c.source == source) if source else delivered).all()
    repaired = rejects.repaired_of(reading, [row.id for row in rows])
    by_source: dict[str, list[Any]] = {}
    for row in rows:
        by_source.setdefault(row.source, []).append(row)
    listed = reconciliation_list.counts(reading, first, last)
    for code in listed:
        if source in (None, code):
            by_source.setdefault(code, [])
    told = [_summed(code, month, held, repaired) for code, held in sorted(by_source.items())]
    for one in told:
        one.discrepancies, one.discrepancies_open = listed.get(one.source, (0, 0))
    return told


def _summed(source: str, month: str, rows: Iterable[Any], repaired: dict[int, int]) -> Quality:
    told, lags = Quality(source, month), []
    reasons: Counter[str] = Counter()
    warnings: Counter[str] = Counter()
    for row in rows:
        receipt = orjson.loads(row.receipt)
        told.batches += 1
        told.repaired += repaired.get(row.id, 0)
        for name in COUNTS:
            setattr(told, name, getattr(told, name) + receipt.get(name, 0))
        reasons.update(receipt["reasons"])
        warnings.update(receipt["warnings"])
        told.last_received_at = clock.rfc3339(row.received_at)
        if row.newest is not None:
            lags.append((clock.legal_day(row.received_at) - date.fromisoformat(row.newest)).days)
    told.reasons, told.warnings = dict(sorted(reasons.items())), dict(sorted(warnings.items()))
    told.lag_days = round(median(lags)) if lags else None
    told.accepted_percent = f"{told.accepted * 1000 // told.rows / 10:.1f}" if told.rows else None
    return told


def _days_of(month: str) -> tuple[datetime, datetime]:
    """The first instant of a month, and of the next."""
    try:
        first = datetime.strptime(month, "%Y-%m").replace(tzinfo=clock.SHANGHAI)
    except ValueError as error:
        raise Invalid("a month is YYYY-MM", errors={"month": ["not a month"]}) from error
    year, number = divmod(12 * first.year + first.month, 12)
    return first, first.replace(year=year, month=number + 1)
