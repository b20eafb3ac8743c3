# SPDX-License-Identifier: Apache-2.0
"""Indicators as columns of the narrowest numbers that hold them exactly, and a snapshot in one stretch of memory.

A column's *codes* are its values times `scale` (1, or 100 for what has two decimals) in 8, 16 or 32 bits, else
its values as float64. So most take one to four bytes an enterprise, and a comparison in codes is the comparison of
values: both are in the same order. Missing is the lowest code of the type, or NaN. A category's code is the rank of
its word among the sorted words.

A snapshot's memory: the length of a header, the header (JSON), then each array at a place that the header names.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

Codes = NDArray[Any]
Numbers = NDArray[np.float64]
INTEGERS = ("i1", "i2", "i4")
FLOAT = "f8"
SCALES = (1, 100)
USCC_BYTES = 18
_ALIGNED = 64
_FARTHEST = 2.0**40  # beyond any code of INTEGERS


@dataclass(frozen=True, slots=True)
class Kind:
    """How a column is written: `type` one of INTEGERS or FLOAT, little-endian; `words` of a category."""

    type: str
    scale: int
    words: tuple[str, ...] = ()

    @property
    def missing(self) -> float | int:
        return math.nan if self.type == FLOAT else int(np.iinfo(self.type).min)


@dataclass(frozen=True, slots=True)
class Column:
    codes: Codes
    kind: Kind

    def known(self, codes: Codes | None = None) -> NDArray[np.bool_]:
        """Where there is a value, among all codes or some of them."""
        held = self.codes if codes is None else codes
        found: NDArray[np.bool_] = ~np.isnan(held) if self.kind.type == FLOAT else held != self.kind.missing
        return found

    def values(self, codes: Codes | None = None) -> Numbers:
        """Values of some codes, or of all; NaN is missing."""
        held = self.codes if codes is None else codes
        if self.kind.type == FLOAT:
            return held.astype(np.float64)
        return np.where(held == self.kind.missing, np.nan, held / self.kind.scale)

    def span(self, low: float, high: float) -> tuple[float, float]:
        """The codes of exactly the values from `low` to `high`; the first is above the second where there are none."""
        if self.kind.type == FLOAT:
            return low, high
        limits, scale = np.iinfo(self.kind.type), self.kind.scale
        first, last = math.ceil(_near(low) * scale), math.floor(_near(high) * scale)
        while (first - 1) / scale >= low > -_FARTHEST:
            first -= 1
        while first / scale < low < _FARTHEST:
            first += 1
        while (last + 1) / scale <= high < _FARTHEST:
            last += 1
        while last / scale > high > -_FARTHEST:
            last -= 1
        return max(first, int(limits.min) + 1), min(last, int(limits.max))


def column_of(values: Numbers, words: Sequence[str] = ()) -> Column:
    """Values (NaN: missing; of a category the ranks of its words) as the narrowest column."""
    known = values[~np.isnan(values)]
    scale = scale_of(known)
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    kind = kind_of(scale, low, high, tuple(words))
    return Column(encoded(values, kind), kind)


def scale_of(known: Numbers) -> int | None:
    """The smallest scale at which all values are whole and come back exactly; None: none of SCALES."""
    if len(known) and np.abs(known).max() > _FARTHEST:
        return None
    for scale in SCALES:
        whole = np.rint(known * scale)
        if np.array_equal(whole / scale, known):
            return scale
    return None


def kind_of(scale: int | None, low: float, high: float, words: tuple[str, ...] = ()) -> Kind:
    """The narrowest kind for values of a scale within bounds."""
    if scale is not None:
        for name in INTEGERS:
            limits = np.iinfo(name)
            if limits.min < low * scale and high * scale <= limits.max:
                return Kind(name, scale, words)
    return Kind(FLOAT, 1, words)


def encoded(values: Numbers, kind: Kind) -> Codes:
    """The codes of values that fit the kind."""
    if kind.type == FLOAT:
        return values.astype("<f8")
    return np.where(np.isnan(values), kind.missing, np.rint(values * kind.scale)).astype(f"<{kind.type}")


def words_of(values: Sequence[str | None]) -> tuple[Numbers, tuple[str, ...]]:
    """Words as ranks (NaN: missing) and the sorted words."""
    words = tuple(sorted({value for value in values if value is not None}))
    ranks = {word: float(rank) for rank, word in enumerate(words)}
    return np.array([math.nan if value is None else ranks[value] for value in values], np.float64), words


class Names(Sequence[str | None]):
    """Names of all rows in one stretch of UTF-8; an empty one is none."""

    def __init__(self, ends: NDArray[np.uint32], text: memoryview) -> None:
        self._ends, self._text = ends, text

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, row: Any) -> Any:
        begin = int(self._ends[row - 1]) if row else 0
        return bytes(self._text[begin : int(self._ends[row])]).decode() or None


@dataclass(frozen=True)
class Snapshot:
    """Every enterprise in order of USCC, and a column for each indicator, in the order of `indicators.ALL`.

    `publication`: as of which it was made; `edition`: no one shredded by a publication up to this is in it.
    """

    version: int
    publication: int
    edition: int
    time: datetime
    usccs: NDArray[np.bytes_]
    names: Sequence[str | None]
    columns: Sequence[Column]

    def __len__(self) -> int:
        return len(self.usccs)

    @property
    def key(self) -> tuple[int, int, datetime]:
        """What tells it from every other snapshot."""
        return self.version, self.edition, self.time

    def uscc(self, row: int) -> str:
        return bytes(self.usccs[row]).decode()

    def rows_of(self, usccs: Sequence[str] | NDArray[np.bytes_]) -> NDArray[np.intp]:
        """The row of each enterprise; -1 where it has none."""
        return places(self.usccs, np.array(usccs, f"S{USCC_BYTES}"))


def places(among: NDArray[np.bytes_], sought: NDArray[np.bytes_]) -> NDArray[np.intp]:
    """The place of each sought code among sorted ones; -1 where it is not among them."""
    if not len(among):
        return np.full(len(sought), -1, np.intp)
    found = np.searchsorted(among, sought)
    found[found == len(among)] = 0
    return np.where(among[found] == sought, found, -1)


@dataclass(frozen=True)
class Layout:
    """Where in a snapshot's memory each array stands."""

    header: bytes
    size: int
    usccs: int
    ends: int
    text: int
    columns: tuple[int, ...]


