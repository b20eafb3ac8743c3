# SPDX-License-Identifier: Apache-2.0
"""Receipts: proof, to be kept and checked offline, that an entry is on the log (C2SP tlog-proof).

    c2sp.org/tlog-proof@v1
    extra <base64 of the entry's bytes>
    index <the leaf's index>
    <the audit path, a hash a line, the leaf's sibling first>

    <the signed checkpoint>

`extra` carries the very bytes that the leaf is the hash of, so a receipt needs nothing but the log's public key.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection

from audit import log, merkle, trust
from audit.notes import BadNote, Checkpoint, Verifier
from audit.trust import NO_QUORUM, Policy

FIRST_LINE = "c2sp.org/tlog-proof@v1"
MAX_RECEIPT_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a receipt proves, once checked: the entry's document, its place, and the checkpoint that vouches."""

    document: dict[str, Any]
    index: int
    checkpoint: Checkpoint


def make(tx: Connection, entry_id: str) -> str | None:
    """The receipt of an entry against the newest checkpoint that is shown; None as long as none holds it."""
    index, content = log.place(tx, entry_id), log.entry_bytes(tx, entry_id)
    head = log.shown(tx)
    if index is None or content is None or head is None or index >= head.size:
        return None
    path = "".join(f"{base64.b64encode(one).decode()}\n" for one in log.inclusion(tx, index, head.size))
    return f"{FIRST_LINE}\nextra {base64.b64encode(content).decode()}\nindex {index}\n{path}\n{head.note}"


def check(receipt: str, known: Iterable[Verifier], body: bytes | None = None, policy: Policy = NO_QUORUM) -> Receipt:
    """What a receipt proves to whoever trusts the log's `known` keys; with `body`, that the answer was these bytes;
    with `policy`, that its quorum cosigned.

    Offline. Raises BadNote saying what does not hold.
    """
    proof, blank, note = receipt.partition("\n\n")
    lines = proof.split("\n")
    if len(receipt) > MAX_RECEIPT_BYTES or not blank or lines[0] != FIRST_LINE or len(lines) < 3:
        raise BadNote(f"not a receipt: it does not begin with {FIRST_LINE}")
    content, index = _decode(_after("extra", lines[1])), _index(_after("index", lines[2]))
    path = [_decode(line) for line in lines[3:]]
    if len(path) > merkle.MAX_PROOF_HASHES or any(len(one) != merkle.HASH_BYTES for one in path):
        raise BadNote("not a receipt: its path is malformed")
    checkpoint = trust.vouched(note, known, policy)
    leaf = merkle.leaf_hash(content)
    if not merkle.is_included(leaf, index, checkpoint.size, path, checkpoint.root):
        raise BadNote("the entry is not on the log that the checkpoint speaks of: something of the receipt was altered")
    document = _document(content)
    if body is not None:
        told = document.get("answer_digest")
        if told != hashlib.sha256(body).hexdigest():
            raise BadNote("the answer is not the one that the entry tells of: a byte of it differs")
    return Receipt(document, index, checkpoint)


def _document(content: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise BadNote("the entry is no JSON document") from error
    if not isinstance(document, dict):
        raise BadNote("the entry is no JSON document")
    return document


def _after(word: str, line: str) -> str:
    name, _, value = line.partition(" ")
    if name != word or not value:
        raise BadNote(f"not a receipt: the line {word!r} is missing")
    return value


def _index(text: str) -> int:
    if not text.isascii() or not text.isdigit() or str(int(text)) != text:
        raise BadNote("not a receipt: its index is malformed")
    return int(text)


def _decode(encoded: str) -> bytes:
    """Standard base64, and only its one right spelling: of a receipt no byte changes unnoticed."""
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadNote("not a receipt: a line is no base64") from error
    if base64.b64encode(content).decode() != encoded:
        raise BadNote("not a receipt: a line was altered: its base64 is misspelled")
    return content
