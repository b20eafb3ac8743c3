# SPDX-License-Identifier: Apache-2.0
"""The time, asked at the edge and passed inwards. Instants are UTC; legal days and years are Asia/Shanghai."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

SHANGHAI = ZoneInfo("Asia/Shanghai")


def now() -> datetime:
    """The present instant, UTC, to the microsecond."""
    return datetime.now(UTC)


def rfc3339(instant: datetime) -> str:
    """`2026-11-23T08:00:00.000000Z`: always UTC, always microseconds, so that text order is time order."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse(text: str) -> datetime:
    """The instant that `rfc3339` wrote."""
    return datetime.fromisoformat(text)


def legal_day(instant: datetime) -> date:
    """The day on which something happened for the law: that of Asia/Shanghai."""
    return instant.astimezone(SHANGHAI).date()
