# SPDX-License-Identifier: Apache-2.0
"""The outbox: what is to be told outside, written in the transaction of the act that it tells of.

Nobody below `connectors` calls outward; they put a message here, and it exists if and only if the act does. Once
committed a message is given its *place*, by one at a time: so places are dense, and whoever has read up to a place
has missed nothing before it, however the transactions overlapped.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from kernel import canonical, clock, db, ids
from kernel.models import outbox

PLACED_AT_ONCE = 5_000
KEEP = timedelta(days=90)


class Message(NamedTuple):
    """One message: its place, what it tells of, for whom, and the data in canonical JSON."""

    place: int
    id: str
    topic: str
    audience: str
    time: datetime
    data: bytes


def put(tx: Connection, topic: str, audience: str, data: Mapping[str, Any]) -> str:
    """Write a message; it counts when `tx` commits. Returns its id."""
    message_id = ids.new_id()
    values = {"id": message_id, "topic": topic, "audience": audience, "time": clock.now()}
    tx.execute(insert(outbox).values(**values, data=canonical.encode(data)))
    return message_id


def settle_all() -> None:
    """Give places to all that is committed, in steps that each commit; writes nothing where nothing waits."""
    with db.reading() as reading:
        waits = reading.scalar(select(outbox.c.id).where(outbox.c.place.is_(None)).limit(1)) is not None
    while waits:
        with db.transaction() as tx:
            waits = settle(tx) == PLACED_AT_ONCE


def settle(tx: Connection) -> int:
    """Give places to what has none yet, PLACED_AT_ONCE at most. Returns to how many; the caller commits."""
    if tx.dialect.name == "postgresql":
        tx.execute(select(func.pg_advisory_xact_lock(_LOCK)))  # on SQLite whoever writes is alone anyway
    waiting = select(outbox.c.id).where(outbox.c.place.is_(None)).order_by(outbox.c.time, outbox.c.id)
    found = tx.scalars(waiting.limit(PLACED_AT_ONCE)).all()
    if found:
        placed = [{"message": each, "given": place} for place, each in enumerate(found, last_place(tx) + 1)]
        tx.execute(_GIVE_PLACE, placed)
    return len(found)


def last_place(tx: Connection) -> int:
    """The newest place that was given; 0 before the first."""
    return tx.scalar(select(func.max(outbox.c.place))) or 0


def first_place(tx: Connection) -> int:
    """The oldest place that is still kept; 0 where there is none."""
    return tx.scalar(select(func.min(outbox.c.place))) or 0


def after(tx: Connection, place: int, audiences: Sequence[str], limit: int) -> list[Message]:
    """The next messages for some audiences beyond a place, in order."""
    sought = select(*_COLUMNS).where(outbox.c.audience.in_(audiences), outbox.c.place > place)
    return [Message(*row) for row in tx.execute(sought.order_by(outbox.c.place).limit(limit))]


def tidy(tx: Connection, keep: timedelta = KEEP) -> int:
    """Delete messages older than `keep`, but the newest, which says where places go on. Returns how many."""
    old = (outbox.c.time < clock.now() - keep) & (outbox.c.place < last_place(tx))
    return tx.execute(delete(outbox).where(old)).rowcount


_COLUMNS = outbox.c.place, outbox.c.id, outbox.c.topic, outbox.c.audience, outbox.c.time, outbox.c.data
_GIVE_PLACE = update(outbox).where(outbox.c.id == bindparam("message")).values(place=bindparam("given"))
_LOCK = 0x0B0C
