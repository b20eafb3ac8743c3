# SPDX-License-Identifier: Apache-2.0
"""Rejected rows held against what the trail says was rejected: whatever is done to them, their batch is named."""

from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, delete, insert, select, text, update

from app import counter
from audit import trail
from audit.events import Event
from audit.merkle import leaf_hash
from audit.models import entry as entries
from bureau import erasure, holdings, intake, rejects, sums
from bureau.models import batch as batches
from bureau.models import rejected_row
from bureau.records import Row
from kernel import db
from tests import factories
from tests.conftest import House
from tests.factories import new_uscc, registration

BAD = {"C1.01.99": "x"}  # no item of the dataset


def found() -> list[tuple[str, str, str]]:
    with db.reading() as reading:
        return [(fault.kind, fault.entry, fault.fault) for fault in holdings.faults(reading)]


def bad(number: int, uscc: str | None = None) -> Row:
    return registration(number, uscc or new_uscc(), **BAD)


def deliver(rejected: int, **more: Any) -> str:
    """A delivery of one sound row and so many that are rejected. Returns the batch."""
    nobody = Row(2, "nobody", "C1.01", None, {})
    rows = [registration(1, new_uscc()), nobody, *(bad(number) for number in range(3, rejected + 2))]
    receipt = factories.deliver(rows[: rejected + 1], **more)
    assert receipt.rejected == rejected
    return receipt.batch


def act(statement: Any) -> None:
    with db.transaction() as tx:
        assert tx.execute(statement).rowcount


def of(batch: str, *rows: int) -> Any:
    return (rejected_row.c.batch == int(batch)) & rejected_row.c.row.in_(rows)


def shred(uscc: str) -> None:
    with trail.recording() as tx:
        erasure.shred(tx, uscc, "an order")


def test_what_is_there_is_what_was_rejected(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejects, "ROWS_AT_ONCE", 2)
    for rejected in (0, 1, 2, 5):
        deliver(rejected)
    assert found() == []


@pytest.mark.parametrize("rows", [(2,), (3, 5), (2, 3, 4, 5, 6)])
def test_the_batch_of_deleted_rows_is_named(house: House, rows: tuple[int, ...]) -> None:
    deliver(3)
    robbed = deliver(5)
    deliver(2)
    act(delete(rejected_row).where(of(robbed, *rows)))
    assert found() == [("batch", robbed, f"deleted: {len(rows)} of its 5 rejected rows")]


TAMPERING: dict[str, tuple[Callable[[Connection, str, str], Any], set[tuple[str, str]]]] = {
    "one row in the place of another": (
        lambda tx, one, _: (
            tx.execute(delete(rejected_row).where(of(one, 3))),
            tx.execute(update(rejected_row).where(of(one, 4)).values(row=3)),
            tx.execute(insert(rejected_row).values(batch=int(one), row=4, reason="unknown-item", ciphertext=b"x" * 40)),
        ),
        {("rejected row", "batch {} row 3"), ("rejected row", "batch {} row 4")},
    ),
    "one more": (
        lambda tx, one, _: tx.execute(
            insert(rejected_row).values(batch=int(one), row=9, reason="invalid-uscc", ciphertext=b"x")
        ),
        {("rejected row", "batch {} row 9"), ("batch", "{}")},
    ),
    "moved to another batch": (
        lambda tx, one, other: tx.execute(update(rejected_row).where(of(one, 3)).values(batch=int(other), row=77)),
        {("rejected row", "batch {other} row 77"), ("batch", "{}"), ("batch", "{other}")},
    ),
    "another reason": (
        lambda tx, one, _: tx.execute(update(rejected_row).where(of(one, 3)).values(reason="sole-trader")),
        {("batch", "{}")},
    ),
    "another content": (
        lambda tx, one, _: tx.execute(update(rejected_row).where(of(one, 3)).values(ciphertext=b"")),
        {("rejected row", "batch {} row 3")},
    ),
}


@pytest.mark.parametrize("how", TAMPERING)
def test_a_row_that_is_not_what_was_rejected_is_named(house: House, how: str) -> None:
    one, other = deliver(4), deliver(2)
    tamper, expected = TAMPERING[how]
    with db.transaction() as tx:
        tamper(tx, one, other)
    assert {(kind, named) for kind, named, _ in found()} == {
        (kind, name.format(one, other=other)) for kind, name in expected
    }


def test_a_repaired_row_stays_and_its_repair_has_rejects_of_its_own(house: House) -> None:
    first = deliver(3)
    mended = factories.deliver([registration(3, new_uscc()), bad(4)], repairs=int(first))
    assert (mended.accepted, mended.rejected) == (1, 1)
    assert found() == []
    act(delete(rejected_row).where(of(first, 3)))
    assert found() == [("batch", first, "deleted: 1 of its 3 rejected rows")]


def test_an_open_delivery_is_no_fault_and_what_is_deleted_meanwhile_shows_once_it_is_closed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "CHUNK_ROWS", 2)
    rows = [bad(number) for number in range(1, 8)]
    with pytest.raises(ZeroDivisionError):
        intake.receive(factories.batch((row if row.number < 6 else 1 / 0 for row in rows), digest="a" * 64))
    assert found() == []
    with db.reading() as reading:
        batch = str(reading.scalar(select(batches.c.id)))
    act(delete(rejected_row).where(of(batch, 1)))
    factories.deliver(rows, digest="a" * 64)
    assert found() == [("batch", batch, "deleted: 1 of its 7 rejected rows")]


