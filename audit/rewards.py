# SPDX-License-Identifier: Apache-2.0
"""The yearly reward, counted from sealed entries and nothing else (requirements F9). Pure.

A statement covers the leaves whose time lies in the year of Asia/Shanghai, and the corrections of that year, and names
their range and the root that vouches for them: whoever has an export of that range counts the same, to the fen.
"""

import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from audit.events import Event
from kernel import clock
from kernel.errors import SettingError

TARIFFS = Path(__file__).parent / "rewards.toml"
DAYS_REMEMBERED = 7  # entries are sealed in order but for seconds; what comes later is settled in a second reading
DIMENSIONS = ("institution", "product", "purpose", "month")
LEAVES_OF_A_PART = 1_000
_ANSWERED, _CORRECTED = Event.QUERY_ANSWERED.value, Event.REWARD_CORRECTED.value
Group = tuple[Any, ...]  # by DIMENSIONS


@dataclass(frozen=True, slots=True)
class Tariff:
    """Fen per billable question, the most that a year gives in fen, and which version of the tariff says so."""

    version: str
    rate_fen: int
    cap_fen: int


@dataclass(slots=True)
class Count:
    """Answered questions, and those of them that count for the reward."""

    queries: int = 0
    billable: int = 0


@dataclass(slots=True)
class Part:
    """What some leaves in a row tell of a year: little, so that it may go from one process to another."""

    leaf_from: int | None = None
    leaf_to: int = 0  # one beyond the last
    corrections: int = 0
    corrected: int = 0  # what they add to the billable ones, or take from them
    queries: dict[Group, int] = field(default_factory=dict)
    names: dict[Group, str | None] = field(default_factory=dict)  # of its institution
    billable: dict[tuple[Group, date], list[str]] = field(default_factory=dict)  # enterprises, each once a day


@dataclass(slots=True)
class Tally:
    """What was counted so far of a year."""

    year: int
    leaf_from: int | None = None
    leaf_to: int = 0  # one beyond the last
    corrections: int = 0
    corrected: int = 0
    groups: dict[Group, Count] = field(default_factory=dict)
    names: dict[str, str | None] = field(default_factory=dict)  # of institutions, as the newest month calls them
    _seen: dict[date, dict[Group, set[str]]] = field(default_factory=dict)
    _forgotten: date = date.min
    _late: set[tuple[int | None, Group, date]] = field(default_factory=set)  # where the part began

    @property
    def queries(self) -> int:
        return sum(count.queries for count in self.groups.values())

    @property
    def billable(self) -> int:
        """The billable ones, corrections included."""
        return max(0, sum(count.billable for count in self.groups.values()) + self.corrected)

    def add(self, part: Part) -> None:
        """Count a part in; parts come in the order of their leaves."""
        if self.leaf_from is None:
            self.leaf_from = part.leaf_from
        self.leaf_to = max(self.leaf_to, part.leaf_to)
        self.corrections += part.corrections
        self.corrected += part.corrected
        for group, queries in part.queries.items():
            if group not in self.groups:
                self.groups[group] = Count()
                self.names[str(group[0])] = part.names[group]
            self.groups[group].queries += queries
        for (group, day), asked in part.billable.items():
            seen = self._seen_on(day)
            if seen is None:
                self._late.add((part.leaf_from, group, day))
            else:
                self.groups[group].billable += _new_in(seen, group, asked)

    def settle(self, parts: Iterable[Part]) -> None:
        """Count what came when its day was forgotten, by reading those days once more."""
        seen: dict[date, dict[Group, set[str]]] = {day: {} for _, _, day in self._late}
        for part in parts:
            for (group, day), asked in part.billable.items():
                if day in seen:
                    new = _new_in(seen[day], group, asked)
                    self.groups[group].billable += new if (part.leaf_from, group, day) in self._late else 0

    @property
    def is_settled(self) -> bool:
        return not self._late

    def by(self, name: str) -> dict[str, dict[str, Any]]:
        """The counts of each value of a dimension; an institution's with its name."""
        place, found = DIMENSIONS.index(name), dict[str, Count]()
        for group, count in self.groups.items():
            total = found.setdefault(str(group[place]), Count())
            total.queries += count.queries
            total.billable += count.billable
        named = {value: {"name": self.names.get(value)} if name == "institution" else {} for value in found}
        return {
            value: named[value] | {"queries": total.queries, "billable": total.billable}
            for value, total in sorted(found.items())
        }

    def _seen_on(self, day: date) -> dict[Group, set[str]] | None:
        """What was asked on a day so far; None where the day is forgotten."""
        if day not in self._seen:
            if day <= self._forgotten:
                return None
            self._seen[day] = {}
            if len(self._seen) > DAYS_REMEMBERED:
                self._forgotten = max(self._forgotten, min(self._seen))
                del self._seen[min(self._seen)]
        return self._seen.get(day)


