# SPDX-License-Identifier: Apache-2.0
"""Masks brought up by what changed are the masks that reading every consent would give."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import update

from bureau.screening import masks
from consent import consents, screenable
from consent.models import consent as consent_table
from kernel import auth, clock, db
from kernel.errors import Conflict
from tests.bureau.screening.screened import snapshot_over
from tests.conftest import House
from tests.factories import COUNTER, bank, consent, new_uscc

CLASSES = (1, 2, 3)


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    def to(moment: datetime) -> None:
        monkeypatch.setattr(clock, "now", lambda: moment)

    return to


class Watched:
    """Some enterprises, the bank that screens them, and its mask as this process keeps it."""

    def __init__(self, size: int) -> None:
        self.usccs = sorted(new_uscc() for _ in range(size))
        self.bank = bank()
        self.asking = auth.Institution(self.bank, "Bank", "bank", "active")
        self.snapshot = snapshot_over(self.usccs)

    def seen(self) -> list[int]:
        with db.reading() as reading:
            return list(masks.current(reading, self.snapshot, self.asking, clock.now()).classes)

    def is_true(self) -> bool:
        with db.reading() as reading:
            kept = masks.current(reading, self.snapshot, self.asking, clock.now())
            anew = masks._read_all(reading, self.snapshot, self.asking, clock.now())
        return bool(np.array_equal(kept.classes, anew.classes) and np.array_equal(kept.until, anew.until))


def test_after_any_act_a_mask_is_as_if_read_anew(house: House, set_clock: Callable[[datetime], None]) -> None:
    chance, watched, now = random.Random(20261124), Watched(4), datetime(2026, 11, 24, tzinfo=UTC)
    given: list[str] = []
    for _ in range(120):
        now += timedelta(seconds=chance.choice([1, 60, 86_400, 20 * 86_400]))
        set_clock(now)
        try:
            act = chance.choice(["grant", "grant", "pause", "resume", "revoke", "nothing"])
            if act == "grant":
                uscc, grantee = chance.choice(watched.usccs), chance.choice([watched.bank, "kind:bank", "platform"])
                scope = chance.choice(["query", "query", "collect"]) if grantee == "platform" else "query"
                times = {
                    "not_before": chance.choice([None, now + timedelta(days=2)]),
                    "expires_at": chance.choice([None, now + timedelta(days=5)]),
                }
                limit = {"max_queries": 3} if scope == "query" and chance.random() < 0.2 else {}
                classes = tuple(sorted(chance.sample(CLASSES, chance.randint(1, 3))))
                given.append(consent(uscc, grantee, scope=scope, classes=classes, **times, **limit))
            elif act != "nothing" and given:
                with db.transaction() as tx:
                    getattr(consents, act)(tx, chance.choice(given), COUNTER)
        except Conflict:
            pass
        assert watched.is_true()


def test_consents_are_read_in_portions(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screenable, "ROWS_AT_ONCE", 5)
    watched = Watched(7)
    for uscc in watched.usccs:
        for grantee in ("platform", "kind:bank", watched.bank):
            consent(uscc, grantee, classes=(1,) if grantee == watched.bank else (2,))
    assert watched.seen() == [2] * 7


def test_a_consent_begins_and_ends_with_the_clock(house: House, set_clock: Callable[[datetime], None]) -> None:
    watched, now = Watched(1), datetime(2026, 11, 24, tzinfo=UTC)
    set_clock(now)
    begins, ends = now + timedelta(seconds=90.5), now + timedelta(seconds=200.25)
    consent(watched.usccs[0], watched.bank, classes=(1,), not_before=begins, expires_at=ends)
    moment, shown = timedelta(microseconds=1), []
    for time in (now, begins - moment, begins, ends - moment, ends):
        set_clock(time)
        shown.append(watched.seen())
    assert shown == [[0], [0], [2], [2], [0]]


def test_a_change_by_another_hand_than_ours_is_seen(house: House) -> None:
    watched = Watched(1)
    given = consent(watched.usccs[0], watched.bank, classes=(1,))
    assert watched.seen() == [2]
    with db.transaction() as tx:
        tx.execute(update(consent_table).where(consent_table.c.id == given).values(status="suspended"))
    assert watched.seen() == [0]


def test_a_revocation_that_began_first_and_committed_last_is_seen(open_house: House) -> None:
    if open_house.engine == "sqlite":
        pytest.skip("on SQLite one writes at a time")
    watched = Watched(2)
    slow, quick = (consent(uscc, watched.bank, classes=(1,)) for uscc in watched.usccs)
    with db.transaction() as first:
        consents.revoke(first, slow, COUNTER)
        with db.transaction() as second:
            consents.revoke(second, quick, COUNTER)
        assert watched.seen() == [2, 0]
        assert watched.seen() == [2, 0]
    assert watched.seen() == [0, 0]


def test_of_two_pages_at_once_the_one_that_saw_less_does_not_set_back_the_other(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(1)
    given = consent(watched.usccs[0], watched.bank, classes=(1,))
    with db.transaction() as tx:
        consents.pause(tx, given, COUNTER)
    assert watched.seen() == [0]
    with db.transaction() as tx:
        consents.resume(tx, given, COUNTER)
    brought_up = masks._brought_up

    def overtaken(*args: Any) -> masks.Mask:
        monkeypatch.setattr(masks, "_brought_up", brought_up)
        older = brought_up(*args)
        with db.transaction() as tx:
            consents.revoke(tx, given, COUNTER)
        assert watched.seen() == [0]
        return older

    monkeypatch.setattr(masks, "_brought_up", overtaken)
    assert watched.seen() == [2]  # it began before the revocation
    assert watched.seen() == [0]


def test_a_database_that_was_set_back_is_read_anew(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(1)
    consent(watched.usccs[0], watched.bank, classes=(1,))
    assert watched.seen() == [2]
    (place,) = (place for place in masks._held if place[0] == watched.bank)
    held = masks._held[place]
    ahead = replace(held, classes=np.zeros(1, np.uint8), since=held.since + 1_000_000)
    monkeypatch.setitem(masks._held, place, ahead)
    assert watched.seen() == [2]
