# SPDX-License-Identifier: Apache-2.0
"""What a witness is shown and what it may cosign (C2SP tlog-witness, `add-checkpoint`). Pure.

    old <the size that the witness cosigned last>
    <the consistency proof from there, a hash a line>

    <the checkpoint, signed by the log>

A witness cosigns a checkpoint only if it grew out of the one that it cosigned before. So no log can show two
histories to people who ask for that witness's cosignature.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from audit import merkle, notes
from audit.merkle import EMPTY_ROOT, MAX_PROOF_HASHES
from audit.notes import BadNote, Checkpoint, Signature, Verifier
from kernel.errors import Conflict, Invalid, Malformed, NotFound, NotPermitted

MAX_BODY_BYTES = 64 * 1024
SIZE_TYPE = "text/x.tlog.size"  # of the body of a 409

Logs = Mapping[str, Sequence[Verifier]]  # origin → the keys that sign for it


@dataclass(frozen=True, slots=True)
class Seen:
    """What a witness cosigned last of a log; at first the empty tree."""

    size: int = 0
    root: bytes = EMPTY_ROOT


@dataclass(frozen=True, slots=True)
class Submission:
    """What a log asks a witness to cosign, read and not yet judged."""

    old: int
    proof: tuple[bytes, ...]
    text: str  # of the checkpoint
    checkpoint: Checkpoint
    signatures: tuple[Signature, ...]

    @property
    def note(self) -> str:
        return notes.assemble(self.text, self.signatures)


class Behind(Conflict):
    """The log starts from another size than the witness cosigned last; `size` tells that one."""

    slug = "old-size"

    def __init__(self, size: int) -> None:
        super().__init__(f"the latest checkpoint cosigned here has size {size}")
        self.size = size


def compose(old: int, proof: Iterable[bytes], note: str) -> bytes:
    """What is posted to a witness to have it cosign `note`."""
    hashes = "".join(base64.b64encode(one).decode() + "\n" for one in proof)
    return f"old {old}\n{hashes}\n{note}".encode()


def parse(body: bytes) -> Submission:
    """What was posted; raises Malformed (400)."""
    try:
        head, blank, note = body.decode().partition("\n\n")
        first, *proof = head.split("\n")
        if len(body) > MAX_BODY_BYTES or not blank or not first.startswith("old "):
            raise BadNote("an old size line, proof lines, an empty line, a checkpoint")
        if len(proof) > MAX_PROOF_HASHES:
            raise BadNote(f"a proof has at most {MAX_PROOF_HASHES} hashes")
        old, hashes = notes.parse_number(first.removeprefix("old ")), tuple(map(notes.parse_hash, proof))
        text, signatures = notes.split(note)
        return Submission(old, hashes, text, notes.parse_checkpoint(text), tuple(signatures))
    except BadNote as error:
        raise Malformed(error.detail) from error
    except UnicodeDecodeError as error:
        raise Malformed("the body is not UTF-8") from error


def require_vouched(submission: Submission, logs: Logs) -> tuple[Signature, ...]:
    """The signatures of the log's own keys.

    Raises NotFound (404) for an unknown log, NotPermitted (403) where there is none or one that does not verify.
    """
    known = logs.get(submission.checkpoint.origin)
    if not known:
        raise NotFound(f"the log {submission.checkpoint.origin} is not witnessed here")
    try:
        _, found = notes.verified(submission.note, known)
    except BadNote as error:
        raise NotPermitted(error.detail, slug="not-signed-by-the-log") from error
    return tuple(signature for _, signature in found)


def require_grown(submission: Submission, seen: Seen) -> None:
    """The checkpoint grew out of the one that was seen last.

    Raises Malformed (400) for an old size beyond it, Behind (409) for another old size than was seen, Invalid (422)
    for one that does not follow.
    """
    old, checkpoint = submission.old, submission.checkpoint
    if old > checkpoint.size:
        raise Malformed(f"the old size {old} is beyond the checkpoint's {checkpoint.size}")
    if old != seen.size:
        raise Behind(seen.size)
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        raise Invalid("a tree of size 0 has the root of the empty tree", slug="inconsistent")
    if old == 0:
        if submission.proof:
            raise Invalid("nothing is to be proved from size 0", slug="inconsistent")
    elif not merkle.is_consistent(old, checkpoint.size, submission.proof, seen.root, checkpoint.root):
        raise Invalid(f"the tree of size {checkpoint.size} did not grow out of the one of {old}", slug="inconsistent")
