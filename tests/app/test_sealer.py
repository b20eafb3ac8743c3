# SPDX-License-Identifier: Apache-2.0
"""The sealing process and the thread beside it that asks the witnesses."""

import contextlib
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from app import config, sealer
from app.config import Settings
from audit import log, log_keys, notes, sealing, trust
from audit.sealing import LogBroken
from audit.witnessing import Reply
from kernel import clock, db
from kernel.errors import Unavailable
from tests.audit.test_sealing import ORIGIN, append
from tests.audit.test_witnessing import Three
from tests.conftest import House


@pytest.fixture
def settings(open_house: House, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in (open_house.environment | {"BUREAU_PUBLIC_URL": "https://bureau.example"}).items():
        monkeypatch.setenv(name, value)
    return config.read()


@pytest.fixture
def three(settings: Settings, tmp_path: Path) -> Iterator[Three]:
    witnesses = Three(tmp_path)
    trust.use(witnesses.policy)
    yield witnesses
    trust.use(trust.NO_QUORUM)


@contextlib.contextmanager
def thread_of(settings: Settings, three: Three) -> Iterator[sealer._Witnesses]:
    stop = threading.Event()
    witnesses = sealer._Witnesses(settings, three, stop)  # type: ignore[arg-type]
    witnesses.begin()
    yield witnesses
    stop.set()
    assert witnesses._thread is not None
    witnesses._thread.join(10)


def wait_for_the_end(witnesses: sealer._Witnesses) -> None:
    assert witnesses._thread is not None
    witnesses._thread.join(10)
    assert not witnesses._thread.is_alive()


def test_a_contradiction_stops_the_sealing_until_the_process_is_started_again(settings: Settings, three: Three) -> None:
    append(5)
    with thread_of(settings, three) as witnesses:
        three.lie(422, b"", "w2")
        sealing.seal(ORIGIN)
        witnesses.wake()
        wait_for_the_end(witnesses)
        three.wake()
        for _ in range(2):
            with pytest.raises(LogBroken, match="w2 says"):
                witnesses.require_agreement()


def test_a_contradiction_at_the_start_is_not_forgotten_when_its_witness_falls_silent(
    settings: Settings, three: Three
) -> None:
    append(5)
    sealer._seal(settings)
    witnesses = sealer._Witnesses(settings, three, threading.Event())  # type: ignore[arg-type]
    three.lie(409, b"6\n", "w3")
    with pytest.raises(LogBroken, match="w3 cosigned 6"):
        witnesses.begin()
    three.kill("w3")
    with pytest.raises(LogBroken, match="w3 cosigned 6"):
        witnesses.require_agreement()


def test_until_someone_outside_of_the_database_speaks_nothing_begins(settings: Settings, three: Three) -> None:
    append(5)
    three.kill("w1", "w2", "w3")
    witnesses = sealer._Witnesses(settings, three, threading.Event())  # type: ignore[arg-type]
    with pytest.raises(Unavailable, match="no quorum of witnesses answers"):
        witnesses.begin()
    witnesses.require_agreement()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_breaks_takes_the_process_along(settings: Settings, three: Three) -> None:
    append(1)

    def break_down(body: bytes) -> Reply:
        raise ZeroDivisionError

    with thread_of(settings, three) as witnesses:
        three.answers["w1"] = break_down
        sealing.seal(ORIGIN)
        witnesses.wake()
        wait_for_the_end(witnesses)
        with pytest.raises(RuntimeError, match="has ended"):
            witnesses.require_agreement()


def test_it_asks_while_something_is_not_witnessed_and_then_every_ten_minutes(
    settings: Settings, three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not sealer._is_due(), "an empty log"
    append(1)
    sealing.seal(ORIGIN)
    assert sealer._is_due()
    sealer._witness(settings, three)  # type: ignore[arg-type]
    assert not sealer._is_due()
    begun = clock.now()
    for minutes, due in ((9, False), (11, True)):
        monkeypatch.setattr(clock, "now", lambda minutes=minutes: begun + timedelta(minutes=minutes))
        assert sealer._is_due() is due
    sealer._witness(settings, three)  # type: ignore[arg-type]
    assert not sealer._is_due()
    append(1)
    sealing.seal(ORIGIN)
    assert sealer._is_due()


def test_a_key_that_another_process_added_signs_from_the_next_sealing_on(settings: Settings) -> None:
    append(1)
    sealer._seal(settings)
    with db.transaction() as tx:
        added = log_keys.add(tx, ORIGIN)
    sealer._seal(settings)
    with db.reading() as reading:
        head, known = log.head(reading), log.keys(reading, ORIGIN)
    assert head
    assert next(key for key, _ in notes.verified(head.note, known)[1]) == added
    assert len(known) == 2
