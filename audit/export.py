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
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import orjson
from sqlalchemy import Connection, select

from audit import log, merkle, tiles
from audit.exported import CSV_COLUMNS, END, FIRST_LINE, Trailer, csv_cells
from audit.merkle import Node
from audit.models import entry as entries
from audit.models import leaf as leaves
from kernel import db
from kernel.errors import Invalid

ROWS_AT_ONCE = 2_000
CHOSEN_AT_ONCE = 500  # their hashes may come from as many tiles of 8 KiB, twice
Form = Literal["ndjson", "csv"]
FORMS: tuple[Form, ...] = "ndjson", "csv"


def stream(first: int, last: int, form: Form = "ndjson", places: Sequence[int] | None = None) -> Iterator[bytes]:
    """Leaves first … last - 1 in their order, or those of them at some `places`, ascending.

    Leaves never change, so each page is a short reading of its own, and memory stays flat.
    """
    if form == "csv":
        yield "\N{BYTE ORDER MARK}".encode() + _csv([list(CSV_COLUMNS)])
    there = first
    for wanted in _pages(first, last, places):
        with db.reading() as reading:
            rows = _page(reading, wanted)
            if len(rows) != len(wanted):
                raise Invalid(f"leaves {wanted[0]} to {wanted[-1]} are not all there: run `bureau verify`")
            skipped = _skipped(reading, there, wanted) if places is not None else [b""] * len(rows)
        told = [(row, left_out.hex()) for row, left_out in zip(rows, skipped, strict=True)]
        yield _csv([_cells(*each) for each in told]) if form == "csv" else b"".join(_line(*each) for each in told)
        there = wanted[-1] + 1


def proof(tx: Connection, first: int, last: int, after: int | None = None) -> str:
    """What proves leaves first … last - 1 against the newest checkpoint shown; raises Invalid outside of the log.

    `after` is one beyond the last leaf that is shown, where the others are left out.
    """
    head = log.shown(tx)
    if head is None or not 0 <= first < last <= head.size:
        size = head.size if head else 0
        raise Invalid(f"the log has leaves 0 to {size - 1}: name a range of them" if size else "nothing is sealed yet")
    node = _nodes(tx)
    before, later = merkle.cover(first, node), merkle.consistency_proof(last, head.size, node)
    left_out = [node(*span) for span in merkle.spans(last if after is None else after, last)]
    told = [*(("before", each) for each in before), *(("skipped", each) for each in left_out)]
    told += [("after", each) for each in later]
    written = "".join(f"{word} {base64.b64encode(each).decode()}\n" for word, each in told)
    return f"{FIRST_LINE}\nfrom {first}\nto {last}\n{written}\n{head.note}"


def end(told: Trailer, form: Form) -> bytes:
    """The last line of an export that carries its proof."""
    document = {name: value for name, value in told._asdict().items() if value is not None}
    content = orjson.dumps(document)  # `proof` comes first
    if form == "csv":
        return _csv([[END, base64.b64encode(content).decode(), *[""] * (len(CSV_COLUMNS) - 2)]])
    return content + b"\n"


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


def _pages(first: int, last: int, places: Sequence[int] | None) -> Iterator[Sequence[int]]:
    if places is None:
        return (range(start, min(last, start + ROWS_AT_ONCE)) for start in range(first, last, ROWS_AT_ONCE))
    return (places[start : start + CHOSEN_AT_ONCE] for start in range(0, len(places), CHOSEN_AT_ONCE))


def _page(tx: Connection, wanted: Sequence[int]) -> list[Any]:
    columns = leaves.c.index.label("place"), entries.c.leaf_hash, entries.c.bytes
    joined = leaves.join(entries, entries.c.id == leaves.c.entry)
    page = select(*columns).select_from(joined).order_by(leaves.c.index)
    if isinstance(wanted, range):
        page = page.where(leaves.c.index >= wanted.start, leaves.c.index < wanted.stop)
    else:
        page = page.where(leaves.c.index.in_(list(wanted)))
    return list(tx.execute(page))


def _skipped(tx: Connection, there: int, wanted: Sequence[int]) -> list[bytes]:
    """For each leaf the hashes that cover those between it and the one before; the first begins at `there`."""
    node, found = _nodes(tx), []
    for place in wanted:
        found.append(b"".join(node(*span) for span in merkle.spans(there, place)))
        there = place + 1
    return found


def _nodes(tx: Connection) -> Node:
    return tiles.nodes(partial(log.load_tile, tx))


def _line(row: Any, skipped: str) -> bytes:
    told = row.bytes if row.bytes is not None else b"null"
    left_out = b'"skipped":"%b",' % skipped.encode() if skipped else b""
    return b'{"index":%d,%b"leaf_hash":"%b","entry":%b}\n' % (row.place, left_out, row.leaf_hash.hex().encode(), told)


def _cells(row: Any, skipped: str) -> list[str]:
    document = orjson.loads(row.bytes) if row.bytes is not None else None
    content = row.bytes.decode() if row.bytes is not None else ""
    return csv_cells(row.place, row.leaf_hash.hex(), document, skipped, content)


def _csv(rows: list[list[str]]) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue().encode()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
