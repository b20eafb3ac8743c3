# SPDX-License-Identifier: Apache-2.0
"""What indicators are computed from, and the few shapes that their computing takes. Pure.

A `Rule` is a function from an enterprise's facts to a value, with what it reads. Missing is not zero: a rule gives
None where what it needs is not on file. Only a *count* of events is zero where none is on file, and only because the
source would have told: `presumes` names the dataset, and whoever computes columns takes the zero back where the
bureau was never supplied with it (see `bureau.screening.sheets.settle`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from bureau import catalogue
from bureau.records import Record
from consent.terms import months_before

Value = float | str | None
STALE_MONTHS = 9  # of a dataset whose newest period is older the present is not known


@dataclass(frozen=True, slots=True)
class Facts:
    """The standing records of an enterprise by dataset, oldest event first, as of a day."""

    as_of: date
    records: Mapping[str, Sequence[Record]]


@dataclass(frozen=True, slots=True)
class Rule:
    compute: Callable[[Facts], Value]
    items: tuple[str, ...]
    formula: str
    window_months: int | None = None
    presumes: str | None = None


def latest(item: str) -> Rule:
    """The value of the newest record that has one; a flag is 1 or 0, a date its ordinal."""

    def compute(facts: Facts) -> Value:
        for record in reversed(_of(facts, item)):
            value = record["items"].get(item)
            if value is not None:
                return _plain(item, value)
        return None

    return Rule(compute, (item,), f"newest {item}")


def years_since(item: str) -> Rule:
    """Whole and part years from the newest date on file to the day, two decimals."""
    found = latest(item).compute

    def compute(facts: Facts) -> Value:
        day = found(facts)
        return None if not isinstance(day, float) else round((facts.as_of.toordinal() - day) / 365.2425, 2)

    return Rule(compute, (item,), f"(as-of - newest {item}) in years")


def total(item: str, months: int) -> Rule:
    """The sum over the newest `months` periods on file; None unless all of them are."""

    def compute(facts: Facts) -> Value:
        return _sum(facts, item, months, 0)

    return Rule(compute, (item,), f"sum of {item} over the newest {months} months on file", months)


def growth(item: str, months: int) -> Rule:
    """Percent, of the newest `months` months against the same months a year earlier; None where either is not whole."""

    def compute(facts: Facts) -> Value:
        now, before = _sum(facts, item, months, 0), _sum(facts, item, months, 12)
        return None if now is None or not before or before < 0 else round((now - before) * 100 / before, 2)

    return Rule(
        compute, (item,), f"{item} of the newest {months} months against a year earlier, in percent", months + 12
    )


def yearly_growth(item: str) -> Rule:
    """Percent, of the newest year on file against the year before; None where that year is not on file."""

    def compute(facts: Facts) -> Value:
        years = {int(record["event_date"][:4]): record for record in _of(facts, item) if record["event_date"]}
        newest = max(years, default=0)
        now, before = (
            _number(years[year]["items"].get(item)) if year in years else None for year in (newest, newest - 1)
        )
        return None if now is None or before is None or before <= 0 else round((now - before) * 100 / before, 2)

    return Rule(compute, (item,), f"{item} of the newest year against the year before, in percent")


def ratio(above: str, below: str, per: float = 100.0) -> Rule:
    """One item of the newest record over another of the same, in percent; None where the divisor is not positive."""

    def compute(facts: Facts) -> Value:
        for record in reversed(_of(facts, above)):
            top, bottom = _number(record["items"].get(above)), _number(record["items"].get(below))
            if top is not None and bottom is not None:
                return round(top * per / bottom, 2) if bottom > 0 else None
        return None

    return Rule(compute, (above, below), f"{above} / {below} of the newest record, times {per:g}")


def count(dataset: str, months: int | None = None, on: str | None = None, **only: Any) -> Rule:
    """How many events fall in the `months` before the day (None: ever); `only`: item (with _ for .) → values."""
    wanted = {item.replace("_", "."): values for item, values in only.items()}

    def compute(facts: Facts) -> Value:
        return float(sum(1 for _ in _events(facts, dataset, months, on, wanted)))

    items = tuple(dict.fromkeys([*([on] if on else []), *wanted])) or (f"{dataset}.01",)
    told = f" within {months} months" if months else ""
    return Rule(compute, items, f"number of records of {dataset}{told}{_told(wanted)}", months, dataset)


def amount(item: str, months: int | None = None, on: str | None = None, **only: Any) -> Rule:
    """The sum of an amount over events; what has no amount adds nothing.

    None where one of them is in another currency than CNY: no rate is ours to choose.
    """
    dataset, wanted = item.rpartition(".")[0], {name.replace("_", "."): values for name, values in only.items()}

    def compute(facts: Facts) -> Value:
        held = list(_events(facts, dataset, months, on, wanted))
        if any(_is_foreign(record, item) for record in held):
            return None
        return float(sum(_number(record["items"].get(item)) or 0.0 for record in held))

    told = f" within {months} months" if months else ""
    items = tuple(dict.fromkeys([item, *([on] if on else []), *wanted]))
    return Rule(compute, items, f"sum of {item}{told}{_told(wanted)}", months, dataset)


def open_count(dataset: str, end: str) -> Rule:
    """How many records have not ended by the day: the item `end` is empty or later."""

    def compute(facts: Facts) -> Value:
        ends = (record["items"].get(end) for record in facts.records.get(dataset, ()))
        return float(sum(1 for day in ends if day is None or day > facts.as_of.isoformat()))

    return Rule(compute, (end,), f"number of records of {dataset} whose {end} is empty or ahead", None, dataset)


def highest(item: str) -> Rule:
    """The highest value on file."""

    def compute(facts: Facts) -> Value:
        held = [value for record in _of(facts, item) if (value := _number(record["items"].get(item))) is not None]
        return max(held, default=None)

    return Rule(compute, (item,), f"highest {item}")


def _of(facts: Facts, item: str) -> Sequence[Record]:
    return facts.records.get(item.rpartition(".")[0], ())


def _events(
    facts: Facts, dataset: str, months: int | None, on: str | None, wanted: Mapping[str, Any]
) -> Iterator[Record]:
    since = months_before(facts.as_of, months).isoformat() if months else ""
    for record in facts.records.get(dataset, ()):
        day = record["items"].get(on) if on else record["event_date"]
        if months and (day is None or not since < day <= facts.as_of.isoformat()):
            continue
        if all(record["items"].get(item) in values for item, values in wanted.items()):
            yield record


def _sum(facts: Facts, item: str, months: int, back: int) -> float | None:
    """The sum over the months that end `back` before the newest on file; None unless each is there."""
    held = [record for record in _of(facts, item) if record["event_date"]]
    if not held or held[-1]["event_date"] < months_before(facts.as_of, STALE_MONTHS).isoformat():
        return None
    newest = _month(held[-1]["event_date"]) - back
    by_month: dict[int, float] = {}
    for record in held:
        value, month = _number(record["items"].get(item)), _month(record["event_date"])
        if newest - months < month <= newest and _is_foreign(record, item):
            return None
        if value is not None and newest - months < month <= newest:
            by_month[month] = by_month.get(month, 0.0) + value
    return sum(by_month.values()) if len(by_month) == months else None


def _is_foreign(record: Record, item: str) -> bool:
    unit = catalogue.current().items[item].unit
    return unit.startswith("@") and record["items"].get(unit[1:]) not in (None, "CNY")


def _month(day: str) -> int:
    return int(day[:4]) * 12 + int(day[5:7])


def _plain(item: str, value: Any) -> Value:
    """A value as a column keeps it: numbers and flags as numbers, a date as its day's ordinal."""
    kind = catalogue.current().items[item].type
    if kind == "date":
        return float(date.fromisoformat(value).toordinal())
    return str(value) if kind in ("string", "month") else _number(value)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _told(wanted: Mapping[str, Any]) -> str:
    return "".join(f", {item} of {'/'.join(map(str, values))}" for item, values in wanted.items())