def read(leaves: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Leaves with their documents, from their bytes."""
    return ((index, orjson.loads(content)) for index, content in leaves)


def folded(year: int, leaves: Iterable[tuple[int, dict[str, Any]]]) -> Part:
    """What leaves (index and document) tell of a year: entries of other years and of other kinds are passed over."""
    part, once = Part(), set[tuple[Any, ...]]()
    for index, document in leaves:
        kind, time = document["type"], _time_of(document["time"][:13])
        if kind == _CORRECTED and document["detail"]["year"] == year:
            part.corrections += 1
            part.corrected += document["detail"]["billable"]
        elif time.year != year:
            continue
        if part.leaf_from is None:
            part.leaf_from = index
        part.leaf_to = index + 1
        if time.year == year and is_query(document):
            group = document.get("institution"), document.get("product"), document.get("purpose"), time.month
            if group not in part.queries:
                part.queries[group], part.names[group] = 0, document.get("institution_name")
            part.queries[group] += 1
            asked = time.day, *_once(document)
            if document["billable"] and asked not in once:
                once.add(asked)
                part.billable.setdefault((group, time.day), []).append(str(document.get("uscc")))
    return part


def in_parts(year: int, leaves: Iterable[tuple[int, dict[str, Any]]]) -> Iterator[Part]:
    """The same of any number of leaves, LEAVES_OF_A_PART at a time."""
    some = iter(leaves)
    while first := next(some, None):
        yield folded(year, chain((first,), islice(some, LEAVES_OF_A_PART - 1)))


def tallied(year: int, parts: Callable[[], Iterable[Part]]) -> Tally:
    """Fold parts, in their order, into a tally; each call of `parts` reads the same ones anew.

    Memory: DAYS_REMEMBERED days of a year, whatever it holds.
    """
    tally = Tally(year)
    for part in parts():
        tally.add(part)
    if not tally.is_settled:
        tally.settle(parts())
    return tally


def is_query(document: dict[str, Any]) -> bool:
    """Whether an entry is an answered question of an institution: neither a replay nor an enterprise's own reading."""
    return document["type"] == _ANSWERED and document.get("purpose") != "self"


def stated(tally: Tally, tariff: Tariff) -> dict[str, Any]:
    """What a statement says of a tally under a tariff, but for its range."""
    return {
        "year": tally.year,
        "queries": tally.queries,
        "billable": tally.billable,
        "rate_fen": tariff.rate_fen,
        "cap_fen": tariff.cap_fen,
        "reward_fen": min(tally.billable * tariff.rate_fen, tariff.cap_fen),
        "tariff": tariff.version,
        "corrections": {"count": tally.corrections, "billable": tally.corrected},
        **{f"by_{name}": tally.by(name) for name in DIMENSIONS},
    }


def counted_as(document: dict[str, Any]) -> tuple[str, ...]:
    """What an answered question counts as, once: its day, institution, enterprise and product."""
    return (_time_of(document["time"][:13]).day.isoformat(), *_once(document))


def bounds_of(year: int) -> tuple[datetime, datetime]:
    """The first instant of a year of Asia/Shanghai, and that of the next."""
    begin, end = (datetime(each, 1, 1, tzinfo=clock.SHANGHAI) for each in (year, year + 1))
    return begin, end


def tariff_of(year: int) -> Tariff:
    """The tariff that counts in a year."""
    tables = _tariffs(TARIFFS)
    return tables.get(str(year)) or tables["default"]


def _once(document: dict[str, Any]) -> tuple[Any, ...]:
    """What is rewarded once a day."""
    return document.get("institution"), document.get("uscc"), document.get("product")


def _new_in(seen: dict[Group, set[str]], group: Group, asked: list[str]) -> int:
    """How many enterprises were not yet asked about by the group's institution for its product; now they were."""
    enterprises = seen.setdefault(group[:2], set())
    before = len(enterprises)
    enterprises.update(asked)
    return len(enterprises) - before


class _Time(NamedTuple):
    """When something happened for the law: in Asia/Shanghai."""

    year: int
    month: str
    day: date


@cache
def _time_of(hour: str) -> _Time:
    """The legal time of an instant, whose first 13 characters are its hour in UTC: Shanghai is whole hours ahead."""
    day = clock.legal_day(datetime.fromisoformat(f"{hour}:00:00Z"))
    return _Time(day.year, day.isoformat()[:7], day)


@cache
def _tariffs(file: Path) -> dict[str, Tariff]:
    try:
        found = {name: Tariff(**table) for name, table in tomllib.loads(file.read_text(encoding="utf-8")).items()}
        if "default" not in found or any(each.rate_fen < 0 or each.cap_fen < 0 for each in found.values()):
            raise ValueError("a table [default] is needed, and no rate or cap is below 0")
    except (OSError, TypeError, ValueError) as error:
        raise SettingError(f"{file}: {error}") from error
    return found
