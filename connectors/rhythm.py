# SPDX-License-Identifier: Apache-2.0
"""When a feed is pulled, and how often and how large its deliveries should be: pure rules over times and counts.

Hours and days are those of Asia/Shanghai, as sources keep them.
"""

import calendar
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from statistics import median
from typing import Any

from connectors.declarations import choice, leave_nothing, number, take
from kernel.clock import SHANGHAI
from kernel.errors import SettingError

PERIOD_DAYS = {"daily": 1, "weekly": 7, "monthly": 31, "quarterly": 92, "yearly": 366}
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
COMPARED = 6  # earlier deliveries that a new one's size is held against
FIRST_REST, LONGEST_REST = timedelta(minutes=1), timedelta(hours=6)

_EVERY = re.compile(
    r"every (?P<minutes>[1-9][0-9]{0,3}) minutes|daily (?P<daily>[0-9:]{5})|weekdays (?P<workdays>[0-9:]{5})"
    r"|weekly (?P<day>[a-z]{3}) (?P<weekly>[0-9:]{5})|monthly (?P<date>[1-9]|[12][0-9]|3[01]) (?P<monthly>[0-9:]{5})"
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """`minutes` between pulls, or the `days` (of the week from 0, or `date` of the month) on which it is `at` due."""

    told: str
    minutes: int | None = None
    at: time = time()
    days: frozenset[int] = frozenset(range(7))
    date: int | None = None

    def after(self, instant: datetime) -> datetime:
        """The first moment after `instant` at which it is due."""
        if self.minutes is not None:
            return instant + timedelta(minutes=self.minutes)
        day = instant.astimezone(SHANGHAI).date()
        while True:
            due = datetime.combine(day, self.at, SHANGHAI)
            last = calendar.monthrange(day.year, day.month)[1]
            on_date = self.date is None or day.day == min(self.date, last)
            if due > instant and day.weekday() in self.days and on_date:
                return due
            day += timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Expected:
    """A delivery each period, at most so many days late, and not smaller by more than so many percent."""

    rhythm: str
    grace_days: int
    shrink_percent: int

    def is_late(self, since: datetime, now: datetime) -> bool:
        """Whether a delivery is overdue, the last one (or the beginning) having been at `since`."""
        return now > since + timedelta(days=PERIOD_DAYS[self.rhythm] + self.grace_days)

    def has_shrunk(self, rows: Sequence[int]) -> bool:
        """Whether the newest delivery is much smaller than the median of those before it (newest first)."""
        newest, before = rows[0] if rows else 0, rows[1 : 1 + COMPARED]
        return len(before) > 1 and newest * 100 < median(before) * (100 - self.shrink_percent)


def schedule(table: dict[str, Any], where: str) -> Schedule | None:
    """Take `schedule` out of a feed's table: `every 15 minutes`, `daily 02:30`, `weekdays 02:30`,
    `weekly mon 02:30` or `monthly 5 02:30` (in a short month: its last day)."""
    if not (told := take(table, where, "schedule", str, "")):
        return None
    fault = SettingError(f"{where}schedule: expected such as `daily 02:30` or `weekly mon 02:30`, found {told!r}")
    if (match := _EVERY.fullmatch(told)) is None:
        raise fault
    parts = match.groupdict()
    if parts["minutes"]:
        return Schedule(told, minutes=int(parts["minutes"]))
    try:
        at = time.fromisoformat(parts["daily"] or parts["workdays"] or parts["weekly"] or parts["monthly"])
        days = frozenset({WEEKDAYS.index(parts["day"])}) if parts["day"] else frozenset(range(7))
    except ValueError as error:
        raise fault from error
    days = frozenset(range(5)) if parts["workdays"] else days
    return Schedule(told, None, at, days, int(parts["date"]) if parts["date"] else None)


def expected(table: dict[str, Any], where: str) -> Expected | None:
    """Take `[expected]` out of a feed's table."""
    if not (part := take(table, where, "expected", dict, {})):
        return None
    where = f"{where}expected."
    found = Expected(
        choice(part, where, "rhythm", PERIOD_DAYS),
        number(part, where, "grace_days", 0, 366),
        number(part, where, "shrink_percent", 1, 99, 50),
    )
    leave_nothing(part, where)
    return found


def rest_after(failures: int) -> timedelta:
    """How long to wait after so many failures in a row: a minute, twice as long each time, six hours at most."""
    return min(FIRST_REST * (1 << min(failures - 1, 20)), LONGEST_REST)
