# SPDX-License-Identifier: Apache-2.0
"""What is conspicuous on the trail: one pure function a rule, each telling its reason, its numbers and its evidence.

A rule is given the acts of one day and what was known before it, and yields findings; it decides nothing about
anyone: a person looks at the entries that it names. Limits are data (`findings.toml`). Reading goes day by day, so
memory holds one day of questions and what a month must remember of each enterprise, whatever the trail's length.
"""

import tomllib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

from kernel import clock
from kernel.errors import SettingError

LIMITS = Path(__file__).parent / "findings.toml"
EVIDENCE = 20  # entries that a finding names, the first ones
MONTH = 30  # days of acts that are read before the first day that is asked for
REVOKED, ANSWERED, REFUSED = "consent.revoked", "query.answered", "query.refused"

Limits = Mapping[str, Mapping[str, Any]]


class Act(NamedTuple):
    """A question, or a revocation (whose `grantee` lost its consent), as it stands on the trail."""

    id: str
    time: datetime
    type: str
    actor: str
    institution: str | None = None
    operator: str | None = None
    uscc: str | None = None
    rule: str | None = None
    purpose: str | None = None
    grantee: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found: `count` reached `limit`; `about` names whom, `evidence` the entries (at most EVIDENCE)."""

    rule: str
    day: date
    reason: str
    count: int
    limit: int
    about: Mapping[str, str | None]
    evidence: tuple[str, ...]


@dataclass(slots=True)
class Known:
    """What the days before tell: kinds of institutions; last acts; a month's revocations, and lenders of each firm."""

    kinds: Mapping[str, str] = field(default_factory=dict)
    last_act: dict[str, datetime] = field(default_factory=dict)
    revoked: dict[str, list[Act]] = field(default_factory=dict)
    lenders: dict[str, dict[str, tuple[date, str]]] = field(default_factory=dict)

    def learn(self, day: date, acts: Sequence[Act]) -> None:
        """Take in a day that was judged, and forget what is older than a month."""
        first = day - timedelta(days=MONTH)
        for act in acts:
            if act.type == REVOKED and act.uscc:
                self.revoked.setdefault(act.uscc, []).append(act)
                continue
            self.last_act[act.actor] = act.time
            if act.type == ANSWERED and act.uscc and act.institution:
                self.lenders.setdefault(act.uscc, {})[act.institution] = day, act.id
        if day.weekday() == 0:  # what is too old is passed over anyway: once a week is often enough to forget it
            self.revoked = {uscc: kept for uscc, of in self.revoked.items() if (kept := _since(of, first))}
            recent = ((uscc, {one: at for one, at in of.items() if at[0] > first}) for uscc, of in self.lenders.items())
            self.lenders = {uscc: of for uscc, of in recent if of}


def repeated_refusals(day: date, acts: Sequence[Act], _known: Known, limits: Limits) -> Iterator[Finding]:
    """One operator is refused again and again."""
    limit = limits["repeated-refusals"]["at_least"]
    for (institution, operator), some in _grouped(acts, _operator, lambda act: act.type == REFUSED).items():
        if len(some) >= limit:
            rules = ", ".join(sorted({act.rule or "-" for act in some}))
            reason = f"one operator was refused {len(some)} times in a day ({rules})"
            about = {"institution": institution, "operator": operator}
            yield _finding("repeated-refusals", day, reason, len(some), limit, about, some)


def after_revocation(day: date, acts: Sequence[Act], known: Known, limits: Limits) -> Iterator[Finding]:
    """An institution asks on although the enterprise revoked its consent."""
    limit, days = limits["after-revocation"]["at_least"], limits["after-revocation"]["days"]
    today = _grouped(acts, lambda act: act.uscc, lambda act: act.type == REVOKED)
    refused = _grouped(acts, lambda act: (act.institution, act.uscc), lambda act: act.rule == "no-consent")
    for (institution, uscc), some in refused.items():
        for revocation in reversed([*known.revoked.get(uscc, ()), *today.get(uscc, ())]):
            grantee, end = revocation.grantee or "", revocation.time + timedelta(days=days)
            since = [act for act in some if revocation.time < act.time <= end]
            if (grantee == institution or grantee == "platform" or grantee[:5] == "kind:") and len(since) >= limit:
                reason = f"{len(since)} questions in a day after the enterprise revoked its consent"
                about = {"institution": institution, "uscc": uscc, "revocation": revocation.id}
                yield _finding("after-revocation", day, reason, len(since), limit, about, [revocation, *since])
                break


def off_hours(day: date, acts: Sequence[Act], _known: Known, limits: Limits) -> Iterator[Finding]:
    """A burst of one operator's questions in a night."""
    limit, hours = limits["off-hours"]["at_least"], limits["day"]

    def is_off(act: Act) -> bool:
        hour = act.time.astimezone(clock.SHANGHAI).hour
        return act.type != REVOKED and not hours["opens"] <= hour < hours["closes"]

    for (institution, operator), some in _grouped(acts, _operator, is_off).items():
        if len(some) >= limit:
            reason = f"one operator asked {len(some)} times between {hours['closes']}:00 and {hours['opens']}:00"
            about = {"institution": institution, "operator": operator}
            yield _finding("off-hours", day, reason, len(some), limit, about, some)


def breadth(day: date, acts: Sequence[Act], _known: Known, limits: Limits) -> Iterator[Finding]:
    """One operator asks about very many enterprises."""
    limit = limits["breadth"]["at_least"]
    for (institution, operator), some in _grouped(acts, _operator, _is_question).items():
        firms = {act.uscc: act for act in reversed(some)}
        if len(firms) >= limit:
            reason = f"one operator asked about {len(firms)} enterprises in a day"
            about = {"institution": institution, "operator": operator}
            first_of_each = sorted(firms.values(), key=lambda act: act.id)
            yield _finding("breadth", day, reason, len(firms), limit, about, first_of_each)


