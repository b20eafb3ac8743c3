# SPDX-License-Identifier: Apache-2.0
"""Reward statements: provisional while a year runs; frozen, signed and on the trail once it is over.

A frozen statement is never touched again. What turns up later (an entry of the year that was sealed afterwards, a
correction by two people) is counted in a *supplement*: the same count of the same year over a longer range of leaves,
under the same tariff and cap, with the difference to the statement before. So nothing vanishes and nothing is paid
twice. Supplements are frozen with the next year's statement, or at the counter.

The signed bytes are the canonical JSON (RFC 8785) of all members but `signature`, a detached JWS (RFC 7515 App. F).
"""

import threading
from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, func, insert, select

from audit import apart, log, rewards, sealing, trail
from audit.events import Event
from audit.growth import Fault
from audit.models import entry as entries
from audit.models import leaf as leaves
from audit.models import reward_statement as kept
from audit.rewards import Part, Tally, Tariff
from kernel import canonical, clock, db, ids, signing
from kernel.errors import Conflict, Gone, Unavailable
from kernel.idempotency import settle
from kernel.prepared import Prepared

MARGIN = timedelta(days=1)
SETTLES_IN = timedelta(hours=1)  # after the year: what was under way at midnight is committed and sealed by then


def statement(tx: Connection, year: int) -> dict[str, Any]:
    """The statement of a year: the frozen one, else provisional as of the newest checkpoint.

    A year before the log began is final without being frozen: nothing is in it, and nothing can come.

    Raises Gone where it was never frozen and some of its entries are past their retention, and Unavailable while this
    process counts for somebody else: a year may take long, and others wait to ask about enterprises.
    """
    frozen = listed(tx, year)
    if frozen:
        return frozen[0]
    first = _first_year(tx)
    if first is not None and year < first:
        nothing = rewards.stated(Tally(year), rewards.tariff_of(year))
        return nothing | {"leaf_from": 0, "leaf_to": 0, "root": None, "origin": None, "final": True, "signature": None}
    if not _counting.acquire(blocking=False):
        raise Unavailable("a statement is being counted: try again in a moment")
    try:
        return _counted(tx, year, rewards.tariff_of(year)) | {"final": False, "signature": None}
    finally:
        _counting.release()


def listed(tx: Connection, year: int) -> list[dict[str, Any]]:
    """What was frozen of a year: the statement and its supplements, in order."""
    of_year = select(kept.c.document, kept.c.signature).where(kept.c.year == year).order_by(kept.c.number)
    return [orjson.loads(row.document) | {"signature": row.signature} for row in tx.execute(of_year)]


def freeze(year: int, now: datetime, actor: str) -> dict[str, Any] | None:
    """Freeze a year's statement, or a supplement where something came since; None where nothing did.

    Raises Conflict as long as entries of the year may still come (`year-not-over`) or where the log began after it
    (`nothing-to-freeze`), and Gone as `statement`.
    """
    with db.reading() as reading:
        _require_over(reading, year, now)
        before = listed(reading, year)
        if before and not _came_since(reading, year, before[-1]["leaf_to"]):
            return None
        tariff = _tariff_of(before[-1]) if before else rewards.tariff_of(year)
        counted = _counted(reading, year, tariff)
    if before and counted["leaf_to"] == before[-1]["leaf_to"]:
        return None
    document = counted | {"number": len(before), "final": True, "frozen_at": clock.rfc3339(now)}
    if before:
        document["difference_fen"] = document["reward_fen"] - before[-1]["reward_fen"]
    return settle(partial(_keep, document, actor))


def freeze_due(now: datetime, actor: str = "worker") -> list[tuple[int, int]]:
    """Freeze the statement of each year that is over, and with it supplements of the years before.

    Returns the (year, number) of what was frozen; nothing, at the price of a look at the newest, where nothing is due.
    """
    with db.reading() as reading:
        earlier = sorted(set(reading.scalars(select(kept.c.year))))
        due = _due(reading, now, earlier)
    frozen = []
    for year in (*earlier, *due) if due else ():
        with suppress(Gone):  # a year past its retention has no more supplements
            frozen.append(freeze(year, now, actor))
    return [(document["year"], document["number"]) for document in frozen if document is not None]


def faults(tx: Connection) -> Iterator[Fault]:
    """Every frozen statement that is not what was signed, or whose root is not the log's."""
    public = signing.public_keys(tx, "reward")
    for row in tx.execute(select(kept).order_by(kept.c.year, kept.c.number)):
        if told := _checked(tx, row, public):
            yield Fault(f"reward statement {row.year}/{row.number}", told, "reward")


def _tariff_of(document: dict[str, Any]) -> Tariff:
    return Tariff(document["tariff"], document["rate_fen"], document["cap_fen"])


def _due(tx: Connection, now: datetime, frozen: Collection[int]) -> list[int]:
    """The years that are over and not frozen, oldest first."""
    first, over = _first_year(tx), clock.legal_day(now - SETTLES_IN).year
    years = [] if first is None else [year for year in range(first, over) if year not in frozen]
    return [year for year in years if not _waits(tx, year)]


def _keep(document: dict[str, Any], actor: str) -> dict[str, Any] | None:
    """Write it down, signed, with its entry; None where another process was first."""
    year, number, content = document["year"], document["number"], canonical.encode(document)
    signature = signing.signer("reward").sign(content)
    with trail.recording() as tx:
        if len(listed(tx, year)) != number:
            return None
        row = {"document": content, "signature": signature, "leaf_to": document["leaf_to"]}
        tx.execute(insert(kept).values(year=year, number=number, frozen_at=clock.now(), **row))
        named = {name: document[name] for name in ("year", "number", "leaf_from", "leaf_to", "root", "reward_fen")}
        detail = named | {"digest": canonical.digest(document)}
        trail.append(tx, trail.Entry(type=Event.REWARD_FROZEN, actor=actor, channel="counter", detail=detail))
    return document | {"signature": signature}


