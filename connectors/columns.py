# SPDX-License-Identifier: Apache-2.0
"""The part of a feed's TOML that says which column becomes which item, checked against the catalogue."""

from collections.abc import Mapping
from typing import Any

from bureau import catalogue
from bureau.records import Value
from connectors import money
from connectors.declarations import choice, leave_nothing, take, texts
from connectors.mapping import Column, Translation, read_value
from kernel.errors import SettingError

_Codes = Mapping[str, Mapping[str, str]]


def declared(table: dict[str, Any], where: str, dataset: catalogue.Dataset, uscc_column: str) -> Translation:
    """Take `columns`, `codes`, `defaults`, `division`, `amendments`, `event_date` and `nulls` out of a feed's table."""
    items = {item.code: item for item in dataset.items}
    codes = _codes(take(table, where, "codes", dict, {}), f"{where}codes.")
    columns = tuple(
        _column(name, part, f"{where}columns.{name}.", items, codes)
        for name, part in take(table, where, "columns", dict).items()
    )
    currencies = {column.item_unit[1:] for column in columns if column.item_unit.startswith("@")}
    defaults = {
        code: _default(text, f"{where}defaults.{code}", items.get(code))
        for code, text in take(table, where, "defaults", dict, {}).items()
    }
    division = take(table, where, "division", dict, {})
    strings = [item.code for item in dataset.items if item.type == "string"]
    division_item = choice(division, f"{where}division.", "item", strings) if division else None
    division_raw = texts(division, f"{where}division.", "raw")
    leave_nothing(division, f"{where}division.")
    event_column = take(table, where, "event_date", str, "") or None
    act_column, acts, record_column = _amendments(take(table, where, "amendments", dict, {}), f"{where}amendments.")
    filled = [*(column.item for column in columns), *currencies, *defaults]
    filled += [catalogue.EVENT_DATE] if event_column or dataset.event_date_item in filled else []
    filled += [division_item] if division_item else []
    _check_filled(filled, where, dataset, event_column)
    return Translation(
        dataset=dataset.code,
        uscc_column=uscc_column,
        columns=columns,
        nulls=frozenset(texts(table, where, "nulls")) | {""},
        constants={**dict.fromkeys(currencies), **defaults},
        division_item=division_item,
        division_raw=division_raw,
        event_item=dataset.event_date_item,
        event_column=event_column,
        act_column=act_column,
        acts=acts,
        record_column=record_column,
    )


def _amendments(part: dict[str, Any], where: str) -> tuple[str | None, Mapping[str, str], str | None]:
    """The column that tells rows which amend, the source's words in it, and the column that names their record."""
    if not part:
        return None, {}, None
    column, record = take(part, where, "column", str), take(part, where, "record", str, "") or None
    acts = {word: act for act in ("correct", "withdraw") for word in texts(part, where, act)}
    leave_nothing(part, where)
    if not acts:
        raise SettingError(f"{where}correct: name the source's words for correct or withdraw")
    return column, acts, record


def _codes(part: dict[str, Any], where: str) -> _Codes:
    """The source's words → ours, by the name of their list."""
    for name, words in part.items():
        if not isinstance(words, dict) or not words or not all(isinstance(word, str) for word in words.values()):
            raise SettingError(f"{where}{name}: expected a table of the source's words = ours")
    return part


def _column(name: str, part: object, where: str, items: Mapping[str, catalogue.Item], codes: _Codes) -> Column:
    if not isinstance(part, dict):
        raise SettingError(f'{where}item: expected a table such as {{ item = "C1.01.01" }}')
    item = items[choice(part, where, "item", items)]
    required = take(part, where, "required", bool, False)
    unit, signed, words = "", False, None
    if item.type == "money":
        unit = take(part, where, "unit", str, "")
        signed = take(part, where, "signed", bool, False)
        if unit and not money.is_unit(unit):
            raise SettingError(f"{where}unit: expected such as `元`, `万元`, `万美元`, found {unit!r}")
        if not item.unit.startswith("@") and item.unit not in money.currencies().digits:
            raise SettingError(f"{where}item: currencies.csv lacks {item.unit}, the unit of {item.code}")
    elif "codes" in part:
        words = codes[choice(part, where, "codes", codes)]
        for ours in words.values():
            if read_value(item.type, ours, item.unit) is None:
                raise SettingError(f"{where}codes: {ours!r} is no {item.type}, as {item.code} is")
    leave_nothing(part, where)
    return Column(name, item.code, item.type, item.unit, required, unit, signed, words)


def _default(text: object, where: str, item: catalogue.Item | None) -> Value:
    """The value that a text stands for, read as a column's would be."""
    if item is None or item.type == "money" or not isinstance(text, str) or not text:
        raise SettingError(f"{where}: expected an item of the dataset, not of money, and a text")
    if (value := read_value(item.type, text, item.unit)) is None:
        raise SettingError(f"{where}: {text!r} is no {item.type}")
    return value


def _check_filled(filled: list[str], where: str, dataset: catalogue.Dataset, event_column: str | None) -> None:
    """Each item has one origin, and the key of the dataset has all."""
    for item in filled:
        if filled.count(item) > 1:
            raise SettingError(f"{where}{item}: filled twice (an amount itself fills its currency's item)")
    if event_column and dataset.event_date_item:
        raise SettingError(f"{where}event_date: leave it out, {dataset.event_date_item} is the event date")
    for key in dataset.key_items:
        if key not in filled:
            raise SettingError(f"{where}columns: nothing fills {key}, which is in the key of {dataset.code}")
