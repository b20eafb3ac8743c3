# SPDX-License-Identifier: Apache-2.0
"""Grow the tree anew from the entries, and name what does not fit: entry, tile, checkpoint, published file.

Where entries and tiles differ, the signed roots say which of them is right. Memory is that of one section, a path
of hashes, and what differs, of which at most MOST is remembered.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from audit import log, merkle, notes, publishing, sections, tiles
from audit.merkle import HASH_BYTES, Frontier
from audit.models import checkpoint as checkpoints
from audit.models import leaf as leaves
from audit.notes import BadNote
from audit.sealing import LogBroken
from audit.sections import HOLE, Section

ROWS_AT_ONCE = 5_000
MOST = 1_000
TILE_BYTES = tiles.WIDTH * HASH_BYTES


@dataclass(frozen=True, slots=True)
class Fault:
    """An entry (or what `kind` says, by its name) that is not what was written, and what is wrong with it."""

    entry: str
    fault: str
    kind: str = "entry"


def signed_root(tx: Connection, size: int) -> bytes | None:
    """The root that was signed for a size."""
    return tx.scalar(select(checkpoints.c.root).where(checkpoints.c.size == size))


def faults(
    tx: Connection, origin: str, size: int, published: Path | None, tell: Callable[[int], None]
) -> Iterator[Fault]:
    """What does not fit in a log of this size; `tell` hears how many of its entries were found so far."""
    tree, above, signed = Frontier(), _Above(tx), _Signed(tx, origin)
    differing: list[int] = []
    there = 0
    for section in sections.read(tx, size):
        there += section.entries
        yield from (Fault(entry, told) for _, entry, told in section.faults)
        for number, own in _tiles(section):
            kept = log.load_tile(tx, 0, number)[: len(own)]
            content = own if own == kept else _without_holes(own, kept)
            if content != kept and len(differing) < MOST:
                named = {index for index, _, _ in section.faults}
                differing += [each for each in _differing(content, kept, number) if each not in named]
            heights = tiles.heights(content)
            yield from signed.held_against(tree, heights)
            if len(content) == TILE_BYTES:
                tree.add(heights[-1])
                yield from above.add(1, heights[-1] if content == kept else _subtree(kept))
        tell(there)
    yield from above.end()
    yield from signed.end(size)
    yield from _name(tx, differing[:MOST], entries_are_right=not signed.unlike)
    if signed.unlike and not differing:
        first, last = signed.unlike[0]
        yield Fault(f"leaves {first} to {last - 1}", "edited together with their tiles: the signed root differs", "log")
    if published is not None:
        yield from _published(tx, published, entries_are_right=not signed.unlike)


def strays(tx: Connection, size: int) -> Iterator[Fault]:
    """Leaves beyond the head, which no checkpoint vouches for, and checkpoints beyond it."""
    beyond_it = (leaves.c.index >= size) | (leaves.c.index < 0)
    for row in tx.execute(select(leaves.c.index.label("place"), leaves.c.entry).where(beyond_it).limit(MOST)):
        yield Fault(row.entry, f"inserted: its leaf {row.place} lies beyond the signed log")
    for beyond in tx.scalars(select(checkpoints.c.size).where(checkpoints.c.size > size).limit(MOST)):
        yield Fault(f"checkpoint {beyond}", "the log's head is behind it: rolled back", "log")


class _Signed:
    """The checkpoints, each held against the tree when it has grown to the checkpoint's size."""

    def __init__(self, tx: Connection, origin: str) -> None:
        self.unlike: list[tuple[int, int]] = []  # from one size to the next whose root differs
        self._origin, self._known = origin, log.keys(tx, origin)
        self._rows = _checkpoints(tx)
        self._before, self._next = 0, next(self._rows, None)

    def held_against(self, tree: Frontier, heights: list[bytes]) -> Iterator[Fault]:
        """The checkpoints within the tile whose `heights` come after the full tiles of `tree`."""
        first, width = tree.size * tiles.WIDTH, len(heights[0]) // HASH_BYTES

        def node(height: int, index: int) -> bytes:
            return heights[height][index * HASH_BYTES : (index + 1) * HASH_BYTES]

        while self._next is not None and self._next.size <= first + width:
            row = self._next
            if tree.root_with(merkle.cover(row.size - first, node)) != row.root:
                self.unlike.append((self._before, row.size))
            if told := _vouched(row, self._origin, self._known):
                yield Fault(f"checkpoint {row.size}", told, "log")
            self._before, self._next = row.size, next(self._rows, None)

    def end(self, size: int) -> Iterator[Fault]:
        """What is wrong where the last of them is not of the log's size."""
        if self._before != size:
            self.unlike.append((self._before, size))
            yield Fault(f"checkpoint {size}", "deleted: the log's newest checkpoint is no longer there", "log")


