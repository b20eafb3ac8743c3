# SPDX-License-Identifier: Apache-2.0
"""Screening 390,000 enterprises by 120 indicators, beside PostgreSQL, DuckDB and polars doing the same.

All have the same rows, drawn at random with a fifth of the values missing, and the same consents; nine in ten let the
bank find them, by some of their classes. Asked is: eight conditions, only who consents to all that is asked, how many,
and the first fifty by a ninth indicator. PostgreSQL has an index on every column that is compared, joins the consents
and answers in one statement; polars and DuckDB have the consent as one more column. The engine also counts what
remains without each condition. Over HTTP it is `bureau serve` with token, facets, entry and the second reading of
the consents, against PostgreSQL's bare statement.
"""

import http.client
import io
import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import duckdb
import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray
from sqlalchemy import Engine, create_engine, insert, text

from access import clients, institutions, tokens
from app import database
from bench import servers
from bench.house import House, administer
from bench.measures import Goal, Pace, Result
from bureau import indicators
from bureau.models import screening_build, screening_sheet, screening_version
from bureau.screening import columns, versions
from bureau.screening.columns import Column, Snapshot
from bureau.screening.engine import View
from bureau.screening.sheets import Sheet
from bureau.screening.terms import parse, parse_sort
from kernel import clock, db, ids, keys, signing, uscc

ROWS, COLUMNS, LARGE = 390_000, 120, 4_000_000
QUICK_ROWS = 20_000
A_SHEET, PAGE = 4_096, 50
SCREENED = "screened"
READY_WITHIN_S = 120.0
WORDS = {"INDUSTRY.SECTION": "ABCDEFGHIJKLMNOPQRST", "TAX.GRADE": "ABMCD"}
WHERE: dict[str, Any] = {
    "all": [
        {"indicator": "INDUSTRY.SECTION", "in": ["C", "I", "M"]},
        {"indicator": "REGION.CODE", "prefix": "3205"},
        {"indicator": "BASIC.AGE_YEARS", "between": [3, 18]},
        {"indicator": "TAX.GRADE", "in": ["A", "B"]},
        {"indicator": "RISK.LAWSUITS_24M", "eq": 0},
        {"indicator": "STAFF.INSURED", "gte": 1},
        {"indicator": "TAX.PAID_12M", "gt": 100_000},
        {"not": {"indicator": "SCALE.DEBT_RATIO", "gt": 90}},
    ]
}
SORT = [{"indicator": "ENERGY.POWER_YOY", "desc": True}]
NEEDED = [each.get("not", each)["indicator"] for each in WHERE["all"]]
SQL = """SELECT f.uscc, count(*) OVER (), f."ENERGY.POWER_YOY" FROM firm f JOIN {consent} USING (uscc)
WHERE f."INDUSTRY.SECTION" IN ('C', 'I', 'M') AND f."REGION.CODE" LIKE '3205%%'
AND f."BASIC.AGE_YEARS" BETWEEN 3 AND 18 AND f."TAX.GRADE" IN ('A', 'B') AND f."RISK.LAWSUITS_24M" = 0
AND f."STAFF.INSURED" >= 1 AND f."TAX.PAID_12M" > 100000 AND f."SCALE.DEBT_RATIO" <= 90 AND {visible}
ORDER BY CASE WHEN c.classes & {sort} = {sort} THEN f."ENERGY.POWER_YOY" END DESC NULLS LAST, f.uscc LIMIT 50"""


@dataclass(frozen=True)
class Firms:
    """The rows as each side has them."""

    snapshot: Snapshot
    classes: NDArray[np.uint8]
    frame: pl.DataFrame


