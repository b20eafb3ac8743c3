# SPDX-License-Identifier: Apache-2.0
"""Many rows at once: COPY on PostgreSQL, one prepared statement on SQLite; and rows found by many keys at once.

SQLAlchemy's own way to insert many rows costs several times what the database takes for them. Both ways here
are part of the transaction they are given.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, LargeBinary, String, Table, any_, bindparam, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY

COPIED_AT_ONCE_BYTES = 1 << 20


def write(tx: Connection, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows, their values in the order of `columns`: None, integers, text, bytes. Not for other types.

    Raises what the driver raises; the transaction is then spoilt, as after any failed statement.
    """
    names = ", ".join(f'"{name}"' for name in columns)
    driver: Any = tx.connection.driver_connection
    if tx.dialect.name != "postgresql":
        places = ", ".join("?" * len(columns))
        driver.executemany(f'INSERT INTO "{table.name}" ({names}) VALUES ({places})', rows)  # noqa: S608
        return
    statement = f'COPY "{table.name}" ({names}) FROM STDIN (FORMAT BINARY)'
    widths = [_width(table.c[name]) for name in columns]
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        buffer = bytearray(b"PGCOPY\n\xff\r\n\0" + bytes(8))
        count = len(columns).to_bytes(2, "big")
        for row in rows:
            buffer += count
            for width, value in zip(widths, row, strict=True):
                if value is None:
                    buffer += b"\xff\xff\xff\xff"
                elif width:
                    buffer += width.to_bytes(4, "big") + value.to_bytes(width, "big", signed=True)
                else:
                    held = value.encode() if isinstance(value, str) else value
                    buffer += len(held).to_bytes(4, "big") + held
            if len(buffer) >= COPIED_AT_ONCE_BYTES:
                copy.write(bytes(buffer))
                buffer.clear()
        copy.write(bytes(buffer + b"\xff\xff"))


def among(tx: Connection, column: ColumnElement[Any], keys: Iterable[str]) -> ColumnElement[bool]:
    """Whether a column of text is one of these keys: one parameter, so one statement and one plan however many."""
    if tx.dialect.name == "postgresql":
        return column == any_(bindparam("among", list(keys), type_=ARRAY(String), unique=True))
    listed = func.json_each(bindparam("among", json.dumps(list(keys)), type_=String, unique=True)).table_valued("value")
    return column.in_(select(listed.c.value))


def joined(tx: Connection, column: ColumnElement[bytes], *where: ColumnElement[bool]) -> bytes:
    """The bytes of a column in all rows that fit, one after the other: one row travels, not each."""
    if tx.dialect.name == "postgresql":
        whole = select(func.string_agg(column, cast(b"", LargeBinary))).where(*where)
        return tx.scalar(whole) or b""
    return bytes.fromhex(tx.scalar(select(func.group_concat(func.hex(column), "")).where(*where)) or "")


def _width(column: Any) -> int:
    """Bytes of an integer column in COPY's binary format; 0 for text and bytes, which carry their own length."""
    return {"SMALLINT": 2, "INTEGER": 4, "BIGINT": 8}.get(str(column.type), 0)
