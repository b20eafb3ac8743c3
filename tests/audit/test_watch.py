# SPDX-License-Identifier: Apache-2.0
"""What makes questions stop: entries that wait, and a log that no quorum of witnesses cosigns."""

from datetime import UTC, datetime, timedelta

import pytest

from audit import sealing, watch
from audit.watch import State, Watch
from kernel import clock, db
from kernel.errors import Unavailable
from tests.audit.test_sealing import ORIGIN, append
from tests.conftest import House

START = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


def kept(state: State, now: datetime, since: datetime = START) -> dict[str, bool]:
    return {condition.name: condition.is_kept for condition in watch.judge(state, now, since)}


@pytest.mark.parametrize(
    ("appended", "now", "is_kept"),
    [(None, 10_000, True), (0, 60, True), (0, 61, False), (-500, 60, True), (-500, 61, False), (100, 160, True),
     (100, 161, False)],
)  # fmt: skip
def test_an_entry_may_wait_sixty_seconds_from_its_append_or_from_the_start(
    appended: int | None, now: int, is_kept: bool
) -> None:
    oldest = None if appended is None else START + timedelta(seconds=appended)
    assert kept(State(oldest), START + timedelta(seconds=now)) == {"sealing": is_kept, "witnesses": True}


@pytest.mark.parametrize(
    ("asks", "hours", "is_kept"),
    [
        (False, None, True),
        (False, 9, True),
        (True, 0, True),
        (True, 4, True),
        (True, 4.001, False),
        (True, None, False),
    ],
)
def test_a_quorum_counts_for_four_hours_and_a_restart_gives_no_more(
    asks: bool, hours: float | None, is_kept: bool
) -> None:
    now = START + timedelta(days=1)
    state = State(None, asks, None if hours is None else now - timedelta(hours=hours))
    for since in (START, now):
        assert kept(state, now, since) == {"sealing": True, "witnesses": is_kept}


def test_questions_stop_when_sealing_does_not_keep_up_and_go_on_when_it_does(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: START)
    append()
    watching = Watch(START + timedelta(seconds=30))
    for seconds, stops in ((60, False), (90, False), (91, True)):
        monkeypatch.setattr(clock, "now", lambda seconds=seconds: START + timedelta(seconds=seconds))
        monkeypatch.setattr(watching, "_looked", float("-inf"))
        with db.reading() as reading:
            if stops:
                with pytest.raises(Unavailable, match="wait to be sealed"):
                    watching.require_kept(reading)
            else:
                watching.require_kept(reading)
    sealing.seal(ORIGIN)
    monkeypatch.setattr(watching, "_looked", float("-inf"))
    with db.reading() as reading:
        watching.require_kept(reading)