def many_lenders(day: date, acts: Sequence[Act], known: Known, limits: Limits) -> Iterator[Finding]:
    """One enterprise is asked about by many institutions within days; told on the day that brings the number."""
    limit, days = limits["many-lenders"]["at_least"], limits["many-lenders"]["days"]
    for uscc, some in _grouped(acts, lambda act: act.uscc, lambda act: act.type == ANSWERED).items():
        earlier = known.lenders.get(uscc, {})
        before = {one: at for one, at in earlier.items() if at[0] >= day - timedelta(days=days)}
        now = {one: at[1] for one, at in before.items() if at[0] > day - timedelta(days=days)}
        now |= {act.institution: act.id for act in some if act.institution}
        if len(before) < limit <= len(now):
            reason = f"{len(now)} institutions asked about one enterprise within {days} days"
            yield Finding("many-lenders", day, reason, len(now), limit, {"uscc": uscc}, _first(sorted(now.values())))


def unfit_purpose(day: date, acts: Sequence[Act], known: Known, limits: Limits) -> Iterator[Finding]:
    """An institution asks for a purpose that is none of its kind's."""
    limit, fits = limits["unfit-purpose"]["at_least"], limits["unfit-purpose"]["fits"]

    def is_unfit(act: Act) -> bool:
        kind = known.kinds.get(act.institution or "")
        return _is_question(act) and kind in fits and act.purpose not in fits[kind]

    for (institution, purpose), some in _grouped(acts, lambda act: (act.institution, act.purpose), is_unfit).items():
        if len(some) >= limit:
            kind = known.kinds[institution]
            reason = f"an institution of kind {kind} asked {len(some)} times for the purpose {purpose}"
            about = {"institution": institution, "purpose": purpose}
            yield _finding("unfit-purpose", day, reason, len(some), limit, about, some)


def dormant_client(day: date, acts: Sequence[Act], known: Known, limits: Limits) -> Iterator[Finding]:
    """A client asks that was silent for long."""
    limit = limits["dormant-client"]["at_least"]
    for actor, some in _grouped(acts, lambda act: act.actor, _is_question).items():
        last = known.last_act.get(actor)
        idle = (some[0].time - last).days if last else 0
        if idle >= limit and actor.startswith("client:"):
            reason = f"a client asked again after {idle} days of silence"
            about = {"institution": some[0].institution, "client": actor.removeprefix("client:")}
            yield _finding("dormant-client", day, reason, idle, limit, about, some)


Rule = Callable[[date, Sequence[Act], Known, Limits], Iterator[Finding]]
RULES: dict[str, Rule] = {
    "repeated-refusals": repeated_refusals,
    "after-revocation": after_revocation,
    "off-hours": off_hours,
    "breadth": breadth,
    "many-lenders": many_lenders,
    "unfit-purpose": unfit_purpose,
    "dormant-client": dormant_client,
}


def judged(day: date, acts: Sequence[Act], known: Known, limits: Limits) -> Iterator[Finding]:
    """What every rule finds in one day."""
    for rule in RULES.values():
        yield from rule(day, acts, known, limits)


def working_day(time: datetime, limits: Limits) -> date:
    """The day that an act belongs to: what happens before the working day opens belongs to the night before."""
    return (time.astimezone(clock.SHANGHAI) - timedelta(hours=limits["day"]["opens"])).date()


def scaled(limits: Limits, factor: float) -> Limits:
    """The same limits, each number from which on there is a finding times `factor`, and at least 1."""
    return {
        name: {**table, "at_least": max(1, ceil(table["at_least"] * factor))} if "at_least" in table else table
        for name, table in limits.items()
    }


@cache
def shipped() -> Limits:
    """The limits of `findings.toml`; raises SettingError where one is missing or no number."""
    try:
        found = tomllib.loads(LIMITS.read_text(encoding="utf-8"))
        wrong = [name for name in RULES if type(found[name]["at_least"]) is not int or found[name]["at_least"] < 1]
        wrong += [name for name in RULES if not 1 <= found[name].get("days", 1) <= MONTH]
        if wrong or not 0 <= found["day"]["opens"] < found["day"]["closes"] <= 24 or not found["unfit-purpose"]["fits"]:
            raise ValueError(f"at_least is 1 or more, days is 1 to {MONTH}, a day opens before it closes: {wrong}")
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise SettingError(f"{LIMITS}: {error}") from error
    return found


def _finding(
    rule: str, day: date, reason: str, count: int, limit: int, about: Mapping[str, str | None], acts: Sequence[Act]
) -> Finding:
    return Finding(rule, day, reason, count, limit, about, _first([act.id for act in acts]))


def _first(ids: Sequence[str]) -> tuple[str, ...]:
    return tuple(ids[:EVIDENCE])


def _grouped(
    acts: Sequence[Act], key: Callable[[Act], Hashable], counts: Callable[[Act], bool]
) -> dict[Any, list[Act]]:
    found: dict[Any, list[Act]] = defaultdict(list)
    for act in acts:
        if counts(act):
            found[key(act)].append(act)
    return found


def _operator(act: Act) -> tuple[str | None, str | None]:
    return act.institution, act.operator


def _is_question(act: Act) -> bool:
    return act.type != REVOKED


def _since(acts: Sequence[Act], first: date) -> list[Act]:
    return [act for act in acts if act.time.date() >= first]
