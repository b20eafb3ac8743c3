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

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from bureau import catalogue_rows
from bureau.catalogue_rows import Row

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
    class_rows = catalogue_rows.read(folder, "classes", expect.classes if expect else None)
    source_rows = catalogue_rows.read(folder, "sources", expect.sources if expect else None)
    dataset_rows = catalogue_rows.read(folder, "datasets", expect.datasets if expect else None)
    item_rows = catalogue_rows.read(folder, "items", expect.items if expect else None)
    codes = _codes(folder)

    classes = {info_class.number: info_class for info_class in map(_info_class, class_rows)}
    sources = {row.code: Source(*(row.text(column) for column in row.cells)) for row in source_rows}
    dataset_codes = {row.code for row in dataset_rows}
    items = {row.code: _item(row, dataset_codes) for row in item_rows}
    for row in item_rows:
        _check_unit(row, items[row.code], items)
        _check_codes(row, items[row.code], codes)
    datasets = {row.code: _dataset(row, items, classes, sources) for row in dataset_rows}
    proxy = MappingProxyType
    return Catalogue(proxy(classes), proxy(datasets), proxy(items), proxy(sources), proxy(codes))


def _codes(folder: Path) -> dict[str, dict[str, str]]:
    """The code sets, in the order of their file."""
    sets: dict[str, dict[str, str]] = {}
    for row in catalogue_rows.lines(folder, "codes"):
        known = sets.setdefault(row.text("codes"), {})
        if row.text("code") in known:
            raise row.fault(f"{row.code} has {row.cells['code']} already")
        known[row.cells["code"]] = row.text("name_en")
    return sets


def _info_class(row: Row) -> InfoClass:
    return InfoClass(row.whole("class", 1, 99), row.text("name_zh"), row.text("name_en"))


def _item(row: Row, datasets: Collection[str]) -> Item:
    if row.cells["dataset"] not in datasets:
        raise row.fault(f"unknown dataset {row.cells['dataset']}")
    return Item(
        code=row.text("item"),
        dataset=row.cells["dataset"],
        name_zh=row.text("name_zh"),
        name_en=row.text("name_en"),
        type=row.choice("type", ITEM_TYPES),
        unit=row.cells["unit"],
        codes=row.cells["codes"],
        sensitivity=row.whole("sensitivity", 1, 5),
        negative=row.whole("negative", 0, 1) == 1,
        personal=row.whole("personal", 0, 1) == 1,
    )


def _check_unit(row: Row, item: Item, items: Mapping[str, Item]) -> None:
    """An amount without a currency is no amount, and only an amount takes its currency from another item."""
    if item.unit.startswith("@"):
        to = items.get(item.unit[1:])
        if item.type != "money" or not to or (to.dataset, to.type) != (item.dataset, "string"):
            raise row.fault(f"unit {item.unit} must lead from money to a string item of {item.dataset}")
    elif item.type == "money" and not re.fullmatch("[A-Z]{3}", item.unit):
        raise row.fault(f"money needs a unit, an ISO 4217 code or @ITEM, found {item.unit!r}")


def _check_codes(row: Row, item: Item, codes: Collection[str]) -> None:
    if item.codes and (item.codes not in codes or item.type != "string"):
        raise row.fault(f"codes must name a set of codes.csv, of a string item; found {item.codes!r}")


def _dataset(row: Row, items: Mapping[str, Item], classes: Collection[int], sources: Collection[str]) -> Dataset:
    own = {item.code: item for item in items.values() if item.dataset == row.code}
    if len(own) != row.whole("items", 1, 999):
        raise row.fault(f"expected {row.cells['items']} items, found {len(own)} in items.csv")
    return Dataset(
        code=row.text("dataset"),
        class_number=int(row.choice("class", {str(number) for number in classes})),
        name_zh=row.text("name_zh"),
        name_en=row.text("name_en"),
        kind=row.choice("kind", KINDS),
        key_items=_key_items(row, own),
        event_date_item=_event_date_item(row, own),
        sources=row.references("sources", {*sources, *UNLISTED_SOURCES}),
        source_kind=row.choice("source_kind", SOURCE_KINDS),
        frequency=row.choice("frequency", FREQUENCIES),
        items=tuple(own.values()),
        legal_basis=row.text("legal_basis"),
    )


def _key_items(row: Row, items: Collection[str]) -> tuple[str, ...]:
    """The key: a period without one would replace the last period, an event is known by its content."""
    if row.cells["kind"] == "event" and row.cells["key_items"]:
        raise row.fault(f"an event takes no key_items, found {row.cells['key_items']}")
    if row.cells["kind"] != "period" and not row.cells["key_items"]:
        return ()
    return row.references("key_items", {*items, EVENT_DATE})


def _event_date_item(row: Row, items: Mapping[str, Item]) -> str | None:
    code = row.cells["event_date"]
    if code and (code not in items or items[code].type != "date"):
        raise row.fault(f"event_date names {code}, which is no date item of this dataset")
    return code or None
