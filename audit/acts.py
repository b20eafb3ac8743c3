# SPDX-License-Identifier: Apache-2.0
"""The trail, day by day, for the rules of `findings`; and how many findings other limits would have given."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date, datetime, time, timedelta
from itertools import groupby, islice
from sys import intern
from typing import Any

import orjson
from sqlalchemy import Connection, case, literal, select, tuple_

from audit import search
from audit.findings import (
    ANSWERED,
    MONTH,
    REFUSED,
    REVOKED,
    RULES,
    Act,
    Finding,
    Known,
    Limits,
    judged,
    scaled,
    shipped,
    working_day,
)
from audit.models import entry as entries
from kernel import clock, ids

ROWS_AT_ONCE = 5_000
FACTORS = (0.5, 1.0, 2.0)
_SEEN = (ANSWERED, REFUSED, REVOKED)
_COLUMNS = tuple(entries.c[name] for name in ("id", "time", "actor", "institution", "operator", "uscc", "facet"))


def findings(tx: Connection, first: date, last: date, limits: Limits | None = None) -> Iterator[Finding]:
    """What the rules find in the days from `first` to `last`, both included; streamed, in the order of the days."""
    limits = limits or shipped()
    known = Known(kinds(tx))
    for day, acts in _days(tx, first - timedelta(days=MONTH), last, limits):
        if day >= first:
            _recall(tx, known, acts)
            yield from judged(day, acts, known, limits)
        known.learn(day, acts)


def backtest(tx: Connection, first: date, last: date) -> dict[str, dict[str, int]]:
    """Of each rule how many findings those days would have had at each of FACTORS times its limit; one reading."""
    tried = {str(factor): scaled(shipped(), factor) for factor in FACTORS}
    counts: dict[str, Counter[str]] = {factor: Counter() for factor in tried}
    known = Known(kinds(tx))
    for day, acts in _days(tx, first - timedelta(days=MONTH), last, shipped()):
        if day >= first:
            _recall(tx, known, acts)
            for factor, limits in tried.items():
                counts[factor].update(found.rule for found in judged(day, acts, known, limits))
        known.learn(day, acts)
    return {rule: {factor: counts[factor][rule] for factor in tried} for rule in RULES}


def listed(found: Iterator[Finding], most: int) -> tuple[list[dict[str, Any]], bool]:
    """Findings as documents, at most so many, and whether there are more."""
    some = list(islice(found, most + 1))
    shown = [asdict(one) | {"day": one.day.isoformat(), "evidence": list(one.evidence)} for one in some[:most]]
    return shown, len(some) > most


def kinds(tx: Connection) -> dict[str, str]:
    """The kind of each institution, as the trail tells of its registration."""
    known = [one for one in search.facets(tx, {}) if one.startswith("institution.")]
    told = select(entries.c.institution, entries.c.bytes).where(entries.c.facet.in_(known)).order_by(entries.c.id)
    found = {}
    for row in tx.execute(told):
        detail = orjson.loads(row.bytes).get("detail") or {} if row.bytes is not None else {}
        if "kind" in detail:
            found[row.institution] = str(detail["kind"])
    return found


def _days(tx: Connection, first: date, last: date, limits: Limits) -> Iterator[tuple[date, list[Act]]]:
    begin, end = (_opening(day, limits) for day in (first, last + timedelta(days=1)))
    # By the id's own millisecond, in whose order they are read: the time is that of the writing, a moment later.
    for day, some in groupby(_acts(tx, begin, end), key=lambda act: working_day(ids.instant_of(act.id), limits)):
        yield day, list(some)


def _opening(day: date, limits: Limits) -> datetime:
    return datetime.combine(day, time(limits["day"]["opens"]), clock.SHANGHAI)


def _acts(tx: Connection, begin: datetime, end: datetime) -> Iterator[Act]:
    after, until = ids.first_at(begin), ids.first_at(end)
    # The bytes of a question are not needed: most of what a row weighs.
    told = case((entries.c.type == REVOKED, entries.c.bytes)).label("bytes")
    page = select(*_COLUMNS, told).where(entries.c.type.in_(_SEEN), entries.c.id < until).order_by(entries.c.id)
    while True:
        rows: Any = tx.execute(page.where(entries.c.id > after).limit(ROWS_AT_ONCE)).all()
        yield from map(_act, rows)
        if len(rows) < ROWS_AT_ONCE:
            return
        after = rows[-1].id


def _act(row: Any) -> Act:
    kind, _, rule, purpose, _ = row.facet.split(" ")
    detail = orjson.loads(row.bytes).get("detail") or {} if row.bytes is not None else {}
    return Act(
        id=row.id,
        time=row.time,
        type=intern(kind),
        actor=intern(row.actor),
        institution=row.institution and intern(row.institution),
        operator=row.operator,
        uscc=row.uscc,
        rule=None if rule == "-" else intern(rule),
        purpose=None if purpose == "-" else intern(purpose),
        grantee=detail.get("grantee"),
    )


def _recall(tx: Connection, known: Known, acts: list[Act]) -> None:
    """When a client that was not seen since the reading began did something before: one look along its index."""
    for act in acts:
        if act.type != REVOKED and act.actor not in known.last_act:
            place = tuple_(entries.c.actor, entries.c.id) < tuple_(literal(act.actor), literal(act.id))
            earlier = select(entries.c.time).where(place, entries.c.actor >= act.actor)
            last = tx.scalar(earlier.order_by(entries.c.actor.desc(), entries.c.id.desc()).limit(1))
            known.last_act[act.actor] = last or act.time
