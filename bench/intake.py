# SPDX-License-Identifier: Apache-2.0
"""Taking records in, against the database's own bulk load; and what ten times the records do to a question.

    measure        ours                                    peer
    intake         records/s of `intake.receive`, judged,  rows/s of a raw COPY of every tenth group's rows, in the
                   packed, encrypted, on the trail, by     same minutes: a row per record, a primary key and an
                   several processes at once               index on the USCC; neither checked nor encrypted
    growth         p50 in ms of an answer made from the    the same at a tenth of the records
                   vault at all records, compacted
    bytes          bytes a record of folios, keys, batches and directory, indexes in, compacted and vacuumed

The rows are the demo city's, about so many an enterprise in twelve deliveries of some firms each, ready in memory
before the clock runs. To make them takes longer than to take them in, so each process makes those of some groups of
firms, and tells them of its other groups too, under their own USCCs.
"""

import dataclasses
import hashlib
import multiprocessing
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import text

from app import city, database
from app.city import Firm
from bench.house import FIRMS_AT_ONCE, House, administer, deliveries
from bench.measures import MEASURED_TABLES, Goal, Result
from bureau import answers, compaction, intake, vault
from bureau.answers import Asked
from bureau.open_batches import Receipt
from bureau.records import Batch, Row
from consent.question import CLASSES
from kernel import db, keys, signing

PROCESSES = 2
QUESTIONS = 400
COPIED_EVERY = 10
MADE = 4
NAME = "intake"
PLAIN_TABLE = (
    "CREATE TABLE plain (batch integer, number integer, uscc text, dataset text, event_date text, source text,"
    " items jsonb, raw jsonb, PRIMARY KEY (batch, number)); CREATE INDEX ON plain (uscc)"
)


