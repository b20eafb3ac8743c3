# SPDX-License-Identifier: Apache-2.0
"""Monthly series of one firm: revenue first, then what follows it.

A series is a pure function (firm, month) → facts, a fact being (event date, items); the event date is the
period's first day, as the catalogue has it. Amounts are integer fen, decimals are strings.
"""

from collections.abc import Callable, Iterable

from app.city.firms import Firm
from app.city.months import MONTHS, Month, day_in, month_number
from app.city.names import ANCHOR, dice
from bureau.records import Value

Items = dict[str, Value]
Facts = Iterable[tuple[str | None, Items]]

NOW = month_number(ANCHOR)
# Permille of plain business in the months after strain began: one that fails, and one that recovers.
FALL = (920, 830, 740, 650, 560, 480, 410, 350, 300, 260, 230, 200, 180, 160, 150)
DIP = (930, 820, 720, 660, 640, 660, 710, 780, 850, 920, 960, 980, 1000)


def _noises(spread: int) -> tuple[int, ...]:
    rng = dice(spread)
    return tuple(max(800, min(1200, round(rng.gauss(1000, spread)))) for _ in range(4096))


# Permille; a firm and a month pick one, which is a hundred times cheaper than a generator for each.
BUSINESS_NOISE, METER_NOISE = _noises(55), _noises(25)


def revenue(firm: Firm, month: Month) -> int:
    """Revenue of the month in fen: trend × season × noise × strain."""
    noise = BUSINESS_NOISE[(firm.key + month.serial * 7919) & 4095]
    trend = firm.revenue_fen * firm.monthly_growth ** (month.serial - NOW)
    return int(trend * month.season * noise * strain(firm, month) / 1_000_000_000)


def strain(firm: Firm, month: Month) -> int:
    """Permille of its plain business that a firm still has: 1000 until strain begins."""
    if firm.strained_month is None or month.serial < firm.strained_month:
        return 1000
    course = DIP if firm.failing_from is None else FALL
    return course[min(month.serial - firm.strained_month, len(course) - 1)]


def failing_months(firm: Firm, month: Month) -> int:
    """How many months a firm has been failing by the end of this one; 0 while it does not."""
    if firm.failing_from is None:
        return 0
    return max(0, month.serial - month_number(firm.failing_from) + 1)


def unpaid_months(firm: Firm, month: Month) -> int:
    """Months of bills left unpaid: all since it failed; one or two of a firm that recovers."""
    if firm.strained_month is None or firm.failing_from is not None:
        return failing_months(firm, month)
    return {2: 1, 3: 2, 4: 1}.get(month.serial - firm.strained_month, 0) if firm.key % 2 else 0


