# SPDX-License-Identifier: Apache-2.0
"""The reconciliation list for the bureau's staff: looked through, one opened with its values, explained.

To see what two sources say is a third way out of the vault beside `disclosure` and `record_history` (ADR 0070): values
of the contested item only, to administrators, who put records right, and to the counter. The entry of each look commits
in the transaction that reads, before anything is returned.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from sqlalchemy import Connection, func, select, update

from access.lifecycle import COUNTER, Act
from audit import review, trail
from audit.events import Event
from bureau import amendments, catalogue, discrepancies, folios
from bureau.models import discrepancy, discrepancy_source
from bureau.reconciliation import EXPLAINED, OPEN
from bureau.record_history import AT_THE_COUNTER
from kernel import clock
from kernel.auth import Principal
from kernel.errors import Conflict, NotFound


def page(
    asked: Mapping[str, Any], before: str | None, limit: int, by: Principal = AT_THE_COUNTER
) -> tuple[list[dict[str, Any]], str | None]:
    """The discrepancies that fit `source`, `fact`, `state` and `uscc` (None: any), the newest first, without values.

    Returns a page behind the one with the id `before`, and the id to go on from. The look is an entry.
    """
    wanted = {name: asked.get(name) for name in ("source", "fact", "state", "uscc")}
    rows = select(discrepancy).order_by(discrepancy.c.id.desc()).limit(limit)
    for name in ("fact", "state", "uscc"):
        if wanted[name] is not None:
            rows = rows.where(discrepancy.c[name] == wanted[name])
    if wanted["source"] is not None:
        of_source = select(discrepancy_source.c.discrepancy).where(discrepancy_source.c.source == wanted["source"])
        rows = rows.where(discrepancy.c.id.in_(of_source))
    if before is not None:
        rows = rows.where(discrepancy.c.id < before)
    with trail.recording() as tx:
        shown = [_line(row) for row in tx.execute(rows)]
        review.record_view(tx, by, "discrepancies", len(shown), wanted, _channel(by))
    return shown, shown[-1]["discrepancy"] if len(shown) == limit else None


def look(discrepancy_id: str, by: Principal = AT_THE_COUNTER) -> dict[str, Any]:
    """One of them with what each source says now: null where its record was withdrawn or is gone. Raises NotFound."""
    with trail.recording() as tx:
        row = _require(tx, discrepancy_id)
        review.record_view(tx, by, "discrepancy", 1, {"uscc": row.uscc, "discrepancy": row.id}, _channel(by))
        shown = _line(row)
        values = [{**statement, **_stated(tx, row.uscc, statement)} for statement in shown["statements"]]
    return {**shown, "statements": values}


def explain(tx: Connection, discrepancy_id: str, reason: str, by: Act = COUNTER) -> dict[str, Any]:
    """Say why an open one may stand, on the trail; it holds as long as every source says the same. The caller commits.

    Raises NotFound, and Conflict (`discrepancy-not-open`) where it was explained or settled meanwhile.
    """
    row = _require(tx, discrepancy_id)
    values = {"state": EXPLAINED, "reason": reason, "explained_by": by.actor, "explained_at": clock.now()}
    here = discrepancy.c.id == row.id, discrepancy.c.state == OPEN
    if not tx.execute(update(discrepancy).where(*here).values(**values)).rowcount:
        told = f"discrepancy {row.id} is {row.state}: only an open one is explained"
        raise Conflict(told, slug="discrepancy-not-open")
    detail = {"discrepancy": row.id, "fact": row.fact, "reason": reason}
    said = trail.Entry(
        type=Event.DISCREPANCY_EXPLAINED, actor=by.actor, channel=by.channel, uscc=row.uscc, detail=detail
    )
    trail.append(tx, said)
    return _line(_require(tx, discrepancy_id))


def counts(reading: Connection, first: Any, last: Any) -> dict[str, tuple[int, int]]:
    """By source: in how many discrepancies first seen from `first` until before `last` it takes part, and how many of
    them are open."""
    is_open = func.count().filter(discrepancy.c.state == OPEN)
    when = discrepancy.c.first_seen_at >= first, discrepancy.c.first_seen_at < last
    joined = discrepancy_source.join(discrepancy)
    counted = select(discrepancy_source.c.source, func.count(), is_open).select_from(joined).where(*when)
    rows = reading.execute(counted.group_by(discrepancy_source.c.source))
    return {row[0]: (row[1], row[2]) for row in rows}


def _require(tx: Connection, discrepancy_id: str) -> Any:
    row = tx.execute(select(discrepancy).where(discrepancy.c.id == discrepancy_id)).one_or_none()
    if row is None:
        raise NotFound(f"no discrepancy {discrepancy_id}")
    return row


def _line(row: Any) -> dict[str, Any]:
    fact = discrepancies.current().get(row.fact)
    times = ("first_seen_at", "last_seen_at", "settled_at", "explained_at")
    return {
        "discrepancy": row.id,
        "uscc": row.uscc,
        "fact": row.fact,
        "name": fact.name_zh if fact else row.fact,
        "name_en": fact.name_en if fact else row.fact,
        "state": row.state,
        "statements": list(_named(orjson.loads(row.statements))),
        "since": row.since,
        "reason": row.reason,
        "explained_by": row.explained_by,
        **{name: at and clock.rfc3339(at) for name in times for at in (getattr(row, name),)},
    }


def _named(statements: Iterable[list[str]]) -> Iterable[dict[str, Any]]:
    known = catalogue.current().sources
    for source, item, record in statements:
        name = known[source].name_zh if source in known else source
        yield {"source": source, "source_name": name, "item": item, "record": record}


def _stated(tx: Connection, uscc: str, statement: Mapping[str, Any]) -> dict[str, Any]:
    """What a record says of the item now, and of when it is."""
    try:
        record, over = amendments.require_record(tx, uscc, statement["record"])
    except NotFound:  # retention removed it
        return {"value": None, "event_date": None, "received_at": None}
    shown = folios.laid_over(record, over)
    value = shown["items"].get(statement["item"]) if shown else None
    return {"value": value, "event_date": (shown or record)["event_date"], "received_at": record["received_at"]}


def _channel(by: Principal) -> str:
    return "counter" if by is AT_THE_COUNTER else "api"
