# SPDX-License-Identifier: Apache-2.0
"""Limits on how often: exact whoever asks at once, refused by name, and untouched where no limit is set."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from app.application import create_app
from audit.models import entry as entries
from bureau import answers, disclosure
from consent import store
from consent.models import consent_use
from consent.terms import Frequency
from kernel import clock, db
from kernel.errors import NotPermitted
from tests import factories
from tests.bureau.histories import case_filed
from tests.conftest import PUBLIC_URL, House

DAYS = ["2019-05-07", "2024-11-23", "2024-11-24", "2026-01-05"]
T0 = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


def ask(institution: str, enterprise: str, **asked: Any) -> str:
    """`answered`, or the rule that refused."""
    try:
        disclosure.disclose(factories.question(institution, enterprise, **asked), answers.records)
    except NotPermitted as refusal:
        return refusal.slug
    return "answered"


def used() -> dict[str, int]:
    with db.reading() as reading:
        return {row.period: row.used for row in reading.execute(select(consent_use))}


def on_trail(kind: str) -> int:
    with db.reading() as reading:
        return reading.scalar(select(func.count(entries.c.id)).where(entries.c.type == kind)) or 0


def status(consent_id: str) -> str:
    with db.reading() as reading:
        return store.get(reading, consent_id).status


@pytest.mark.parametrize("limit", [{"max_queries": 10}, {"frequency": Frequency(10, "year")}])
@pytest.mark.parametrize("wide", [False, True])
def test_fifty_at_once_against_a_limit_of_ten_give_exactly_ten_answers(
    open_house: House, limit: dict[str, Any], wide: bool
) -> None:
    institution, enterprise = factories.bank(), factories.new_uscc()
    factories.deliver([factories.registration(1, enterprise)])
    consent_id = factories.consent(enterprise, "kind:bank" if wide else institution, **limit)
    with ThreadPoolExecutor(16) as pool:
        told = list(pool.map(lambda _: ask(institution, enterprise), range(50)))
    assert (told.count("answered"), told.count("quota-exhausted")) == (10, 40)
    assert list(used().values()) == [10]
    assert (on_trail("query.answered"), on_trail("query.refused")) == (10, 40)
    consumed = not wide and "max_queries" in limit
    assert status(consent_id) == ("consumed" if consumed else "active")
    assert on_trail("consent.consumed") == int(consumed)


def test_each_institution_has_its_own_count_under_a_wide_consent(house: House) -> None:
    one, two, enterprise = factories.bank(), factories.bank(), factories.new_uscc()
    factories.consent(enterprise, "kind:bank", max_queries=1)
    assert [ask(one, enterprise), ask(one, enterprise), ask(two, enterprise)] == [
        "answered", "quota-exhausted", "answered"
    ]  # fmt: skip


def test_a_new_period_begins_at_midnight_in_shanghai(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    institution, enterprise = factories.bank(), factories.new_uscc()
    midnight = datetime(2026, 11, 24, 16, 0, tzinfo=UTC)
    monkeypatch.setattr(clock, "now", lambda: midnight - timedelta(hours=2))
    factories.consent(enterprise, institution, frequency=Frequency(1, "day"))
    assert [ask(institution, enterprise) for _ in range(2)] == ["answered", "quota-exhausted"]
    monkeypatch.setattr(clock, "now", lambda: midnight - timedelta(microseconds=1))
    assert ask(institution, enterprise) == "quota-exhausted"
    monkeypatch.setattr(clock, "now", lambda: midnight)
    assert ask(institution, enterprise) == "answered"


def test_where_no_limit_is_set_nothing_is_counted(house: House) -> None:
    institution, enterprise = factories.bank(), factories.new_uscc()
    factories.consent(enterprise, institution)
    assert ask(institution, enterprise) == "answered"
    assert used() == {}


def test_the_policys_frequency_is_counted_by_purpose(house: House) -> None:
    institution, enterprise = factories.bank(), factories.new_uscc()
    factories.consent(enterprise, institution)
    assert ask(institution, enterprise, purpose="trade_credit") == "answered"
    month = clock.legal_day(clock.now()).isoformat()[:7]
    assert used() == {f"trade_credit:{month}": 1}


def test_a_refused_question_counts_nothing_against_any_limit(house: House) -> None:
    institution, enterprise = factories.bank(), factories.new_uscc()
    factories.consent(enterprise, institution, classes=(1,), frequency=Frequency(1, "day"), max_queries=5)
    assert ask(institution, enterprise, classes=(2,)) == "class-not-covered"
    assert used() == {}
    assert [ask(institution, enterprise) for _ in range(3)] == ["answered", "quota-exhausted", "quota-exhausted"]
    assert set(used().values()) == {1}, "the limit that was left was not touched by what the other refused"


def test_an_answer_that_fails_counts_nothing(house: House) -> None:
    institution, enterprise = factories.bank(), factories.new_uscc()
    factories.consent(enterprise, institution, max_queries=1)

    def fail(*_: Any) -> Any:
        raise RuntimeError("no answer")

    with pytest.raises(RuntimeError):
        disclosure.disclose(factories.question(institution, enterprise), fail)
    assert used() == {}
    assert ask(institution, enterprise) == "answered"


def test_a_replay_is_not_counted_and_works_when_all_is_used_up(house: House) -> None:
    institution, enterprise = factories.bank(), factories.new_uscc()
    consent_id = factories.consent(enterprise, institution, max_queries=1)
    question = factories.question(institution, enterprise)
    first = disclosure.disclose(question, answers.records)
    assert status(consent_id) == "consumed"
    assert disclosure.disclose(question, answers.records).body == first.body
    assert used() == {"all": 1}
    assert ask(institution, enterprise) == "quota-exhausted"


def test_a_new_grant_begins_to_count_anew(house: House) -> None:
    institution, enterprise = factories.bank(), factories.new_uscc()
    factories.consent(enterprise, institution, max_queries=1)
    assert [ask(institution, enterprise) for _ in range(2)] == ["answered", "quota-exhausted"]
    factories.consent(enterprise, institution, max_queries=1)
    assert ask(institution, enterprise) == "answered"


def test_over_http_the_refusal_names_the_rule_and_the_limit(house: House) -> None:
    client, institution, enterprise = create_app(PUBLIC_URL).test_client(), factories.bank(), factories.new_uscc()
    factories.consent(enterprise, institution, frequency=Frequency(1, "month"))
    bearer = factories.token(institution)
    assert factories.ask(client, bearer, enterprise).status_code == 200
    refused = factories.ask(client, bearer, enterprise)
    assert refused.status_code == 403
    assert refused.json["type"].endswith("/problems/quota-exhausted")
    assert (refused.json["rule"], refused.json["limit"]) == ("frequency", 1)


def test_history_leaves_older_events_out_and_a_replay_gives_the_same_bytes(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    institution, enterprise = factories.bank(), factories.new_uscc()
    cases = [case_filed(n, enterprise, f"case {n}")._replace(event_date=day) for n, day in enumerate(DAYS, 2)]
    factories.deliver([factories.registration(1, enterprise), *cases])
    monkeypatch.setattr(clock, "now", lambda: T0)
    factories.consent(enterprise, institution, history_months=24)
    question = factories.question(institution, enterprise)
    first = disclosure.disclose(question, answers.records)
    told = first.body.decode()
    assert [day for day in DAYS if f'"event_date":"{day}"' in told] == ["2024-11-24", "2026-01-05"]
    assert "C1.01.01" in told, "what holds till replaced is not cut"
    monkeypatch.setattr(clock, "now", lambda: T0 + timedelta(days=40))
    assert disclosure.disclose(question, answers.records).body == first.body
