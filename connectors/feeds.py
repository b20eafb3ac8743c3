# SPDX-License-Identifier: Apache-2.0
"""Feeds: one TOML file says who delivers what, in which words and limits, and why the bureau may hold it.

    feed, title         its name (the file's) and what people call it
    source, dataset     codes of the catalogue; the dataset must be one that the source supplies
    basis               public | department | consent | lender (see `bureau.records.Batch`)
    format, encoding    `csv`, `tsv`, `jsonl`, `xlsx`; `utf-8`, `gb18030`, with or without BOM; gzip or zip as it comes
    nulls               words for "nothing there", beside the empty cell
    ignored             columns that may come and are not taken
    event_date          the column of the event date, where the dataset has no item for it
    [limits]            the most that one delivery may hold (see `readers.Limits`)
    [uscc]              `column`; `strict` = false takes codes that fail their check symbol, with a warning;
                        `refuse`: beginning of the code → the reason its rows are rejected with
    [columns]           column → { item, required?, unit?, signed? }; the catalogue's type says how a text is
                        read; `unit` (元, 万元) and `signed` are for money
    [defaults]          item → text that holds for every row, for items that no column fills
    [division]          `item` filled from positions 3-8 of the USCC; `raw`: columns that name the place.
                        A feed with a column of division codes maps that one instead

A feed is checked whole when it is loaded: what is wrong stops it, named by file and key.
"""

import hashlib
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from bureau import catalogue
from bureau.records import Batch, Row, Unreadable, Value
from connectors import money, readers
from connectors.mapping import Column, Translation, map_row, read_value
from connectors.readers import Layout, Limits
from kernel.errors import Conflict, NotFound, SettingError

SHIPPED = Path(__file__).with_name("feeds")
BASES = frozenset({"public", "department", "consent", "lender"})

