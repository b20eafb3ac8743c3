# SPDX-License-Identifier: Apache-2.0
"""The screening index: every enterprise's indicators as columns, encrypted at rest, numbered, swapped at a commit.

A build reads every dossier, then writes all columns in one transaction under a new number; the one before stays, so
that cursors which are open can be finished. A worker opens a snapshot once and keeps it in memory.
"""

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
import orjson
import zstandard
from sqlalchemy import Connection, delete, func, insert, select

from bureau import catalogue, indicators, publications, vault
from bureau.indicators import Value
from bureau.models import data_key, publication_head, screening_column, screening_snapshot
from bureau.models import publication as publications_table
from bureau.screening_engine import Snapshot
from consent.models import consent as consents
from consent.question import CLASSES
from kernel import clock, db, keys
from kernel.errors import Conflict, Gone, Unavailable

KEPT = 2  # snapshots: the current one, and the one that open cursors may still need
HEAD = -1  # the place of the enterprises themselves
USCCS_AT_ONCE = 500


def build(tell: Callable[[int], None] = lambda done: None) -> int:
    """Compute every indicator of every enterprise and make that the current snapshot. Returns how many enterprises."""
    now = clock.now()
    usccs: list[str] = []
    names: list[str | None] = []
    rows: list[list[Value]] = []
    with db.reading() as reading:
        publication, collecting = publications.latest(reading), _collecting(reading, now)
    supplied: set[str] = set()
    for some in _enterprises():
        with db.reading() as reading:
            for uscc in some:
                dossier = vault.open_dossier(reading, uscc, CLASSES, publication)
                facts = indicators.facts_of(dossier, clock.legal_day(now))
                supplied.update(facts.records)
                usccs.append(uscc)
                names.append(dossier.name)
                rows.append(indicators.compute(facts))
        tell(len(usccs))
    lenders = {each.code for each in catalogue.current().datasets.values() if each.source_kind == "lender"}
    settled = [
        indicators.settle(row, supplied if uscc in collecting else supplied - lenders)
        for uscc, row in zip(usccs, rows, strict=True)
    ]
    _write(usccs, names, settled, publication, now)
    return len(usccs)


def current(reading: Connection, version: int | None = None) -> Snapshot:
    """The newest snapshot, or an earlier one that is still kept.

    Raises Unavailable (`no-screening-index`) before the first build, Gone where the earlier one is no longer kept.
    """
    sought = select(screening_snapshot).order_by(screening_snapshot.c.version.desc()).limit(1)
    if version is not None:
        sought = sought.where(screening_snapshot.c.version == version)
    head = reading.execute(sought).one_or_none()
    if head is None and version is not None:
        raise Gone("the screening index has moved on: start the screening anew", slug="snapshot-gone")
    if head is None:
        raise Unavailable("there is no screening index yet: run `bureau index`", slug="no-screening-index")
    with _lock:
        held = _held.get((head.version, head.time))
        if held is None:
            held = _held[head.version, head.time] = _open(reading, head)
            for old in list(_held)[:-KEPT]:
                del _held[old]
    return held


def forget(tx: Connection) -> None:
    """Destroy every snapshot: an enterprise that is shredded stands in all of them. The caller commits."""
    tx.execute(delete(screening_column))
    tx.execute(delete(screening_snapshot))


def _enterprises() -> Iterator[Sequence[str]]:
    """All enterprises of which anything is on file, in order of USCC."""
    after = ""
    while True:
        page = select(data_key.c.uscc).where(data_key.c.uscc > after).distinct().order_by(data_key.c.uscc)
        with db.reading() as reading:
            some = list(reading.scalars(page.limit(USCCS_AT_ONCE)))
        if not some:
            return
        yield some
        after = some[-1]


def _collecting(reading: Connection, now: datetime) -> set[str]:
    """The enterprises that let the bureau collect what needs their consent."""
    deciding = select(consents.c.uscc).where(
        consents.c.deciding,
        consents.c.scope == "collect",
        consents.c.status == "active",
        consents.c.not_before <= now,
        consents.c.expires_at.is_(None) | (consents.c.expires_at > now),
    )
    return set(reading.scalars(deciding))


def _write(
    usccs: Sequence[str], names: Sequence[str | None], rows: Sequence[Sequence[Value]], publication: int, now: datetime
) -> None:
    with db.transaction() as tx:
        # The lock under which publications are numbered also numbers snapshots, and keeps shredding off.
        publications.wait_in_line(tx)
        tx.execute(select(publication_head.c.number).with_for_update())
        shredded = select(publications_table.c.number).where(
            publications_table.c.number > publication, publications_table.c.kind == "shred"
        )
        if tx.scalar(shredded.limit(1)) is not None:
            raise Conflict("an enterprise was shredded meanwhile: build the index again", slug="shredded-meanwhile")
        version = (tx.scalar(select(func.max(screening_snapshot.c.version))) or 0) + 1
        tx.execute(
            insert(screening_snapshot).values(version=version, publication=publication, time=now, count=len(usccs))
        )
        head = orjson.dumps([usccs, names])
        held = [(HEAD, head), *((place, _packed([row[place] for row in rows])) for place in range(len(indicators.ALL)))]
        key = keys.purpose("screening")
        tx.execute(
            insert(screening_column),
            [
                {
                    "version": version,
                    "code": _code(place),
                    "ciphertext": key.encrypt(zstandard.compress(plain), _bound_to(version, _code(place))),
                }
                for place, plain in held
            ],
        )
        old = version - KEPT
        tx.execute(delete(screening_column).where(screening_column.c.version <= old))
        tx.execute(delete(screening_snapshot).where(screening_snapshot.c.version <= old))


def _packed(values: Sequence[Value]) -> bytes:
    """A column: a line of JSON with the words of a category, in order, then little-endian float64."""
    words = sorted({value for value in values if isinstance(value, str)})
    ranks = {word: float(rank) for rank, word in enumerate(words)}
    numbers = [math.nan if value is None else ranks[value] if isinstance(value, str) else value for value in values]
    return orjson.dumps(words) + b"\n" + np.array(numbers, "<f8").tobytes()


def _open(reading: Connection, head: Any) -> Snapshot:
    version = head.version
    stored = select(screening_column.c.code, screening_column.c.ciphertext).where(screening_column.c.version == version)
    key = keys.purpose("screening")
    plain = {
        row.code: zstandard.decompress(key.decrypt(row.ciphertext, _bound_to(version, row.code)))
        for row in reading.execute(stored)
    }
    usccs, names = orjson.loads(plain[_code(HEAD)])
    nothing = orjson.dumps([]) + b"\n" + np.full(head.count, np.nan, "<f8").tobytes()
    columns, words = [], []
    for code in indicators.ALL:
        said, _, numbers = plain.get(code, nothing).partition(b"\n")  # one that came with a later version: missing
        columns.append(np.frombuffer(numbers, "<f8"))
        words.append(orjson.loads(said))
    places = {uscc: row for row, uscc in enumerate(usccs)}
    return Snapshot(version, head.publication, head.time, usccs, names, columns, words, places)


@lru_cache
def _code(place: int) -> str:
    return "enterprises" if place == HEAD else list(indicators.ALL)[place]


def _bound_to(version: int, code: str) -> bytes:
    return f"screening\0{version}\0{code}".encode()


_lock = threading.Lock()
_held: dict[tuple[int, datetime], Snapshot] = {}
