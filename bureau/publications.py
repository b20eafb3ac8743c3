# SPDX-License-Identifier: Apache-2.0
"""Publication numbers: the bureau's time axis. What is known as of N is the same for ever."""

from datetime import datetime

from sqlalchemy import Connection, insert, select, text, update

from bureau.models import publication, publication_head
from kernel import clock

_LOCK_WAIT = "60s"


def publish(tx: Connection, kind: str, batch: int | None = None) -> tuple[int, datetime]:
    """Give the next number to what `tx` is about to commit; returns it with its time.

    The head row stays locked until the commit, so that numbers become visible in their order.
    """
    wait_in_line(tx)
    raised = update(publication_head).values(number=publication_head.c.number + 1).returning(publication_head.c.number)
    number: int = tx.execute(raised).scalar_one()
    now = clock.now()
    tx.execute(insert(publication).values(number=number, time=now, kind=kind, batch=batch))
    return number, now


def wait_in_line(tx: Connection) -> None:
    """Let `tx` wait long for others' locks: deliveries queue where a question would rather be told to come again."""
    if tx.dialect.name == "postgresql":
        tx.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'"))


def latest(reading: Connection) -> int:
    """The newest publication number."""
    number: int = reading.execute(select(publication_head.c.number)).scalar_one()
    return number
