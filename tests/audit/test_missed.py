# SPDX-License-Identifier: Apache-2.0
"""Entries deleted before they were sealed: their notes keep nobody waiting, and the trail tells whose they were."""

from datetime import timedelta

import pytest
from sqlalchemy import delete, insert, select, text, update
from structlog.testing import capture_logs

from app import config, sealer
from app.application import create_app
from audit import missed, sealing, verification, watch
from audit.models import entry as entries
from audit.models import leaf as leaves
from audit.models import unsealed
from audit.sealing import LogBroken
from kernel import clock, db
from tests.app.test_metrics import read
from tests.audit.test_sealing import ORIGIN, append, count
from tests.conftest import PUBLIC_URL, House

STEP = 40  # notes that a sealing takes at once here


@pytest.fixture(autouse=True)
def small_steps(open_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guards of entries are off, as for whoever owns the database."""
    monkeypatch.setattr(sealing, "LEAVES_AT_ONCE", STEP)
    guards = {
        "sqlite": ["DROP TRIGGER entry_no_delete", "DROP TRIGGER entry_no_update"],
        "postgresql": ["DROP TRIGGER entry_append_only ON entry"],
    }
    with db.transaction() as tx:
        for guard in guards[open_house.engine]:
            tx.execute(text(guard))


def erased(number: int) -> list[str]:
    """So many entries, written and then deleted without their notes."""
    told = append(number)
    with db.transaction() as tx:
        tx.execute(delete(entries).where(entries.c.id.in_(told)))
    return told


def leaves_of(told: list[str]) -> int:
    with db.reading() as reading:
        return len(reading.execute(select(leaves).where(leaves.c.entry.in_(told))).all())


def named() -> dict[str, str]:
    with db.reading() as reading:
        report = verification.verify(reading)
    assert report.ok == (not report.faults)
    return {fault.entry: fault.fault.partition(":")[0] for fault in report.faults}


@pytest.mark.parametrize("gone", [1, STEP - 1, STEP, 3 * STEP + 7])
def test_notes_of_deleted_entries_keep_no_entry_from_being_sealed(open_house: House, gone: int) -> None:
    first = append(2)
    erased(gone)
    last = append(3)
    sealed = sealing.seal(ORIGIN)
    assert (leaves_of(first + last), sealed.missed, count(unsealed)) == (5, gone, 0)
    assert sealing.seal(ORIGIN) == sealing.Sealed(sealed.size, sealed.root, 0), "and it is told once"


@pytest.mark.parametrize("gone", [2, 2 * STEP + 3])
def test_who_was_deleted_is_named_before_and_after_the_sealing_and_beyond_any_note(
    open_house: House, gone: int
) -> None:
    append(2)
    told = erased(gone)
    append(3)
    expected = dict.fromkeys(told, "deleted")
    assert named() == expected
    sealing.seal(ORIGIN)
    assert named() == expected
    with db.transaction() as tx:
        tx.execute(delete(unsealed))
        assert {one for one, _ in missed.told(tx)} == set(told)


def test_questions_stop_although_more_notes_than_a_step_takes_stand_before_what_waits(
    open_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sealer does not run: that nothing is sealed must show, whatever was deleted."""
    erased(2 * STEP)
    append()
    later = clock.now() + timedelta(seconds=61)
    for waits in (True, False):
        with db.reading() as reading:
            sealed, _ = watch.judge(watch.look(reading), later, clock.now())
        assert sealed.is_kept is not waits
        sealing.seal(ORIGIN)


def test_what_was_deleted_is_an_alarm_and_a_line_in_the_log(open_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (open_house.environment | {"BUREAU_PUBLIC_URL": "https://bureau.example"}).items():
        monkeypatch.setenv(name, value)
    settings, client = config.read(), create_app(PUBLIC_URL).test_client()
    append()
    with capture_logs() as lines:
        sealer.seal_once(settings)
        assert (read(client)["bureau_entries_missed"], lines) == (0, [])
        erased(2)
        sealer.seal_once(settings)
    assert read(client)["bureau_entries_missed"] == 1
    assert [(line["log_level"], line["count"]) for line in lines] == [("error", 2)]


def test_notes_that_nothing_ever_wrote_are_told_too(open_house: House) -> None:
    forged = ["", "beside", '"' * 36, "\x01" * 36, "册" * 36, "~" * 36, *(f"{n:036}" for n in range(300))]
    with db.transaction() as tx:
        tx.execute(insert(unsealed), [{"entry": one} for one in forged])
    kept = append(3)
    sealed = sealing.seal(ORIGIN)
    assert (leaves_of(kept), sealed.missed) == (3, len(forged))
    assert set(named()) == set(forged)


@pytest.mark.parametrize("open_house", ["sqlite"], indirect=True)
def test_a_note_that_is_no_text_and_one_that_is_too_long(open_house: House) -> None:
    """What SQLite lets pass into a column of 36 characters."""
    with db.transaction() as tx:
        tx.execute(text("INSERT INTO unsealed (entry) VALUES (x'00ff'), (:long)"), {"long": "x" * 100_000})
    kept = append(2)
    assert (sealing.seal(ORIGIN).missed, leaves_of(kept), count(unsealed)) == (2, 2, 0)
    assert len(named()) == 2


def test_whoever_deletes_what_tells_of_it_is_named_in_turn(open_house: House) -> None:
    (first,) = erased(1)
    with db.transaction() as tx:
        sealing.seal_some(tx, ORIGIN)
    telling = waiting()
    with db.transaction() as tx:
        tx.execute(delete(entries).where(entries.c.id.in_(telling)))
    sealing.seal(ORIGIN)
    assert named() == dict.fromkeys(telling, "deleted")
    assert first not in telling, "the limit: what told of the first is itself gone"


def test_an_edited_entry_still_stops_the_sealing_and_what_is_missed_waits_with_it(open_house: House) -> None:
    told = erased(3)
    (edited,) = append()
    with db.transaction() as tx:
        tx.execute(update(entries).where(entries.c.id == edited).values(bytes=b"{}"))
    with pytest.raises(LogBroken, match=edited):
        sealing.seal(ORIGIN)
    assert named() == {**dict.fromkeys(told, "deleted"), edited: "edited"}


def waiting() -> list[str]:
    with db.reading() as reading:
        return list(reading.scalars(select(unsealed.c.entry)))