def _require_over(tx: Connection, year: int, now: datetime) -> None:
    _, end = rewards.bounds_of(year)
    if now < end + SETTLES_IN or _waits(tx, year):
        told = f"the year {year} is not over, or entries of it wait to be sealed: it is frozen an hour after its end"
        raise Conflict(told, slug="year-not-over")
    first = _first_year(tx)
    if first is None or year < first:
        raise Conflict(f"the log begins after {year}: there is nothing to freeze", slug="nothing-to-freeze")


def _waits(tx: Connection, year: int) -> bool:
    """Whether an entry of the year or of one before is committed and not sealed yet."""
    _, end = rewards.bounds_of(year)
    oldest: datetime | None = sealing.oldest_unsealed(tx)
    return oldest is not None and oldest < end


def _first_year(tx: Connection) -> int | None:
    """The year of the log's first leaf; None as long as nothing is sealed."""
    first = select(entries.c.time).join(leaves, leaves.c.entry == entries.c.id).where(leaves.c.index == 0)
    time: datetime | None = tx.scalar(first)
    return None if time is None else clock.legal_day(time).year


def _came_since(tx: Connection, year: int, leaf_to: int) -> bool:
    """Whether a leaf from `leaf_to` on may count in a year that is frozen up to there."""
    head = log.head(tx)
    _, last = _bounds(tx, year, head.size if head else 0, leaf_to)
    return last > leaf_to


def _counted(tx: Connection, year: int, tariff: Tariff) -> dict[str, Any]:
    head = log.head(tx)
    size = head.size if head else 0
    first, last = _bounds(tx, year, size)
    tally = rewards.tallied(year, lambda: _parts(tx, year, first, last))
    # Of a year without entries the whole log is the range: anyone can see that nothing in it counts.
    leaf_from, leaf_to = (tally.leaf_from, tally.leaf_to) if tally.leaf_from is not None else (0, size)
    root = log.root_at(tx, leaf_to).hex() if leaf_to else None
    told = {"leaf_from": leaf_from, "leaf_to": leaf_to, "root": root, "origin": head.origin if head else None}
    return rewards.stated(tally, tariff) | told


def _bounds(tx: Connection, year: int, size: int, since: int = 0) -> tuple[int, int]:
    """A range that holds every leaf, of those from `since` to `size` - 1, that counts in a year; it may hold others.

    An id begins with the millisecond in which it was made, at most MARGIN from the time of the entry.
    """
    begin, end = (ids.first_at(time) for time in _around(year))
    oldest, newest = tx.execute(select(func.min(leaves.c.entry), func.max(leaves.c.entry))).one()
    if not since and oldest is not None and begin <= oldest and newest < end:
        return 0, size  # all of the log is of this year: no need to look where each leaf stands
    of_year = leaves.c.entry >= begin, leaves.c.entry < end
    within = leaves.c.index >= since, leaves.c.index < size
    low, high = tx.execute(select(func.min(leaves.c.index), func.max(leaves.c.index)).where(*of_year, *within)).one()
    found = [low, high] if low is not None else []
    corrections = select(leaves.c.index.label("place"), entries.c.bytes).join(entries, entries.c.id == leaves.c.entry)
    rows = tx.execute(corrections.where(entries.c.facet == _CORRECTED, *within))
    found += [row.place for row in rows if row.bytes and orjson.loads(row.bytes)["detail"]["year"] == year]
    return (min(found), max(found) + 1) if found else (size, size)


def _around(year: int) -> tuple[datetime, datetime]:
    begin, end = rewards.bounds_of(year)
    return begin - MARGIN, end + MARGIN


def _parts(tx: Connection, year: int, first: int, last: int) -> Iterator[Part]:
    """What leaves first … last - 1 tell of a year, in their order, from the bytes of the trail."""
    step = rewards.LEAVES_OF_A_PART
    ranges = ((at, min(last, at + step)) for at in range(first, last, step))
    # A server has other things to do with its processes, and others who wait.
    return apart.in_order(partial(_part, year), tx, ranges, last - first if apart.is_alone() else 0)


def _part(year: int, tx: Connection, first: int, last: int) -> Part:
    return rewards.folded(year, rewards.read(_kept(tx, first, last)))


def _kept(tx: Connection, first: int, last: int) -> Iterator[tuple[int, bytes]]:
    for place, content in _PAGE.all(tx, {"first": first, "last": last}):
        if content is None:
            raise Gone(f"leaf {place} is past its retention: only a year that is all there is counted")
        yield place, content


def _checked(tx: Connection, row: Any, public: list[dict[str, Any]]) -> str | None:
    if not signing.is_signed(row.signature, row.document, public):
        return "edited: it is not what was signed"
    document = orjson.loads(row.document)
    if (document["year"], document["number"], document["leaf_to"]) != (row.year, row.number, row.leaf_to):
        return "edited: its columns differ from what was signed"
    if document["root"] != log.root_at(tx, row.leaf_to).hex():
        return "its root is not that of the log"
    return None


_counting = threading.Lock()
_PAGE = Prepared(
    select(leaves.c.index, entries.c.bytes)
    .select_from(leaves.join(entries, entries.c.id == leaves.c.entry))
    .where(leaves.c.index >= bindparam("first"), leaves.c.index < bindparam("last"))
    .order_by(leaves.c.index)
    .limit(rewards.LEAVES_OF_A_PART)
)
_CORRECTED = trail.facet_of({"type": Event.REWARD_CORRECTED})
