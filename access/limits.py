# SPDX-License-Identifier: Apache-2.0
"""Rate limits and quotas that hold over all workers together, without a write for each request.

A worker takes permits for a window from the database's counter in packs, in one statement that never gives out
more than the limit, and spends them in memory. So all workers together never let more pass than the limit. The
price: a worker may refuse while another still holds part of a pack. A pack is a twentieth of the limit, and twice
as many each time that a worker comes again in the same window, up to a fifth, but 50 at most; where the limit is
below 40 it is one permit, and exactly the limit passes.

    client            requests a second of one client           shipped: 100
    institution       requests a second of all its clients      where its contract sets one
    institution-day   its questions a day of Asia/Shanghai      where its contract sets one; durable
    client-screenings pages of screenings of one client a day   shipped: 1,000 (BUREAU_SCREENINGS_PER_DAY); durable

Requests a second are counted where commits wait for no disk, and if the counter cannot be written a worker counts
alone: whether there is an answer then the trail decides. The day's quota fails closed. A request that is refused
here is no entry, or a flood would fill the trail; it is counted in the log, one line for each window and worker.
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import wraps
from ipaddress import IPv6Address, ip_network
from typing import Any, NamedTuple, TypeVar

import structlog
from sqlalchemy import Connection, Table, bindparam, delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from access.models import day_quota, pace
from access.networks import Address
from kernel import auth, clock, db
from kernel.errors import TooMany
from kernel.headers import Limit, tell_limits
from kernel.prepared import Prepared

CLIENT_PER_SECOND = 100
SCREENINGS_PER_DAY = 1_000
FAILURES_PER_MINUTE = 20
FIRST_SHARE, LAST_SHARE, PACK_MOST = 20, 5, 50
MOST_SUBJECTS = 10_000  # that a worker remembers
KEEP_S, KEEP_DAYS = 120, 400

View = TypeVar("View", bound=Callable[..., Any])
log = structlog.get_logger()


class Window(NamedTuple):
    """A stretch of time: its number, and the seconds until it ends."""

    number: int
    left: int


@dataclass(slots=True)
class _Held:
    """What a worker knows of one subject in one window."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    window: int = -1
    quota: int = -1
    permits: int = 0
    packs: int = 0  # taken in this window
    elsewhere: int = 0  # permits that nobody has taken yet, when last heard
    refused: int = 0  # in this window
    refused_before: int = 0  # in the last one that this worker knows of


