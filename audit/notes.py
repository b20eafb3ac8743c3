# SPDX-License-Identifier: Apache-2.0
"""Signed notes (C2SP signed-note) and checkpoints (C2SP tlog-checkpoint): text that says who vouches for it. Pure.

A note is text ending in a newline, an empty line, and one line `— <key name> <base64>` for each signature, whose
first four bytes are the key's id. Signatures by unknown keys are ignored; one by a known key must verify.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from audit.merkle import HASH_BYTES
from kernel.errors import Invalid

ED25519 = 0x01
COSIGNATURE = 0x04  # C2SP tlog-cosignature, Ed25519
MAX_NOTE_BYTES = 64 * 1024
MAX_SIGNATURES = 64
_DASH = "— "


class BadNote(Invalid):
    """A note, checkpoint or key that is not well formed, or that nobody known vouches for."""

    slug = "bad-note"


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key under a name. Its text form (vkey) is `<name>+<hex id>+<base64 of kind and key>`."""

    name: str
    kind: int
    key: bytes

    @property
    def id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.key).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(bytes([self.kind]) + self.key).decode()}"

    def is_over(self, signature: bytes, text: str) -> bool:
        """Whether this key's signature, without the key id, is over the note's text."""
        if self.kind == COSIGNATURE:
            if len(signature) != 72:
                return False
            text, signature = cosigned(text, int.from_bytes(signature[:8], "big")), signature[8:]
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, text.encode())
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class Signature:
    """A line under a note: whose it says to be, the key's id, and what the key made."""

    name: str
    key_id: bytes
    value: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.value).decode()}\n"

    @property
    def time(self) -> int:
        """Of a cosignature: when it was made, in seconds since 1970."""
        return int.from_bytes(self.value[:8], "big")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How large a log was and what it held: its origin, its size in leaves, its root."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def parse_key(text: str) -> Verifier:
    """A verifier key from its text form; raises BadNote."""
    name, _, rest = text.strip().partition("+")
    told, _, encoded = rest.partition("+")
    content = _decode(encoded)
    if not _is_name(name) or len(content) != 33 or content[0] not in (ED25519, COSIGNATURE):
        raise BadNote("not a verifier key: <name>+<hex key id>+<base64 of an Ed25519 key>")
    key = Verifier(name, content[0], content[1:])
    if key.id.hex() != told:
        raise BadNote("the verifier key's id does not fit its name and key")
    return key


def require_name(name: str) -> None:
    """Raise BadNote unless this can be the name of a key: no spaces, no plus, valid UTF-8."""
    if not _is_name(name):
        raise BadNote("not the name of a key: a URL without scheme, with no spaces and no +")


def sign(text: str, key: Verifier, make: Callable[[bytes], bytes]) -> Signature:
    """A signature over a note's text; `make` signs bytes with the private half of `key`."""
    return Signature(key.name, key.id, make(text.encode()))


def cosign(text: str, key: Verifier, make: Callable[[bytes], bytes], time: int) -> Signature:
    """A witness's timestamped signature over a checkpoint's text (seconds since 1970)."""
    return Signature(key.name, key.id, time.to_bytes(8, "big") + make(cosigned(text, time).encode()))


def cosigned(text: str, time: int) -> str:
    return f"cosignature/v1\ntime {time}\n{text}"


def assemble(text: str, signatures: Iterable[Signature]) -> str:
    """The note as it is kept and sent."""
    return text + "\n" + "".join(str(signature) for signature in signatures)


def split(note: str) -> tuple[str, list[Signature]]:
    """A note's text and its signatures, none of them verified yet; raises BadNote."""
    if len(note.encode()) > MAX_NOTE_BYTES or any(ord(c) < 0x20 and c != "\n" for c in note):
        raise BadNote("not a signed note: too long, or with control characters")
    text, blank, lines = note.rpartition("\n\n")
    if not blank or not lines.endswith("\n"):
        raise BadNote("not a signed note: text, an empty line, signatures")
    signatures = [_signature(line) for line in lines[:-1].split("\n")]
    if len(signatures) > MAX_SIGNATURES:
        raise BadNote(f"a note has at most {MAX_SIGNATURES} signatures")
    return text + "\n", signatures


def verified(note: str, known: Iterable[Verifier]) -> tuple[str, list[tuple[Verifier, Signature]]]:
    """A note's text and the signatures of known keys over it.

    Raises BadNote where no known key signed, or where what claims to be a known key's signature is not.
    """
    text, signatures = split(note)
    keys = {(key.name, key.id): key for key in known}
    found = []
    for signature in signatures:
        key = keys.get((signature.name, signature.key_id))
        if key is None:
            continue
        if not key.is_over(signature.value, text):
            raise BadNote(f"the signature of {key.name} is not over this note")
        found.append((key, signature))
    if not found:
        raise BadNote("none of the keys given signed this note")
    return text, found


def parse_checkpoint(text: str) -> Checkpoint:
    """A checkpoint from a note's text, extension lines ignored; raises BadNote."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise BadNote("not a checkpoint: origin, size, root, one a line")
    origin, size, encoded = lines[:3]
    root = _decode(encoded)
    if not _is_number(size) or len(root) != HASH_BYTES:
        raise BadNote("not a checkpoint: its size or its root is malformed")
    return Checkpoint(origin, int(size), root)


def parse_number(text: str) -> int:
    """A decimal number as checkpoints and proofs have it: ASCII digits, no leading zero; raises BadNote."""
    if not _is_number(text):
        raise BadNote("not a proof: a number is malformed")
    return int(text)


def parse_hash(encoded: str) -> bytes:
    """A hash in base64; raises BadNote."""
    found = _decode(encoded)
    if len(found) != HASH_BYTES:
        raise BadNote("not a proof: a hash is malformed")
    return found


def _signature(line: str) -> Signature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    content = _decode(encoded)
    if not line.startswith(_DASH) or not space or not _is_name(name) or len(content) < 5:
        raise BadNote("not a signed note: a signature line is malformed")
    return Signature(name, content[:4], content[4:])


def _is_name(name: str) -> bool:
    return bool(name) and not any(c == "+" or c.isspace() or "\ud800" <= c <= "\udfff" for c in name)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 19 and str(int(text)) == text and int(text) < 1 << 63


def _decode(encoded: str) -> bytes:
    """Standard base64, and only its one right spelling."""
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return content if base64.b64encode(content).decode() == encoded else b""
