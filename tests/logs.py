# SPDX-License-Identifier: Apache-2.0
"""A log in memory, with a key of its own, that may also lie: for whoever is to catch it."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import merkle, notes, witness
from audit.notes import Checkpoint, Verifier

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))  # always the same: pytest names tests by what it signed


@dataclass
class Log:
    """A log with `leaves`; `fork` gives another history under the same key."""

    origin: str = "log.example/one"
    leaves: list[bytes] = field(default_factory=lambda: [merkle.leaf_hash(b"%d" % n) for n in range(600)])
    secret: Ed25519PrivateKey = KEY

    @property
    def key(self) -> Verifier:
        return Verifier(self.origin, notes.ED25519, self.secret.public_key().public_bytes_raw())

    def fork(self, at: int) -> "Log":
        """The same log, but for the leaf at this place."""
        return Log(self.origin, [*self.leaves[:at], merkle.leaf_hash(b"another"), *self.leaves[at + 1 :]], self.secret)

    def checkpoint(self, size: int) -> Checkpoint:
        return Checkpoint(self.origin, size, merkle.root(size, self._node))

    def note(self, size: int, more: str = "") -> str:
        """The signed checkpoint of a size; `more` are extension lines."""
        text = self.checkpoint(size).text + more
        return notes.assemble(text, [notes.sign(text, self.key, self.secret.sign)])

    def proof(self, first: int, second: int) -> list[bytes]:
        return merkle.consistency_proof(first, second, self._node) if first else []

    def submission(self, first: int, second: int) -> bytes:
        """What the log posts to a witness that saw it at `first`."""
        return witness.compose(first, self.proof(first, second), self.note(second))

    def _node(self, height: int, index: int) -> bytes:
        return _over(self.leaves[index << height : (index + 1) << height])


def line(content: bytes) -> str:
    """A hash as a line of a proof."""
    return base64.b64encode(content).decode() + "\n"


def _over(hashes: Sequence[bytes]) -> bytes:
    half = len(hashes) // 2
    return hashes[0] if half == 0 else merkle.node_hash(_over(hashes[:half]), _over(hashes[half:]))
