# SPDX-License-Identifier: Apache-2.0
"""The deliveries of the demo city: which department sends which dataset when, as batches in time order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from hashlib import sha256

from app.city.firms import Firm
from app.city.months import MONTHS, Month, first_day, month_number
from app.city.supplies import BASES, SUPPLIES, Rhythm, Supply
from bureau.catalogue import current
from bureau.records import Batch, Row

MOST_MONTHS = 240
# Rows an enterprise has for each month and apart from months, to find the history that gives `records_each`.
ROWS_A_MONTH, ROWS_APART = 5.3, 20
PLAIN_RECORDS = 90  # what an enterprise of the plain city has at most, about; beyond, its events multiply too


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one source sends of one dataset about one month; its rows are made while read, once."""

    supply: Supply
    month: Month
    rows: Iterator[Row]


def deliveries(
    firms: Sequence[Firm],
    until: date = date(2026, 9, 1),
    months: int = 12,
    supplies: Sequence[Supply] = SUPPLIES,
) -> Iterator[Delivery]:
    """Every delivery about `firms` over the `months` full months before `until`, in time order.

    Registers first, then month by month what is due (reports and year-end sheets of two years before
    too), then whatever happened: 60-90 records an enterprise. Of a large city all have records of
    classes 1, 2 and 7, 99 % of 4 (tax grades), 45 % of 3, 20 % of 6, 14 % of 5. Rows follow the order of `firms`.
    """
    for month, supply in _calendar(supplies, MONTHS[month_number(until) - 1], months):
        yield Delivery(supply, month, _rows(supply, firms, month))


def batches(
    firms: Sequence[Firm],
    until: date = date(2026, 9, 1),
    months: int = 12,
    records_each: int | None = None,
    supplies: Sequence[Supply] = SUPPLIES,
) -> Iterator[Batch]:
    """The deliveries as batches for the intake, in the catalogue's words already: no file, no feed.

    `records_each` asks for about so many records an enterprise instead, to measure with: a longer or shorter history
    of firms made old enough for it, and more events.
    """
    last = MONTHS[month_number(until) - 1]
    if records_each is not None:
        months = max(2, min(MOST_MONTHS, round((records_each - ROWS_APART) / ROWS_A_MONTH)))
        times = max(1, records_each // PLAIN_RECORDS)
        firms = [_veteran(firm, last.serial - months, times) for firm in firms]
    population = sha256("".join(f"{firm.uscc}{firm.key}" for firm in firms).encode()).hexdigest()
    for delivery in deliveries(firms, until, months, supplies):
        supply = delivery.supply
        feed = _feed(supplies, supply)
        told = f"{feed} {delivery.month.text} {months} {records_each} {population}"
        yield Batch(
            feed=feed,
            source=supply.source,
            digest=sha256(told.encode()).hexdigest(),
            basis=BASES[current().datasets[supply.dataset].source_kind],
            rows=delivery.rows,
        )


def _veteran(firm: Firm, since: int, times: int) -> Firm:
    """The firm as if founded by the month `since` at the latest, with `times` as many events."""
    begun = min(firm.founded_month, since - firm.key % 24)
    return replace(
        firm,
        founded=first_day(begun).replace(day=firm.founded.day),
        founded_month=begun,
        loans=firm.loans * times,
        patents=firm.patents * times,
        suits=firm.suits * times,
    )


def _calendar(supplies: Sequence[Supply], last: Month, months: int) -> Iterator[tuple[Month, Supply]]:
    """Which supply is due about which month, in order."""
    begin = last.serial - months + 1
    yield from ((last, supply) for supply in supplies if supply.rhythm == "start")
    for month in MONTHS[begin - 24 : last.serial + 1]:
        yield from ((month, supply) for supply in supplies if _is_due(supply.rhythm, month, begin, last.serial))
    yield from ((last, supply) for supply in supplies if supply.rhythm == "end")


def _is_due(rhythm: Rhythm, month: Month, begin: int, end: int) -> bool:
    if rhythm == "monthly":
        return month.serial >= begin
    if rhythm == "quarterly":
        return month.number == 12 or (month.number % 3 == 0 and month.serial >= begin)
    return rhythm == "yearly" and month.number == 12 and month.serial + 6 <= end  # filed by the end of June


def _feed(supplies: Sequence[Supply], supply: Supply) -> str:
    several = sum(other.dataset == supply.dataset for other in supplies) > 1
    return f"demo-{supply.dataset}-{supply.source}" if several else f"demo-{supply.dataset}"


def _rows(supply: Supply, firms: Sequence[Firm], month: Month) -> Iterator[Row]:
    number, dataset, facts = 0, supply.dataset, supply.facts
    for firm in firms:
        if firm.founded_month > month.serial:
            continue
        for event_date, items in facts(firm, month):
            number += 1
            yield Row(number, firm.uscc, dataset, event_date, items)
