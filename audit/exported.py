# SPDX-License-Identifier: Apache-2.0
"""An export, checked offline: every line is what was sealed, none is missing, none was added. Pure.

The proof of leaves from … to - 1, which lies in `<file>.proof`:

    credit-bureau/export-proof@v1
    from <index of the first leaf>
    to <one beyond the last>
    before <hash>     the complete subtrees that cover the leaves before, largest first; one for each bit of `from`
    skipped <hash>    those that cover the leaves that are left out behind the last line
    after <hash>      the consistency proof from size `to` to the checkpoint's (RFC 9162 §2.1.4)

    <the signed checkpoint>

The subtrees and the lines give the root of size `to`; the consistency proof binds it to the signed root. Or the proof
stands in the export's own last line.

An export by filters leaves leaves out: a line's `skipped` holds the hashes of the fewest subtrees that cover those
between it and the line before. That no other line was dropped is what the bureau signs: which range and how many
leaves are shown, and a digest of their places (`choice`, a detached JWS over its canonical JSON).
"""

import base64
import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import SEEK_END
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from audit import merkle, notes, trust
from audit.merkle import HASH_BYTES, Frontier, leaf_hash
from audit.notes import BadNote, Checkpoint, Verifier
from audit.trust import NO_QUORUM, Policy
from kernel import canonical, signing
from kernel.cells import harmless

FIRST_LINE = "credit-bureau/export-proof@v1"
MAX_LINE_BYTES = 512 * 1024
MAX_PROOF_BYTES = 64 * 1024
SHOWN = (
    "time", "type", "id", "institution", "institution_name", "client", "uscc", "consent", "consent_version", "purpose",
    "product", "classes", "outcome", "rule", "billable", "channel", "actor", "of",
)  # fmt: skip
CSV_COLUMNS = ("index", "leaf_hash", *SHOWN, "skipped", "entry")
END = "proof"  # the member or cell with which the last line begins, where an export carries its proof
_WRITTEN = re.compile(
    rb'{"index":(0|[1-9]\d*),(?:"skipped":"([0-9a-f]*)",)?"leaf_hash":"([0-9a-f]{64})","entry":(.*)}\n?'
)


@dataclass(frozen=True, slots=True)
class Proof:
    """What vouches for leaves `first` … `last` - 1; the note is not verified yet."""

    first: int
    last: int
    before: tuple[bytes, ...]
    skipped: tuple[bytes, ...]
    after: tuple[bytes, ...]
    note: str


class Line(NamedTuple):
    """A leaf as a line tells of it; the entry's bytes are None where retention took them."""

    place: int
    leaf_hash: bytes
    content: bytes | None
    skipped: bytes = b""  # the hashes of the subtrees that cover the leaves left out before this one


@dataclass(frozen=True, slots=True)
class Checked:
    """What an export holds, once it is known to be whole."""

    checkpoint: Checkpoint
    first: int
    last: int  # one beyond the last leaf
    lines: int
    without_bytes: int
    root: bytes  # of the log up to `last`
    digest: str  # of the places of the leaves that are shown: see `digest_of`


class Trailer(NamedTuple):
    """An export's last line: the proof; where leaves were left out also the choice, and the bureau's signature."""

    proof: str
    choice: dict[str, Any] | None
    signature: str | None


def csv_cells(index: int, leaf: str, document: dict[str, Any] | None, skipped: str, content: str) -> list[str]:
    """A leaf as the cells of a CSV line; what a spreadsheet would take for a formula begins with an apostrophe."""
    shown = [_cell((document or {}).get(name)) for name in SHOWN]
    return [str(index), leaf, *shown, skipped, content]


def digest_of(places: Iterable[int]) -> str:
    """Hex SHA-256 over the places of leaves in their order, each in decimal and a newline."""
    digest = hashlib.sha256()
    for place in places:
        digest.update(b"%d\n" % place)
    return digest.hexdigest()


