# SPDX-License-Identifier: Apache-2.0
"""The trail: what an entry's bytes say and do not say, and that nothing written is changed."""

import dataclasses
import re
from typing import Any

import orjson
import pytest
import rfc8785
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from audit import trail
from audit.events import Event
from audit.merkle import leaf_hash
from audit.models import entry as entries
from audit.models import unsealed
from kernel import clock, db, ids
from kernel.errors import Conflict, Invalid, TooLarge
from tests import factories
from tests.conftest import House

OPERATOR, REFERENCE, KEY = "柜员-张三-OP-00042", "loan application 2026-118", "key-of-the-client"


def answered(**changes: Any) -> trail.Entry:
    """An entry that speaks of everything that an entry can speak of."""
    said: dict[str, Any] = {
        "type": Event.QUERY_ANSWERED,
        "actor": "client:c-1",
        "client": "c-1",
        "institution": "i-1",
        "institution_name": "演示银行",
        "operator": OPERATOR,
        "reference": REFERENCE,
        "uscc": factories.new_uscc(),
        "consent": "c0ffee",
        "consent_version": 2,
        "purpose": "pre_loan",
        "product": "records",
        "classes": (1, 2),
        "publication": 812,
        "outcome": "answered",
        "request_digest": "a" * 64,
        "answer_digest": "b" * 64,
        "billable": True,
        "detail": {"warnings": ["x"]},
        "idempotency_key": f"{KEY}-{ids.new_id()}",
    }
    return trail.Entry(**{**said, **changes})


def write(said: trail.Entry) -> Any:
    """Append an entry and give its row."""
    with trail.recording() as tx:
        trail.append(tx, said)
        return tx.execute(select(entries).where(entries.c.id == said.id)).one()


def test_an_entrys_bytes_are_canonical_json_of_all_that_was_said(house: House) -> None:
    said = answered()
    row = write(said)
    document = orjson.loads(row.bytes)
    assert rfc8785.dumps(document) == row.bytes
    told = {field.name: getattr(said, field.name) for field in dataclasses.fields(said)}
    hidden = ("operator", "reference", "idempotency_key")
    for name, value in told.items():
        if name in hidden or value is None:
            assert name not in document
        elif name == "request_digest":
            assert document[name] == trail.salted_digest(row.salt, value)
        else:
            assert document[name] == (list(value) if isinstance(value, tuple) else value), name
    assert document["time"] == clock.rfc3339(row.time)


def test_what_an_entry_does_not_speak_of_is_not_in_its_bytes(house: House) -> None:
    row = write(trail.Entry(type=Event.PERSON_ADDED, actor="counter"))
    assert orjson.loads(row.bytes).keys() == {
        "v",
        "id",
        "nonce",
        "time",
        "type",
        "actor",
        "channel",
        "billable",
    }


def test_two_entries_that_say_the_same_have_different_nonces_and_salts(house: House) -> None:
    said = [write(answered(uscc="x", idempotency_key=None)) for _ in range(2)]
    nonces = {orjson.loads(row.bytes)["nonce"] for row in said}
    assert len(nonces) == len({row.salt for row in said}) == 2
    assert all(re.fullmatch(r"[0-9a-f]{32}", nonce) for nonce in nonces)
    assert all(len(row.salt) == 16 for row in said)


def test_operator_reference_and_key_are_in_the_bytes_only_as_salted_digests(house: House) -> None:
    said = answered()
    row = write(said)
    for clear, name in (
        (OPERATOR, "operator"),
        (REFERENCE, "reference"),
        (said.idempotency_key, "idempotency_key"),
    ):
        assert clear
        assert clear.encode() not in row.bytes
        assert getattr(row, name) == clear
        assert orjson.loads(row.bytes)[f"{name}_digest"] == trail.salted_digest(row.salt, clear)
    assert row.salt not in row.bytes
    assert row.salt.hex().encode() not in row.bytes


def test_the_leaf_hash_is_that_of_rfc_9162_over_exactly_the_bytes(house: House) -> None:
    row = write(answered())
    assert row.leaf_hash == leaf_hash(row.bytes)
    # RFC 9162 §2.1.1: SHA-256 of 0x00 and the leaf; the empty leaf's hash is widely published
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"


def test_the_columns_beside_the_bytes_say_what_the_bytes_say(house: House) -> None:
    row = write(answered())
    document = orjson.loads(row.bytes)
    for name in ("id", "type", "actor", "uscc", "institution", "consent", "outcome", "billable"):
        assert getattr(row, name) == document[name]


