# SPDX-License-Identifier: Apache-2.0
"""Rejected rows: kept encrypted, in the source's own words, so that they can be repaired and sent again.

A repaired row comes in a delivery of its own that names the batch it repairs (`Batch.repairs`), under its old
number. It is accepted once: from then on the rejected row tells by which batch it was repaired, and stays.

Rejected rows go only where their enterprise is shredded; then the entry tells how many of which batch, so that `faults`
knows a batch of which others are missing.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, insert, select, tuple_, update

from audit import search
from audit.events import Event
from audit.verification import Fault
from bureau.judging import Accepted, Rejected
from bureau.models import batch as batches
from bureau.models import rejected_row
from kernel import keys
from kernel.errors import NotFound
from kernel.keys import Altered

ROWS_AT_ONCE = 500
_DIGITS = 9  # of a batch's number: more are beyond the column


class Line(NamedTuple):
    """A rejected row without its content."""

    row: int
    reason: str
    repaired_by: str | None  # the batch, once it is published


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


def lines(tx: Connection, batch: int, after: int = 0, limit: int = 10_000) -> list[Line]:
    """Some rejected rows of a batch, in order, without their content."""
    repairing = batches.alias()
    columns = rejected_row.c.row, rejected_row.c.reason, repairing.c.id
    published = (repairing.c.id == rejected_row.c.repaired_by) & repairing.c.publication.is_not(None)
    some = select(*columns).select_from(rejected_row.outerjoin(repairing, published))
    here = rejected_row.c.batch == batch, rejected_row.c.row > after
    rows = tx.execute(some.where(*here).order_by(rejected_row.c.row).limit(limit))
    return [Line(row.row, row.reason, None if row.id is None else str(row.id)) for row in rows]


def require_batch(tx: Connection, batch: str, source: str | None = None) -> Any:
    """The row of a batch, of that source if one is named. Raises NotFound."""
    if batch.isascii() and batch.isdigit() and len(batch) <= _DIGITS:
        row = tx.execute(select(batches).where(batches.c.id == int(batch))).one_or_none()
        if row is not None and source in (None, row.source):
            return row
    raise NotFound(f"there is no batch {batch}" + ("" if source is None else " of this source"))


def claim(tx: Connection, repaired: int, batch: int, accepted: Sequence[Accepted]) -> dict[int, Rejected]:
    """Note which rejected rows of one batch these rows of another repair. Returns those that repair none.

    Safe to do again for the same batch. The caller commits.
    """
    numbers = [one.row.number for one in accepted]
    of = rejected_row.c.batch == repaired, rejected_row.c.row.in_(numbers)
    found = select(rejected_row.c.row, rejected_row.c.repaired_by).where(*of).with_for_update()
    held = {row.row: row.repaired_by for row in tx.execute(found)}
    refused = {}
    for one in accepted:
        number = one.row.number
        if number not in held:
            reason = "not-rejected-before"
        elif held[number] not in (None, batch):
            reason = "already-repaired"
        else:
            continue
        refused[number] = Rejected(number, reason, one.row.delivered, one.row.uscc)
    free = [number for number in numbers if number not in refused]
    if free:
        tx.execute(update(rejected_row).where(of[0], rejected_row.c.row.in_(free)).values(repaired_by=batch))
    return refused


def repaired_of(tx: Connection, numbers: Sequence[int]) -> dict[int, int]:
    """How many rejected rows of some batches have been repaired by published ones."""
    repairing = batches.alias()
    joined = rejected_row.join(repairing, repairing.c.id == rejected_row.c.repaired_by)
    counted = (
        select(rejected_row.c.batch, func.count())
        .select_from(joined)
        .where(rejected_row.c.batch.in_(numbers), repairing.c.publication.is_not(None))
        .group_by(rejected_row.c.batch)
    )
    return {row[0]: row[1] for row in tx.execute(counted)}


def counted(tx: Connection, uscc: str) -> dict[int, int]:
    """How many rejected rows are held on an enterprise, by batch."""
    by_batch = select(rejected_row.c.batch, func.count()).where(rejected_row.c.uscc == uscc)
    return {row[0]: row[1] for row in tx.execute(by_batch.group_by(rejected_row.c.batch))}


def faults(reading: Connection, told: Iterable[Mapping[str, Any]], until: int) -> Iterator[Fault]:
    """Every rejected row that does not open, and every batch (`told`: their entries) that has not those it rejected.

    What is shredded meanwhile, after publication `until`, may be there or not. Before entries counted by batch what a
    shred took, they told one number for all: so many may be missing, of whatever batches.
    """
    held: dict[str, Counter[str]] = defaultdict(Counter)
    for row, is_whole in _opened(reading):
        held[str(row.batch)][row.reason] += 1
        if not is_whole:
            yield Fault(f"batch {row.batch} row {row.row}", "altered: it does not open", "rejected row")
    gone = _shredded(reading, until)
    short: list[tuple[str, int, int]] = []
    for document in told:
        detail = document["detail"]
        number, rejected = detail["batch"], detail["rejected"]
        there = held.pop(number, Counter())
        missing = rejected - there.total() - gone.surely[number]
        if missing < 0:
            yield Fault(number, f"put back: {-missing} more than its rejected rows", "batch")
        elif missing > gone.perhaps[number]:
            short.append((number, missing - gone.perhaps[number], rejected))
        if any(count > detail["reasons"].get(reason, 0) for reason, count in there.items()) and missing >= 0:
            yield Fault(number, "edited: its rows were not rejected for these reasons", "batch")
    if sum(missing for _, missing, _ in short) > gone.of_any:
        for number, missing, rejected in short:
            yield Fault(number, f"deleted: {missing} of its {rejected} rejected rows", "batch")


class _Gone(NamedTuple):
    """How many rejected rows were shredded, by batch: those that are gone, those that may be; of whatever batch."""

    surely: Counter[str]
    perhaps: Counter[str]
    of_any: int


def _shredded(reading: Connection, until: int) -> _Gone:
    surely: Counter[str] = Counter()
    perhaps: Counter[str] = Counter()
    uncounted: dict[int, int] = {}  # by publication: what several entries of one shred repeat
    for document in search.documents(reading, Event.ENTERPRISE_SHREDDED):
        detail, publication = document["detail"], document["publication"]
        if "rejects" in detail:
            (surely if publication <= until else perhaps).update(detail["rejects"])
        else:
            uncounted[publication] = detail["rows"]["rejected_row"]
    return _Gone(surely, perhaps, sum(uncounted.values()))


def _opened(reading: Connection) -> Iterator[tuple[Any, bool]]:
    """Every rejected row, and whether it opens; memory stays flat."""
    key, after = keys.purpose("rejects"), (0, 0)
    place = rejected_row.c.batch, rejected_row.c.row
    page = select(*place, rejected_row.c.reason, rejected_row.c.ciphertext).order_by(*place).limit(ROWS_AT_ONCE)
    while rows := reading.execute(page.where(tuple_(*place) > after)).all():
        for row in rows:
            try:
                key.decrypt(row.ciphertext, _bound_to(row.batch, row.row))
                yield row, True
            except (Altered, TypeError):
                yield row, False
        after = rows[-1].batch, rows[-1].row


def _dumps(delivered: Mapping[str, Any]) -> bytes:
    """JSON of what may be no honest JSON: a rejected row may hold lone surrogates, NaN or endless integers."""
    return json.dumps(dict(delivered), ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")


def _bound_to(batch: int, row: int) -> bytes:
    return f"reject\0{batch}\0{row}".encode()
