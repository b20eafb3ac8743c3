# SPDX-License-Identifier: Apache-2.0
"""Of which enterprises something was published between two publications: what is derived from it is computed anew."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from sqlalchemy import Connection, func, or_, select

from bureau.models import batch as batches
from bureau.models import directory, folio, overlay, publication


def statements(reading: Connection, since: int, upto: int) -> Iterator[Any]:
    """Statements that each name enterprises, touched after `since` and up to `upto`, in their column `uscc`."""
    number = batches.c.publication
    brought = (number > since) & (number <= upto)
    laid = or_((overlay.c.since > since) & (overlay.c.since <= upto), overlay.c.until.between(since + 1, upto))
    of_one = publication.c.number.between(since + 1, upto) & publication.c.uscc.is_not(None)
    yield select(publication.c.uscc).distinct().where(of_one)
    yield select(overlay.c.uscc).distinct().where(laid)
    if reading.scalar(select(func.count()).select_from(batches).where(brought)):
        for table in (folio, directory):
            joined = table.join(batches, batches.c.id == table.c.batch)
            yield select(table.c.uscc).distinct().select_from(joined).where(brought)


def page(reading: Connection, since: int, upto: int, after: str, limit: int) -> list[str]:
    """The next of them behind a USCC, at most `limit`, in order."""
    some = []
    for each in statements(reading, since, upto):
        uscc = each.selected_columns.uscc
        some.append(reading.scalars(each.where(uscc > after).order_by(uscc).limit(limit)).all())
    return sorted(set(chain.from_iterable(some)))[:limit]
