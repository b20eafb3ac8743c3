# SPDX-License-Identifier: Apache-2.0
"""Screening 390,000 enterprises by 120 indicators, beside PostgreSQL, DuckDB and polars doing the same.

All have the same rows, drawn at random with a fifth of the values missing, and the same consents; nine in ten let the
bank find them, by some of their classes. Asked is: eight conditions, only who consents to all that is asked, how many,
and the first fifty by a ninth indicator. The engine also counts what remains without each condition. Over HTTP it is
`bureau serve` with token, facets, entry and the second reading of the consents, against PostgreSQL's bare statement.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from bench import screening_peers as peers
from bench import servers
from bench.firms import COLUMNS, Firms, drawn, enlarged
from bench.house import House, administer
from bench.results import Goal, Pace, Result
from bench.screened import SCREENED, asking, fill, patiently
from bench.screening_peers import ASKED, NEEDED, PAGE, SORT, SORTED_BY, WHERE, Side
from bureau.screening import columns
from bureau.screening.engine import View
from bureau.screening.terms import parse, parse_sort
from kernel import db

ROWS, LARGE = 390_000, 4_000_000
QUICK_ROWS = 20_000


def run(house: House, pace: Pace, *, quick: bool = False) -> Iterator[Result]:
    """All rows of the table about screening."""
    firms = drawn(QUICK_ROWS if quick else ROWS, {*NEEDED, SORTED_BY})
    tries = max(5, pace.rounds * 4)
    administer(house.server, f"CREATE DATABASE {SCREENED}")
    engine = db.open_engine(house.server.url(SCREENED))
    bank, bearer = fill(house, engine, firms)
    sides = {
        "engine": _engine(firms),
        "postgresql": peers.in_postgresql(house, engine, bank, firms),
        "duckdb": peers.in_duckdb(firms),
        "polars": peers.in_polars(firms),
    }
    answers = {name: side() for name, side in sides.items()}
    totals = {name: total for name, (total, _) in answers.items()}
    if len({(total, tuple(found)) for total, found in answers.values()}) != 1:
        raise RuntimeError(f"not the same answers: {totals}")
    took = {name: _median_ms(side, tries) for name, side in sides.items()}
    note = f"{totals['engine']:,} of {len(firms.snapshot):,} enterprises fit; {COLUMNS} indicators on file"
    for name, least in (("postgresql", 50.0), ("duckdb", 1.0), ("polars", 1.0)):
        told = (f"{took['engine']:.2f} ms", f"{name} {took[name]:.1f} ms", took[name] / took["engine"])
        yield Result("screening" if name == "postgresql" else f"screening_{name}", *told, Goal(least=least), note)
        note = ""
    over, bare = _over_http_ms(house, bearer, totals["engine"], tries), took["postgresql"]
    yield Result("screening_http", f"{over:.1f} ms", f"postgresql {bare:.1f} ms", bare / over, Goal(least=10))
    yield _memory(firms)
    yield _large(enlarged(firms, QUICK_ROWS * 2 if quick else LARGE), tries)
    engine.dispose()


def _engine(firms: Firms) -> Side:
    node, order = parse(WHERE), parse_sort(SORT)

    def ask() -> tuple[int, list[str]]:
        view = View(firms.snapshot, firms.classes)
        matched, _ = view.without(node)
        rows = [int(row) for row in view.order(matched, order, None, PAGE)]
        found = [firms.snapshot.uscc(row) for row in rows]
        _ = [[view.value(code, row) for code in NEEDED] for row in rows]
        return int(np.count_nonzero(matched)), found

    return ask


def _over_http_ms(house: House, bearer: str, fit: int, tries: int) -> float:
    with servers.bureau(house.environment(SCREENED)) as running:
        ask = asking(running.port, bearer, ASKED)
        total = [patiently(ask) for _ in range(12)][-1]["total"]  # each worker has then read all consents once
        if total != fit:
            raise RuntimeError(f"over HTTP {total} enterprises fit, not {fit}")
        return _median_ms(partial(patiently, ask), tries)


def _memory(firms: Firms) -> Result:
    size = sum(column.codes.nbytes for column in firms.snapshot.columns) / len(firms.snapshot)
    each = size + columns.USCC_BYTES + 4 + 30 + 5
    note = "an enterprise: a version's columns, code and name, an institution's mask"
    return Result("screening_memory", f"{each:.0f} bytes", "", each, Goal(most=1_200), note)


def _large(firms: Firms, tries: int) -> Result:
    node, order = parse(WHERE), parse_sort(SORT)

    def ask() -> None:
        view = View(firms.snapshot, firms.classes)
        matched, _ = view.without(node)
        view.order(matched, order, None, PAGE)

    took = _median_ms(ask, tries)
    return Result("screening_large", f"{took:.1f} ms", "", took, Goal(most=50), f"{len(firms.snapshot):,} enterprises")


def _median_ms(side: Callable[[], Any], tries: int) -> float:
    took = []
    for _ in range(tries):
        begun = time.perf_counter()
        side()
        took.append((time.perf_counter() - begun) * 1000)
    return statistics.median(took)
