# SPDX-License-Identifier: Apache-2.0
"""Feeds: one TOML file says who delivers what, in which words and limits, and why the bureau may hold it.

    feed, title         its name (the file's) and what people call it
    source, dataset     codes of the catalogue; the dataset must be one that the source supplies
    basis               public | department | consent | lender (see `bureau.records.Batch`)
    format, encoding    `csv`, `tsv`, `jsonl`, `xlsx`, `parquet`; `utf-8`, `gb18030`, with or without BOM; gzip or zip
                        as it comes
    nulls               words for "nothing there", beside the empty cell
    ignored             columns that may come and are not taken
    event_date          the column of the event date, where the dataset has no item for it
    [limits]            the most that one delivery may hold (see `readers.Limits`)
    [uscc]              `column`; `strict` = false takes codes that fail their check symbol, with a warning;
                        `refuse`: beginning of the code → the reason its rows are rejected with
    [columns]           column → { item, required?, unit?, signed?, codes? }; the catalogue's type says how a text
                        is read; `unit` (元, 万元) and `signed` are for money; `codes` names a list of [codes]
    [codes.NAME]        the source's words → the catalogue's; a word that is not there is unreadable
    [defaults]          item → text that holds for every row, for items that no column fills
    [division]          `item` filled from positions 3-8 of the USCC; `raw`: columns that name the place.
                        A feed with a column of division codes maps that one instead
    [amendments]        `column` tells which rows amend an earlier record instead of being one: by the words listed in
                        `correct` and `withdraw`; `record` is the column of that record's id (batch.row.dataset), which
                        events need: states and periods are also named by their key
    [contract]          `reference` of the source's contract, and `until`, its last day, where it has one
    [transport]         how deliveries are fetched (see `connectors.transports`); without it they are brought or pushed
    schedule            when they are fetched: `daily 02:30` (see `connectors.rhythm`)
    [expected]          `rhythm` and `grace_days`, `shrink_percent`: when a delivery is late, or suspiciously small

A feed is checked whole when it is loaded: what is wrong stops it, named by file and key.
"""

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import date
from pathlib import Path
from typing import Any

from bureau import catalogue
from bureau.records import Batch, Row, Unreadable
from connectors import columns, readers, rhythm, transports
from connectors.declarations import SLUG, choice, leave_nothing, take, texts
from connectors.mapping import Translation, map_row
from connectors.readers import Layout, Limits
from connectors.rhythm import Expected, Schedule
from connectors.transports import Transport
from kernel import clock
from kernel.errors import Conflict, NotFound, NotPermitted, SettingError

SHIPPED = Path(__file__).with_name("feeds")
DEMO = SHIPPED / "demo"  # those of the demo city: patterns for others, in use only where they are copied
BASES = frozenset({"public", "department", "consent", "lender"})
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
    contract: str | None = None
    contract_until: date | None = None
    transport: Transport | None = None
    schedule: Schedule | None = None
    expected: Expected | None = None


def use(folder: Path) -> None:
    """Look for feeds in this folder too, before those that are shipped."""
    global _folder
    _folder = folder


def pull(feed: Feed, file: Path, *, channel: str = "counter", client: str | None = None) -> Batch:
    """Take one delivery: it is read once to its end before it counts, then again row by row as they are asked for.

    Raises NotPermitted (`contract-over`) after the last day of the feed's contract, and what `readers.read` raises:
    of a file which cannot be trusted as a whole nothing is stored. Iterating over `rows` raises `Conflict` at the
    end if the file was altered meanwhile, since the digest would then stand for other rows.
    """
    require_contract(feed)
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


def require_contract(feed: Feed) -> None:
    """Raise NotPermitted after the last day of the contract under which the feed is delivered."""
    if feed.contract_until is not None and clock.legal_day(clock.now()) > feed.contract_until:
        told = f"{feed.feed}: its contract ended on {feed.contract_until}: renew it, then change `contract.until`"
        raise NotPermitted(told, slug="contract-over")


def names() -> list[str]:
    """The feeds that there are: the operator's and the shipped ones."""
    return sorted(_files())


