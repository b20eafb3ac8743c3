# SPDX-License-Identifier: Apache-2.0
"""The log, or a range of its leaves, taken away as a file; beside it the proof that vouches for every line.

NDJSON: a line is `{"index", "leaf_hash", "entry"}`, where `entry` is the entry's own document, whose canonical JSON
(RFC 8785) are its bytes; null where retention took them. CSV: the same, with the most read fields in columns of
their own for a spreadsheet. `audit.exported` says how the proof is written, and checks both.
"""

import base64
import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import orjson
from sqlalchemy import Connection, select

from audit import log, merkle, tiles
from audit.exported import CSV_COLUMNS, FIRST_LINE, csv_cells
from audit.models import entry as entries
from audit.models import leaf as leaves
from kernel import db
from kernel.errors import Invalid

ROWS_AT_ONCE = 2_000
Form = Literal["ndjson", "csv"]
FORMS: tuple[Form, ...] = "ndjson", "csv"


def stream(first: int, last: int, form: Form = "ndjson") -> Iterator[bytes]:
    """Leaves first … last - 1 in their order. Leaves never change, so each page is a short reading of its own."""
    if form == "csv":
        yield "\N{BYTE ORDER MARK}".encode() + _csv([list(CSV_COLUMNS)])
    while first < last:
        until = min(last, first + ROWS_AT_ONCE)
        with db.reading() as reading:
            rows = _page(reading, first, until)
        if len(rows) != until - first:
            raise Invalid(f"leaves {first} to {until - 1} are not all there: run `bureau verify`")
        yield _csv([_cells(row) for row in rows]) if form == "csv" else b"".join(_line(row) for row in rows)
        first = until


def proof(tx: Connection, first: int, last: int) -> str:
    """What proves leaves first … last - 1 against the newest checkpoint shown; raises Invalid outside of the log."""
    head = log.shown(tx)
    if head is None or not 0 <= first < last <= head.size:
        size = head.size if head else 0
        raise Invalid(f"the log has leaves 0 to {size - 1}: name a range of them" if size else "nothing is sealed yet")
    node = tiles.nodes(lambda level, number: log.load_tile(tx, level, number))
    before, after = merkle.cover(first, node), merkle.consistency_proof(last, head.size, node)
    hashes = [*(("before", each) for each in before), *(("after", each) for each in after)]
    written = "".join(f"{word} {base64.b64encode(each).decode()}\n" for word, each in hashes)
    return f"{FIRST_LINE}\nfrom {first}\nto {last}\n{written}\n{head.note}"


def write(file: Path, first: int, last: int, form: Form = "ndjson") -> None:
    """Write leaves first … last - 1 to a file and their proof beside it, both mode 0600; raises Invalid."""
    with db.reading() as reading:
        vouching = proof(reading, first, last)
    with open(file, "wb", opener=_private) as out:
        out.writelines(stream(first, last, form))
    with open(proof_of(file), "wb", opener=_private) as out:
        out.write(vouching.encode())


def proof_of(file: Path) -> Path:
    """Where an export's proof lies."""
    return file.with_name(f"{file.name}.proof")


def _page(tx: Connection, first: int, until: int) -> list[Any]:
    columns = leaves.c.index.label("place"), entries.c.leaf_hash, entries.c.bytes
    joined = leaves.join(entries, entries.c.id == leaves.c.entry)
    within = leaves.c.index >= first, leaves.c.index < until
    return list(tx.execute(select(*columns).select_from(joined).where(*within).order_by(leaves.c.index)))


def _line(row: Any) -> bytes:
    told = row.bytes if row.bytes is not None else b"null"
    return b'{"index":%d,"leaf_hash":"%b","entry":%b}\n' % (row.place, row.leaf_hash.hex().encode(), told)


def _cells(row: Any) -> list[str]:
    document = orjson.loads(row.bytes) if row.bytes is not None else None
    return csv_cells(row.place, row.leaf_hash.hex(), document, row.bytes.decode() if row.bytes is not None else "")


def _csv(rows: list[list[str]]) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue().encode()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
