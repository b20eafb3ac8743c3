# SPDX-License-Identifier: Apache-2.0
"""Compaction: fewer folios that say exactly the same, of now and of every earlier day."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update
from structlog.testing import capture_logs

from bureau import compaction, folios, intake, vault
from bureau.folios import Correction
from bureau.models import folio
from kernel import db
from kernel.keys import Altered
from tests import factories
from tests.bureau.histories import History, answer, case_filed, electricity, entries
from tests.conftest import House
from tests.factories import ask, bank, consent, new_uscc, registration, token


def a_year(history: History) -> None:
    """Twelve monthly deliveries to class 2, a few to classes 1 and 5, some corrected."""
    for month in range(1, 13):
        rows = [
            electricity(1, history.uscc, f"2024-{month:02}"),
            electricity(2, history.uscc, "2024-01", f"{month}.5"),
        ]
        if month % 4 == 0:
            rows += [
                registration(3, history.uscc, f"演示{month}有限公司"),
                case_filed(4, history.uscc, f"演示{month}号"),
            ]
        history.deliver(rows, "S01" if month % 3 else "S02")
    history.lay_over(history.told[0].document["id"], Correction("dispute"))
    history.lay_over(history.told[1].document["id"], Correction("correction", {"C2.01.04": "7"}))


def stored(uscc: str | None = None) -> Sequence[Any]:
    held = select(folio).order_by(folio.c.uscc, folio.c["class"], folio.c.batch, folio.c.part)
    with db.reading() as reading:
        return reading.execute(held.where(folio.c.uscc == uscc) if uscc else held).all()


def told_as_of(history: History) -> list[bytes]:
    newest = orjson.loads(answer(history.uscc))["as_of"]["publication"]
    return [answer(history.uscc, as_of=number) for number in range(newest + 1)]


def contents(uscc: str, number: int) -> bytes:
    """The digest of all records of a class, by dataset, as delivered."""
    with db.reading() as reading:
        regions = vault.open_dossier(reading, uscc, (number,)).regions.get(number, ())
    records = [entry for region in regions for entry in region.entries()]
    return compaction.digest(sorted(records, key=lambda entry: entry.dataset))


def test_a_compacted_dossier_says_what_it_said_of_today_and_of_every_earlier_day(
    house: House, client: FlaskClient
) -> None:
    asking, history, quiet = bank(), History(new_uscc()), History(new_uscc())
    bearer = token(asking)
    consent(history.uscc, asking)
    quiet.deliver([electricity(1, quiet.uscc)])
    a_year(history)
    first = ask(client, bearer, history.uscc, key="once")
    before, digest, untouched = told_as_of(history), contents(history.uscc, 2), stored(quiet.uscc)

    assert compaction.sweep() == 1

    assert [(row.batch, row.record_count) for row in stored(history.uscc) if getattr(row, "class") == 2] == [
        (int(history.told[-1].document["id"].split(".")[0]), 24)
    ]
    assert told_as_of(history) == before
    assert orjson.loads(before[-1])["classes"] == history.classes_at(vault.LATEST)
    assert contents(history.uscc, 2) == digest
    assert stored(quiet.uscc) == untouched
    again = ask(client, bearer, history.uscc, key="once")
    assert (again.status_code, again.data) == (200, first.data)
    assert compaction.sweep() == 0


def test_classes_with_few_folios_are_left_as_they_are(house: House) -> None:
    history = History(new_uscc())
    for month in range(1, compaction.MANY):
        history.deliver([electricity(1, history.uscc, f"2024-{month:02}")])
    assert (compaction.sweep(), len(stored())) == (0, compaction.MANY - 1)
    history.deliver([electricity(1, history.uscc, "2024-12")])
    assert (compaction.sweep(), len(stored())) == (1, 1)


def test_compacting_again_and_again_into_full_parts_keeps_every_byte(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "MAX_FOLIO_RECORDS", 5)
    monkeypatch.setattr(compaction, "MANY", 3)
    history, full = History(new_uscc()), set[bytes]()
    for turn in range(9):
        for month in range(1, 4):
            rows = [electricity(1, history.uscc, f"2024-{month:02}", f"{turn}.5")]
            rows += [electricity(2, history.uscc, "2023-01", f"{turn}.{month}")] * (turn % 2)
            rows += [_sewage(3, history.uscc, month)] * (month == turn % 4)
            history.deliver(rows)
        before = told_as_of(history)
        assert compaction.sweep() == 1
        assert told_as_of(history) == before
        now = {bytes(row.ciphertext) for row in stored() if row.record_count >= 5}
        assert full <= now, "a full folio was written again"
        full = now
        assert orjson.loads(answer(history.uscc))["classes"] == history.classes_at(vault.LATEST)
    records = len(history.told)
    assert sum(row.record_count for row in stored()) == records
    assert len(stored()) <= records // 5 + 2


def test_part_filled_folios_before_a_full_one_are_merged_too(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (folios, compaction):
        monkeypatch.setattr(module, "MAX_FOLIO_RECORDS", 5)
    monkeypatch.setattr(compaction, "MANY", 3)
    history = History(new_uscc())
    for month in range(1, 5):
        history.deliver([electricity(1, history.uscc, f"2024-{month:02}")])
    history.deliver([electricity(n, history.uscc, f"2023-{n:02}") for n in range(1, 13)])
    assert [row.record_count for row in stored()] == [1, 1, 1, 1, 5, 5, 2]
    before = told_as_of(history)
    assert compaction.sweep() == 1
    assert [row.record_count for row in stored()] == [5, 5, 5, 1]
    assert told_as_of(history) == before
    assert orjson.loads(before[-1])["classes"] == history.classes_at(vault.LATEST)
    assert compaction.sweep() == 0


def test_a_delivery_in_many_parts_is_compacted_like_any_other(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "CHUNK_ROWS", 1)
    history = History(new_uscc())
    history.deliver([electricity(n, history.uscc, f"2024-{n:02}") for n in range(1, 10)])
    before = told_as_of(history)
    assert (compaction.sweep(), len(stored())) == (1, 1)
    assert told_as_of(history) == before


def test_an_open_delivery_is_left_alone_and_resumed_beside_what_was_compacted(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "CHUNK_ROWS", 1)
    history = History(new_uscc())
    rows = [electricity(n, history.uscc, f"2023-{n:02}") for n in range(1, 13)]
    stopping = (row if row.number < 10 else 1 / 0 for row in rows)
    with pytest.raises(ZeroDivisionError):
        intake.receive(factories.batch(stopping, digest="a" * 64))
    a_year(history)
    opened = [row for row in stored() if row.batch == 1]
    before = told_as_of(history)
    assert compaction.sweep() == 1
    assert [row for row in stored() if row.batch == 1] == opened
    assert told_as_of(history) == before
    assert factories.deliver(rows, digest="a" * 64).accepted == 12
    last = told_as_of(history)
    assert last[: len(before)] == before
    assert compaction.sweep() == 1
    assert told_as_of(history) == last


@pytest.mark.parametrize("fails", ["_replace", "_DELETE", "digest", "pack"])
def test_a_compaction_that_fails_half_way_changes_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    history = History(new_uscc())
    a_year(history)
    before, bytes_before = stored(), told_as_of(history)
    replace: Callable[..., None] = compaction._replace
    if fails == "_replace":  # the process dies when the old folios are gone and the new ones are there
        monkeypatch.setattr(compaction, "_replace", lambda *given: (replace(*given), 1 / 0))
    elif fails == "_DELETE":  # one of the old folios is no longer there
        monkeypatch.setattr(compaction, "_DELETE", compaction._DELETE.where(folio.c.batch != before[0].batch + 1))
    elif fails == "digest":
        digests = iter([b"of the new", b"of the old"])
        monkeypatch.setattr(compaction, "digest", lambda records: next(digests))
    else:  # a record is lost on the way
        monkeypatch.setattr(compaction.folios, "pack", lambda records, pack=folios.pack: pack(list(records)[:-1]))
    with pytest.raises((Altered, ZeroDivisionError)):
        compaction.sweep()
    monkeypatch.undo()
    assert stored() == before
    assert told_as_of(history) == bytes_before
    assert compaction.sweep() == 1


def test_a_folio_that_does_not_open_stops_its_class_and_no_other(house: House) -> None:
    histories = sorted((History(new_uscc()) for _ in range(3)), key=lambda history: history.uscc)
    for history in histories:
        a_year(history)
    victim = histories[1].uscc
    with db.transaction() as tx:
        tx.execute(update(folio).where(folio.c.uscc == victim, folio.c.batch % 5 == 0).values(ciphertext=b"ruined" * 9))
    before = stored(victim)
    with capture_logs() as logged, pytest.raises(Altered, match="1 classes"):
        compaction.sweep()
    assert [(line["log_level"], line["enterprise"], line["number"]) for line in logged] == [("error", victim, 2)]
    assert stored(victim) == before
    for history in (histories[0], histories[2]):
        assert len([row for row in stored(history.uscc) if getattr(row, "class") == 2]) == 1
        assert orjson.loads(answer(history.uscc))["classes"] == history.classes_at(vault.LATEST)


def test_a_sweep_goes_through_all_pages(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "CLASSES_AT_ONCE", 2)
    monkeypatch.setattr(compaction, "CLASSES_A_COMMIT", 1)
    monkeypatch.setattr(compaction, "MANY", 2)
    codes, told = [new_uscc() for _ in range(5)], list[int]()
    for month in ("2024-01", "2024-02"):
        factories.deliver([electricity(n, code, month) for n, code in enumerate(codes, 1)])
    assert compaction.sweep(told.append) == 5
    assert told == [1, 2, 3, 4, 5]


def test_compactors_deliveries_and_readers_do_not_disturb_one_another(
    open_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two compactors, a source and a reader at once: each publication keeps the bytes that it had first."""
    monkeypatch.setattr(compaction, "MANY", 2)
    history, faults, stop = History(new_uscc()), list[str](), threading.Event()
    for month in range(1, 7):
        history.deliver([electricity(1, history.uscc, f"2023-{month:02}")])
    first = told_as_of(history)

    def watch(act: Callable[[], None]) -> None:
        try:
            while not stop.is_set():
                act()
                time.sleep(0.002)
        except Exception as error:  # noqa: BLE001  # whatever it is, the test shows it
            faults.append(repr(error))
            stop.set()

    def read() -> None:
        if told_as_of(history)[: len(first)] != first:
            faults.append("an earlier publication changed")
        shown = orjson.loads(answer(history.uscc))
        records = shown["classes"][0]["datasets"][0]["records"]
        if len(records) != shown["as_of"]["publication"]:
            faults.append(f"{len(records)} records as of {shown['as_of']}")

    acts = (compaction.sweep, compaction.sweep, read)
    threads = [threading.Thread(target=watch, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for number in range(40):
        if stop.is_set():
            break
        history.deliver([electricity(1, history.uscc, f"20{24 + number // 12}-{number % 12 + 1:02}")])
    stop.set()
    for thread in threads:
        thread.join()
    assert faults == []
    assert orjson.loads(answer(history.uscc))["classes"] == history.classes_at(vault.LATEST)
    compaction.sweep()
    assert [row.record_count for row in stored()] == [46]
    assert len(entries("batch.received")) == 46


def _sewage(number: int, uscc: str, month: int) -> Any:
    """A row of C2.04, another dataset of class 2."""
    return electricity(number, uscc, f"2024-{month:02}")._replace(dataset="C2.04", items={"C2.04.01": str(month)})
