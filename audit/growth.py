# SPDX-License-Identifier: Apache-2.0
"""Grow the tree anew from the entries, and name what does not fit: leaf, tile, checkpoint, published file.

Where entries and tiles differ, the signed roots say which of them is right. Memory is that of one tile, a
path of hashes, and the faults, of which at most MOST are told.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from audit import log, notes, publishing, tiles
from audit.merkle import HASH_BYTES, Frontier
from audit.models import checkpoint as checkpoints
from audit.models import entry as entries
from audit.models import leaf as leaves
from audit.models import log_head
from audit.notes import BadNote
from audit.sealing import LogBroken

ROWS_AT_ONCE = 5_000
MOST = 1_000


@dataclass(frozen=True, slots=True)
class Fault:
    """An entry (or what `kind` says, by its name) that is not what was written, and what is wrong with it."""

    entry: str
    fault: str
    kind: str = "entry"


def signed_root(tx: Connection, size: int) -> bytes | None:
    """The root that was signed for a size."""
    return tx.scalar(select(checkpoints.c.root).where(checkpoints.c.size == size))


def faults(tx: Connection, published: Path | None) -> Iterator[Fault]:
    """What does not fit, at most MOST of it."""
    head = tx.execute(select(log_head)).one_or_none()
    if head is None or head.size == 0:
        yield from _strays(tx, 0)
        return
    yield from islice(_all_faults(tx, head.origin, head.size, published), MOST)


def _all_faults(tx: Connection, origin: str, size: int, published: Path | None) -> Iterator[Fault]:
    known = log.keys(tx, origin)
    signed = _checkpoints(tx)
    frontier = Frontier()
    differing: list[tuple[int, str | None]] = []
    wrong_roots: list[tuple[int, int]] = []
    before, here = 0, next(signed, None)
    for index, (entry, leaf, kept) in enumerate(_leaves(tx, size)):
        if leaf is None:
            yield Fault(entry or f"leaf {index}", f"deleted: it was sealed as leaf {index} and is no longer there")
        elif kept != leaf and len(differing) < MOST:
            differing.append((index, entry))
        # Where there is nothing any more, go on with what the tile says, to name only what is wrong.
        frontier.add(leaf or kept or b"\0" * HASH_BYTES)
        while here is not None and here.size == index + 1:
            if frontier.root != here.root:
                wrong_roots.append((before, here.size))
            if told := _vouched(here, origin, known):
                yield Fault(f"checkpoint {here.size}", told, "log")
            before, here = here.size, next(signed, None)
    entries_are_right = frontier.root == signed_root(tx, size) and not wrong_roots
    yield from _name(differing, entries_are_right)
    if wrong_roots and not differing:
        first, last = wrong_roots[0]
        yield Fault(f"leaves {first} to {last - 1}", "edited together with their tiles: the signed root differs", "log")
    yield from _upper_tiles(tx, size)
    yield from _strays(tx, size)
    if published is not None:
        yield from _published(tx, published)


def _name(differing: list[tuple[int, str | None]], entries_are_right: bool) -> Iterator[Fault]:
    for index, entry in differing:
        if entries_are_right:
            yield Fault(f"tile/0/{index // tiles.WIDTH:03}", f"altered: its hash {index % tiles.WIDTH} is wrong", "log")
        else:
            yield Fault(
                entry or f"leaf {index}", f"edited, moved or swapped: it is not what was sealed as leaf {index}"
            )


def _leaves(tx: Connection, size: int) -> Iterator[tuple[str | None, bytes | None, bytes]]:
    """Each leaf in order: its entry's id, the hash of the entry's bytes, the hash in its tile."""
    for number in range(-(-size // tiles.WIDTH)):
        content = log.load_tile(tx, 0, number)
        first, last = number * tiles.WIDTH, min(size, (number + 1) * tiles.WIDTH)
        columns = leaves.c.index.label("place"), leaves.c.entry, entries.c.leaf_hash
        joined = leaves.outerjoin(entries, entries.c.id == leaves.c.entry)
        some = select(*columns).select_from(joined).where(leaves.c.index >= first, leaves.c.index < last)
        found: dict[int, Any] = {row.place: row for row in tx.execute(some)}
        for index in range(first, last):
            at = (index - first) * HASH_BYTES
            row = found.get(index)
            yield _entry_of(row), _hash_of(row), content[at : at + HASH_BYTES]


def _entry_of(row: Any) -> str | None:
    return None if row is None else row.entry


def _hash_of(row: Any) -> bytes | None:
    """The leaf's hash as the entry has it; that its bytes make it `verification` has checked before."""
    return None if row is None or row.leaf_hash is None else bytes(row.leaf_hash)


