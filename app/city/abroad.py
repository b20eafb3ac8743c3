# SPDX-License-Identifier: Apache-2.0
"""What an exporter does at the customs and in foreign currency; and who owns a firm, and bought into it.

Same shape as `series`: pure functions (firm, month) → facts.
"""

from app.city.firms import Firm
from app.city.months import MONTHS, Month, day_in
from app.city.names import person_name
from app.city.registers import holdings_of
from app.city.series import Facts, export_share, failing_months, headcount, hundredths, revenue, strain

HS_CODES = {"3484": "84669390", "3525": "84807190", "3670": "87089999", "3982": "85340090", "3973": "85423900"}
PLACES = ("美国", "德国", "日本", "越南", "韩国", "荷兰")
RATE = 720  # fen a US dollar, for all of the city's story


def registration(firm: Firm, month: Month) -> Facts:
    """C6.01 海关注册, of exporters."""
    if not firm.exports:
        return
    since = day_in(min(month.serial, firm.founded_month + 5), 12)
    yield (
        since,
        {
            "C6.01.01": f"DEMO{firm.key % 10**6:06d}",
            "C6.01.02": since,
            "C6.01.03": "进出口货物收发货人",
            "C6.01.04": "2068-07-31",
            "C6.01.05": False,
            "C6.01.06": "高级认证企业" if firm.size == "large" else "注册登记和备案企业",
        },
    )


def declarations(firm: Firm, month: Month) -> Facts:
    """C6.03 报关汇总."""
    if not firm.exports:
        return
    number = 1 + _exported(firm, month) // 60_000_000
    yield (
        month.first,
        {
            "C6.03.01": number,
            "C6.03.02": HS_CODES.get(firm.industry, "84798999"),
            "C6.03.03": f"{firm.ways.trade}演示商品",
            "C6.03.04": PLACES[firm.key % len(PLACES)],
            "C6.03.05": PLACES[firm.key // 8 % len(PLACES)],
            "C6.03.06": ("上海港", "太仓港", "苏州工业园区")[firm.key % 3],
            "C6.03.07": number // 40,
        },
    )


def duty(firm: Firm, month: Month) -> Facts:
    """C6.04 关税缴纳, of those who import too; a failing one owes it."""
    if not firm.exports or firm.key % 60 == 0:
        return
    due, unpaid = _exported(firm, month) * (firm.key % 60) // 100 * 6 // 100, failing_months(firm, month) > 1
    yield (
        month.first,
        {
            "C6.04.01": due,
            "C6.04.02": 0 if unpaid else due,
            "C6.04.03": due // 50 if unpaid else 0,
            "C6.04.04": due if unpaid else 0,
            "C6.04.05": None if unpaid else month.paid,
        },
    )


def penalties(firm: Firm, month: Month) -> Facts:
    """C6.05 海关处罚: one exporter in thirty."""
    if not firm.exports or firm.key % 30 != 9:
        return
    decided = day_in(max(firm.founded_month, month.serial - 3 - firm.key // 30 % 20), 23)
    yield (
        decided,
        {
            "C6.05.01": f"演示关缉违字{firm.key % 10**5:05d}号",
            "C6.05.02": "申报不实（演示）",
            "C6.05.03": 500_000 + firm.key % 10 * 100_000,
            "C6.05.04": decided,
        },
    )


def currency(firm: Firm, month: Month) -> Facts:
    """C6.06 外汇收支, in US cents: what was sold abroad comes in, late where orders fall."""
    if not firm.exports:
        return
    dollars = _exported(firm, month) * 100 // RATE
    received = dollars * (96 if strain(firm, month) == 1000 else 78) // 100
    yield (
        month.first,
        {
            "C6.06.01": received,
            "C6.06.02": dollars * (firm.key % 60) // 100,
            "C6.06.03": hundredths(received * 10_000 // dollars) if dollars else None,
            "C6.06.04": "B" if failing_months(firm, month) > 3 else "A",
            "C6.06.05": received * 8 // 10,
        },
    )


def export_insurance(firm: Firm, month: Month) -> Facts:
    """C6.07 出口信保, in US cents: of half the exporters."""
    if not firm.exports or firm.key % 2:
        return
    insured, lost = revenue(firm, month) // 30, month.serial % 11 == firm.key % 11 and headcount(firm, month) > 20
    yield (
        month.first,
        {
            "C6.07.01": insured,
            "C6.07.02": True,
            "C6.07.03": insured // 20 if lost else 0,
            "C6.07.04": insured // 40 if lost else 0,
        },
    )


def equity_changes(firm: Firm, month: Month) -> Facts:
    """C7.05 股权变更: one firm in nine, in the last three years."""
    if firm.key % 9 != 4 or month.serial - firm.founded_month < 40:
        return
    changed, percent = day_in(month.serial - 2 - firm.key // 9 % 34, 19), holdings_of(firm)[0]
    before = min(100, percent + 10)
    yield (
        changed,
        {
            "C7.05.01": changed,
            "C7.05.02": person_name(firm.key // 256),
            "C7.05.03": str(before),
            "C7.05.04": str(percent),
        },
    )


def controllers(firm: Firm, month: Month) -> Facts:
    """C7.06 实际控制人, derived from who holds most."""
    percent = holdings_of(firm)[0]
    yield (
        month.first,
        {
            "C7.06.01": person_name(firm.key // 256),
            "C7.06.02": f"{person_name(firm.key // 256)} → {firm.name}",
            "C7.06.03": str(percent),
            "C7.06.04": "持股控制" if percent > 50 else "表决权控制",
        },
    )


def rounds(firm: Firm, month: Month) -> Facts:
    """C7.07 股权融资: of one high-tech firm in six, as it tells itself."""
    if not firm.hightech or firm.key % 6 != 2:
        return
    n, serial = firm.key // 6 % 4, max(firm.founded_month + 6, month.serial - 4 - firm.key // 24 % 30)
    if serial > month.serial:
        return
    yield (
        MONTHS[serial].first,
        {
            "C7.07.01": ("天使轮", "A轮", "B轮", "C轮")[n],
            "C7.07.02": "演示创业投资基金",
            "C7.07.03": 500_000_000 * (n + 1),
            "C7.07.04": 5_000_000_000 * (n + 1),
        },
    )


def _exported(firm: Firm, month: Month) -> int:
    return revenue(firm, month) * export_share(firm) // 1000
