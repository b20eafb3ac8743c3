# SPDX-License-Identifier: Apache-2.0
"""Sealing: committed entries become leaves, the tree grows, a checkpoint is signed; all of it in one transaction.

Whoever holds the row of the log's head seals; another sealer waits, and finds the rest. A kill leaves either
nothing or everything. No checkpoint is ever signed that is not the last one grown: the tiles are read under the
head's lock, and the tree that they make must have the root of the last checkpoint, or nothing is sealed.

A note whose entry was deleted keeps nobody waiting: it is written down and set aside (`audit.missed`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Subquery, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from audit import log, merkle, missed, tiles
from audit.models import checkpoint as checkpoints
from audit.models import entry as entries
from audit.models import leaf as leaves
from audit.models import log_head, unsealed
from audit.models import tile as tile_rows
from kernel import clock, db
from kernel.errors import BureauError

LEAVES_AT_ONCE = 5_000
_INSERT: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


class LogBroken(BureauError):
    """The log is not what it was when it was last signed: nothing more is sealed until someone has looked."""

    slug = "log-broken"


@dataclass(frozen=True, slots=True)
class Sealed:
    """The log after a sealing: its size, its root (None: empty), how many entries it took in and how many it missed."""

    size: int
    root: bytes | None
    sealed: int
    missed: int = 0


def seal(origin: str) -> Sealed:
    """Seal all that is committed, in steps of LEAVES_AT_ONCE; `origin` counts for a new log only.

    Raises LogBroken.
    """
    total, gone = 0, 0
    while True:
        with db.transaction() as tx:
            step = seal_some(tx, origin)
        total, gone = total + step.sealed, gone + step.missed
        if not step.missed and step.sealed < LEAVES_AT_ONCE:  # what was missed is told by entries, which wait now
            return Sealed(step.size, step.root, total, gone)


def seal_some(tx: Connection, origin: str) -> Sealed:
    """One step: at most LEAVES_AT_ONCE entries, or notes without one. The caller commits."""
    origin, size, root = _lock_head(tx, origin)
    noted = _waiting(tx)
    found, gone = [row for row in noted if row.id is not None], [row.noted for row in noted if row.id is None]
    if gone:
        missed.tell(tx, gone)
        tx.execute(delete(unsealed).where(unsealed.c.entry.in_(gone)))
    if not found:
        return Sealed(size, root if size else None, 0, len(gone))
    hashes = [_hash(row) for row in found]
    last = {level: log.load_tile(tx, level, (size >> 8 * level) // tiles.WIDTH) for level in range(8)}
    changed = dict(tiles.grown(size, last, hashes))
    grown = size + len(found)
    new_root = _root(tx, grown, changed)
    ids = [row.id for row in found]
    tx.execute(insert(leaves), [{"index": index, "entry": entry} for index, entry in enumerate(ids, size)])
    tx.execute(delete(unsealed).where(unsealed.c.entry.in_(ids)))
    _write_tiles(tx, changed)
    note = log.sign(origin, grown, new_root)
    tx.execute(insert(checkpoints).values(size=grown, root=new_root, time=clock.now(), note=note))
    tx.execute(update(log_head).where(log_head.c.size == size).values(size=grown))
    return Sealed(grown, new_root, len(found), len(gone))


def oldest_unsealed(tx: Connection) -> datetime | None:
    """When the entry that waits longest was appended, however many notes without an entry stand before it."""
    after = None
    while True:
        first = _first(after)
        waiting = select(func.min(entries.c.time)).join(first, first.c.entry == entries.c.id)
        oldest: datetime | None = tx.scalar(waiting)
        if oldest is not None:
            return oldest
        looked, after = tx.execute(select(func.count(), func.max(first.c.entry))).one()
        if looked < LEAVES_AT_ONCE:
            return None


def _lock_head(tx: Connection, origin: str) -> tuple[str, int, bytes]:
    """The head, locked until the commit, made where there is none; raises LogBroken."""
    if tx.dialect.name == "postgresql":
        tx.execute(select(func.pg_advisory_xact_lock(_LOCK)))  # a head that is not there yet cannot be locked
    row = tx.execute(select(log_head)).one_or_none()
    if row is None:
        tx.execute(insert(log_head).values(id=1, origin=origin, size=0))
        return origin, 0, merkle.EMPTY_ROOT
    signed = tx.scalar(select(checkpoints.c.root).where(checkpoints.c.size == row.size))
    if row.size and (signed is None or log.root_at(tx, row.size) != signed):
        raise LogBroken(f"the tree of size {row.size} does not have the root that was signed: run `bureau verify`")
    return row.origin, row.size, signed or merkle.EMPTY_ROOT


def _waiting(tx: Connection) -> list[Any]:
    """The first notes (`noted`) with their entries, None where there is none."""
    first = _first()
    columns = first.c.entry.label("noted"), entries.c.id, entries.c.bytes, entries.c.leaf_hash
    both = first.outerjoin(entries, entries.c.id == first.c.entry)
    return list(tx.execute(select(*columns).select_from(both).order_by(first.c.entry)))


def _first(after: str | None = None) -> Subquery:
    """The notes of those that were made first (ids are in the order of time), as many as one step takes.

    A list of its own, so that no plan reads the trail from its beginning to find what waits at its end: after a
    backlog PostgreSQL believes that most entries wait, and would.
    """
    noted = select(unsealed.c.entry).order_by(unsealed.c.entry).limit(LEAVES_AT_ONCE)
    return (noted if after is None else noted.where(unsealed.c.entry > after)).subquery("first")


def _hash(row: Any) -> bytes:
    """A waiting entry's leaf hash, made anew: nothing that was edited meanwhile is ever signed."""
    if row.bytes is None or merkle.leaf_hash(row.bytes) != row.leaf_hash:
        raise LogBroken(f"the entry {row.id} is not what was appended: run `bureau verify`")
    return bytes(row.leaf_hash)


def _root(tx: Connection, size: int, changed: Mapping[tiles.Tile, bytes]) -> bytes:
    fresh = {(tile.level, tile.number): content for tile, content in changed.items()}

    def load(level: int, number: int) -> bytes:
        return fresh.get((level, number)) or log.load_tile(tx, level, number)

    return merkle.root(size, tiles.nodes(load))


def _write_tiles(tx: Connection, changed: Mapping[tiles.Tile, bytes]) -> None:
    # Of a tile that grew and became full in one step only the last form is kept.
    rows = {(tile.level, tile.number): content for tile, content in changed.items()}
    values = [{"level": level, "number": number, "hashes": content} for (level, number), content in rows.items()]
    statement = _INSERT[tx.dialect.name](tile_rows)
    newest = {"hashes": statement.excluded.hashes}
    tx.execute(statement.on_conflict_do_update(index_elements=["level", "number"], set_=newest), values)


_LOCK = 0x5EA1
