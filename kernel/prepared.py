# SPDX-License-Identifier: Apache-2.0
"""Statements of the question path: written in SQLAlchemy Core, compiled once, run on the driver's own cursor.

SQLAlchemy spends more on carrying a small statement out than PostgreSQL does on answering it (measured: four
fifths of a key lookup's time in this process). What is left out is only the carrying: the text, the types'
conversions and the errors are SQLAlchemy's own. For statements without expanding (IN) parameters.
"""

from collections import namedtuple
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import Executable

Convert = Callable[[Any], Any]


class Prepared:
    """A Core statement, ready to run on any connection of either engine."""

    def __init__(self, statement: Executable) -> None:
        self._statement = statement
        self._ready: dict[str, _Ready] = {}

    def all(self, tx: Connection, parameters: Mapping[str, Any]) -> list[Any]:
        """Run it; returns its rows as named tuples. Raises what SQLAlchemy would raise."""
        ready = self._ready.get(tx.dialect.name) or self._get_ready(tx.dialect)
        return _fetch(tx, ready, parameters)

    def one_or_none(self, tx: Connection, parameters: Mapping[str, Any]) -> Any:
        """Its only row, or None; the statement must not have more."""
        rows = self.all(tx, parameters)
        assert len(rows) <= 1
        return rows[0] if rows else None

    def run(self, tx: Connection, parameters: Mapping[str, Any]) -> None:
        """Run a statement that returns no rows."""
        ready = self._ready.get(tx.dialect.name) or self._get_ready(tx.dialect)
        _execute(tx, ready, parameters)

    def _get_ready(self, dialect: Dialect) -> "_Ready":
        self._ready[dialect.name] = ready = _make_ready(self._statement, dialect)
        return ready


class _Ready(NamedTuple):
    """A statement as one dialect's driver takes it: its text, its parameters in, its columns out."""

    text: str
    places: tuple[str, ...] | None  # parameters by position; None: by name
    constants: Mapping[str, Any]
    into: tuple[tuple[str, Convert], ...]
    row: Any
    out: tuple[tuple[int, Convert], ...]


def _make_ready(statement: Any, dialect: Dialect) -> _Ready:
    compiled: Any = statement.compile(dialect=dialect)
    columns = compiled._result_columns
    row = namedtuple("Row", [column.keyname for column in columns], rename=True) if columns else None  # noqa: PYI024
    converts = [column.type._cached_result_processor(dialect, None) for column in columns]
    return _Ready(
        text=str(compiled),
        places=tuple(compiled.positiontup) if compiled.positional else None,
        constants={name: bind.value for name, bind in compiled.binds.items() if bind.value is not None},
        into=tuple(compiled._bind_processors.items()),
        row=row,
        out=tuple((place, convert) for place, convert in enumerate(converts) if convert is not None),
    )


def _fetch(tx: Connection, ready: _Ready, parameters: Mapping[str, Any]) -> list[Any]:
    fetched = _execute(tx, ready, parameters).fetchall()
    if not ready.out:
        return list(map(ready.row._make, fetched))
    rows = []
    for values in map(list, fetched):
        for place, convert in ready.out:
            values[place] = convert(values[place])
        rows.append(ready.row._make(values))
    return rows


def _execute(tx: Connection, ready: _Ready, parameters: Mapping[str, Any]) -> Any:
    values = {**ready.constants, **parameters}
    for name, convert in ready.into:
        values[name] = convert(values[name])
    bound: Any = values if ready.places is None else tuple(values[name] for name in ready.places)
    driver: Any = tx.connection.driver_connection
    # Results in binary: as text a ciphertext would travel as hex, twice as long.
    cursor = driver.cursor(binary=True) if tx.dialect.name == "postgresql" else driver.cursor()
    try:
        cursor.execute(ready.text, bound)
    except _driver_error(tx) as error:
        raise _as_sqlalchemy_would(tx, ready.text, error) from error
    return cursor


def _driver_error(tx: Connection) -> type[Exception]:
    dbapi: Any = tx.dialect.dbapi
    return dbapi.Error  # type: ignore[no-any-return]


def _as_sqlalchemy_would(tx: Connection, text: str, error: Exception) -> Exception:
    lost = tx.dialect.is_disconnect(error, tx.connection, None)  # type: ignore[arg-type]
    if lost:
        tx.invalidate(error)
        tx.engine.dispose()  # what ended this connection has most likely ended its idle neighbours too
    base: Any = _driver_error(tx)
    return DBAPIError.instance(
        text, None, error, base, hide_parameters=True, connection_invalidated=lost, dialect=tx.dialect
    )
