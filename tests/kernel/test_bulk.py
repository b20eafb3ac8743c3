# SPDX-License-Identifier: Apache-2.0
"""Many rows at once: what goes in comes out, on both engines, whatever its bytes; and it is undone with the rest."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import select

from bureau.models import folio
from kernel import bulk, db
from tests.conftest import House

COLUMNS = tuple(folio.c.keys())


def rows(count: int, size: int = 0) -> Iterator[tuple[Any, ...]]:
    for nth in range(count):
        data = bytes([nth % 256, 0, 255, 10, 92]) * (1 + size)
        yield f"演示\t\\N{nth:05d}", 1 + nth % 7, 2**31 - 1, nth, 0, None if nth % 2 else -nth, nth, 1, 2, b"", data


def held() -> Sequence[Any]:
    with db.reading() as reading:
        return [tuple(row) for row in reading.execute(select(folio).order_by(folio.c.part))]


@pytest.mark.parametrize(("count", "size"), [(0, 0), (300, 0), (3, 200_000)])
def test_rows_come_out_as_they_went_in(house: House, count: int, size: int) -> None:
    with db.transaction() as tx:
        bulk.write(tx, folio, COLUMNS, rows(count, size))
    assert held() == list(rows(count, size))


def test_rows_written_at_once_are_undone_with_their_transaction(house: House) -> None:
    with pytest.raises(ZeroDivisionError), db.transaction() as tx:  # noqa: PT012  # the write is what is undone
        bulk.write(tx, folio, COLUMNS, rows(10))
        raise ZeroDivisionError
    assert held() == []


def test_rows_are_found_by_any_number_of_keys_and_their_bytes_joined(house: House) -> None:
    with db.transaction() as tx:
        bulk.write(tx, folio, COLUMNS, rows(300))
    sought = [row[0] for row in rows(300)][:200] + [f"nobody {n}' \"" for n in range(40_000)]
    with db.reading() as reading:
        among = bulk.among(reading, folio.c.uscc, sought)
        assert len(reading.execute(select(folio.c.part).where(among)).all()) == 200
        assert len(bulk.joined(reading, folio.c.ciphertext, among)) == 200 * 5
        assert reading.execute(select(folio.c.part).where(bulk.among(reading, folio.c.uscc, []))).all() == []
        assert bulk.joined(reading, folio.c.ciphertext, bulk.among(reading, folio.c.uscc, [])) == b""