def run(house: House, pace: Pace, *, quick: bool = False) -> Iterator[Result]:
    """All rows of the table about screening."""
    firms = _firms(QUICK_ROWS if quick else ROWS)
    tries = max(5, pace.rounds * 4)
    node, order = parse(WHERE), parse_sort(SORT)

    def ours() -> tuple[int, list[str]]:
        view = View(firms.snapshot, firms.classes)
        matched, _ = view.without(node)
        rows = [int(row) for row in view.order(matched, order, None, PAGE)]
        found = [firms.snapshot.uscc(row) for row in rows]
        _ = [[view.value(code, row) for code in NEEDED] for row in rows]
        return int(np.count_nonzero(matched)), found

    administer(house.server, f"CREATE DATABASE {SCREENED}")
    engine = db.open_engine(house.server.url(SCREENED))
    institution, bearer = _fill(house, engine, firms)
    postgres = _postgres(house, engine, institution)
    sides = {"engine": ours, "postgresql": postgres, "duckdb": _duckdb(firms), "polars": _polars(firms)}
    answers = {name: side() for name, side in sides.items()}
    if len({(total, tuple(found)) for total, found in answers.values()}) != 1:
        raise RuntimeError(f"not the same answers: { ({name: total for name, (total, _) in answers.items()}) }")
    took = {name: _median_ms(side, tries) for name, side in sides.items()}
    note = f"{answers['engine'][0]:,} of {len(firms.snapshot):,} enterprises fit; {COLUMNS} indicators on file"
    for name, least in (("postgresql", 50.0), ("duckdb", 1.0), ("polars", 1.0)):
        told = (f"{took['engine']:.2f} ms", f"{name} {took[name]:.1f} ms", took[name] / took["engine"])
        yield Result("screening" if name == "postgresql" else f"screening_{name}", *told, Goal(least=least), note)
        note = ""
    with servers.bureau(house.environment(SCREENED)) as running:
        ask = asking(running.port, bearer, WHERE)
        total = [patiently(ask) for _ in range(12)][-1]["total"]  # each worker has then read all consents once
        if total != answers["engine"][0]:
            raise RuntimeError(f"over HTTP {total} enterprises fit, not {answers['engine'][0]}")
        over = _median_ms(partial(patiently, ask), tries)
    yield Result(
        "screening_http",
        f"{over:.1f} ms",
        f"postgresql {took['postgresql']:.1f} ms",
        took["postgresql"] / over,
        Goal(least=10),
    )
    size = sum(column.codes.nbytes for column in firms.snapshot.columns) / len(firms.snapshot)
    each = size + columns.USCC_BYTES + 4 + 30 + 5
    yield Result(
        "screening_memory",
        f"{each:.0f} bytes",
        "",
        each,
        Goal(most=1_200),
        "an enterprise: a version's columns, code and name, an institution's mask",
    )
    large = _enlarged(firms, QUICK_ROWS * 2 if quick else LARGE)

    def at_large() -> None:
        view = View(large.snapshot, large.classes)
        matched, _ = view.without(node)
        view.order(matched, order, None, PAGE)

    slow = _median_ms(at_large, tries)
    yield Result("screening_large", f"{slow:.1f} ms", "", slow, Goal(most=50), f"{len(large.snapshot):,} enterprises")
    engine.dispose()


def _firms(count: int) -> Firms:
    chance = np.random.default_rng(20261125)
    usccs = _usccs(count)
    held: list[Column] = []
    frame: dict[str, Any] = {"uscc": usccs}
    for place, each in enumerate(indicators.ALL.values()):
        kept = each.code in NEEDED or each.code == SORT[0]["indicator"] or place < COLUMNS
        missing = chance.random(count) < (0.2 if kept else 1)
        if each.type == "category":
            words = sorted(WORDS.get(each.code, [f"{3205 + n // 12}{n:02}" for n in range(40)]))
            # The first words are the most frequent, as sections, grades and districts of a city are.
            drawn = np.minimum(chance.geometric(0.15, count) - 1, len(words) - 1)
            ranks = np.where(missing, np.nan, drawn)
            held.append(columns.column_of(ranks, words))
            values: Any = [None if np.isnan(rank) else words[int(rank)] for rank in ranks]
        else:
            numbers = np.where(missing, np.nan, _numbers(each, count, chance))
            held.append(columns.column_of(numbers))
            values = pl.Series(numbers).fill_nan(None)
        if kept:
            frame[each.code] = values
    classes = masks_of(count, chance)
    frame["classes"] = classes.astype(np.int16)
    snapshot = Snapshot(1, 0, 0, clock.now(), np.array(usccs, "S18"), usccs, held)
    return Firms(snapshot, classes, pl.DataFrame(frame))


def masks_of(count: int, chance: np.random.Generator) -> NDArray[np.uint8]:
    """What each enterprise lets the bank see: nine in ten something, six in ten all."""
    everything, without_lenders, without_courts, little = 0b11111110, 0b11110110, 0b01111110, 0b00000110
    sets = np.array([0, *[everything] * 6, without_lenders, without_courts, little], np.uint8)
    return sets[chance.integers(0, len(sets), count)]


def _usccs(count: int) -> list[str]:
    heads = (f"91320599MA{n:07}" for n in itertools.count())
    return sorted(head + uscc.check_symbol(head) for head in itertools.islice(heads, count))


def _numbers(each: indicators.Indicator, count: int, chance: np.random.Generator) -> NDArray[np.float64]:
    """Values such as an indicator of its kind has."""
    if each.type == "boolean":
        return (chance.random(count) < 0.1).astype(np.float64)
    if each.type == "date":
        return chance.integers(727_000, 740_000, count).astype(np.float64)
    if each.unit == "CNY fen":
        return np.rint(np.exp(chance.normal(18, 2.5, count)))
    if each.unit == "years":
        return np.round(chance.uniform(0, 30, count), 2)
    if each.type == "integer":
        return np.floor(chance.exponential(0.6 if each.code.startswith("RISK") else 40, count))
    return np.round(chance.normal(20, 35, count), 2)


