# SPDX-License-Identifier: Apache-2.0
"""A year of honest entries, made fast: each by `trail.row_of`, written past the questions, on either engine."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice
from multiprocessing import get_context
from typing import Any

import psycopg
from sqlalchemy import insert

from audit import trail
from audit.events import Event
from audit.models import entry as table
from kernel import db, ids

FIRST, DAYS = datetime(2025, 1, 1, tzinfo=UTC), 365
BANKS, CLIENTS_EACH, OPERATORS_EACH, ENTERPRISES = 96, 2, 100, 390_000
PURPOSES = ("pre_loan",) * 5 + ("post_loan",) * 3 + ("loan_approval", "guarantee")
RULES = ("no-consent",) * 7 + ("class-not-covered", "purpose-not-covered", "quota-exhausted")
CLASSES = ((1, 2, 3, 4, 5, 6, 7), (1, 2), (1,), (1, 2, 3), (2, 4), (1, 5, 6))
COLUMNS = [column.name for column in table.columns]
RARE, NONE = "rare", "none"
AT_ONCE = 20_000


def said(number: int, entries: int) -> tuple[trail.Entry, datetime]:
    """An entry's words and its time; one in fifty a refusal, one in a hundred of another kind."""
    time_of = FIRST + timedelta(days=DAYS) * (number / entries)
    bank, enterprise = number * 7919 % BANKS, number * 104_729 % ENTERPRISES
    entry_id = said_id(number, entries)
    if number % 100 == 99:
        return trail.Entry(type=Event.SESSION_OPENED, actor=f"person:p-{number % 40}", id=entry_id), time_of
    rare = number % 1_000_003 == 5
    refused = rare or number % 50 == 7
    client = f"c-{bank}-{number % CLIENTS_EACH}"
    return trail.Entry(
        type=Event.QUERY_REFUSED if refused else Event.QUERY_ANSWERED,
        id=entry_id,
        actor=f"client:{RARE if rare else client}",
        client=RARE if rare else client,
        institution=RARE if rare else f"018f0000-0000-7000-8000-{bank:012d}",
        institution_name="演示银行",
        operator=RARE if rare else f"OP-{bank:02d}-{number // 97 % OPERATORS_EACH:05d}",
        reference=f"loan application {number}",
        uscc=f"91320599MA{enterprise:08d}",
        consent=None if refused else f"018f0000-0000-7000-9000-{enterprise:012d}",
        consent_version=None if refused else 1,
        purpose="insurance" if rare else PURPOSES[number // 11 % len(PURPOSES)],
        product="screening" if rare else "records",
        classes=(7,) if rare else CLASSES[number // 13 % len(CLASSES)],
        publication=812,
        outcome="refused" if refused else "answered",
        rule=("consent-suspended" if rare else RULES[number // 17 % len(RULES)]) if refused else None,
        request_digest="a" * 64,
        answer_digest=None if refused else "b" * 64,
        billable=not refused,
        idempotency_key=f"key-{number * 48_271 % 2**31:08x}-{number}",
    ), time_of


def said_id(number: int, entries: int) -> str:
    return ids.first_at(FIRST + timedelta(days=DAYS) * (number / entries))[:24] + f"{number:012x}"


def fill(first: int, last: int, entries: int) -> None:
    """Write some of a year's so many `entries` into the process's database; they wait to be sealed."""
    chunks = [(start, min(start + AT_ONCE, last), entries) for start in range(first, last, AT_ONCE)]
    engine = db.current().engine
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        if engine.dialect.name == "postgresql":
            url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
            for _ in _in_turn(pool, copy, ((url, *chunk) for chunk in chunks)):
                pass
        else:
            for rows in _in_turn(pool, rows_of, chunks):
                with db.transaction() as tx:
                    tx.execute(insert(table), rows)


def rows_of(first: int, last: int, entries: int) -> list[dict[str, Any]]:
    """Rows of the table `entry`."""
    return [trail.row_of(*said(number, entries)) for number in range(first, last)]


def copy(url: str, first: int, last: int, entries: int) -> None:
    """Copy them into a PostgreSQL database."""
    statement = f"COPY entry ({', '.join(COLUMNS)}) FROM STDIN"
    with psycopg.connect(url) as connection, connection.cursor() as cursor, cursor.copy(statement) as copying:
        for row in rows_of(first, last, entries):
            copying.write_row([row[name] for name in COLUMNS])


def _in_turn(pool: Executor, work: Callable[..., Any], given: Any) -> Iterator[Any]:
    """The results in order, only a few of them ahead: so that a million rows are never held at once."""
    waiting: list[Future[Any]] = []
    each = iter(given)
    while some := [*waiting, *(pool.submit(work, *one) for one in islice(each, 4 - len(waiting)))]:
        first, *waiting = some
        yield first.result()