class _Above:
    """The tiles above the leaves, each held against the full tiles below it."""

    def __init__(self, tx: Connection) -> None:
        self._tx = tx
        self._waiting: dict[int, list[bytes]] = {}  # by level: the hashes that its next tile should have
        self._number: dict[int, int] = {}

    def add(self, level: int, found: bytes) -> Iterator[Fault]:
        waiting = self._waiting.setdefault(level, [])
        waiting.append(found)
        if len(waiting) == tiles.WIDTH:
            yield from self._close(level)

    def end(self) -> Iterator[Fault]:
        for level in sorted(self._waiting):
            if self._waiting[level]:
                yield from self._close(level)

    def _close(self, level: int) -> Iterator[Fault]:
        number = self._number.get(level, 0)
        expected, kept = self._waiting[level], log.load_tile(self._tx, level, number)
        if kept[: len(expected) * HASH_BYTES] != b"".join(expected):
            path = tiles.Tile(level, number, tiles.WIDTH).path
            yield Fault(path, "altered: it is not made of the tiles below", "log")
        self._waiting[level], self._number[level] = [], number + 1
        if len(expected) == tiles.WIDTH:
            yield from self.add(level + 1, _subtree(kept))


def _tiles(section: Section) -> Iterator[tuple[int, bytes]]:
    """Number and hashes of each tile of a section."""
    for start in range(0, len(section.hashes), TILE_BYTES):
        yield (section.first + start // HASH_BYTES) // tiles.WIDTH, section.hashes[start : start + TILE_BYTES]


def _without_holes(own: bytes, kept: bytes) -> bytes:
    """Where there is no hash of its own any more, go on with what the tile says: to name only what is wrong."""
    places = range(0, len(own), HASH_BYTES)
    each = ((own[at : at + HASH_BYTES], kept[at : at + HASH_BYTES] or HOLE) for at in places)
    return b"".join(other if one == HOLE else one for one, other in each)


def _differing(content: bytes, kept: bytes, number: int) -> Iterator[int]:
    for at in range(0, len(content), HASH_BYTES):
        if content[at : at + HASH_BYTES] != kept[at : at + HASH_BYTES]:
            yield number * tiles.WIDTH + at // HASH_BYTES


def _name(tx: Connection, differing: list[int], *, entries_are_right: bool) -> Iterator[Fault]:
    for index in differing:
        if entries_are_right:
            path = tiles.Tile(0, index // tiles.WIDTH, tiles.WIDTH).path
            yield Fault(path, f"altered: its hash {index % tiles.WIDTH} is wrong", "log")
        else:
            yield Fault(_entry_at(tx, index), f"edited, moved or swapped: it is not what was sealed as leaf {index}")


def _entry_at(tx: Connection, index: int) -> str:
    return tx.scalar(select(leaves.c.entry).where(leaves.c.index == index)) or f"leaf {index}"


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


def _subtree(content: bytes) -> bytes:
    """The hash over a full tile; nothing where it is not full any more."""
    return tiles.subtree(content) if len(content) == TILE_BYTES else b""


def _published(tx: Connection, folder: Path, *, entries_are_right: bool) -> Iterator[Fault]:
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
        kept = log.load_tile(tx, tile.level, tile.number)[: tile.width * HASH_BYTES]
        if content != kept:
            yield Fault(tile.path, "its published file differs from the database", "log")
            if tile.level == 0 and not entries_are_right:
                for index in _differing(kept, content, tile.number):
                    told = f"edited together with its tile: it is not what was published as leaf {index}"
                    yield Fault(_entry_at(tx, index), told)