class Limiter:
    """One kind of limit, as one worker keeps it."""

    def __init__(self, name: str, seconds: int, table: Table, *, slug: str | None = None, durable: bool = False):
        self.name, self.seconds, self.slug, self.durable = name, seconds, slug, durable
        self._take = _taking(table)
        self._known: OrderedDict[str, _Held] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, subject: str, quota: int) -> tuple[bool, Limit]:
        """Ask for one permit. Returns whether there was one, and what is left to tell."""
        window, held = self._now(), self._held(subject)
        with held.lock:
            if (held.window, held.quota) != (window.number, quota):
                held.window, held.quota, held.permits, held.elsewhere = window.number, quota, 0, quota
                held.packs, held.refused_before, held.refused = 0, held.refused, 0
            if held.permits == 0 and held.elsewhere > 0:
                size = pack_size(quota, held.packs)
                held.permits, held.elsewhere = self._pack(subject, window.number, quota, size)
                held.packs += 1
            allowed = held.permits > 0
            if allowed:
                held.permits -= 1
            else:
                held.refused += 1
                if held.refused == 1:
                    log.warning("rate limited", limit=self.name, subject=subject, refused_before=held.refused_before)
            remaining = held.permits + held.elsewhere
        return allowed, Limit(self.name, quota, self.seconds, remaining, window.left)

    def require(self, subject: str, quota: int) -> Limit:
        """As `take`; raises TooMany where there is no permit."""
        allowed, told = self.take(subject, quota)
        if not allowed:
            raise self.too_many(told)
        return told

    def is_spent(self, subject: str, quota: int) -> bool:
        """Whether this worker knows that the window has no permit left; asks nobody."""
        held, window = self._held(subject), self._now()
        return (held.window, held.quota) == (window.number, quota) and held.permits + held.elsewhere == 0

    def too_many(self, told: Limit) -> TooMany:
        detail = f"the limit {told.name} of {told.quota} in {told.window} s is reached: wait {told.reset} s"
        return TooMany(detail, slug=self.slug, retry_after_s=told.reset)

    def _now(self) -> Window:
        if self.durable:
            return day_window(clock.now())
        now = clock.now().timestamp()
        number = int(now // self.seconds)
        return Window(number, max(1, math.ceil((number + 1) * self.seconds - now)))

    def _held(self, subject: str) -> _Held:
        with self._lock:
            held = self._known.pop(subject, None) or _Held()
            self._known[subject] = held
            if len(self._known) > MOST_SUBJECTS:
                self._known.popitem(last=False)
        return held

    def _pack(self, subject: str, window: int, quota: int, size: int) -> tuple[int, int]:
        """Permits for this worker, and how many are left for all: the one statement."""
        asked = {"subject": subject, "window": window, "pack": size, "quota": quota}
        try:
            with db.single_write() if self.durable else db.unflushed() as tx:
                row = self._take[tx.dialect.name].one_or_none(tx, asked)
        except (DBAPIError, PoolTimeout):
            if self.durable:
                raise
            return quota, 0
        if row is None:
            return 0, 0
        return min(size, quota - (row.taken - size)), max(0, quota - row.taken)


class Failures:
    """Failed authentications, by client and address together.

    So a secret cannot be guessed at, and a stranger who fails on purpose locks nobody out who calls from elsewhere.
    What a worker has not yet heard of it lets pass once: at most the limit and one more for each worker.
    """

    def __init__(self) -> None:
        self._limiter = Limiter("failed-authentications", 60, pace)

    def require_left(self, subject: str) -> None:
        """Raise TooMany where the pair has failed too often in this minute."""
        if self._limiter.is_spent(subject, FAILURES_PER_MINUTE):
            self.take_one(subject)

    def take_one(self, subject: str) -> None:
        """Count a failure; raises TooMany where it is one too many."""
        self._limiter.require(subject, FAILURES_PER_MINUTE)


def attempt(client_id: str | None, address: Address | None) -> str:
    """The subject of failures: a client (None: one that there is none of) and where the caller sits.

    Of IPv6 the /64 counts: whoever has one address there has them all.
    """
    place = ip_network((address, 64), strict=False) if isinstance(address, IPv6Address) else address
    return f"attempt:{client_id or 'unknown'}:{place}"


def pack_size(quota: int, before: int) -> int:
    """How many permits a worker takes that has taken so many packs in this window: they cost a statement each."""
    first = min(PACK_MOST, quota // FIRST_SHARE)
    return min(first << min(before, 8), PACK_MOST, quota // LAST_SHARE) if first > 1 else 1


def day_window(now: datetime) -> Window:
    """The calendar day of Asia/Shanghai."""
    today = clock.legal_day(now)
    ends = datetime.combine(today + timedelta(days=1), time(), clock.SHANGHAI)
    return Window((today - date(1970, 1, 1)).days, max(1, math.ceil((ends - now).total_seconds())))


def counted(*, question: bool) -> Callable[[View], View]:
    """A view whose requests are counted against its caller's limits, before the body is read.

    Only a `question` counts against the day's quota; to be shown an answer again does not. The answer, whichever,
    carries the RateLimit fields. Raises TooMany (`rate-limited`, `institution-quota-exhausted`).
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def limited(*args: Any, **kwargs: Any) -> Any:
            admit(auth.caller(), question=question)
            return view(*args, **kwargs)

        return limited  # type: ignore[return-value]

    return decorate


def admit(principal: auth.Principal, *, question: bool) -> None:
    """Count a request of a client against each of its limits, and tell them; raises TooMany at the first that is
    reached. A request by someone who is no client is not counted: its scope has let it in."""
    if principal.client is None:
        return
    own = CLIENT_PER_SECOND if principal.per_second is None else principal.per_second
    asked = [(per_client, f"client:{principal.client}", own)]
    if (asking := principal.institution) is not None:
        if asking.per_second is not None:
            asked.append((per_institution, f"institution:{asking.id}", asking.per_second))
        if asking.per_day is not None and question:
            asked.append((institution_day, f"institution:{asking.id}", asking.per_day))
    told: tuple[Limit, ...] = ()
    for limiter, subject, quota in asked:
        allowed, limit = limiter.take(subject, quota)
        told += (limit,)
        tell_limits(told)
        if not allowed:
            raise limiter.too_many(limit)


def count_screening(principal: auth.Principal, pages: int = 1) -> None:
    """Count pages of a screening against the client's day; raises TooMany (`screening-budget-spent`)."""
    assert principal.client is not None, "only clients have the scope"
    for _ in range(pages):
        tell_limits((client_screenings.require(f"screenings:{principal.client}", _screenings_per_day),))


def use_screenings(per_day: int) -> None:
    """Let each client have so many pages of screenings a day."""
    global _screenings_per_day
    _screenings_per_day = per_day


def tidy(tx: Connection) -> int:
    """Delete the counters of windows that are over. Returns how many."""
    # A window's number is smallest for the longest windows of the table: a minute's.
    now = clock.now()
    minutes = int((now.timestamp() - KEEP_S) // 60)
    seconds = int(now.timestamp() - KEEP_S)
    is_minute = pace.c.subject.like("attempt:%")
    old = (is_minute & (pace.c.window < minutes)) | (~is_minute & (pace.c.window < seconds))
    gone = tx.execute(delete(pace).where(old)).rowcount
    days = day_window(now).number - KEEP_DAYS
    return gone + tx.execute(delete(day_quota).where(day_quota.c.window < days)).rowcount


def _taking(table: Table) -> dict[str, Prepared]:
    """Take a pack unless the limit is reached: `taken` may pass it by what the last pack was too large."""
    by_dialect = {}
    for name, dialect in (("postgresql", postgresql), ("sqlite", sqlite)):
        pack = bindparam("pack", type_=table.c.taken.type)
        fresh: Any = dialect.insert(table).values(subject=bindparam("subject"), window=bindparam("window"), taken=pack)
        more = fresh.on_conflict_do_update(
            index_elements=[table.c.subject, table.c.window],
            set_={"taken": table.c.taken + pack},
            where=table.c.taken < bindparam("quota", type_=table.c.taken.type),
        )
        by_dialect[name] = Prepared(more.returning(table.c.taken))
    return by_dialect


_screenings_per_day = SCREENINGS_PER_DAY
per_client = Limiter("client", 1, pace)
per_institution = Limiter("institution", 1, pace)
institution_day = Limiter("institution-day", 86_400, day_quota, slug="institution-quota-exhausted", durable=True)
client_screenings = Limiter("client-screenings", 86_400, day_quota, slug="screening-budget-spent", durable=True)
failures = Failures()
