# SPDX-License-Identifier: Apache-2.0
"""What a consent says: its terms as given, its limits, and the calendar that they count in."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from kernel import clock

PERIODS = ("day", "week", "month", "year")
# How many calendar periods of one kind one of another can touch, at most: a month's days lie in up to six weeks.
_TOUCHED = {
    "day": {"day": 1, "week": 7, "month": 31, "year": 366},
    "week": {"day": 1, "week": 1, "month": 6, "year": 54},
    "month": {"day": 1, "week": 2, "month": 1, "year": 12},
    "year": {"day": 1, "week": 2, "month": 1, "year": 1},
}


@dataclass(frozen=True, slots=True)
class Frequency:
    """At most `count` answers in each calendar `per` (one of PERIODS, Asia/Shanghai)."""

    count: int
    per: str

    def __str__(self) -> str:
        return f"{self.count} a {self.per}"

    def period(self, now: datetime) -> str:
        """The name of the period that `now` lies in: `2026-11-24`, `2026-W48`, `2026-11`, `2026`."""
        day = clock.legal_day(now)
        if self.per == "week":
            year, week, _ = day.isocalendar()
            return f"{year}-W{week:02}"
        return day.isoformat()[: {"day": 10, "month": 7, "year": 4}[self.per]]

    def most_in(self, per: str) -> int:
        """The most answers that this leaves possible in one calendar `per`."""
        return self.count * _TOUCHED[self.per][per]


@dataclass(frozen=True, slots=True)
class Grant:
    """What an enterprise gives: to whom, which classes, products, purposes, for how long, how often.

    `scope` is `query` or `collect`; `grantee` an institution's id, `kind:<kind>` or `platform`. None is no limit.
    `notice` and `evidence` are kept as given (see `consent.schemas`).
    """

    uscc: str
    scope: str
    grantee: str
    classes: tuple[int, ...]
    products: tuple[str, ...]
    purposes: tuple[str, ...]
    not_before: datetime | None = None
    expires_at: datetime | None = None
    max_queries: int | None = None
    frequency: Frequency | None = None
    history_months: int | None = None
    notice: Mapping[str, Any] | None = None
    evidence: Mapping[str, Any] | None = None


def limits_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """A validated body's `max_queries`, `frequency` and `history`, as a Grant has them."""
    frequency, history = body.get("frequency"), body.get("history")
    return {
        "max_queries": body.get("max_queries"),
        "frequency": Frequency(**frequency) if frequency else None,
        "history_months": history["months"] if history else None,
    }


def months_before(day: date, months: int) -> date:
    """The same day some months earlier, or that month's last."""
    index = day.year * 12 + day.month - 1 - months
    year, month = divmod(index, 12)
    for last in (day.day, 30, 29, 28):
        try:
            return date(year, month + 1, min(day.day, last))
        except ValueError:
            continue
    raise AssertionError("every month has 28 days")