def _fill(house: House, engine: Engine, firms: Firms) -> tuple[str, str]:
    """The bureau's own database with the index and the consents, and PostgreSQL's own table of the same."""
    root = keys.read_root(house.root_key)
    database.migrate(engine)
    database.begin(engine, root)
    db.use(engine)
    with db.reading() as reading:
        keys.use(keys.open_purpose_keys(reading, root))
        signing.open_signers(reading)
    with db.transaction() as tx:
        bank = institutions.add(tx, "演示银行", "bank")
        client_id, _ = clients.add(tx, bank, ("screening:search",), per_second=1_000_000)
        bearer = tokens.issue(tx, frozenset({"screening:search"}), tokens.CLIENT_TOKEN_LIFE, client_id=client_id)[0]
        now = clock.now()
        tx.execute(insert(screening_build).values(id=1, publication=0, begun_at=now, rules="bench"))
        supplied = frozenset(each.rule.presumes for each in indicators.ALL.values() if each.rule.presumes)
        for part, at in enumerate(range(0, len(firms.snapshot), A_SHEET)):
            sheet = _sheet(firms, slice(at, at + A_SHEET), supplied)
            place = {"build": 1, "patch": 0, "part": part, "first": sheet.usccs[0] if part else ""}
            held = {"enterprises": len(sheet.usccs), "ciphertext": versions.encrypted(sheet, 1, 0, part)}
            tx.execute(insert(screening_sheet).values(**place, **held))
        tx.execute(insert(screening_version).values(version=1, build=1, patch=0, publication=0, time=now))
        codes = (code.decode() for code in firms.snapshot.usccs.tolist())
        consent_to(tx, zip(codes, firms.classes.tolist(), strict=True), bank)
    _copy(engine, firms)
    return bank, bearer


def _sheet(firms: Firms, rows: slice, supplied: frozenset[str]) -> Sheet:
    held = {}
    for code, column in zip(indicators.ALL, firms.snapshot.columns, strict=True):
        held[code] = columns.column_of(column.values()[rows], column.kind.words)
    usccs = [each.decode() for each in firms.snapshot.usccs[rows].tolist()]
    return Sheet(usccs, [f"演示企业{each[10:17]}" for each in usccs], np.ones(len(usccs), np.bool_), held, supplied)


def consent_to(tx: Any, allowed: Iterable[tuple[str, int]], bank: str) -> None:
    """Consents as masks of classes, unsigned, as nobody verifies them here; by the columns that decide."""
    now = clock.now() - timedelta(days=1)
    names = ("id", "version", "uscc", "scope", "grantee", "classes", "products", "purposes", "not_before")
    names += ("status", "deciding", "created_at", "granted_at", "changed_at")
    fixed = ("screening", "screening", now, "active", True, now, now, now)
    driver = tx.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY consent ({', '.join(names)}) FROM STDIN") as copy:
        for code, mask in allowed:
            if mask:
                classes = ",".join(str(n) for n in range(1, 8) if mask >> n & 1)
                copy.write_row((ids.new_id(), 1, code, "query", bank, classes, *fixed))


def _copy(engine: Engine, firms: Firms) -> None:
    kinds = {pl.Float64: "double precision", pl.String: "text", pl.Int16: "smallint"}
    shaped = ", ".join(
        f'"{name}" {kinds[type(kind)]}' for name, kind in firms.frame.schema.items() if name != "classes"
    )
    with engine.begin() as tx:
        tx.execute(text(f"CREATE TABLE firm ({shaped})"))
        driver: Any = tx.connection.driver_connection
        written = io.BytesIO()
        firms.frame.drop("classes").write_csv(written)
        with driver.cursor() as cursor, cursor.copy("COPY firm FROM STDIN (FORMAT csv, HEADER)") as copy:
            copy.write(written.getbuffer())
        tx.execute(text("ALTER TABLE firm ADD PRIMARY KEY (uscc)"))
        for name in (*NEEDED, SORT[0]["indicator"]):
            pattern = " text_pattern_ops" if name == "REGION.CODE" else ""
            tx.execute(text(f'CREATE INDEX ON firm ("{name}"{pattern})'))


