# SPDX-License-Identifier: Apache-2.0
"""The process's database: one engine, two ways to a connection, and commits only at the end of `transaction()`.

- `transaction()` writes. On SQLite it begins IMMEDIATE, so that a writer waits at its first line rather than
  fails at its last; on PostgreSQL it is READ COMMITTED, so that each statement sees all that was committed
  before it began. Consent relies on that: whoever asks after a revocation committed, sees it.
- `reading()` reads, one statement at a time, without a transaction's round trips.

Statements are SQLAlchemy Core; no ORM entities (measured: they cost the question path more than half its speed).
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, DateTime, Engine, MetaData, TypeDecorator, create_engine, event
from sqlalchemy.engine import Dialect, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError

from kernel.errors import SettingError

LOCK_WAIT_MS = 2_000  # how long an idempotent twin waits for the first before it is told 409
BUSY_WAIT_S = 10  # how long a SQLite writer waits for its turn
_USABLE = "use sqlite:///FILE or postgresql://…"
POOL_SIZE = 32  # connections a process keeps at most; more threads than this wait

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Instant(TypeDecorator[datetime]):
    """A moment: aware datetimes in UTC on both engines (SQLite keeps no zone of its own)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC)


def open_engine(url: str) -> Engine:
    """An engine for `sqlite:///…` or `postgresql://…`, set up as this module promises.

    Raises SettingError for any other database.
    """
    try:
        kind = make_url(url).drivername
    except ArgumentError as error:
        raise SettingError(f"BUREAU_DATABASE_URL is no address of a database; {_USABLE}") from error
    if kind in ("sqlite", "sqlite+pysqlite"):
        return _open_sqlite(url)
    if kind in ("postgresql", "postgresql+psycopg"):
        return _open_postgresql(url)
    raise SettingError(f"BUREAU_DATABASE_URL names {kind!r}; {_USABLE}")


def use(bound: Engine | Connection | None) -> None:
    """Make this the process's database. A Connection (tests) turns each transaction into a savepoint on it."""
    global _bound
    _bound = bound


@contextmanager
def transaction() -> Iterator[Connection]:
    """A connection whose work commits when the block ends, and is undone when it raises."""
    bound = current()
    if isinstance(bound, Connection):
        with bound.begin_nested():
            yield bound
    else:
        with bound.begin() as connection:
            yield connection


@contextmanager
def single_write() -> Iterator[Connection]:
    """A connection for reads and then exactly one statement that writes, which commits as it returns.

    On PostgreSQL every statement stands alone, so the round trips of BEGIN and COMMIT are saved; elsewhere it is
    a transaction like any other.
    """
    bound = current()
    if isinstance(bound, Engine) and bound in _standing_alone:
        with _standing_alone[bound].connect() as connection:
            yield connection
    else:
        with transaction() as connection:
            yield connection


@contextmanager
def unflushed() -> Iterator[Connection]:
    """A connection for one statement that writes and may be lost with the machine's power, but not half.

    Its commit waits for no disk: on PostgreSQL where all that it touches is UNLOGGED, on SQLite by a connection
    with synchronous=NORMAL. What others commit stays as durable as it was.
    """
    bound = current()
    if isinstance(bound, Engine) and bound in _unflushed:
        with _unflushed[bound].begin() as connection:
            yield connection
    else:
        with single_write() as connection:
            yield connection


@contextmanager
def reading() -> Iterator[Connection]:
    """A connection for reading; on PostgreSQL each statement stands alone (no BEGIN, no COMMIT)."""
    bound = current()
    if isinstance(bound, Connection):
        yield bound
    elif bound in _standing_alone:
        with _standing_alone[bound].connect() as connection:
            yield connection
    else:
        with bound.connect() as connection:
            yield connection.execution_options(**{_READS_ONLY: True})


def current() -> Engine | Connection:
    if _bound is None:
        raise SettingError("no database: call kernel.db.use(engine) when the process starts")
    return _bound


def is_taken(error: Exception) -> bool:
    """Whether a unique index holds the value already (PostgreSQL 23505, SQLite's UNIQUE and PRIMARY KEY)."""
    if not isinstance(error, IntegrityError):
        return False
    told = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorcode", None)
    return told in ("23505", sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)


def is_lock_timeout(error: Exception) -> bool:
    """Whether a statement gave up waiting for another transaction's lock (PostgreSQL 55P03)."""
    return isinstance(error, OperationalError) and getattr(error.orig, "sqlstate", None) == "55P03"


_bound: Engine | Connection | None = None
_READS_ONLY = "bureau_reads_only"
# Engine → its twin whose statements stand alone. A pool of its own: to switch a connection to and fro between
# the two ways at each use costs more than the statement.
_standing_alone: WeakKeyDictionary[Engine, Engine] = WeakKeyDictionary()

# SQLite's engine → its twin whose commits wait for no disk.
_unflushed: WeakKeyDictionary[Engine, Engine] = WeakKeyDictionary()


def _open_postgresql(url: str) -> Engine:
    # Statements are few and find rows by key: planning a partitioned one anew costs more than running it.
    # A page of a large table is read by one backend: to start another for each costs more than it reads. And keys are
    # found by their index, also in a table that was small when the statement was planned.
    planned = "-c plan_cache_mode=force_generic_plan -c max_parallel_workers_per_gather=0 -c jit=off"
    options = f"-c lock_timeout={LOCK_WAIT_MS} -c timezone=UTC {planned} -c random_page_cost=1.1"
    settings: dict[str, Any] = {"pool_size": POOL_SIZE, "max_overflow": 0}
    settings["connect_args"] = {"options": options, "prepare_threshold": 2}
    engine = create_engine(url, **settings)
    twin = create_engine(url, isolation_level="AUTOCOMMIT", **settings)
    event.listen(engine, "engine_disposed", lambda _engine: twin.dispose())
    _standing_alone[engine] = twin
    return engine


def _open_sqlite(url: str) -> Engine:
    engine, twin = _sqlite_engine(url, "FULL"), _sqlite_engine(url, "NORMAL")
    event.listen(engine, "engine_disposed", lambda _engine: twin.dispose())
    _unflushed[engine] = twin
    return engine


def _sqlite_engine(url: str, synchronous: str) -> Engine:
    # One connection a thread at a time, as many as there are threads: SQLite itself makes the writers queue.
    engine = create_engine(url, connect_args={"timeout": BUSY_WAIT_S}, pool_size=POOL_SIZE, max_overflow=0)

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver's own BEGIN would come too late and be DEFERRED
        for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", "foreign_keys=ON", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        reads_only = connection.get_execution_options().get(_READS_ONLY, False)
        connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")

    return engine