def parse_proof(text: str) -> Proof:
    """Read a proof; raises BadNote where it is none."""
    head, blank, note = text.partition("\n\n")
    lines = [line.partition(" ") for line in head.split("\n")]
    words = [word for word, _, _ in lines]
    if len(text) > MAX_PROOF_BYTES or not blank or words[:3] != [FIRST_LINE, "from", "to"]:
        raise BadNote(f"not the proof of an export: it does not begin with {FIRST_LINE}")
    first, last = notes.parse_number(lines[1][2]), notes.parse_number(lines[2][2])
    before = tuple(notes.parse_hash(value) for word, _, value in lines[3:] if word == "before")
    skipped = tuple(notes.parse_hash(value) for word, _, value in lines[3:] if word == "skipped")
    after = tuple(notes.parse_hash(value) for word, _, value in lines[3:] if word == "after")
    expected = ["before"] * len(before) + ["skipped"] * len(skipped) + ["after"] * len(after)
    if words[3:] != expected or len(before) != first.bit_count():
        raise BadNote("not the proof of an export: its hashes are not those of its range")
    return Proof(first, last, before, skipped, after, note)


def check(lines: Iterable[bytes], proof: str, known: Iterable[Verifier], policy: Policy = NO_QUORUM) -> Checked:
    """Check an export's lines (NDJSON or CSV) against its proof, offline; memory stays flat.

    Raises BadNote naming the first line that is wrong. Whether leaves may be left out `check_choice` says.
    """
    told = parse_proof(proof)
    checkpoint, frontier = trust.vouched(told.note, known, policy), Frontier(told.first, told.before)
    shown, without, digest = 0, 0, hashlib.sha256()
    for number, line in read(lines):
        if not _skip(frontier, line.place, _hashes(line.skipped)):
            raise BadNote(f"line {number}: leaf {frontier.size} should be here, and leaf {line.place} is")
        if line.content is None:
            without += 1
        elif leaf_hash(line.content) != line.leaf_hash:
            raise BadNote(f"line {number}: the entry was altered: it does not hash to its leaf hash")
        frontier.add(line.leaf_hash)
        shown += 1
        digest.update(b"%d\n" % line.place)
    if not _skip(frontier, told.last, told.skipped):
        raise BadNote(f"lines are missing at the end: leaves {frontier.size} to {told.last - 1}")
    if not merkle.is_consistent(told.last, checkpoint.size, told.after, frontier.root, checkpoint.root):
        raise BadNote("some line was altered together with its leaf hash: the lines do not make the signed root")
    return Checked(checkpoint, told.first, told.last, shown, without, frontier.root, digest.hexdigest())


