# SPDX-License-Identifier: Apache-2.0
"""Corrections of the reward's count: the finance office proposes, a compliance officer confirms, both on the trail.

Two offices, because a finance officer's account is made by one administrator alone, a compliance officer's by two.

A correction names answered questions of a year that were counted and should not have been (`out`), or the other way
round (`in`). Nothing that was counted, sealed or frozen is touched: the entry that confirms it counts, in the statement
or supplement whose range it falls into. A wrong one is taken back by its opposite.
"""

from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy import Connection, insert, select, update

from audit import rewards, trail
from audit.events import Event
from audit.models import entry as entries
from audit.models import leaf as leaves
from audit.models import reward_correction as corrections
from kernel import clock, ids
from kernel.errors import Conflict, Invalid, NotFound

LIFE = timedelta(days=7)  # a proposal that nobody confirms lapses
MAX_ENTRIES = 100
SIGNS = {"in": 1, "out": -1}


def propose(tx: Connection, year: int, named: list[str], count: str, reason: str, actor: str) -> dict[str, Any]:
    """Propose that the named questions do not count in a year (`out`), or do count (`in`). The caller commits.

    Raises Invalid where one is no sealed, answered question of that year, or was corrected so before.
    """
    sign = SIGNS[count]
    _require_possible(tx, year, named, sign)
    correction_id = ids.new_id()
    values = {"id": correction_id, "year": year, "billable": sign * len(named), "reason": reason}
    values |= {"entries": orjson.dumps(named).decode(), "proposed_by": actor, "proposed_at": clock.now()}
    tx.execute(insert(corrections).values(**values))
    _record(tx, Event.REWARD_CORRECTION_PROPOSED, actor, _get(tx, year, correction_id))
    return _shown(_get(tx, year, correction_id))


def confirm(tx: Connection, year: int, correction_id: str, actor: str) -> dict[str, Any]:
    """Confirm what another person proposed. The caller commits.

    Raises NotFound, Conflict where it is confirmed or lapsed, Conflict (`second-person-needed`) for the proposer, and
    Invalid where the same was confirmed meanwhile.
    """
    # All of the year are locked: two that name the same question are confirmed one after the other.
    tx.execute(select(corrections.c.id).where(corrections.c.year == year).order_by(corrections.c.id).with_for_update())
    held = _get(tx, year, correction_id)
    if (status := _status(held)) != "proposed":
        raise Conflict(f"the correction is {status}", slug="not-in-this-state")
    if held.proposed_by == actor:
        raise Conflict("you proposed this yourself: another person must confirm it", slug="second-person-needed")
    _require_possible(tx, year, orjson.loads(held.entries), held.billable)
    confirmed = {"confirmed_by": actor, "confirmed_at": clock.now()}
    tx.execute(update(corrections).where(corrections.c.id == correction_id).values(confirmed))
    _record(tx, Event.REWARD_CORRECTED, actor, held)
    return _shown(_get(tx, year, correction_id))


def listed(tx: Connection, year: int, before: str | None, limit: int) -> list[dict[str, Any]]:
    """The corrections of a year, newest first; `before` an id."""
    page = select(corrections).where(corrections.c.year == year).order_by(corrections.c.id.desc()).limit(limit)
    if before is not None:
        page = page.where(corrections.c.id < before)
    return [_shown(row) for row in tx.execute(page)]


def _require_possible(tx: Connection, year: int, named: list[str], sign: int) -> None:
    """What was taken out may be put in again, but nothing twice in a row; whatever counts once a day is named once."""
    confirmed = corrections.c.year == year, corrections.c.confirmed_at.is_not(None)
    earlier = [(orjson.loads(row.entries), row.billable) for row in tx.execute(select(corrections).where(*confirmed))]
    counted = _counted_as(tx, {*named, *(one for held, _ in earlier for one in held)})
    standing: dict[Any, int] = {}
    for held, billable in earlier:
        for one in held:
            standing[counted.get(one)] = standing.get(counted.get(one), 0) + (1 if billable > 0 else -1)
    for one in named:
        day = counted.get(one, ("",))[0]
        told = None if day[:4] == str(year) else f"{one} is no sealed, answered question of {year}"
        if told is None and standing.get(counted[one], 0) * sign > 0:
            told = f"{one} was corrected so before, or names what another counts as"
        if told is not None:
            raise Invalid(told, errors={"entries": [told]})
        standing[counted[one]] = standing.get(counted[one], 0) + sign


def _counted_as(tx: Connection, named: set[str]) -> dict[str, tuple[str, ...]]:
    """Of each that is a sealed, answered question: its day, and what is rewarded once a day."""
    sealed = select(entries.c.id, entries.c.bytes).join(leaves, leaves.c.entry == entries.c.id)
    rows = tx.execute(sealed.where(entries.c.id.in_(named)))
    documents = {row.id: orjson.loads(row.bytes) for row in rows if row.bytes is not None}
    return {one: rewards.counted_as(document) for one, document in documents.items() if rewards.is_query(document)}


def _get(tx: Connection, year: int, correction_id: str) -> Any:
    row = tx.execute(
        select(corrections).where(corrections.c.id == correction_id, corrections.c.year == year)
    ).one_or_none()
    if row is None:
        raise NotFound(f"no correction {correction_id} of {year}")
    return row


def _status(row: Any) -> str:
    if row.confirmed_at is not None:
        return "confirmed"
    return "lapsed" if row.proposed_at + LIFE <= clock.now() else "proposed"


def _shown(row: Any) -> dict[str, Any]:
    return {
        "correction_id": row.id,
        "year": row.year,
        "entries": orjson.loads(row.entries),
        "billable": row.billable,
        "reason": row.reason,
        "status": _status(row),
        "proposed_by": row.proposed_by,
        "proposed_at": clock.rfc3339(row.proposed_at),
        "confirmed_by": row.confirmed_by,
        "confirmed_at": clock.rfc3339(row.confirmed_at) if row.confirmed_at is not None else None,
    }


def _record(tx: Connection, event: Event, actor: str, row: Any) -> None:
    detail = {name: getattr(row, name) for name in ("year", "billable", "reason", "proposed_by")}
    detail |= {"correction": row.id, "entries": orjson.loads(row.entries)}
    trail.append(tx, trail.Entry(type=event, actor=actor, detail=detail))
