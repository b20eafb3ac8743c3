# SPDX-License-Identifier: Apache-2.0
"""What speaks against a firm: penalties for the environment, arrears of tax, accidents, lists, inspections, complaints.

Same shape as `series`: pure functions (firm, month) → facts. Most firms have none of it; those that fail have much.
"""

from app.city.firms import Firm
from app.city.months import MONTHS, Month, day_in
from app.city.names import dice
from app.city.series import Facts, failing_months, hundredths, revenue, strain, wage

INSPECTED = ("年度报告公示信息检查", "安全生产检查", "劳动用工检查", "产品质量监督检查", "消防监督检查")
INSPECTORS = {"S01": "市场监督管理局（演示）", "S11": "应急管理局（演示）", "S05": "人力资源和社会保障局（演示）"}


def environment(firm: Firm, month: Month) -> Facts:
    """C4.11 环保处罚: one manufacturer in forty."""
    if firm.ways.section != "C" or firm.key % 40 != 11:
        return
    serial = max(firm.founded_month, month.serial - 4 - firm.key // 40 % 30)
    mended = serial + 3 <= month.serial and not failing_months(firm, month)
    yield (
        day_in(serial, 13),
        {
            "C4.11.01": f"演示环罚〔{MONTHS[serial].year}〕{firm.key % 10**5:05d}号",
            "C4.11.02": "超标排放废水（演示）",
            "C4.11.03": 10_000_000 + firm.key % 20 * 1_000_000,
            "C4.11.04": "改造污水处理设施（演示）",
            "C4.11.05": day_in(serial + 3, 13) if mended else None,
            "C4.11.06": f"DEMO-PW{firm.key % 10**10:010d}",
            "C4.11.07": 1 + firm.key % 3,
        },
    )


def tax_arrears(firm: Firm, month: Month) -> Facts:
    """C4.12 欠税, announced at the quarter's end: what a failing firm leaves unpaid."""
    failing = failing_months(firm, month)
    if month.number % 3 or failing < 2:
        return
    owed = sum(revenue(firm, MONTHS[month.serial - back]) for back in range(failing)) * 3 // 100
    fresh = sum(revenue(firm, MONTHS[month.serial - back]) for back in range(min(3, failing))) * 3 // 100
    yield (
        MONTHS[month.serial - 2].first,
        {
            "C4.12.01": "增值税",
            "C4.12.02": owed,
            "C4.12.03": fresh,
            "C4.12.04": day_in(month.serial, 28),
            "C4.12.05": f"{firm.district_name}税务局（演示）",
        },
    )


def major_tax(firm: Firm, month: Month) -> Facts:
    """C4.13 重大税收违法: one in six of those that have failed for more than half a year."""
    failing = failing_months(firm, month)
    if failing < 7 or firm.key % 6 != 1:
        return
    told = day_in(month.serial - failing + 7, 24)
    yield (
        told,
        {
            "C4.13.01": "虚开增值税专用发票（演示）",
            "C4.13.02": firm.revenue_fen * 2,
            "C4.13.03": "依法追缴税款并处罚款（演示）",
            "C4.13.04": told,
        },
    )


def safety(firm: Firm, month: Month) -> Facts:
    """C4.14 安全生产/重大事故隐患项目: one manufacturer or builder in sixty has a hazard; few had an accident."""
    if firm.ways.section not in "CE" or firm.key % 60 != 17:
        return
    serial = max(firm.founded_month, month.serial - 5 - firm.key // 60 % 18)
    accident = firm.key // 60 % 8 == 0
    yield (
        day_in(serial, 4),
        {
            "C4.14.01": "有限空间作业重大事故隐患（演示）",
            "C4.14.02": "市级挂牌" if firm.size in ("medium", "large") else "县级挂牌",
            "C4.14.03": day_in(serial + 3, 4),
            "C4.14.04": day_in(serial + 2, 25) if serial + 3 <= month.serial else None,
            "C4.14.05": "一般" if accident else None,
            "C4.14.06": 1 if accident else 0,
            "C4.14.07": day_in(serial, 2) if accident else None,
        },
    )


def injuries(firm: Firm, month: Month) -> Facts:
    """C4.15 工伤: as staff and trade have it, about one in 300 heads a year."""
    if firm.ways.section not in "CEG":
        return
    rng = dice(firm.key + 415)
    for n in range(min(6, (firm.staff + rng.randrange(300)) // 300)):
        serial = month.serial - 1 - rng.randrange(12)
        if serial <= firm.founded_month:
            continue
        hurt = day_in(serial, 1 + rng.randrange(28))
        yield (
            hurt,
            {
                "C4.15.01": hurt,
                "C4.15.02": ("十级", "九级", "八级", "未评级")[rng.randrange(4)],
                "C4.15.03": False,
                "C4.15.04": f"演示工伤认字{firm.key % 10**6:06d}-{n + 1}",
                "C4.15.05": (1 + rng.randrange(8)) * 1_000_000,
            },
        )


def labour(firm: Firm, month: Month) -> Facts:
    """C4.16 劳动违法: wages owed by those that have failed for four months, and arbitration about it."""
    failing = failing_months(firm, month)
    if failing < 4:
        return
    staff = max(1, firm.staff * strain(firm, month) // 1000)
    yield (
        day_in(month.serial - failing + 4, 16),
        {
            "C4.16.01": staff * wage(firm) * 2,
            "C4.16.02": staff,
            "C4.16.03": f"演示人社监令{firm.key % 10**6:06d}号",
            "C4.16.04": day_in(month.serial, 5) if failing > 7 else None,
            "C4.16.05": f"演示劳人仲案{firm.key % 10**6:06d}号",
        },
    )


def samples(firm: Firm, month: Month) -> Facts:
    """C4.17 质量与食药: a sample now and then of what is made or cooked; one in twelve fails."""
    if firm.ways.section not in "CH" or firm.key % 4:
        return
    serial = max(firm.founded_month, month.serial - 1 - firm.key // 4 % 24)
    failed = firm.key // 128 % 12 == 0
    taken = day_in(serial, 1 + firm.key % 28)
    yield (
        taken,
        {
            "C4.17.01": f"{firm.ways.trade}演示产品",
            "C4.17.02": "不合格" if failed else "合格",
            "C4.17.03": "标识不合格（演示）" if failed else None,
            "C4.17.04": taken,
            "C4.17.05": False,
        },
    )


def abnormal(firm: Firm, month: Month) -> Facts:
    """C4.18 经营异常名录: one in fifty forgot its annual report and mended it; who fails cannot be found any more."""
    failing, forgot = failing_months(firm, month), firm.key % 50 == 23
    if failing < 5 and (not forgot or month.serial - firm.founded_month < 20):
        return
    serial = month.serial - failing + 5 if failing >= 5 else month.serial - 10
    yield (
        day_in(serial, 7),
        {
            "C4.18.01": "通过登记的住所或者经营场所无法联系" if failing >= 5 else "未按规定期限公示年度报告",
            "C4.18.02": day_in(serial, 7),
            "C4.18.03": INSPECTORS["S01"],
            "C4.18.04": None if failing >= 5 else day_in(serial + 2, 19),
            "C4.18.05": None if failing >= 5 else "补报未报年份的年度报告并公示",
        },
    )


def dishonest(firm: Firm, month: Month) -> Facts:
    """C4.19 严重失信主体名单: one in four of those that have failed for ten months; very few were listed once."""
    failing = failing_months(firm, month)
    once = not failing and firm.key % 150 == 57 and month.serial - firm.founded_month > 60
    if not once and (failing < 10 or firm.key % 4):
        return
    listed = day_in(month.serial - 50 if once else month.serial - failing + 10, 27)
    yield (
        listed,
        {
            "C4.19.01": "拖欠农民工工资失信联合惩戒对象名单（演示）",
            "C4.19.02": "拖欠工资数额较大，经责令支付仍不支付（演示）",
            "C4.19.03": listed,
            "C4.19.04": INSPECTORS["S05"],
            "C4.19.05": day_in(month.serial - 14, 27) if once else None,
        },
    )


def inspections(inspector: str, firm: Firm, month: Month) -> Facts:
    """C4.20 双随机检查 by this inspector: one firm in four within two years."""
    if firm.key % 4 != 1 or tuple(INSPECTORS)[firm.key // 4 % len(INSPECTORS)] != inspector:
        return
    serial = max(firm.founded_month, month.serial - 1 - firm.key // 12 % 24)
    lost = failing_months(firm, month) > month.serial - serial + 4
    found = firm.penalties > 0 or strain(firm, month) < 700
    yield (
        day_in(serial, 1 + firm.key % 28),
        {
            "C4.20.01": f"演示双随机{MONTHS[serial].year}-{firm.key % 100:02d}",
            "C4.20.02": INSPECTED[firm.key // 16 % len(INSPECTED)],
            "C4.20.03": "通过登记的住所无法联系" if lost else "发现问题已责令改正" if found else "未发现问题",
            "C4.20.04": day_in(serial, 1 + firm.key % 28),
            "C4.20.05": INSPECTORS[inspector],
        },
    )


def complaints(firm: Firm, month: Month) -> Facts:
    """C4.22 投诉与行业不良行为: sellers and cooks hear complaints; few builders lose points."""
    builder = firm.ways.section == "E" and firm.key % 12 == 5
    if not builder and (firm.ways.section not in "FH" or firm.key % 3):
        return
    yield (
        MONTHS[month.serial - 1].first,
        {
            "C4.22.01": 0 if builder else 1 + firm.key % 5 + failing_months(firm, month),
            "C4.22.02": None if builder else "消费投诉（演示）",
            "C4.22.03": False,
            "C4.22.04": "未按图施工（演示）" if builder else None,
            "C4.22.05": hundredths(200) if builder else "0",
        },
    )
