# SPDX-License-Identifier: Apache-2.0
"""What a feed says of its files, and the one way in which reading one can break off."""

from collections.abc import Iterator
from dataclasses import dataclass

from kernel.errors import BureauError, TooLarge

# A record as a format's reader gives it: its cells (none where they cannot be told), and its text in pieces.
Record = tuple[list[str], list[str]]
Records = Iterator[Record]

# Below this size a high ratio is no danger: short files of equal rows compress well.
RATIO_FLOOR_BYTES = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one delivery may hold. `ratio` is unpacked to packed bytes: above it, a bomb."""

    packed_bytes: int
    unpacked_bytes: int
    ratio: int
    rows: int
    row_bytes: int
    cell_characters: int

    def ceiling_bytes(self, packed_bytes: int) -> int:
        """The most that a delivery of `packed_bytes` may unpack to."""
        return min(self.unpacked_bytes, max(RATIO_FLOOR_BYTES, self.ratio * packed_bytes))


@dataclass(frozen=True, slots=True)
class Layout:
    """How a feed's files look: `columns` must all be there, in any order, and no others but the `ignored`."""

    format: str
    encoding: str
    columns: tuple[str, ...]
    ignored: frozenset[str]
    limits: Limits


class Broken(Exception):
    """The file cannot be read on: the kind of error, the problem and the remedy, but not yet the place."""

    def __init__(self, kind: type[BureauError], problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.kind, self.problem, self.remedy = kind, problem, remedy


def too_long(limit_bytes: int) -> Broken:
    return Broken(TooLarge, f"more than {limit_bytes:,} bytes", "look for a lost quote, and end lines in LF or CRLF")


def overlong(characters: int) -> Broken:
    return Broken(TooLarge, f"a cell has more than {characters:,} characters", "look for a lost quote")


def bomb(ceiling_bytes: int) -> Broken:
    problem = f"the file holds more than {ceiling_bytes:,} bytes of text"
    return Broken(TooLarge, problem, "split the file, and pack it once and ordinarily")
