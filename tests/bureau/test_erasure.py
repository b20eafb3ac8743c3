# SPDX-License-Identifier: Apache-2.0
"""Shredding destroys what is held on one enterprise, leaves the others alone, and is itself on the trail."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from audit import trail
from bureau import compaction, erasure, holdings, intake, sums
from bureau.models import data_key, rejected_row
from kernel import db
from kernel.errors import Conflict, NotFound
from kernel.keys import Altered
from tests import factories
from tests.bureau.histories import History, answer, case_filed, electricity, entries
from tests.conftest import House
from tests.factories import ask, bank, consent, new_uscc, registration, token


def shred(uscc: str) -> erasure.Shredded:
    with trail.recording() as tx:
        return erasure.shred(tx, uscc, "an order")


def faults() -> list[Any]:
    with db.reading() as reading:
        return list(holdings.faults(reading))


def rows_about(uscc: str) -> int:
    with db.reading() as reading:
        counts = [select(func.count()).select_from(t).where(t.c.uscc == uscc) for t in erasure.TABLES]
        return sum(reading.scalar(count) or 0 for count in counts)


def two_enterprises() -> tuple[History, History]:
    gone, stays = History(new_uscc()), History(new_uscc())
    for month in range(1, 10):
        for history in (gone, stays):
            history.deliver([electricity(1, history.uscc, f"2024-{month:02}"), registration(2, history.uscc)])
    factories.deliver([case_filed(1, gone.uscc, "演示甲案"), case_filed(2, stays.uscc, "演示甲案")])
    return gone, stays


@pytest.mark.parametrize("compacted", [False, True])
def test_what_is_shredded_is_gone_and_verify_knows_that_it_had_to_go(house: House, compacted: bool) -> None:
    gone, stays = two_enterprises()
    factories.deliver([registration(1, gone.uscc, **{"C1.01.99": "x"})])  # rejected, and kept as such
    assert (compaction.sweep() > 0) is True if compacted else True
    before = answer(stays.uscc)
    told = shred(gone.uscc)
    assert (told.records, told.rows["rejected_row"]) == (19, 1)
    assert rows_about(gone.uscc) == 0
    assert answer(stays.uscc, as_of=told.publication - 1) == before
    assert faults() == []
    assert b'"classes":[]' in answer(gone.uscc)
    (entry,) = entries("enterprise.shredded")
    assert (entry["uscc"], entry["detail"]["reason"], entry["publication"]) == (gone.uscc, "an order", told.publication)
    with pytest.raises(NotFound):
        shred(gone.uscc)
    gone.deliver([electricity(1, gone.uscc, "2025-01")])  # what comes later is under a new key
    assert faults() == []


def test_an_answer_given_before_cannot_be_made_again(house: House, client: FlaskClient) -> None:
    gone, _ = two_enterprises()
    asking = bank()
    consent(gone.uscc, asking)
    bearer = token(asking)
    assert ask(client, bearer, gone.uscc, key="once").status_code == 200
    shred(gone.uscc)
    assert ask(client, bearer, gone.uscc, key="once").status_code == 410


def test_nothing_is_shredded_while_a_delivery_is_open(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "CHUNK_ROWS", 1)
    gone, _ = two_enterprises()
    rows = [electricity(n, gone.uscc, f"2023-{n:02}") for n in range(1, 5)]
    with pytest.raises(ZeroDivisionError):
        intake.receive(factories.batch((row if row.number < 3 else 1 / 0 for row in rows), digest="a" * 64))
    with pytest.raises(Conflict):
        shred(gone.uscc)
    factories.deliver(rows, digest="a" * 64)
    assert shred(gone.uscc).records == 23
    assert faults() == []


def test_many_publications_take_many_entries(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "PUBLICATIONS_AN_ENTRY", 5)
    gone, _ = two_enterprises()
    shred(gone.uscc)
    assert [len(entry["detail"]["removed"]) for entry in entries("enterprise.shredded")] == [5, 5, 0]
    assert faults() == []


def test_a_vault_that_is_not_whole_is_not_shredded(house: House) -> None:
    gone, _ = two_enterprises()
    with db.transaction() as tx:
        tx.execute(data_key.delete().where(data_key.c.uscc == gone.uscc))
    with pytest.raises(Altered):
        shred(gone.uscc)
    with db.reading() as reading:
        assert reading.scalar(select(func.count()).select_from(rejected_row)) == 0