def test_every_entry_is_noted_as_unsealed_by_the_database_itself(house: House) -> None:
    row = write(answered())
    with db.transaction() as tx:
        assert tx.scalar(select(unsealed.c.entry).where(unsealed.c.entry == row.id)) == row.id
        tx.execute(insert(entries).values({**row._mapping, "id": "by-another-way", "idempotency_key": None}))
        assert tx.scalar(select(unsealed.c.entry).where(unsealed.c.entry == "by-another-way"))


@pytest.mark.parametrize(
    "change",
    [
        update(entries).values(bytes=b"{}"),
        update(entries).values(operator="somebody else"),
        update(entries).values(billable=False),
        delete(entries),
    ],
    ids=["bytes", "operator", "billable", "delete"],
)
def test_the_database_refuses_to_change_or_delete_an_entry(house: House, change: Any) -> None:
    row = write(answered())
    with pytest.raises(DBAPIError, match="append-only"), db.transaction() as tx:
        tx.execute(change.where(entries.c.id == row.id))
    with db.reading() as reading:
        assert reading.execute(select(entries).where(entries.c.id == row.id)).one() == row


@pytest.mark.parametrize("table", ["entry", "consent_version", "publication"])
def test_nothing_of_what_is_append_only_is_changed_wholesale(house: House, table: str) -> None:
    write(answered())
    factories.consent(factories.new_uscc())
    column = {"entry": "actor", "consent_version": "document", "publication": "kind"}[table]
    statements = [f"DELETE FROM {table}", f"UPDATE {table} SET {column} = {column}"]
    if house.engine == "postgresql":
        statements.append(f"TRUNCATE {table} CASCADE")
    for statement in statements:
        with pytest.raises(DBAPIError, match="append-only"), db.transaction() as tx:
            tx.execute(text(statement))


def test_an_entry_beyond_the_limit_is_refused_and_one_within_it_is_not(house: House) -> None:
    bare = len(write(trail.Entry(type=Event.PERSON_ADDED, actor="counter", detail={"text": ""})).bytes)
    room = trail.MAX_ENTRY_BYTES - bare
    write(trail.Entry(type=Event.PERSON_ADDED, actor="counter", detail={"text": "x" * room}))
    too_large = trail.Entry(type=Event.PERSON_ADDED, actor="counter", detail={"text": "x" * (room + 1)})
    with pytest.raises(TooLarge):
        write(too_large)
    with db.reading() as reading:
        assert trail.find(reading, too_large.id) is None


def test_an_entry_counts_only_with_the_act_it_tells_of(house: House) -> None:
    said = answered()

    def fail() -> None:
        with trail.recording() as tx:
            trail.append(tx, said)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with db.reading() as reading:
        assert trail.find(reading, said.id) is None
        assert reading.scalar(select(unsealed.c.entry).where(unsealed.c.entry == said.id)) is None


def test_a_key_is_spent_once_by_each_actor(house: House) -> None:
    first = answered(idempotency_key="k")
    write(first)
    write(answered(idempotency_key="k", actor="client:c-2"))
    with pytest.raises(IntegrityError):
        write(answered(idempotency_key="k"))
    with db.reading() as reading:
        found = trail.find_keyed(reading, first.actor, "k", "a" * 64)
        assert found is not None
        assert found["id"] == first.id
        assert trail.find_keyed(reading, first.actor, "another", "a" * 64) is None
        with pytest.raises(Invalid) as refused:
            trail.find_keyed(reading, first.actor, "k", "b" * 64)
    assert refused.value.slug == "idempotency-key-reused"


def test_any_number_of_entries_go_without_a_key(house: House) -> None:
    for _ in range(3):
        write(answered(idempotency_key=None))


def test_an_entry_is_found_with_what_its_bytes_keep_back(house: House) -> None:
    said = answered()
    write(said)
    with db.reading() as reading:
        found = trail.find(reading, said.id)
        assert found is not None
        assert (found["operator"], found["reference"]) == (OPERATOR, REFERENCE)
        assert trail.find(reading, "nothing") is None


@pytest.mark.parametrize("open_house", ["postgresql"], indirect=True)
def test_a_twin_that_waits_too_long_for_the_first_is_told_of_a_conflict(open_house: House) -> None:
    def write_twin() -> None:
        with trail.recording() as tx:
            tx.execute(text("SET LOCAL lock_timeout = '20ms'"))
            trail.append(tx, answered(idempotency_key="k"))

    with db.transaction() as first:
        trail.append(first, answered(idempotency_key="k"))
        with pytest.raises(Conflict) as refused:
            write_twin()
    assert refused.value.slug == "request-in-flight"
