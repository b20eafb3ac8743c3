# SPDX-License-Identifier: Apache-2.0
"""The two ways to the database, and what each engine promises through them."""

import threading
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from kernel import clock, db, keys
from kernel.errors import SettingError
from kernel.models import purpose_key
from tests.conftest import House

EAST = timezone(timedelta(hours=8))


def test_work_counts_when_the_block_ends(open_house: House) -> None:
    with db.transaction() as tx:
        _add(tx, "kept")
    with db.reading() as reading:
        assert "kept" in _purposes(reading)


def test_a_block_that_raises_leaves_nothing(open_house: House) -> None:
    def fail() -> None:
        with db.transaction() as tx:
            _add(tx, "undone")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with db.reading() as reading:
        assert "undone" not in _purposes(reading)


def test_what_is_not_committed_yet_is_seen_by_nobody_else(open_house: House) -> None:
    with db.transaction() as tx:
        _add(tx, "pending")
        with db.reading() as reading:
            assert "pending" not in _purposes(reading)


def test_a_single_write_counts_as_soon_as_its_block_ends(open_house: House) -> None:
    with db.single_write() as writing:
        assert "kept" not in _purposes(writing)
        _add(writing, "kept")
    with db.reading() as reading:
        assert "kept" in _purposes(reading)


def test_a_single_write_that_fails_leaves_nothing(open_house: House) -> None:
    with db.transaction() as tx:
        _add(tx, "taken")
    with pytest.raises(IntegrityError) as taken, db.single_write() as writing:
        _add(writing, "taken")
    assert db.is_taken(taken.value)
    with db.reading() as reading:
        assert sorted(_purposes(reading)) == sorted({*keys.PURPOSES, "taken"})


def test_an_instant_comes_back_as_the_same_instant_in_utc(house: House) -> None:
    given = datetime(2026, 11, 23, 8, 30, 0, 123_456, tzinfo=EAST)
    with db.transaction() as tx:
        _add(tx, "timed", given)
        found = tx.scalar(select(purpose_key.c.created_at).where(purpose_key.c.purpose == "timed"))
        assert found == given
        assert found.tzinfo is UTC
        before = tx.scalar(select(purpose_key.c.purpose).where(purpose_key.c.created_at < given))
        assert before != "timed"


@pytest.mark.parametrize("open_house", ["sqlite"], indirect=True)
def test_sqlite_keeps_what_it_acknowledged_and_forgets_what_was_deleted(open_house: House) -> None:
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}
    with db.reading() as reading:
        assert {name: reading.scalar(text(f"PRAGMA {name}")) for name in wanted} == wanted


@pytest.mark.parametrize("open_house", ["sqlite"], indirect=True)
def test_a_writer_on_sqlite_waits_at_its_first_line_for_the_one_before(open_house: House) -> None:
    begun = threading.Event()

    def write() -> None:
        with db.transaction():
            begun.set()

    second = threading.Thread(target=write)
    with db.transaction() as tx:
        second.start()
        assert not begun.wait(0.1)
        _add(tx, "first")
    second.join(5)
    assert begun.is_set()


@pytest.mark.parametrize("open_house", ["postgresql"], indirect=True)
def test_a_statement_on_postgresql_sees_all_that_was_committed_before_it(open_house: House) -> None:
    with db.transaction() as long:
        assert "late" not in _purposes(long)
        with db.transaction() as tx:
            _add(tx, "late")
        assert "late" in _purposes(long)


@pytest.mark.parametrize("open_house", ["postgresql"], indirect=True)
def test_reading_on_postgresql_stands_outside_a_transaction(open_house: House) -> None:
    with db.reading() as reading:
        first, second = (reading.scalar(text("SELECT now()")) for _ in range(2))
        assert first < second


@pytest.mark.parametrize("open_house", ["postgresql"], indirect=True)
def test_nobody_on_postgresql_waits_for_a_lock_without_end(open_house: House) -> None:
    with db.reading() as reading:
        assert reading.scalar(text("SHOW lock_timeout")) == f"{db.LOCK_WAIT_MS // 1000}s"
    lock = select(purpose_key).with_for_update()
    with db.transaction() as first, db.transaction() as second:
        first.execute(lock).all()
        second.execute(text("SET LOCAL lock_timeout = '20ms'"))
        with pytest.raises(DBAPIError) as refused:
            second.execute(lock)
        second.rollback()
    assert db.is_lock_timeout(refused.value)
    assert not db.is_taken(refused.value)


def test_a_value_that_is_taken_is_told_from_other_breaches(house: House) -> None:
    with db.transaction() as tx:
        _add(tx, "twice")
    with pytest.raises(IntegrityError) as taken, db.transaction() as tx:
        _add(tx, "twice")
    assert db.is_taken(taken.value)
    assert not db.is_lock_timeout(taken.value)
    with pytest.raises(IntegrityError) as missing, db.transaction() as tx:
        tx.execute(text("INSERT INTO purpose_key (purpose, version) VALUES ('none', 1)"))
    assert not db.is_taken(missing.value)
    assert not db.is_taken(ValueError())


def test_another_kind_of_database_is_refused_by_name() -> None:
    with pytest.raises(SettingError, match=r"'mysql'.*sqlite:///FILE or postgresql://"):
        db.open_engine("mysql://localhost/bureau")


def test_without_a_database_the_first_use_says_what_was_forgotten(house: House) -> None:
    bound = db.current()
    db.use(None)
    try:
        with pytest.raises(SettingError, match=r"kernel\.db\.use"), db.transaction():
            pass
    finally:
        db.use(bound)


def test_a_process_keeps_as_many_connections_as_it_says_and_no_more(open_house: House) -> None:
    engine = db.current()
    assert isinstance(engine, Engine)
    assert engine.pool.size() == db.POOL_SIZE  # type: ignore[attr-defined]
    assert engine.pool._max_overflow == 0  # type: ignore[attr-defined]


def _add(tx: Any, purpose: str, at: datetime | None = None) -> None:
    tx.execute(insert(purpose_key).values(purpose=purpose, version=1, wrapped=b"", created_at=at or clock.now()))


def _purposes(tx: Any) -> set[str]:
    return set(tx.scalars(select(purpose_key.c.purpose)))
