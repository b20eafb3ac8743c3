# SPDX-License-Identifier: Apache-2.0
"""Names and codes of the demo city: plausible at a glance, recognisably invented at a second."""

from datetime import date
from random import Random
from typing import NamedTuple

from kernel.uscc import SYMBOLS, check_symbol, organisation_code_is_valid

UNASSIGNED_DIVISION = "320599"  # GB/T 2260 gives it to nobody, so no real enterprise can be meant
ORGANISATIONS = len(SYMBOLS) ** 6
ANCHOR = date(2026, 8, 1)  # the last full month of the city's story; growth and ages count from here
STEMS = "恒睿拓澜启诺锦铭盛腾致衡朗泽卓谦昱晟翊晖"
HEAVENLY_STEMS = "甲乙丙丁戊己庚辛壬癸"


class District(NamedTuple):
    """A real district of Suzhou (requirements 2.2); 园区 has only a statistical code."""

    code: str
    short: str
    full: str
    postcode: str


DISTRICTS = (
    District("320505", "虎丘", "虎丘区", "215011"),
    District("320506", "吴中", "吴中区", "215128"),
    District("320507", "相城", "相城区", "215131"),
    District("320508", "姑苏", "姑苏区", "215031"),
    District("320509", "吴江", "吴江区", "215200"),
    District("320571", "园区", "工业园区", "215028"),
    District("320581", "常熟", "常熟市", "215500"),
    District("320582", "张家港", "张家港市", "215600"),
    District("320583", "昆山", "昆山市", "215300"),
    District("320585", "太仓", "太仓市", "215400"),
)
DISTRICT_WEIGHTS = (8, 10, 9, 7, 13, 14, 11, 9, 15, 6)


class Utility(NamedTuple):
    """The sources of a district's water and gas."""

    water: str
    gas: str


UTILITIES = {
    "320505": Utility("S51", "S56"),
    "320506": Utility("S51", "S56"),
    "320507": Utility("S51", "S56"),
    "320508": Utility("S51", "S56"),
    "320509": Utility("S52", "S57"),
    "320571": Utility("S55", "S59"),
    "320581": Utility("S53", "S58"),
    "320582": Utility("S53", "S58"),
    "320583": Utility("S54", "S57"),
    "320585": Utility("S54", "S58"),
}


class Industry(NamedTuple):
    """A class of GB/T 4754-2017 and its ways, our own guesses.

    `kwh` is per 10,000 yuan of revenue, `revenue_a_head` in 10,000 yuan a year; gross margin and the shares
    of exporters and of high-tech firms are permille, the VAT rate is percent.
    """

    code: str
    section: str
    trade: str
    kwh: int
    revenue_a_head: int
    margin: int
    exporters: int
    hightech: int
    vat: int


INDUSTRIES = (
    Industry("3484", "C", "精密机械", 420, 75, 240, 300, 180, 13),
    Industry("3525", "C", "模具制造", 460, 65, 260, 220, 160, 13),
    Industry("3670", "C", "汽车零部件", 480, 95, 200, 350, 150, 13),
    Industry("3982", "C", "电子电路", 900, 85, 190, 500, 220, 13),
    Industry("3973", "C", "集成电路", 760, 130, 330, 480, 480, 13),
    Industry("3825", "C", "光伏科技", 650, 140, 180, 450, 300, 13),
    Industry("3581", "C", "医疗器械", 240, 90, 450, 260, 380, 13),
    Industry("2929", "C", "塑料制品", 700, 70, 180, 250, 60, 13),
    Industry("1751", "C", "纺织科技", 980, 80, 140, 380, 40, 13),
    Industry("5165", "F", "建材贸易", 12, 320, 90, 20, 0, 13),
    Industry("5179", "F", "机电设备销售", 15, 280, 120, 150, 5, 13),
    Industry("5431", "G", "物流运输", 45, 60, 130, 30, 5, 9),
    Industry("6513", "I", "软件科技", 35, 60, 520, 60, 300, 6),
    Industry("6531", "I", "信息系统集成", 40, 80, 300, 20, 200, 6),
    Industry("7320", "M", "工程技术研究", 60, 55, 380, 40, 260, 6),
    Industry("5011", "E", "建筑装饰工程", 50, 90, 140, 5, 10, 9),
    Industry("6210", "H", "餐饮管理", 340, 42, 480, 0, 0, 6),
)
INDUSTRY_WEIGHTS = (12, 8, 7, 6, 3, 2, 4, 7, 7, 9, 9, 5, 7, 4, 3, 5, 4)


def demo_institutions() -> tuple[tuple[str, str], ...]:
    """The 96 connected institutions (G1) as (name, kind), in the proportions of A17."""
    kinds = (
        ("bank", "银行", 58),
        ("insurer", "保险", 11),
        ("guarantor", "担保", 22),
        ("investor", "创投", 5),
    )
    return tuple((f"演示{zh}{n:02d}", kind) for kind, zh, count in kinds for n in range(1, count + 1))


def uscc_of(number: int, seed: int) -> str:
    """The USCC of the city's enterprise `number`: distinct below 31**6, both of its check symbols right."""
    rest = (number * 524_287_001 + seed * 7_368_787) % ORGANISATIONS  # one to one: 31 does not divide the factor
    symbols = ""
    for _ in range(6):
        rest, symbol = divmod(rest, len(SYMBOLS))
        symbols += SYMBOLS[symbol]
    organisation = next(
        f"MA{symbols}{check}" for check in "0123456789X" if organisation_code_is_valid(f"MA{symbols}{check}")
    )
    first17 = f"91{UNASSIGNED_DIVISION}{organisation}"
    return first17 + check_symbol(first17)


def dice(key: int) -> Random:
    """Chance that falls the same for the same key."""
    return Random(key)  # noqa: S311  nothing here is a secret


def firm_name(district: str, trade: str, key: int, number: int) -> str:
    """Such as 昆山演示恒拓精密机械有限公司0042."""
    return f"{district}演示{STEMS[key % 20]}{STEMS[key // 20 % 20]}{trade}有限公司{number:04d}"


def person_name(number: int) -> str:
    """Such as 演示人员甲0017; no real person can be called so."""
    return f"演示人员{HEAVENLY_STEMS[number % 10]}{number // 10 % 10_000:04d}"
