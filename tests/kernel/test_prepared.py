# SPDX-License-Identifier: Apache-2.0
"""A prepared statement does what the same statement does through SQLAlchemy, on both engines."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import (
    Boolean,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    create_engine,
    insert,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, ProgrammingError

from kernel import db
from kernel.models import purpose_key
from kernel.prepared import Prepared
from tests.conftest import House

SECRET = "商业秘密-8e1f"
EAST = timezone(timedelta(hours=8))
thing = Table(
    "thing_of_a_test",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("name", String(64), unique=True),
    Column("flag", Boolean),
    Column("at", db.Instant),
    Column("blob", LargeBinary),
)
ADD = Prepared(insert(thing).values({column.name: bindparam(column.name) for column in thing.c}))
ALL = Prepared(select(thing).order_by(thing.c.id))
BY_ID = Prepared(select(thing.c.name, thing.c.flag).where(thing.c.id == bindparam("sought"), thing.c.name != "x"))
ROWS: list[dict[str, Any]] = [
    {"id": 1, "name": "苏州", "flag": True, "at": datetime(2026, 1, 2, 3, 4, 5, 6, UTC), "blob": bytes(256)},
    {"id": 2, "name": None, "flag": None, "at": None, "blob": None},
    {"id": 3, "name": "", "flag": False, "at": datetime(2026, 1, 2, tzinfo=EAST), "blob": b""},
]  # fmt: skip


@pytest.fixture
def things(house: House) -> None:
    with db.transaction() as tx:
        thing.create(tx)
        for row in ROWS:
            ADD.run(tx, row)


def test_what_goes_in_comes_out_as_sqlalchemy_gives_it(things: None) -> None:
    with db.reading() as reading:
        mine, theirs = ALL.all(reading, {}), reading.execute(select(thing).order_by(thing.c.id)).all()
    assert [tuple(row) for row in mine] == [tuple(row) for row in theirs]
    assert [row._asdict() for row in mine] == ROWS
    assert [list(map(type, row)) for row in mine] == [list(map(type, row)) for row in theirs]
    assert mine[2].at.tzinfo is UTC


def test_one_row_or_none_is_found_by_a_parameter_beside_a_constant(things: None) -> None:
    with db.reading() as reading:
        assert tuple(BY_ID.one_or_none(reading, {"sought": 1})) == ("苏州", True)
        assert BY_ID.one_or_none(reading, {"sought": 9}) is None


def test_its_work_is_undone_with_the_transaction(things: None) -> None:
    def fail() -> None:
        with db.transaction() as tx:
            ADD.run(tx, {**ROWS[0], "id": 4, "name": "undone"})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with db.reading() as reading:
        assert len(ALL.all(reading, {})) == len(ROWS)


def test_its_errors_are_sqlalchemys_and_hide_the_parameters(things: None) -> None:
    with db.transaction() as tx:
        ADD.run(tx, {**ROWS[0], "id": 5, "name": SECRET})
    with pytest.raises(IntegrityError) as taken, db.transaction() as tx:
        ADD.run(tx, {**ROWS[0], "id": 6, "name": SECRET})
    assert db.is_taken(taken.value)
    missing = Prepared(select(Table("nowhere", MetaData(), Column("id", Integer))))
    with pytest.raises((OperationalError, ProgrammingError)) as failed, db.transaction() as tx:
        missing.all(tx, {})
    for error in (taken.value, failed.value):
        assert isinstance(error, DBAPIError)
        assert SECRET not in str(error).replace(str(error.orig), "")
        assert not error.connection_invalidated


@pytest.mark.parametrize("open_house", ["postgresql"], indirect=True)
def test_a_connection_that_the_server_closed_is_not_used_again(open_house: House) -> None:
    prepared = Prepared(select(purpose_key.c.purpose))

    def lose() -> None:
        with db.transaction() as tx:
            _close_connections(open_house)
            prepared.all(tx, {})

    with pytest.raises(DBAPIError) as lost:
        lose()
    assert lost.value.connection_invalidated
    with db.transaction() as tx:
        assert prepared.all(tx, {})
    with db.reading() as reading:
        assert prepared.all(reading, {})


def _close_connections(house: House) -> None:
    """Have the server end every connection of the bureau."""
    outside = create_engine(house.url)
    with outside.begin() as connection:
        others = "pid <> pg_backend_pid() AND datname = current_database()"
        connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))
    outside.dispose()
