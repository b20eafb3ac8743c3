# SPDX-License-Identifier: Apache-2.0
"""What happens to one firm: loans and defaults, penalties, suits, enforcement, dishonesty, equity pledges.

Same shape as `series`: pure functions (firm, month) → facts, all that happened up to the month's end.
A failing firm goes through it in order: loans overdue, sued, enforced, now and then listed as dishonest.
"""

from collections.abc import Iterator
from typing import NamedTuple

from app.city.firms import Firm
from app.city.months import MONTHS, Month, day_in
from app.city.names import dice, person_name
from app.city.series import Facts, failing_months, hundredths, strain

LENDERS = {"S66": "演示城市商业银行", "S67": "演示农村商业银行A", "S68": "演示农村商业银行B"}
# Types of security in the shares that A19 reports.
SECURITIES, SECURITY_WEIGHTS = ("抵押", "保证", "信用", "质押", "信保基金"), (44, 24, 21, 6, 5)
CAUSES = ("买卖合同纠纷", "金融借款合同纠纷", "劳动争议", "租赁合同纠纷", "承揽合同纠纷")
OFFENCES = (
    ("广告用语不规范", "警告"),
    ("未按规定公示信息", "罚款"),
    ("产品标签不合格", "罚款"),
    ("消防设施维护不到位", "罚款"),
)
COURT = "演示人民法院"
PERFORMED = 5  # months that an enforcement took which ended well


class Loan(NamedTuple):
    """One loan of a firm: its number, the serial of the month it was lent in, fen, whether repaid."""

    n: int
    lent: int
    amount: int
    settled: bool


def loans(lender: str, firm: Firm, month: Month) -> Facts:
    """C3.02 贷款 of this lender, repaid ones too; overdue days and class follow the months of failing."""
    for n, serial, amount, settled in loans_of(lender, firm, month):
        rng = dice(firm.key + 302 + n)
        lent, due = day_in(serial, 1 + (firm.key + n) % 28), day_in(serial + 12, 1 + (firm.key + n) % 28)
        overdue = 0 if settled else max(0, failing_months(firm, month) * 30 - rng.randrange(20))
        balance = 0 if settled else amount * rng.choice((100, 100, 80, 60)) // 100
        warned = overdue == 0 and not settled and strain(firm, month) < 800
        yield (
            lent,
            {
                "C3.02.01": f"DEMO{lender}{firm.key:015d}{n + 1:02d}",
                "C3.02.02": LENDERS[lender],
                "C3.02.03": "固定资产贷款" if n % 4 == 3 else "流动资金贷款",
                "C3.02.04": lent,
                "C3.02.05": due,
                "C3.02.06": amount,
                "C3.02.07": balance,
                "C3.02.08": "CNY",
                "C3.02.09": hundredths(345 + rng.randrange(180)),
                "C3.02.10": "按月付息到期还本",
                "C3.02.11": rng.choices(SECURITIES, SECURITY_WEIGHTS)[0],
                "C3.02.12": "购置设备" if n % 4 == 3 else "经营周转",
                "C3.02.13": "关注" if warned else _five_tier(overdue),
                "C3.02.14": overdue,
                "C3.02.15": balance if overdue else 0,
                "C3.02.16": balance * 45 * overdue // 365_000,
                "C3.02.17": False,
                "C3.02.18": n > 0 and rng.randrange(8) == 0,
                "C3.02.19": firm.loans == 1 and rng.randrange(3) == 0,
                "C3.02.20": due if settled else None,
            },
        )