def _postgres(house: House, engine: Engine, bank: str) -> Callable[[], tuple[int, list[str]]]:
    needs = sum({1 << n for code in NEEDED for n in indicators.ALL[code].source_classes})
    with engine.begin() as tx:  # what the bank may see of whom, ready to be joined
        tx.execute(
            text(
                "CREATE TABLE allowed (uscc text, institution text, classes smallint, PRIMARY KEY (institution, uscc))"
            )
        )
        tx.execute(
            text(
                "INSERT INTO allowed SELECT uscc, grantee, (SELECT sum(1 << n::int) FROM "
                "unnest(string_to_array(classes, ',')) AS n) FROM consent WHERE status = 'active' AND deciding"
            )
        )
    administer(house.server, "VACUUM (ANALYZE)", SCREENED)
    own = create_engine(house.server.url(SCREENED))
    visible = f"c.institution = '{bank}' AND c.classes & {needs} = {needs}"
    statement = text(SQL.format(consent="allowed c", visible=visible, sort=_sort_needs()).replace("%%", "%"))
    connection = own.connect()

    def ask() -> tuple[int, list[str]]:
        rows = connection.execute(statement).all()
        return rows[0][1], [row.uscc for row in rows]

    return ask


def _sort_needs() -> int:
    return sum(1 << n for n in indicators.ALL[SORT[0]["indicator"]].source_classes)


def _duckdb(firms: Firms) -> Callable[[], tuple[int, list[str]]]:
    own, frame = duckdb.connect(), firms.frame
    own.register("given", frame)
    own.execute("CREATE TABLE firm AS SELECT * EXCLUDE (classes) FROM given")
    own.execute("CREATE TABLE allowed AS SELECT uscc, classes FROM given WHERE classes <> 0")
    needs = sum({1 << n for code in NEEDED for n in indicators.ALL[code].source_classes})
    statement = SQL.format(consent="allowed c", visible=f"c.classes & {needs} = {needs}", sort=_sort_needs())
    statement = statement.replace("%%", "%")

    def ask() -> tuple[int, list[str]]:
        rows = own.execute(statement).fetchall()
        return rows[0][1], [row[0] for row in rows]

    return ask


def _polars(firms: Firms) -> Callable[[], tuple[int, list[str]]]:
    frame, needs, sort = (
        firms.frame,
        sum({1 << n for code in NEEDED for n in indicators.ALL[code].source_classes}),
        _sort_needs(),
    )
    col = pl.col
    fits = (
        col("INDUSTRY.SECTION").is_in(["C", "I", "M"])
        & col("REGION.CODE").str.starts_with("3205")
        & col("BASIC.AGE_YEARS").is_between(3, 18)
        & col("TAX.GRADE").is_in(["A", "B"])
        & (col("RISK.LAWSUITS_24M") == 0)
        & (col("STAFF.INSURED") >= 1)
        & (col("TAX.PAID_12M") > 100_000)
        & (col("SCALE.DEBT_RATIO") <= 90)
        & ((col("classes") & needs) == needs)
    )
    by = pl.when((col("classes") & sort) == sort).then(col(SORT[0]["indicator"]))

    def ask() -> tuple[int, list[str]]:
        found = frame.lazy().filter(fits).select("uscc", by.alias("by")).collect()
        first = found.sort(["by", "uscc"], descending=[True, False], nulls_last=True).head(PAGE)
        return len(found), first["uscc"].to_list()

    return ask


def asking(port: int, bearer: str, where: dict[str, Any]) -> Callable[[], Any]:
    """A page over HTTP, each time under a new key, on a kept connection."""
    connection, numbers = http.client.HTTPConnection("127.0.0.1", port, timeout=120), itertools.count()
    body = orjson.dumps({"where": where, "sort": SORT, "limit": PAGE, "operator": "OP-00042"})

    def ask() -> Any:
        headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
        headers["Idempotency-Key"] = f"bench-{time.monotonic_ns()}-{next(numbers)}"
        if next(numbers) % 4 == 0:
            connection.close()  # so that both workers are asked
        connection.request("POST", "/v1/screenings", body, headers)
        response = connection.getresponse()
        return orjson.loads(response.read())

    return ask


def patiently(ask: Callable[[], Any]) -> Any:
    """A page, however long the screener takes to open the index for the first time."""
    give_up = time.monotonic() + READY_WITHIN_S
    while "total" not in (answer := ask()):
        if answer["status"] != http.client.SERVICE_UNAVAILABLE or time.monotonic() > give_up:
            raise RuntimeError(f"no page: {answer}")
        time.sleep(0.2)
    return answer


def _enlarged(firms: Firms, count: int) -> Firms:
    """The same rows again and again: only what is compared matters here, so codes repeat."""
    times = -(-count // len(firms.snapshot))
    held = [Column(np.tile(each.codes, times)[:count], each.kind) for each in firms.snapshot.columns]
    snapshot = Snapshot(1, 0, 0, firms.snapshot.time, np.zeros(count, "S18"), [], held)
    return Firms(snapshot, np.tile(firms.classes, times)[:count], firms.frame)


def _median_ms(side: Callable[[], Any], tries: int) -> float:
    took = []
    for _ in range(tries):
        begun = time.perf_counter()
        side()
        took.append((time.perf_counter() - begun) * 1000)
    return statistics.median(took)
