# SPDX-License-Identifier: Apache-2.0
"""The catalogue: which facts the bureau can hold, who supplies them, and how each is to be read.

A *proposed* reference that matches the published totals (7 classes, 83 datasets, 606 items, 75 sources). No
source gives Suzhou's own list: types, keys, levels and flags are ours too, and an operator may supply another
folder of the same five files. Whatever is loaded is checked whole, or the process does not start.

A dataset's `kind` says which of its records answer a question.
`state` holds till replaced: the latest per source and key; an empty key means one record per source.
`period` is the latest per source and key too; its event date is the first day of its month, quarter or year.
A year's own balance sheet comes as the fourth quarter's, lest it replace the first's.
`event` is every record, told apart by its content. What carries its own end (a listing, its removal) is
rather a state, or the open version would be shown too; what has no item always there to be a key is an event.
`key_items` are never null in an accepted record; `event_date` among them is the record's own, which the
source gives beside the items where the dataset has no `event_date_item`. `source_kind` follows the first
source; a `lender`'s hangs on consent (征信业管理条例 Art. 29(2)). `self`: the enterprise; `derived`: us.

An item's `type` is one of `ITEM_TYPES`: `money` is an integer of minor units whose `unit` is an ISO 4217 code
or `@ITEM`, the dataset's currency item; `decimal` a string in canonical notation; `date` YYYY-MM-DD; `month`
YYYY-MM. Years are integers; codes and the numbers of documents are strings.
`sensitivity` is a level after JR/T 0197-2020; which item has which is our proposal. 1: published by law or
open to anyone. 2: ordinary business. 3: finance, tax, utilities, assets seized. 4: unpublished lending, and
whatever is `personal`. 5: harm beyond the enterprise; no shipped item.
`negative`: a record where it is neither null, false nor zero is 不良信息 (Art. 44(3)): broken contracts,
penalties, judgments and enforcement (who lost stands beside it); by our proposal also insolvency, arrears of
tax, duty, social insurance and provident fund, and the lists of abnormal operation and serious dishonesty.
`codes`: the set in `codes.csv` that a text must be from; where it is from none it is free. Words that a source uses
instead are translated by its feed.
`personal`: is, or in practice often is, about a natural person. What directors, supervisors and executives do
in office is not (Art. 13); their documents and nationality are.

`legal_basis` says why a dataset may be collected, as we read the law; let counsel confirm it. How long what is
negative is kept, `retention.toml` says.
"""

import csv
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from kernel.errors import SettingError

KINDS = frozenset({"state", "period", "event"})
SOURCE_KINDS = frozenset({"register", "department", "court", "utility", "lender", "self", "derived"})
FREQUENCIES = frozenset({"daily", "weekly", "monthly", "quarterly", "yearly", "irregular"})
ITEM_TYPES = frozenset({"string", "integer", "money", "decimal", "boolean", "date", "month"})
UNLISTED_SOURCES = frozenset({"self", "derived"})
EVENT_DATE = "event_date"


class Counts(NamedTuple):
    """How many of each a catalogue must have."""

    classes: int
    datasets: int
    items: int
    sources: int


SHIPPED = Path(__file__).parent / "catalogue"
SHIPPED_COUNTS = Counts(classes=7, datasets=83, items=606, sources=75)


@dataclass(frozen=True, slots=True)
class InfoClass:
    """One of the classes (信息类) that consent is given for."""

    number: int
    name_zh: str
    name_en: str


@dataclass(frozen=True, slots=True)
class Source:
    """A unit that supplies records (采集源)."""

    code: str
    group_zh: str
    group_en: str
    name_zh: str
    name_en: str


@dataclass(frozen=True, slots=True)
class Item:
    """One fact of a record (信息项); the module says what each field means."""

    code: str
    dataset: str
    name_zh: str
    name_en: str
    type: str
    unit: str
    codes: str  # the code set that its values are from; "" where they are free
    sensitivity: int
    negative: bool
    personal: bool


@dataclass(frozen=True, slots=True)
class Dataset:
    """One table of facts (信息表) with its items in order; the module says what each field means."""

    code: str
    class_number: int
    name_zh: str
    name_en: str
    kind: str
    key_items: tuple[str, ...]
    event_date_item: str | None
    sources: tuple[str, ...]
    source_kind: str
    frequency: str
    items: tuple[Item, ...]
    legal_basis: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All of it, read-only, each in the order of its file: classes by number, the rest by code."""

    classes: Mapping[int, InfoClass]
    datasets: Mapping[str, Dataset]
    items: Mapping[str, Item]
    sources: Mapping[str, Source]
    codes: Mapping[str, Mapping[str, str]]  # code set → code → its English name


@cache
def current() -> Catalogue:
    """The process's catalogue: the shipped one, read and checked once."""
    return load()


