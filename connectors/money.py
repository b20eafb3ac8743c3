# SPDX-License-Identifier: Apache-2.0
"""Amounts of money as registers write them: `12,500(万元人民币)`, `50万美元`, `200(万)`, `人民币1亿元`.

A text is a number, a scale (万, 亿, …) and a currency, the last two in brackets or not. Reading is exact:
integers and powers of ten, no floats, no rounding. What is not certain is not read, since a wrong guess is
off by a factor of ten thousand and stands in a credit report:

- 元 alone is the renminbi's unit (中国人民银行法 Art. 17). Where only a scale is written (`200(万)`) the
  currency is assumed, and `Money.assumed` says so.
- A number without any word is read only where the feed states the unit of its column, else not at all.
- ¥ and $ name several currencies and are not read; nor are 1亿2000万, 壹佰万 and 1e6.
- A part of a minor unit (0.001 yuan, half a yen) is not rounded: the text is not read.

`currencies.csv` gives each currency's minor unit by ISO 4217; for those withdrawn, the one it had before.
"""

import csv
import re
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from kernel.errors import SettingError

LONGEST_TEXT_CHARACTERS = 64
LARGEST_MINOR_UNITS = 2**63 - 1
CURRENCIES_FILE = Path(__file__).with_name("currencies.csv")

_SCALES = {"千": 3, "万": 4, "十万": 5, "百万": 6, "千万": 7, "亿": 8, "十亿": 9, "百亿": 10, "万亿": 12}
_TEXT = re.compile(
    r"(?P<before>[^0-9()+.,-]*)"
    r"(?P<sign>-?)(?P<whole>[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.(?P<fraction>[0-9]+))?"
    r"(?P<after>[^0-9]*)"
)
_WORDS = re.compile(r"(?P<scale>万亿|[十百千]?万|[十百]?亿|千)?(?P<yuan>元)?(?P<currency>.*)")

# Full-width signs, digits and letters to their plain forms; traditional characters to simplified ones.
_FOLDED = {0xFF01 + i: 0x21 + i for i in range(94)} | str.maketrans("萬億圓圆幣−", "万亿元元币-")


class Money(NamedTuple):
    """An exact amount in minor units of an ISO 4217 currency; `assumed` where no word named the currency."""

    minor_units: int
    currency: str
    assumed: bool


class Currencies(NamedTuple):
    """`digits`: ISO 4217 code → digits of its minor unit. `codes`: word that names a currency → its code."""

    digits: Mapping[str, int]
    codes: Mapping[str, str]


@lru_cache(maxsize=16_384)
def parse(text: str, unit: str = "", assume: str = "CNY", signed: bool = False) -> Money | None:
    """Read an amount exactly, or give None: no amount, ambiguous, not whole in minor units, above 2^63-1.

    `unit` (`元`, `万元`, `万美元`) belongs to numbers that stand without a word, `assume` is the currency
    where only a scale is written, `signed` permits a minus.
    """
    if len(text) > LONGEST_TEXT_CHARACTERS or (match := _TEXT.fullmatch(text.translate(_FOLDED))) is None:
        return None
    before, sign, whole, fraction, after = match.groups(default="")
    denomination = _denomination(before, after) if before or after else _denomination("", unit)
    if denomination is None or (sign and not signed):
        return None
    scale, named = denomination
    currency = named or assume
    power = scale + currencies().digits[currency] - len(fraction)
    digits = int(whole.replace(",", "") + fraction)
    amount, remainder = (digits * 10**power, 0) if power >= 0 else divmod(digits, 10**-power)
    if remainder or amount > LARGEST_MINOR_UNITS:
        return None
    return Money(-amount if sign else amount, currency, assumed=named is None)


def is_unit(unit: str) -> bool:
    """Whether `unit` can be stated for a column: a scale, a currency, or both (`元`, `万`, `万美元`)."""
    return _denomination("", unit) is not None


def unit_currency(unit: str) -> str | None:
    """The currency that a unit names; None where it is a scale alone, or no unit."""
    denomination = _denomination("", unit)
    return denomination[1] if denomination else None


def minor_digits(unit: str, currency: str) -> int:
    """How many digits lie between a unit of this currency and its minor unit: 6 for 万元, 2 for 元."""
    denomination = _denomination("", unit)
    if denomination is None:
        raise SettingError(f"{unit!r} is no unit of money")
    return denomination[0] + currencies().digits[currency]


@cache
def currencies() -> Currencies:
    """Read `currencies.csv` once. Raises `SettingError` naming the line that is broken or ambiguous."""
    return read_currencies(CURRENCIES_FILE)


def read_currencies(file: Path) -> Currencies:
    """Read a table of currencies: code, minor_units, name_en, names_zh (words, blanks between)."""
    digits: dict[str, int] = {}
    codes: dict[str, str] = {}
    with file.open(encoding="utf-8", newline="") as stream:
        rows = csv.DictReader(stream, strict=True)
        try:
            for row in rows:
                code = row["code"]
                digits[code] = int(row["minor_units"])
                for word in (code, *row["names_zh"].split()):
                    if codes.setdefault(word.translate(_FOLDED), code) != code:
                        raise ValueError(f"{word} names two currencies")
        except (KeyError, ValueError, AttributeError, csv.Error) as error:
            raise SettingError(f"{file.name} line {rows.line_num}: {error}") from error
    return Currencies(digits, codes)


@lru_cache(maxsize=4096)
def _denomination(before: str, after: str) -> tuple[int, str | None] | None:
    """What the words around a number say: power of ten, currency if one is named; None if unsure."""
    if after.count("(") != after.count(")"):
        return None  # the text may have been cut off, and its currency with it
    words = "".join(after.replace("(", "").replace(")", "").split())
    match = _WORDS.fullmatch(words)
    before = before.strip()
    if match is None or not (before or words):
        return None
    scale, yuan, name = match.group("scale", "yuan", "currency")
    codes = currencies().codes
    named = {codes.get(word) for word in (before, name) if word}
    if len(named) > 1 or None in named:
        return None
    if named:
        return _SCALES.get(scale, 0), named.pop()
    return _SCALES.get(scale, 0), "CNY" if yuan else None