def test_what_was_shredded_need_not_be_there_and_nothing_else_may_be_missing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sums, "PUBLICATIONS_AN_ENTRY", 2)
    gone = new_uscc()
    rows = [bad(1), bad(2, gone), bad(3, gone), registration(4, gone)]
    held = [factories.deliver(rows).batch for _ in range(4)]
    robbed = deliver(3)
    shred(gone)
    assert found() == []
    told = [entry["detail"]["rejects"] for entry in documents(Event.ENTERPRISE_SHREDDED)]
    assert sorted(batch for some in told for batch in some) == sorted(held)
    assert {count for some in told for count in some.values()} == {2}
    act(delete(rejected_row).where(of(held[2], 1)))
    act(delete(rejected_row).where(of(robbed, 3)))
    assert found() == [
        ("batch", held[2], "deleted: 1 of its 3 rejected rows"),
        ("batch", robbed, "deleted: 1 of its 3 rejected rows"),
    ]


def test_what_was_shredded_and_put_back_is_named(house: House) -> None:
    gone = new_uscc()
    batch = factories.deliver([bad(1), bad(2, gone)]).batch
    with db.reading() as reading:
        row = reading.execute(select(rejected_row).where(of(batch, 2))).one()
    shred(gone)
    act(insert(rejected_row).values(**row._mapping))
    assert found() == [("batch", batch, "put back: 1 more than its rejected rows")]


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_is_shredded_while_they_are_counted_is_no_fault(
    house: House, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    gone = new_uscc()
    factories.deliver([bad(1), bad(2, gone)])
    real = rejects._opened

    def shredding(reading: Connection) -> Iterator[Any]:
        shred(gone) if when == "before" else None
        yield from real(reading)
        shred(gone) if when == "after" else None

    monkeypatch.setattr(rejects, "_opened", shredding)
    assert found() == []
    monkeypatch.setattr(rejects, "_opened", real)
    assert found() == []


def test_a_shred_that_told_one_number_for_all_batches_excuses_as_many_and_no_more(house: House) -> None:
    """As entries of an earlier version are: which batch lost them they do not say."""
    gone = new_uscc()
    batch = factories.deliver([bad(1), bad(2, gone), bad(3, gone)]).batch
    other = deliver(3)
    detail = {"reason": "an order", "rows": {"rejected_row": 2}, "removed": {}, "overlays": {}}
    with trail.recording() as tx:
        tx.execute(delete(rejected_row).where(of(batch, 2, 3)))
        for _ in range(2):  # several entries of one shred repeat its rows
            trail.append(tx, trail.Entry(type=Event.ENTERPRISE_SHREDDED, actor="counter", publication=3, detail=detail))
    assert found() == []
    act(delete(rejected_row).where(of(other, 3)))
    assert found() == [
        ("batch", batch, "deleted: 2 of its 3 rejected rows"),
        ("batch", other, "deleted: 1 of its 3 rejected rows"),
    ]


def documents(event: Event) -> list[dict[str, Any]]:
    with db.reading() as reading:
        found = reading.scalars(select(entries.c.bytes).where(entries.c.type == event).order_by(entries.c.id))
        return [orjson.loads(content) for content in found if content]


GUARDS = {
    "sqlite": "DROP TRIGGER entry_no_update",
    "postgresql": "ALTER TABLE entry DISABLE TRIGGER USER",
}
MANGLED: dict[str, Any] = {
    "no JSON": b"\xff",
    "no object": b"7",
    "without all": b"{}",
    "detail is none": b'{"detail": null, "publication": 1}',
    "detail without all": b'{"detail": {"batch": "1"}, "publication": 1}',
    "detail of other kinds": b'{"detail": {"batch": "1", "rejected": "x", "reasons": 1, "removed": 3, "rejects": 3,'
    b' "overlays": 3}, "publication": 1}',
}


@pytest.mark.parametrize("event", [Event.BATCH_RECEIVED, Event.ENTERPRISE_SHREDDED])
@pytest.mark.parametrize("content", MANGLED.values(), ids=MANGLED)
@pytest.mark.parametrize("hashed", [False, True], ids=["", "hashed too"])
def test_an_entry_that_was_mangled_is_named_and_does_not_end_the_check(
    house: House, event: Event, content: bytes, hashed: bool
) -> None:
    gone = new_uscc()
    factories.deliver([registration(1, gone), bad(2, gone), bad(3)])
    shred(gone)
    mangled = {"bytes": content, **({"leaf_hash": leaf_hash(content)} if hashed else {})}
    with db.transaction() as tx:
        tx.execute(text(GUARDS[house.engine]))
        entry = tx.scalar(select(entries.c.id).where(entries.c.type == event))
        assert tx.execute(update(entries).where(entries.c.id == entry).values(mangled)).rowcount
    with db.reading() as reading:
        assert entry in {fault.entry for fault in counter.verify(reading).faults}
