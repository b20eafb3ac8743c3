# SPDX-License-Identifier: Apache-2.0
"""The people of one firm: provident fund, hiring and leaving, talents. All follow its headcount."""

from app.city.firms import Firm
from app.city.months import MONTHS, Month, day_in
from app.city.series import Facts, headcount, unpaid_months, wage

TITLES = ("姑苏创新创业领军人才（演示）", "江苏省双创人才（演示）", "国家级人才（演示）")


def fund(firm: Firm, month: Month) -> Facts:
    """C2.08 住房公积金: of firms with five people or more."""
    if firm.staff < 5:
        return
    members, unpaid = headcount(firm, month) * 9 // 10, unpaid_months(firm, month)
    rate = (5, 8, 10, 12)[firm.key % 4]
    due = members * wage(firm) * rate * 2 // 100
    yield (
        month.first,
        {
            "C2.08.01": f"DEMO-GJJ{firm.key % 10**9:09d}",
            "C2.08.02": day_in(firm.founded_month, 28),
            "C2.08.03": members,
            "C2.08.04": 0 if unpaid else due,
            "C2.08.05": str(rate),
            "C2.08.06": MONTHS[month.serial - unpaid].text,
            "C2.08.07": due * unpaid,
            "C2.08.08": "封存" if unpaid > 5 else "正常",
        },
    )


def employment(firm: Firm, month: Month) -> Facts:
    """C2.09 用工: who came and who left give this month's headcount from the last one's."""
    now, before = headcount(firm, month), headcount(firm, MONTHS[month.serial - 1])
    left = before * (15 + firm.key % 20) // 1000 + max(0, before - now)
    joined = now - before + left
    yield (
        month.first,
        {
            "C2.09.01": now,
            "C2.09.02": joined,
            "C2.09.03": left,
            "C2.09.04": joined + firm.key % 3,
            "C2.09.05": joined,
            "C2.09.06": wage(firm) * 105 // 100,
        },
    )


def talents(firm: Firm, month: Month) -> Facts:
    """C1.08 人才与团队: of one in five high-tech firms."""
    if not firm.hightech or firm.key % 5:
        return
    level = firm.key // 5 % 3
    year = max(firm.founded.year + 1, month.year - 1 - firm.key // 16 % 4)
    yield (
        f"{year}-06-15",
        {
            "C1.08.01": TITLES[level],
            "C1.08.02": ("市级", "省级", "国家级")[level],
            "C1.08.03": year,
            "C1.08.04": max(1, firm.staff * 12 // 100),
        },
    )