def load(folder: Path = SHIPPED, expect: Counts | None = SHIPPED_COUNTS) -> Catalogue:
    """Read the five files of `folder` (UTF-8, comma-separated) and check them whole.

    Raises `SettingError` at the first fault with file and line: `items.csv line 17: unknown dataset C9.99`.
    `expect` None takes any counts, for an operator's own catalogue.
    """
    class_rows = _read(folder, "classes", expect.classes if expect else None)
    source_rows = _read(folder, "sources", expect.sources if expect else None)
    dataset_rows = _read(folder, "datasets", expect.datasets if expect else None)
    item_rows = _read(folder, "items", expect.items if expect else None)
    codes = _codes(folder)

    classes = {info_class.number: info_class for info_class in map(_info_class, class_rows)}
    sources = {row.code: Source(*(_text(row, column) for column in row.cells)) for row in source_rows}
    dataset_codes = {row.code for row in dataset_rows}
    items = {row.code: _item(row, dataset_codes) for row in item_rows}
    for row in item_rows:
        _check_unit(row, items[row.code], items)
        _check_codes(row, items[row.code], codes)
    datasets = {row.code: _dataset(row, items, classes, sources) for row in dataset_rows}
    proxy = MappingProxyType
    return Catalogue(proxy(classes), proxy(datasets), proxy(items), proxy(sources), proxy(codes))


class _Row(NamedTuple):
    """One line of a file: where it stands, its code (the first cell), its cells by column."""

    where: str
    code: str
    cells: Mapping[str, str]


_HEADERS = {
    "classes": "class,name_zh,name_en",
    "sources": "source,group_zh,group_en,name_zh,name_en",
    "datasets": "dataset,class,name_zh,name_en,kind,key_items,event_date,sources,source_kind,frequency,items,"
    "legal_basis",
    "items": "item,dataset,name_zh,name_en,type,unit,codes,sensitivity,negative,personal",
    "codes": "codes,code,name_en",
}


def _read(folder: Path, stem: str, expected: int | None) -> list[_Row]:
    """The rows of one file, every code once, and as many as expected."""
    name = f"{stem}.csv"
    rows: dict[str, _Row] = {}
    for row in _rows(folder, stem):
        if row.code in rows:
            raise _fault(row, f"{row.code} stands already at {rows[row.code].where}")
        rows[row.code] = row
    if expected is not None and len(rows) != expected:
        raise SettingError(f"{name}: expected {expected} rows, found {len(rows)}")
    return list(rows.values())


def _rows(folder: Path, stem: str) -> Iterator[_Row]:
    """The rows of one file, with the header exact."""
    name = f"{stem}.csv"
    lines = _lines(folder / name)
    _, header = next(lines, (1, []))
    if ",".join(header) != _HEADERS[stem]:
        raise SettingError(f"{name} line 1: expected the header {_HEADERS[stem]}, found {','.join(header)}")
    for number, cells in lines:
        where = f"{name} line {number}"
        if len(cells) != len(header):
            raise SettingError(f"{where}: expected {len(header)} columns, found {len(cells)}")
        yield _Row(where, cells[0], dict(zip(header, cells, strict=True)))


def _codes(folder: Path) -> dict[str, dict[str, str]]:
    """The code sets, in the order of their file."""
    sets: dict[str, dict[str, str]] = {}
    for row in _rows(folder, "codes"):
        known = sets.setdefault(_text(row, "codes"), {})
        if _text(row, "code") in known:
            raise _fault(row, f"{row.code} has {row.cells['code']} already")
        known[row.cells["code"]] = _text(row, "name_en")
    return sets


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The number, counted from 1, and the cells of each line."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            for cells in reader:
                yield reader.line_num, cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingError(f"{path.name} cannot be read from {path.parent}: {error}") from error


def _info_class(row: _Row) -> InfoClass:
    return InfoClass(_whole(row, "class", 1, 99), _text(row, "name_zh"), _text(row, "name_en"))


