# SPDX-License-Identifier: Apache-2.0
"""The books of one firm: tax returns, balance sheet, income statement, annual report. They agree.

Same shape as `series`: pure functions (firm, month) → facts, about the period that ends with the month.
"""

from app.city.contradictions import reported_staff
from app.city.firms import Firm
from app.city.months import MONTHS, Month
from app.city.series import (
    NOW,
    Facts,
    Items,
    export_share,
    failing_months,
    headcount,
    purchases,
    revenue,
    strain,
)

# Assets in permille of a year's plain revenue; the sums are items 08, 14 and 15.
CURRENT_ASSETS = {"02": 10, "03": 30, "05": 20, "06": 20, "07": 140}
FIXED_ASSETS = {"09": 20, "10": 280, "11": 20, "12": 40}
CASH, RECEIVABLES = 100, 190
OF_ONE_TAX = ("C2.05.09", "C2.05.10", "C2.05.11", "C2.05.12", "C2.05.13")  # what only the one or the other tax has
# What is owed beside loans, in permille of it; the rest is 其他应付款.
PAYABLES = {"17": 100, "18": 450, "19": 120, "20": 80, "21": 50}


def tax(firm: Firm, month: Month) -> Facts:
    """C2.05 纳税申报缴纳: 增值税 monthly, 企业所得税 by quarter; a failing firm does not pay."""
    sales = revenue(firm, month)
    output, deducted, due, refund = _vat(firm, sales)
    items = _declared(firm, month, "增值税", sales, due)
    yield month.first, items | {"C2.05.09": output, "C2.05.10": deducted, "C2.05.12": refund}
    if month.number % 3 == 0:
        statement = income(firm, month, 3)
        items = _declared(firm, month, "企业所得税", statement["01"], statement["15"])
        yield _quarter(month), items | {"C2.05.11": max(0, statement["14"]), "C2.05.13": statement["06"]}


def _vat(firm: Firm, sales: int) -> tuple[int, int, int, int]:
    """(output tax, input tax, tax due, refund): exports are zero-rated, their input tax comes back."""
    output = sales * (1000 - export_share(firm)) * firm.ways.vat // 100_000
    deducted = purchases(firm, sales) * firm.ways.vat // 100
    return output, deducted, max(0, output - deducted), max(0, deducted - output)


def _declared(firm: Firm, month: Month, kind: str, sales: int, due: int) -> Items:
    paid = not failing_months(firm, month)
    return {
        "C2.05.01": month.text,
        "C2.05.02": kind,
        "C2.05.03": sales,
        "C2.05.04": due,
        "C2.05.05": due if paid else 0,
        "C2.05.06": month.paid if paid else None,
        "C2.05.07": 0,
        "C2.05.08": 0,
        **dict.fromkeys(OF_ONE_TAX),
    }


def income_statement(firm: Firm, month: Month) -> Facts:
    """C1.11 利润表 of the year up to the quarter's end: the fourth quarter's is the year's."""
    lines = income(firm, month, month.number)
    yield _quarter(month), {f"C1.11.{line}": amount for line, amount in lines.items()}


