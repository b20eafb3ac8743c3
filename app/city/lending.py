# SPDX-License-Identifier: Apache-2.0
"""What secures the loans of one firm, and what else it owes: credit lines, bills, guarantees, mortgages, insurance.

Same shape as `series`: pure functions (firm, month) → facts. Everything hangs on the loans of `events`.
"""

from app.city.events import LENDERS, loans_of
from app.city.firms import Firm
from app.city.months import Month, day_in
from app.city.series import Facts, failing_months, hundredths, revenue

GUARANTOR = "演示融资担保有限公司"


def credit_lines(lender: str, firm: Firm, month: Month) -> Facts:
    """C3.01 授信: of each lender that has an open loan, a fifth above what is used; frozen once the firm fails."""
    open_ = [loan for loan in loans_of(lender, firm, month) if not loan.settled]
    if not open_:
        return
    used, since = sum(loan.amount for loan in open_), day_in(min(loan.lent for loan in open_), 1)
    yield (
        since,
        {
            "C3.01.01": LENDERS[lender],
            "C3.01.02": used * 6 // 5,
            "C3.01.03": used,
            "C3.01.04": since,
            "C3.01.05": day_in(month.serial + 12, 28),
            "C3.01.06": "冻结" if failing_months(firm, month) else "有效",
            "C3.01.07": "组合",
        },
    )


def instruments(lender: str, firm: Firm, month: Month) -> Facts:
    """C3.03 票据信用证保函: of larger borrowers; the bank advances the money of those that fail."""
    open_ = [loan for loan in loans_of(lender, firm, month) if not loan.settled]
    if not open_ or firm.size == "micro":
        return
    face = revenue(firm, month) // 5 // 100_000 * 100_000 + 100_000
    advanced = failing_months(firm, month) > 2
    drawn = day_in(max(firm.founded_month, month.serial - 3 - failing_months(firm, month)), 5 + firm.key % 20)
    yield (
        drawn,
        {
            "C3.03.01": "信用证" if firm.exports and firm.key % 2 else "银行承兑汇票",
            "C3.03.02": face,
            "C3.03.03": face * 7 // 10,
            "C3.03.04": "30",
            "C3.03.05": drawn,
            "C3.03.06": day_in(month.serial + 3 - failing_months(firm, month), 5 + firm.key % 20),
            "C3.03.07": advanced,
            "C3.03.08": face * 7 // 10 if advanced else 0,
        },
    )


def guarantees(lender: str, firm: Firm, month: Month) -> Facts:
    """C3.04 对外担保: given by one in twenty for a friend's loan; called on of one in four of those that fail."""
    if (
        firm.key % 20 != 3
        or lender != tuple(LENDERS)[firm.key % len(LENDERS)]
        or month.serial - firm.founded_month < 30
    ):
        return
    amount, called = firm.revenue_fen // 2 // 1_000_000 * 1_000_000 + 1_000_000, failing_months(firm, month) > 5
    since = day_in(month.serial - 4 - firm.key % 18, 11)
    yield (
        since,
        {
            "C3.04.01": f"苏州演示实业有限公司{firm.key % 100_000:05d}-9",
            "C3.04.02": "保证",
            "C3.04.03": amount,
            "C3.04.04": amount * 8 // 10,
            "C3.04.05": since,
            "C3.04.06": day_in(month.serial + 8, 11),
            "C3.04.07": called,
            "C3.04.08": amount // 4 if called else 0,
        },
    )


def mortgages(firm: Firm, month: Month) -> Facts:
    """C3.05 不动产抵押: of medium and large borrowers, for their first loan; older firms had one before it."""
    if not firm.loans or firm.size not in ("medium", "large"):
        return
    begun = max(firm.founded_month, month.serial - 14 - firm.key % 20)
    for serial, ended in ((begun - 48, begun - 1), (begun, None)):
        if serial < firm.founded_month:
            continue
        yield (
            day_in(serial, 8),
            {
                "C3.05.01": f"DEMO320599{firm.key % 10**12:012d}",
                "C3.05.02": f"演示不动产权第{firm.key % 10**7:07d}号",
                "C3.05.03": f"苏州市{firm.district_name}演示路{1 + firm.key % 999}号",
                "C3.05.04": str(2_000 + firm.staff * 22),
                "C3.05.05": "工业用地/厂房",
                "C3.05.06": LENDERS["S66"],
                "C3.05.07": firm.debt_fen * (13 if ended is None else 9) // 10,
                "C3.05.08": 1,
                "C3.05.09": day_in(serial, 8),
                "C3.05.10": None if ended is None else day_in(ended, 20),
            },
        )


