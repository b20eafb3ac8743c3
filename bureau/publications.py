# SPDX-License-Identifier: Apache-2.0
"""Publication numbers: the bureau's time axis. What is known as of N is the same for ever."""

from datetime import date, datetime

from sqlalchemy import Connection, func, insert, select, text, update

from bureau.models import publication, publication_head
from kernel import clock

_LOCK_WAIT = "60s"


def publish(tx: Connection, kind: str, batch: int | None = None, uscc: str | None = None) -> tuple[int, datetime]:
    """Give the next number to what `tx` is about to commit; returns it with its time.

    The head row stays locked until the commit, so that numbers become visible in their order.
    """
    wait_in_line(tx)
    raised = update(publication_head).values(number=publication_head.c.number + 1).returning(publication_head.c.number)
    number: int = tx.execute(raised).scalar_one()
    now = clock.now()
    tx.execute(insert(publication).values(number=number, time=now, kind=kind, batch=batch, uscc=uscc))
    return number, now


def turn(tx: Connection, day: date) -> None:
    """Publish, where nothing was on this day yet: the clock by which retention is judged goes on."""
    last = tx.scalar(select(publication.c.time).order_by(publication.c.number.desc()).limit(1))
    if last is not None and clock.legal_day(last) < day:
        publish(tx, "day")


def hold(tx: Connection) -> None:
    """Let nothing be published before `tx` commits; it may wait long."""
    wait_in_line(tx)
    tx.execute(select(publication_head.c.number).with_for_update())


def shredded_since(reading: Connection, number: int) -> list[str]:
    """The enterprises that were shredded by a later publication."""
    later = publication.c.number > number, publication.c.kind == "shred", publication.c.uscc.is_not(None)
    return list(reading.scalars(select(publication.c.uscc).where(*later)))


def newest_shred(reading: Connection) -> int:
    """The newest publication that shredded someone; 0: none yet."""
    return reading.scalar(select(func.max(publication.c.number)).where(publication.c.kind == "shred")) or 0


def wait_in_line(tx: Connection) -> None:
    """Let `tx` wait long for others' locks: deliveries queue where a question would rather be told to come again."""
    if tx.dialect.name == "postgresql":
        tx.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'"))


def latest(reading: Connection) -> int:
    """The newest publication number."""
    number: int = reading.execute(select(publication_head.c.number)).scalar_one()
    return number
