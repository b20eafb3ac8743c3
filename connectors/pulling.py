# SPDX-License-Identifier: Apache-2.0
"""Feeds pulled on schedule: one puller a feed over all workers, restarted where it left off, tried again with rests.

1. lease     the feed's row is taken for LEASE, anew while it is at work; a process that dies loses it by itself, and
             at once to another one of its own machine (see `connectors.processes`)
2. fetch     the transport spools what is new, a file at a time
3. receive   by the function that receives every delivery: the same digest again gives the first receipt
4. remember  so that the next pull begins behind it; killed before this, 2 and 3 are done again to no effect
5. rest      until the schedule says, or after a failure for a minute, two, four, up to six hours
"""

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import DBAPIError

from bureau import intake
from bureau.open_batches import Receipt
from connectors import feeds, frontend, https, processes, rhythm, sftp, watch
from connectors.feeds import Feed
from connectors.fetched import Beat, Fetched, Reveal
from connectors.models import feed_state
from connectors.transports import Database, Https, Sftp
from kernel import clock, db
from kernel.errors import BureauError, Conflict, Invalid, TooLarge
from kernel.idempotency import settle

LEASE = timedelta(minutes=5)
BEAT_EVERY_S = 30.0
LONGEST_PROBLEM = 400

log = structlog.get_logger()


def pull_due(reveal: Reveal, stopping: Callable[[], bool] = lambda: False) -> int:
    """Pull every feed that is due and look after all; what fails is noted and rests. Returns the batches received."""
    received = 0
    for name in feeds.names():
        if stopping():
            break
        try:
            feed = feeds.load(name)
            if feed.schedule is not None and _lease(feed, due_at=clock.now()):
                received += len(_leased(feed, reveal, "worker"))
            if feed.schedule is not None or feed.expected is not None:
                watch.look_after(feed, clock.now())
        except (BureauError, DBAPIError) as error:
            log.error("feed failed", feed=name, error=getattr(error, "detail", type(error).__name__))
    return received


def pull_now(feed: Feed, reveal: Reveal, tell: Callable[[int], None] = lambda rows: None) -> list[Receipt]:
    """Pull a feed at once, whatever its schedule. Raises Invalid without a transport, Conflict (`feed-in-progress`)
    where somebody is at it, and what fetching and receiving raise."""
    if feed.transport is None:
        raise Invalid(f"{feed.feed} has no [transport]: bring its deliveries with --file")
    if not _lease(feed):
        raise Conflict(f"{feed.feed} is being pulled by another process", slug="feed-in-progress")
    return _leased(feed, reveal, "counter", tell, raising=True)


def _leased(
    feed: Feed, reveal: Reveal, channel: str, tell: Callable[[int], None] = lambda rows: None, raising: bool = False
) -> list[Receipt]:
    receipts: list[Receipt] = []

    def renew(rows: int) -> None:
        _renew(feed)
        tell(rows)

    try:
        for fetched in _fetch(feed, reveal, _beating(feed)):
            _renew(feed)
            if (receipt := _take(feed, fetched, channel, renew)) is not None:
                receipts.append(receipt)
    except (BureauError, DBAPIError) as error:
        told = error.detail if isinstance(error, BureauError) else type(error).__name__
        _settle(feed, told)
        log.warning("feed not pulled", feed=feed.feed, problem=told)
        if raising:
            raise
    else:
        _settle(feed, None)
    return receipts


def _fetch(feed: Feed, reveal: Reveal, beat: Beat) -> Iterator[Fetched]:
    feeds.require_contract(feed)
    transport = feed.transport
    if isinstance(transport, Sftp):
        yield from sftp.fetch(feed, transport, reveal, beat)
    elif isinstance(transport, Https):
        yield from https.fetch(feed, transport, reveal, beat)
    elif isinstance(transport, Database):
        yield from frontend.fetch(feed, transport, reveal, beat)


def _take(feed: Feed, fetched: Fetched, channel: str, tell: Callable[[int], None]) -> Receipt | None:
    """Receive what was fetched and remember it. A file that is refused as a whole is remembered as such, so that
    those behind it go on; it raises where there is nothing else to fetch."""
    try:
        receipt = intake.receive(feeds.pull(feed, fetched.path, channel=channel), tell)
    except (Invalid, TooLarge) as error:
        if not isinstance(feed.transport, Sftp):
            raise
        with db.transaction() as tx:
            fetched.remember(tx, None, error.detail)
        log.warning("file refused", feed=feed.feed, problem=error.detail)
        return None
    with db.transaction() as tx:
        fetched.remember(tx, receipt.batch, None)
    fetched.taken = True
    return receipt


def _lease(feed: Feed, due_at: datetime | None = None) -> bool:
    """Take the feed for this process, if nobody is at it and (where asked) it is due."""
    now = clock.now()

    def attempt() -> bool:
        with db.transaction() as tx:
            _note(tx, feed, now)
            free = feed_state.c.lease_until.is_(None) | (feed_state.c.lease_until < now)
            holder = tx.scalar(select(feed_state.c.lease_by).where(feed_state.c.feed == feed.feed))
            if holder is not None and processes.has_ended(holder):
                free |= feed_state.c.lease_by == holder
            mine = update(feed_state).where(feed_state.c.feed == feed.feed, free)
            if due_at is not None:
                mine = mine.where(feed_state.c.due_at <= due_at)
            values = {"lease_by": processes.own_name(), "lease_until": now + LEASE, "tried_at": now}
            return bool(tx.execute(mine.values(**values)).rowcount)

    return settle(attempt)


def _note(tx: Connection, feed: Feed, now: datetime) -> None:
    """Have a row of the feed; a schedule that is new makes it due from its first hour on."""
    due = feed.schedule.after(now) if feed.schedule else None
    row = tx.execute(select(feed_state).where(feed_state.c.feed == feed.feed)).one_or_none()
    if row is None:
        tx.execute(insert(feed_state).values(feed=feed.feed, since=now, due_at=due, failures=0))
    elif row.due_at is None and due is not None:
        tx.execute(update(feed_state).where(feed_state.c.feed == feed.feed).values(due_at=due))


def _beating(feed: Feed) -> Beat:
    """Renews the lease now and then while a delivery comes in."""
    last = time.monotonic()

    def beat() -> None:
        nonlocal last
        if time.monotonic() - last >= BEAT_EVERY_S:
            last = time.monotonic()
            _renew(feed)

    return beat


def _renew(feed: Feed) -> None:
    with db.transaction() as tx:
        mine = feed_state.c.feed == feed.feed, feed_state.c.lease_by == processes.own_name()
        if not tx.execute(update(feed_state).where(*mine).values(lease_until=clock.now() + LEASE)).rowcount:
            raise Conflict(f"{feed.feed} was taken over by another process", slug="feed-in-progress")


def _settle(feed: Feed, problem: str | None) -> None:
    """Give the feed free, and say when it is due again."""
    now = clock.now()
    with db.transaction() as tx:
        mine = feed_state.c.feed == feed.feed, feed_state.c.lease_by == processes.own_name()
        failures = tx.scalar(select(feed_state.c.failures).where(*mine)) or 0
        values: dict[str, Any] = {"lease_by": None, "lease_until": None, "failures": 0, "problem": None}
        values |= {"pulled_at": now} if problem is None else {}
        due = feed.schedule.after(now) if feed.schedule else None
        if problem is not None:
            values |= {"failures": failures + 1, "problem": problem[:LONGEST_PROBLEM]}
            due = due and min(due, now + rhythm.rest_after(failures + 1))
        tx.execute(update(feed_state).where(*mine).values(**values, due_at=due))
