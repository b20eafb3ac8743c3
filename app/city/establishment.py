# SPDX-License-Identifier: Apache-2.0
"""What a firm is beside its registration: changes, branches, size, premises, audit, land, contracts, its end."""

from app.city.books import balance, income
from app.city.firms import Firm
from app.city.months import MONTHS, Month, day_in
from app.city.names import dice, person_name, uscc_of
from app.city.registers import standing
from app.city.series import Facts, failing_months, revenue, strain

SIZE_WORDS = {"micro": "微型", "small": "小型", "medium": "中型", "large": "大型"}
CHANGES = ("经营范围变更", "住所变更", "注册资本变更", "法定代表人变更", "章程备案")


def changes(firm: Firm, month: Month) -> Facts:
    """C1.02 变更登记: one in some four years; who fails changes its legal representative in the first month."""
    age, n = month.serial - firm.founded_month, 0
    dated = [firm.founded_month + step for step in range(18 + firm.key % 30, age, 40 + firm.key % 20)]
    if failing := failing_months(firm, month):
        dated.append(month.serial - failing + 1)
    for n, serial in enumerate(dated, 1):
        kind = 3 if failing and n == len(dated) else (firm.key + n) % len(CHANGES)
        changed = day_in(serial, 1 + (firm.key + n) % 28)
        yield (
            changed,
            {
                "C1.02.01": CHANGES[kind],
                "C1.02.02": person_name(firm.key // 256) if kind == 3 else f"变更前内容{n}（演示）",
                "C1.02.03": person_name(firm.key // 256 + 3) if kind == 3 else f"变更后内容{n}（演示）",
                "C1.02.04": changed,
                "C1.02.05": n,
            },
        )


def branches(firm: Firm, month: Month) -> Facts:
    """C1.04 分支机构: of medium and large firms."""
    for n in range({"medium": 1, "large": 4}.get(firm.size, 0)):
        since = day_in(min(month.serial, firm.founded_month + 24 + n * 6), 10 + n)
        yield (
            since,
            {
                "C1.04.01": f"{firm.name}演示第{n + 1}分公司",
                "C1.04.02": uscc_of(firm.key + n + 1, 4),
                "C1.04.03": person_name(firm.key // 256 + 40 + n),
                "C1.04.04": f"苏州市{firm.district_name}市场监督管理局（演示）",
                "C1.04.05": "存续",
                "C1.04.06": since,
            },
        )


def closing(firm: Firm, month: Month) -> Facts:
    """C1.05 注销吊销清算: a firm that has failed for most of a year is put into liquidation, and some lose the licence.

    One small firm in 300 closes in good order: it has announced that, and is still there.
    """
    failing = failing_months(firm, month)
    if firm.size == "micro" and firm.key % 300 == 77 and strain(firm, month) == 1000 and not firm.loans:
        announced = day_in(month.serial, 3)
        period = {"C1.05.08": f"{announced}至{day_in(month.serial, 23)}"}
        yield announced, {f"C1.05.{number:02d}": period.get(f"C1.05.{number:02d}") for number in range(1, 9)}
    if failing < 9:
        return
    begun, revoked = day_in(month.serial - failing + 9, 12), standing(firm, month) == "吊销未注销"
    yield (
        begun,
        {
            "C1.05.01": None,
            "C1.05.02": None,
            "C1.05.03": day_in(month.serial - failing + 11, 25) if revoked else None,
            "C1.05.04": "自行停业连续六个月以上（演示）" if revoked else None,
            "C1.05.05": person_name(firm.key // 256 + 50),
            "C1.05.06": person_name(firm.key // 256 + 51),
            "C1.05.07": begun,
            "C1.05.08": None,
        },
    )


def tags(firm: Firm, month: Month) -> Facts:
    """C1.07 规模与主体标签."""
    yield (
        f"{month.year}-01-01",
        {
            "C1.07.01": SIZE_WORDS[firm.size],
            "C1.07.02": firm.revenue_fen * 12 >= 2_000_000_000,
            "C1.07.03": f"{firm.ways.trade}产业集群（演示）" if firm.ways.section == "C" else None,
            "C1.07.04": f"{firm.district_name}演示产业园" if firm.key % 3 == 0 else None,
            "C1.07.05": firm.key % 10 != 0,
            "C1.07.06": firm.key % 10 == 0,
            "C1.07.07": firm.size == "large" and firm.key % 9 == 0,
            "C1.07.08": firm.hightech and firm.key % 23 == 0,
        },
    )


def premises(firm: Firm, month: Month) -> Facts:
    """C1.09 经营场所与联系, as the firm itself tells."""
    leased = firm.size in ("micro", "small") or firm.key % 3 == 0
    yield (
        day_in(firm.founded_month, 20),
        {
            "C1.09.01": f"江苏省苏州市{firm.district_name}演示路{1 + firm.key % 999}号",
            "C1.09.02": "租赁" if leased else "自有",
            "C1.09.03": str(60 + firm.staff * 18) if leased else None,
            "C1.09.04": day_in(month.serial + 6 + firm.key % 30, 28) if leased else None,
            "C1.09.05": person_name(firm.key // 256 + 60),
            "C1.09.06": f"1990000{firm.key % 10_000:04d}",
        },
    )


def cash_flow(firm: Firm, month: Month) -> Facts:
    """C1.12 现金流量表 of the year up to the quarter's end; it leads from one balance sheet's cash to the next."""
    lines, months = income(firm, month, month.number), month.number
    begin = MONTHS[max(firm.founded_month, month.serial - months)]
    opened, closed = balance(firm, begin)["01"], balance(firm, month)["01"]
    received = lines["01"] * (96 if strain(firm, month) == 1000 else 80) // 100
    bought, wages = lines["02"] * 7 // 10, lines["02"] * 2 // 10
    taxes = lines["03"] + lines["15"]
    inflow, outflow = received + lines["09"], bought + wages + taxes
    invested = -balance(firm, month)["10"] * months // 120
    net = closed - opened
    yield (
        MONTHS[month.serial - 2].first,
        {
            "C1.12.01": received,
            "C1.12.02": lines["09"],
            "C1.12.03": inflow,
            "C1.12.04": bought,
            "C1.12.05": wages,
            "C1.12.06": taxes,
            "C1.12.07": outflow,
            "C1.12.08": inflow - outflow,
            "C1.12.09": invested,
            "C1.12.10": net - (inflow - outflow) - invested,
            "C1.12.11": net,
            "C1.12.12": closed,
        },
    )


def audits(firm: Firm, month: Month) -> Facts:
    """C1.13 审计 of the year before: of medium and large firms, and of high-tech ones."""
    year = month.year - 1
    if firm.founded.year > year or not (firm.size in ("medium", "large") or firm.hightech):
        return
    opinion = "保留意见" if failing_months(firm, month) > 4 else "标准无保留意见"
    yield (
        f"{year}-12-31",
        {
            "C1.13.01": year,
            "C1.13.02": f"演示会计师事务所{firm.key % 9 + 1}",
            "C1.13.03": opinion,
            "C1.13.04": f"{month.year}-04-{1 + firm.key % 28:02d}",
        },
    )


def land(firm: Firm, month: Month) -> Facts:
    """C2.10 亩均效益 of the year before: of manufacturers with more than a workshop."""
    if firm.ways.section != "C" or firm.size == "micro" or firm.founded.year >= month.year:
        return
    area = 800 + firm.staff * 35
    taxed = sum(revenue(firm, each) for each in MONTHS[month.serial - 11 : month.serial + 1]) * 4 // 10_000
    a_mu = taxed * 667 // area
    grade = "D" if strain(firm, month) < 700 else "A" if a_mu > 250_000 else "B" if a_mu > 90_000 else "C"
    yield (
        f"{month.year - 1}-01-01",
        {
            "C2.10.01": str(area),
            "C2.10.02": str(area * 14 // 10),
            "C2.10.03": str(a_mu),
            "C2.10.04": grade,
            "C2.10.05": f"演示地出字{firm.key % 10**7:07d}",
        },
    )


def tenders(firm: Firm, month: Month) -> Facts:
    """C2.11 政府采购与招投标: won now and then by builders, software houses and engineers."""
    if firm.ways.section not in "EIM" or firm.key % 5 or failing_months(firm, month):
        return
    rng = dice(firm.key + 211)
    for n in range(1 + firm.key % 3):
        serial = max(firm.founded_month + 1, month.serial - 2 - rng.randrange(30))
        amount = firm.revenue_fen * (8 + rng.randrange(60)) // 100
        won, done = day_in(serial, 1 + rng.randrange(28)), serial + 5 <= month.serial
        yield (
            won,
            {
                "C2.11.01": f"演示项目{firm.key % 10_000:04d}-{n + 1}",
                "C2.11.02": f"{firm.district_name}演示采购中心",
                "C2.11.03": amount,
                "C2.11.04": won,
                "C2.11.05": f"{3 + n}个月",
                "C2.11.06": ("优秀", "良好", "良好", "合格")[rng.randrange(4)] if done else None,
                "C2.11.07": day_in(serial + 5, 20) if done else None,
                "C2.11.08": amount if done else amount * 3 // 10,
            },
        )
