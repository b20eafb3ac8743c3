# SPDX-License-Identifier: Apache-2.0
"""A department's words → the catalogue's items: pure, one row at a time.

The catalogue's type of an item says how its text is read; what the text cannot tell (the unit of a bare
number) the feed states. Blanks around a text are trimmed; strings are not changed otherwise. Where reading
changed a value, `Row.raw` keeps the trimmed text beside it. Where reading failed, the item is null, its text
is in `raw` and a warning (`C1.01.07 unreadable-money`) goes to the receipt; only a column that the feed
requires rejects its row (`missing-C1.01.01`, `unreadable-C1.01.10`). Whether the USCC is one, and whether the
dataset's key is complete, the intake judges.

Text that looks like a formula (`=1+1`, `@SUM`) is text: nothing here or below evaluates it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache

from bureau.records import Row, Unreadable, Value
from connectors import money
from kernel import uscc

LARGEST_INTEGER = 2**63 - 1
LONGEST_NUMBER_CHARACTERS = 64
YEARS = range(1600, 2300)  # the years that the intake takes; 0201 or 9999 is a slip or a filler, not a date

# What Unicode calls white space (U+3000 and NBSP among it), and ZWSP and BOM, which only look like it.
BLANKS = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\u200b\ufeff"
)

_PLAIN = {0xFF01 + i: 0x21 + i for i in range(94)} | {ord("−"): "-"}
_NUMBER = re.compile(r"(-?)([0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.([0-9]+))?")
_DATE = re.compile(
    r"(?P<year>[0-9]{4})(?:(?P<sign>[-/.])(?P<m1>[0-9]{1,2})(?P=sign)(?P<d1>[0-9]{1,2})"
    r"|(?P<m2>[0-9]{2})(?P<d2>[0-9]{2})|年(?P<m3>[0-9]{1,2})月(?P<d3>[0-9]{1,2})日)"
    r"(?:[ T]00?:00(?::00(?:\.0+)?)?)?"  # databases and spreadsheets write a date as its midnight
)
_MONTH = re.compile(r"(?P<year>[0-9]{4})(?:[-/.](?P<m1>[0-9]{1,2})|(?P<m2>[0-9]{2})|年(?P<m3>[0-9]{1,2})月)")
_BOOLEANS = dict.fromkeys(["是", "有", "1", "Y", "true", "TRUE"], True)
_BOOLEANS |= dict.fromkeys(["否", "无", "0", "N", "false", "FALSE"], False)


@dataclass(frozen=True, slots=True)
class Column:
    """One column and the item that it fills; `type` and `item_unit` are the catalogue's.

    `unit` and `signed` speak of money only (see `money.parse`). A money item whose unit is `@ITEM` fills that
    item with its currency. `codes` are the source's words → ours; a word that is not among them is unreadable.
    """

    name: str
    item: str
    type: str
    item_unit: str = ""
    required: bool = False
    unit: str = ""
    signed: bool = False
    codes: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Translation:
    """How the rows of one feed become records of one dataset.

    `constants` are items that hold for every row of the feed. `division_item` is filled from positions 3-8 of
    the USCC, with the texts of `division_raw`, joined by a blank, as its raw. The event date is that of the
    dataset's `event_item` or, where it has none, of the column `event_column` (a date, or a month: its first
    day). A row with one of `acts` (the source's words → `correct`, `withdraw`) in `act_column` amends the record that
    `record_column` names or, where that is empty or there is none, its own key.
    """

    dataset: str
    uscc_column: str
    columns: tuple[Column, ...]
    nulls: frozenset[str]
    constants: Mapping[str, Value]
    division_item: str | None = None
    division_raw: tuple[str, ...] = ()
    event_item: str | None = None
    event_column: str | None = None
    act_column: str | None = None
    acts: Mapping[str, str] = field(default_factory=dict)
    record_column: str | None = None


def map_row(translation: Translation, number: int, cells: Mapping[str, str]) -> Row | Unreadable:
    """Put one delivered row into the catalogue's words, or say why not. The USCC is trimmed, not judged."""
    items: dict[str, Value] = dict(translation.constants)
    raw: dict[str, str] = {}
    warnings: list[str] = []
    for column in translation.columns:
        item = column.item
        text = cells[column.name].strip(BLANKS)
        if text in translation.nulls:
            if column.required:
                return Unreadable(number, f"missing-{item}", cells)
            items[item] = None
            if text:
                raw[item] = text
        elif column.type == "string" and column.codes is None:
            items[item] = text
        else:
            value = items[item] = _value(column, text, items, warnings)
            if value is None and column.required:
                return Unreadable(number, f"unreadable-{item}", cells)
            # A sum is never beyond doubt, so its text is kept even where only the unit was added.
            if str(value) != text or column.type == "money":
                raw[item] = text
    code = cells[translation.uscc_column].strip(BLANKS)
    if (division_item := translation.division_item) is not None:
        items[division_item] = uscc.division(code) if uscc.has_pattern(code) else None
        if place := _place(translation.division_raw, translation.nulls, cells):
            raw[division_item] = place
    try:
        event_date = _event_date(translation, cells, items)
    except ValueError:
        return Unreadable(number, "unreadable-event_date", cells)
    act, record = _act(translation, cells)
    if act is None:
        return Unreadable(number, "unreadable-act", cells)
    return Row(number, code, translation.dataset, event_date, items, raw, tuple(warnings), cells, act, record)


def _act(translation: Translation, cells: Mapping[str, str]) -> tuple[str | None, str]:
    """What a row does to an earlier record, and to which; `act` is empty for a record, None for an unknown word."""
    if translation.act_column is None:
        return "", ""
    word = cells[translation.act_column].strip(BLANKS)
    if word in translation.nulls:
        return "", ""
    record = cells[translation.record_column].strip(BLANKS) if translation.record_column else ""
    return translation.acts.get(word), "" if record in translation.nulls else record


def _value(column: Column, text: str, items: dict[str, Value], warnings: list[str]) -> Value:
    """Read a text that is not null as the catalogue's type; None, with a warning, where it is none."""
    if column.type == "money":
        return _amount(column, text, items, warnings)
    word = text if column.codes is None else column.codes.get(text)
    value = None if word is None else read_value(column.type, word, column.item_unit)
    if value is None:
        warnings.append(f"{column.item} unreadable-{'code' if word is None else column.type}")
    return value


def read_value(type_: str, text: str, unit: str = "") -> Value:
    """Read a trimmed text as any type of the catalogue but money; None where it is no such thing."""
    return text if type_ == "string" else _READ[type_](text, unit)


def _amount(column: Column, text: str, items: dict[str, Value], warnings: list[str]) -> int | None:
    """Read money and fill its currency item, on which amounts that share it must agree."""
    currency_item = column.item_unit[1:] if column.item_unit.startswith("@") else None
    due = items.get(currency_item) if currency_item else column.item_unit
    assume = "CNY" if currency_item else column.item_unit
    amount = money.parse(text, column.unit, assume, column.signed)
    if amount is None or (due is not None and amount.currency != due):
        warnings.append(f"{column.item} unreadable-money")
        return None
    if amount.assumed:
        warnings.append(f"{column.item} assumed-currency")
    if currency_item:
        items[currency_item] = amount.currency
    return amount.minor_units


def _place(words: tuple[str, ...], nulls: frozenset[str], cells: Mapping[str, str]) -> str:
    """What the source calls the place: `江苏 苏州`."""
    texts = [cells[name].strip(BLANKS) for name in words]
    return " ".join([text for text in texts if text not in nulls])


def _event_date(translation: Translation, cells: Mapping[str, str], items: Mapping[str, Value]) -> str | None:
    """The record's event date, None where there is none. Raises `ValueError` for a text that is no date."""
    if translation.event_item is not None:
        value = items.get(translation.event_item)
        return value if isinstance(value, str) else None
    if translation.event_column is None:
        return None
    text = cells[translation.event_column].strip(BLANKS)
    if text in translation.nulls:
        return None
    if (day := _read_date(text)) is not None:
        return day
    if (month := _read_month(text)) is not None:
        return f"{month}-01"
    raise ValueError("neither a date nor a month")


@lru_cache(maxsize=16_384)
def _read_date(text: str, _unit: str = "") -> str | None:
    """A real day, year first: 2019-05-06, 2019/5/6, 20190506, 2019年5月6日."""
    match = _DATE.fullmatch(text.translate(_PLAIN))
    if match is None:
        return None
    parts = match.groupdict()
    month, day = (parts[f"{part}1"] or parts[f"{part}2"] or parts[f"{part}3"] for part in "md")
    if int(parts["year"]) not in YEARS:
        return None
    try:
        return date(int(parts["year"]), int(month), int(day)).isoformat()
    except ValueError:
        return None


def _read_month(text: str, _unit: str = "") -> str | None:
    """A real month, year first: 2019-05, 2019/5, 201905, 2019年5月."""
    match = _MONTH.fullmatch(text.translate(_PLAIN))
    if match is None:
        return None
    month = int(match["m1"] or match["m2"] or match["m3"])
    return f"{match['year']}-{month:02}" if int(match["year"]) in YEARS and 1 <= month <= 12 else None


def _read_integer(text: str, unit: str) -> int | None:
    """A whole number, thousands commas and the item's own unit allowed: 1,200 or 1200人."""
    match = _number(text, unit)
    if match is None or match[3]:
        return None
    value = int(match[1] + match[2].replace(",", ""))
    return value if abs(value) <= LARGEST_INTEGER else None


def _read_decimal(text: str, unit: str) -> str | None:
    """A decimal in canonical notation, no needless zeros: 1,234.50 → 1234.5, 12.5% → 12.5."""
    match = _number(text, unit)
    if match is None:
        return None
    whole = match[2].replace(",", "").lstrip("0") or "0"
    fraction = (match[3] or "").rstrip("0")
    digits = f"{whole}.{fraction}" if fraction else whole
    return digits if digits == "0" else match[1] + digits


def _number(text: str, unit: str) -> re.Match[str] | None:
    if len(text) > LONGEST_NUMBER_CHARACTERS:
        return None
    return _NUMBER.fullmatch(text.translate(_PLAIN).removesuffix(unit).rstrip())


def _read_boolean(text: str, _unit: str) -> bool | None:
    return _BOOLEANS.get(text.translate(_PLAIN))


_READ: Mapping[str, Callable[[str, str], Value]] = {
    "integer": _read_integer,
    "decimal": _read_decimal,
    "boolean": _read_boolean,
    "date": _read_date,
    "month": _read_month,
}
