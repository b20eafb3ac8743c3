# SPDX-License-Identifier: Apache-2.0
"""The log as it stands: its head, its checkpoints, its tiles; proofs made from them."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, bindparam, select

from audit import merkle, tiles
from audit.models import checkpoint as checkpoints
from audit.models import entry as entries
from audit.models import leaf as leaves
from audit.models import log_head
from audit.models import tile as tile_rows
from audit.notes import ED25519, Verifier
from kernel import signing
from kernel.prepared import Prepared


@dataclass(frozen=True, slots=True)
class Head:
    """The newest checkpoint of a log: size in leaves, root, the signed note."""

    origin: str
    size: int
    root: bytes
    time: datetime
    note: str


def key(origin: str) -> Verifier:
    """The log's present public key, under its origin's name."""
    return Verifier(origin, ED25519, signing.signer("log").public)


def keys(tx: Connection, origin: str) -> list[Verifier]:
    """All public keys that the log ever signed with, oldest first."""
    return [Verifier(origin, ED25519, public) for public in signing.raw_public_keys(tx, "log")]


def head(tx: Connection) -> Head | None:
    """The newest checkpoint; None before the first sealing."""
    newest = select(checkpoints, log_head.c.origin).join(log_head, log_head.c.size == checkpoints.c.size)
    row = tx.execute(newest).one_or_none()
    return None if row is None else Head(row.origin, row.size, row.root, row.time, row.note)


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


_TILE = Prepared(
    select(tile_rows.c.hashes).where(tile_rows.c.level == bindparam("level"), tile_rows.c.number == bindparam("number"))
)
