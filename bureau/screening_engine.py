# SPDX-License-Identifier: Apache-2.0
"""Screening over columns: masks, three-valued, exact. Pure: a snapshot, what is visible, conditions in; rows out.

A condition on a missing value is unknown, also under `not` and `ne`; only true matches; `missing` is always decided.
An indicator reads as missing unless all its source classes lie within the enterprise's consent.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bureau import indicators
from bureau.screening_terms import Condition, Group, Node, Sort

Mask = NDArray[np.bool_]
Numbers = NDArray[np.float64]
Classes = NDArray[np.uint8]  # per row: bit n where class n is consented, 0 hides it
FACET_VALUES = 20
PLACES = {code: place for place, code in enumerate(indicators.ALL)}
_NEEDS = [sum(1 << number for number in each.source_classes) for each in indicators.ALL.values()]
_TYPES = [each.type for each in indicators.ALL.values()]


@dataclass(frozen=True)
class Snapshot:
    """Every enterprise by USCC, and a column for each indicator: NaN is missing, a category the rank of its word."""

    version: int
    publication: int
    time: datetime
    usccs: Sequence[str]
    names: Sequence[str | None]
    columns: Sequence[Numbers]
    words: Sequence[Sequence[str]]
    places: dict[str, int] = field(default_factory=dict)


class View:
    """A snapshot as one institution may see it: `covered` holds bit n where class n is consented, 0 hides the row."""

    def __init__(self, snapshot: Snapshot, covered: Classes) -> None:
        self.snapshot = snapshot
        self.visible: Mask = covered != 0
        self._covered = covered
        self._read: dict[int, Numbers] = {}

    def column(self, code: str) -> Numbers:
        place = PLACES[code]
        if place not in self._read:
            shown = (self._covered & _NEEDS[place]) == _NEEDS[place]
            self._read[place] = np.where(shown, self.snapshot.columns[place], np.nan)
        return self._read[place]

    def matches(self, node: Node) -> Mask:
        """The rows for which `node` is true."""
        return self._judge(node)[0] & self.visible

    def without(self, node: Node) -> tuple[Mask, list[tuple[str, int]]]:
        """The matches, and for each of the outermost conditions its path and how many match without it."""
        if not (isinstance(node, Group) and node.kind == "all"):
            path = node.kind if isinstance(node, Group) else "where"
            return self.matches(node), [(path, int(self.visible.sum()))]
        masks = [self._judge(member)[0] for member in node.members]
        missed = sum((~mask for mask in masks), np.zeros(len(self.visible), np.int16))
        matched = (missed == 0) & self.visible
        left = [int((((missed == 0) | ((missed == 1) & ~mask)) & self.visible).sum()) for mask in masks]
        return matched, [(f"all/{n}", count) for n, count in enumerate(left)]

    def order(self, matched: Mask, sort: Sequence[Sort], after: "Sequence[float] | None") -> NDArray[np.intp]:
        """The matched rows in order, missing values last, ties by USCC; only those behind `after` (a row's `key`)."""
        rows = np.flatnonzero(matched)
        keys = [self._sort_key(each)[rows] for each in sort] + [rows.astype(np.float64)]
        if after is not None:
            behind = np.zeros(len(rows), np.bool_)
            same = np.ones(len(rows), np.bool_)
            for key, last in zip(keys, after, strict=True):
                behind |= same & (key > last)
                same &= key == last
            rows, keys = rows[behind], [key[behind] for key in keys]
        return rows[np.lexsort(keys[::-1])]

    def key(self, row: int, sort: Sequence[Sort]) -> list[float]:
        """Where a row stands in an order."""
        return [float(self._sort_key(each)[row]) for each in sort] + [float(row)]

    def value(self, code: str, row: int) -> Any:
        """What an indicator says of a row, as JSON has it; None: missing."""
        held, kind = float(self.column(code)[row]), _TYPES[PLACES[code]]
        if math.isnan(held):
            return None
        if kind == "category":
            return self.snapshot.words[PLACES[code]][int(held)]
        if kind == "boolean":
            return held == 1
        if kind == "date":
            return date.fromordinal(int(held)).isoformat()
        return int(held) if kind == "integer" else held

    def facets(self, matched: Mask, codes: Sequence[str]) -> dict[str, dict[str, list[dict[str, Any]]]]:
        """How the matches spread over categories, by class of indicator: the most frequent values first."""
        found: dict[str, dict[str, list[dict[str, Any]]]] = {}
        for code in codes:
            held = self.column(code)[matched]
            words = self.snapshot.words[PLACES[code]]
            counts = np.bincount(held[~np.isnan(held)].astype(np.intp), minlength=len(words))
            best = [int(rank) for rank in np.argsort(-counts, kind="stable")[:FACET_VALUES] if counts[rank]]
            values = [{"value": words[rank], "count": int(counts[rank])} for rank in best]
            found.setdefault(str(indicators.ALL[code].number), {})[code] = values
        return found

    def _sort_key(self, sort: Sort) -> Numbers:
        column = self.column(sort.indicator)
        key: Numbers = np.where(np.isnan(column), np.inf, -column if sort.desc else column)
        return key

    def _judge(self, node: Node) -> tuple[Mask, Mask]:
        """Where a node is true, and where it is false; elsewhere it is unknown."""
        if isinstance(node, Condition):
            return self._compare(node)
        judged = [self._judge(member) for member in node.members]
        if node.kind == "not":
            return judged[0][1], judged[0][0]
        nothing, everything = np.zeros(len(self.visible), np.bool_), np.ones(len(self.visible), np.bool_)
        if node.kind == "all":
            yes, no = everything, nothing
            for true, false in judged:
                yes, no = yes & true, no | false
        else:
            yes, no = nothing, everything
            for true, false in judged:
                yes, no = yes | true, no & false
        return yes, no

    def _compare(self, asked: Condition) -> tuple[Mask, Mask]:
        column = self.column(asked.indicator)
        known = ~np.isnan(column)
        if asked.operator == "missing":
            return (~known, known) if asked.value else (known, ~known)
        if asked.operator == "top_percent":
            true = known & (column >= self._threshold(column[known & self.visible], asked.value))
        elif _TYPES[PLACES[asked.indicator]] == "category":
            true = known & self._words_hold(asked, column)
        else:
            true = known & _numbers_hold(asked, column)
        return true, known & ~true

    def _words_hold(self, asked: Condition, column: Numbers) -> Mask:
        wanted = asked.value if asked.operator == "in" else (asked.value,)
        words = self.snapshot.words[PLACES[asked.indicator]]
        if asked.operator == "prefix":
            fits = [word.startswith(asked.value) for word in words]
        else:
            fits = [(word in wanted) != (asked.operator == "ne") for word in words]
        table = np.array([*fits, False], np.bool_)
        ranks = np.where(np.isnan(column), len(words), column).astype(np.intp)
        held: Mask = table[ranks]
        return held

    @staticmethod
    def _threshold(values: Numbers, percent: float) -> float:
        """The value from which the top share begins: of n the ceil(n x percent / 100) highest, and ties."""
        if not len(values):
            return math.inf
        most = max(1, math.ceil(len(values) * percent / 100))
        return float(np.partition(values, len(values) - most)[len(values) - most])


def _numbers_hold(asked: Condition, column: Numbers) -> Mask:
    value = asked.value
    with np.errstate(invalid="ignore"):
        held: Mask
        match asked.operator:
            case "eq":
                held = column == value
            case "ne":
                held = column != value
            case "in":
                held = np.isin(column, value)
            case "gte":
                held = column >= value
            case "gt":
                held = column > value
            case "lte":
                held = column <= value
            case "lt":
                held = column < value
            case _:
                held = (column >= value[0]) & (column <= value[1])
    return held
