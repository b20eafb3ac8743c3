# SPDX-License-Identifier: Apache-2.0
"""Screening over columns: masks, three-valued, exact. Pure: a snapshot, what is visible, conditions in; rows out.

A condition on a missing value is unknown, also under `not` and `ne`; only true matches; `missing` is always decided.
An indicator reads as missing unless all its source classes lie within the enterprise's consent.

Every comparison becomes a span of codes (`columns.Column.span`) or a few codes; rows are judged a block at a time,
which stays in the processor's cache, and only the side of a condition that is asked for: where it is true, or,
under a `not`, where it is false.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bureau import indicators
from bureau.screening.columns import FLOAT, Codes, Column, Numbers, Snapshot
from bureau.screening.terms import Condition, Group, Node, Sort

Mask = NDArray[np.bool_]
Rows = NDArray[np.intp]
Classes = NDArray[np.uint8]  # per row: bit n where class n is consented, 0 hides it
BLOCK_ROWS = 65_536
FACET_VALUES = 20
MOST_RUNS = 16  # of neighbouring codes in an `in`; more are looked up in a table
SORTED_WHOLE = 10_000  # rows; of more only those are sorted that may be among the first
PLACES = {code: place for place, code in enumerate(indicators.ALL)}
_NEEDS = [sum(1 << number for number in each.source_classes) for each in indicators.ALL.values()]
_TYPES = [each.type for each in indicators.ALL.values()]


@dataclass(frozen=True, slots=True)
class Test:
    """A condition on one column, in its codes; `matches` is None where it asks whether there is a value at all."""

    place: int
    matches: Callable[[Codes], Mask] | None
    value: bool = True  # of `missing`; False of `ne`, which is true where `eq` is false


class View:
    """A snapshot as one institution may see it: `covered` holds bit n where class n is consented, 0 hides the row."""

    def __init__(self, snapshot: Snapshot, covered: Classes) -> None:
        self.snapshot = snapshot
        self.visible: Mask = covered != 0
        self._covered = covered
        self._shown: dict[int, Mask] = {}

    def shown(self, place: int) -> Mask:
        """The rows that let the institution see a column."""
        needs = _NEEDS[place]
        if needs not in self._shown:
            self._shown[needs] = (self._covered & needs) == needs
        return self._shown[needs]

    def matches(self, node: Node) -> Mask:
        """The rows for which `node` is true."""
        return self.without(Group("all", (node,)))[0]

    def without(self, node: Node) -> tuple[Mask, list[tuple[str, int]]]:
        """The matches, and for each of the outermost conditions its path and how many match without it."""
        is_all = isinstance(node, Group) and node.kind == "all"
        members = [self._compiled(member) for member in (node.members if is_all else (node,))]  # type: ignore[union-attr]
        matched = np.zeros(len(self.snapshot), np.bool_)
        left = [0] * len(members)
        for block in _blocks(len(matched)):
            trues = [self._true(member, block) for member in members]
            missed = np.zeros(block.stop - block.start, np.uint8)
            for true in trues:
                missed += (~true).view(np.uint8)
            visible = self.visible[block]
            np.logical_and(missed == 0, visible, out=matched[block])
            count, one = int(np.count_nonzero(matched[block])), (missed == 1) & visible
            for n, true in enumerate(trues):
                left[n] += count + int(np.count_nonzero(one & ~true))
        if is_all:
            return matched, [(f"all/{n}", count) for n, count in enumerate(left)]
        return matched, [(node.kind if isinstance(node, Group) else "where", left[0])]

    def order(self, matched: Mask, sort: Sequence[Sort], after: Sequence[float] | None, most: int) -> Rows:
        """The first `most` matched rows in order, missing values last, ties by USCC; only those behind `after`
        (a row's `key`)."""
        rows: Rows = np.flatnonzero(matched)
        if not sort:
            return rows[rows > after[0]][:most] if after is not None else rows[:most]
        keys = [self._sort_key(each, rows) for each in sort] + [rows.astype(np.float64)]
        kept = np.ones(len(rows), np.bool_)
        if after is not None:
            behind, same = np.zeros(len(rows), np.bool_), kept.copy()
            for key, last in zip(keys, after, strict=True):
                behind |= same & (key > last)
                same &= key == last
            kept = behind
        first = keys[0][kept]
        if len(first) > max(most, SORTED_WHOLE):
            kept &= keys[0] <= np.partition(first, most)[most]
        rows, keys = rows[kept], [key[kept] for key in keys]
        return rows[np.lexsort(keys[::-1])[:most]]

    def key(self, row: int, sort: Sequence[Sort]) -> list[float]:
        """Where a row stands in an order."""
        rows = np.array([row], np.intp)
        return [float(self._sort_key(each, rows)[0]) for each in sort] + [float(row)]

    def value(self, code: str, row: int) -> Any:
        """What an indicator says of a row, as JSON has it; None: missing."""
        place = PLACES[code]
        column = self.snapshot.columns[place]
        held, kind = float(column.values(column.codes[row : row + 1])[0]), _TYPES[place]
        if math.isnan(held) or not self.shown(place)[row]:
            return None
        if kind == "category":
            return column.kind.words[int(held)]
        if kind == "boolean":
            return held == 1
        if kind == "date":
            return date.fromordinal(int(held)).isoformat()
        return int(held) if kind == "integer" else held

    def facets(self, matched: Mask, codes: Sequence[str]) -> dict[str, dict[str, list[dict[str, Any]]]]:
        """How the matches spread over categories, by class of indicator: the most frequent values first."""
        found: dict[str, dict[str, list[dict[str, Any]]]] = {}
        rows = np.flatnonzero(matched)
        for code in codes:
            place = PLACES[code]
            column = self.snapshot.columns[place]
            held = column.codes[rows]
            held = held[column.known(held) & self.shown(place)[rows]]
            counts = np.bincount(held.astype(np.intp), minlength=len(column.kind.words))
            best = [int(rank) for rank in np.argsort(-counts, kind="stable")[:FACET_VALUES] if counts[rank]]
            values = [{"value": column.kind.words[rank], "count": int(counts[rank])} for rank in best]
            found.setdefault(str(indicators.ALL[code].number), {})[code] = values
        return found

    def _sort_key(self, sort: Sort, rows: Rows) -> Numbers:
        place = PLACES[sort.indicator]
        column = self.snapshot.columns[place]
        held = column.codes[rows]
        known = column.known(held) & self.shown(place)[rows]
        values = held.astype(np.float64)
        key: Numbers = np.where(known, -values if sort.desc else values, np.inf)
        return key

    def _compiled(self, node: Node) -> "Test | tuple[str, list[Any]]":
        if isinstance(node, Condition):
            return self._test(node)
        return node.kind, [self._compiled(member) for member in node.members]

    def _true(self, node: Any, block: slice) -> Mask:
        """Where in a block a compiled node is true."""
        if isinstance(node, Test):
            return self._holds(node, block, node.value)
        kind, members = node
        if kind == "not":
            return self._false(members[0], block)
        return _joined(kind == "all", (self._true(member, block) for member in members), block)

    def _false(self, node: Any, block: slice) -> Mask:
        """Where it is false; where neither, it is unknown."""
        if isinstance(node, Test):
            return self._holds(node, block, not node.value)
        kind, members = node
        if kind == "not":
            return self._true(members[0], block)
        return _joined(kind == "any", (self._false(member, block) for member in members), block)

    def _holds(self, test: Test, block: slice, wanted: bool) -> Mask:
        column = self.snapshot.columns[test.place]
        codes, shown = column.codes[block], self.shown(test.place)[block]
        if test.matches is None:
            known = column.known(codes) & shown
            return ~known if wanted else known
        if wanted:
            return test.matches(codes) & shown
        return ~test.matches(codes) & column.known(codes) & shown

    def _test(self, asked: Condition) -> Test:
        place = PLACES[asked.indicator]
        column = self.snapshot.columns[place]
        if asked.operator == "missing":
            return Test(place, None, asked.value)
        if asked.operator == "top_percent":
            low = self._threshold(place, asked.value)
            return Test(place, _span(column, low, math.inf))
        if asked.operator == "in":
            return Test(place, _among(column, asked.value))
        if _TYPES[place] == "category":
            words = column.kind.words
            first = bisect_left(words, asked.value)
            last = first
            while last < len(words) and _fits(asked.operator, words[last], asked.value):
                last += 1
            return Test(place, _span(column, first, last - 1), asked.operator != "ne")
        return Test(place, _span(column, *_limits(asked)), asked.operator != "ne")

    def _threshold(self, place: int, percent: float) -> float:
        """The value from which the top share begins: of n the ceil(n x percent / 100) highest, and ties."""
        column = self.snapshot.columns[place]
        held = column.codes[self.shown(place) & column.known()]
        if not len(held):
            return math.inf
        most = max(1, math.ceil(len(held) * percent / 100))
        return float(column.values(np.partition(held, len(held) - most)[[len(held) - most]])[0])


def _limits(asked: Condition) -> tuple[float, float]:
    """The lowest and the highest value that fit; of `ne` those that do not."""
    value = asked.value
    match asked.operator:
        case "gte":
            return value, math.inf
        case "gt":
            return math.nextafter(value, math.inf), math.inf
        case "lte":
            return -math.inf, value
        case "lt":
            return -math.inf, math.nextafter(value, -math.inf)
        case "between":
            low, high = value
            return low, high
        case _:
            return value, value


def _fits(operator: str, word: str, sought: str) -> bool:
    return word.startswith(sought) if operator == "prefix" else word == sought


def _span(column: Column, low: float, high: float) -> Callable[[Codes], Mask]:
    return _within(column, *column.span(low, high))


def _within(column: Column, first: float, last: float) -> Callable[[Codes], Mask]:
    if first > last:
        return lambda codes: np.zeros(len(codes), np.bool_)
    if first == last:
        return lambda codes: codes == first
    if column.kind.type != FLOAT and last == np.iinfo(column.kind.type).max:
        return lambda codes: codes >= first
    return lambda codes: (codes >= first) & (codes <= last)


def _among(column: Column, wanted: Sequence[Any]) -> Callable[[Codes], Mask]:
    """Membership: of words by their ranks, of values by their codes; neighbours are compared as one span."""
    values: Sequence[float] = wanted
    if isinstance(wanted[0], str):
        values = [rank for rank, word in enumerate(column.kind.words) if word in set(wanted)]
    spans = (column.span(value, value) for value in values)
    codes_wanted = sorted({first for first, last in spans if first <= last})
    runs: list[list[float]] = []
    for code in codes_wanted:
        if runs and code == runs[-1][1] + 1 and column.kind.type != FLOAT:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    if len(runs) > MOST_RUNS:
        table = np.array(codes_wanted, column.codes.dtype)
        return lambda codes: np.isin(codes, table)
    tests = [_within(column, first, last) for first, last in runs] or [_within(column, 1, 0)]
    return lambda codes: reduce(np.logical_or, [test(codes) for test in tests])


def _joined(every: bool, masks: Iterator[Mask], block: slice) -> Mask:
    """All of the masks, or any of them; of none: everything, or nothing."""
    held = np.full(block.stop - block.start, every, np.bool_)
    for mask in masks:
        held = held & mask if every else held | mask
    return held


def _blocks(count: int) -> Iterator[slice]:
    for start in range(0, count, BLOCK_ROWS):
        yield slice(start, min(start + BLOCK_ROWS, count))
