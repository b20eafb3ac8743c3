# SPDX-License-Identifier: Apache-2.0
"""Full coverage (三个全覆盖): which enterprises ought to have authorised collection, and which have.

Three *trigger sets* (requirements 2.4): `loans`, every enterprise with a bank's loan (有贷企业); `new_accounts`, who
opens an account after registration (新设企业); `policy_support`, who enjoys financial support (享受金融支持政策企业).
The first fills itself: whoever appears in a lender's delivery borrows, above all where the row was rejected because
no consent covers it. The others are reported as lists. Coverage is authorised firms ÷ firms in the set.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, case, cast, func, select
from sqlalchemy.dialects import postgresql, sqlite

from audit import trail
from audit.events import Event
from bureau import directory
from bureau.models import trigger_member
from consent import collection
from kernel import clock
from kernel import uscc as codes
from kernel.errors import Invalid

TRIGGERS = ("loans", "new_accounts", "policy_support")
REPORTED = ("new_accounts", "policy_support")  # enrolled by lists
RECENT = timedelta(days=30)
DIVISIONS_SHOWN = 20
ROWS_AT_ONCE = 2_000
_INSERT: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What came of a list: every row is new, known already, or rejected by its number with one reason."""

    trigger: str
    rows: int
    enrolled: int
    known: int
    rejected: list[dict[str, Any]] = field(default_factory=list)


def note_borrowers(tx: Connection, usccs: Iterable[str], source: str) -> None:
    """Whoever appears in a lender's delivery belongs to the set `loans`. The caller commits."""
    _insert(tx, "loans", dict.fromkeys(usccs, clock.legal_day(clock.now())), source)


def enrol(
    tx: Connection, trigger: str, listed: Iterable[tuple[int, str, date | None]], origin: str, actor: str, channel: str
) -> Enrolled:
    """Take a list of enterprises into a set: (row number, USCC, since when). The caller commits.

    `origin` says where the list comes from: the reporting bank, the policy's document number. The same list again
    changes nothing. Raises Invalid for a set that fills itself.
    """
    if trigger not in REPORTED:
        raise Invalid(f"lists are for {', '.join(REPORTED)}; {trigger} fills itself", errors={"trigger": ["no list"]})
    members: dict[str, date] = {}
    rejected, rows, seal = [], 0, hashlib.sha256()
    for number, uscc, since in listed:
        rows += 1
        seal.update(f"{uscc} {since or ''}\n".encode())
        if not codes.is_valid(uscc):
            rejected.append({"row": number, "reason": "invalid-uscc"})
        elif since is not None and since > clock.legal_day(clock.now()):
            rejected.append({"row": number, "reason": "date-in-the-future"})
        else:
            members.setdefault(uscc, since or clock.legal_day(clock.now()))
    added = _insert(tx, trigger, members, origin)
    found = Enrolled(trigger, rows, added, rows - len(rejected) - added, rejected)
    detail = {"trigger": trigger, "origin": origin, "rows": rows, "enrolled": added, "digest": seal.hexdigest()}
    trail.append(tx, trail.Entry(type=Event.COVERAGE_ENROLLED, actor=actor, channel=channel, detail=detail))
    return found


def report(tx: Connection, now: datetime) -> dict[str, Any]:
    """Coverage as of now: each set's members, how many have authorised, who ended, by division; and all together.

    `share` is authorised ÷ members in tenths of a percent, as a string (`"91.3"`); null for an empty set.
    """
    joined, counts = _joined(now)
    sets = []
    for trigger in TRIGGERS:
        of_set = trigger_member.c.trigger == trigger
        total: Any = tx.execute(select(*counts).select_from(joined).where(of_set)).one()
        division = func.substr(trigger_member.c.uscc, 3, 6).label("division")
        by_division = select(division, *counts).select_from(joined).where(of_set).group_by(division)
        most = by_division.order_by(func.count().desc(), division).limit(DIVISIONS_SHOWN)
        divisions = [{"division": row.division, **_told(row)} for row in tx.execute(most)]
        sets.append({"trigger": trigger, **_told(total), "divisions": divisions})
    return {"as_of": clock.rfc3339(now), "triggers": sets, "together": _together(tx, now)}


def missing(tx: Connection, trigger: str, now: datetime) -> Iterator[tuple[str, str | None, date]]:
    """Who belongs to a set and has not authorised collection: USCC, name, since when; ordered by USCC."""
    standing = collection.standing(now).subquery()
    joined = trigger_member.outerjoin(standing, standing.c.uscc == trigger_member.c.uscc)
    of_set = trigger_member.c.trigger == trigger, func.coalesce(standing.c.live, 0) == 0
    after = ""
    while True:
        columns = trigger_member.c.uscc, trigger_member.c.since
        page = select(*columns).select_from(joined).where(*of_set, trigger_member.c.uscc > after)
        rows = tx.execute(page.order_by(trigger_member.c.uscc).limit(ROWS_AT_ONCE)).all()
        names = directory.current(tx, [row.uscc for row in rows])
        yield from ((row.uscc, names.get(row.uscc, (None, None))[0], row.since) for row in rows)
        if len(rows) < ROWS_AT_ONCE:
            return
        after = rows[-1].uscc


def share(authorised: int, members: int) -> str | None:
    """A percentage with one decimal, rounded down: 100.0 is said of a set without a gap only."""
    if not members:
        return None
    tenths = 1000 * authorised // members
    return f"{tenths // 10}.{tenths % 10}"


def _together(tx: Connection, now: datetime) -> dict[str, Any]:
    """The union of the sets: an enterprise in two of them counts once."""
    standing = collection.standing(now).subquery()
    all_members = select(trigger_member.c.uscc).distinct().subquery()
    joined = all_members.outerjoin(standing, standing.c.uscc == all_members.c.uscc)
    members, covered = tx.execute(select(func.count(), func.sum(standing.c.live)).select_from(joined)).one()
    return {"members": members, "authorised": int(covered or 0), "share": share(int(covered or 0), members)}


def _joined(now: datetime) -> tuple[Any, tuple[Any, ...]]:
    standing = collection.standing(now).subquery()
    live = func.coalesce(standing.c.live, 0)
    counts = (
        func.count().label("members"),
        func.sum(live).label("authorised"),
        _count((live == 1) & (standing.c.granted_at >= now - RECENT)).label("recent"),
        _count((live == 0) & standing.c.uscc.is_not(None)).label("ended"),
    )
    return trigger_member.outerjoin(standing, standing.c.uscc == trigger_member.c.uscc), counts


def _count(condition: ColumnElement[bool]) -> Any:
    return func.sum(cast(case((condition, 1), else_=0), Integer))


def _told(row: Any) -> dict[str, Any]:
    authorised = int(row.authorised or 0)
    return {
        "members": row.members,
        "authorised": authorised,
        "share": share(authorised, row.members),
        "authorised_in_30_days": int(row.recent or 0),
        "ended": int(row.ended or 0),
    }


def _insert(tx: Connection, trigger: str, members: dict[str, date], origin: str) -> int:
    """Write the members that are not there yet, in one order, so that no two writers wait for each other."""
    added, sought = 0, sorted(members)
    for start in range(0, len(sought), ROWS_AT_ONCE // 4):
        some = sought[start : start + ROWS_AT_ONCE // 4]
        rows = [{"trigger": trigger, "uscc": uscc, "since": members[uscc], "origin": origin} for uscc in some]
        written = _INSERT[tx.dialect.name](trigger_member).values(rows).on_conflict_do_nothing()
        added += len(tx.scalars(written.returning(trigger_member.c.uscc)).all())
    return added
