# SPDX-License-Identifier: Apache-2.0
"""The log taken away as a file: NDJSON, a leaf a line, beside it the checkpoint that vouches for all of them.

A line is `{"index", "leaf_hash", "entry"}`: the entry's own document, whose canonical JSON (RFC 8785) are its bytes;
null where retention took them. The checkpoint lies in `<file>.checkpoint`. Whoever drops, changes or swaps a line is
found: the hashes no longer make the signed root.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, select

from audit import log, notes
from audit.growth import Frontier
from audit.merkle import leaf_hash
from audit.models import entry as entries
from audit.models import leaf as leaves
from audit.notes import BadNote, Checkpoint, Verifier
from kernel import canonical

ROWS_AT_ONCE = 5_000
MAX_LINE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Checked:
    """What an export holds, once it is known to be whole."""

    checkpoint: Checkpoint
    lines: int
    without_bytes: int


def lines(tx: Connection, size: int) -> Iterator[bytes]:
    """The export's lines, in the order of the leaves, up to a size; streamed."""
    after = -1
    columns = leaves.c.index.label("place"), entries.c.leaf_hash, entries.c.bytes
    page = select(*columns).select_from(leaves.join(entries, entries.c.id == leaves.c.entry)).order_by(leaves.c.index)
    while True:
        rows: Any = tx.execute(page.where(leaves.c.index > after, leaves.c.index < size).limit(ROWS_AT_ONCE)).all()
        for row in rows:
            told = row.bytes if row.bytes is not None else b"null"
            yield b'{"index":%d,"leaf_hash":"%b","entry":%b}\n' % (row.place, row.leaf_hash.hex().encode(), told)
        if len(rows) < ROWS_AT_ONCE:
            return
        after = rows[-1].place


def write(tx: Connection, file: Path) -> int:
    """Write the whole log to a file and its checkpoint beside it, mode 0600. Returns how many lines."""
    head, count = log.head(tx), 0
    with open(file, "wb", opener=_private) as out:
        for line in lines(tx, head.size if head else 0):
            out.write(line)
            count += 1
    if head is not None:
        with open(checkpoint_of(file), "wb", opener=_private) as out:
            out.write(head.note.encode())
    return count


def checkpoint_of(file: Path) -> Path:
    """Where an export's checkpoint lies."""
    return file.with_name(f"{file.name}.checkpoint")


def check(exported: Iterable[bytes], note: str, known: Iterable[Verifier]) -> Checked:
    """Check an export's lines against its checkpoint, offline; raises BadNote naming the first line that is wrong."""
    text, _ = notes.verified(note, known)
    checkpoint, frontier, without = notes.parse_checkpoint(text), Frontier(), 0
    for number, line in enumerate(exported, 1):
        index, told, document = _read(line, number)
        if index != frontier.size:
            raise BadNote(f"line {number}: leaf {frontier.size} should be here, and leaf {index} is")
        if document is None:
            without += 1
        elif leaf_hash(canonical.encode(document)) != told:
            raise BadNote(f"line {number}: the entry was altered: it does not hash to its leaf hash")
        frontier.add(told)
    if frontier.size != checkpoint.size:
        raise BadNote(f"lines are missing at the end: {frontier.size} of {checkpoint.size}")
    if frontier.root != checkpoint.root:
        raise BadNote("some line was altered together with its leaf hash: the lines do not make the signed root")
    return Checked(checkpoint, frontier.size, without)


def _read(line: bytes, number: int) -> tuple[int, bytes, Any]:
    try:
        if len(line) > MAX_LINE_BYTES:
            raise ValueError("too long")
        document = orjson.loads(line)
        return document["index"], bytes.fromhex(document["leaf_hash"]), document["entry"]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise BadNote(f"line {number} is no line of an export") from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
