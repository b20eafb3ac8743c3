# SPDX-License-Identifier: Apache-2.0
"""Judging a delivered row against the catalogue: accepted, with what had to be blanked, or rejected with one reason.

Pure. A bad key field rejects the row; a bad optional field becomes null with a warning and keeps its raw text.
Text that no encoding can hold (a lone surrogate) rejects the row, so that one such row cannot stop a batch.
"""

import re
from collections.abc import Callable, Container, Mapping
from datetime import date
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from bureau import rules
from bureau.catalogue import Catalogue, Dataset
from bureau.records import Batch, Row, Unreadable, Value
from kernel import uscc as codes
from kernel.canonical import MAX_INTEGER

CONSENT_BASES = ("consent", "lender")
ACTS = ("correct", "withdraw")
NO_CONSENT = "no-collection-consent"
MAX_TEXT_CHARS = 20_000

_DATE = re.compile(r"(1[6-9]|2[0-2])[0-9]{2}-[0-9]{2}-[0-9]{2}")
_MONTH = re.compile(r"(1[6-9]|2[0-2])[0-9]{2}-(0[1-9]|1[0-2])")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,12})?")


@lru_cache(maxsize=16_384)
def is_day(text: str) -> bool:
    """Whether a text is a full-date of RFC 3339 that the calendar has, in the years 1600-2299."""
    if _DATE.fullmatch(text) is None:
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


# U+0000 is in no honest text, and PostgreSQL's text cannot hold it (the name goes into the directory).
FITS: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: type(value) is str and len(value) <= MAX_TEXT_CHARS and "\0" not in value,
    "integer": lambda value: type(value) is int and abs(value) <= MAX_INTEGER,
    "money": lambda value: type(value) is int and abs(value) <= MAX_INTEGER,
    "decimal": lambda value: type(value) is str and _DECIMAL.fullmatch(value) is not None,
    "boolean": lambda value: type(value) is bool,
    "date": lambda value: type(value) is str and is_day(value),
    "month": lambda value: type(value) is str and _MONTH.fullmatch(value) is not None,
}


class Accepted(NamedTuple):
    """A row as it will be kept: items of the right types, the warnings that it earned, both parts' JSON."""

    row: Row
    items: Mapping[str, Value]
    warnings: tuple[str, ...]
    items_json: bytes  # keys sorted
    raw_json: bytes


class Rejected(NamedTuple):
    """A row that is not kept as a record: its number, one reason, its own words, its code where that is valid."""

    number: int
    reason: str
    delivered: Mapping[str, Any]
    uscc: str | None


def judge(
    row: Row | Unreadable, batch: Batch, catalogue: Catalogue, collecting: Mapping[str, Container[int]]
) -> Accepted | Rejected:
    """Accept or reject one row. `collecting` maps an enterprise to the classes of which it allows collection.

    Of a row that may not be collected at all nothing is kept but its number and the reason.
    """
    if isinstance(row, Unreadable):
        return Rejected(row.number, row.reason, row.delivered, None)
    valid = codes.is_valid(row.uscc)
    if reason := _reason(row, batch, catalogue, collecting, valid):
        if reason == NO_CONSENT or reason in batch.refused_prefixes.values():
            return Rejected(row.number, reason, {}, None)
        return Rejected(row.number, reason, row.delivered or _as_delivered(row), row.uscc if valid else None)
    items, raw, warnings = _fitting(row, catalogue.datasets[row.dataset], catalogue)
    if reason := _unfit(row, items, catalogue.datasets[row.dataset]):
        return Rejected(row.number, reason, row.delivered or _as_delivered(row), row.uscc)
    if not valid:
        warnings = (*warnings, "uscc check-digit")
    try:
        items_json = orjson.dumps(items, option=orjson.OPT_SORT_KEYS)
        raw_json = orjson.dumps(raw, option=orjson.OPT_SORT_KEYS) if raw else b""
    except TypeError:
        return Rejected(row.number, "unencodable-text", row.delivered or _as_delivered(row), row.uscc)
    return Accepted(row._replace(raw=raw) if raw is not row.raw else row, items, warnings, items_json, raw_json)