def run(house: House, enterprises: int, records_each: int) -> Iterator[Result]:
    """Load a tenth, ask, load the rest, ask again."""
    administer(house.server, f"CREATE DATABASE {NAME}")
    url = house.server.url(NAME)
    before, engine = db.current(), db.open_engine(url)
    database.migrate(engine)
    database.begin(engine, keys.read_root(house.root_key))
    firms = list(city.firms(enterprises))
    size_firms = max(1, min(FIRMS_AT_ONCE, enterprises // 20))
    groups = [firms[at : at + size_firms] for at in range(0, len(firms), size_firms)]
    tenth = max(1, len(groups) // 10)
    db.use(engine)
    _open(house)
    with engine.begin() as tx:
        for statement in PLAIN_TABLE.split(";"):
            tx.exec_driver_sql(statement)
    few = _load(house, groups[:tenth], records_each)
    at_few = _ask(firms[: tenth * size_firms])
    loaded = _load(house, groups[tenth:], records_each)
    at_all = _ask(firms)
    total, rate, raw = few.records + loaded.records, loaded.rate, loaded.copied
    size = _size()
    db.use(before)
    _open(house)
    engine.dispose()
    note = f"{total:,} records of {enterprises:,} enterprises, {PROCESSES} processes"
    yield Result("intake", f"{rate:,.0f}/s", f"{raw:,.0f}/s", rate / raw, Goal(least=0.3), note)
    yield Result(
        "growth",
        f"{at_all:.2f} ms",
        f"{at_few:.2f} ms",
        at_all / at_few,
        Goal(most=1.3),
        f"{few.records:,} records → {total:,}",
    )
    yield Result("bytes", f"{size / total:.1f} bytes", "", size / total, Goal(most=80), note)


def _open(house: House) -> None:
    with db.reading() as reading:
        keys.use(keys.open_purpose_keys(reading, keys.read_root(house.root_key)))
        signing.open_signers(reading)


class Loaded(NamedTuple):
    """Records taken in, by how many a second, and how many a second a COPY takes."""

    records: int
    rate: float
    copied: float


def _load(house: House, groups: Sequence[Sequence[Firm]], records_each: int) -> Loaded:
    """Load groups of firms by several processes: their rates are added, a COPY's is that of one process."""
    context = multiprocessing.get_context("fork")
    told: Any = context.Queue()
    running = [
        context.Process(target=_load_some, args=(house, groups[nth::PROCESSES], records_each, told))
        for nth in range(PROCESSES)
    ]
    for process in running:
        process.start()
    done = [told.get() for _ in running]
    for process in running:
        process.join()
    rates = [records / seconds for records, seconds, *_ in done if seconds]
    return Loaded(sum(each[0] for each in done), sum(rates), statistics.mean(each[2] for each in done))


def _load_some(house: House, groups: Sequence[Sequence[Firm]], records_each: int, told: Any) -> None:
    kept = db.current()  # the parent's connections are not ours to close
    db.use(db.open_engine(house.server.url(NAME)))
    records, seconds, copied, copying = 0, 0.0, 0, 0.0
    made = [(group, list(deliveries(group, records_each))) for group in groups[:MADE]]
    for nth, group in enumerate(groups):
        ready = _told_of(group, *made[nth % len(made)])
        begun = time.monotonic()
        taken = [intake.receive(batch) for batch in ready]
        seconds += time.monotonic() - begun
        records += sum(receipt.accepted for receipt in taken)
        if nth % COPIED_EVERY == 0:
            copied += sum(len(batch.rows) for batch in ready)
            copying += _copy(taken, ready)
    told.put((records, seconds, copied / copying if copying else 0.0))
    del kept


def _told_of(group: Sequence[Firm], others: Sequence[Firm], batches: Sequence[Batch]) -> list[Batch]:
    """The deliveries about some firms as deliveries about as many others, or fewer."""
    codes = {other.uscc: firm.uscc for other, firm in zip(others, group, strict=False)}
    told = []
    for batch in batches:
        rows = [row._replace(uscc=codes[row.uscc]) for row in batch.rows if isinstance(row, Row) and row.uscc in codes]
        told.append(dataclasses.replace(batch, digest=_own(group, batch), rows=rows))
    return told


def _own(group: Sequence[Firm], batch: Batch) -> str:
    """A digest of this group's own: `deliveries` tells only those of one city apart."""
    return hashlib.sha256(f"{group[0].uscc} {batch.digest}".encode()).hexdigest()


def _ask(firms: Sequence[Firm]) -> float:
    """p50 in ms of the answer about a random firm, once compacted and vacuumed."""
    compaction.sweep()
    current: Any = db.current()
    with current.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM (ANALYZE)"))
    chance, took = random.Random(7), []
    for _ in range(QUESTIONS):
        begun = time.perf_counter()
        uscc = chance.choice(firms).uscc
        with db.reading() as reading:
            dossier = vault.open_dossier(reading, uscc, CLASSES)
        answers.records(Asked("a-query", uscc, "pre_loan", "records", "a-consent"), dossier)
        took.append((time.perf_counter() - begun) * 1000)
    return statistics.median(took)


def _copy(taken: Sequence[Receipt], batches: Sequence[Batch]) -> float:
    """The seconds of a raw COPY of these deliveries' rows, made ready before the clock runs."""
    each = zip(taken, batches, strict=True)
    whole = b"".join(_line(int(receipt.batch), batch, row) for receipt, batch in each for row in batch.rows)
    current: Any = db.current()
    begun = time.monotonic()
    with current.begin() as tx, tx.connection.driver_connection.cursor().copy("COPY plain FROM STDIN") as copy:
        copy.write(whole)
    return time.monotonic() - begun


def _line(nth: int, batch: Batch, row: Any) -> bytes:
    assert isinstance(row, Row)
    cells = [str(nth), str(row.number), row.uscc, row.dataset, row.event_date or "\\N", batch.source]
    cells += [orjson.dumps(part).decode().replace("\\", "\\\\") for part in (dict(row.items), dict(row.raw))]
    return ("\t".join(cells) + "\n").encode()


def _size() -> int:
    current: Any = db.current()
    tables = ", ".join(f"'{name}'" for name in MEASURED_TABLES)
    with current.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for name in MEASURED_TABLES:
            connection.execute(text(f"VACUUM (FULL, ANALYZE) {name}"))
        return int(
            connection.scalar(
                text(
                    "SELECT sum(pg_total_relation_size(relid)) FROM unnest(ARRAY["
                    f"{tables}]::regclass[]) AS named, LATERAL pg_partition_tree(named) WHERE isleaf"
                )
            )
            or 0
        )
