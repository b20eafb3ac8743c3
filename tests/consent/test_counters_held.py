# SPDX-License-Identifier: Apache-2.0
"""Counters held against the trail: whoever sets one back, or takes an answer out, has the consent named."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, text, update

from audit.models import entry as entries
from audit.models import unsealed
from consent import counters
from consent.models import consent_use
from consent.terms import Frequency
from kernel import clock, db, ids
from tests import factories
from tests.audit.test_verification import GUARDS
from tests.conftest import House
from tests.consent.test_counters import ask, used

MIDNIGHT = datetime(2026, 11, 24, 16, 0, tzinfo=UTC)  # in Shanghai
LIMITS: list[dict[str, Any]] = [{"max_queries": 9}] + [{"frequency": Frequency(9, per)} for per in ("day", "year")]


def found() -> list[tuple[str, str]]:
    with db.reading() as reading:
        return [(fault.entry, fault.fault.partition(":")[0]) for fault in counters.faults(reading)]


def act(statement: Any) -> None:
    with db.transaction() as tx:
        tx.execute(statement)


def asked(times: int, grantee: str = "", **limits: Any) -> tuple[str, str]:
    """A consent under which an institution asked so often. Returns both."""
    institution, enterprise = factories.bank(), factories.new_uscc()
    consent_id = factories.consent(enterprise, grantee or institution, **limits)
    for _ in range(times):
        assert ask(institution, enterprise) == "answered"
    return consent_id, institution


def test_counters_say_what_the_trail_tells(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "CONSENTS_AT_ONCE", 2)
    for limits in LIMITS:
        for times in (0, 1, 3):
            asked(times, **limits)
    asked(2, "kind:bank", max_queries=5, frequency=Frequency(3, "week"))
    asked(2)
    one, enterprise = factories.bank(), factories.new_uscc()
    factories.consent(enterprise, "platform", max_queries=2)
    assert [ask(each, enterprise) for each in (one, one, one, factories.bank())] == [
        "answered", "answered", "quota-exhausted", "answered"
    ]  # fmt: skip
    assert found() == []


@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("says", [2, 4, None])
def test_a_counter_that_was_set_back_raised_or_deleted_is_named(
    house: House, limits: dict[str, Any], says: int | None
) -> None:
    asked(2, **limits)
    consent_id, _ = asked(3, **limits)
    asked(1, **limits)
    here = consent_use.c.consent == consent_id
    act(delete(consent_use).where(here) if says is None else update(consent_use).where(here).values(used=says))
    assert found() == [(consent_id, "edited")]


def test_a_counter_that_nothing_counted_is_named(house: House) -> None:
    consent_id, institution = asked(1, frequency=Frequency(9, "year"))
    forged = {"consent": consent_id, "institution": institution, "used": 1}
    act(insert(consent_use).values(forged | {"period": "2026-01-01"}))
    act(insert(consent_use).values(forged | {"period": "2020"}))
    assert found() == [(consent_id, "edited")] * 2


def test_an_answer_taken_out_together_with_its_note_is_missed_by_the_counter(house: House) -> None:
    """What the check of the trail cannot find before the sealing, it finds where a limit is set."""
    consent_id, _ = asked(3, max_queries=9)
    with db.transaction() as tx:
        for statement in GUARDS[house.engine]:
            tx.execute(text(statement))
        answer = entries.c.consent == consent_id, entries.c.type == "query.answered"
        gone = tx.scalar(select(entries.c.id).where(*answer))
        tx.execute(delete(entries).where(entries.c.id == gone))
        tx.execute(delete(unsealed).where(unsealed.c.entry == gone))
    assert found() == [(consent_id, "edited")]


@pytest.mark.parametrize(("made", "counted"), [(-0.2, -0.1), (-0.2, 0.1), (0.1, 0.2), (-40, 5)])
def test_about_midnight_an_answer_may_count_on_either_day(
    house: House, monkeypatch: pytest.MonkeyPatch, made: float, counted: float
) -> None:
    at = int((MIDNIGHT + timedelta(seconds=made)).timestamp() * 1_000_000_000)
    monkeypatch.setattr(ids.time, "time_ns", lambda: at)
    monkeypatch.setattr(clock, "now", lambda: MIDNIGHT + timedelta(seconds=counted))
    consent_id, _ = asked(2, frequency=Frequency(5, "day"))
    assert found() == []
    act(update(consent_use).values(used=3))
    assert found() == [(consent_id, "edited")]


@pytest.mark.parametrize(("where", "answers"), [("_answered", 2), ("_told", 2), ("_counted", 4)])
def test_what_is_answered_while_the_check_runs_is_no_fault(
    house: House, monkeypatch: pytest.MonkeyPatch, where: str, answers: int
) -> None:
    institution, enterprise = factories.bank(), factories.new_uscc()
    factories.consent(enterprise, institution, max_queries=9, frequency=Frequency(9, "year"))
    real = getattr(counters, where)

    def answering(*arguments: Any) -> Any:
        assert ask(institution, enterprise) == "answered"
        told = real(*arguments)
        assert ask(institution, enterprise) == "answered"
        return told

    monkeypatch.setattr(counters, where, answering)
    assert found() == []
    assert set(used().values()) == {answers}


def test_a_counter_of_the_policy_is_not_compared(house: House) -> None:
    """The limit that the module states: the policy may have begun to count at any time."""
    institution, enterprise = factories.bank(), factories.new_uscc()
    factories.consent(enterprise, institution, max_queries=9)
    for _ in range(2):
        assert ask(institution, enterprise, purpose="trade_credit") == "answered"
    act(update(consent_use).where(consent_use.c.period.like("trade_credit:%")).values(used=1))
    assert found() == []
