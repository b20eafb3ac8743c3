# SPDX-License-Identifier: Apache-2.0
"""Lists of enterprises as departments and banks send them: CSV with a column `uscc`, and `since` where they know it."""

import csv
import io
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from kernel.errors import Invalid, TooLarge

MAX_BYTES = 64 * 1024 * 1024
ENCODINGS = ("utf-8-sig", "gb18030")


def read(file: Path) -> Iterator[tuple[int, str, date | None]]:
    """The rows of a list: number from 1, USCC, since when. Blank rows are left out.

    Raises Invalid naming file and row where it is no such list, TooLarge beyond MAX_BYTES.
    """
    if file.stat().st_size > MAX_BYTES:
        raise TooLarge(f"{file.name} is larger than {MAX_BYTES} bytes: split it")
    rows = csv.DictReader(io.StringIO(_decoded(file), newline=""))
    if "uscc" not in (rows.fieldnames or ()):
        raise Invalid(f"{file.name} has no column uscc: its first line must name uscc, and may name since")
    try:
        for number, row in enumerate(rows, 1):
            if uscc := (row["uscc"] or "").strip():
                yield number, uscc, _date(row.get("since"), file, number)
    except csv.Error as error:
        raise Invalid(f"{file.name}, row {rows.line_num}: {error}") from error


def _decoded(file: Path) -> str:
    content = file.read_bytes()
    for encoding in ENCODINGS:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise Invalid(f"{file.name} is neither UTF-8 nor GB18030: save it as UTF-8")


def _date(text: str | None, file: Path, row: int) -> date | None:
    if not text or not text.strip():
        return None
    try:
        return date.fromisoformat(text.strip())
    except ValueError as error:
        raise Invalid(f"{file.name}, row {row}: since must be a date like 2026-11-24") from error
