# SPDX-License-Identifier: Apache-2.0
"""Files as delivered → rows of text, streamed: memory is that of one row, whatever the size of the file.

A row that cannot be split into the feed's columns is one rejected row (`malformed-row`, with its text), and
reading goes on. A file that cannot be trusted as a whole (cut off, not text, another encoding, other columns,
beyond the feed's limits) ends with an error that names file, row and remedy, and the caller keeps none of it.
Errors tell no content: what a file holds may be confidential.

Rows are counted from 1, the header and empty lines left out.
"""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bureau.records import Unreadable
from connectors import columnar, objects, packing, separated, workbooks
from connectors.layouts import RATIO_FLOOR_BYTES, Broken, Layout, Limits, Record, Records
from kernel.errors import Invalid, NotFound, TooLarge

__all__ = ["ENCODINGS", "FORMATS", "RATIO_FLOOR_BYTES", "Cells", "Layout", "Limits", "open_delivery", "read"]

MALFORMED_ROW = "malformed-row"
FORMATS = frozenset({"csv", "tsv", "jsonl", "xlsx", "parquet"})
ENCODINGS = frozenset({"utf-8", "gb18030"})

# The csv module's own limit on a cell is global to the process: it is left alone, and feeds stay below it.
LARGEST_CELL_CHARACTERS = 131_072


class Cells(NamedTuple):
    """One row as delivered: its number and its text by column name, nothing trimmed."""

    number: int
    cells: dict[str, str]


def read(layout: Layout, file: Path) -> Iterator[Cells | Unreadable]:
    """Yield every row of a delivered file. Text may be plain, gzip or zip (told by its first bytes), with or
    without BOM.

    Raises `NotFound`, `Invalid` or `TooLarge` as the module says.
    """
    number, header = 0, None
    try:
        with open_delivery(file, layout.limits) as delivery:
            records = _records(delivery, layout)
            header = _header(layout, next(records, None))
            width = len(header)
            for number, (cells, lines) in enumerate(records, start=1):
                if number > layout.limits.rows:
                    raise Broken(TooLarge, f"more than {layout.limits.rows:,} rows", "split the file")
                if len(cells) == width:
                    yield Cells(number, dict(zip(header, cells, strict=True)))
                else:
                    yield Unreadable(number, MALFORMED_ROW, {"row": "".join(lines).rstrip("\r\n")})
    except Broken as broken:
        # The row that was read last is not the one that broke, unless it was one too many.
        place = "header" if header is None else f"row {min(number, layout.limits.rows) + 1}"
        raise broken.kind(f"{file.name}, {place}: {broken.problem}; {broken.remedy}") from broken


@contextmanager
def open_delivery(file: Path, limits: Limits) -> Iterator[io.BufferedReader]:
    """Open a delivered file as it is. Raises `NotFound`, or `TooLarge` by its size."""
    if not file.is_file():
        raise NotFound(f"{file.name}: there is no such file")
    try:
        delivery = file.open("rb")
    except OSError as error:
        raise Invalid(f"{file.name}: cannot be opened: {error.strerror}") from error
    with delivery:
        size = os.fstat(delivery.fileno()).st_size
        if size > limits.packed_bytes:
            most = limits.packed_bytes
            raise TooLarge(f"{file.name}: {size:,} bytes, above the feed's {most:,}; split the file")
        yield delivery


def _records(delivery: io.BufferedReader, layout: Layout) -> Records:
    """The records of a delivery, the header first, as its format has them."""
    if layout.format == "xlsx":
        yield from workbooks.records(delivery, layout)
        return
    record: list[str] = []
    if layout.format == "parquet":
        yield from columnar.records(delivery, layout, record)
        return
    with packing.unpacked(delivery) as stream:
        lines = packing.lines(stream, layout, os.fstat(delivery.fileno()).st_size, record)
        reader = objects.records if layout.format == "jsonl" else separated.records
        yield from reader(lines, record, layout)


def _header(layout: Layout, record: Record | None) -> list[str]:
    """The trimmed names of the first record. Errors do not repeat what stands there: it may be data."""
    expected = f"the first row must name {', '.join(layout.columns)}"
    if record is None:
        raise Broken(Invalid, "the file is empty", expected)
    names = [name.strip() for name in record[0]]
    for name in layout.columns:
        if name not in names:
            raise Broken(Invalid, f"no column {name}", expected)
    for position, name in enumerate(names, start=1):
        if name in names[: position - 1]:
            raise Broken(Invalid, f"column {position} is there twice", "name each column once")
        if name not in layout.columns and name not in layout.ignored:
            problem = f"column {position} is unknown to the feed"
            raise Broken(Invalid, problem, "leave it out, or list it in the feed under `ignored`")
    return names
