# SPDX-License-Identifier: Apache-2.0
"""The rows of the catalogue's files (UTF-8, comma-separated): headers exact, each code once, each cell checked.

Whatever is wrong is a `SettingError` that names the file and the line.
"""

import csv
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from kernel.errors import SettingError

HEADERS = {
    "classes": "class,name_zh,name_en",
    "sources": "source,group_zh,group_en,name_zh,name_en",
    "datasets": "dataset,class,name_zh,name_en,kind,key_items,event_date,sources,source_kind,frequency,items,"
    "legal_basis",
    "items": "item,dataset,name_zh,name_en,type,unit,codes,sensitivity,negative,personal",
    "codes": "codes,code,name_en",
}


class Row(NamedTuple):
    """One line of a file: where it stands, its code (the first cell), its cells by column.

    A cell is asked for as what it must be.
    """

    where: str
    code: str
    cells: Mapping[str, str]

    def text(self, column: str) -> str:
        value = self.cells[column]
        if not value or value != value.strip():
            raise self.fault(f"{column} must be text without blanks around it, found {value!r}")
        return value

    def choice(self, column: str, allowed: Collection[str]) -> str:
        value = self.cells[column]
        if value not in allowed:
            raise self.fault(f"{column} must be one of {', '.join(sorted(allowed))}, found {value!r}")
        return value

    def whole(self, column: str, lowest: int, highest: int) -> int:
        text = self.cells[column]
        if not re.fullmatch("0|[1-9][0-9]{0,3}", text) or not lowest <= int(text) <= highest:
            raise self.fault(f"{column} must be a whole number from {lowest} to {highest}, found {text!r}")
        return int(text)

    def references(self, column: str, known: Collection[str]) -> tuple[str, ...]:
        """The space-separated codes of a cell that must not be empty, each known and named once."""
        codes = tuple(self.text(column).split(" "))
        for position, code in enumerate(codes):
            if code not in known or code in codes[:position]:
                raise self.fault(f"{column} names {code}, which is unknown here or named twice")
        return codes

    def fault(self, what: str) -> SettingError:
        return SettingError(f"{self.where}: {what}")


def read(folder: Path, stem: str, expected: int | None) -> list[Row]:
    """The rows of one file, every code once, and as many as expected."""
    name = f"{stem}.csv"
    rows: dict[str, Row] = {}
    for row in lines(folder, stem):
        if row.code in rows:
            raise row.fault(f"{row.code} stands already at {rows[row.code].where}")
        rows[row.code] = row
    if expected is not None and len(rows) != expected:
        raise SettingError(f"{name}: expected {expected} rows, found {len(rows)}")
    return list(rows.values())


def lines(folder: Path, stem: str) -> Iterator[Row]:
    """The rows of one file, with the header exact."""
    name = f"{stem}.csv"
    every = _cells(folder / name)
    _, header = next(every, (1, []))
    if ",".join(header) != HEADERS[stem]:
        raise SettingError(f"{name} line 1: expected the header {HEADERS[stem]}, found {','.join(header)}")
    for number, cells in every:
        where = f"{name} line {number}"
        if len(cells) != len(header):
            raise SettingError(f"{where}: expected {len(header)} columns, found {len(cells)}")
        yield Row(where, cells[0], dict(zip(header, cells, strict=True)))


def _cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The number, counted from 1, and the cells of each line."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            for cells in reader:
                yield reader.line_num, cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingError(f"{path.name} cannot be read from {path.parent}: {error}") from error
