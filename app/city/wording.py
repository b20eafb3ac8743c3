# SPDX-License-Identifier: Apache-2.0
"""A record in its department's own words, such that `connectors.mapping` reads the same record back.

Exact or not at all: an item that the feed has no column for, a word that its codes lack, an amount that its unit or
sign cannot tell ends the writing, named by feed and item. Old systems (GB18030) write their days without dashes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bureau import catalogue
from bureau.catalogue import EVENT_DATE
from bureau.records import Row, Value
from connectors import money
from connectors.feeds import Feed
from connectors.mapping import Column, read_value
from kernel.errors import SettingError

USCC = "uscc"
Tell = Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class Wording:
    """How the records of a feed are told: its `columns` in order, each with the catalogue's type of what it holds
    (`string` where that is the department's own code), and how each is written."""

    feed: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    items: frozenset[str]
    constants: Mapping[str, Value]
    tells: tuple[tuple[str, Tell], ...]

    def cells(self, row: Row) -> list[str]:
        """The row's texts in the order of the columns, empty where there is nothing. Raises SettingError."""
        if row.items.keys() != self.items:
            raise SettingError(f"{self.feed}: no column for {', '.join(sorted(row.items.keys() ^ self.items))}")
        for item, value in self.constants.items():
            if row.items[item] != value:
                raise SettingError(f"{self.feed}: {item} is always {value!r}, not {row.items[item]!r}")
        values = {**row.items, USCC: row.uscc, EVENT_DATE: row.event_date}
        try:
            return ["" if (value := values[item]) is None else tell(value) for item, tell in self.tells]
        except KeyError as error:
            raise SettingError(f"{self.feed}: no code stands for {error}") from error


def wording(feed: Feed) -> Wording:
    """How this feed's department would write its records."""
    translation = feed.translation
    is_old = feed.layout.encoding == "gb18030"
    told: dict[str, tuple[str, str, Tell]] = {
        column.name: (column.item, "string" if column.codes else column.type, _telling(feed, column, is_old))
        for column in translation.columns
    }
    told.setdefault(translation.uscc_column, (USCC, "string", str))
    if translation.event_column is not None:
        type_ = _event_type(feed.dataset)
        told.setdefault(translation.event_column, (EVENT_DATE, type_, _plain(type_, is_old)))
    shared = [column for column in translation.columns if column.item_unit.startswith("@")]
    constants = {**translation.constants, **{column.item_unit[1:]: _currency(column) for column in shared}}
    names = tuple(name for name in feed.layout.columns if name in told)
    return Wording(
        feed=feed.feed,
        columns=names,
        types=tuple(told[name][1] for name in names),
        items=frozenset({*constants, *(column.item for column in translation.columns)}),
        constants=constants,
        tells=tuple((told[name][0], told[name][2]) for name in names),
    )


def _event_type(dataset: str) -> str:
    """A monthly period is told by its month, anything else by its first day."""
    known = catalogue.current().datasets[dataset]
    return "month" if (known.kind, known.frequency) == ("period", "monthly") else "date"


def _telling(feed: Feed, column: Column, is_old: bool) -> Tell:
    if column.codes is not None:
        own = {read_value(column.type, ours, column.item_unit): word for word, ours in column.codes.items()}
        return own.__getitem__
    if column.type == "money":
        return _amount_teller(f"{feed.feed}: {column.item}", column)
    return _plain(column.type, is_old)


def _plain(type_: str, is_old: bool) -> Tell:
    if type_ == "boolean":
        return {True: "是", False: "否"}.__getitem__
    if type_ == "month":
        return (lambda month: month[:7].replace("-", "")) if is_old else (lambda month: month[:7])
    if type_ == "date" and is_old:
        return lambda day: day.replace("-", "")
    return str


def _amount_teller(where: str, column: Column) -> Tell:
    digits = money.minor_digits(column.unit, _currency(column))
    one = 10**digits

    def tell(minor_units: int) -> str:
        if minor_units < 0 and not column.signed:
            raise SettingError(f"{where} is not signed, and {minor_units} is below zero")
        whole, part = divmod(abs(minor_units), one)
        text = f"{whole}.{part:0{digits}}".rstrip("0").rstrip(".") if part else str(whole)
        return f"-{text}" if minor_units < 0 else text

    return tell


def _currency(column: Column) -> str:
    """The currency that its unit names, the item's own where it names none."""
    assumed = "CNY" if column.item_unit.startswith("@") else column.item_unit
    return money.unit_currency(column.unit) or assumed
