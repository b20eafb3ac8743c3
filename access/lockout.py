# SPDX-License-Identifier: Apache-2.0
"""How often someone may try to sign in (GB/T 22239-2019 8.1.4.1 b: failed sign-ins are handled and limited).

Three counts, all in SQL, so that they hold over all workers. A try is counted before the password is looked at
and given back when it was right: a hundred tries at one moment are a hundred tries.

    name × network   5 failures lock for a minute, each further one for twice as long, up to an hour
    name             50 failures an hour: then only networks from which the name has signed in before may try
    network          30 failures in 10 minutes: then only names that have signed in from there before may try;
                     300 tries: nobody, and no password is hashed for them

So nobody at a distance can lock a signatory out: the locks that a stranger can close lie on the stranger's own
network. A network is an IPv4 address or an IPv6 /64.
"""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import Any

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from access.models import sign_in_tries as tries
from access.networks import Address
from audit import trail
from audit.events import Event
from kernel import clock, db

FREE_FAILURES = 5
FIRST_LOCK, LONGEST_LOCK = timedelta(minutes=1), timedelta(hours=1)
FORGOTTEN_AFTER = timedelta(days=1)  # failures of a name from a network, when none has followed
NAME_FAILURES, NAME_WINDOW = 50, timedelta(hours=1)
NETWORK_FAILURES, NETWORK_TRIES, NETWORK_WINDOW = 30, 300, timedelta(minutes=10)
KNOWN_FOR = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Count:
    """What is known of one subject's tries."""

    failures: int
    since: datetime
    until: datetime | None = None
    succeeded_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a try may succeed. `crowded_s`: the network must wait so long; `closed`: and does not even try."""

    allowed: bool
    crowded_s: int | None = None
    closed: bool = False
    locks: str | None = None  # what this very try locked, if it fails: "name-and-network", "name" or "network"
    until: datetime | None = None  # of that lock


@dataclass(frozen=True, slots=True)
class Try:
    """A try that was counted, so that it can be given back."""

    verdict: Verdict
    counted: tuple[bytes, ...]
    pair: bytes


def weigh(pair: Count, name: Count, network: Count, now: datetime) -> tuple[Verdict, Count, Count, Count]:
    """Judge a try from the three counts, and the counts with it counted. Pure."""
    known = pair.succeeded_at is not None and now - pair.succeeded_at < KNOWN_FOR
    pair = pair if now - pair.since < FORGOTTEN_AFTER else replace(pair, failures=0, since=now, until=None)
    name = name if now - name.since < NAME_WINDOW else replace(name, failures=0, since=now)
    network = network if now - network.since < NETWORK_WINDOW else replace(network, failures=0, since=now)
    wait_s = max(1, int((network.since + NETWORK_WINDOW - now).total_seconds()))
    if network.failures >= NETWORK_TRIES:
        return Verdict(False, wait_s, closed=True), pair, name, network
    # Said of the known too, where the password is wrong: else it would tell who is known here.
    crowded = wait_s if network.failures >= NETWORK_FAILURES else None
    allowed = (known or crowded is None) and not (pair.until and now < pair.until)
    allowed = allowed and (known or name.failures < NAME_FAILURES)
    network = replace(network, failures=network.failures + 1)
    locks = until = None
    if network.failures == NETWORK_FAILURES:
        locks, until = "network", network.since + NETWORK_WINDOW
    if allowed:
        # A try that is refused anyway makes no lock longer.
        pair = replace(pair, failures=pair.failures + 1, since=now)
        name = replace(name, failures=name.failures + 1)
        if name.failures == NAME_FAILURES:
            locks, until = "name", name.since + NAME_WINDOW
        if pair.failures >= FREE_FAILURES:
            pair = replace(pair, until=now + _lock_after(pair.failures))
            locks, until = "name-and-network", pair.until
    return Verdict(allowed, crowded, locks=locks, until=until), pair, name, network


def count(tx: Connection, username: str, network: str) -> Try:
    """Count a try and say whether it may succeed. The caller commits before it looks at the password."""
    subjects = _subjects(username, network)
    now = clock.now()
    _make(tx, subjects, now)
    locked = select(tries).where(tries.c.subject.in_(subjects)).order_by(tries.c.subject).with_for_update()
    held = {row.subject: row for row in tx.execute(locked)}
    pair, name, place = before = [_count(held[subject]) for subject in subjects]
    verdict, *after = weigh(pair, name, place, now)
    for subject, old, new in zip(subjects, before, after, strict=True):
        if new != old:
            values = {"failures": new.failures, "since": new.since, "until": new.until, "changed_at": now}
            tx.execute(update(tries).where(tries.c.subject == subject).values(values))
    counted = subjects if verdict.allowed else subjects[2:]
    return Try(verdict, () if verdict.closed else counted, subjects[0])


def give_back(tx: Connection, tried: Try, *, signed_in: bool) -> None:
    """Take back a try whose password was right; where it led to a session, the name has its network again."""
    now = clock.now()
    for subject in sorted(tried.counted):
        values: dict[str, Any] = {"failures": tries.c.failures - 1, "changed_at": now}
        if subject == tried.pair:
            values["until"] = None
            if signed_in:
                values |= {"failures": 0, "succeeded_at": now}
        # a window that has begun anew meanwhile has nothing to give back
        tx.execute(update(tries).where(tries.c.subject == subject, tries.c.failures > 0).values(values))


def record(tried: Try, username: str, network: str) -> None:
    """Write down what a failed try has locked: one entry a lock, not one a failure, else strangers fill the trail.

    A name that nobody has ("") is not written down: it may be a password typed in the wrong place.
    """
    verdict = tried.verdict
    if verdict.locks is None or verdict.until is None:
        return
    detail = {"locked": verdict.locks, "network": network, "until": clock.rfc3339(verdict.until)}
    if verdict.locks != "network":
        detail["username"] = username
    with db.transaction() as tx:
        trail.append(tx, trail.Entry(type=Event.SIGN_IN_LOCKED, actor="nobody", detail=detail))


def network_of(address: Address | None) -> str:
    """The network that a caller's address stands for: itself, or the /64 of an IPv6 address."""
    if address is None:
        return "unknown"
    return str(ip_network(f"{address}/64", strict=False)) if address.version == 6 else str(address)


def tidy(tx: Connection) -> int:
    """Delete what no longer counts. Returns how many."""
    return tx.execute(delete(tries).where(tries.c.changed_at < clock.now() - KNOWN_FOR)).rowcount


def _lock_after(failures: int) -> timedelta:
    doublings = min(failures - FREE_FAILURES, 10)
    return min(FIRST_LOCK * int(2**doublings), LONGEST_LOCK)


def _subjects(username: str, network: str) -> tuple[bytes, bytes, bytes]:
    named = (("pair", username, network), ("name", username), ("network", network))
    pair, name, place = (hashlib.sha256("\0".join(parts).encode()).digest() for parts in named)
    return pair, name, place


def _make(tx: Connection, subjects: tuple[bytes, ...], now: datetime) -> None:
    """Rows for subjects that have none; in one order, so that two tries never wait for each other."""
    dialect: Any = postgresql if tx.dialect.name == "postgresql" else sqlite
    rows = [{"subject": subject, "failures": 0, "since": now, "changed_at": now} for subject in sorted(subjects)]
    tx.execute(dialect.insert(tries).on_conflict_do_nothing(), rows)


def _count(row: Any) -> Count:
    return Count(row.failures, row.since, row.until, row.succeeded_at)