def _unfit(row: Row, items: Mapping[str, Value], dataset: Dataset) -> str | None:
    """Why a row with these fitting items is neither a record nor an amendment of one, or None."""
    if not row.act:
        return "missing-key" if missing_key(items, row, dataset) else None
    if row.act not in ACTS:
        return "unknown-act"
    if not row.record and (dataset.kind == "event" or missing_key(items, row, dataset)):
        return "record-not-named"
    if row.act == "withdraw":
        return None
    if not items.keys() - set(dataset.key_items):
        return "nothing-to-correct"
    # A blank in the place of what cannot be read would be a correction that nobody made.
    unread = any(items[name] is None and row.items[name] is not None for name in items)
    unread = unread or any(" unreadable-" in warning for warning in row.warnings)
    return "unreadable-correction" if unread else None


def missing_key(items: Mapping[str, Value], row: Row, dataset: Dataset) -> bool:
    """Whether an item that identifies the record is absent or unusable."""
    return any(
        (row.event_date if name == "event_date" else items.get(name)) in (None, "") for name in dataset.key_items
    )


def _reason(
    row: Row, batch: Batch, catalogue: Catalogue, collecting: Mapping[str, Container[int]], valid: bool
) -> str | None:
    if not valid and not (batch.lenient_uscc and codes.has_pattern(row.uscc)):
        return "invalid-uscc"
    for prefix, reason in batch.refused_prefixes.items():
        if row.uscc.startswith(prefix):
            return reason
    dataset = catalogue.datasets.get(row.dataset)
    if dataset is None:
        return "unknown-dataset"
    if row.event_date is not None and not FITS["date"](row.event_date):
        return "invalid-event-date"
    if not row.items.keys() <= item_types(dataset).keys():
        return "unknown-item"
    if batch.basis in CONSENT_BASES and dataset.class_number not in collecting.get(row.uscc, ()):
        return NO_CONSENT
    return None


def _fitting(
    row: Row, dataset: Dataset, catalogue: Catalogue
) -> tuple[Mapping[str, Value], Mapping[str, str], tuple[str, ...]]:
    """Items, raw texts and warnings, with what does not fit moved from the first to the second."""
    types, codes = item_types(dataset), _codes_of(dataset, catalogue)
    told, unfit = row.items, dict[str, str]()
    for name, value in told.items():
        if value is None:
            continue
        if not FITS[types[name]](value):
            unfit[name] = f"not-{types[name]}"
        elif name in codes and value not in codes[name]:
            unfit[name] = "not-in-codes"
    sound = {name: None if name in unfit else value for name, value in told.items()} if unfit else told
    if not row.act:
        unfit |= rules.broken(dataset.code, sound)
    if not unfit:
        return row.items, row.raw, row.warnings
    items = {name: None if name in unfit else value for name, value in sound.items()}
    raw = {**{name: str(told[name]) for name in unfit}, **row.raw}
    return items, raw, (*row.warnings, *(f"{name} {what}" for name, what in unfit.items()))


def item_types(dataset: Dataset) -> Mapping[str, str]:
    """Item code → type, kept for each dataset: this is asked for every row."""
    if dataset.code not in _types:
        _types[dataset.code] = {item.code: item.type for item in dataset.items}
    return _types[dataset.code]


def _codes_of(dataset: Dataset, catalogue: Catalogue) -> Mapping[str, Container[str]]:
    """Item code → the codes that its values are from, for those that have a set."""
    if dataset.code not in _codes:
        _codes[dataset.code] = {item.code: catalogue.codes[item.codes] for item in dataset.items if item.codes}
    return _codes[dataset.code]


_types: dict[str, dict[str, str]] = {}
_codes: dict[str, dict[str, Container[str]]] = {}


def _as_delivered(row: Row) -> dict[str, Any]:
    return {"uscc": row.uscc, "event_date": row.event_date, "items": dict(row.items), "raw": dict(row.raw)}
