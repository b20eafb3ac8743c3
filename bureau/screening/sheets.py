# SPDX-License-Identifier: Apache-2.0
"""How the index is stored: sheets of some enterprises each, with all their indicators. Pure: values in, bytes out.

A sheet is computed, encrypted, written and, for a shredding, cut by itself; a version of the index is a build's
sheets with those of its patches laid over, the newest last. Plaintext, before encryption, is one zstd frame of a
header (JSON, a line) and the codes of its columns one after the other. Columns bear their indicator's code, so that
an index written by another version of the catalogue opens: what it does not have reads as missing.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
import zstandard
from numpy.typing import NDArray

from bureau import catalogue, indicators
from bureau.indicators import Value
from bureau.screening import columns
from bureau.screening.columns import FLOAT, Column, Kind, Layout, Numbers

_LEVEL = 3


@dataclass(frozen=True, slots=True)
class Row:
    """An enterprise as it was computed; `collecting`: it lets the bureau collect what needs its consent."""

    uscc: str
    name: str | None
    collecting: bool
    values: Sequence[Value]


@dataclass(frozen=True, slots=True)
class Sheet:
    """Some enterprises. `supplied`: the datasets that they have records of; `gone`: who is taken off the index."""

    usccs: Sequence[str]
    names: Sequence[str | None]
    collecting: NDArray[np.bool_]
    columns: Mapping[str, Column]
    supplied: frozenset[str]
    gone: tuple[str, ...] = ()


def sheet_of(rows: Sequence[Row], supplied: Collection[str], gone: Iterable[str] = ()) -> Sheet:
    """A sheet of computed rows."""
    held = {}
    for place, each in enumerate(indicators.ALL.values()):
        values: list[Any] = [row.values[place] for row in rows]
        if each.type == "category":
            ranks, words = columns.words_of(values)
            held[each.code] = columns.column_of(ranks, words)
        else:
            held[each.code] = columns.column_of(np.array(values, np.float64))
    collecting = np.array([row.collecting for row in rows], np.bool_)
    return Sheet(
        [row.uscc for row in rows],
        [row.name for row in rows],
        collecting,
        held,
        frozenset(supplied),
        tuple(sorted(gone)),
    )


def without(sheet: Sheet, usccs: Collection[str]) -> Sheet:
    """The sheet as if some enterprises had never been in it."""
    kept = [place for place, uscc in enumerate(sheet.usccs) if uscc not in usccs]
    held = {}
    for code, column in sheet.columns.items():
        values, words = column.values()[kept], column.kind.words
        if words:
            some = [None if np.isnan(rank) else words[int(rank)] for rank in values]
            values, words = columns.words_of(some)
        held[code] = columns.column_of(values, words)
    return Sheet(
        [sheet.usccs[place] for place in kept],
        [sheet.names[place] for place in kept],
        sheet.collecting[kept],
        held,
        sheet.supplied,
        tuple(uscc for uscc in sheet.gone if uscc not in usccs),
    )


def packed(sheet: Sheet) -> bytes:
    """A sheet's plaintext."""
    header = {
        "usccs": sheet.usccs,
        "names": sheet.names,
        "collecting": sheet.collecting.tolist(),
        "supplied": sorted(sheet.supplied),
        "gone": sheet.gone,
        "columns": [[code, c.kind.type, c.kind.scale, c.kind.words] for code, c in sheet.columns.items()],
    }
    codes = b"".join(column.codes.tobytes() for column in sheet.columns.values())
    return zstandard.compress(orjson.dumps(header) + b"\n" + codes, _LEVEL)


def unpacked(plaintext: bytes) -> Sheet:
    """The sheet of a plaintext."""
    whole = zstandard.decompress(plaintext)
    line, _, _ = whole.partition(b"\n")
    header, at, held = orjson.loads(line), len(line) + 1, {}
    count = len(header["usccs"])
    for code, name, scale, words in header["columns"]:
        kind = Kind(name, scale, tuple(words))
        held[code] = Column(np.frombuffer(whole, f"<{name}", count, at), kind)
        at += count * int(name[1])
    collecting = np.array(header["collecting"], np.bool_)
    return Sheet(
        header["usccs"], header["names"], collecting, held, frozenset(header["supplied"]), tuple(header["gone"])
    )


Allocate = Callable[[int], memoryview]


def assemble(read: Callable[[], Iterator[Sheet]], head: Mapping[str, Any], allocate: Allocate) -> int:
    """Put a version's sheets together in a snapshot's memory, one at a time. Returns how many enterprises.

    `read` gives the sheets in order, each time anew: once to learn how wide the columns are, once to fill them in.
    `allocate` gives memory of a size, all zeros.
    """
    known = _Known()
    for sheet in read():
        known.see(sheet)
    usccs, names = known.enterprises()
    kinds = known.kinds()
    text = [(name or "").encode() for name in names]
    where = columns.lay_out(dict(head), len(usccs), sum(map(len, text)), kinds)
    memory = allocate(where.size)
    memory[: 8 + len(where.header)] = len(where.header).to_bytes(8, "little") + where.header
    count = len(usccs)
    np.frombuffer(memory, f"S{columns.USCC_BYTES}", count, where.usccs)[:] = usccs
    np.frombuffer(memory, "<u4", count, where.ends)[:] = np.cumsum([len(each) for each in text], dtype=np.uint32)
    joined = b"".join(text)
    memory[where.text : where.text + len(joined)] = joined
    _fill(memory, where, usccs, kinds, read, known.supplied)
    return count


