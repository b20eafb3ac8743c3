# SPDX-License-Identifier: Apache-2.0
"""What anyone can check of a published log with the public key alone: that it only grew, and is whole. Pure.

`fetch` gives the content of a path under the log's prefix (`checkpoint`, `tile/0/001.p/17`) as bytes, from a folder,
a bucket or over HTTP; nothing that it gives is believed. A tile of a tree of any earlier size is the beginning of the
newest one, so that the newest published tiles prove consistency between any two sizes.
"""

from collections.abc import Callable, Iterable
from itertools import groupby
from operator import attrgetter

from audit import merkle, notes, tiles
from audit.merkle import HASH_BYTES
from audit.notes import BadNote, Checkpoint, Verifier
from kernel.errors import NotFound

Fetch = Callable[[str], bytes]  # raises NotFound


class Forked(BadNote):
    """Two signed checkpoints of one log that cannot both be true, or tiles that do not make a signed root."""

    slug = "log-forked"


def opened(note: bytes | str, known: Iterable[Verifier]) -> Checkpoint:
    """A checkpoint that one of the known keys signed; raises BadNote."""
    content = note if isinstance(note, str) else note.decode("utf-8", "replace")
    text, _ = notes.verified(content, known)
    return notes.parse_checkpoint(text)


def require_grown(older: Checkpoint, newer: Checkpoint, newest: Checkpoint, fetch: Fetch) -> list[bytes]:
    """The proof that the older log is a prefix of the newer (RFC 9162 §2.1.4), made from the tiles of the newest.

    Raises Forked where it is not one.
    """
    if older.origin != newer.origin:
        raise Forked(f"the checkpoints are of two logs: {older.origin} and {newer.origin}")
    if older.size > newer.size:
        raise Forked(f"the log has {newer.size} leaves and had {older.size}: it was rolled back")
    if older.size == newer.size and older.root != newer.root:
        raise Forked(f"two checkpoints of size {older.size} have different roots: keep both, they are the evidence")
    if older.size == 0 or older.size == newer.size:
        return []  # nothing can be inconsistent with an empty log, or with itself
    try:
        proof = merkle.consistency_proof(older.size, newer.size, tiles.nodes(_loading(fetch, newest.size)))
    except ValueError as error:
        raise Forked(f"the log is not whole: {error}") from error
    if not merkle.is_consistent(older.size, newer.size, proof, older.root, newer.root):
        raise Forked(f"the log of {newer.size} leaves does not begin with the {older.size} that were signed before")
    return proof


def require_whole(checkpoint: Checkpoint, fetch: Fetch, tell: Callable[[int], None] = lambda done: None) -> None:
    """Read every tile, and raise Forked where they do not make the checkpoint's root.

    Memory is that of one level's hashes: 32 bytes for each 256 leaves. `tell` hears how many tiles were read.
    """
    load = _loading(fetch, checkpoint.size)
    below: list[bytes] = []
    for level, of_level in groupby(tiles.of_size(checkpoint.size), attrgetter("level")):
        full = []
        for tile in of_level:
            content, first = load(tile.level, tile.number), tile.number * tiles.WIDTH
            if level and content != b"".join(below[first : first + tile.width]):
                raise Forked(f"{tile.path} is not made of the tiles below")
            if tile.width == tiles.WIDTH:
                full.append(tiles.subtree(content))
            if level == 0:
                tell(tile.number + 1)
        below = full
    if merkle.root(checkpoint.size, tiles.nodes(load)) != checkpoint.root:
        raise Forked("the tiles do not make the signed root")


def _loading(fetch: Fetch, size: int) -> tiles.Load:
    """Tiles of a tree of `size`; raises Forked for one that is missing or of the wrong length."""

    def load(level: int, number: int) -> bytes:
        width = min(tiles.WIDTH, (size >> tiles.HEIGHT * level) - number * tiles.WIDTH)
        tile = tiles.Tile(level, number, width)
        try:
            content = fetch(tile.path)
        except NotFound:  # a partial tile may go once the full one is there
            content = _beginning(fetch, tile)
        if len(content) != width * HASH_BYTES:
            raise Forked(f"{tile.path} has {len(content)} bytes, not {width * HASH_BYTES}")
        return content

    return load


def _beginning(fetch: Fetch, tile: tiles.Tile) -> bytes:
    try:
        return fetch(tile._replace(width=tiles.WIDTH).path)[: tile.width * HASH_BYTES]
    except NotFound as error:
        raise Forked(f"{tile.path} is missing") from error
