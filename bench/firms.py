# SPDX-License-Identifier: Apache-2.0
"""Enterprises drawn at random, a fifth of their values missing, as each side that screens them has them."""

import itertools
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bureau import indicators
from bureau.screening import columns
from bureau.screening.columns import Column, Snapshot
from kernel import clock, uscc

COLUMNS = 120
WORDS = {"INDUSTRY.SECTION": "ABCDEFGHIJKLMNOPQRST", "TAX.GRADE": "ABMCD"}


@dataclass(frozen=True)
class Firms:
    """The rows as each side has them."""

    snapshot: Snapshot
    classes: NDArray[np.uint8]
    frame: pl.DataFrame


def drawn(count: int, asked: Collection[str]) -> Firms:
    """So many of them, always the same, with values of the indicators `asked` for and of the first COLUMNS."""
    chance = np.random.default_rng(20261125)
    usccs = _usccs(count)
    held: list[Column] = []
    frame: dict[str, Any] = {"uscc": usccs}
    for place, each in enumerate(indicators.ALL.values()):
        kept = each.code in asked or place < COLUMNS
        missing = chance.random(count) < (0.2 if kept else 1)
        if each.type == "category":
            words = sorted(WORDS.get(each.code, [f"{3205 + n // 12}{n:02}" for n in range(40)]))
            # The first words are the most frequent, as sections, grades and districts of a city are.
            drawn = np.minimum(chance.geometric(0.15, count) - 1, len(words) - 1)
            ranks = np.where(missing, np.nan, drawn)
            held.append(columns.column_of(ranks, words))
            values: Any = [None if np.isnan(rank) else words[int(rank)] for rank in ranks]
        else:
            numbers = np.where(missing, np.nan, _numbers(each, count, chance))
            held.append(columns.column_of(numbers))
            values = pl.Series(numbers).fill_nan(None)
        if kept:
            frame[each.code] = values
    classes = masks_of(count, chance)
    frame["classes"] = classes.astype(np.int16)
    snapshot = Snapshot(1, 0, 0, clock.now(), np.array(usccs, "S18"), usccs, held)
    return Firms(snapshot, classes, pl.DataFrame(frame))


def enlarged(firms: Firms, count: int) -> Firms:
    """The same rows again and again: only what is compared matters here, so codes repeat."""
    times = -(-count // len(firms.snapshot))
    held = [Column(np.tile(each.codes, times)[:count], each.kind) for each in firms.snapshot.columns]
    snapshot = Snapshot(1, 0, 0, firms.snapshot.time, np.zeros(count, "S18"), [], held)
    return Firms(snapshot, np.tile(firms.classes, times)[:count], firms.frame)


def masks_of(count: int, chance: np.random.Generator) -> NDArray[np.uint8]:
    """What each enterprise lets the bank see: nine in ten something, six in ten all."""
    everything, without_lenders, without_courts, little = 0b11111110, 0b11110110, 0b01111110, 0b00000110
    sets = np.array([0, *[everything] * 6, without_lenders, without_courts, little], np.uint8)
    return sets[chance.integers(0, len(sets), count)]


def _usccs(count: int) -> list[str]:
    heads = (f"91320599MA{n:07}" for n in itertools.count())
    return sorted(head + uscc.check_symbol(head) for head in itertools.islice(heads, count))


def _numbers(each: indicators.Indicator, count: int, chance: np.random.Generator) -> NDArray[np.float64]:
    """Values such as an indicator of its kind has."""
    if each.type == "boolean":
        return (chance.random(count) < 0.1).astype(np.float64)
    if each.type == "date":
        return chance.integers(727_000, 740_000, count).astype(np.float64)
    if each.unit == "CNY fen":
        return np.rint(np.exp(chance.normal(18, 2.5, count)))
    if each.unit == "years":
        return np.round(chance.uniform(0, 30, count), 2)
    if each.type == "integer":
        return np.floor(chance.exponential(0.6 if each.code.startswith("RISK") else 40, count))
    return np.round(chance.normal(20, 35, count), 2)
