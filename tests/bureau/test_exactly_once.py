# SPDX-License-Identifier: Apache-2.0
"""Whatever way deliveries come (again, overlapping, cut off, one amid the other), each row counts exactly once.

A naive oracle hears what was delivered whole, in the order in which it was published, and says what an answer as of
every publication must show; it knows nothing of folios, chunks, overlays or compaction.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from bureau import compaction, holdings, intake, open_batches
from bureau.folios import Correction
from bureau.models import batch as batches
from bureau.models import open_batch
from bureau.open_batches import Receipt
from bureau.records import Row
from consent.question import CLASSES
from kernel import clock, db
from tests import factories
from tests.bureau.histories import History, Laid, Told, _identity, answer, case_filed, electricity, expected_record
from tests.conftest import House
from tests.factories import new_uscc, registration

MONTHS = ("2024-01", "2024-02")
_numbers = itertools.count(2**200)  # examples share a house
CUT = ("after a chunk", "in a chunk", "at the close")


class PowerCut(Exception):
    pass


@dataclass
class File:
    """One delivery: its rows, and whether it came through whole already."""

    digest: str
    rows: list[Row]
    receipt: Receipt | None = None
    judged: dict[int, tuple[int, int]] = field(default_factory=dict)  # row → records and overlays published by then


@dataclass
class Oracle(History):
    """As History, and it hears amendments too."""

    publications: list[int] = field(default_factory=list)

    def hear(self, file: File, source: str = "S01") -> dict[str, int]:
        """Take a whole delivery in; what its receipt must say is returned."""
        assert file.receipt is not None
        with db.reading() as reading:
            held: Any = reading.execute(select(batches).where(batches.c.id == int(file.receipt.batch))).one()
        self.publications.append(held.publication)
        expected = {"rows": len(file.rows), "accepted": 0, "rejected": 0, "amended": 0}
        laid: list[Laid] = []
        for row in file.rows:
            if row.uscc != self.uscc or (row.act and not self._amend(row, file, laid, source, held.publication)):
                expected["rejected"] += 1
                continue
            expected["accepted"] += 1
            expected["amended"] += bool(row.act)
            if not row.act:
                document = expected_record(row, held.id, clock.rfc3339(held.received_at), source)
                self.told.append(Told(held.publication, row.dataset, _identity(row, source), document))
                if row.dataset == "C1.01":
                    self.names.append((held.publication, str(row.items["C1.01.01"])))
        self.laid += laid
        return expected

    def _amend(self, row: Row, file: File, laid: list[Laid], source: str, publication: int) -> bool:
        """Whether the row amends a record that was published when it was judged, and was not withdrawn by then."""
        told, above = file.judged[row.number]
        with_key = [
            one for one in self.told[:told] if (one.dataset, one.identity) == (row.dataset, _identity(row, source))
        ]
        if not with_key:
            return False
        record = with_key[-1].document["id"]
        over = [one.correction for one in (*self.laid[:above], *laid) if one.record == record]
        withdrawn = Correction("withdrawal") in over
        if row.act == "correct" and withdrawn:
            return False
        if not withdrawn:
            items = {"C2.01.04": row.items["C2.01.04"]} if row.act == "correct" else None
            kind = "correction" if row.act == "correct" else "withdrawal"
            laid.append(Laid("", record, Correction(kind, items), publication))
        return True


@st.composite
def rows(draw: st.DrawFn, uscc: str) -> list[Row]:
    made: list[Row] = []
    kinds = ["name", "power", "power", "case", "nobody", "correct", "withdraw"]
    for kind in draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=6)):
        number, month = len(made) + 1, draw(st.sampled_from(MONTHS))
        power = electricity(number, uscc, month, draw(st.sampled_from(["1", "2"])))
        if kind == "name":
            made.append(registration(number, uscc, draw(st.sampled_from(["演示甲有限公司", "演示乙有限公司"]))))
        elif kind == "case":
            made.append(case_filed(number, uscc, draw(st.sampled_from(["演示1号", "演示2号"]))))
        elif kind == "nobody":
            made.append(registration(number, "nobody"))
        elif kind == "power":
            made.append(power)
        else:
            named = {"C2.01.01": "0512-1", "C2.01.04": draw(st.sampled_from(["8", "9"]))}
            made.append(power._replace(act=kind, items=named))
    return made


def in_pieces(file: File, cut: int) -> Iterator[Row]:
    for row in file.rows:
        if row.number > cut:
            raise PowerCut
        yield row


def come(file: File, oracle: Oracle, how: str | None, cut: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Deliver a file, cut off somewhere or whole. Returns whether it came through now for the first time."""
    again, by_now = file.receipt is not None, (len(oracle.told), len(oracle.laid))
    try:
        with monkeypatch.context() as patch:
            if how == "in a chunk":
                patch.setattr(open_batches, "advance", _power_cut)
            if how == "at the close":
                patch.setattr(intake.trail, "append", _power_cut)
            delivered = in_pieces(file, cut) if how == "after a chunk" else iter(file.rows)
            receipt = intake.receive(factories.batch(delivered, digest=file.digest))
    except PowerCut:
        for number in range(1, _rows_done(file) + 1):
            file.judged.setdefault(number, by_now)
        return False
    for row in file.rows:
        file.judged.setdefault(row.number, by_now)
    assert receipt.duplicate is again
    file.receipt = file.receipt or receipt
    return not again


# No shrinking: an example is a dozen deliveries, and the first one that fails is told whole.
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=(Phase.reuse, Phase.generate),
    max_examples=20,
)
@given(st.data())
def test_any_interleaving_shows_what_a_naive_oracle_says_as_of_every_publication(
    house: House, monkeypatch: pytest.MonkeyPatch, data: st.DataObject
) -> None:
    monkeypatch.setattr(intake, "CHUNK_ROWS", 2)
    oracle = Oracle(new_uscc())
    files = [File(_new_digest(), data.draw(rows(oracle.uscc))) for _ in range(3)]
    overlap = [row._replace(number=number) for number, row in enumerate([*files[0].rows, *files[1].rows], 1)]
    files.append(File(_new_digest(), overlap))
    for _ in range(data.draw(st.integers(3, 12))):
        step = data.draw(st.sampled_from(["come", "come", "come", "cut", "compact"]))
        if step == "compact":
            _compact(oracle.uscc)
            continue
        file = data.draw(st.sampled_from(files))
        how = data.draw(st.sampled_from(CUT)) if step == "cut" else None
        if come(file, oracle, how, data.draw(st.integers(0, 6)), monkeypatch):
            expected = oracle.hear(file)
            assert {name: getattr(file.receipt, name) for name in expected} == expected
    for as_of in oracle.publications:
        shown = orjson.loads(answer(oracle.uscc, as_of=as_of))
        assert shown["classes"] == oracle.classes_at(as_of)
        assert shown["name"] == oracle.name_at(as_of)
    with db.reading() as reading:
        assert list(holdings.faults(reading)) == []


def _rows_done(file: File) -> int:
    with db.reading() as reading:
        joined = open_batch.join(batches, batches.c.id == open_batch.c.batch)
        done = select(open_batch.c.rows_done).select_from(joined).where(batches.c.digest == file.digest)
        return reading.scalar(done) or 0


def _new_digest() -> str:
    return f"{next(_numbers):064x}"


def _power_cut(*_: object) -> None:
    raise PowerCut


def _compact(uscc: str) -> None:
    for number in CLASSES:
        with db.transaction() as tx:
            compaction.compact(tx, uscc, number)
