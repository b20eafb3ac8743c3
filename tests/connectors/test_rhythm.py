# SPDX-License-Identifier: Apache-2.0
"""Schedules and expectations: pure rules, told by their words."""

from datetime import UTC, datetime, timedelta

import pytest

from connectors import rhythm

NOON = datetime(2026, 1, 30, 4, 0, tzinfo=UTC)  # a Friday, 12:00 in Shanghai


def due(words: str, instant: datetime = NOON) -> str:
    schedule = rhythm.schedule({"schedule": words}, "x.toml: ")
    assert schedule
    return f"{schedule.after(instant).astimezone(rhythm.SHANGHAI):%Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("words", "next_due"),
    [
        ("every 15 minutes", "2026-01-30 12:15"),
        ("daily 12:01", "2026-01-30 12:01"),
        ("daily 12:00", "2026-01-31 12:00"),
        ("daily 02:30", "2026-01-31 02:30"),
        ("weekdays 02:30", "2026-02-02 02:30"),
        ("weekly fri 13:00", "2026-01-30 13:00"),
        ("weekly fri 11:00", "2026-02-06 11:00"),
        ("monthly 5 02:30", "2026-02-05 02:30"),
        ("monthly 31 02:30", "2026-01-31 02:30"),
    ],
)
def test_a_feed_is_next_due_when_its_words_say(words: str, next_due: str) -> None:
    assert due(words) == next_due


def test_the_31st_is_the_last_day_of_a_short_month() -> None:
    assert due("monthly 31 02:30", NOON + timedelta(days=2)) == "2026-02-28 02:30"


def test_a_delivery_is_late_after_its_period_and_its_grace() -> None:
    monthly = rhythm.Expected("monthly", 5, 50)
    assert not monthly.is_late(NOON, NOON + timedelta(days=36))
    assert monthly.is_late(NOON, NOON + timedelta(days=36, seconds=1))


def test_a_delivery_has_shrunk_against_the_median_of_those_before_it() -> None:
    halved = rhythm.Expected("monthly", 5, 50)
    assert not halved.has_shrunk([])
    assert not halved.has_shrunk([1, 1000])  # one alone is no habit
    assert not halved.has_shrunk([500, 1000, 1000])
    assert halved.has_shrunk([499, 1000, 1000])
    assert not halved.has_shrunk([100, 90, 1_000_000, 110])


def test_rests_grow_from_a_minute_to_six_hours() -> None:
    assert [rhythm.rest_after(n) for n in (1, 2, 3)] == [timedelta(minutes=n) for n in (1, 2, 4)]
    assert rhythm.rest_after(10**6) == timedelta(hours=6)
