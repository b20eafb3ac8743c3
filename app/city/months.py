# SPDX-License-Identifier: Apache-2.0
"""The months of the demo city, worked out once, so that no row does date arithmetic."""

from datetime import date
from typing import NamedTuple

FIRST_YEAR, LAST_YEAR = 1990, 2039
# Years in which Spring Festival falls in January; in all others it falls in February.
JANUARY_FESTIVALS = {1990, 1993, 1995, 1998, 2001, 2004, 2006, 2009, 2012, 2014, 2017, 2020, 2023, 2025, 2028}


class Month(NamedTuple):
    """One calendar month; `serial` counts from January of FIRST_YEAR, `number` is 1-12.

    `text` is 2026-08, `first` its first day, `paid` the 15th of the month after: taxes and bills are due.
    Seasons are permille of a plain month: of business, and of power beside business.
    """

    serial: int
    year: int
    number: int
    text: str
    first: str
    paid: str
    season: int
    power_season: int


def month_number(day: date) -> int:
    """The serial of the month that `day` lies in."""
    return (day.year - FIRST_YEAR) * 12 + day.month - 1


def day_in(serial: int, day: int) -> str:
    """The ISO date of a day (1-28) of a month."""
    return f"{MONTHS[serial].text}-{day:02d}"


def first_day(serial: int) -> date:
    """The first day of a month."""
    return date.fromisoformat(MONTHS[serial].first)


def _month(serial: int) -> Month:
    year, number = FIRST_YEAR + serial // 12, serial % 12 + 1
    next_year, next_number = FIRST_YEAR + (serial + 1) // 12, (serial + 1) % 12 + 1
    text = f"{year}-{number:02d}"
    festival = number == (1 if year in JANUARY_FESTIVALS else 2)
    season = 680 if festival else {1: 980, 2: 960, 3: 1040, 10: 1000, 11: 1060, 12: 1110}.get(number, 1020)
    return Month(
        serial,
        year,
        number,
        text,
        f"{text}-01",
        f"{next_year}-{next_number:02d}-15",
        season,
        1130 if number in (7, 8) else 1060 if number in (1, 12) else 960,  # cooling and heating
    )


MONTHS = tuple(_month(serial) for serial in range((LAST_YEAR - FIRST_YEAR + 1) * 12))
