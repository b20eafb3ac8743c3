# SPDX-License-Identifier: Apache-2.0
"""Retention: when negative information has run its time (征信业管理条例 Art. 16), by rules read from `retention.toml`.

A record is negative where one of its dataset's negative items is neither null, false nor zero. It tells of a person
where one of its personal items is given; then it is removed once its time is over. Of an enterprise alone: answers
leave it out. Either way the clock is that of the answer's publication, so that the answer keeps its bytes.

When a record ended is kept beside it in its folio as one number, its *end*: the day's ordinal, negative where the
record tells of a person, 0 where it is not negative or has not ended.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from bureau import catalogue
from bureau.catalogue import Dataset
from kernel.errors import SettingError

SHIPPED = Path(__file__).with_name("retention.toml")
EVENT_DATE = "event_date"
YEARS = range(1, 100)


class Cutoff(NamedTuple):
    """The ends before which a record's time is over, of enterprises and of persons."""

    enterprise: int
    personal: int

    def is_over(self, end: int) -> bool:
        return 0 < end < self.enterprise or 0 < -end < self.personal


NOTHING_OVER = Cutoff(0, 0)


@dataclass(frozen=True, slots=True)
class Rules:
    """Years after the end; dataset → what dates it, in order of preference."""

    personal_years: int
    enterprise_years: int
    ends: Mapping[str, tuple[str, ...]]

    def cutoff(self, day: date) -> Cutoff:
        """Of a day: what ended that many years ago or later still stands on it."""
        return Cutoff(_years_before(day, self.enterprise_years), _years_before(day, self.personal_years))


@cache
def current() -> Rules:
    return load(_file)


def use(file: Path) -> None:
    """Take the rules of another file, checked at once."""
    global _file
    _file = file
    current.cache_clear()
    current()


def end_of(dataset: Dataset, event_date: str | None, items: Mapping[str, Any]) -> int:
    """The end of a record, as the module says."""
    dated_by = current().ends.get(dataset.code)
    if dated_by is None:
        return 0
    named = _items_of(dataset.code)
    if not any(items.get(name) for name in named.negative):
        return 0
    dates = (event_date if name == EVENT_DATE else items.get(name) for name in dated_by)
    day = next((date.fromisoformat(told).toordinal() for told in dates if told), 0)
    return -day if any(items.get(name) for name in named.personal) else day


def month_of(end: int) -> int:
    """The month of an end, as year × 12 + month."""
    day = date.fromordinal(end)
    return 12 * day.year + day.month


def load(file: Path) -> Rules:
    """The rules of a file; raises SettingError naming file and key."""
    try:
        told = tomllib.loads(file.read_text(encoding="utf-8"))
        if extra := set(told) - {"personal", "enterprise", "ends"}:
            raise ValueError(f"{extra.pop()}: there is no such key")
        years = [told[whom]["years"] for whom in ("personal", "enterprise")]
        if any(type(number) is not int or number not in YEARS for number in years):
            raise ValueError(f"years must be whole numbers from {YEARS[0]} to {YEARS[-1]}")
        ends = {code: _checked(code, dated_by) for code, dated_by in told["ends"].items()}
        return Rules(personal_years=years[0], enterprise_years=years[1], ends=ends)
    except OSError as error:
        raise SettingError(f"{file}: {error.strerror}") from error
    except KeyError as error:
        raise SettingError(f"{file}: {error.args[0]} is missing") from error
    except ValueError as error:
        raise SettingError(f"{file}: {error}") from error


class _Items(NamedTuple):
    negative: tuple[str, ...]
    personal: tuple[str, ...]


@cache
def _items_of(code: str) -> _Items:
    dataset = catalogue.current().datasets[code]
    negative = tuple(item.code for item in dataset.items if item.negative)
    return _Items(negative, tuple(item.code for item in dataset.items if item.personal))


def _checked(code: str, dated_by: Any) -> tuple[str, ...]:
    dataset = catalogue.current().datasets.get(code)
    if dataset is None or not _items_of(code).negative:
        raise ValueError(f"ends.{code}: no dataset with negative items")
    dates = {item.code for item in dataset.items if item.type == "date"} | {EVENT_DATE}
    if not isinstance(dated_by, list) or not dated_by or not dates.issuperset(dated_by):
        raise ValueError(f"ends.{code}: expected some of {', '.join(sorted(dates))}")
    return tuple(dated_by)


def _years_before(day: date, years: int) -> int:
    """The ordinal of the same day so many years before; of 29 February that of the 28th."""
    try:
        return day.replace(year=day.year - years).toordinal()
    except ValueError:
        return day.replace(year=day.year - years, day=28).toordinal()


_file = SHIPPED
