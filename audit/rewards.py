# SPDX-License-Identifier: Apache-2.0
"""The yearly reward, counted from sealed entries and nothing else (requirements F9). Pure.

A statement covers the leaves whose time lies in the year of Asia/Shanghai, and the corrections of that year, and names
their range and the root that vouches for them: whoever has an export of that range counts the same, to the fen.
"""

import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from audit.events import Event
from kernel import clock
from kernel.errors import SettingError

TARIFFS = Path(__file__).parent / "rewards.toml"
DAYS_REMEMBERED = 7  # entries are sealed in order but for seconds; what comes later is settled in a second reading
DIMENSIONS = ("institution", "product", "purpose", "month")
_COUNTED = ("type", "time", "detail", "institution", "institution_name", "uscc", "product", "purpose", "billable")
_ANSWERED, _CORRECTED = Event.QUERY_ANSWERED.value, Event.REWARD_CORRECTED.value
Leaves = Callable[[], Iterable[tuple[int, dict[str, Any]]]]  # each call reads them anew: index and document


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
class Tally:
    """What was counted so far of a year."""

    year: int
    leaf_from: int | None = None
    leaf_to: int = 0  # one beyond the last
    corrections: int = 0
    corrected: int = 0  # what they add to the billable ones, or take from them
    groups: dict[tuple[Any, ...], Count] = field(default_factory=dict)  # by DIMENSIONS
    names: dict[str, str | None] = field(default_factory=dict)  # of institutions, as the newest month calls them
    _seen: dict[date, set[tuple[Any, ...]]] = field(default_factory=dict)
    _forgotten: date = date.min
    _late: dict[int, Count] = field(default_factory=dict)
    _late_days: set[date] = field(default_factory=set)

    @property
    def queries(self) -> int:
        return sum(count.queries for count in self.groups.values())

    @property
    def billable(self) -> int:
        """The billable ones, corrections included."""
        return max(0, sum(count.billable for count in self.groups.values()) + self.corrected)

    def count(self, index: int, document: dict[str, Any]) -> None:
        """Count one leaf: entries of other years and of other kinds are passed over."""
        kind, time = document["type"], _time_of(document["time"][:13])
        if kind == _CORRECTED and document["detail"]["year"] == self.year:
            self.corrections += 1
            self.corrected += document["detail"]["billable"]
        elif time.year != self.year:
            return
        if self.leaf_from is None:
            self.leaf_from = index
        self.leaf_to = index + 1
        if time.year == self.year and is_query(document):
            group = self._group(time.month, document)
            group.queries += 1
            if document["billable"]:
                self._count_once(index, time.day, _once(document), group)

    def settle(self, leaves: Iterable[tuple[int, dict[str, Any]]]) -> None:
        """Count what came when its day was forgotten, by reading those days once more."""
        seen: dict[date, set[tuple[Any, ...]]] = {day: set() for day in self._late_days}
        for index, document in leaves:
            day = _time_of(document["time"][:13]).day
            if day in seen and is_query(document) and document["billable"]:
                once = _once(document)
                if index in self._late and once not in seen[day]:
                    self._late[index].billable += 1
                seen[day].add(once)

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

    def _group(self, month: str, document: dict[str, Any]) -> Count:
        get = document.get
        key = get("institution"), get("product"), get("purpose"), month
        group = self.groups.get(key)
        if group is None:
            group = self.groups[key] = Count()
            self.names[str(key[0])] = get("institution_name")
        return group

    def _count_once(self, index: int, day: date, once: tuple[Any, ...], group: Count) -> None:
        today = self._seen.get(day)
        if today is None:
            if day <= self._forgotten:
                self._late[index] = group
                self._late_days.add(day)
                return
            today = self._seen[day] = set()
            if len(self._seen) > DAYS_REMEMBERED:
                self._forgotten = max(self._forgotten, min(self._seen))
                del self._seen[min(self._seen)]
        if once not in today:
            today.add(once)
            group.billable += 1


def tallied(year: int, leaves: Leaves) -> Tally:
    """Fold leaves, in their order, into a tally. Memory: DAYS_REMEMBERED days of a year, whatever it holds."""
    tally = Tally(year)
    for index, document in leaves():
        tally.count(index, document)
    if not tally.is_settled:
        tally.settle(leaves())
    return tally


def read(leaves: Iterable[tuple[int, bytes]]) -> Iterable[tuple[int, dict[str, Any]]]:
    """Leaves with their documents, from their bytes."""
    return ((index, orjson.loads(content)) for index, content in leaves)


def told(document: dict[str, Any]) -> dict[str, Any]:
    """Of a document what is counted by, and nothing else: it may have to go from one process to another."""
    return {name: document[name] for name in _COUNTED if name in document}


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
