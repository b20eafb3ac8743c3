# SPDX-License-Identifier: Apache-2.0
"""Feeds watched: alarms that stand while their cause does, each begun and ended by an entry; and how each feed is.

late      nothing came within the feed's period and its days of grace
shrunk    the last delivery is much smaller than those before it
dead      DEAD_AFTER pulls failed one after the other
refused   a file was refused as a whole and has not come anew
"""

from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, func, insert, select, update

from audit import trail
from audit.events import Event
from bureau.models import batch as batches
from connectors import feeds, rhythm
from connectors.feeds import Feed
from connectors.models import feed_alarm, feed_state, pulled_file
from kernel import clock, db, ids
from kernel.errors import SettingError
from kernel.idempotency import settle

DEAD_AFTER = 5
LONGEST_DETAIL = 400


def look_after(feed: Feed, now: datetime) -> None:
    """Raise the alarms whose cause is there, and end those whose cause is over."""
    settle(lambda: _look_after(feed, now))


def _look_after(feed: Feed, now: datetime) -> None:
    with db.reading() as reading:
        causes, standing = _causes(reading, feed, now), _standing(reading, feed.feed)
    if causes.keys() == standing.keys():
        return
    with trail.recording() as tx:
        for kind in causes.keys() - standing.keys():
            detail = causes[kind][:LONGEST_DETAIL]
            tx.execute(insert(feed_alarm).values(id=ids.new_id(), feed=feed.feed, kind=kind, detail=detail, since=now))
            _say(tx, Event.FEED_ALARMED, feed, kind, detail)
        for kind in standing.keys() - causes.keys():
            here = feed_alarm.c.feed == feed.feed, feed_alarm.c.kind == kind, feed_alarm.c.until.is_(None)
            if tx.execute(update(feed_alarm).where(*here).values(until=now)).rowcount:
                _say(tx, Event.FEED_RECOVERED, feed, kind, standing[kind])


def status(reading: Connection, source: str | None = None) -> list[dict[str, Any]]:
    """Every feed (of a source) with its state, last delivery and standing alarms.

    `state` is `broken` (its TOML), `dead`, `failing`, `late`, `shrunk`, `refused`, `pulling` or `ok`.
    """
    shown = []
    for name in feeds.names():
        try:
            feed = feeds.load(name)
        except SettingError as error:
            if source is None:
                shown.append({**dict.fromkeys(_MEMBERS), "feed": name, "state": "broken", "problem": error.detail})
                shown[-1]["alarms"] = []
            continue
        if source in (None, feed.source):
            shown.append(_status(reading, feed))
    return shown


def _status(reading: Connection, feed: Feed) -> dict[str, Any]:
    row = reading.execute(select(feed_state).where(feed_state.c.feed == feed.feed)).mappings().one_or_none()
    held: dict[str, Any] = dict(row) if row else {}
    alarms = reading.execute(_alarms(feed.feed)).all()
    kinds = {one.kind for one in alarms}
    state = next((kind for kind in ("dead", "late", "shrunk", "refused") if kind in kinds), "ok")
    if held.get("failures") and state != "dead":
        state = "failing"
    elif state == "ok" and held.get("lease_until") and held["lease_until"] > clock.now():
        state = "pulling"
    last = reading.execute(_received(feed.feed).limit(1)).one_or_none()
    return {
        "feed": feed.feed,
        "title": feed.title,
        "source": feed.source,
        "dataset": feed.dataset,
        "transport": type(feed.transport).__name__.lower() if feed.transport else "brought",
        "schedule": feed.schedule.told if feed.schedule else None,
        "state": state,
        "due_at": _told(held.get("due_at")),
        "tried_at": _told(held.get("tried_at")),
        "failures": held.get("failures") or 0,
        "problem": held.get("problem"),
        "last": last and _last(last),
        "alarms": [{"kind": one.kind, "detail": one.detail, "since": _told(one.since)} for one in alarms],
    }


_MEMBERS = (
    "feed", "title", "source", "dataset", "transport", "schedule", "state", "due_at", "tried_at", "failures",
    "problem", "last", "alarms",
)  # fmt: skip


def _causes(reading: Connection, feed: Feed, now: datetime) -> dict[str, str]:
    """Kind of alarm → why it should stand now."""
    causes: dict[str, str] = {}
    row = reading.execute(select(feed_state).where(feed_state.c.feed == feed.feed)).one_or_none()
    history = reading.execute(_received(feed.feed).limit(1 + rhythm.COMPARED)).all()
    if row is not None and row.failures >= DEAD_AFTER:
        causes["dead"] = f"{row.failures} pulls failed: {row.problem}"
    if (expected := feed.expected) is not None:
        since = history[0].received_at if history else row.since if row is not None else now
        if expected.is_late(since, now):
            causes["late"] = f"nothing since {clock.legal_day(since)}; expected {expected.rhythm}"
        rows = [_last(one)["rows"] for one in history]
        if expected.has_shrunk(rows):
            causes["shrunk"] = f"{rows[0]} rows, before it {', '.join(map(str, rows[1:]))}"
    refused = select(func.count()).where(pulled_file.c.feed == feed.feed, pulled_file.c.problem.is_not(None))
    if count := reading.scalar(refused):
        causes["refused"] = f"{count} files refused; the source must deliver them anew"
    return causes


def _received(feed: str) -> Any:
    here = batches.c.feed == feed, batches.c.publication.is_not(None)
    columns = batches.c.id, batches.c.received_at, batches.c.receipt
    return select(*columns).where(*here).order_by(batches.c.id.desc())


def _last(row: Any) -> dict[str, Any]:
    told = orjson.loads(row.receipt)
    counts = {name: told[name] for name in ("rows", "accepted", "rejected")}
    return {"batch": str(row.id), "received_at": _told(row.received_at), **counts}


def _alarms(feed: str) -> Any:
    standing = feed_alarm.c.feed == feed, feed_alarm.c.until.is_(None)
    return select(feed_alarm).where(*standing).order_by(feed_alarm.c.since)


def _standing(reading: Connection, feed: str) -> dict[str, str]:
    return {row.kind: row.detail for row in reading.execute(_alarms(feed))}


def _say(tx: Connection, event: Event, feed: Feed, kind: str, detail: str) -> None:
    said = {"feed": feed.feed, "source": feed.source, "kind": kind, "why": detail}
    trail.append(tx, trail.Entry(type=event, actor="worker", channel="worker", detail=said))


def _told(instant: datetime | None) -> str | None:
    return clock.rfc3339(instant) if instant else None