_T = TypeVar("_T")
_KINDS = {str: "a text", bool: "true or false", int: "a whole number", dict: "a table", list: "a list"}
_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_PREFIX = re.compile(r"[0-9A-HJ-NPQRTUWXY]{1,18}")


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed as loaded and checked: `layout` is for `readers.read`, `translation` for `mapping.map_row`."""

    feed: str
    title: str
    source: str
    dataset: str
    basis: str
    layout: Layout
    translation: Translation
    lenient_uscc: bool
    refused_prefixes: Mapping[str, str]


def pull(feed: Feed, file: Path, *, channel: str = "counter", client: str | None = None) -> Batch:
    """Take one delivery: it is read once to its end before it counts, then again row by row as they are asked for.

    Raises what `readers.read` raises, so that of a file which cannot be trusted as a whole nothing is stored;
    iterating over `rows` raises `Conflict` at the end if the file was altered meanwhile, since the digest would then
    stand for other rows.
    """
    digest = _digest(feed, file)
    for _ in readers.read(feed.layout, file):
        pass
    return Batch(
        feed=feed.feed,
        source=feed.source,
        digest=digest,
        basis=feed.basis,
        rows=_rows(feed, file, digest),
        lenient_uscc=feed.lenient_uscc,
        refused_prefixes=feed.refused_prefixes,
        channel=channel,
        client=client,
    )


def as_jsonl(feed: Feed) -> Feed:
    """The feed as it reads rows that came as JSON Lines, whatever the format of its files."""
    return replace(feed, layout=replace(feed.layout, format="jsonl", encoding="utf-8"))


def names() -> list[str]:
    """The feeds that are shipped."""
    return sorted(file.stem for file in SHIPPED.glob("*.toml"))


def load(name_or_path: str | Path) -> Feed:
    """Read and check a shipped feed by its name, or any feed by the path of its `.toml` file.

    Raises `NotFound` if there is none, `SettingError` (file, key, what is wrong) if it does not hold.
    """
    file = Path(name_or_path)
    if file.suffix != ".toml":
        if str(name_or_path) not in names():
            raise NotFound(f"no feed {name_or_path}; there is {', '.join(names())}, or name a .toml file")
        file = SHIPPED / f"{name_or_path}.toml"
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFound(f"{file.name}: there is no such file") from error
    except OSError as error:
        raise SettingError(f"{file.name}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # text that is not UTF-8, broken TOML
        raise SettingError(f"{file.name}: is not TOML: {error}") from error
    return _feed(table, file)


def _digest(feed: Feed, file: Path) -> str:
    with readers.open_delivery(file, feed.layout.limits) as delivery:
        return hashlib.file_digest(delivery, "sha256").hexdigest()


def _rows(feed: Feed, file: Path, digest: str) -> Iterator[Row | Unreadable]:
    for row in readers.read(feed.layout, file):
        yield row if isinstance(row, Unreadable) else map_row(feed.translation, row.number, row.cells)
    if _digest(feed, file) != digest:
        raise Conflict(f"{file.name}: was altered while it was read; collect it once it is complete")


# From here on the checks. `where` is the beginning of a message: the file and the table, `x.toml: limits.`.
# What is taken from a table is removed, so what is left over at the end is unknown.


def _feed(table: dict[str, Any], file: Path) -> Feed:
    where = f"{file.name}: "
    feed = _take(table, where, "feed", str)
    if feed != file.stem or not _SLUG.fullmatch(feed):
        raise SettingError(f"{where}feed: expected the file's name, such as `tax-payments`, not {feed!r}")
    known = catalogue.current()
    source = _choice(table, where, "source", known.sources)
    dataset = known.datasets[_choice(table, where, "dataset", known.datasets)]
    if source not in dataset.sources:
        raise SettingError(f"{where}source: {dataset.code} is supplied by {', '.join(dataset.sources)}")
    basis = _choice(table, where, "basis", BASES)
    if dataset.source_kind == "lender" and basis not in {"consent", "lender"}:
        raise SettingError(f"{where}basis: lenders' data hang on consent (征信业管理条例 Art. 29(2))")
    uscc = _take(table, where, "uscc", dict)
    translation = _translation(table, where, dataset, _take(uscc, f"{where}uscc.", "column", str))
    checked = Feed(
        feed=feed,
        title=_take(table, where, "title", str),
        source=source,
        dataset=dataset.code,
        basis=basis,
        layout=_layout(table, where, translation),
        translation=translation,
        lenient_uscc=not _take(uscc, f"{where}uscc.", "strict", bool),
        refused_prefixes=_refused_prefixes(uscc, f"{where}uscc."),
    )
    _leave_nothing(uscc, f"{where}uscc.")
    _leave_nothing(table, where)
    return checked


def _translation(table: dict[str, Any], where: str, dataset: catalogue.Dataset, uscc_column: str) -> Translation:
    items = {item.code: item for item in dataset.items}
    columns = tuple(
        _column(name, part, f"{where}columns.{name}.", items)
        for name, part in _take(table, where, "columns", dict).items()
    )
    currencies = {column.item_unit[1:] for column in columns if column.item_unit.startswith("@")}
    defaults = {
        code: _default(text, f"{where}defaults.{code}", items.get(code))
        for code, text in _take(table, where, "defaults", dict, {}).items()
    }
    division = _take(table, where, "division", dict, {})
    texts = [item.code for item in dataset.items if item.type == "string"]
    division_item = _choice(division, f"{where}division.", "item", texts) if division else None
    division_raw = _texts(division, f"{where}division.", "raw")
    _leave_nothing(division, f"{where}division.")
    event_column = _take(table, where, "event_date", str, "") or None
    filled = [*(column.item for column in columns), *currencies, *defaults]
    filled += [catalogue.EVENT_DATE] if event_column or dataset.event_date_item in filled else []
    filled += [division_item] if division_item else []
    _check_filled(filled, where, dataset, event_column)
    return Translation(
        dataset=dataset.code,
        uscc_column=uscc_column,
        columns=columns,
        nulls=frozenset(_texts(table, where, "nulls")) | {""},
        constants={**dict.fromkeys(currencies), **defaults},
        division_item=division_item,
        division_raw=division_raw,
        event_item=dataset.event_date_item,
        event_column=event_column,
    )


def _column(name: str, part: object, where: str, items: Mapping[str, catalogue.Item]) -> Column:
    if not isinstance(part, dict):
        raise SettingError(f'{where}item: expected a table such as {{ item = "C1.01.01" }}')
    item = items[_choice(part, where, "item", items)]
    required = _take(part, where, "required", bool, False)
    unit, signed = "", False
    if item.type == "money":
        unit = _take(part, where, "unit", str, "")
        signed = _take(part, where, "signed", bool, False)
        if unit and not money.is_unit(unit):
            raise SettingError(f"{where}unit: expected such as `元`, `万元`, `万美元`, found {unit!r}")
        if not item.unit.startswith("@") and item.unit not in money.currencies().digits:
            raise SettingError(f"{where}item: currencies.csv lacks {item.unit}, the unit of {item.code}")
    _leave_nothing(part, where)
    return Column(name, item.code, item.type, item.unit, required, unit, signed)


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


def _layout(table: dict[str, Any], where: str, translation: Translation) -> Layout:
    columns = [translation.uscc_column, *(column.name for column in translation.columns)]
    columns += [*translation.division_raw, *([translation.event_column] if translation.event_column else [])]
    ignored = frozenset(_texts(table, where, "ignored"))
    for name in (*columns, *ignored):
        if not name or name != name.strip() or (name in ignored and name in columns):
            raise SettingError(f"{where}columns: {name!r} is empty, has blanks, or is both taken and ignored")
    return Layout(
        format=_choice(table, where, "format", readers.FORMATS),
        encoding=_choice(table, where, "encoding", readers.ENCODINGS),
        columns=tuple(dict.fromkeys(columns)),
        ignored=ignored,
        limits=_limits(_take(table, where, "limits", dict), f"{where}limits."),
    )


def _limits(part: dict[str, Any], where: str) -> Limits:
    limits = Limits(**{field.name: _take(part, where, field.name, int) for field in fields(Limits)})
    for field in fields(Limits):
        if getattr(limits, field.name) < 1:
            raise SettingError(f"{where}{field.name}: expected a positive whole number")
    if limits.cell_characters > readers.LARGEST_CELL_CHARACTERS:
        raise SettingError(f"{where}cell_characters: expected at most {readers.LARGEST_CELL_CHARACTERS}")
    _leave_nothing(part, where)
    return limits


def _refused_prefixes(uscc: dict[str, Any], where: str) -> dict[str, str]:
    refused = _take(uscc, where, "refuse", dict, {})
    for prefix, reason in refused.items():
        if not _PREFIX.fullmatch(prefix) or not isinstance(reason, str) or not _SLUG.fullmatch(reason):
            raise SettingError(f"{where}refuse: expected beginnings of codes = 'a-reason', found {prefix!r}")
    return refused


def _take(table: dict[str, Any], where: str, key: str, kind: type[_T], default: Any = ...) -> _T:
    """Take a key of exactly this type out of a table, or its default; without one it must be there."""
    value = table.pop(key, default)
    if value is ...:
        raise SettingError(f"{where}{key}: is missing")
    if type(value) is not kind:
        raise SettingError(f"{where}{key}: expected {_KINDS[kind]}, found {value!r}")
    return value


def _choice(table: dict[str, Any], where: str, key: str, known: Collection[str]) -> str:
    value = _take(table, where, key, str)
    if value not in known:
        listed = ", ".join(sorted(known)[:12])
        raise SettingError(f"{where}{key}: {value!r} is not among {listed}{' …' if len(known) > 12 else ''}")
    return value


def _texts(table: dict[str, Any], where: str, key: str) -> tuple[str, ...]:
    values = _take(table, where, key, list, [])
    if not all(isinstance(value, str) for value in values):
        raise SettingError(f"{where}{key}: expected a list of texts, found {values!r}")
    return tuple(values)


def _leave_nothing(table: dict[str, Any], where: str) -> None:
    if table:
        raise SettingError(f"{where}{next(iter(table))}: there is no such key")
