# SPDX-License-Identifier: Apache-2.0
"""Tiles of a Merkle tree, as C2SP tlog-tiles has them: 256 hashes of one level, stored and served as one file. Pure.

Tile `number` of level L holds the hashes of the complete subtrees of height 8·L from number·256 on. A level above
takes in full tiles only, so a tile once full never changes, and the last of each level only grows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from audit.merkle import HASH_BYTES, Node

HEIGHT = 8
WIDTH = 1 << HEIGHT
_PAIR = 2 * HASH_BYTES
Load = Callable[[int, int], bytes]  # (level, number) → the tile's hashes, one after the other


class Tile(NamedTuple):
    """Where a tile stands, and how many hashes it has (WIDTH: it is full)."""

    level: int
    number: int
    width: int

    @property
    def path(self) -> str:
        """Its place under the log's prefix, as `tile/0/x001/234` or `tile/1/000.p/17`."""
        groups = [f"{self.number % 1000:03}"]
        rest = self.number // 1000
        while rest:
            groups.insert(0, f"x{rest % 1000:03}")
            rest //= 1000
        partial = f".p/{self.width}" if self.width < WIDTH else ""
        return f"tile/{self.level}/{'/'.join(groups)}{partial}"


def of_size(size: int, since: int = 0) -> Iterator[Tile]:
    """The tiles of a tree of this size that a tree of size `since` did not have, or not as wide."""
    level = 0
    while size:
        for number in range(since // WIDTH, -(-size // WIDTH)):
            width = min(WIDTH, size - number * WIDTH)
            if number * WIDTH + width > since:
                yield Tile(level, number, width)
        size, since, level = size >> HEIGHT, since >> HEIGHT, level + 1


def grown(size: int, last: Mapping[int, bytes], leaves: Sequence[bytes]) -> Iterator[tuple[Tile, bytes]]:
    """The tiles that change when leaf hashes come to a tree of `size`.

    `last` has the last, not yet full tile of each level (b"" or missing where there is none).
    """
    level, added = 0, list(leaves)
    while added:
        number, content = size // WIDTH, last.get(level, b"") if size % WIDTH else b""
        above = []
        for start in range(0, len(added), WIDTH):  # at most WIDTH a time, so that the tiles come one by one
            content += b"".join(added[start : start + WIDTH])
            while len(content) >= WIDTH * HASH_BYTES:
                full, content = content[: WIDTH * HASH_BYTES], content[WIDTH * HASH_BYTES :]
                yield Tile(level, number, WIDTH), full
                above.append(subtree(full))
                number += 1
        if content:
            yield Tile(level, number, len(content) // HASH_BYTES), content
        size, level, added = size >> HEIGHT, level + 1, above


def nodes(load: Load) -> Node:
    """The hashes of complete subtrees, from tiles; each tile is loaded once."""
    loaded: dict[tuple[int, int], bytes] = {}

    def node(height: int, index: int) -> bytes:
        level, within = divmod(height, HEIGHT)
        first = index << within
        place = level, first >> HEIGHT
        if place not in loaded:
            loaded[place] = load(*place)
        start = (first % WIDTH) * HASH_BYTES
        content = loaded[place][start : start + (HASH_BYTES << within)]
        if len(content) != HASH_BYTES << within:
            raise ValueError(f"tile {place} has too few hashes for a node of height {height} at {index}")
        return subtree(content)

    return node


def subtree(content: bytes) -> bytes:
    """The hash over a power of two of hashes."""
    return heights(content)[-1]


def heights(content: bytes) -> list[bytes]:
    """The hashes of the complete subtrees over a tile's hashes: of height 0 (the hashes themselves), 1, 2 and so on."""
    found = [content]
    while (pairs := len(found[-1]) // _PAIR) > 0:
        below = found[-1]
        each = [sha256(b"\x01" + below[at : at + _PAIR]).digest() for at in range(0, pairs * _PAIR, _PAIR)]
        found.append(b"".join(each))
    return found