def income(firm: Firm, month: Month, months: int) -> dict[str, int]:
    """Lines of C1.11 over the months that end with this one, as far as the firm existed.

    Administration costs stay when sales fall; some firms have too many of them.
    """
    months = min(months, month.serial - firm.founded_month + 1)
    sales = sum(revenue(firm, MONTHS[month.serial - back]) for back in range(months))
    cost = sales * (1000 - firm.margin) // 1000
    charges = sales * 4 // 1000
    selling = sales * firm.margin * 12 // 100_000
    overhead = 40 + firm.key // 1024 % 48
    administration = _plain_year(firm, month) * months // 12 * firm.margin * overhead // 100_000
    research = sales * min(50, firm.margin // 5) // 1000 if firm.hightech else 0
    interest = firm.debt_fen * 45 * months // 12_000
    other = research // 10
    operating = sales - cost - charges - selling - administration - research - interest + other
    gain, loss = sales // 2000, sales // 1000
    profit = operating + gain - loss
    rate = 15 if firm.hightech else 5 if firm.size in ("micro", "small") else 25
    income_tax = max(0, profit) * rate // 100
    return {
        "01": sales,
        "02": cost,
        "03": charges,
        "04": selling,
        "05": administration,
        "06": research,
        "07": interest,
        "08": interest,
        "09": other,
        "10": 0,
        "11": operating,
        "12": gain,
        "13": loss,
        "14": profit,
        "15": income_tax,
        "16": profit - income_tax,
    }


def _quarter(month: Month) -> str:
    """First day of the quarter that ends with the month."""
    return MONTHS[month.serial - 2].first


def balance_sheet(firm: Firm, month: Month) -> Facts:
    """C1.10 资产负债表 at the quarter's end."""
    yield _quarter(month), {f"C1.10.{line}": amount for line, amount in balance(firm, month).items()}


def balance(firm: Firm, month: Month) -> dict[str, int]:
    """Lines of C1.10: strain drains the cash, lets receivables grow and puts debts in place of equity."""
    year, plain = _plain_year(firm, month), strain(firm, month)
    lines = {line: year * share // 1000 for line, share in CURRENT_ASSETS.items()}
    lines["01"] = year * CASH * plain // 1_000_000
    lines["04"] = year * RECEIVABLES * (1500 - plain // 2) // 1_000_000
    lines["08"] = sum(lines.values())
    fixed = {line: year * share // 1000 for line, share in FIXED_ASSETS.items()}
    fixed["13"] = year // 100 if firm.hightech else 0
    fixed["14"] = sum(fixed.values())
    lines |= fixed
    lines["15"] = lines["08"] + lines["14"]

    liabilities = lines["15"] * (firm.leverage + (1000 - plain) // 4) // 1000
    loans = min(firm.debt_fen, liabilities * 6 // 10)
    lines["24"] = loans // 5 if firm.size in ("medium", "large") else 0
    lines["16"] = loans - lines["24"]
    lines |= {line: (liabilities - loans) * share // 1000 for line, share in PAYABLES.items()}
    lines["22"] = liabilities - loans - sum(lines[line] for line in PAYABLES)
    lines |= {"25": 0, "26": lines["24"], "23": liabilities - lines["24"], "27": liabilities}

    equity = lines["15"] - liabilities
    lines |= {"28": paid_in(firm), "29": paid_in(firm) // 20, "30": max(0, equity - paid_in(firm)) // 10}
    lines["31"] = equity - lines["28"] - lines["29"] - lines["30"]
    lines["32"] = equity
    return lines


def paid_in(firm: Firm) -> int:
    """Capital paid in so far, in fen."""
    return firm.capital_fen * (100, 100, 60, 30)[firm.key % 4] // 100


def _plain_year(firm: Firm, month: Month) -> int:
    """A year's revenue at the month's trend, without season, noise or strain."""
    return int(firm.revenue_fen * firm.monthly_growth ** (month.serial - NOW)) * 12


def annual_report(firm: Firm, december: Month) -> Facts:
    """C1.06 企业年报 of the year, from the books at its end."""
    lines, sheet = income(firm, december, 12), balance(firm, december)
    staff = reported_staff(firm, headcount(firm, december))
    year = MONTHS[max(december.serial - 11, firm.founded_month) : december.serial + 1]
    yield (
        f"{december.year}-01-01",
        {
            "C1.06.01": december.year,
            "C1.06.02": f"{december.year + 1}-{3 + firm.key % 4:02d}-{1 + firm.key % 28:02d}",
            "C1.06.03": f"江苏省苏州市{firm.district_name}演示路{1 + firm.key % 999}号",
            "C1.06.04": f"demo{firm.key % 10**6:06d}@example.invalid",
            "C1.06.05": "开业",
            "C1.06.06": staff,
            "C1.06.07": staff * (30 + firm.key % 40) // 100,
            "C1.06.08": f"{firm.name[:4]}网店（演示）" if firm.ways.section in "FH" and firm.key % 3 == 0 else None,
            "C1.06.09": f"https://demo{firm.key % 10**6:06d}.example.invalid" if firm.hightech else None,
            "C1.06.10": sheet["15"],
            "C1.06.11": sheet["27"],
            "C1.06.12": sheet["32"],
            "C1.06.13": lines["01"],
            "C1.06.14": lines["01"] * 98 // 100,
            "C1.06.15": lines["14"],
            "C1.06.16": lines["16"],
            "C1.06.17": sum(_vat(firm, revenue(firm, month))[2] for month in year) + lines["15"],
            "C1.06.18": firm.pledges > 0,
        },
    )
