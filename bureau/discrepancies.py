# SPDX-License-Identifier: Apache-2.0
"""Where sources contradict each other about an enterprise. Found and named, never settled by us: no value is changed.

`facts.csv` lists the facts that several of the catalogue's datasets or sources state, checked at the start:

    items        the items that state it; `ITEM?FLAG` only in records where the flag is true
    about        which statements are about the same thing:
                 `key`     records of one dataset with the same key
                 `period`  periods that end on the same day, whatever their length (a year's total and its last month's)
                 `newest`  the newest of each source and dataset; those that are more than `within_days` older than
                           the newest of all are left out
    compare      `exact`; `text`, in which width, case, blanks and punctuation do not count; `number` and `date`, which
                 may differ by `tolerance`: percent of the greater one, or days

What is null states nothing; amounts are compared in one currency only; periods that ended more than LOOKED_BACK_MONTHS
ago are let rest. Which facts there are, and how much they may differ, is our proposal (accuracy is asked for by
征信业管理条例 Art. 23 and 征信业务管理办法 Art. 9). An address for letters may honestly differ from the registered
one, and a shareholder who left stays in the register's list: such facts are not compared. Pure.
"""

import csv
import hashlib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from bureau import catalogue
from bureau.catalogue import EVENT_DATE, Catalogue, Dataset, Item
from bureau.records import Record, Value
from consent.terms import months_before
from kernel.errors import SettingError

SHIPPED = Path(__file__).with_name("facts.csv")
HEADER = ["fact", "name_zh", "name_en", "items", "about", "compare", "tolerance", "within_days"]
LOOKED_BACK_MONTHS = 24
MOST = 500  # of one enterprise: the first ones by fact
COMPARED = {
    "exact": frozenset({"string", "boolean", "month"}),
    "text": frozenset({"string"}),
    "number": frozenset({"integer", "decimal", "money"}),
    "date": frozenset({"date"}),
}
MONTHS_OF = {"monthly": 1, "quarterly": 3, "yearly": 12}


@dataclass(frozen=True, slots=True)
class Stating:
    """An item that states a fact, where `flag` (if there is one) is true."""

    item: Item
    dataset: Dataset
    flag: str | None


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of `facts.csv`."""

    code: str
    name_zh: str
    name_en: str
    stating: tuple[Stating, ...]
    about: str
    compare: str
    tolerance: Decimal
    within: timedelta


@dataclass(frozen=True, slots=True)
class Statement:
    """What one record says of a fact, and as of which day."""

    source: str
    dataset: str
    item: str
    record: str
    as_of: date
    value: Value


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """Statements of one fact about the same thing that differ, those that agree with one of them included."""

    fact: str
    about: str  # the key, the period's last day; amounts with their currency. May be confidential: keys are
    statements: tuple[Statement, ...]
    told: bytes  # the same as long as every source says the same


def found(records: Mapping[str, Sequence[Record]], day: date) -> tuple[Discrepancy, ...]:
    """The discrepancies of an enterprise's standing records, the oldest event first, as of a day; by fact."""
    differing = (one for fact in current().values() for one in _of(fact, records, day))
    return tuple(sorted(differing, key=lambda one: (one.fact, one.about))[:MOST])


def _of(fact: Fact, records: Mapping[str, Sequence[Record]], day: date) -> Iterator[Discrepancy]:
    by_subject: dict[str, dict[tuple[str, str], Statement]] = {}
    for about, statement in _statements(fact, records, day):
        # The last one of each source and item stands: records come with the newest last.
        by_subject.setdefault(about, {})[statement.source, statement.item] = statement
    for about, stated in by_subject.items():
        newest = max(one.as_of for one in stated.values())
        held = sorted(
            (one for one in stated.values() if newest - one.as_of <= fact.within),
            key=lambda one: (one.source, one.item),
        )
        if len(held) > 1 and _differ(fact, [one.value for one in held]):
            said = [[one.source, one.item, _plain(fact, one.value)] for one in held]
            yield Discrepancy(fact.code, about, tuple(held), orjson.dumps([fact.code, about, said]))


def _statements(fact: Fact, records: Mapping[str, Sequence[Record]], day: date) -> Iterator[tuple[str, Statement]]:
    """What the records say of a fact, each with what it is about."""
    since = months_before(day, LOOKED_BACK_MONTHS)
    for stating in fact.stating:
        item, dataset = stating.item, stating.dataset
        for record in records.get(dataset.code, ()):
            items = record["items"]
            value = items.get(item.code)
            if value is None or (stating.flag and items.get(stating.flag) is not True):
                continue
            as_of = _as_of(dataset, record, day)
            if as_of >= since:
                statement = Statement(record["source"], dataset.code, item.code, record["id"], as_of, value)
                yield _about(fact, dataset, record, as_of, _unit(item, items)), statement


def _about(fact: Fact, dataset: Dataset, record: Record, as_of: date, unit: str) -> str:
    told: list[Any] = []
    if fact.about == "period":
        told.append(as_of.isoformat())
    elif fact.about == "key":
        key = {**record["items"], EVENT_DATE: record["event_date"]}
        told += [key.get(name) for name in dataset.key_items]
    return orjson.dumps([*told, unit] if unit else told).decode()


def _unit(item: Item, items: Mapping[str, Value]) -> str:
    """The currency of an amount; nothing of what has another unit, which is the same in all its items."""
    return str(items.get(item.unit[1:]) if item.unit.startswith("@") else item.unit) if item.type == "money" else ""


