# SPDX-License-Identifier: Apache-2.0
"""The deliveries of the demo city: which department sends which dataset when, as batches in time order."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from hashlib import sha256
from typing import Literal, NamedTuple

from app.city import books, events, registers, series
from app.city.firms import Firm
from app.city.months import MONTHS, Month, first_day, month_number
from app.city.series import Facts
from bureau.catalogue import current
from bureau.records import Batch, Row

# Why the bureau may hold it, by the catalogue's source kind (bureau.records.Batch.basis).
BASES = {
    "register": "public",
    "court": "public",
    "department": "department",
    "utility": "department",
    "lender": "lender",
}

MOST_MONTHS = 240
# Rows an enterprise has for each month and apart from months, to find the history that gives `records_each`.
ROWS_A_MONTH, ROWS_APART = 5.3, 20
PLAIN_RECORDS = 90  # what an enterprise of the plain city has at most, about; beyond, its events multiply too

Rhythm = Literal["start", "monthly", "quarterly", "yearly", "end"]


class Supply(NamedTuple):
    """One dataset from one source: when it comes, and the facts of a firm about a month (or up to it)."""

    dataset: str
    source: str
    rhythm: Rhythm
    facts: Callable[[Firm, Month], Facts]


SUPPLIES = (
    Supply("C1.01", "S01", "start", registers.registration),
    Supply("C1.03", "S01", "start", registers.officers),
    Supply("C7.01", "S01", "start", registers.shareholders),
    Supply("C7.02", "S01", "start", registers.investments),
    Supply("C1.06", "S01", "yearly", books.annual_report),
    Supply("C1.10", "S04", "quarterly", books.balance_sheet),
    Supply("C1.11", "S04", "quarterly", books.income_statement),
    Supply("C2.01", "S50", "monthly", series.power),
    Supply("C2.05", "S04", "monthly", books.tax),
    Supply("C2.06", "S04", "monthly", series.invoices),
    Supply("C2.07", "S05", "monthly", series.insurance),
    Supply("C6.02", "S43", "monthly", series.trade),
    *(Supply("C3.02", lender, "end", partial(events.loans, lender)) for lender in events.LENDERS),
    *(Supply("C3.08", lender, "end", partial(events.defaults, lender)) for lender in events.LENDERS),
    Supply("C4.03", "S17", "end", registers.certificate),
    Supply("C4.05", "S29", "end", registers.patents),
    Supply("C4.07", "S04", "end", registers.tax_grades),
    *(Supply("C4.10", authority, "end", partial(events.penalties, authority)) for authority in events.AUTHORITIES),
    Supply("C5.01", "S41", "end", events.suits),
    Supply("C5.04", "S41", "end", events.enforcement),
    Supply("C5.05", "S41", "end", events.dishonesty),
    Supply("C7.03", "S01", "end", events.pledges),
)


def batches(
    firms: Sequence[Firm], until: date = date(2026, 9, 1), months: int = 12, records_each: int | None = None
) -> Iterator[Batch]:
    """Every delivery about `firms` over the `months` full months before `until`, in time order.

    Registers first, then month by month what is due (reports and year-end sheets of two years before
    too), then whatever happened: 60-90 records an enterprise. Of a large city all have records of
    classes 1, 2 and 7, 99 % of 4 (tax grades), 45 % of 3, 20 % of 6, 14 % of 5. `records_each` asks for
    about so many records instead, to measure with: a longer or shorter history of firms made old enough
    for it, and more events. Rows follow the order of `firms`; they are made while read, once.
    """
    last = MONTHS[month_number(until) - 1]
    if records_each is not None:
        months = max(2, min(MOST_MONTHS, round((records_each - ROWS_APART) / ROWS_A_MONTH)))
        times = max(1, records_each // PLAIN_RECORDS)
        firms = [_veteran(firm, last.serial - months, times) for firm in firms]
    population = sha256("".join(f"{firm.uscc}{firm.key}" for firm in firms).encode()).hexdigest()
    for month, supply in _calendar(last, months):
        feed = _feed(supply)
        told = f"{feed} {month.text} {months} {records_each} {population}"
        yield Batch(
            feed=feed,
            source=supply.source,
            digest=sha256(told.encode()).hexdigest(),
            basis=BASES[current().datasets[supply.dataset].source_kind],
            rows=_rows(supply, firms, month),
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


def _calendar(last: Month, months: int) -> Iterator[tuple[Month, Supply]]:
    """Which supply is due about which month, in order."""
    begin = last.serial - months + 1
    yield from ((last, supply) for supply in SUPPLIES if supply.rhythm == "start")
    for month in MONTHS[begin - 24 : last.serial + 1]:
        yield from ((month, supply) for supply in SUPPLIES if _is_due(supply.rhythm, month, begin, last.serial))
    yield from ((last, supply) for supply in SUPPLIES if supply.rhythm == "end")


def _is_due(rhythm: Rhythm, month: Month, begin: int, end: int) -> bool:
    if rhythm == "monthly":
        return month.serial >= begin
    if rhythm == "quarterly":
        return month.number == 12 or (month.number % 3 == 0 and month.serial >= begin)
    return rhythm == "yearly" and month.number == 12 and month.serial + 6 <= end  # filed by the end of June


def _feed(supply: Supply) -> str:
    several = sum(other.dataset == supply.dataset for other in SUPPLIES) > 1
    return f"demo-{supply.dataset}-{supply.source}" if several else f"demo-{supply.dataset}"


def _rows(supply: Supply, firms: Sequence[Firm], month: Month) -> Iterator[Row]:
    number, dataset, facts = 0, supply.dataset, supply.facts
    for firm in firms:
        if firm.founded_month > month.serial:
            continue
        for event_date, items in facts(firm, month):
            number += 1
            yield Row(number, firm.uscc, dataset, event_date, items)
