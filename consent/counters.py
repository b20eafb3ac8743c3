# SPDX-License-Identifier: Apache-2.0
"""How often a consent was used: answered questions, per consent and institution, in calendar periods.

Touched only where a limit is set. A use is counted by one statement that refuses at the limit, in the transaction
that writes the answer's entry: so counters cannot be raced, and a question that fails counts nothing. So also, where
the consent itself sets the limit, a counter says as much as there are entries of answers, and `faults` compares them.
Where the policy does, it may have begun to count at any time, and only the policy's history would tell.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects import postgresql, sqlite

from audit.events import Event
from audit.models import entry as entries
from audit.verification import Fault
from consent.decision import Limit
from consent.models import consent as consents
from consent.models import consent_use
from consent.terms import Frequency
from kernel.errors import NotPermitted

CONSENTS_AT_ONCE = 200
ANSWERED_AT_ONCE = 20
MADE_WITHIN = timedelta(minutes=20)  # an answer was counted, from the beginning of the quarter that its id tells
_INSERT: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


def require_left(tx: Connection, consent: str, institution: str, limits: Sequence[Limit]) -> None:
    """Raise NotPermitted (`quota-exhausted`) where a limit is reached already: spares opening the dossier."""
    used = _used(tx, consent, institution)
    for limit in limits:
        if used.get(limit.period, 0) >= limit.most:
            raise exhausted(limit)


def take(tx: Connection, consent: str, institution: str, limits: Sequence[Limit]) -> dict[str, int]:
    """Count one use against every limit, or none: raises NotPermitted (`quota-exhausted`).

    Returns how often each period was used now. The caller commits; until then others wait here for their turn.
    """
    used = {}
    with tx.begin_nested():
        for limit in sorted(limits, key=lambda each: each.period):  # in one order, so that no two wait for each other
            counted = (
                _INSERT[tx.dialect.name](consent_use)
                .values(consent=consent, institution=institution, period=limit.period, used=1)
                .on_conflict_do_update(
                    index_elements=[consent_use.c.consent, consent_use.c.institution, consent_use.c.period],
                    set_={"used": consent_use.c.used + 1},
                    where=consent_use.c.used < limit.most,
                )
                .returning(consent_use.c.used)
            )
            now_used = tx.scalar(counted)
            if now_used is None:
                raise exhausted(limit)
            used[limit.period] = now_used
    return used


def exhausted(limit: Limit) -> NotPermitted:
    told = f"the limit of {limit.most} answers ({limit.rule}) is reached for this consent"
    return NotPermitted(told, slug="quota-exhausted", rule=limit.rule, limit=limit.most)


def _used(tx: Connection, consent: str, institution: str) -> dict[str, int]:
    of_both = consent_use.c.consent == consent, consent_use.c.institution == institution
    return {
        row.period: row.used for row in tx.execute(select(consent_use.c.period, consent_use.c.used).where(*of_both))
    }


def faults(reading: Connection) -> Iterator[Fault]:
    """Every consent with a limit of its own of which more or fewer answers were counted than the trail tells.

    Answers are given meanwhile: what was counted before may be on the trail, and what is on it is counted after.
    """
    after = ""
    limited = consents.c.max_queries.is_not(None) | consents.c.frequency_count.is_not(None)
    columns = consents.c.id, consents.c.max_queries, consents.c.frequency_count, consents.c.frequency_per
    page = select(*columns).where(limited).order_by(consents.c.id).limit(CONSENTS_AT_ONCE)
    while rows := reading.execute(page.where(consents.c.id > after)).all():
        before = _counted(reading, after, rows[-1].id)
        answered = _answered(reading, [row.id for row in rows])
        least, most = _told(reading, [row for row in rows if row.id in answered])
        later = _counted(reading, after, rows[-1].id)
        of_these = {row.id for row in rows}
        for place in sorted({*before, *most, *later}, key=repr):
            if place[0] in of_these and not (before[place] <= most[place] and least[place] <= later[place]):
                consent, institution, period = place
                said = f"its counter {period} of {institution} says {later[place]}"
                yield Fault(consent, f"edited: {said}, and the trail tells of {most[place]} answers", "consent")
        after = rows[-1].id


_Place = tuple[str, str, str]  # consent, institution, period


def _counted(reading: Connection, after: str, last: str) -> "Counter[_Place]":
    """The counters of some consents, but for those of the policy, whose periods name a purpose."""
    own = consent_use.c.consent > after, consent_use.c.consent <= last, consent_use.c.period.not_like("%:%")
    rows = reading.execute(select(consent_use).where(*own))
    return Counter({(row.consent, row.institution, row.period): row.used for row in rows})


def _answered(reading: Connection, of: Sequence[str]) -> set[str]:
    """Under which of these consents a question was answered: found by the index, consent by consent."""
    answer = select(entries.c.id).where(
        entries.c.type == Event.QUERY_ANSWERED.value, entries.c.consent == consents.c.id
    )
    any_of_it = answer.limit(1).scalar_subquery()
    return set(reading.scalars(select(consents.c.id).where(consents.c.id.in_(of), any_of_it.is_not(None))))


def _told(reading: Connection, held: Sequence[Any]) -> "tuple[Counter[_Place], Counter[_Place]]":
    """How many answers the trail tells of, at least and at most, by the periods of these consents' limits.

    By the first digits of the ids, a quarter of an hour each: no column with a time is believed, and few rows come.
    """
    least: Counter[_Place] = Counter()
    most: Counter[_Place] = Counter()
    for row in _answers(reading, [one.id for one in held if one.max_queries is not None], 0):
        least[row.consent, row.institution, "all"] += row.told
        most[row.consent, row.institution, "all"] += row.told
    per = {one.id: one.frequency_per for one in held if one.frequency_count is not None}
    for row in _answers(reading, list(per), _QUARTER):
        periods = _periods(per[row.consent], row.made)
        for period in periods:
            most[row.consent, row.institution, period] += row.told
            least[row.consent, row.institution, period] += row.told if len(periods) == 1 else 0
    return least, most


def _answers(reading: Connection, of: Sequence[str], digits: int) -> Iterator[Any]:
    """How many answers (`told`) by consent, institution and the first digits of the ids (`made`).

    Of a few consents at once: of many PostgreSQL would read the whole trail rather than its index, and at each page.
    """
    places = entries.c.consent, entries.c.institution, func.substr(entries.c.id, 1, digits).label("made")
    counted = select(*places, func.count().label("told")).where(entries.c.type == Event.QUERY_ANSWERED.value)
    for start in range(0, len(of), ANSWERED_AT_ONCE):
        some = entries.c.consent.in_(of[start : start + ANSWERED_AT_ONCE])
        yield from reading.execute(counted.where(some).group_by(*places))


@lru_cache(100_000)
def _periods(per: str, quarter: str) -> frozenset[str]:
    """The periods in which answers may have been counted whose ids begin so; none of an id that is no id."""
    try:
        begun = datetime.fromtimestamp((int(quarter, 16) << 4 * (12 - _QUARTER)) / 1000, UTC)
        return frozenset(Frequency(1, per).period(at) for at in (begun, begun + MADE_WITHIN))
    except (ValueError, OverflowError, OSError):
        return frozenset()


_QUARTER = 7  # hexadecimal digits of the twelve that tell the millisecond: 17.5 minutes