def load(name_or_path: str | Path) -> Feed:
    """Read and check a feed by its name, or any feed by the path of its `.toml` file.

    Raises `NotFound` if there is none, `SettingError` (file, key, what is wrong) if it does not hold.
    """
    file = Path(name_or_path)
    if file.suffix != ".toml":
        known = _files()
        if str(name_or_path) not in known:
            raise NotFound(f"no feed {name_or_path}; there is {', '.join(sorted(known))}, or name a .toml file")
        file = known[str(name_or_path)]
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFound(f"{file.name}: there is no such file") from error
    except OSError as error:
        raise SettingError(f"{file.name}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # text that is not UTF-8, broken TOML
        raise SettingError(f"{file.name}: is not TOML: {error}") from error
    return _feed(table, file)


def _files() -> dict[str, Path]:
    folders = [SHIPPED, *([_folder] if _folder else [])]
    return {file.stem: file for folder in folders for file in folder.glob("*.toml")}


def _digest(feed: Feed, file: Path) -> str:
    with readers.open_delivery(file, feed.layout.limits) as delivery:
        return hashlib.file_digest(delivery, "sha256").hexdigest()


def _rows(feed: Feed, file: Path, digest: str) -> Iterator[Row | Unreadable]:
    for row in readers.read(feed.layout, file):
        yield row if isinstance(row, Unreadable) else map_row(feed.translation, row.number, row.cells)
    if _digest(feed, file) != digest:
        raise Conflict(f"{file.name}: was altered while it was read; collect it once it is complete")


# From here on the checks: what is taken from a table is removed, so what is left over at the end is unknown.


def _feed(table: dict[str, Any], file: Path) -> Feed:
    where = f"{file.name}: "
    feed = take(table, where, "feed", str)
    if feed != file.stem or not SLUG.fullmatch(feed):
        raise SettingError(f"{where}feed: expected the file's name, such as `tax-payments`, not {feed!r}")
    known = catalogue.current()
    source = choice(table, where, "source", {*known.sources, *catalogue.UNLISTED_SOURCES})
    dataset = known.datasets[choice(table, where, "dataset", known.datasets)]
    if source not in dataset.sources:
        raise SettingError(f"{where}source: {dataset.code} is supplied by {', '.join(dataset.sources)}")
    basis = choice(table, where, "basis", BASES)
    if dataset.source_kind == "lender" and basis not in {"consent", "lender"}:
        raise SettingError(f"{where}basis: lenders' data hang on consent (征信业管理条例 Art. 29(2))")
    uscc = take(table, where, "uscc", dict)
    uscc_column = take(uscc, f"{where}uscc.", "column", str)
    translation = columns.declared(table, where, dataset, uscc_column)
    layout = _layout(table, where, translation)
    contract, until = _contract(take(table, where, "contract", dict, {}), f"{where}contract.")
    checked = Feed(
        feed=feed,
        title=take(table, where, "title", str),
        source=source,
        dataset=dataset.code,
        basis=basis,
        layout=layout,
        translation=translation,
        lenient_uscc=not take(uscc, f"{where}uscc.", "strict", bool),
        refused_prefixes=_refused_prefixes(uscc, f"{where}uscc."),
        contract=contract,
        contract_until=until,
        transport=transports.declared(table, where, layout.format),
        schedule=rhythm.schedule(table, where),
        expected=rhythm.expected(table, where),
    )
    if checked.schedule is not None and checked.transport is None:
        raise SettingError(f"{where}schedule: there is no [transport] to pull by")
    leave_nothing(uscc, f"{where}uscc.")
    leave_nothing(table, where)
    return checked


def _contract(part: dict[str, Any], where: str) -> tuple[str | None, date | None]:
    if not part:
        return None, None
    reference, until = take(part, where, "reference", str), part.pop("until", None)
    if until is not None and type(until) is not date:
        raise SettingError(f"{where}until: expected a day such as 2027-12-31, found {until!r}")
    leave_nothing(part, where)
    return reference, until


def _layout(table: dict[str, Any], where: str, translation: Translation) -> Layout:
    names = [translation.uscc_column, *(column.name for column in translation.columns)]
    names += [
        *translation.division_raw,
        *filter(None, (translation.event_column, translation.act_column, translation.record_column)),
    ]
    ignored = frozenset(texts(table, where, "ignored"))
    for name in (*names, *ignored):
        if not name or name != name.strip() or (name in ignored and name in names):
            raise SettingError(f"{where}columns: {name!r} is empty, has blanks, or is both taken and ignored")
    return Layout(
        format=choice(table, where, "format", readers.FORMATS),
        encoding=choice(table, where, "encoding", readers.ENCODINGS),
        columns=tuple(dict.fromkeys(names)),
        ignored=ignored,
        limits=_limits(take(table, where, "limits", dict), f"{where}limits."),
    )


def _limits(part: dict[str, Any], where: str) -> Limits:
    limits = Limits(**{field.name: take(part, where, field.name, int) for field in fields(Limits)})
    for field in fields(Limits):
        if getattr(limits, field.name) < 1:
            raise SettingError(f"{where}{field.name}: expected a positive whole number")
    if limits.cell_characters > readers.LARGEST_CELL_CHARACTERS:
        raise SettingError(f"{where}cell_characters: expected at most {readers.LARGEST_CELL_CHARACTERS}")
    leave_nothing(part, where)
    return limits


def _refused_prefixes(uscc: dict[str, Any], where: str) -> dict[str, str]:
    refused = take(uscc, where, "refuse", dict, {})
    for prefix, reason in refused.items():
        if not _PREFIX.fullmatch(prefix) or not isinstance(reason, str) or not SLUG.fullmatch(reason):
            raise SettingError(f"{where}refuse: expected beginnings of codes = 'a-reason', found {prefix!r}")
    return refused


_folder: Path | None = None
