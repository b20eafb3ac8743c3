# SPDX-License-Identifier: Apache-2.0
"""Verification: whatever was done to the trail behind its guards, the entry it was done to is named.

The guards are dropped first, as one would who owns the database; then one thing is changed.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, insert, select, text, update

from audit import trail, verification
from audit.events import Event
from audit.merkle import leaf_hash
from audit.models import entry as entries
from audit.models import unsealed
from kernel import canonical, db
from tests.audit.test_trail import answered, write
from tests.conftest import House

GUARDS = {
    "sqlite": ["DROP TRIGGER entry_no_update", "DROP TRIGGER entry_no_delete"],
    "postgresql": ["ALTER TABLE entry DISABLE TRIGGER entry_append_only"],
}


@pytest.fixture
def trio(house: House) -> list[Any]:
    """Three entries, the guards of their table gone."""
    with db.transaction() as tx:
        for statement in GUARDS[house.engine]:
            tx.execute(text(statement))
    return [write(answered()) for _ in range(3)]


def verify() -> verification.Report:
    with db.reading() as reading:
        return verification.verify(reading)


def named() -> set[str]:
    """The entries that a check of the trail finds fault with."""
    report = verify()
    assert report.ok == (not report.faults)
    return {fault.entry for fault in report.faults}


def change(victim: Any, **columns: Any) -> None:
    with db.transaction() as tx:
        tx.execute(update(entries).where(entries.c.id == victim.id).values(**columns))


def rewritten(victim: Any, **members: Any) -> dict[str, Any]:
    """The columns of an entry whose bytes say something else, with a leaf hash that fits them."""
    leaf = canonical.encode({**orjson.loads(victim.bytes), **members})
    return {"bytes": leaf, "leaf_hash": leaf_hash(leaf)}


def test_an_empty_trail_is_in_order(house: House) -> None:
    assert verify() == verification.Report(ok=True, entries=0, size=0, root=None, unsealed=0, faults=())


def test_an_untouched_trail_is_in_order(house: House) -> None:
    write(answered())
    write(trail.Entry(type=Event.PERSON_ADDED, actor="counter"))
    write(answered(operator="李", reference=None, idempotency_key=None, uscc=None))
    report = verify()
    assert (report.ok, report.entries, report.unsealed, report.faults) == (True, 3, 3, ())


def test_checking_changes_nothing_and_finds_the_same_again(trio: list[Any]) -> None:
    change(trio[1], bytes=b"{}")
    assert verify() == verify()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("type", "query.refused"),
        ("actor", "client:c-2"),
        ("uscc", "91320599MA0000000X"),
        ("uscc", None),
        ("institution", "i-2"),
        ("consent", "another"),
        ("consent", None),
        ("outcome", "refused"),
        ("billable", False),
        ("operator", "somebody else"),
        ("operator", None),
        ("operator", ""),
        ("reference", "another loan"),
        ("reference", None),
        ("idempotency_key", "another key"),
        ("idempotency_key", None),
        ("salt", bytes(16)),
        ("leaf_hash", bytes(32)),
        ("bytes", None),
        ("bytes", b""),
        ("bytes", b"{}"),
        ("facet", "query.answered answered - post_loan records"),
        ("classes", None),
        ("classes", 127),
    ],
)
def test_an_edited_column_names_its_entry(trio: list[Any], name: str, value: Any) -> None:
    change(trio[1], **{name: value})
    assert named() == {trio[1].id}


def test_every_column_is_among_those_that_were_edited_above_or_below() -> None:
    parametrized = next(mark for mark in test_an_edited_column_names_its_entry.pytestmark if mark.args)  # type: ignore[attr-defined]
    edited = {case[0] for case in parametrized.args[1]}
    assert {column.name for column in entries.c} == edited | {"id", "time"}


def test_an_edited_time_names_its_entry(trio: list[Any]) -> None:
    change(trio[1], time=trio[1].time + timedelta(microseconds=1))
    assert named() == {trio[1].id}


def test_a_time_that_is_none_is_named_and_not_stumbled_over(house: House, trio: list[Any]) -> None:
    nonsense = {"sqlite": "'yesterday'", "postgresql": "'infinity'"}[house.engine]
    with db.transaction() as tx:
        tx.execute(text(f"UPDATE entry SET time = {nonsense} WHERE id = :id"), {"id": trio[1].id})
    assert named() == {trio[1].id}


def test_an_edited_id_names_the_entry_by_its_old_and_its_new_id(trio: list[Any]) -> None:
    change(trio[1], id="another")
    assert named() == {trio[1].id, "another"}


@pytest.mark.parametrize(
    "leaf",
    [
        b"",
        b"not json",
        b"\xff\x00\xfe",
        b"null",
        b"[]",
        b"1",
        b'"text"',
        b"{}",
        b'{"id": 1, "time": null, "type": []}',
        b"[" * 100_000,
        b'{"a":NaN}',
        b'{"a":1,"a":1}',
        b'{"a":' * 400 + b"1" + b"}" * 400,
    ],
    ids=lambda leaf: repr(leaf[:30]),
)
def test_garbage_with_a_leaf_hash_that_fits_it_is_named(trio: list[Any], leaf: bytes) -> None:
    change(trio[1], bytes=leaf, leaf_hash=leaf_hash(leaf))
    assert named() == {trio[1].id}


def test_the_same_document_in_other_bytes_is_named(trio: list[Any]) -> None:
    leaf = orjson.dumps(orjson.loads(trio[1].bytes), option=orjson.OPT_INDENT_2)
    change(trio[1], bytes=leaf, leaf_hash=leaf_hash(leaf))
    assert named() == {trio[1].id}


@pytest.mark.parametrize(
    "members",
    [
        {"uscc": "91320599MA0000000X"},
        {"institution": "i-2"},
        {"type": "query.refused"},
        {"billable": False},
        {"time": "2020-01-01T00:00:00.000000Z"},
        {"operator_digest": "0" * 64},
        {"reference_digest": None},
        {"idempotency_key_digest": "0" * 64},
    ],
    ids=repr,
)
def test_bytes_rewritten_with_their_leaf_hash_are_named_where_a_column_tells(
    trio: list[Any], members: dict[str, Any]
) -> None:
    change(trio[1], **rewritten(trio[1], **members))
    assert named() == {trio[1].id}


def test_bytes_rewritten_with_their_leaf_hash_and_columns_are_not_found_before_sealing(
    trio: list[Any],
) -> None:
    """The limit that the module states: from here on only the signed tree tells."""
    kind = "query.answered answered - post_loan records"
    change(trio[1], **rewritten(trio[1], purpose="post_loan"), facet=kind)
    change(trio[2], **rewritten(trio[2], uscc="elsewhere"), uscc="elsewhere")
    assert named() == set()


def test_a_deleted_entry_is_named_by_its_note(trio: list[Any]) -> None:
    _erase(entries, entries.c.id, trio[1])
    report = verify()
    assert {fault.entry for fault in report.faults} == {trio[1].id}
    assert (report.entries, report.unsealed) == (2, 3)


def test_an_entry_whose_note_was_deleted_is_named(trio: list[Any]) -> None:
    _erase(unsealed, unsealed.c.entry, trio[1])
    assert named() == {trio[1].id}


def test_an_entry_deleted_with_its_note_is_not_found_before_sealing(trio: list[Any]) -> None:
    """The other limit that the module states."""
    _erase(entries, entries.c.id, trio[1])
    _erase(unsealed, unsealed.c.entry, trio[1])
    assert named() == set()


def test_a_copy_of_an_entry_under_another_id_is_named(trio: list[Any]) -> None:
    copied = {**trio[1]._mapping, "id": "a-copy", "idempotency_key": None}
    with db.transaction() as tx:
        tx.execute(insert(entries).values(copied))
    assert named() == {"a-copy"}


def test_two_entries_that_swapped_their_bytes_are_both_named(trio: list[Any]) -> None:
    change(trio[0], bytes=trio[1].bytes, leaf_hash=trio[1].leaf_hash)
    change(trio[1], bytes=trio[0].bytes, leaf_hash=trio[0].leaf_hash)
    assert named() == {trio[0].id, trio[1].id}


def test_every_fault_of_many_is_named_across_pages(trio: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "ROWS_AT_ONCE", 2)
    for victim in trio:
        change(victim, outcome="refused")
    write(answered())
    report = verify()
    assert {fault.entry for fault in report.faults} == {victim.id for victim in trio}
    assert report.entries == 4


def test_a_fault_says_in_words_what_is_wrong(trio: list[Any]) -> None:
    tampering: dict[str, Callable[[], None]] = {
        "leaf hash": lambda: change(trio[1], leaf_hash=b"x"),
        "column outcome": lambda: change(trio[1], outcome="x"),
        "operator differs": lambda: change(trio[1], operator="x"),
        "bytes are gone": lambda: change(trio[1], bytes=None),
    }
    whole = {name: trio[1]._mapping[name] for name in ("leaf_hash", "outcome", "operator", "bytes")}
    for words, tamper in tampering.items():
        tamper()
        assert [words in fault.fault for fault in verify().faults] == [True]
        change(trio[1], **whole)
        assert verify().ok


def test_any_flipped_bit_of_any_entry_names_exactly_that_entry(trio: list[Any]) -> None:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.integers(0, 2), st.data())
    def check(which: int, data: st.DataObject) -> None:
        victim = trio[which]
        place = data.draw(st.integers(0, len(victim.bytes) - 1))
        flipped = bytearray(victim.bytes)
        flipped[place] ^= data.draw(st.integers(1, 255))
        change(victim, bytes=bytes(flipped))
        assert named() == {victim.id}
        change(victim, bytes=victim.bytes)
        assert named() == set()

    check()


def test_any_bytes_with_a_leaf_hash_that_fits_them_are_named_without_a_crash(trio: list[Any]) -> None:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.binary(max_size=60) | st.text(max_size=30).map(lambda text: orjson.dumps({"id": text})))
    def check(leaf: bytes) -> None:
        change(trio[1], bytes=leaf, leaf_hash=leaf_hash(leaf))
        assert named() == {trio[1].id}

    check()


def _erase(table: Any, column: Any, victim: Any) -> None:
    with db.transaction() as tx:
        assert isinstance(tx, Connection)
        tx.execute(delete(table).where(column == victim.id))
        assert tx.scalar(select(column).where(column == victim.id)) is None
