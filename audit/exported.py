# SPDX-License-Identifier: Apache-2.0
"""An export, checked offline: every line is what was sealed, none is missing, none was added. Pure.

The proof of leaves from … to - 1, which lies in `<file>.proof`:

    credit-bureau/export-proof@v1
    from <index of the first leaf>
    to <one beyond the last>
    before <hash>     the complete subtrees that cover the leaves before, largest first; one for each bit of `from`
    after <hash>      the consistency proof from size `to` to the checkpoint's (RFC 9162 §2.1.4)

    <the signed checkpoint>

The subtrees and the lines give the root of size `to`; the consistency proof binds it to the signed root.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from audit import merkle, notes, trust
from audit.merkle import Frontier, leaf_hash
from audit.notes import BadNote, Checkpoint, Verifier
from audit.trust import NO_QUORUM, Policy
from kernel import canonical

FIRST_LINE = "credit-bureau/export-proof@v1"
MAX_LINE_BYTES = 512 * 1024
MAX_PROOF_BYTES = 64 * 1024
SHOWN = (
    "time", "type", "id", "institution", "institution_name", "client", "uscc", "consent", "consent_version", "purpose",
    "product", "classes", "outcome", "rule", "billable", "channel", "actor", "of",
)  # fmt: skip
CSV_COLUMNS = ("index", "leaf_hash", *SHOWN, "entry")
_WRITTEN = re.compile(rb'{"index":(0|[1-9]\d*),"leaf_hash":"([0-9a-f]{64})","entry":(.*)}\n?')
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run (CWE-1236)


@dataclass(frozen=True, slots=True)
class Proof:
    """What vouches for leaves `first` … `last` - 1; the note is not verified yet."""

    first: int
    last: int
    before: tuple[bytes, ...]
    after: tuple[bytes, ...]
    note: str


class Line(NamedTuple):
    """A leaf as a line tells of it; the entry's bytes are None where retention took them."""

    place: int
    leaf_hash: bytes
    content: bytes | None


@dataclass(frozen=True, slots=True)
class Checked:
    """What an export holds, once it is known to be whole."""

    checkpoint: Checkpoint
    first: int
    lines: int
    without_bytes: int
    root: bytes  # of the log up to the last line


def csv_cells(index: int, leaf: str, document: dict[str, Any] | None, content: str) -> list[str]:
    """A leaf as the cells of a CSV line; what a spreadsheet would take for a formula begins with an apostrophe."""
    shown = [_cell((document or {}).get(name)) for name in SHOWN]
    return [str(index), leaf, *shown, content]


def parse_proof(text: str) -> Proof:
    """Read a proof; raises BadNote where it is none."""
    head, blank, note = text.partition("\n\n")
    lines = [line.partition(" ") for line in head.split("\n")]
    words = [word for word, _, _ in lines]
    if len(text) > MAX_PROOF_BYTES or not blank or words[:3] != [FIRST_LINE, "from", "to"]:
        raise BadNote(f"not the proof of an export: it does not begin with {FIRST_LINE}")
    first, last = notes.parse_number(lines[1][2]), notes.parse_number(lines[2][2])
    before = tuple(notes.parse_hash(value) for word, _, value in lines[3:] if word == "before")
    after = tuple(notes.parse_hash(value) for word, _, value in lines[3:] if word == "after")
    if words[3:] != ["before"] * len(before) + ["after"] * len(after) or len(before) != first.bit_count():
        raise BadNote("not the proof of an export: its hashes are not those of its range")
    return Proof(first, last, before, after, note)


def check(lines: Iterable[bytes], proof: str, known: Iterable[Verifier], policy: Policy = NO_QUORUM) -> Checked:
    """Check an export's lines (NDJSON or CSV) against its proof, offline; memory stays flat.

    Raises BadNote naming the first line that is wrong.
    """
    told = parse_proof(proof)
    checkpoint, frontier, without = trust.vouched(told.note, known, policy), Frontier(told.first, told.before), 0
    for number, line in read(lines):
        if line.place != frontier.size:
            raise BadNote(f"line {number}: leaf {frontier.size} should be here, and leaf {line.place} is")
        if line.content is None:
            without += 1
        elif leaf_hash(line.content) != line.leaf_hash:
            raise BadNote(f"line {number}: the entry was altered: it does not hash to its leaf hash")
        frontier.add(line.leaf_hash)
    if frontier.size != told.last:
        raise BadNote(f"lines are missing at the end: {frontier.size - told.first} of {told.last - told.first}")
    if not merkle.is_consistent(told.last, checkpoint.size, told.after, frontier.root, checkpoint.root):
        raise BadNote("some line was altered together with its leaf hash: the lines do not make the signed root")
    return Checked(checkpoint, told.first, told.last - told.first, without, frontier.root)


def read(lines: Iterable[bytes]) -> Iterator[tuple[int, Line]]:
    """The lines of an export, NDJSON or CSV, with their numbers. Raises BadNote where one is none."""
    numbered = iter(enumerate(lines, 1))
    for number, line in numbered:
        if number == 1 and not line.startswith(b"{"):
            yield from _read_csv(line, numbered)
            return
        if len(line) > MAX_LINE_BYTES:
            raise BadNote(f"line {number} is no line of an export")
        yield number, _as_written(line) or _as_json(number, line)


def _as_written(line: bytes) -> Line | None:
    """A line as the bureau writes it; None where it is in other words, or altered."""
    found = _WRITTEN.fullmatch(line)
    if found is None or found[3] == b"null":
        return None
    told = Line(int(found[1]), bytes.fromhex(found[2].decode()), found[3])
    return told if leaf_hash(found[3]) == told.leaf_hash else None


def _as_json(number: int, line: bytes) -> Line:
    """A line as any JSON that says the same."""
    try:
        told = orjson.loads(line)
        content = None if told["entry"] is None else canonical.encode(told["entry"])
        return Line(int(told["index"]), bytes.fromhex(told["leaf_hash"]), content)
    except (KeyError, TypeError, ValueError) as error:
        raise BadNote(f"line {number} is no line of an export") from error


def _read_csv(first: bytes, numbered: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, Line]]:
    if first.decode("utf-8-sig", "replace").strip() != ",".join(CSV_COLUMNS):
        raise BadNote("line 1 is no line of an export")
    for number, line in numbered:
        try:
            if len(line) > MAX_LINE_BYTES:
                raise ValueError("too long")
            (cells,) = csv.reader(io.StringIO(line.decode()), strict=True)
            document = orjson.loads(cells[-1]) if cells[-1] else None
            content = None if document is None else canonical.encode(document)
            found = Line(int(cells[0]), bytes.fromhex(cells[1]), content)
            same = document is None or cells == csv_cells(found.place, cells[1], document, cells[-1])
        except (csv.Error, IndexError, AttributeError, ValueError) as error:
            raise BadNote(f"line {number} is no line of an export") from error
        if not same:
            raise BadNote(f"line {number}: a column was altered: it differs from the entry")
        yield number, found


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return f"'{text}" if text.startswith(_FORMULA) else text
