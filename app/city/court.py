# SPDX-License-Identifier: Apache-2.0
"""What courts do to one firm after `events` has it sued: hearings, judgments, limits, seizures, auctions, insolvency.

Same shape as `series`: pure functions (firm, month) → facts, each case going its way month by month.
"""

from app.city.events import COURT, PERFORMED, case_number, enforced, suits
from app.city.firms import Firm
from app.city.months import MONTHS, Month, day_in
from app.city.names import dice, person_name
from app.city.series import Facts, failing_months

TO_HEARING, TO_JUDGMENT = 2, 4  # months from filing


def hearings(firm: Firm, month: Month) -> Facts:
    """C5.02 开庭公告: two months after a case was filed."""
    for filed, case in suits(firm, month):
        heard = _later(str(filed), TO_HEARING)
        if heard is None or heard[:7] > month.text:
            continue
        other, sued = "苏州演示往来有限公司", case["C5.01.06"] == "被告"
        yield (
            heard,
            {
                "C5.02.01": case["C5.01.01"],
                "C5.02.02": case["C5.01.02"],
                "C5.02.03": heard,
                "C5.02.04": "第三法庭",
                "C5.02.05": other if sued else firm.name,
                "C5.02.06": firm.name if sued else other,
                "C5.02.07": person_name(9_000 + firm.key % 500),
            },
        )


def judgments(firm: Firm, month: Month) -> Facts:
    """C5.03 裁判文书: four months after filing; who fails loses, others mostly settle."""
    for n, (filed, case) in enumerate(suits(firm, month)):
        told = _later(str(filed), TO_JUDGMENT)
        if told is None or told[:7] > month.text:
            continue
        sued, claim = case["C5.01.06"] == "被告", case["C5.01.07"]
        assert isinstance(claim, int)
        lost = sued and (failing_months(firm, month) > 0 or (firm.key + n) % 3 == 0)
        settled = not lost and (firm.key + n) % 2 == 0
        yield (
            told,
            {
                "C5.03.01": case["C5.01.01"],
                "C5.03.02": "调解书" if settled else "判决书",
                "C5.03.03": told,
                "C5.03.04": "被告支付货款及利息（演示）" if lost else None,
                "C5.03.05": claim * 9 // 10 if lost else None,
                "C5.03.06": f"{firm.name}；苏州演示往来有限公司",
                "C5.03.07": COURT,
                "C5.03.08": "调解" if settled else "败诉" if lost else "胜诉",
            },
        )


def consumption_limits(firm: Firm, month: Month) -> Facts:
    """C5.06 限制消费: with each enforcement, against the firm and its legal representative, till it has performed."""
    open_ = failing_months(firm, month) > 0
    for n, serial, _ in enforced(firm, month):
        yield (
            day_in(serial, 28),
            {
                "C5.06.01": case_number(firm, serial, "执", n),
                "C5.06.02": f"{firm.name}、{person_name(firm.key // 256)}",
                "C5.06.03": "苏州演示往来有限公司",
                "C5.06.04": day_in(serial, 28),
                "C5.06.05": None if open_ else day_in(serial + PERFORMED, 16),
            },
        )


def terminated(firm: Firm, month: Month) -> Facts:
    """C5.07 终结本次执行: four months into an enforcement that found nothing."""
    if not failing_months(firm, month):
        return
    for n, serial, amount in enforced(firm, month):
        if serial + 4 > month.serial:
            continue
        yield (
            day_in(serial + 4, 15),
            {
                "C5.07.01": case_number(firm, serial, "执", n),
                "C5.07.02": day_in(serial + 4, 15),
                "C5.07.03": amount,
                "C5.07.04": amount * 9 // 10,
            },
        )


def seizures(firm: Firm, month: Month) -> Facts:
    """C5.08 查封冻结: a month into each enforcement, till the firm has performed."""
    open_ = failing_months(firm, month) > 0
    for n, serial, _ in enforced(firm, month):
        if serial + 1 > month.serial:
            continue
        yield (
            day_in(serial + 1, 9),
            {
                "C5.08.01": "机器设备（演示）" if n == 0 else f"银行账户{n}（演示）",
                "C5.08.02": "查封" if n == 0 else "冻结",
                "C5.08.03": COURT,
                "C5.08.04": f"{case_number(firm, serial, '执', n)}之一",
                "C5.08.05": day_in(serial + 1, 9),
                "C5.08.06": None if open_ else day_in(serial + PERFORMED, 12),
                "C5.08.07": 1 + n,
            },
        )


def auctions(firm: Firm, month: Month) -> Facts:
    """C5.09 司法拍卖: of the machines that were seized first, five months into the enforcement."""
    if not failing_months(firm, month):
        return
    for n, serial, amount in enforced(firm, month)[:1]:
        if serial + 5 > month.serial:
            continue
        worth = amount // 2
        yield (
            day_in(serial + 5, 18),
            {
                "C5.09.01": "机器设备（演示）",
                "C5.09.02": worth,
                "C5.09.03": worth * 7 // 10,
                "C5.09.04": worth * 75 // 100 if dice(firm.key + n).randrange(3) else None,
                "C5.09.05": day_in(serial + 5, 18),
            },
        )


def insolvency(firm: Firm, month: Month) -> Facts:
    """C5.10 破产重整: three in ten of those that have failed for eight months."""
    failing = failing_months(firm, month)
    if failing < 8 or firm.key // 4 % 10 >= 3:
        return
    serial = month.serial - failing + 8
    yield (
        day_in(serial, 21),
        {
            "C5.10.01": case_number(firm, serial, "破", 0),
            "C5.10.02": "破产重整" if firm.size in ("medium", "large") else "破产清算",
            "C5.10.03": day_in(serial, 21),
            "C5.10.04": "演示律师事务所",
            "C5.10.05": day_in(serial, 26),
            "C5.10.06": "宣告破产" if failing >= 11 and firm.size in ("micro", "small") else None,
        },
    )


def equity_freezes(firm: Firm, month: Month) -> Facts:
    """C7.04 股权冻结: a shareholder of a firm that has failed for half a year; once in every other old case."""
    failing, cases = failing_months(firm, month), enforced(firm, month)
    if not cases or not (failing >= 6 or (not failing and firm.key // 100 % 2)):
        return
    serial = month.serial - failing + 6 if failing else cases[0][1] + 2
    since = day_in(serial, 9)
    yield (
        since,
        {
            "C7.04.01": f"演示执保{firm.key % 10**6:06d}号",
            "C7.04.02": person_name(firm.key // 256),
            "C7.04.03": firm.capital_fen // 2,
            "C7.04.04": since,
            "C7.04.05": day_in(serial + 36, 9),
            "C7.04.06": COURT,
            "C7.04.07": None if failing else day_in(serial + PERFORMED - 2, 19),
        },
    )


def _later(day: str, months: int) -> str | None:
    """The same day of a later month, within the calendar of the city."""
    serial = next((month.serial for month in MONTHS if month.text == day[:7]), None)
    return None if serial is None or serial + months >= len(MONTHS) else day_in(serial + months, int(day[8:]))
