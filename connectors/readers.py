# SPDX-License-Identifier: Apache-2.0
"""Files as delivered → rows of text, streamed: memory is that of one row, whatever the size of the file.

A row that cannot be split into the feed's columns is one rejected row (`malformed-row`, with its text), and
reading goes on. A file that cannot be trusted as a whole (cut off, not text, another encoding, other columns,
beyond the feed's limits) ends with an error that names file, row and remedy, and the caller keeps none of it.
Errors tell no content: what a file holds may be confidential.

Rows are counted from 1, the header and empty lines left out. Lines end in LF or CRLF; quoted cells may hold
either.
"""

import csv
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bureau.records import Unreadable
from kernel.errors import BureauError, Invalid, NotFound, TooLarge

MALFORMED_ROW = "malformed-row"
FORMATS = frozenset({"csv"})
ENCODINGS = frozenset({"utf-8"})

# The csv module's own limit on a cell is global to the process: it is left alone, and feeds stay below it.
LARGEST_CELL_CHARACTERS = 131_072

# Below this size a high ratio is no danger: short files of equal rows compress well.
RATIO_FLOOR_BYTES = 1 << 20

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one delivery may hold. `ratio` is unpacked to packed bytes: above it, a gzip bomb."""

    packed_bytes: int
    unpacked_bytes: int
    ratio: int
    rows: int
    row_bytes: int
    cell_characters: int


@dataclass(frozen=True, slots=True)
class Layout:
    """How a feed's files look: `columns` must all be there, in any order, and no others but the `ignored`."""

    format: str
    encoding: str
    columns: tuple[str, ...]
    ignored: frozenset[str]
    limits: Limits


class Cells(NamedTuple):
    """One row as delivered: its number and its text by column name, nothing trimmed."""

    number: int
    cells: dict[str, str]


class _Broken(Exception):
    """The file cannot be read on: the kind of error, the problem and the remedy, but not yet the place."""

    def __init__(self, kind: type[BureauError], problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.kind, self.problem, self.remedy = kind, problem, remedy


def read(layout: Layout, file: Path) -> Iterator[Cells | Unreadable]:
    """Yield every row of a delivered file, plain or gzip (told by its first bytes), with or without BOM.

    Raises `NotFound`, `Invalid` or `TooLarge` as the module says.
    """
    number, header = 0, None
    try:
        with open_delivery(file, layout.limits) as delivery, _unpacked(delivery) as stream:
            records = _records(stream, layout, os.fstat(delivery.fileno()).st_size)
            header = _header(layout, next(records, None))
            width = len(header)
            for number, (cells, lines) in enumerate(records, start=1):
                if number > layout.limits.rows:
                    raise _Broken(TooLarge, f"more than {layout.limits.rows:,} rows", "split the file")
                if len(cells) == width:
                    yield Cells(number, dict(zip(header, cells, strict=True)))
                else:
                    yield Unreadable(number, MALFORMED_ROW, {"row": "".join(lines).rstrip("\r\n")})
    except _Broken as broken:
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


@contextmanager
def _unpacked(delivery: io.BufferedIOBase) -> Iterator[io.BufferedIOBase]:
    """The text's bytes: the delivery itself, or what its gzip members hold."""
    packed = delivery.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    delivery.seek(0)
    if not packed:
        yield delivery
        return
    # No buffer above this one: it would lose the last rows before a fault, and with them the fault's place.
    with gzip.GzipFile(fileobj=delivery) as stream:
        yield stream


def _records(stream: io.BufferedIOBase, layout: Layout, packed_bytes: int) -> Iterator[tuple[list[str], list[str]]]:
    """Each record's cells (none where its quoting is broken) and its lines, which hold until the next."""
    lines: list[str] = []
    rows = csv.reader(_lines(stream, layout, packed_bytes, lines), strict=True)
    longest = layout.limits.cell_characters
    while True:
        lines.clear()
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            # The csv module tells its errors apart by their text alone; tests pin these two.
            if "unexpected end of data" in str(error):
                raise _Broken(Invalid, "the file ends inside a quoted cell", "deliver all of it") from error
            if "field limit" in str(error):
                raise _overlong(longest) from error
            yield [], lines
            continue
        # A cell is no longer than its line, so that the cells of few rows need measuring.
        if (len(lines) > 1 or len(lines[0]) > longest) and max(map(len, cells)) > longest:
            raise _overlong(longest)
        if cells:
            yield cells, lines


def _overlong(characters: int) -> _Broken:
    return _Broken(TooLarge, f"a cell has more than {characters:,} characters", "look for a lost quote")


def _lines(stream: io.BufferedIOBase, layout: Layout, packed_bytes: int, record: list[str]) -> Iterator[str]:
    """Decode line by line, so that a fault has its row; note each in `record`, which the caller clears."""
    limits, encoding = layout.limits, layout.encoding
    ceiling_bytes = min(limits.unpacked_bytes, max(RATIO_FLOOR_BYTES, limits.ratio * packed_bytes))
    total_bytes = record_bytes = 0
    try:
        while line := stream.readline(limits.row_bytes + 1):
            total_bytes += len(line)
            record_bytes = len(line) + (record_bytes if record else 0)
            if record_bytes > limits.row_bytes:
                remedy = "look for a lost quote, and end lines in LF or CRLF"
                raise _Broken(TooLarge, f"more than {limits.row_bytes:,} bytes", remedy)
            if total_bytes > ceiling_bytes:
                problem = f"the file holds more than {ceiling_bytes:,} bytes of text"
                raise _Broken(TooLarge, problem, "split the file, and pack it once and ordinarily")
            if b"\0" in line:
                raise _Broken(Invalid, "binary, not text", f"deliver {layout.format} in {encoding}")
            if total_bytes == len(line):
                line = line.removeprefix(_BYTE_ORDER_MARK)
            record.append(line.decode(encoding))
            yield record[-1]
    except UnicodeDecodeError as error:
        raise _Broken(Invalid, f"not {encoding}", f"save the file in {encoding}") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _Broken(Invalid, "the gzip file is cut off or damaged", "deliver it again") from error


def _header(layout: Layout, record: tuple[list[str], list[str]] | None) -> list[str]:
    """The trimmed names of the first record. Errors do not repeat what stands there: it may be data."""
    expected = f"the first row must name {', '.join(layout.columns)}"
    if record is None:
        raise _Broken(Invalid, "the file is empty", expected)
    names = [name.strip() for name in record[0]]
    for name in layout.columns:
        if name not in names:
            raise _Broken(Invalid, f"no column {name}", expected)
    for position, name in enumerate(names, start=1):
        if name in names[: position - 1]:
            raise _Broken(Invalid, f"column {position} is there twice", "name each column once")
        if name not in layout.columns and name not in layout.ignored:
            problem = f"column {position} is unknown to the feed"
            raise _Broken(Invalid, problem, "leave it out, or list it in the feed under `ignored`")
    return names
