# SPDX-License-Identifier: Apache-2.0
"""Water, gas, steam, lines and deliveries of one firm: they follow its business as power does.

Same shape as `series`: pure functions (firm, month) → facts about the month.
"""

from app.city.firms import Firm
from app.city.months import MONTHS, Month
from app.city.names import UTILITIES, Utility
from app.city.series import METER_NOISE, Facts, headcount, revenue, unpaid_months

# section of GB/T 4754 → m³ of water and of gas per 1,000,000 yuan of revenue; who is not here burns no gas
WATER = {"C": 90, "E": 40, "F": 8, "G": 15, "H": 420, "I": 12, "M": 18}
GAS = {"C": 260, "H": 900}
STEAM_TRADES = {"1751", "3581", "2929"}
WATER_PRICE, GAS_PRICE, STEAM_PRICE = 410, 390, 24_000  # fen a m³, a m³, a tonne


def water(supplier: str, firm: Firm, month: Month) -> Facts:
    """C2.02 用水, from the waterworks of its district."""
    if _of(firm).water != supplier:
        return
    used, unpaid = _used(firm, month, WATER), unpaid_months(firm, month)
    owed = WATER_PRICE * sum(_used(firm, MONTHS[month.serial - back], WATER) for back in range(unpaid))
    yield (
        month.first,
        {
            "C2.02.01": f"DEMO-W{firm.key % 10**9:09d}",
            "C2.02.02": "工业用水" if firm.ways.section == "C" else "商业服务业用水",
            "C2.02.03": str(used),
            "C2.02.04": used * WATER_PRICE,
            "C2.02.05": None if unpaid else month.paid,
            "C2.02.06": owed,
            "C2.02.07": unpaid,
            "C2.02.08": unpaid > 6,
        },
    )


def gas(supplier: str, firm: Firm, month: Month) -> Facts:
    """C2.03 用气, of those who burn it, from the gasworks of its district."""
    if firm.ways.section not in GAS or _of(firm).gas != supplier:
        return
    used, unpaid = _used(firm, month, GAS), unpaid_months(firm, month)
    owed = GAS_PRICE * sum(_used(firm, MONTHS[month.serial - back], GAS) for back in range(unpaid))
    yield (
        month.first,
        {
            "C2.03.01": f"DEMO-G{firm.key % 10**9:09d}",
            "C2.03.02": "工业用气" if firm.ways.section == "C" else "商业用气",
            "C2.03.03": str(used),
            "C2.03.04": used * GAS_PRICE,
            "C2.03.05": None if unpaid else month.paid,
            "C2.03.06": owed,
            "C2.03.07": unpaid,
            "C2.03.08": unpaid > 6,
        },
    )


def steam(firm: Firm, month: Month) -> Facts:
    """C2.04 蒸汽与污水, of the trades that need it."""
    if firm.industry not in STEAM_TRADES:
        return
    tonnes, unpaid = max(1, _used(firm, month, WATER) // 6), unpaid_months(firm, month)
    yield (
        month.first,
        {
            "C2.04.01": f"DEMO-S{firm.key % 10**9:09d}",
            "C2.04.02": str(tonnes),
            "C2.04.03": tonnes * STEAM_PRICE,
            "C2.04.04": tonnes * STEAM_PRICE * unpaid,
            "C2.04.05": str(_used(firm, month, WATER) * 8 // 10),
        },
    )


def lines(firm: Firm, month: Month) -> Facts:
    """C2.12 通信与物流: the bill by staff, parcels by sales."""
    bill, unpaid = 8_000 + headcount(firm, month) * 6_500, unpaid_months(firm, month)
    yield (
        month.first,
        {
            "C2.12.01": bill,
            "C2.12.02": bill * unpaid,
            "C2.12.03": firm.staff // 150,
            "C2.12.04": revenue(firm, month) // 30_000_000 * (4 if firm.ways.section == "F" else 1),
            "C2.12.05": max(1, firm.staff // 3) if firm.ways.section == "G" else firm.staff // 60,
        },
    )


def _of(firm: Firm) -> Utility:
    """Who supplies the firm; the city's own where its district is none of the city's."""
    return UTILITIES.get(firm.division_real, UTILITIES["320508"])


def _used(firm: Firm, month: Month, rates: dict[str, int]) -> int:
    noise = METER_NOISE[(firm.key + month.serial * 15_485_867) & 4095]
    return max(1, revenue(firm, month) * rates.get(firm.ways.section, 10) // 100_000_000 * noise // 1000)
