# SPDX-License-Identifier: Apache-2.0
"""Accepted rows as records, packed by enterprise and class as the vault stores them, each with the mark of its row."""

from array import array
from collections.abc import Mapping, Sequence

import orjson
from sqlalchemy import Connection

from bureau import identities, retention
from bureau.catalogue import Catalogue, Dataset
from bureau.folios import Entry, Packet
from bureau.identities import mark_of
from bureau.judging import Accepted
from bureau.models import folio
from kernel import bulk


def pack(
    accepted: Sequence[Accepted], source: str, batch: int, received_at: str, known: Catalogue
) -> dict[tuple[str, int], Packet]:
    """The accepted rows of a batch as records, by enterprise and class."""
    packets: dict[tuple[str, int], Packet] = {}
    for one in accepted:
        row, dataset = one.row, known.datasets[one.row.dataset]
        event_date = orjson.dumps(row.event_date)
        content = mark_of(source, dataset.code, row.uscc, event_date, one.items_json)
        raw = b'"raw":%b,' % one.raw_json if one.raw_json else b""
        body = b'{"event_date":%b,"id":"%d.%d.%b","items":%b,%b"received_at":"%b","source":"%b"}' % (
            event_date,
            batch,
            row.number,
            dataset.code.encode(),
            one.items_json,
            raw,
            received_at.encode(),
            source.encode(),
        )
        identity = _identity(one, dataset, source, content)
        place = row.uscc, dataset.class_number
        packet = packets.get(place) or packets.setdefault(place, Packet([], array("Q")))
        end = retention.end_of(dataset, row.event_date, one.items)
        packet.records.append(Entry(dataset.code, None, identity, body, end))
        packet.marks.append(content)
    return packets


def count_repeats(tx: Connection, packets: Mapping[tuple[str, int], Packet]) -> int:
    """How many of these rows were delivered before, in this batch or an earlier one."""
    usccs, numbers = {uscc for uscc, _ in packets}, sorted({number for _, number in packets})
    of_these = bulk.among(tx, folio.c.uscc, usccs), folio.c["class"].in_(numbers)
    # One statement for all classes: whichever it reads too many of, a mark is that of one dataset's row.
    seen = set(array("Q", bulk.joined(tx, folio.c.marks, *of_these)))
    repeated = 0
    for _, marks in packets.values():
        for mark in marks:
            repeated += mark in seen
            seen.add(mark)
    return repeated


def _identity(one: Accepted, dataset: Dataset, source: str, content: int) -> int:
    if dataset.kind == "event":
        return content
    return identities.of_key(dataset, source, one.row.event_date, one.items)