def movables(firm: Firm, month: Month) -> Facts:
    """C3.06 动产与应收账款担保: of one in three borrowers; of some it has ended."""
    if not firm.loans or firm.key % 3:
        return
    serial = max(firm.founded_month, month.serial - 3 - firm.key % 15)
    registered, ended = day_in(serial, 17), serial + 12 <= month.serial and firm.key % 2 == 0
    kind = ("应收账款", "机器设备", "融资租赁", "存货")[firm.key // 3 % 4]
    yield (
        registered,
        {
            "C3.06.01": f"DEMO-ZD{firm.key % 10**12:012d}",
            "C3.06.02": kind,
            "C3.06.03": f"{kind}（演示）",
            "C3.06.04": LENDERS["S67"],
            "C3.06.05": firm.debt_fen // 3,
            "C3.06.06": 24,
            "C3.06.07": registered,
            "C3.06.08": day_in(serial + 12, 16) if ended else None,
        },
    )


def pledged_rights(firm: Firm, month: Month) -> Facts:
    """C3.07 知识产权质押: of one in four high-tech borrowers."""
    if not (firm.hightech and firm.loans and firm.patents) or firm.key % 4:
        return
    registered = day_in(max(firm.founded_month, month.serial - 2 - firm.key % 10), 22)
    yield (
        registered,
        {
            "C3.07.01": f"DEMO-ZY{firm.key % 10**10:010d}",
            "C3.07.02": "专利权",
            "C3.07.03": f"ZL-DEMO-{firm.key % 1_000_000_000:09d}-1",
            "C3.07.04": LENDERS["S66"],
            "C3.07.05": firm.debt_fen // 4,
            "C3.07.06": registered,
        },
    )


def backed(firm: Firm, month: Month) -> Facts:
    """C3.09 融资担保, the guarantor's own account: one in six borrowers; it pays for those that fail."""
    if not firm.loans or firm.key % 6 != 1:
        return
    paid = failing_months(firm, month) > 3
    yield (
        month.first,
        {
            "C3.09.01": GUARANTOR,
            "C3.09.02": 0 if paid else firm.debt_fen // 2,
            "C3.09.03": hundredths(80 + firm.key % 70),
            "C3.09.04": day_in(month.serial - failing_months(firm, month) + 3, 25) if paid else None,
            "C3.09.05": firm.debt_fen // 2 if paid else 0,
        },
    )


def leasing(firm: Firm, month: Month) -> Facts:
    """C3.10 类金融业务: machines on lease, of one manufacturer in nine."""
    if firm.ways.section != "C" or firm.key % 9 != 2 or month.serial - firm.founded_month < 18:
        return
    yield (
        month.first,
        {
            "C3.10.01": "演示融资租赁有限公司",
            "C3.10.02": "融资租赁公司",
            "C3.10.03": firm.revenue_fen // 3,
            "C3.10.04": day_in(month.serial + 3 + firm.key % 24, 20),
            "C3.10.05": failing_months(firm, month) > 1,
        },
    )


def insured_loans(firm: Firm, month: Month) -> Facts:
    """C3.11 贷款保证保险: of one borrower in eleven."""
    if not firm.loans or firm.key % 11 != 4:
        return
    occurred = failing_months(firm, month) > 3
    yield (
        month.first,
        {
            "C3.11.01": "演示财产保险公司",
            "C3.11.02": firm.debt_fen // 3,
            "C3.11.03": hundredths(120 + firm.key % 60),
            "C3.11.04": occurred,
            "C3.11.05": firm.debt_fen // 4 if occurred else 0,
        },
    )


def overdue_bills(firm: Firm, month: Month) -> Facts:
    """C3.12 票据逾期披露: of larger firms that fail."""
    if failing_months(firm, month) < 3 or firm.size == "micro":
        return
    told = day_in(month.serial, 10)
    yield told, {"C3.12.01": True, "C3.12.02": revenue(firm, month) // 4 + 100_000, "C3.12.03": told}
