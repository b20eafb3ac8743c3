# SPDX-License-Identifier: Apache-2.0
"""The folio's inside: records of one enterprise and one class, packed so that an answer is spliced, not built.

Plaintext, before encryption, is one zstd frame of

    u32   length of the header
    json  header: [[dataset, count, bytes, [[publication | null, count], …], ends], …] in dataset order;
          `ends`: 0, or the end of each record (`bureau.retention`); folios of an earlier version have none
    u32[] length of each record's JSON           (little-endian)
    u64[] identity of each record                (little-endian)
    bytes the records' JSON: within a dataset joined by commas, in the order of publication, then row

A record's *identity* is a hash of its source and key items (state and period datasets) or of its whole content
(events). Of records with one identity the latest delivered stands for all: so a registration is replaced by
the next, and a lawsuit delivered twice appears once. Nothing is dropped when stored, only when read, so an
answer as of an earlier publication stays what it was.

Pure: bytes in, bytes out. `vault` encrypts and stores.
"""

import sys
import threading
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, groupby, repeat
from operator import attrgetter
from typing import Any, NamedTuple

import orjson
import zstandard

from bureau import catalogue, retention
from bureau.retention import NOTHING_OVER, Cutoff

MAX_FOLIO_RECORDS = 4_096
MAX_PLAINTEXT_BYTES = 64 * 1024 * 1024
_LEVEL = 3
_LITTLE = sys.byteorder == "little"


class Entry(NamedTuple):
    """One record in a folio. `publication` is None until its batch is closed."""

    dataset: str
    publication: int | None
    identity: int
    body: bytes  # the record's JSON, keys sorted
    end: int = 0  # when its negative information ended (`bureau.retention`)


class Packet(NamedTuple):
    """What one chunk of a delivery brings for one enterprise and class: records, and the marks of their rows."""

    records: list[Entry]
    marks: "array[int]"

    def folios(self) -> "Iterator[Packet]":
        """The packet in pieces of at most MAX_FOLIO_RECORDS, in order."""
        for at in range(0, len(self.records), MAX_FOLIO_RECORDS):
            rows = slice(at, at + MAX_FOLIO_RECORDS)
            yield Packet(self.records[rows], self.marks[rows])


class Region(NamedTuple):
    """The records of one dataset in one opened folio."""

    dataset: str
    runs: Sequence[tuple[int | None, int]]  # (publication, count), in order; None stands for `publication`
    publication: int  # of the folio's batch: no record in it is newer
    lengths: Sequence[int]
    identities: Sequence[int]
    body: memoryview
    ends: Sequence[int] = ()  # empty: none has an end

    def entries(self) -> Iterator[Entry]:
        """Its records one by one."""
        numbered = ((self.publication if number is None else number, count) for number, count in self.runs)
        publications = (number for number, count in numbered for _ in range(count))
        ends = accumulate(length + 1 for length in self.lengths)
        rows = zip(publications, self.identities, self.lengths, ends, self.ends or repeat(0), strict=False)
        for publication, identity, length, stop, end in rows:
            yield Entry(self.dataset, publication, identity, bytes(self.body[stop - 1 - length : stop - 1]), end)


class Correction(NamedTuple):
    """What an overlay does to a record: replace some items (and their raw texts), mark it as disputed, or hide it."""

    kind: str  # "correction" | "dispute" | "withdrawal"
    items: Mapping[str, Any] | None = None
    raw: Mapping[str, str] | None = None
    event_date: str | None = None  # None: as it was


def first_end(records: Iterable[Entry]) -> int | None:
    """The first month (year × 12 + month) in which something ended that these records tell of a person, or None.

    It stands in clear beside the folio, so it says no more than retention has to know.
    """
    ends = [-record.end for record in records if record.end < 0]
    return retention.month_of(min(ends)) if ends else None


def pack(records: Iterable[Entry]) -> bytes:
    """A folio's plaintext. Records of a dataset keep the order in which they come (publication, then row)."""
    header, lengths, identities, bodies = [], array("I"), array("Q"), []
    for dataset, of_dataset in groupby(sorted(records, key=attrgetter("dataset")), key=attrgetter("dataset")):
        held = list(of_dataset)
        body = b",".join(record.body for record in held)
        runs = [[number, len(list(run))] for number, run in groupby(held, key=attrgetter("publication"))]
        ends = [record.end for record in held]
        header.append([dataset, len(held), len(body), runs, ends if any(ends) else 0])
        lengths.extend(len(record.body) for record in held)
        identities.extend(record.identity for record in held)
        bodies.append(body)
    head = orjson.dumps(header)
    columns = _little(lengths).tobytes() + _little(identities).tobytes()
    plaintext = len(head).to_bytes(4, "little") + head + columns + b"".join(bodies)
    return _codec().compressor.compress(plaintext)


def unpack(packed: bytes, publication: int) -> list[Region]:
    """The regions of a folio's plaintext; `publication` is that of its batch, where it does not name its own."""
    if zstandard.frame_content_size(packed) > MAX_PLAINTEXT_BYTES:
        raise ValueError(f"a folio may not be larger than {MAX_PLAINTEXT_BYTES} bytes")
    plaintext = _codec().decompressor.decompress(packed)
    size = int.from_bytes(plaintext[:4], "little")
    header = orjson.loads(plaintext[4 : 4 + size])
    total = sum(count for _, count, *_ in header)
    lengths, identities = array("I"), array("Q")
    lengths.frombytes(plaintext[4 + size : 4 + size + 4 * total])
    identities.frombytes(plaintext[4 + size + 4 * total : 4 + size + 12 * total])
    _little(lengths), _little(identities)
    regions, at, row, view = [], 4 + size + 12 * total, 0, memoryview(plaintext)
    for dataset, count, width, runs, *ends in header:
        rows, body = slice(row, row + count), view[at : at + width]
        known = ends[0] or () if ends else _ends(dataset, body)
        regions.append(Region(dataset, runs, publication, lengths[rows], identities[rows], body, known))
        at, row = at + width, row + count
    return regions


