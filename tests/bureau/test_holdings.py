# SPDX-License-Identifier: Apache-2.0
"""What was taken out of the vault, put back into it or hidden in it is named, though every folio left still opens."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from bureau import compaction, holdings, intake
from bureau.models import batch as batches
from bureau.models import folio, open_batch
from kernel import db
from tests import factories
from tests.bureau.histories import History, case_filed, electricity
from tests.conftest import House
from tests.factories import new_uscc


def found() -> list[tuple[str, str]]:
    with db.reading() as reading:
        return [(fault.kind, fault.fault.split(":")[0]) for fault in holdings.faults(reading)]


def a_year(months: int = 12) -> History:
    history = History(new_uscc())
    for month in range(1, months + 1):
        rows = [electricity(1, history.uscc, f"2024-{month:02}"), case_filed(2, history.uscc, "演示案")]
        history.deliver(rows)
    return history


def stored() -> Sequence[Any]:
    with db.reading() as reading:
        return reading.execute(select(folio).order_by(folio.c.batch, folio.c["class"])).all()


def put_back(rows: Sequence[Any]) -> None:
    with db.transaction() as tx:
        tx.execute(insert(folio), [dict(row._mapping) for row in rows])


def nth_batch(nth: int) -> int:
    with db.reading() as reading:
        return list(reading.scalars(select(batches.c.id).order_by(batches.c.id)))[nth - 1]


def change(table: Any, **values: Any) -> None:
    """Edit what stands beside the third batch, or beside its folios."""
    of = table.c.id if table is batches else table.c.batch
    with db.transaction() as tx:
        tx.execute(update(table).where(of == nth_batch(3)).values(**values))


def test_an_honest_vault_has_no_faults_before_and_after_compaction(house: House) -> None:
    assert found() == []
    a_year()
    assert found() == []
    assert compaction.sweep() == 2
    assert found() == []
    a_year(2)
    assert found() == []


def test_a_deleted_folio_is_missed(house: House) -> None:
    a_year(4)
    with db.transaction() as tx:
        tx.execute(delete(folio).where(folio.c.batch == nth_batch(3), folio.c["class"] == 2))
    assert found() == [("batch", "deleted")]


def test_folios_put_back_after_they_were_merged_are_found(house: House) -> None:
    a_year()
    before = stored()
    compaction.sweep()
    put_back([row for row in before if row.batch < nth_batch(12)][:3])
    assert found() == [("batch", "put back")] * 2


def test_folios_of_before_the_compaction_in_place_of_the_merged_lose_what_had_been_merged(house: House) -> None:
    a_year()
    before = stored()
    compaction.sweep()
    with db.transaction() as tx:
        tx.execute(delete(folio).where(folio.c["class"] == 2))
    put_back([row for row in before if row.batch == nth_batch(12) and getattr(row, "class") == 2])
    assert found() == [("batch", "deleted")] * 11


@pytest.mark.parametrize("publication", [None, 9])
def test_a_batch_that_was_hidden_or_put_at_another_time_is_named(house: House, publication: int | None) -> None:
    a_year(4)
    change(batches, publication=publication)
    assert ("batch", "edited") in found()


def test_columns_beside_a_folio_are_held_against_its_inside(house: House) -> None:
    a_year(4)
    change(folio, record_count=2)
    assert found() == [("folio", "edited")] * 2
    change(folio, record_count=1, since=4)
    assert found() == [("folio", "edited")] * 2
    change(folio, since=None, marks=bytes(8))
    assert found() == [("folio", "edited")] * 2
    change(folio, marks=b"short")
    assert ("folio", "altered") in found()


def test_a_folio_that_was_edited_is_named(house: House) -> None:
    a_year(4)
    change(folio, ciphertext=b"\0" * 60)
    assert found() == [("folio", "altered")] * 2 + [("batch", "deleted")]


def test_an_interrupted_delivery_is_no_fault_and_sums_up_once_resumed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "CHUNK_ROWS", 2)
    rows = [electricity(n, new_uscc()) for n in range(1, 8)]
    with pytest.raises(ZeroDivisionError):
        intake.receive(factories.batch((row if row.number < 6 else 1 / 0 for row in rows), digest="a" * 64))
    assert found() == []
    factories.deliver(rows, digest="a" * 64)
    assert found() == []
    with db.reading() as reading:
        assert reading.execute(select(open_batch)).all() == []
