# SPDX-License-Identifier: Apache-2.0
"""Calendar periods of Asia/Shanghai, and how far a history of months reaches back."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.terms import PERIODS, Frequency, months_before


@pytest.mark.parametrize(
    ("now", "per", "period"),
    [
        (datetime(2026, 12, 31, 15, 59, 59, tzinfo=UTC), "day", "2026-12-31"),
        (datetime(2026, 12, 31, 16, 0, tzinfo=UTC), "day", "2027-01-01"),
        (datetime(2026, 12, 31, 16, 0, tzinfo=UTC), "year", "2027"),
        (datetime(2026, 12, 31, 16, 0, tzinfo=UTC), "month", "2027-01"),
        (datetime(2026, 12, 31, 16, 0, tzinfo=UTC), "week", "2026-W53"),  # a Friday of the week that began in 2026
    ],
)
def test_a_period_is_that_of_shanghai(now: datetime, per: str, period: str) -> None:
    assert Frequency(1, per).period(now) == period


@given(st.integers(946_684_800, 4_102_444_800))
def test_periods_of_one_instant_have_different_names(seconds: int) -> None:
    now = datetime.fromtimestamp(seconds, UTC)
    assert len({Frequency(1, per).period(now) for per in PERIODS}) == len(PERIODS)


@pytest.mark.parametrize(
    ("day", "months", "earlier"),
    [
        (date(2026, 3, 31), 1, date(2026, 2, 28)),
        (date(2024, 3, 31), 1, date(2024, 2, 29)),
        (date(2026, 1, 15), 1, date(2025, 12, 15)),
        (date(2026, 5, 31), 6, date(2025, 11, 30)),
        (date(2026, 11, 24), 24, date(2024, 11, 24)),
    ],
)
def test_months_before(day: date, months: int, earlier: date) -> None:
    assert months_before(day, months) == earlier


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)), st.integers(1, 600))
def test_it_lands_in_the_right_month_and_never_later_in_it(day: date, months: int) -> None:
    earlier = months_before(day, months)
    assert (day.year * 12 + day.month) - (earlier.year * 12 + earlier.month) == months
    assert earlier.day <= day.day


def test_the_most_that_a_frequency_leaves_possible_is_what_the_calendar_has() -> None:
    days = [date(2000, 1, 1) + timedelta(days=number) for number in range(146_097)]  # after 400 years it repeats
    noon = [datetime.combine(day, time(4), UTC) for day in days]
    names = {per: [Frequency(1, per).period(now) for now in noon] for per in PERIODS}
    for per, other in product(PERIODS, PERIODS):
        touched = {other_name: set[str]() for other_name in names[other]}
        for name, other_name in zip(names[per], names[other], strict=True):
            touched[other_name].add(name)
        assert Frequency(3, per).most_in(other) == 3 * max(map(len, touched.values())), (per, other)
