# SPDX-License-Identifier: Apache-2.0
"""What speaks for a firm: licences, qualifications, titles, awards, sector grades, honours, commitments kept.

Same shape as `series`: pure functions (firm, month) → facts.
"""

from app.city.firms import Firm
from app.city.months import MONTHS, Month, day_in
from app.city.names import dice
from app.city.series import Facts, failing_months, strain

LICENCES = {
    "C": "排污许可",
    "E": "建筑业企业安全生产许可",
    "F": "食品经营许可",
    "G": "道路运输经营许可",
    "H": "食品经营许可",
}
QUALIFICATIONS = {"E": ("建筑装修装饰工程专业承包", "二级"), "M": ("工程设计专项资质", "乙级")}
AWARDS = ("科技创新奖补", "智能化改造和数字化转型奖补", "稳岗补贴", "首次上规模奖励", "外贸发展专项")
AGENCIES = {
    "S17": "科学技术局（演示）",
    "S18": "工业和信息化局（演示）",
    "S16": "商务局（演示）",
    "S20": "财政局（演示）",
}


def licences(firm: Firm, month: Month) -> Facts:
    """C4.01 行政许可, of the trades that need one; five years each."""
    name = LICENCES.get(firm.ways.section)
    if name is None:
        return
    since = max(firm.founded_month, month.serial - firm.key % 48)
    yield (
        day_in(since, 18),
        {
            "C4.01.01": f"DEMO-XK{firm.key % 10**10:010d}",
            "C4.01.02": name,
            "C4.01.03": "普通",
            "C4.01.04": f"{name}（演示）",
            "C4.01.05": day_in(since, 18),
            "C4.01.06": day_in(since + 60, 17),
            "C4.01.07": "行政审批局（演示）",
            "C4.01.08": "有效",
        },
    )


def qualifications(firm: Firm, month: Month) -> Facts:
    """C4.02 资质资格, of builders and engineers."""
    if firm.ways.section not in QUALIFICATIONS:
        return
    name, grade = QUALIFICATIONS[firm.ways.section]
    since = max(firm.founded_month, month.serial - firm.key % 50)
    yield (
        day_in(since, 6),
        {
            "C4.02.01": name,
            "C4.02.02": grade,
            "C4.02.03": f"DEMO-ZZ{firm.key % 10**9:09d}",
            "C4.02.04": day_in(since, 6),
            "C4.02.05": day_in(since + 60, 5),
            "C4.02.06": "住房和城乡建设局（演示）",
        },
    )


def titles(firm: Firm, month: Month) -> Facts:
    """C4.04 专精特新/首台套/技术中心: of one high-tech manufacturer in three."""
    if not firm.hightech or firm.ways.section != "C" or firm.key % 3:
        return
    rank = firm.key // 3 % 10
    title, level = "专精特新中小企业", "省级"
    if rank < 4:
        title, level = ("企业技术中心", "市级") if rank else ("专精特新小巨人", "国家级")
    year = month.year - 1 - firm.key // 32 % 3
    yield (
        f"{year}-12-01",
        {
            "C4.04.01": title,
            "C4.04.02": level,
            "C4.04.03": year,
            "C4.04.04": f"{year + 3}-11-30",
            "C4.04.05": f"{firm.ways.trade}演示产品",
        },
    )


def awards(agency: str, firm: Firm, month: Month) -> Facts:
    """C4.06 奖励补贴 by this agency: of high-tech firms and exporters that do well."""
    if strain(firm, month) < 1000 or not (firm.hightech or firm.exports):
        return
    rng = dice(firm.key + 406)
    for n in range(rng.randrange(3)):
        which, serial = rng.randrange(len(AWARDS)), month.serial - 1 - rng.randrange(24)
        if tuple(AGENCIES)[(firm.key + n) % len(AGENCIES)] != agency or serial <= firm.founded_month:
            continue
        granted = day_in(serial, 1 + rng.randrange(28))
        yield (
            granted,
            {
                "C4.06.01": f"{AWARDS[which]}（演示）",
                "C4.06.02": ("市级", "区县级", "省级")[rng.randrange(3)],
                "C4.06.03": AGENCIES[agency],
                "C4.06.04": granted,
                "C4.06.05": AWARDS[which],
                "C4.06.06": (1 + rng.randrange(50)) * 1_000_000,
                "C4.06.07": day_in(serial + 1, 15),
            },
        )


def sector_grades(firm: Firm, month: Month) -> Facts:
    """C4.08 行业信用等级 of the year before."""
    year = month.year - 1
    if firm.founded.year >= year:
        return
    worse = strain(firm, month) < 800
    yield (
        f"{year}-12-31",
        {
            "C4.08.01": ("高级认证企业" if firm.size == "large" else "注册登记和备案企业") if firm.exports else None,
            "C4.08.02": "C" if failing_months(firm, month) > 3 else "B" if worse else "A",
            "C4.08.03": ("黄" if worse else "蓝" if firm.key % 4 else "绿") if firm.ways.section == "C" else None,
            "C4.08.04": "三级" if firm.ways.section in "CE" and firm.size != "micro" else None,
            "C4.08.05": "A" if firm.hightech else "B",
            "C4.08.06": year,
        },
    )


def honours(firm: Firm, month: Month) -> Facts:
    """C4.09 守信红名单: one healthy firm in fifteen, for two years."""
    if firm.key % 15 or strain(firm, month) < 1000 or month.serial - firm.founded_month < 48:
        return
    serial = month.serial - 2 - firm.key // 15 % 20
    yield (
        day_in(serial, 20),
        {
            "C4.09.01": "纳税信用红名单（演示）" if firm.key % 2 else "重合同守信用企业（演示）",
            "C4.09.02": day_in(serial, 20),
            "C4.09.03": day_in(serial + 24, 19),
            "C4.09.04": "公共信用信息中心（演示）",
        },
    )


def commitments(firm: Firm, month: Month) -> Facts:
    """C4.21 信用承诺与修复: one firm in six promises something; who was penalised asks for repair."""
    if firm.key % 6 and not firm.penalties:
        return
    serial = max(firm.founded_month, month.serial - 3 - firm.key // 6 % 20)
    asked = firm.penalties > 0 and firm.key % 3 != 0
    yield (
        day_in(serial, 14),
        {
            "C4.21.01": f"告知承诺制事项{MONTHS[serial].year}（演示）",
            "C4.21.02": day_in(serial, 14),
            "C4.21.03": "违约" if failing_months(firm, month) > 4 else "履行中" if firm.key % 4 else "已履行",
            "C4.21.04": day_in(min(month.serial, serial + 2), 21) if asked else None,
            "C4.21.05": ("审核中" if failing_months(firm, month) else "准予修复") if asked else None,
        },
    )