def _as_of(dataset: Dataset, record: Record, day: date) -> date:
    """The last day of a record's period; of a state, which holds until it is replaced, today."""
    if dataset.kind != "period":
        return day
    first = _first_day(dataset, record)
    if first is None:
        return date.min
    year, month = divmod(first.year * 12 + first.month - 1 + MONTHS_OF.get(dataset.frequency, 1), 12)
    return date(year, month + 1, 1) - timedelta(days=1)


def _first_day(dataset: Dataset, record: Record) -> date | None:
    """The first day of a record's period, as its key tells it: by date, month or year."""
    if EVENT_DATE in dataset.key_items:
        return date.fromisoformat(record["event_date"]) if record["event_date"] else None
    told = str(record["items"].get(dataset.key_items[0]))
    return date.fromisoformat(f"{told}-01-01" if len(told) == 4 else f"{told}-01")


def _differ(fact: Fact, values: Sequence[Value]) -> bool:
    if fact.compare == "number":
        numbers = [Decimal(str(value)) for value in values]
        greatest = max(abs(number) for number in numbers)
        return max(numbers) - min(numbers) > greatest * fact.tolerance / 100
    if fact.compare == "date":
        days = [date.fromisoformat(str(value)) for value in values]
        return (max(days) - min(days)).days > fact.tolerance
    return len({_plain(fact, value) for value in values}) > 1


def _plain(fact: Fact, value: Value) -> str:
    """A value as it is compared."""
    return plain_text(str(value)) if fact.compare == "text" else str(value)


def plain_text(text: str) -> str:
    """A text without what does not tell names and places apart: width, case, blanks, punctuation, marks."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(letter for letter in folded if unicodedata.category(letter)[0] in "LN")


@cache
def current() -> Mapping[str, Fact]:
    """The shipped facts over the process's catalogue, by code, checked once."""
    return load(SHIPPED, catalogue.current())


@cache
def datasets() -> frozenset[str]:
    """The datasets that state any fact."""
    return frozenset(stating.dataset.code for fact in current().values() for stating in fact.stating)


@cache
def classes() -> frozenset[int]:
    """The classes that these are in."""
    return frozenset(stating.dataset.class_number for fact in current().values() for stating in fact.stating)


@cache
def digest() -> str:
    """Of all that decides what is found: where it changes, everybody is to be looked at anew."""
    return hashlib.sha256(repr((tuple(current().values()), LOOKED_BACK_MONTHS, MOST)).encode()).hexdigest()


def load(file: Path, over: Catalogue) -> dict[str, Fact]:
    """The facts of a file by code. Raises SettingError with file and line."""
    facts: dict[str, Fact] = {}
    with file.open(encoding="utf-8", newline="") as lines:
        reader = csv.reader(lines, strict=True)
        if next(reader, None) != HEADER:
            raise SettingError(f"{file.name} line 1: expected the header {','.join(HEADER)}")
        for cells in reader:
            try:
                if len(cells) != len(HEADER) or not all(cells[:6]) or cells[0] in facts:
                    raise ValueError(f"expected {','.join(HEADER)}, each fact once")
                facts[cells[0]] = _fact(*cells, over=over)
            except ArithmeticError as error:
                raise SettingError(f"{file.name} line {reader.line_num}: tolerance is a number") from error
            except ValueError as error:
                raise SettingError(f"{file.name} line {reader.line_num}: {error}") from error
    return facts


def _fact(
    code: str, zh: str, en: str, items: str, about: str, compare: str, tolerance: str, within: str, *, over: Catalogue
) -> Fact:
    stating = tuple(_stating(told, over) for told in items.split(" "))
    for check in (_check_about, _check_compared):
        if problem := check(stating, about, compare):
            raise ValueError(problem)
    if bool(tolerance) != (compare in ("number", "date")) or (within and about != "newest"):
        raise ValueError("numbers and dates, and nothing else, have a tolerance; only the newest are within days")
    if Decimal(tolerance or 0) < 0 or int(within or 1) < 1:
        raise ValueError("tolerance and within_days are not negative")
    within_days = timedelta(days=int(within)) if within else timedelta.max
    return Fact(code, zh, en, stating, about, compare, Decimal(tolerance or 0), within_days)


def _stating(told: str, over: Catalogue) -> Stating:
    code, _, flag = told.partition("?")
    if unknown := {code, flag or code} - over.items.keys():
        raise ValueError(f"the catalogue has no item {', '.join(sorted(unknown))}")
    item = over.items[code]
    if flag and (over.items[flag].type, over.items[flag].dataset) != ("boolean", item.dataset):
        raise ValueError(f"{flag} is no flag of {item.dataset}")
    return Stating(item, over.datasets[item.dataset], flag or None)


def _check_about(stating: Sequence[Stating], about: str, _compare: str) -> str | None:
    kinds = {each.dataset.kind for each in stating}
    if sum(len(each.dataset.sources) for each in stating) < 2:
        return "one source in one dataset contradicts nobody"
    return {
        "key": "a key is that of one item's dataset" if len(stating) > 1 else None,
        "period": "a period is that of period datasets" if kinds != {"period"} else None,
        "newest": None,
    }.get(about, f"about is key, period or newest, not {about}") or (
        "an event is past and stands beside others" if "event" in kinds else None
    )


def _check_compared(stating: Sequence[Stating], _about: str, compare: str) -> str | None:
    if any(each.item.type not in COMPARED.get(compare, ()) for each in stating):
        return f"not all of its items can be compared as {compare}"
    units = {each.item.unit for each in stating if each.item.type != "money"}
    return "items of one fact have one unit" if len(units) > 1 else None