def _checkpoints(tx: Connection) -> Iterator[Any]:
    after = 0
    while rows := tx.execute(
        select(checkpoints).where(checkpoints.c.size > after).order_by(checkpoints.c.size).limit(ROWS_AT_ONCE)
    ).all():
        yield from rows
        after = rows[-1].size


def _vouched(row: Any, origin: str, known: list[notes.Verifier]) -> str | None:
    """What is wrong with a checkpoint's note, or None."""
    try:
        text, _ = notes.verified(row.note, known)
        told = notes.parse_checkpoint(text)
    except BadNote as error:
        return f"forged: {error.detail}"
    if (told.origin, told.size, told.root) != (origin, row.size, row.root):
        return "forged: its note speaks of another tree than its row"
    return None


def _upper_tiles(tx: Connection, size: int) -> Iterator[Fault]:
    """Tiles above the leaves hold the hashes of the full tiles below."""
    for tile in tiles.of_size(size):
        if tile.level == 0:
            continue
        content = log.load_tile(tx, tile.level, tile.number)
        below = (tile.number * tiles.WIDTH + each for each in range(tile.width))
        expected = b"".join(_subtree(log.load_tile(tx, tile.level - 1, number)) for number in below)
        if content[: tile.width * HASH_BYTES] != expected:
            yield Fault(tile.path.partition(".p")[0], "altered: it is not made of the tiles below", "log")


def _subtree(content: bytes) -> bytes:
    """The hash over a full tile; nothing where it is not full any more."""
    return tiles.subtree(content) if len(content) == tiles.WIDTH * HASH_BYTES else b""


def _strays(tx: Connection, size: int) -> Iterator[Fault]:
    """Leaves beyond the head, which no checkpoint vouches for."""
    beyond_it = (leaves.c.index >= size) | (leaves.c.index < 0)
    for row in tx.execute(select(leaves.c.index.label("place"), leaves.c.entry).where(beyond_it).limit(MOST)):
        yield Fault(row.entry, f"inserted: its leaf {row.place} lies beyond the signed log")
    for beyond in tx.scalars(select(checkpoints.c.size).where(checkpoints.c.size > size).limit(MOST)):
        yield Fault(f"checkpoint {beyond}", "the log's head is behind it: rolled back", "log")


def _published(tx: Connection, folder: Path) -> Iterator[Fault]:
    """The log as files: consistent with the database, each tile as the database has it."""
    try:
        publishing.require_consistent(tx, folder)
    except LogBroken as error:
        yield Fault("published checkpoint", error.detail, "log")
    except BadNote as error:
        yield Fault("published checkpoint", f"altered: {error.detail}", "log")
        return
    found, head = publishing.read(folder), log.head(tx)
    for tile in tiles.of_size(min(found.checkpoint.size, head.size) if found and head else 0):
        try:
            content = (folder / tile.path).read_bytes()
        except OSError:
            yield Fault(tile.path, "its published file is missing", "log")
            continue
        if content != log.load_tile(tx, tile.level, tile.number)[: tile.width * HASH_BYTES]:
            yield Fault(tile.path, "its published file differs from the database", "log")