def lay_out(head: dict[str, Any], count: int, text_bytes: int, kinds: Sequence[Kind]) -> Layout:
    """The memory of a snapshot of `count` rows; `head` says which it is (version, publication, edition, time)."""
    sizes = [count * USCC_BYTES, count * 4, text_bytes, *(count * int(kind.type[1]) for kind in kinds)]
    told = {**head, "count": count, "text": text_bytes, "kinds": [[k.type, k.scale, k.words] for k in kinds]}
    header = orjson.dumps(told)
    at = list(_starts(8 + len(header), sizes))
    return Layout(header, at[-1], at[0], at[1], at[2], tuple(at[3:-1]))


def opened(memory: memoryview) -> Snapshot:
    """The snapshot that a stretch of memory holds; nothing is copied."""
    size = int.from_bytes(memory[:8], "little")
    head = orjson.loads(memory[8 : 8 + size])
    kinds = [Kind(name, scale, tuple(words)) for name, scale, words in head.pop("kinds")]
    count, text_bytes = head.pop("count"), head.pop("text")
    where = lay_out(head, count, text_bytes, kinds)
    columns = [
        Column(np.frombuffer(memory, f"<{kind.type}", count, at), kind)
        for kind, at in zip(kinds, where.columns, strict=True)
    ]
    names = Names(
        np.frombuffer(memory, "<u4", count, where.ends), memory[where.text : where.text + text_bytes].toreadonly()
    )
    usccs = np.frombuffer(memory, f"S{USCC_BYTES}", count, where.usccs)
    made = datetime.fromisoformat(head["time"])
    return Snapshot(head["version"], head["publication"], head["edition"], made, usccs, names, columns)


def _starts(begin: int, sizes: Sequence[int]) -> Iterator[int]:
    at = -(-begin // _ALIGNED) * _ALIGNED
    for size in sizes:
        yield at
        at += -(-size // _ALIGNED) * _ALIGNED
    yield at


def _near(value: float) -> float:
    return max(-_FARTHEST, min(_FARTHEST, value))
