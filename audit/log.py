# SPDX-License-Identifier: Apache-2.0
"""The log as it stands: its head, its checkpoints and who cosigned them, its tiles; proofs made from them."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, bindparam, select, true

from audit import merkle, notes, tiles, trust
from audit.models import checkpoint as checkpoints
from audit.models import cosignature as cosignatures
from audit.models import entry as entries
from audit.models import leaf as leaves
from audit.models import log_head
from audit.models import tile as tile_rows
from audit.models import witnessed as witnessed_rows
from audit.notes import ED25519, Checkpoint, Verifier
from kernel import clock, signing
from kernel.prepared import Prepared


@dataclass(frozen=True, slots=True)
class Head:
    """A checkpoint of the log: size in leaves, root, since when it is what it is, the signed note."""

    origin: str
    size: int
    root: bytes
    time: datetime
    note: str


def sign(origin: str, size: int, root: bytes) -> str:
    """A checkpoint, signed with every key of the log that is not retired, the newest first."""
    text = Checkpoint(origin, size, root).text
    signers = signing.signers("log")
    made = [notes.sign(text, Verifier(origin, ED25519, each.public), each.sign_raw) for each in signers]
    return notes.assemble(text, made)


def empty(origin: str) -> Head:
    """What a log says of itself before its first sealing."""
    return Head(origin, 0, merkle.EMPTY_ROOT, clock.now(), sign(origin, 0, merkle.EMPTY_ROOT))


def keys(tx: Connection, origin: str) -> list[Verifier]:
    """All public keys that the log ever signed with, oldest first."""
    return [Verifier(origin, ED25519, public) for public in signing.raw_public_keys(tx, "log")]


def head(tx: Connection) -> Head | None:
    """The newest checkpoint; None before the first sealing."""
    newest = select(checkpoints, log_head.c.origin).join(log_head, log_head.c.size == checkpoints.c.size)
    row = tx.execute(newest).one_or_none()
    return None if row is None else Head(row.origin, row.size, row.root, row.time, row.note)


def shown(tx: Connection) -> Head | None:
    """The newest checkpoint that is shown to others: where the policy asks for a quorum, the newest that has one.

    Its note then carries the cosignatures and its time is that of the quorum. None where there is none yet.
    """
    policy = trust.current()
    if not policy.asks_for_cosignatures:
        return head(tx)
    row = tx.execute(_NEWEST_WITNESSED).one_or_none()
    if row is None:
        return None
    lines = cosigned(tx, row.size)
    keys = [witness.key for witness in policy.witnesses if str(witness.key) in lines]
    if not policy.is_met(keys):
        return None  # the policy changed since
    note = row.note + "".join(lines[str(each)] for each in keys)
    return Head(row.origin, row.size, row.root, row.witnessed_at, note)


def cosigned(tx: Connection, size: int) -> dict[str, str]:
    """The newest cosignature of each witness under the checkpoint of a size: its public key → its line."""
    rows = select(cosignatures.c.witness, cosignatures.c.line).where(cosignatures.c.size == size)
    return {row.witness: row.line for row in tx.execute(rows.order_by(cosignatures.c.time))}


def place(tx: Connection, entry_id: str) -> int | None:
    """The index of an entry's leaf; None as long as it is not sealed."""
    return tx.scalar(select(leaves.c.index).where(leaves.c.entry == entry_id))


def entry_bytes(tx: Connection, entry_id: str) -> bytes | None:
    """The bytes that an entry's leaf is the hash of."""
    return tx.scalar(select(entries.c.bytes).where(entries.c.id == entry_id))


def load_tile(tx: Connection, level: int, number: int) -> bytes:
    """The hashes of a tile; b"" where there is none."""
    row = _TILE.one_or_none(tx, {"level": level, "number": number})
    return b"" if row is None else row.hashes


def inclusion(tx: Connection, index: int, size: int) -> list[bytes]:
    """The audit path of a leaf in the tree of a size."""
    return merkle.inclusion_proof(index, size, tiles.nodes(partial(load_tile, tx)))


def consistency(tx: Connection, first: int, second: int) -> list[bytes]:
    """What shows that the log of size `first` is a prefix of the log of size `second`."""
    return merkle.consistency_proof(first, second, tiles.nodes(partial(load_tile, tx)))


def root_at(tx: Connection, size: int) -> bytes:
    """The root of the first `size` leaves, from tiles."""
    return merkle.root(size, tiles.nodes(partial(load_tile, tx)))


_NEWEST_WITNESSED = (
    select(checkpoints, log_head.c.origin, witnessed_rows.c.time.label("witnessed_at"))
    .join(witnessed_rows, witnessed_rows.c.size == checkpoints.c.size)
    .join(log_head, true())
    .order_by(witnessed_rows.c.size.desc(), witnessed_rows.c.time.desc())
    .limit(1)
)
_TILE = Prepared(
    select(tile_rows.c.hashes).where(tile_rows.c.level == bindparam("level"), tile_rows.c.number == bindparam("number"))
)