def _item(row: _Row, datasets: Collection[str]) -> Item:
    if row.cells["dataset"] not in datasets:
        raise _fault(row, f"unknown dataset {row.cells['dataset']}")
    return Item(
        code=_text(row, "item"),
        dataset=row.cells["dataset"],
        name_zh=_text(row, "name_zh"),
        name_en=_text(row, "name_en"),
        type=_choice(row, "type", ITEM_TYPES),
        unit=row.cells["unit"],
        codes=row.cells["codes"],
        sensitivity=_whole(row, "sensitivity", 1, 5),
        negative=_whole(row, "negative", 0, 1) == 1,
        personal=_whole(row, "personal", 0, 1) == 1,
    )


def _check_unit(row: _Row, item: Item, items: Mapping[str, Item]) -> None:
    """An amount without a currency is no amount, and only an amount takes its currency from another item."""
    if item.unit.startswith("@"):
        to = items.get(item.unit[1:])
        if item.type != "money" or not to or (to.dataset, to.type) != (item.dataset, "string"):
            raise _fault(row, f"unit {item.unit} must lead from money to a string item of {item.dataset}")
    elif item.type == "money" and not re.fullmatch("[A-Z]{3}", item.unit):
        raise _fault(row, f"money needs a unit, an ISO 4217 code or @ITEM, found {item.unit!r}")


def _check_codes(row: _Row, item: Item, codes: Collection[str]) -> None:
    if item.codes and (item.codes not in codes or item.type != "string"):
        raise _fault(row, f"codes must name a set of codes.csv, of a string item; found {item.codes!r}")


def _dataset(row: _Row, items: Mapping[str, Item], classes: Collection[int], sources: Collection[str]) -> Dataset:
    own = {item.code: item for item in items.values() if item.dataset == row.code}
    if len(own) != _whole(row, "items", 1, 999):
        raise _fault(row, f"expected {row.cells['items']} items, found {len(own)} in items.csv")
    return Dataset(
        code=_text(row, "dataset"),
        class_number=int(_choice(row, "class", {str(number) for number in classes})),
        name_zh=_text(row, "name_zh"),
        name_en=_text(row, "name_en"),
        kind=_choice(row, "kind", KINDS),
        key_items=_key_items(row, own),
        event_date_item=_event_date_item(row, own),
        sources=_references(row, "sources", {*sources, *UNLISTED_SOURCES}),
        source_kind=_choice(row, "source_kind", SOURCE_KINDS),
        frequency=_choice(row, "frequency", FREQUENCIES),
        items=tuple(own.values()),
        legal_basis=_text(row, "legal_basis"),
    )


def _key_items(row: _Row, items: Collection[str]) -> tuple[str, ...]:
    """The key: a period without one would replace the last period, an event is known by its content."""
    if row.cells["kind"] == "event" and row.cells["key_items"]:
        raise _fault(row, f"an event takes no key_items, found {row.cells['key_items']}")
    if row.cells["kind"] != "period" and not row.cells["key_items"]:
        return ()
    return _references(row, "key_items", {*items, EVENT_DATE})


def _event_date_item(row: _Row, items: Mapping[str, Item]) -> str | None:
    code = row.cells["event_date"]
    if code and (code not in items or items[code].type != "date"):
        raise _fault(row, f"event_date names {code}, which is no date item of this dataset")
    return code or None


def _references(row: _Row, column: str, known: Collection[str]) -> tuple[str, ...]:
    """The space-separated codes of a cell that must not be empty, each known and named once."""
    codes = tuple(_text(row, column).split(" "))
    for position, code in enumerate(codes):
        if code not in known or code in codes[:position]:
            raise _fault(row, f"{column} names {code}, which is unknown here or named twice")
    return codes


def _choice(row: _Row, column: str, allowed: Collection[str]) -> str:
    value = row.cells[column]
    if value not in allowed:
        raise _fault(row, f"{column} must be one of {', '.join(sorted(allowed))}, found {value!r}")
    return value


def _whole(row: _Row, column: str, lowest: int, highest: int) -> int:
    text = row.cells[column]
    if not re.fullmatch("0|[1-9][0-9]{0,3}", text) or not lowest <= int(text) <= highest:
        raise _fault(row, f"{column} must be a whole number from {lowest} to {highest}, found {text!r}")
    return int(text)


def _text(row: _Row, column: str) -> str:
    value = row.cells[column]
    if not value or value != value.strip():
        raise _fault(row, f"{column} must be text without blanks around it, found {value!r}")
    return value


def _fault(row: _Row, what: str) -> SettingError:
    return SettingError(f"{row.where}: {what}")