def _fill(
    memory: memoryview,
    where: Layout,
    usccs: NDArray[np.bytes_],
    kinds: Sequence[Kind],
    read: Callable[[], Iterator[Sheet]],
    supplied: Collection[str],
) -> None:
    arrays = [
        np.frombuffer(memory, f"<{kind.type}", len(usccs), at) for kind, at in zip(kinds, where.columns, strict=True)
    ]
    for array, kind in zip(arrays, kinds, strict=True):
        array[:] = kind.missing
    ranks = [{word: rank for rank, word in enumerate(kind.words)} for kind in kinds]
    lenders = {each.code for each in catalogue.current().datasets.values() if each.source_kind == "lender"}
    for sheet in read():
        rows = columns.places(usccs, np.array(sheet.usccs, f"S{columns.USCC_BYTES}"))
        here = rows >= 0
        for place, each in enumerate(indicators.ALL.values()):
            column, kind = sheet.columns.get(each.code), kinds[place]
            if column is None:
                arrays[place][rows[here]] = kind.missing
                continue
            values = column.values()
            if column.kind.words:
                moved = np.array([ranks[place][word] for word in column.kind.words], np.float64)
                values[~np.isnan(values)] = moved[values[~np.isnan(values)].astype(np.intp)]
            settle(values, each, sheet.collecting, supplied, lenders)
            arrays[place][rows[here]] = columns.encoded(values[here], kind)


def settle(
    values: Numbers,
    indicator: indicators.Indicator,
    collecting: NDArray[np.bool_],
    supplied: Collection[str],
    lenders: Collection[str],
) -> None:
    """Take back, in place, the zeros of a count whose dataset is not supplied: of what nobody tells, nothing is known.

    `supplied`: the datasets of which the bureau has a record of anyone; what a lender supplies counts only for
    enterprises that let the bureau collect (else no lender may tell, 条例 Art. 29(2)).
    """
    presumed = indicator.rule.presumes
    if presumed is None:
        return
    if presumed not in supplied:
        values[values == 0] = np.nan
    elif presumed in lenders:
        values[(values == 0) & ~collecting] = np.nan


@dataclass
class _Known:
    """What a first reading of the sheets tells: who is on the index, and within which bounds each column lies."""

    usccs: list[NDArray[np.bytes_]] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    stays: list[NDArray[np.bool_]] = field(default_factory=list)
    supplied: set[str] = field(default_factory=set)
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)
    scales: dict[str, int | None] = field(default_factory=dict)
    words: dict[str, set[str]] = field(default_factory=dict)

    def see(self, sheet: Sheet) -> None:
        self.usccs.append(np.array([*sheet.usccs, *sheet.gone], f"S{columns.USCC_BYTES}"))
        self.names += [*sheet.names, *(None for _ in sheet.gone)]
        self.stays.append(np.arange(len(sheet.usccs) + len(sheet.gone)) < len(sheet.usccs))
        self.supplied |= sheet.supplied
        for code, column in sheet.columns.items():
            known = column.codes[column.known()]
            self.words.setdefault(code, set()).update(column.kind.words)
            if not len(known):
                continue
            low, high = (float(each) / column.kind.scale for each in (known.min(), known.max()))
            lowest, highest = self.bounds.get(code, (low, high))
            self.bounds[code] = min(low, lowest), max(high, highest)
            scale = columns.scale_of(known) if column.kind.type == FLOAT else column.kind.scale
            earlier = self.scales.get(code, 1)
            self.scales[code] = None if scale is None or earlier is None else max(scale, earlier)

    def enterprises(self) -> tuple[NDArray[np.bytes_], list[str | None]]:
        """Who is on the index, in order, with the name that was written last."""
        if not self.usccs:
            return np.zeros(0, f"S{columns.USCC_BYTES}"), []
        usccs, stays = np.concatenate(self.usccs), np.concatenate(self.stays)
        order = np.argsort(usccs, kind="stable")
        ordered = usccs[order]
        last = np.append(ordered[1:] != ordered[:-1], True) if len(ordered) else np.zeros(0, np.bool_)
        kept = order[last & stays[order]]
        return usccs[kept], [self.names[place] for place in kept]

    def kinds(self) -> list[Kind]:
        found = []
        for code, each in indicators.ALL.items():
            words = tuple(sorted(self.words.get(code, ()))) if each.type == "category" else ()
            if words:
                found.append(columns.kind_of(1, 0, len(words) - 1, words))
                continue
            low, high = self.bounds.get(code, (0.0, 0.0))
            found.append(columns.kind_of(self.scales.get(code, 1), low, high, words))
        return found