def loans_of(lender: str, firm: Firm, month: Month) -> Iterator[Loan]:
    """This lender's loans to the firm: lenders take turns, open loans sum to the debt of its balance sheet.

    One in three was lent long ago and is settled; those of a failing firm were lent before it failed.
    """
    amount = firm.debt_fen // max(1, firm.loans - firm.loans // 3)
    begin = (list(LENDERS).index(lender) - firm.key) % len(LENDERS)
    for n in range(begin, firm.loans, len(LENDERS)):
        age = 1 + (firm.key // 32 + n * 5) % 11 + (13 + n if n % 3 == 2 else 0)
        lent = max(firm.founded_month, month.serial - failing_months(firm, month) - age)
        yield Loan(n, lent, amount, n % 3 == 2 and lent + 12 < month.serial)


def _five_tier(overdue_days: int) -> str:
    """Five-tier classification by days overdue alone (the limits of 2023: 90, 270, 360)."""
    if overdue_days == 0:
        return "正常"
    if overdue_days <= 90:
        return "关注"
    return "次级" if overdue_days <= 270 else "可疑" if overdue_days <= 360 else "损失"


def defaults(lender: str, firm: Firm, month: Month) -> Facts:
    """C3.08 违约记录: open in the second month of failing; a few others have one that is settled."""
    failing = failing_months(firm, month)
    stumbled = not failing and firm.key // 4 % 100 < (30 if strain(firm, month) < 1000 else 1)
    for n, lent, amount, settled in loans_of(lender, firm, month):
        begin = month.serial - failing + 1 if failing else max(lent, month.serial - 9)
        if settled or begin == month.serial or not (failing or (stumbled and n == 0)):
            continue
        since = day_in(begin, 1 + (firm.key + n) % 28)
        yield (
            since,
            {
                "C3.08.01": "贷款逾期",
                "C3.08.02": LENDERS[lender],
                "C3.08.03": amount if failing else amount // 20,
                "C3.08.04": since,
                "C3.08.05": None if failing else day_in(begin + 1, 1 + (firm.key + n) % 28),
                "C3.08.06": "未结清" if failing else "已结清",
                "C3.08.07": "诉讼" if failing > 3 else "催收",
            },
        )


def suits(firm: Firm, month: Month) -> Facts:
    """C5.01 立案: the quarrels of a going concern; a failing one has a new creditor every second month."""
    failing = failing_months(firm, month)
    old = [
        (month.serial - 1 - (firm.key // 16 + n * 17) % 40, "原告" if (firm.key + n) % 5 < 3 else "被告")
        for n in range(firm.suits)
    ]
    new = [(month.serial - failing + 1 + step, "被告") for step in range(1, failing, 2)]
    for n, (serial, role) in enumerate(old + new):
        if serial < firm.founded_month:
            continue
        filed = day_in(serial, 1 + (firm.key + n) % 28)
        yield (
            filed,
            {
                "C5.01.01": case_number(firm, serial, "民初", n),
                "C5.01.02": CAUSES[1 if n == len(old) and firm.loans else (firm.key + n) % len(CAUSES)],
                "C5.01.03": "民事一审",
                "C5.01.04": filed,
                "C5.01.05": COURT,
                "C5.01.06": role,
                "C5.01.07": firm.revenue_fen * (3 + (firm.key + n * 11) % 50) // 100,
            },
        )


def enforcement(firm: Firm, month: Month) -> Facts:
    """C5.04 被执行人: from the fourth month of failing; one in a hundred others, long performed."""
    for n, serial, amount in enforced(firm, month):
        filed, open_ = day_in(serial, 1 + (firm.key + n) % 28), failing_months(firm, month) > 0
        yield (
            filed,
            {
                "C5.04.01": case_number(firm, serial, "执", n),
                "C5.04.02": filed,
                "C5.04.03": COURT,
                "C5.04.04": amount,
                "C5.04.05": "执行中" if open_ else "执行完毕",
                "C5.04.06": amount * 9 // 10 if open_ else 0,
            },
        )


def enforced(firm: Firm, month: Month) -> list[tuple[int, int, int]]:
    """(number, month, amount in fen) of its enforcement cases."""
    failing = failing_months(firm, month)
    months = list(range(month.serial - failing + 4, month.serial + 1, 3)) if failing else []
    if not failing and firm.key % 100 == 7:
        months = [max(firm.founded_month, month.serial - 20)]
    return [(n, serial, firm.revenue_fen * (5 + (firm.key + n * 7) % 40) // 100) for n, serial in enumerate(months)]


def dishonesty(firm: Firm, month: Month) -> Facts:
    """C5.05 失信被执行人: four in ten of those enforced against for two months; once in every other old case."""
    failing, cases = failing_months(firm, month), enforced(firm, month)
    once = not failing and firm.key // 100 % 2 == 0
    if not cases or not (once or (failing >= 6 and firm.key // 4 % 10 < 4)):
        return
    n, serial, _ = cases[0]
    listed = day_in(serial + 2, 3)
    yield (
        listed,
        {
            "C5.05.01": case_number(firm, serial - 2, "民初", n),
            "C5.05.02": "有履行能力而拒不履行生效法律文书确定义务",
            "C5.05.03": "全部已履行" if once else "全部未履行",
            "C5.05.04": listed,
            "C5.05.05": "支付货款及利息（演示）",
            "C5.05.06": day_in(serial + PERFORMED, 9) if once else None,
            "C5.05.07": case_number(firm, serial, "执", n),
        },
    )


def penalties(authority: str, firm: Firm, month: Month) -> Facts:
    """C4.10 行政处罚 by this authority: small ones, performed and repaired unless the firm is failing."""
    for n in range(firm.penalties):
        if (firm.key // 2 + n) % len(AUTHORITIES) != list(AUTHORITIES).index(authority):
            continue
        serial = max(firm.founded_month, month.serial - 2 - (firm.key // 8 + n * 13) % 30)
        decided = day_in(serial, 1 + (firm.key + n) % 28)
        offence, kind = OFFENCES[(firm.key + n) % len(OFFENCES)]
        failing = failing_months(firm, month) > 0
        yield (
            decided,
            {
                "C4.10.01": f"演示罚字〔{MONTHS[serial].year}〕{firm.key % 1_000_000:06d}-{n + 1}号",
                "C4.10.02": f"{offence}（演示）",
                "C4.10.03": "演示条款",
                "C4.10.04": kind,
                "C4.10.05": 0 if kind == "警告" else 100_000 * (1 + firm.key % 40),
                "C4.10.06": 0,
                "C4.10.07": decided,
                "C4.10.08": AUTHORITIES[authority],
                "C4.10.09": day_in(serial + 36, 1 + (firm.key + n) % 28),
                "C4.10.10": "未履行" if failing else "已履行",
                "C4.10.11": "未修复" if failing or firm.key % 3 == 0 else "已修复",
            },
        )


AUTHORITIES = {"S01": "市场监督管理局（演示）", "S11": "应急管理局（演示）", "S32": "消防救援支队（演示）"}


def pledges(firm: Firm, month: Month) -> Facts:
    """C7.03 股权出质: in favour of a demo bank; of healthy firms one in three has ended within the year."""
    for n in range(firm.pledges):
        serial = max(firm.founded_month, month.serial - 1 - (firm.key // 4 + n * 7) % 24)
        ended = firm.key % 3 == 0 and serial + 11 <= month.serial and not failing_months(firm, month)
        registered = day_in(serial, 1 + (firm.key + n) % 28)
        yield (
            registered,
            {
                "C7.03.01": f"DEMO-GQ-{firm.key % 10**9:09d}-{n + 1}",
                "C7.03.02": person_name(firm.key // 256),
                "C7.03.03": LENDERS["S66"],
                "C7.03.04": firm.capital_fen * (20 + firm.key % 50) // 100,
                "C7.03.05": registered,
                "C7.03.06": "无效" if ended else "有效",
                "C7.03.07": day_in(serial + 11, 28) if ended else None,
            },
        )


def case_number(firm: Firm, serial: int, kind: str, n: int) -> str:
    """A case number of an invented court."""
    return f"（{MONTHS[serial].year}）演示{kind}{firm.key % 1_000_000:06d}{n + 1:02d}号"