def check_choice(checked: Checked, trailer: Trailer | None, public: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """What the bureau signed of an export that leaves leaves out; None where none is left out.

    Raises BadNote where nobody signed for what is left out, or other lines are left out than was signed.
    """
    choice, signature = (trailer.choice, trailer.signature) if trailer is not None else (None, None)
    if choice is None and checked.lines == checked.last - checked.first:
        return None
    if choice is None or not signing.is_signed(str(signature), canonical.encode(choice), public):
        raise BadNote("leaves are left out, and none of these keys' signatures says that they may be")
    told = {"leaf_from": checked.first, "leaf_to": checked.last, "shown": checked.lines, "digest": checked.digest}
    for name, value in told.items():
        if choice.get(name) != value:
            raise BadNote(f"lines were dropped or added: {name} was {choice.get(name)} and is {value}")
    return choice


def trailer_of(file: Path) -> Trailer | None:
    """The last line of an export, where it carries its proof; raises BadNote where that is malformed."""
    with file.open("rb") as content:
        content.seek(max(0, content.seek(0, SEEK_END) - 2 * MAX_LINE_BYTES))
        last = content.read().rstrip(b"\r\n").rpartition(b"\n")[2]
    if not _is_end(last):
        return None
    try:
        text = last if last.startswith(b"{") else base64.b64decode(last.split(b",")[1], validate=True)
        told = orjson.loads(text)
        return Trailer(str(told[END]), told.get("choice"), told.get("signature"))
    except (AttributeError, KeyError, IndexError, ValueError) as error:
        raise BadNote("the last line of the export is malformed") from error


def read(lines: Iterable[bytes]) -> Iterator[tuple[int, Line]]:
    """The lines of an export, NDJSON or CSV, with their numbers. Raises BadNote where one is none."""
    numbered = iter(enumerate(lines, 1))
    for number, line in numbered:
        if number == 1 and not line.startswith(b"{"):
            yield from _read_csv(line, numbered)
            return
        if len(line) > MAX_LINE_BYTES:
            raise BadNote(f"line {number} is no line of an export")
        if _is_end(line):
            _require_end(numbered)
            return
        yield number, _as_written(line) or _as_json(number, line)


def _as_written(line: bytes) -> Line | None:
    """A line as the bureau writes it; None where it is in other words, or altered."""
    found = _WRITTEN.fullmatch(line)
    if found is None or found[4] == b"null":
        return None
    skipped = bytes.fromhex(found[2].decode()) if found[2] else b""
    told = Line(int(found[1]), bytes.fromhex(found[3].decode()), found[4], skipped)
    return told if leaf_hash(found[4]) == told.leaf_hash else None


def _as_json(number: int, line: bytes) -> Line:
    """A line as any JSON that says the same."""
    try:
        told = orjson.loads(line)
        content = None if told["entry"] is None else canonical.encode(told["entry"])
        skipped = bytes.fromhex(told.get("skipped", ""))
        return Line(int(told["index"]), bytes.fromhex(told["leaf_hash"]), content, skipped)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadNote(f"line {number} is no line of an export") from error


def _read_csv(first: bytes, numbered: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, Line]]:
    if first.decode("utf-8-sig", "replace").strip() != ",".join(CSV_COLUMNS):
        raise BadNote("line 1 is no line of an export")
    for number, line in numbered:
        try:
            if len(line) > MAX_LINE_BYTES:
                raise ValueError("too long")
            if _is_end(line):
                _require_end(numbered)
                return
            (cells,) = csv.reader(io.StringIO(line.decode()), strict=True)
            document = orjson.loads(cells[-1]) if cells[-1] else None
            content = None if document is None else canonical.encode(document)
            found = Line(int(cells[0]), bytes.fromhex(cells[1]), content, bytes.fromhex(cells[-2]))
            same = document is None or cells == csv_cells(found.place, cells[1], document, cells[-2], cells[-1])
        except (csv.Error, IndexError, AttributeError, ValueError) as error:
            raise BadNote(f"line {number} is no line of an export") from error
        if not same:
            raise BadNote(f"line {number}: a column was altered: it differs from the entry")
        yield number, found


def _is_end(line: bytes) -> bool:
    return line.startswith((b'{"proof"', b"proof,"))


def _require_end(numbered: Iterator[tuple[int, bytes]]) -> None:
    for number, _ in numbered:
        raise BadNote(f"line {number} stands behind the end of the export")


def _hashes(skipped: bytes) -> list[bytes]:
    return [skipped[at : at + HASH_BYTES] for at in range(0, len(skipped), HASH_BYTES)]


def _skip(frontier: Frontier, place: int, hashes: Sequence[bytes]) -> bool:
    """Take the leaves up to `place` by the hashes over them; False where these are not as many as there must be."""
    spans = list(merkle.spans(frontier.size, place))
    if frontier.size > place or len(hashes) != len(spans) or any(len(each) != HASH_BYTES for each in hashes):
        return False
    for each, (height, _) in zip(hashes, spans, strict=True):
        frontier.add(each, height)
    return True


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return harmless(value if isinstance(value, str) else orjson.dumps(value).decode())
