# SPDX-License-Identifier: Apache-2.0
"""The city's deliveries as files, each as its department would drop it: format, encoding, words and packing.

A feed says all of it but what a reader finds out by itself: whether text is packed, and whether a byte order mark
stands before it. The same city gives the same bytes everywhere.
"""

import csv
import gzip
import io
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import orjson

from app.city import parquet, workbooks
from app.city.deliveries import Delivery, deliveries
from app.city.firms import Firm
from app.city.supplies import MORE, SUPPLIES
from app.city.wording import Wording, wording
from connectors import feeds
from connectors.feeds import Feed

NUMBER = "序号"  # a column that people's spreadsheets have and nobody takes
PACKED = {"S41": "gz", "S43": "zip", "S50": "gz", "S56": "zip", "S66": "gz", "S68": "zip"}
MARKED = {"S01"}  # these save text with a byte order mark


class File(NamedTuple):
    """A delivered file and the name of its feed."""

    feed: str
    path: Path


def write(firms: Sequence[Firm], folder: Path, months: int = 12) -> Iterator[File]:
    """Write every delivery of the whole city into the folder, in time order; each is yielded when it is complete."""
    own = {(feed.dataset, feed.source): feed for feed in map(feeds.load, sorted(feeds.DEMO.glob("*.toml")))}
    worded = {feed.feed: wording(feed) for feed in own.values()}
    for delivery in deliveries(firms, months=months, supplies=SUPPLIES + MORE):
        feed = own[delivery.supply.dataset, delivery.supply.source]
        yield File(feed.feed, write_one(feed, worded[feed.feed], delivery, folder))


def write_one(feed: Feed, worded: Wording, delivery: Delivery, folder: Path) -> Path:
    """Write one delivery and give its path; raises SettingError where the feed cannot tell what it holds."""
    name = f"{feed.feed}-{delivery.month.text}.{feed.layout.format}"
    numbered = NUMBER in feed.layout.ignored
    columns = ((NUMBER,) if numbered else ()) + worded.columns
    types = (("integer",) if numbered else ()) + worded.types
    rows = (([str(row.number)] if numbered else []) + worded.cells(row) for row in delivery.rows)
    if feed.layout.format == "xlsx":
        return workbooks.write(folder / name, columns, types, rows)
    if feed.layout.format == "parquet":
        return parquet.write(folder / name, columns, types, rows)
    packing = PACKED.get(feed.source, "")
    file = folder / (f"{name}.{packing}" if packing else name)
    with _text(file, name, packing, "utf-8-sig" if feed.source in MARKED else feed.layout.encoding) as text:
        if feed.layout.format == "jsonl":
            _objects(text, columns, types, rows)
        else:
            writer = csv.writer(text, "excel-tab" if feed.layout.format == "tsv" else "excel")
            writer.writerow(columns)
            writer.writerows(rows)
    return file


def _objects(text: TextIO, columns: Sequence[str], types: Sequence[str], rows: Iterator[list[str]]) -> None:
    """An object a line: what is whole a number, what is true or false so, all else text."""
    for cells in rows:
        told = {name: _member(type_, cell) for name, type_, cell in zip(columns, types, cells, strict=True)}
        text.write(orjson.dumps(told).decode() + "\n")


def _member(type_: str, cell: str) -> Any:
    if not cell:
        return None
    if type_ == "boolean":
        return cell == "是"
    return int(cell) if type_ == "integer" else cell


@contextmanager
def _text(file: Path, name: str, packing: str, encoding: str) -> Iterator[TextIO]:
    """A stream for the text of a file, packed as it is said."""
    with (
        file.open("wb") as out,
        _packed(out, name, packing) as stream,
        io.TextIOWrapper(stream, encoding, newline="") as text,
    ):
        yield text


@contextmanager
def _packed(out: io.BufferedWriter, name: str, packing: str) -> Iterator[Any]:
    if packing == "gz":
        with gzip.GzipFile("", "wb", 6, out, mtime=0) as stream:
            yield stream
    elif packing == "zip":
        with zipfile.ZipFile(out, "w") as archive, archive.open(workbooks.member(name), "w") as stream:
            yield stream
    else:
        yield out