def power(firm: Firm, month: Month) -> Facts:
    """C2.01 用电: follows revenue and the weather; arrears pile up once bills are left unpaid."""
    kwh = _kwh(firm, month)
    industrial = firm.ways.kwh > 200 and firm.staff >= 20
    price, unpaid = 68 if industrial else 82, unpaid_months(firm, month)
    owed = price * sum(_kwh(firm, MONTHS[month.serial - back]) for back in range(unpaid))
    yield (
        month.first,
        {
            "C2.01.01": f"32{firm.key % 100_000_000:08d}",
            "C2.01.02": "大工业用电" if industrial else "一般工商业用电",
            "C2.01.03": str(30 + firm.revenue_fen * firm.ways.kwh // 200_000_000 // 10 * 10),
            "C2.01.04": str(kwh),
            "C2.01.05": kwh * price,
            "C2.01.06": None if unpaid else month.paid,
            "C2.01.07": owed,
            "C2.01.08": owed * unpaid // 100,
            "C2.01.09": MONTHS[month.serial - unpaid + 1].text if unpaid else None,
            "C2.01.10": unpaid > 6,
            "C2.01.11": hundredths(120 + firm.key % 140),
            "C2.01.12": _year_on_year(firm, month, kwh, _kwh),
        },
    )


def _kwh(firm: Firm, month: Month) -> int:
    noise = METER_NOISE[(firm.key + month.serial * 104_729) & 4095]
    return revenue(firm, month) * firm.ways.kwh // 1_000_000 * month.power_season * noise // 1_000_000


def invoices(firm: Firm, month: Month) -> Facts:
    """C2.06 发票汇总: revenue with its tax; a strained firm loses customers and reverses more."""
    sales, plain = revenue(firm, month), strain(firm, month)
    customers = 1 + (4 + firm.key % 37 + firm.staff // 8) * plain // 1000
    yield (
        month.first,
        {
            "C2.06.01": sales * (100 + firm.ways.vat) // 100,
            "C2.06.02": 3 + sales // (2_000_000 + firm.key % 5 * 1_000_000),
            "C2.06.03": purchases(firm, sales) * (100 + firm.ways.vat) // 100,
            "C2.06.04": hundredths(3000 + firm.key % 5000 + (1000 - plain)),
            "C2.06.05": hundredths(3500 + firm.key // 7 % 4500),
            "C2.06.06": sales * (5 + (1000 - plain) // 15) // 1000,
            "C2.06.07": firm.key % 3 + (1000 - plain) // 100,
            "C2.06.08": customers,
            "C2.06.09": 2 + customers // 2,
        },
    )


def purchases(firm: Firm, sales: int) -> int:
    """What it bought that carries deductible tax: its costs less a part for wages."""
    return sales * (1000 - firm.margin) * 8 // 10_000


def insurance(firm: Firm, month: Month) -> Facts:
    """C2.07 社会保险: staff follow business slowly; contributions stop where bills stop."""
    insured, unpaid = headcount(firm, month), unpaid_months(firm, month)
    due = _contribution(firm, month)
    yield (
        month.first,
        {
            "C2.07.01": day_in(firm.founded_month, 28),
            "C2.07.02": "暂停缴费" if unpaid > 3 else "正常参保",
            "C2.07.03": insured,
            "C2.07.04": insured * wage(firm),
            "C2.07.05": due,
            "C2.07.06": 0 if unpaid else due,
            "C2.07.07": sum(_contribution(firm, MONTHS[month.serial - back]) for back in range(unpaid)),
            "C2.07.08": unpaid,
            "C2.07.09": max(1, insured - firm.key % 2),
        },
    )


def _contribution(firm: Firm, month: Month) -> int:
    return headcount(firm, month) * wage(firm) * 26 // 100


def wage(firm: Firm) -> int:
    """Monthly contribution base a head, in fen."""
    return 720_000 + firm.key % 100 * 4_000


def headcount(firm: Firm, month: Month) -> int:
    """Staff of the month: half as mobile as revenue, never below one."""
    trend = 1 + (firm.monthly_growth - 1) / 2
    return max(1, int(firm.staff * trend ** (month.serial - NOW) * (500 + strain(firm, month) / 2) / 1000))


def trade(firm: Firm, month: Month) -> Facts:
    """C6.02 进出口额, of exporters only."""
    if not firm.exports:
        return
    exported = _exported(firm, month)
    yield (
        month.first,
        {
            "C6.02.01": month.text,
            "C6.02.02": exported,
            "C6.02.03": exported * (firm.key % 60) // 100,
            "C6.02.04": "CNY",
            "C6.02.05": _year_on_year(firm, month, exported, _exported),
            "C6.02.06": "加工贸易" if firm.key % 4 == 0 else "一般贸易",
            "C6.02.07": exported * 7 // 10 if firm.key % 4 == 0 else 0,
        },
    )


def export_share(firm: Firm) -> int:
    """Permille of its revenue that an exporter sells abroad."""
    return 100 + firm.key % 600 if firm.exports else 0


def _exported(firm: Firm, month: Month) -> int:
    noise = BUSINESS_NOISE[(firm.key + month.serial * 15_485_863) & 4095]
    return revenue(firm, month) * export_share(firm) * noise // 1_000_000


def hundredths(number: int) -> str:
    """A decimal in canonical notation: 1234 is "12.34", 1250 is "12.5"."""
    return f"{number / 100:.2f}".rstrip("0").rstrip(".")


def _year_on_year(firm: Firm, month: Month, value: int, of: Callable[[Firm, Month], int]) -> str | None:
    """Percent against the same month a year earlier; None for a firm that was not there."""
    if month.serial - 12 < firm.founded_month:
        return None
    before = of(firm, MONTHS[month.serial - 12])
    return hundredths((value - before) * 10_000 // before) if before else None
