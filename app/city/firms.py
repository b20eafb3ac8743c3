# SPDX-License-Identifier: Apache-2.0
"""The enterprises of the demo city: each drawn once, with the traits that all its records follow."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from hashlib import sha256
from random import Random
from typing import Literal

from app.city.months import first_day, month_number
from app.city.names import (
    ANCHOR,
    DISTRICT_WEIGHTS,
    DISTRICTS,
    INDUSTRIES,
    INDUSTRY_WEIGHTS,
    District,
    Industry,
    dice,
    firm_name,
    uscc_of,
)

Size = Literal["micro", "small", "medium", "large"]
NOW = month_number(ANCHOR)
OLDEST_MONTHS, YOUNGEST_MONTHS = 336, 6

# size → weight, least and most staff, permille that borrow, fail, and look as if they would but recover
SIZES: dict[Size, tuple[int, int, int, int, int, int]] = {
    "micro": (60, 3, 19, 350, 60, 15),
    "small": (31, 20, 299, 600, 50, 15),
    "medium": (7, 300, 999, 800, 35, 12),
    "large": (2, 1000, 8000, 950, 15, 8),
}
HIDDEN_FAILURES = 120  # permille of the failing whose business looked well until the day


@dataclass(frozen=True, slots=True)
class Firm:
    """One enterprise of the city: who it is, and the traits that its records are made from.

    `failing_from` is the truth: from then on it stops paying. `strained_month` (a serial) is what its
    business shows: orders, power and staff fall. A few fail unstrained, and a few are strained and recover.
    Money is fen, shares are permille; `revenue_fen` is that of a plain month at the anchor. Counts of loans,
    patents, suits, … are what its records will show; suits here are those of a going concern.
    """

    uscc: str
    name: str
    key: int
    division_real: str
    district_name: str
    industry: str
    founded: date
    founded_month: int
    size: Size
    staff: int
    capital_fen: int
    revenue_fen: int
    monthly_growth: float
    ways: Industry
    margin: int
    leverage: int
    debt_fen: int
    exports: bool
    hightech: bool
    loans: int
    patents: int
    suits: int
    penalties: int
    pledges: int
    investments: int
    failing_from: date | None
    strained_month: int | None


def firms(count: int, seed: int = 2026) -> Iterator[Firm]:
    """The first `count` enterprises of that seed's city; the very first has records in all 7 classes."""
    for number in range(1, count + 1):
        firm = _draw(uscc_of(number, seed), None, seed, number)
        yield _as_showcase(firm) if number == 1 else firm


def firms_of(usccs_and_names: Iterable[tuple[str, str]], seed: int = 2026) -> Iterator[Firm]:
    """The same invented traits over a given population, for measuring only: nothing of it is true of them."""
    for uscc, name in usccs_and_names:
        yield _draw(uscc, name, seed, 0)


def _draw(uscc: str, name: str | None, seed: int, number: int) -> Firm:
    key = int.from_bytes(sha256(f"{seed}:{uscc}".encode()).digest()[:6])
    rng = dice(key)
    district = rng.choices(DISTRICTS, DISTRICT_WEIGHTS)[0] if name is None else _district(uscc)
    ways = rng.choices(INDUSTRIES, INDUSTRY_WEIGHTS)[0]
    size: Size = rng.choices(tuple(SIZES), [row[0] for row in SIZES.values()])[0]
    _, least, most, borrowers, failures, recoveries = SIZES[size]
    staff = int(least * (most / least) ** (rng.random() ** 1.4))
    age = min(OLDEST_MONTHS, YOUNGEST_MONTHS + int(rng.expovariate(1 / 120)))
    founded_month = NOW - age
    revenue_fen = _monthly_revenue(rng, staff, ways)
    failing_month, strained_month = (None, None) if age < 36 else _fate(rng, failures, recoveries)
    hightech = age > 36 and rng.randrange(1000) < ways.hightech
    loans = 1 + rng.randrange(3) if age > 12 and rng.randrange(1000) < borrowers else 0
    return Firm(
        uscc=uscc,
        name=name or firm_name(district.short, ways.trade, key, number),
        key=key,
        division_real=district.code,
        district_name=district.full,
        industry=ways.code,
        founded=first_day(founded_month).replace(day=1 + rng.randrange(28)),
        founded_month=founded_month,
        size=size,
        staff=staff,
        capital_fen=max(1, int(revenue_fen * rng.uniform(1, 4) / 50_000_000)) * 50_000_000,
        revenue_fen=revenue_fen,
        monthly_growth=1 + max(-0.02, min(0.03, rng.gauss(0.006, 0.009))),
        ways=ways,
        margin=max(40, round(rng.gauss(ways.margin, ways.margin / 6))),
        leverage=rng.randrange(300, 650) + (120 if failing_month is not None else 0),
        debt_fen=int(revenue_fen * rng.uniform(0.6, 2)) // 1_000_000 * 1_000_000 + 10_000_000 if loans else 0,
        exports=rng.randrange(1000) < ways.exporters,
        hightech=hightech,
        loans=loans,
        patents=rng.randrange(3, 16) if hightech else rng.randrange(4) if rng.randrange(10) == 0 else 0,
        suits=rng.choices((0, 1, 2), (90, 8, 2))[0],
        penalties=rng.choices((0, 1, 2), (91, 8, 1))[0],
        pledges=rng.choices((0, 1), (97, 3) if failing_month is None else (80, 20))[0],
        investments=rng.choices((0, 1, 2), (85, 11, 4))[0],
        failing_from=None if failing_month is None else first_day(failing_month),
        strained_month=strained_month,
    )


def _monthly_revenue(rng: Random, staff: int, ways: Industry) -> int:
    """Log-normal around what the industry earns a head, within what the size classes of 2017 allow."""
    a_head = max(40.0, ways.revenue_a_head * rng.lognormvariate(0, 0.35))
    return int(staff * a_head * 1_000_000 / 12)


def _fate(rng: Random, failures: int, recoveries: int) -> tuple[int | None, int | None]:
    """(month of failing, first month of strain): strain shows some months before, now and then not at all."""
    chance = rng.randrange(1000)
    if chance < failures:
        failing = NOW - rng.randrange(12)
        return failing, None if rng.randrange(1000) < HIDDEN_FAILURES else failing - rng.randrange(1, 6)
    if chance < failures + recoveries:
        return None, NOW - rng.randrange(3, 12)
    return None, None


def _district(uscc: str) -> District:
    """That of a given code's own division; outside Suzhou it has no name here."""
    return _DISTRICT_OF.get(uscc[2:8]) or District(uscc[2:8], "", "", "")


_DISTRICT_OF = {district.code: district for district in DISTRICTS}


def _as_showcase(firm: Firm) -> Firm:
    """The firm that people are shown: a healthy small machine builder with something in every class."""
    ways = INDUSTRIES[0]
    return replace(
        firm,
        name=firm_name(_DISTRICT_OF[firm.division_real].short, ways.trade, firm.key, 1),
        industry=ways.code,
        ways=ways,
        founded=date(2014, 5, 20),
        founded_month=month_number(date(2014, 5, 20)),
        size="small",
        staff=86,
        revenue_fen=86 * ways.revenue_a_head * 1_000_000 // 12,
        capital_fen=1_000_000_000,
        debt_fen=800_000_000,
        margin=ways.margin,
        exports=True,
        hightech=True,
        loans=2,
        patents=6,
        suits=1,
        penalties=1,
        pledges=1,
        investments=1,
        failing_from=None,
        strained_month=None,
    )
