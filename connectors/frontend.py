# SPDX-License-Identifier: Apache-2.0
"""Database pull: rows of a department's front-end database (前置机) newer than those before, by keyset.

    1. mark     the last row fetched before: its watermark and key
    2. read     the rows behind it, in one read-only transaction, into a spool file
    3. pending  where they end is written down, before any of them is stored
    4. receive  then the mark moves there

Interrupted between 3 and 5, the same rows are read again, up to the same end: the same digest, the same delivery.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, MetaData, Select, Table, and_, create_engine, or_, select, text
from sqlalchemy.exc import DBAPIError, NoSuchTableError, SQLAlchemyError

from connectors import memory, spool
from connectors.feeds import Feed
from connectors.fetched import Beat, Fetched, Reveal
from connectors.transports import Database
from kernel import clock, db
from kernel.errors import Invalid, SettingError, Unavailable

FETCHED_AT_ONCE = 2_000
_DRIVERS = {"postgresql": "postgresql+psycopg", "sqlite": "sqlite"}
_READ_ONLY = {"postgresql": "SET TRANSACTION READ ONLY", "sqlite": "PRAGMA query_only = ON"}


def fetch(feed: Feed, transport: Database, reveal: Reveal, beat: Beat) -> Iterator[Fetched]:
    """The rows behind the mark as one file of JSON Lines; nothing where there are none.

    Raises Unavailable where the database cannot be read, SettingError for its address, table or columns.
    """
    with db.reading() as reading:
        marked = memory.mark(reading, feed.feed)
    with spool.spooled(f"{feed.feed}.jsonl", feed.layout.limits.packed_bytes, beat) as file:
        last = None
        for row, place in _rows(feed, transport, reveal(transport.url), marked):
            file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
            last = place
        if last is None:
            return
        with db.transaction() as tx:
            memory.keep_mark(tx, feed.feed, {**marked, "pending": last})

        def remember(tx: Connection, _batch: str | None, _problem: str | None) -> None:
            memory.keep_mark(tx, feed.feed, {"last": last})

        yield Fetched(file.done(), remember)


def _rows(
    feed: Feed, transport: Database, url: str, marked: Mapping[str, Any]
) -> Iterator[tuple[dict[str, Any], list[Any]]]:
    """Each row as texts by column, with its watermark and key as they are kept."""
    kind = url.partition(":")[0]
    if kind not in _DRIVERS:
        raise SettingError(f"{transport.url}: expected postgresql://… or sqlite:///…")
    try:
        engine = create_engine(url.replace(kind, _DRIVERS[kind], 1))
    except SQLAlchemyError as error:
        raise SettingError(f"{transport.url}: is no address of a database") from error
    try:
        with engine.connect() as connection:
            connection.execute(text(_READ_ONLY[kind]))
            table = Table(transport.table, MetaData(), autoload_with=connection)
            statement = _behind(table, feed, transport, marked)
            for row in connection.execution_options(yield_per=FETCHED_AT_ONCE).execute(statement).mappings():
                cells = {name: _text(row[name]) for name in feed.layout.columns}
                yield cells, [_kept(row[transport.watermark]), _kept(row[transport.key])]
            connection.rollback()
    except NoSuchTableError as error:
        raise SettingError(f"transport.table: the database has no table {transport.table}") from error
    except DBAPIError as error:
        raise Unavailable(f"the database of {feed.feed} cannot be read: {type(error.orig).__name__}") from error
    finally:
        engine.dispose()


def _behind(table: Table, feed: Feed, transport: Database, marked: Mapping[str, Any]) -> Select[Any]:
    """The statement: behind the mark, up to the pending end if there is one, in order. No OFFSET."""
    for name in (transport.watermark, transport.key, *feed.layout.columns):
        if name not in table.c:
            raise SettingError(f"{feed.feed}: the table {table.name} has no column {name}")
    watermark, key = table.c[transport.watermark], table.c[transport.key]
    names = dict.fromkeys((transport.watermark, transport.key, *feed.layout.columns))
    statement = select(*(table.c[name] for name in names)).where(watermark.is_not(None), key.is_not(None))
    if "last" in marked:
        after, after_key = _given(marked["last"])
        statement = statement.where(or_(watermark > after, and_(watermark == after, key > after_key)))
    if "pending" in marked:
        end, end_key = _given(marked["pending"])
        statement = statement.where(or_(watermark < end, and_(watermark == end, key <= end_key)))
    elif issubclass(watermark.type.python_type, datetime):
        settled = clock.now() - timedelta(seconds=transport.settled_s)
        has_zone = getattr(watermark.type, "timezone", False)
        settled = settled if has_zone else settled.astimezone(clock.SHANGHAI).replace(tzinfo=None)
        statement = statement.where(watermark <= settled)
    return statement.order_by(watermark, key).limit(transport.rows)


def _text(value: object) -> str | None:
    """A value as the readers of text would find it in a file."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value)
    raise Invalid(f"a column holds {type(value).__name__}, which is no text, number, date or truth value")


def _kept(value: object) -> list[str]:
    """A watermark or key as JSON can keep it, with its kind."""
    if isinstance(value, datetime):
        return ["moment", value.isoformat()]
    if isinstance(value, date):
        return ["day", value.isoformat()]
    if isinstance(value, int | Decimal):
        return ["number", str(value)]
    return ["text", str(value)]


def _given(kept: list[list[str]]) -> list[Any]:
    return [_READ[kind](told) for kind, told in kept]


def _number(told: str) -> int | Decimal:
    return int(told) if told.lstrip("-").isdigit() else Decimal(told)


_READ: dict[str, Callable[[str], Any]] = {
    "moment": datetime.fromisoformat,
    "day": date.fromisoformat,
    "number": _number,
    "text": str,
}
