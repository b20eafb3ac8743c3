# SPDX-License-Identifier: Apache-2.0
"""What is asked of all who screen, and the peers that answer it: PostgreSQL, DuckDB, polars.

PostgreSQL has an index on every column that is compared, joins the consents and answers in one statement; DuckDB
joins them too, polars has them as one more column.
"""

import io
from collections.abc import Callable, Iterable
from typing import Any

import duckdb
import polars as pl
from sqlalchemy import Engine, create_engine, text

from bench.firms import Firms
from bench.house import House, administer
from bench.screened import SCREENED
from bureau import indicators

PAGE = 50
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
SORTED_BY = "ENERGY.POWER_YOY"
SORT = [{"indicator": SORTED_BY, "desc": True}]
NEEDED = [each.get("not", each)["indicator"] for each in WHERE["all"]]
ASKED = {"where": WHERE, "sort": SORT, "limit": PAGE}
SQL = """SELECT f.uscc, count(*) OVER (), f."ENERGY.POWER_YOY" FROM firm f JOIN allowed c USING (uscc)
WHERE f."INDUSTRY.SECTION" IN ('C', 'I', 'M') AND f."REGION.CODE" LIKE '3205%'
AND f."BASIC.AGE_YEARS" BETWEEN 3 AND 18 AND f."TAX.GRADE" IN ('A', 'B') AND f."RISK.LAWSUITS_24M" = 0
AND f."STAFF.INSURED" >= 1 AND f."TAX.PAID_12M" > 100000 AND f."SCALE.DEBT_RATIO" <= 90 AND {visible}
ORDER BY CASE WHEN c.classes & {sort} = {sort} THEN f."ENERGY.POWER_YOY" END DESC NULLS LAST, f.uscc LIMIT 50"""

Side = Callable[[], tuple[int, list[str]]]  # how many fit, and the first page of them


def in_postgresql(house: House, engine: Engine, bank: str, firms: Firms) -> Side:
    """In the bureau's own database, as `firm` and `allowed`."""
    _copy(engine, firms)
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
    needs, sort = _classes_of(NEEDED), _classes_of([SORTED_BY])
    visible = f"c.institution = '{bank}' AND c.classes & {needs} = {needs}"
    statement = text(SQL.format(visible=visible, sort=sort))
    connection = create_engine(house.server.url(SCREENED)).connect()

    def ask() -> tuple[int, list[str]]:
        rows = connection.execute(statement).all()
        return rows[0][1], [row.uscc for row in rows]

    return ask


def in_duckdb(firms: Firms) -> Side:
    own, frame = duckdb.connect(), firms.frame
    own.register("given", frame)
    own.execute("CREATE TABLE firm AS SELECT * EXCLUDE (classes) FROM given")
    own.execute("CREATE TABLE allowed AS SELECT uscc, classes FROM given WHERE classes <> 0")
    needs, sort = _classes_of(NEEDED), _classes_of([SORTED_BY])
    statement = SQL.format(visible=f"c.classes & {needs} = {needs}", sort=sort)

    def ask() -> tuple[int, list[str]]:
        rows = own.execute(statement).fetchall()
        return rows[0][1], [row[0] for row in rows]

    return ask


def in_polars(firms: Firms) -> Side:
    frame, col = firms.frame, pl.col
    needs, sort = _classes_of(NEEDED), _classes_of([SORTED_BY])
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
    by = pl.when((col("classes") & sort) == sort).then(col(SORTED_BY))

    def ask() -> tuple[int, list[str]]:
        found = frame.lazy().filter(fits).select("uscc", by.alias("by")).collect()
        first = found.sort(["by", "uscc"], descending=[True, False], nulls_last=True).head(PAGE)
        return len(found), first["uscc"].to_list()

    return ask


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
        for name in (*NEEDED, SORTED_BY):
            pattern = " text_pattern_ops" if name == "REGION.CODE" else ""
            tx.execute(text(f'CREATE INDEX ON firm ("{name}"{pattern})'))


def _classes_of(codes: Iterable[str]) -> int:
    """The classes that some indicators are made of, as a mask."""
    return sum({1 << number for code in codes for number in indicators.ALL[code].source_classes})
