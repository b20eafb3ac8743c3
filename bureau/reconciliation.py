# SPDX-License-Identifier: Apache-2.0
"""Reconciliation: enterprises of which something was published are looked at again, and the list kept up with that.

It runs behind deliveries, never in them, some enterprises at a time:

1. look    at the next of them as of one publication, with nothing locked
2. write   what was found, in one transaction that holds publications back and moves the mark; so a shredding is either
           seen here or finds what was written, and of two processes one writes and the other finds the mark moved

A discrepancy is *open* until somebody explains why it may stand (*explained*, as long as every source says the same),
or its sources agree again by a correction, a withdrawal or a later delivery (*settled*). It keeps its place in the
list through all that. Nothing of it changes a record or an answer.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

import orjson
import structlog
from sqlalchemy import Connection, delete, insert, select, update

from bureau import discrepancies, publications, standing, touching, vault
from bureau.discrepancies import Discrepancy
from bureau.models import discrepancy, discrepancy_source, reconciliation
from kernel import bulk, clock, db, ids, keys
from kernel.keys import Altered

ENTERPRISES_AT_ONCE = 500
ENTERPRISES_A_ROUND = 5_000  # of the worker, some 20 s: then others have their turn
OPEN, EXPLAINED, SETTLED = STATES = ("open", "explained", "settled")

Found = dict[tuple[str, str], Discrepancy]
log = structlog.get_logger()


def catch_up(tell: Callable[[int], None] = lambda done: None, most: int | None = None) -> int:
    """Look at whoever was touched since the last time, at most `most` of them. Returns how many.

    Interrupted, the next run goes on behind the last of them. One whose folios do not open is left and logged.
    """
    done = 0
    while (most is None or done < most) and (looked_at := _step()) is not None:
        done += looked_at
        tell(done)
    return done


def _step() -> int | None:
    """Look at the next few. Returns how many, None where there is nothing to do or another process did it."""
    with db.reading() as reading:
        at: Any = reading.execute(select(reconciliation)).one()
        since, upto, after = _way(at, publications.latest(reading))
        if since == upto:
            return None
        usccs = touching.page(reading, since, upto, after, ENTERPRISES_AT_ONCE)
        found = {uscc: one for uscc in usccs if (one := _look(reading, uscc, upto)) is not None}
    is_last = len(usccs) < ENTERPRISES_AT_ONCE
    values = {"publication": upto if is_last else since, "upto": upto, "after": "" if is_last else usccs[-1]}
    with db.transaction() as tx:
        publications.hold(tx)
        here = [reconciliation.c[name] == getattr(at, name) for name in ("publication", "upto", "after", "rules")]
        moved = update(reconciliation).where(*here).values(**values, rules=discrepancies.digest())
        if not tx.execute(moved).rowcount:
            return None
        for gone in publications.shredded_since(tx, upto):
            found.pop(gone, None)
        _keep(tx, found, upto)
    return len(usccs)


def _way(at: Any, latest: int) -> tuple[int, int, str]:
    """Since which publication, up to which, and behind whom to go on."""
    if at.rules != discrepancies.digest():
        return 0, latest, ""
    return (at.publication, at.upto, at.after) if at.publication < at.upto else (at.publication, latest, "")


def _look(reading: Connection, uscc: str, publication: int) -> Found | None:
    """What an enterprise's records contradict each other in as of a publication, None where they do not open."""
    try:
        dossier = vault.open_dossier(reading, uscc, discrepancies.classes(), publication)
    except Altered as error:
        log.error("not reconciled", enterprise=uscc, problem=error.detail)
        return None
    held = standing.records(dossier, discrepancies.datasets())
    every = discrepancies.found(held, clock.legal_day(dossier.time))
    return {(one.fact, _fingerprint(uscc, one.fact, one.about.encode())): one for one in every}


def _keep(tx: Connection, found: dict[str, Found], publication: int) -> None:
    """Bring the list up to what was found."""
    now, among = clock.now(), bulk.among(tx, discrepancy.c.uscc, found)
    rows = tx.execute(select(discrepancy).where(among).order_by(discrepancy.c.uscc)).all()
    listed = {uscc: list(of_one) for uscc, of_one in groupby(rows, key=lambda row: str(row.uscc))}
    for uscc, held in found.items():
        known = {(row.fact, row.about): row for row in listed.get(uscc, ())}
        for place, one in held.items():
            if place in known:
                _see_again(tx, known[place], one, now)
            else:
                _enter(tx, uscc, place, one, publication, now)
        settled = [row.id for place, row in known.items() if place not in held and row.state != SETTLED]
        if settled:
            over = update(discrepancy).where(discrepancy.c.id.in_(settled))
            tx.execute(over.values(state=SETTLED, settled_at=now))


def _enter(
    tx: Connection, uscc: str, place: tuple[str, str], one: Discrepancy, publication: int, now: datetime
) -> None:
    fact, about = place
    values = {"id": ids.new_id(), "uscc": uscc, "fact": fact, "about": about, "state": OPEN, "since": publication}
    values |= {"first_seen_at": now, "last_seen_at": now, **_said(uscc, one)}
    tx.execute(insert(discrepancy).values(**values))
    _name_sources(tx, str(values["id"]), uscc, one)


def _see_again(tx: Connection, row: Any, one: Discrepancy, now: datetime) -> None:
    """An explanation holds for what was said when it was given; what was settled and is there again is open."""
    said = _said(row.uscc, one)
    values: dict[str, Any] = {"last_seen_at": now, **said}
    if row.state == SETTLED or (row.state == EXPLAINED and row.told != said["told"]):
        values |= {"state": OPEN, "settled_at": None, "reason": None, "explained_by": None, "explained_at": None}
    tx.execute(update(discrepancy).where(discrepancy.c.id == row.id).values(**values))
    if row.statements != said["statements"]:
        tx.execute(delete(discrepancy_source).where(discrepancy_source.c.discrepancy == row.id))
        _name_sources(tx, row.id, row.uscc, one)


def _said(uscc: str, one: Discrepancy) -> dict[str, str]:
    """Who says it where, and the fingerprint of what; the values themselves stay in their records."""
    statements = [[each.source, each.item, each.record] for each in one.statements]
    return {"statements": orjson.dumps(statements).decode(), "told": _fingerprint(uscc, one.fact, one.told)}


def _name_sources(tx: Connection, of: str, uscc: str, one: Discrepancy) -> None:
    sources: Iterable[str] = sorted({each.source for each in one.statements})
    rows: Sequence[dict[str, str]] = [{"source": source, "discrepancy": of, "uscc": uscc} for source in sources]
    tx.execute(insert(discrepancy_source), rows)


def _fingerprint(uscc: str, fact: str, content: bytes) -> str:
    told = b"\0".join((b"discrepancy", uscc.encode(), fact.encode(), content))
    return f"{keys.purpose('marks').mac64(told):016x}"
