# SPDX-License-Identifier: Apache-2.0
"""What registers say of one firm: registration, officers, owners, investments, certificates, tax grades.

Same shape as `series`: pure functions (firm, month) → facts, as of the month's end. Nobody named exists.
"""

from collections.abc import Mapping
from datetime import date

from app.city.books import paid_in
from app.city.contradictions import contradicted, has_copy
from app.city.firms import Firm
from app.city.months import MONTHS, Month, day_in
from app.city.names import DISTRICTS, dice, person_name, uscc_of
from app.city.series import Facts, Items, failing_months, hundredths, strain
from bureau.records import Value

ONE_CODE = date(2015, 10, 1)  # from then on a firm has one code and no registration number beside it
POSTCODES = {district.code: district.postcode for district in DISTRICTS}
POSTS = ("执行董事兼总经理", "监事", "财务负责人", "董事", "董事", "监事会主席")
OFFICERS = {"micro": 2, "small": 3, "medium": 5, "large": 6}
LOWEST_POINTS = {"A": 9100, "B": 7300, "M": 7000, "C": 5000, "D": 2500}  # hundredths
HOLDINGS = ((100,), (70, 30), (51, 49), (60, 25, 15), (40, 30, 20, 10))  # percent


def registration(firm: Firm, month: Month) -> Facts:
    """C1.01 登记基本信息."""
    founded = firm.founded.isoformat()
    district = firm.district_name
    sole = len(holdings_of(firm)) == 1
    yield (
        founded,
        {
            "C1.01.01": firm.name,
            "C1.01.02": firm.uscc,
            "C1.01.03": f"DEMO{firm.key % 10**11:011d}" if firm.founded < ONE_CODE else None,
            "C1.01.04": f"{firm.uscc[8:16]}-{firm.uscc[16]}",
            "C1.01.05": f"有限责任公司(自然人{'独资' if sole else '投资或控股'})",
            "C1.01.06": _person(firm, 0),
            "C1.01.07": firm.capital_fen,
            "C1.01.08": "CNY",
            "C1.01.09": _paid_in_as_registered(firm),
            "C1.01.10": founded,
            "C1.01.11": founded,
            "C1.01.12": founded,
            "C1.01.13": str(firm.founded.replace(year=firm.founded.year + 30)) if firm.key % 5 == 0 else None,
            "C1.01.14": f"苏州市{district}市场监督管理局（演示）",
            "C1.01.15": standing(firm, month),
            "C1.01.16": f"江苏省苏州市{district}演示路{1 + firm.key % 999}号",
            "C1.01.17": firm.division_real,
            "C1.01.18": firm.ways.section,
            "C1.01.19": firm.industry,
            "C1.01.20": f"{firm.ways.trade}的研发、生产、销售及相关服务（演示）",
            "C1.01.21": POSTCODES.get(firm.division_real),
            "C1.01.22": f"0512-0000{firm.key % 10_000:04d}",
        },
    )


def copies(firm: Firm, month: Month) -> Facts:
    """C1.01 at the approval bureau, which copied the register once and follows neither all changes nor payments."""
    if not has_copy(firm):
        return
    fact = contradicted(firm)
    for event_date, items in registration(firm, month):
        older: Items = {"C1.01.09": None}
        if fact == "capital":
            older["C1.01.07"] = firm.capital_fen // 2
        elif fact == "representative":
            older["C1.01.06"] = _person(firm, -1)
        elif fact == "address":
            older["C1.01.16"] = f"江苏省苏州市{firm.district_name}演示路{1 + (firm.key + 500) % 999}号"
        yield event_date, items | older


def _paid_in_as_registered(firm: Firm) -> int:
    return paid_in(firm) // 2 if contradicted(firm) == "paid-in" else paid_in(firm)


def standing(firm: Firm, month: Month) -> str:
    """Its registration status: who has failed for most of a year is wound up, some have lost the licence by then."""
    failing = failing_months(firm, month)
    if failing >= 11 and firm.key % 2:
        return "吊销未注销"
    return "清算" if failing >= 9 else "存续"


def officers(firm: Firm, month: Month) -> Facts:
    """C1.03 董监高任职; the first is the legal representative, and one firm in eight had another supervisor once."""
    serving, age = OFFICERS[firm.size], month.serial - firm.founded_month
    for n in range(serving + (firm.key % 8 == 3 and age > 60)):
        since = day_in(min(month.serial, firm.founded_month + n % serving * 5), firm.founded.day)
        yield (
            since,
            {
                "C1.03.01": _person(firm, n),
                "C1.03.02": "居民身份证",
                "C1.03.03": f"3205**********{firm.key % 9000 + n:04d}",
                "C1.03.04": POSTS[n] if n < serving else "监事",
                "C1.03.05": "委派" if n == 0 else "选举",
                "C1.03.06": since,
                "C1.03.07": None if n < serving else day_in(firm.founded_month + 36, firm.founded.day),
                "C1.03.08": n == 0,
                "C1.03.09": "中国",
            },
        )


