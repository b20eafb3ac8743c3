# SPDX-License-Identifier: Apache-2.0
"""All bytes that a bureau's database holds, to look for what must not be among them."""

import base64
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import inspect, make_url, text

from kernel import db
from tests.conftest import House


def stored_bytes(house: House) -> bytes:
    """SQLite: its files as they lie on the disk. PostgreSQL: every value of every row of every table."""
    if house.engine == "sqlite":
        file = str(make_url(house.url).database)
        return b"\n".join(Path(file + end).read_bytes() for end in ("", "-wal", "-shm") if Path(file + end).exists())
    return b"\n".join(_values())


def forms(secret: str) -> Iterator[bytes]:
    """How a text may lie among bytes: in the usual encodings, escaped in JSON, in hexadecimal, in base64."""
    for encoding in ("utf-8", "utf-16-le", "utf-16-be", "gb18030"):
        yield secret.encode(encoding)
    yield json.dumps(secret).strip('"').encode()
    plain = secret.encode()
    yield plain.hex().encode()
    yield plain.hex().upper().encode()
    for shift in range(3):  # base64 of a longer text that holds it, whatever stands before
        yield base64.b64encode(b"\0" * shift + plain)[4 * bool(shift) : -4]


def found(secrets: Iterable[str], among: bytes) -> list[str]:
    """Those of some texts that lie among bytes in any form."""
    return [secret for secret in secrets if any(form in among for form in forms(secret))]


def _values() -> Iterator[bytes]:
    with db.reading() as reading:
        tables = inspect(reading).get_table_names()
        assert "folio" in tables
        for table in tables:
            for row in reading.execute(text(f'SELECT * FROM "{table}"')):
                yield from (_bytes(value) for value in row)


def _bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