def splice(
    regions: Iterable[Region],
    as_of: int,
    corrections: Mapping[str, Sequence[Correction]],
    cutoff: Cutoff = NOTHING_OVER,
) -> Iterator[tuple[str, int, Sequence[bytes | memoryview]]]:
    """The records that stand as of a publication, their time not over: (dataset, count, pieces of JSON), by dataset.

    A piece is one record or many joined by commas; the pieces too are to be joined by commas, once.
    `regions` come in order of publication; `corrections` by record id, in the order in which they were laid.
    """
    by_dataset: dict[str, list[Region]] = {}
    for region in regions:
        by_dataset.setdefault(region.dataset, []).append(region)
    touched = {record_id.rsplit(".", 2)[-2] + "." + record_id.rsplit(".", 2)[-1] for record_id in corrections}
    for dataset, held in sorted(by_dataset.items()):
        if dataset not in touched and _stand_whole(held, as_of, cutoff):
            yield dataset, sum(len(region.lengths) for region in held), [region.body for region in held]
            continue
        standing = _standing(held, as_of)
        if dataset in touched:
            standing = [one for one in (_corrected(one, corrections) for one in standing) if one is not None]
        if bodies := [one.body for one in standing if not cutoff.is_over(one.end)]:
            yield dataset, len(bodies), bodies


def _stand_whole(held: list[Region], as_of: int, cutoff: Cutoff) -> bool:
    """Whether every record stands: published by then, not over, and no two with one identity (the common case)."""
    if any(region.publication > as_of or any(map(cutoff.is_over, region.ends)) for region in held):
        return False
    distinct: set[int] = set()
    for region in held:
        distinct.update(region.identities)
    return len(distinct) == sum(len(region.identities) for region in held)


def _standing(held: list[Region], as_of: int) -> list[Entry]:
    latest: dict[int, Entry] = {}
    for region in held:
        for record in region.entries():
            if record.publication is not None and record.publication <= as_of:
                latest.pop(record.identity, None)  # so that the latest also takes the latest's place
                latest[record.identity] = record
    return list(latest.values())


def laid_over(record: Mapping[str, Any], corrections: Iterable[Correction]) -> dict[str, Any] | None:
    """A record with all that was laid over it, in that order; None where it was withdrawn."""
    shown = dict(record)
    for correction in corrections:
        if correction.kind == "withdrawal":
            return None
        if correction.kind == "dispute":
            shown["disputed"] = True
            continue
        items = correction.items or {}
        kept = {name: text for name, text in shown.pop("raw", {}).items() if name not in items}
        if raw := kept | dict(correction.raw or {}):
            shown["raw"] = raw
        shown["items"] = {**shown["items"], **items}
        shown["event_date"] = correction.event_date or shown["event_date"]
        shown["corrected"] = True
    return shown


def end_under(one: Entry, corrections: Mapping[str, Sequence[Correction]]) -> int:
    """A record's end with what lies over it; of a withdrawn one as it was delivered."""
    corrected = _corrected(one, corrections)
    return corrected.end if corrected else one.end


def _corrected(one: Entry, corrections: Mapping[str, Sequence[Correction]]) -> Entry | None:
    record = orjson.loads(one.body)
    if record["id"] not in corrections:
        return one
    shown = laid_over(record, corrections[record["id"]])
    if shown is None:
        return None
    dataset = catalogue.current().datasets.get(one.dataset)
    end = retention.end_of(dataset, shown["event_date"], shown["items"]) if dataset else 0
    return one._replace(body=orjson.dumps(shown, option=orjson.OPT_SORT_KEYS), end=end)


def _ends(dataset: str, body: memoryview) -> Sequence[int]:
    """The ends of records whose folio does not tell them, having been packed by an earlier version."""
    known = catalogue.current().datasets.get(dataset)
    if known is None or dataset not in retention.current().ends:
        return ()
    records = orjson.loads(b"".join((b"[", body, b"]")))
    ends = [retention.end_of(known, record["event_date"], record["items"]) for record in records]
    return ends if any(ends) else ()


def pack_correction(record_id: str, correction: Correction) -> bytes:
    """What an overlay holds, before encryption."""
    told = {name: value for name, value in correction._asdict().items() if value is not None}
    return orjson.dumps({"record": record_id, **told}, option=orjson.OPT_SORT_KEYS)


def unpack_correction(content: bytes) -> tuple[str, Correction]:
    """The record that an overlay lies on, and what it does to it."""
    told = orjson.loads(content)
    return told.pop("record"), Correction(**told)


class _Codec(threading.local):
    """zstd contexts, one pair a thread: shared between threads they corrupt memory."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=False)
        self.decompressor = zstandard.ZstdDecompressor()


_codecs = _Codec()


def _codec() -> _Codec:
    return _codecs


def _little(numbers: "array[int]") -> "array[int]":
    if not _LITTLE:
        numbers.byteswap()
    return numbers
