# SPDX-License-Identifier: Apache-2.0
"""Which enterprises let an institution find them (信息筛选), read from the consents.

`standings` lets the rule of a question decide on each enterprise; `changes` names those whose consents changed since
a number that it gave before, in one statement: what committed before that statement began is in it. So whoever keeps
the standings, and reads the changes at each screening, sees each revocation that was acknowledged before.

The number is no counter under a lock, for which all who change consents would queue: on PostgreSQL a trigger writes
the transaction's id into the row, and the number is the oldest id still running, below which nothing can appear.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, or_, select, text

from consent import policy
from consent.decision import Consent, decide, grantees_of
from consent.models import consent as consents
from consent.question import Question
from consent.terms import Frequency
from kernel import auth
from kernel.errors import NotPermitted

SCREENING = "screening"  # the purpose and the product
USCCS_AT_ONCE = 1_000
ROWS_AT_ONCE = 20_000  # of at most four an enterprise


class Standing(NamedTuple):
    """What an enterprise lets the institution screen it by, and until when, unless a consent changes."""

    uscc: str
    consent: str | None
    classes: tuple[int, ...]  # none: it is not found
    until: datetime | None


def standings(
    tx: Connection, asking: auth.Institution, now: datetime, usccs: Sequence[str] | None = None
) -> Iterator[Standing]:
    """How enterprises stand to being found, with purpose and product `screening`: some, or all that have a consent.

    A consent that limits how often it may be used, or how far back, finds nobody: a page would use it up unasked,
    and indicators are not cut to a history.
    """
    blank, rules = Question("", SCREENING, SCREENING, None, "", None, asking, "", None, None), policy.current()
    for uscc, candidates in _candidates(tx, asking, usccs):
        until = min((time for each in candidates for time in _turns(each, rules) if time > now), default=None)
        try:
            permission = decide(candidates, replace(blank, uscc=uscc), now, rules)
        except NotPermitted:
            yield Standing(uscc, None, (), until)
            continue
        found = not permission.limits and permission.since is None
        yield Standing(uscc, permission.consent.id, permission.classes if found else (), until)


def changes(tx: Connection, asking: auth.Institution, since: int) -> tuple[int, list[str]]:
    """The number to ask with next, and whose consents that name the institution changed since `since`.

    A change can be named more than once. A number below `since` says that the database is not the one it was
    (restored, or failed over): then nothing that was kept holds.
    """
    own, kind, platform = grantees_of(asking)
    asked = {"since": since, "own": own, "kind": kind, "platform": platform}
    rows = tx.execute(_CHANGES[tx.dialect.name], asked).all()
    return int(rows[0].next), sorted({row.uscc for row in rows if row.uscc is not None})


def _candidates(
    tx: Connection, asking: auth.Institution, usccs: Sequence[str] | None
) -> Iterator[tuple[str, list[Consent]]]:
    queries = (consents.c.scope == "query") & consents.c.grantee.in_(grantees_of(asking))
    collect = (consents.c.scope == "collect") & (consents.c.grantee == "platform")
    sought = select(*_COLUMNS).where(consents.c.deciding, or_(queries, collect)).order_by(consents.c.uscc)
    if usccs is None:
        after = ""
        while rows := tx.execute(sought.where(consents.c.uscc > after).limit(ROWS_AT_ONCE)).all():
            after = rows[-1].uscc
            if len(rows) == ROWS_AT_ONCE:  # the last enterprise may go on: it is left to the next page
                rows = [row for row in rows if row.uscc != after]
                after = rows[-1].uscc
            yield from _by_enterprise(rows)
        return
    for start in range(0, len(usccs), USCCS_AT_ONCE):
        some = tx.execute(sought.where(consents.c.uscc.in_(usccs[start : start + USCCS_AT_ONCE])))
        found = dict(_by_enterprise(some))
        yield from ((uscc, found.get(uscc, [])) for uscc in usccs[start : start + USCCS_AT_ONCE])


def _by_enterprise(rows: Iterable[Any]) -> Iterator[tuple[str, list[Consent]]]:
    for uscc, some in groupby(rows, attrgetter("uscc")):
        yield uscc, [_consent_of(row) for row in some]


def _turns(consent: Consent, rules: policy.Policy) -> Iterator[datetime]:
    """The moments at which the clock alone may change what the consent decides."""
    yield consent.not_before
    yield consent.not_before + rules.purposes[SCREENING].longest_validity
    if consent.expires_at is not None:
        yield consent.expires_at


_NOT_READ = {"reason", "deciding", "created_at", "granted_at", "suspended_from", "lapses_at", "requested_by", "change"}
_COLUMNS = [column for column in consents.c if column.name not in _NOT_READ]


def _consent_of(row: Any) -> Consent:
    """As `store.consent_of`, of the columns that decide, and with lists split once: there are hundreds of thousands."""
    return Consent(
        id=row.id,
        version=row.version,
        uscc=row.uscc,
        scope=row.scope,
        grantee=row.grantee,
        classes=_numbers(row.classes),
        products=_words(row.products),
        purposes=_words(row.purposes),
        not_before=row.not_before,
        expires_at=row.expires_at,
        status=row.status,
        reason=None,
        granted_at=None,
        changed_at=row.changed_at,
        max_queries=row.max_queries,
        frequency=Frequency(row.frequency_count, row.frequency_per) if row.frequency_count is not None else None,
        history_months=row.history_months,
    )


@lru_cache(1_000)
def _words(listed: str) -> tuple[str, ...]:
    return tuple(listed.split(","))


@lru_cache(1_000)
def _numbers(listed: str) -> tuple[int, ...]:
    return tuple(int(number) for number in listed.split(","))


_CHANGES = {
    # Visible is what lies below the snapshot's end, and what this transaction wrote. Rows that came with a dump from
    # elsewhere bear that place's numbers, which may be ahead of all here: they are left out until their turn comes.
    "postgresql": text(
        "SELECT s.next, c.uscc FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS next, "
        "greatest(pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1, "
        "pg_current_xact_id_if_assigned()::text::bigint) AS newest) AS s LEFT JOIN consent AS c "
        "ON c.change BETWEEN :since AND s.newest AND c.grantee IN (:own, :kind, :platform)"
    ),
    "sqlite": text(
        "SELECT s.next, c.uscc FROM (SELECT coalesce(max(change), 0) + 1 AS next FROM consent) AS s "
        "LEFT JOIN consent AS c ON c.change >= :since AND c.grantee IN (:own, :kind, :platform)"
    ),
}