def shareholders(firm: Firm, _month: Month) -> Facts:
    """C7.01 股东及出资; subscriptions sum to the capital, the first shareholder is the first officer."""
    founded = firm.founded.isoformat()
    for n, percent in enumerate(holdings_of(firm)):
        company = n == 2
        yield (
            founded,
            {
                "C7.01.01": f"演示投资有限公司{firm.key % 10_000:04d}" if company else _person(firm, n),
                "C7.01.02": "企业法人" if company else "自然人",
                "C7.01.03": uscc_of(firm.key, 0) if company else f"3205**********{firm.key % 9000 + n:04d}",
                "C7.01.04": firm.capital_fen * percent // 100,
                "C7.01.05": _paid_in_as_registered(firm) * percent // 100,
                "C7.01.06": "货币",
                "C7.01.07": founded,
                "C7.01.08": hundredths(percent * 100),
            },
        )


def holdings_of(firm: Firm) -> tuple[int, ...]:
    return HOLDINGS[firm.key // 16 % len(HOLDINGS)]


def _person(firm: Firm, n: int) -> str:
    return person_name(firm.key // 256 + n * 7)


def investments(firm: Firm, month: Month) -> Facts:
    """C7.02 投资企业: affiliates that nobody registered."""
    for n in range(firm.investments):
        since = day_in(min(month.serial, firm.founded_month + 9 + n), firm.founded.day)
        share = 20 + (firm.key + n * 13) % 80
        yield (
            since,
            {
                "C7.02.01": f"苏州演示实业有限公司{firm.key % 100_000:05d}-{n + 1}",
                "C7.02.02": uscc_of(firm.key + n + 1, 1),
                "C7.02.03": firm.capital_fen * share // 400,
                "C7.02.04": hundredths(share * 100),
                "C7.02.05": since,
                "C7.02.06": "存续",
            },
        )


def certificate(firm: Firm, month: Month) -> Facts:
    """C4.03 高新技术企业: three years from a day within the last three."""
    if not firm.hightech:
        return
    serial = month.serial - firm.key % 34
    yield (
        day_in(serial, 15),
        {
            "C4.03.01": f"DEMO-GR{MONTHS[serial].year}32{firm.key % 1_000_000:06d}",
            "C4.03.02": MONTHS[serial].year,
            "C4.03.03": day_in(serial + 36, 14),
            "C4.03.04": "有效",
        },
    )


def intellectual_property(firm: Firm, month: Month) -> Facts:
    """C4.05 知识产权, as granted so far: patents, a trade mark of one in six, the programs of software houses."""
    yield from _patents(firm, month)
    old = month.serial - firm.founded_month > 24
    if old and firm.key % 6 == 5:
        granted = day_in(firm.founded_month + 20, 7)
        number, until = f"DEMO{firm.key % 10**8:08d}", f"{firm.founded.year + 12}-06-06"
        told: dict[str, Value] = {"06": number, "07": f"第{1 + firm.key % 45}类", "08": until, "10": firm.key % 9 == 0}
        yield granted, _property(told)
    for n in range(2 if old and firm.ways.section == "I" else 0):
        registered = day_in(firm.founded_month + 10 + n * 9, 16)
        yield registered, _property({"09": f"DEMO-SR{firm.key % 10**9:09d}-{n + 1}"})


def _property(told: Mapping[str, Value]) -> Items:
    """A row of C4.05: one kind of right each, the items of the others empty."""
    return {f"C4.05.{number:02d}": told.get(f"{number:02d}") for number in range(1, 11)}


def _patents(firm: Firm, month: Month) -> Facts:
    if not firm.patents:
        return
    rng = dice(firm.key + 405)
    for n in range(firm.patents):
        granted = rng.randrange(min(firm.founded_month + 12, month.serial - 1), month.serial)
        kind = rng.choices(("发明专利", "实用新型", "外观设计"), (25, 60, 15))[0]
        applied = max(firm.founded_month, granted - (30 if kind == "发明专利" else 9))
        day = 1 + (firm.key + n) % 28
        told: dict[str, Value] = {
            "01": f"ZL-DEMO-{firm.key % 1_000_000_000:09d}-{n + 1}",
            "02": kind,
            "03": day_in(applied, day),
            "04": day_in(granted, day),
            "05": "有效" if rng.randrange(10) else "未缴年费终止",
        }
        yield day_in(granted, day), _property(told)


def tax_grades(firm: Firm, month: Month) -> Facts:
    """C4.07 纳税信用 of the last three years rated; a firm that failed is D in the last, a strained one C."""
    run = 0
    for years_ago in (3, 2, 1):
        january = MONTHS[month.serial - month.number + 1 - 12 * years_ago]
        if january.serial + 11 < firm.founded_month:
            continue
        chance = (firm.key // 64 + january.year * 7) % 100
        grade = _grade(firm, january.serial, chance)
        if years_ago == 1 and (failing_months(firm, month) or strain(firm, month) < 800):
            grade = "D" if failing_months(firm, month) else "C"
        run = run + 1 if grade == "A" else 0
        yield (
            january.first,
            {
                "C4.07.01": january.year,
                "C4.07.02": grade,
                "C4.07.03": hundredths(LOWEST_POINTS[grade] + chance * 8),
                "C4.07.04": run,
            },
        )


def _grade(firm: Firm, serial: int, chance: int) -> str:
    """Most firms keep their grade; the young are M, three in ten of the rest A."""
    if serial - firm.founded_month < 36:
        return "M"
    if firm.key // 8 % 100 < 30:
        return "A" if chance < 90 else "B"
    return "B" if chance < 75 else "M" if chance < 94 else "C"
