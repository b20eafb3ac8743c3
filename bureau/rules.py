# SPDX-License-Identifier: Apache-2.0
"""What must hold between and beyond the types of a record's items; what breaks a rule is blanked, with a warning.

`rules.csv` has a line for each rule, checked against the catalogue at the start:

    order  `item` may not lie before `least`, another date of its dataset
    range  `item` may not be less than `least` nor more than `most`; left empty, there is no such bound

And of every amount whose unit is `@ITEM`, by the catalogue itself: it needs the currency in that item. Which rules
there are is our proposal (征信业管理条例 Art. 23 asks for reasonable measures). Pure.
"""

import csv
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import NamedTuple

from bureau import catalogue
from bureau.catalogue import Catalogue, Dataset, Item
from bureau.records import Value
from kernel.errors import SettingError

SHIPPED = Path(__file__).with_name("rules.csv")
HEADER = ["kind", "item", "least", "most"]
NUMBERS = ("integer", "decimal", "money")


class Check(NamedTuple):
    """`breaks` says whether a record's items break a rule; `item` is then blanked, and `warning` says why."""

    item: str
    warning: str
    breaks: Callable[[Mapping[str, Value]], bool]


Rules = Mapping[str, tuple[Check, ...]]


def broken(dataset: str, items: Mapping[str, Value]) -> dict[str, str]:
    """The items that break a rule of their dataset, and what is wrong with each."""
    return {check.item: check.warning for check in current().get(dataset, ()) if check.breaks(items)}


@cache
def current() -> Rules:
    """The shipped rules over the process's catalogue, checked once."""
    return load(SHIPPED, catalogue.current())


def load(file: Path, over: Catalogue) -> Rules:
    """The rules of a file by dataset. Raises SettingError with file and line."""
    checks: dict[str, list[Check]] = {code: list(_currencies(one)) for code, one in over.datasets.items()}
    with file.open(encoding="utf-8", newline="") as lines:
        reader = csv.reader(lines, strict=True)
        if next(reader, None) != HEADER:
            raise SettingError(f"{file.name} line 1: expected the header {','.join(HEADER)}")
        for cells in reader:
            where = f"{file.name} line {reader.line_num}"
            if len(cells) != len(HEADER) or cells[1] not in over.items:
                raise SettingError(f"{where}: expected {','.join(HEADER)} of an item of the catalogue")
            item = over.items[cells[1]]
            checks[item.dataset].append(_check(where, cells[0], item, cells[2], cells[3], over))
    return {code: tuple(held) for code, held in checks.items() if held}


def _check(where: str, kind: str, item: Item, least: str, most: str, over: Catalogue) -> Check:
    if kind == "order":
        other = over.items.get(least)
        if not other or {item.type, other.type} != {"date"} or item.dataset != other.dataset or most:
            raise SettingError(f"{where}: order names two dates of one dataset")
        if item.code == over.datasets[item.dataset].event_date_item:
            raise SettingError(f"{where}: {item.code} is the event date, and is not blanked")
        return Check(item.code, f"before-{other.code}", _lies_before(item.code, other.code))
    if kind != "range" or item.type not in NUMBERS:
        raise SettingError(f"{where}: expected order or range, a range of a number")
    try:
        bounds = [Decimal(text) if text else None for text in (least, most)]
    except ArithmeticError as error:
        raise SettingError(f"{where}: {least!r} and {most!r} must be numbers or empty") from error
    return Check(item.code, "out-of-range", _is_out_of(item.code, *bounds))


def _lies_before(item: str, other: str) -> Callable[[Mapping[str, Value]], bool]:
    def breaks(items: Mapping[str, Value]) -> bool:
        later, earlier = items.get(item), items.get(other)
        return later is not None and earlier is not None and str(later) < str(earlier)

    return breaks


def _is_out_of(item: str, least: Decimal | None, most: Decimal | None) -> Callable[[Mapping[str, Value]], bool]:
    def breaks(items: Mapping[str, Value]) -> bool:
        value = items.get(item)
        if value is None:
            return False
        number = Decimal(value)
        return (least is not None and number < least) or (most is not None and number > most)

    return breaks


def _currencies(dataset: Dataset) -> list[Check]:
    amounts = {item.code: item.unit[1:] for item in dataset.items if item.unit.startswith("@")}
    return [Check(code, "without-currency", _lacks(code, currency)) for code, currency in amounts.items()]


def _lacks(amount: str, currency: str) -> Callable[[Mapping[str, Value]], bool]:
    return lambda items: items.get(amount) is not None and items.get(currency) is None
