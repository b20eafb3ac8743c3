# SPDX-License-Identifier: Apache-2.0
"""Review at size: what finding entries by one filter takes, and what its indexes cost a question's commit.

    python -m bench.review --entries 10000000

The entries are honest: made by `trail.row_of`, sealed in no tree (a leaf row each, no hashes). For each filter the
pages of three kinds of value are timed, in turns: one that half of all or the most fit, one that few fit, one that
none fits; the figure is the p95 of all of them. Then the rules of `findings` read the year. At last entries are
written by 16 connections with and without the indexes of review. Nothing here fails because a machine is slow.
"""

import json
import os
import resource
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import psycopg

from app import database
from audit import acts, search, trail
from bench import entries as made
from bench.entries import COLUMNS, DAYS, FIRST, NONE, RARE, said, said_id
from bench.house import SETTINGS, administer
from kernel import db, ids
from tests import postgres
from tests.postgres import PostgresServer

LATEST = Path(__file__).with_name("review.json")
INDEXES = ("other", "actor", "facet", "institution", "operator", "consent", "classes")
FULL = 10_000_000  # what the goal speaks of
WRITERS, SECONDS = 16, 10


@click.command()
@click.option("--entries", default=200_000, show_default=True)
@click.option("--rounds", default=40, show_default=True, help="How often each value's page is read.")
def main(entries: int, rounds: int) -> None:
    """Measure each filter over ENTRIES entries on a PostgreSQL of its own."""
    with standing(entries) as server:
        found = {"entries": entries, "p95_ms": filters(entries, rounds), "bytes": sizes(server)}
        found |= {"findings": findings_of_a_year(), "inserts_per_s": writing(server)}
    print(json.dumps(found, indent=1))
    if entries >= FULL:
        LATEST.write_text(json.dumps(found, indent=1) + "\n")


@contextmanager
def standing(entries: int) -> Iterator[PostgresServer]:
    """A durable server whose database `bureau`, this process's own meanwhile, holds a year of so many entries."""
    server = postgres.start_server(durable=True, settings=SETTINGS)
    try:
        administer(server, "CREATE DATABASE bureau")
        engine = db.open_engine(server.url("bureau"))
        database.migrate(engine)
        db.use(engine)
        begun = time.monotonic()
        fill(server, entries)
        print(f"{entries:,} entries in {time.monotonic() - begun:.0f} s", file=sys.stderr)
        yield server
        db.use(None)
        engine.dispose()
    finally:
        server.stop()


def fill(server: PostgresServer, entries: int) -> None:
    """Copy them in, with all indexes, as they stand after a year."""
    administer(server, "ALTER TABLE entry DISABLE TRIGGER entry_is_unsealed", "bureau")
    administer(server, "ALTER TABLE leaf DISABLE TRIGGER ALL", "bureau")
    at_once = 50_000
    starts = range(0, entries, at_once)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        copying = [
            pool.submit(copy, server.url("bureau"), start, min(start + at_once, entries), entries) for start in starts
        ]
        for one in copying:
            print(f"{one.result():,} entries", file=sys.stderr)
    administer(server, "ALTER TABLE entry ENABLE TRIGGER entry_is_unsealed", "bureau")
    for name in ("entry", "leaf"):
        administer(server, f"VACUUM (ANALYZE) {name}", "bureau")
    with db.transaction() as tx:
        tx.exec_driver_sql(f"INSERT INTO log_head (id, origin, size) VALUES (1, 'bench', {entries})")


def copy(url: str, first: int, last: int, entries: int) -> int:
    """Entries and their leaves, sealed in no tree."""
    made.copy(url, first, last, entries)
    statement = 'COPY leaf ("index", entry) FROM STDIN'
    with psycopg.connect(url) as connection, connection.cursor() as cursor, cursor.copy(statement) as rows:
        for number in range(first, last):
            rows.write_row((number, said_id(number, entries)))
    return last


