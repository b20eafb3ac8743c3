# SPDX-License-Identifier: Apache-2.0
"""Instants are UTC and sort as text; the law's days are Shanghai's."""

from datetime import UTC, date, datetime, timedelta, timezone

from hypothesis import given, settings
from hypothesis import strategies as st

from kernel import clock

zones = st.just(UTC) | st.just(clock.SHANGHAI)
instants = st.builds(datetime.fromtimestamp, st.floats(0, 7e9), zones)


def test_the_present_is_in_utc() -> None:
    assert clock.now().utcoffset() == timedelta(0)


def test_an_instant_is_written_in_utc_with_all_its_microseconds() -> None:
    east = datetime(2026, 11, 23, 8, 0, tzinfo=timezone(timedelta(hours=8)))
    assert clock.rfc3339(east) == "2026-11-23T00:00:00.000000Z"


@settings(deadline=None)
@given(instants, instants)
def test_text_order_is_time_order(one: datetime, other: datetime) -> None:
    assert (clock.rfc3339(one) < clock.rfc3339(other)) == (one < other)


@settings(deadline=None)
@given(instants)
def test_what_is_written_reads_back_as_the_same_instant(instant: datetime) -> None:
    assert datetime.fromisoformat(clock.rfc3339(instant)) == instant


def test_a_legal_day_begins_at_midnight_in_shanghai() -> None:
    last = datetime(2025, 12, 31, 15, 59, 59, 999_999, tzinfo=UTC)
    assert clock.legal_day(last) == date(2025, 12, 31)
    assert clock.legal_day(last + timedelta(microseconds=1)) == date(2026, 1, 1)
