# SPDX-License-Identifier: Apache-2.0
"""Everything is encrypted anew, under new keys and another suite, beside all else, and says what it said."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import func, select, update

from bureau import compaction, holdings, intake, reencryption, vault
from bureau.folios import Correction
from bureau.models import data_key, folio, overlay, rekey_walk
from kernel import ciphers, db, keys
from kernel.keys import Altered
from tests import factories
from tests.bureau.histories import History, answer, case_filed, electricity, entries
from tests.bureau.threads import at_once
from tests.conftest import House
from tests.factories import new_uscc, registration


@pytest.fixture
def sm4(house: House) -> Iterator[None]:
    """From here on new keys are SM4."""
    with use(ciphers.SM4_GCM):
        yield


class use:  # noqa: N801  # read as a verb
    def __init__(self, suite: ciphers.Suite) -> None:
        self.suite = suite

    def __enter__(self) -> None:
        keys.use(dict(keys._opened), self.suite)

    def __exit__(self, *_: object) -> None:
        keys.use(dict(keys._opened))


def a_history(months: int = 3) -> History:
    history = History(new_uscc())
    for month in range(1, months + 1):
        history.deliver([electricity(1, history.uscc, f"2024-{month:02}"), case_filed(2, history.uscc, f"{month}号")])
    history.lay_over(history.told[1].document["id"], Correction("correction", {"C5.01.07": 7}))
    return history


def suites(table: type | object = folio) -> set[int]:
    with db.reading() as reading:
        return set(reading.scalars(select(table.c.suite)))  # type: ignore[union-attr]


def faults() -> list[str]:
    with db.reading() as reading:
        return [fault.fault for fault in holdings.faults(reading)]


def test_a_vault_of_two_suites_answers_as_one(house: House) -> None:
    history = a_history()
    before = answer(history.uscc)
    with use(ciphers.SM4_GCM):
        other = a_history()
        assert suites() == {1, 2}
        history.deliver([electricity(1, history.uscc, "2024-09")])
        done = reencryption.reencrypt()
    assert (done.enterprises, done.keys_removed) == (2, 2)
    assert (suites(), suites(overlay), suites(data_key)) == ({2}, {2}, {2})
    assert answer(history.uscc, as_of=4) == before
    assert other.classes_at(vault.LATEST)
    assert faults() == []
    with db.transaction() as tx:
        compaction.compact(tx, history.uscc, 2)
    assert answer(history.uscc, as_of=4) == before
    (told,) = entries("vault.reencrypted")
    assert told["detail"] == {"enterprises": 2, "suite": "sm4-gcm", "keys_removed": 2}


def test_a_walk_cut_off_anywhere_goes_on_where_it_was(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    histories = [a_history(1) for _ in range(5)]
    before = [answer(history.uscc) for history in histories]
    monkeypatch.setattr(reencryption, "ENTERPRISES_AT_ONCE", 2)

    def cut(done: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        reencryption.reencrypt(cut)
    with db.reading() as reading:
        assert reading.scalar(select(rekey_walk.c.done)) == 2
        assert len(set(reading.scalars(select(folio.c.key_version)))) == 2
    assert [answer(history.uscc) for history in histories] == before
    assert reencryption.reencrypt().enterprises == 3
    with db.reading() as reading:
        assert set(reading.scalars(select(folio.c.key_version))) == {2}
        assert reading.scalar(select(func.count()).select_from(data_key)) == 5
        assert reading.execute(select(rekey_walk)).all() == []
    assert [answer(history.uscc) for history in histories] == before
    assert faults() == []


def test_a_folio_of_another_suite_than_its_key_does_not_open(house: House) -> None:
    history = a_history(1)
    with db.transaction() as tx:
        tx.execute(update(folio).values(suite=2))
    with pytest.raises(Altered):
        answer(history.uscc)
    with db.transaction() as tx:
        tx.execute(update(folio).values(suite=1))
        tx.execute(update(data_key).values(suite=2))
    with pytest.raises(Altered):
        answer(history.uscc)


def test_an_open_delivery_is_encrypted_anew_with_the_rest(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "CHUNK_ROWS", 1)
    code = new_uscc()
    rows = [case_filed(number, code, f"演示{number}号") for number in (1, 2, 3)]
    with pytest.raises(ZeroDivisionError):
        intake.receive(factories.batch((row if row.number < 3 else 1 / 0 for row in rows), digest="b" * 64))
    with use(ciphers.SM4_GCM):
        reencryption.reencrypt()
        assert factories.deliver(rows, digest="b" * 64).accepted == 3
    assert suites() == {2}
    assert faults() == []


def test_beside_deliveries_and_compaction_nothing_is_lost(open_house: House) -> None:
    histories = [a_history(2) for _ in range(4)]

    def deliver() -> None:
        for month in range(1, 9):
            factories.deliver([electricity(1, one.uscc, f"2023-{month:02}") for one in histories])

    def compact() -> None:
        for _ in range(3):
            for one in histories:
                with db.transaction() as tx:
                    compaction.compact(tx, one.uscc, 2)

    steps: list[Callable[[], object]] = [deliver, compact, reencryption.reencrypt]
    outcomes = at_once(steps)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "NoneType", "Reencrypted"], outcomes
    assert faults() == []
    reencryption.reencrypt()
    assert faults() == []
    with db.reading() as reading:
        assert reading.scalar(select(func.count()).select_from(data_key)) == 4


def test_a_row_of_a_suite_that_new_keys_have_is_one_of_the_answer(house: House, sm4: None) -> None:
    code = new_uscc()
    factories.deliver([registration(1, code)])
    assert b'"C1.01.07":200000000' in answer(code)
    assert suites() == {2}