def values() -> dict[str, list[Any]]:
    """Of each filter values that many entries fit, that few fit, and that none fits."""
    middle = FIRST + timedelta(days=DAYS / 2)
    known = "018f0000-0000-7000-{}-000000000007"
    return {
        "institution": [known.format("8000"), RARE, NONE],
        "client": ["c-7-0", "c-8-0", RARE, NONE],
        "operator": ["OP-07-00007", RARE, NONE],
        "uscc": ["91320599MA00000007", "91320599MA00389999", NONE],
        "consent": [known.format("9000"), NONE],
        "type": ["query.answered", "query.refused", "session.opened", "batch.received"],
        "outcome": ["answered", "refused", NONE],
        "rule": ["no-consent", "quota-exhausted", "consent-suspended", NONE],
        "purpose": ["pre_loan", "guarantee", "insurance", NONE],
        "product": ["records", "screening", NONE],
        "class": [1, 4, 7, 6],
        "until": [middle, FIRST, FIRST + timedelta(days=DAYS)],
        "since": [middle, FIRST, FIRST + timedelta(days=DAYS + 1)],
    }


def filters(entries: int, rounds: int) -> dict[str, float]:
    """p95 in milliseconds of the first page of each filter, its values in turns; and of a page in the middle."""
    middle = search.Place(entries, "ffffffffffff", said_id(entries // 2, entries))
    found = {}
    for name, some in values().items():
        took = []
        for _ in range(rounds):
            for value in some:
                for place in (search.Place(entries, "ffffffffffff"), middle):
                    begun = time.perf_counter()
                    with trail.recording() as tx:
                        search.search(tx, {name: value}, place, 50)
                    took.append((time.perf_counter() - begun) * 1000)
        found[name] = round(statistics.quantiles(took, n=20)[-1], 2)
        print(f"{name:12} p95 {found[name]:8.2f} ms, worst {max(took):8.2f} ms", file=sys.stderr)
    return found


def findings_of_a_year() -> dict[str, float]:
    """Seconds that the rules take over all entries, the most memory of this process, and how much they found."""
    begun, last = time.monotonic(), (FIRST + timedelta(days=DAYS)).date()
    with db.reading() as reading:
        count = sum(1 for _ in acts.findings(reading, FIRST.date(), last))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": round(time.monotonic() - begun, 1), "peak_mib": round(peak), "findings": count}


def sizes(server: PostgresServer) -> dict[str, int]:
    with psycopg.connect(server.url("bureau")) as connection:
        rows = connection.execute(
            "SELECT relname, pg_relation_size(oid) FROM pg_class WHERE relname = 'entry' OR relname LIKE '%_entry%'"
        )
        return dict(rows.fetchall())


def writing(server: PostgresServer) -> dict[str, float]:
    """Entries a second by 16 connections, each its own durable commit: with the indexes, without twice, with again."""
    with psycopg.connect(server.url("bureau")) as connection:
        known = "SELECT indexdef FROM pg_indexes WHERE indexname = ANY(%s)"
        definitions = connection.execute(known, [[f"ix_entry_{name}" for name in INDEXES]]).fetchall()
    with_them = [_write_for(server, "a")]
    for name in INDEXES:
        administer(server, f"DROP INDEX ix_entry_{name}", "bureau")
    without = [_write_for(server, "b"), _write_for(server, "c")]
    for (definition,) in definitions:
        administer(server, definition, "bureau")
    with_them.append(_write_for(server, "d"))
    return {"with": statistics.mean(with_them), "without": statistics.mean(without)}


def _write_for(server: PostgresServer, run: str) -> float:
    administer(server, "CHECKPOINT")
    counts, until = [0] * WRITERS, time.monotonic() + SECONDS

    def write(nth: int) -> None:
        insert = f"INSERT INTO entry ({', '.join(COLUMNS)}) VALUES ({', '.join(['%s'] * len(COLUMNS))})"
        with psycopg.connect(server.url("bureau"), autocommit=True) as connection:
            numbers = iter(range(nth * 104_651, 10**9, 3))
            while time.monotonic() < until:
                words, time_of = said(next(numbers), 1_000_000)
                own = {"id": ids.new_id(), "idempotency_key": f"{run}-{nth}-{counts[nth]}"}
                row = trail.row_of(words, time_of) | own
                connection.execute(insert, [row[name] for name in COLUMNS], prepare=True)
                counts[nth] += 1

    threads = [threading.Thread(target=write, args=(nth,)) for nth in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / SECONDS


if __name__ == "__main__":
    main()
