# SPDX-License-Identifier: Apache-2.0
"""Consent by redirect, the way it should go: a bank asks, an enterprise answers, a token that fits the answer."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from access import authorizations, tokens
from access.models import authorization_request
from audit.models import entry as entries
from consent import policy, store, words
from kernel import canonical, clock, db
from tests import factories
from tests.conftest import PUBLIC_URL
from tests.consent.redirecting import Bank, Person, details, form_of, told


@pytest.fixture
def bank(app: Flask) -> Bank:
    return Bank(app)


@pytest.fixture
def person(app: Flask) -> Person:
    return Person(app)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_an_enterprise_grants_and_the_bank_asks_with_the_token_that_its_code_bought(bank: Bank, person: Person) -> None:
    answer = person.grant(bank.ask())
    assert answer.keys() == {"code", "state", "iss"}
    assert (answer["state"], answer["iss"]) == ("af0ifjsldkj", PUBLIC_URL)
    bought = bank.redeem(answer["code"])
    assert bought.status_code == 200, bought.json
    token = bought.json
    assert (token["token_type"], token["scope"]) == ("Bearer", "credit:query")
    assert 0 < token["expires_in"] <= 300
    assert "refresh_token" not in token
    (granted,) = token["authorization_details"]
    assert granted["type"] == "credit_query"
    assert (granted["uscc"], granted["classes"], granted["purposes"]) == (person.uscc, [1, 2], ["pre_loan"])
    shown = bank.http.post("/oauth/introspect", data={"token": token["access_token"]}, auth=bank.auth).json
    assert (shown["active"], shown["authorization_details"]) == (True, [granted])
    asked = factories.ask(bank.http, token["access_token"], person.uscc, classes=[1])
    assert asked.status_code == 200, asked.json
    assert asked.json["consent_id"] == granted["consent_id"]


def test_the_page_says_who_asks_for_what_why_and_how_long(bank: Bank, person: Person) -> None:
    page = person.arrive(bank.ask(authorization_details=details(max_queries=12, history={"months": 24})))
    assert page.status_code == 200
    with db.reading() as reading:
        name = reading.scalar(select(entries.c.bytes).where(entries.c.type == "consent.requested"))
    assert name is not None
    for said in (words.CLASSES[1].zh, words.CLASSES[2].zh, words.PURPOSES["pre_loan"].zh, person.uscc, "12"):
        assert said in page.text
    assert words.CLASSES[3].zh not in page.text
    assert "24 个月" in page.text
    english = person.get(f"{page.request.path}?lang=en")
    for said in (words.CLASSES[1].en, words.PURPOSES["pre_loan"].en, "Reject"):
        assert said in english.text
    assert 'lang="en"' in english.text


def test_what_is_unticked_is_not_granted(bank: Bank, person: Person) -> None:
    link = bank.ask(authorization_details=details(classes=[1, 2, 3], purposes=["pre_loan", "post_loan"]))
    until = (clock.legal_day(clock.now()) + timedelta(days=30)).isoformat()
    answer = person.grant(link, classes=["1"], purposes=["pre_loan"], until=until, max_queries="3")
    (granted,) = bank.redeem(answer["code"]).json["authorization_details"]
    assert (granted["classes"], granted["purposes"], granted["max_queries"]) == ([1], ["pre_loan"], 3)
    ends = granted["expires_at"]
    assert ends[:10] == until  # midnight in Shanghai is 16:00 UTC of the day that is still included
    assert ends[11:16] == "16:00"


def test_limits_that_were_asked_for_can_be_lowered(bank: Bank, person: Person) -> None:
    asked = details(frequency={"count": 10, "per": "week"}, history={"months": 36})
    page = person.arrive(bank.ask(authorization_details=asked))
    _, form = form_of(page.text)
    assert (form["frequency"], form["per"], form["history"]) == ("10", "week", "36")
    assert "<select" not in page.text
    lowered = told(person.submit(page, decision="grant", frequency="4", history="12"))
    (granted,) = bank.redeem(lowered["code"]).json["authorization_details"]
    assert (granted["frequency"], granted["history"]) == ({"count": 4, "per": "week"}, {"months": 12})


def test_limits_that_were_not_asked_for_can_be_set(bank: Bank, person: Person) -> None:
    page = person.arrive(bank.ask())
    assert re.findall(r'<option value="(\w+)"( selected)?', page.text) == [
        ("day", ""), ("week", ""), ("month", " selected"), ("year", ""),
    ]  # fmt: skip
    set_anew = told(person.submit(page, decision="grant", frequency="2", per="day", history="24", max_queries="9"))
    (granted,) = bank.redeem(set_anew["code"]).json["authorization_details"]
    assert (granted["frequency"], granted["history"]) == ({"count": 2, "per": "day"}, {"months": 24})
    assert granted["max_queries"] == 9


def test_the_inbox_tells_the_limits_and_takes_narrower_ones(bank: Bank, person: Person) -> None:
    person.arrive(bank.ask(authorization_details=details(frequency={"count": 10, "per": "week"}, max_queries=40)))
    inbox = person.get("/enterprise/requests")
    for limit in ("每家机构累计查询不超过 40 次", "每家机构每周查询不超过 10 次"):
        assert limit in inbox.text
    (consent_id,) = waiting(person)
    path = f"/enterprise/requests/{consent_id}"
    person.submit(person.get(path), decision="grant", frequency="3", history="6")
    with db.reading() as reading:
        *_, version = store.history(reading, consent_id)
    assert (version["frequency"], version["history"]) == ({"count": 3, "per": "week"}, {"months": 6})
    assert version["max_queries"] == 40


def test_left_as_it_stands_the_form_grants_the_whole_term(bank: Bank, person: Person) -> None:
    (granted,) = bank.redeem(person.grant(bank.ask())["code"]).json["authorization_details"]
    with db.reading() as reading:
        first, second = store.history(reading, granted["consent_id"])
    assert first["expires_at"] == second["expires_at"] == granted["expires_at"]


def test_the_bank_is_told_of_a_rejection_and_no_consent_comes_of_it(bank: Bank, person: Person) -> None:
    page = person.arrive(bank.ask())
    answer = person.submit(page, decision="reject")
    said = dict(pair.split("=") for pair in answer.location.partition("?")[2].split("&"))
    assert (said["error"], said["state"]) == ("access_denied", "af0ifjsldkj")
    assert said["iss"] == "https%3A%2F%2Fbureau.example"
    again = person.submit(page, decision="reject")
    assert again.location == answer.location
    refused = factories.ask(bank.http, factories.token(bank.institution), person.uscc)
    assert refused.json["type"].endswith("/no-consent")


def test_what_was_asked_waits_in_the_inbox_and_can_be_answered_there(bank: Bank, person: Person) -> None:
    page = person.arrive(bank.ask())
    inbox = person.get("/enterprise/requests")
    assert inbox.text.count("/enterprise/requests/0") == 1
    (consent_id,) = waiting(person)
    answered = person.submit(person.get(f"/enterprise/requests/{consent_id}"), decision="grant")
    assert answered.location == f"/enterprise/consents/{consent_id}"
    back = person.get(page.request.path)
    assert words.STATUSES["active"].zh in back.text
    code = person.submit(back, decision="finish").location
    assert code.startswith("https://bank.example/back?code=")


def test_a_request_that_is_made_again_is_the_one_that_waits(bank: Bank, person: Person) -> None:
    for _ in range(5):
        assert person.arrive(bank.ask()).status_code == 200
    assert len(waiting(person)) == 1


def test_whoever_clicks_twice_grants_once_and_the_later_code_works(bank: Bank, person: Person) -> None:
    page = person.arrive(bank.ask())
    first, second = (person.submit(page, decision="grant").location for _ in range(2))
    assert count(person, "consent.granted") == 1
    codes = [location.partition("code=")[2].partition("&")[0] for location in (first, second)]
    assert bank.redeem(codes[0]).json["error"] == "invalid_grant"
    assert bank.redeem(codes[1]).status_code == 200


def test_the_consent_carries_what_was_shown_and_by_whom_it_was_granted(bank: Bank, person: Person) -> None:
    (granted,) = bank.redeem(person.grant(bank.ask())["code"]).json["authorization_details"]
    with db.reading() as reading:
        *_, version = store.history(reading, granted["consent_id"])
    assert version["evidence"] == {"channel": "page", "method": "session", "signatory": person.username}
    notice = [each.zh for each in words.NOTICE]
    assert version["notice"] == {
        "version": words.NOTICE_VERSION,
        "sha256": canonical.digest(notice),
        "language": "zh-CN",
    }


def test_the_trail_tells_who_asked_and_who_granted_on_which_page(bank: Bank, person: Person) -> None:
    person.grant(bank.ask())
    with db.reading() as reading:
        rows = reading.execute(select(entries).where(entries.c.uscc == person.uscc).order_by(entries.c.id)).all()
    requested, granted = (json.loads(row.bytes) for row in rows if row.type.startswith("consent."))
    assert (requested["type"], requested["actor"]) == ("consent.requested", f"client:{bank.client_id}")
    assert (granted["type"], granted["actor"]) == ("consent.granted", f"person:{person.username}")
    assert granted["channel"] == "page"


def test_a_token_is_good_for_its_consent_and_nothing_else(bank: Bank, person: Person) -> None:
    other = factories.new_uscc()
    factories.consent(other, bank.institution)
    bound = bank.redeem(person.grant(bank.ask())["code"]).json["access_token"]
    ask = lambda uscc, token, **more: factories.ask(bank.http, token, uscc, **more)  # noqa: E731
    assert problem(ask(other, bound)) == "other-consent"
    assert ask(other, factories.token(bank.institution)).status_code == 200
    assert problem(ask(person.uscc, bound, classes=[3])) == "class-not-covered"
    for path in ("/v1/consents", "/v1/sessions", "/v1/indicators"):
        assert bank.http.get(path, headers=bearer(bound)).status_code == 403
    answered = ask(person.uscc, bound, key="mine").json["query_id"]
    factories.consent(person.uscc, bank.institution)  # given anew: the token's consent decides no longer
    assert problem(ask(person.uscc, bound)) == "other-consent"
    assert bank.http.get(f"/v1/credit-queries/{answered}", headers=bearer(bound)).status_code == 200


def test_a_bound_token_repeats_and_reads_no_answer_of_another_consent(bank: Bank, person: Person) -> None:
    other = factories.new_uscc()
    factories.consent(other, bank.institution)
    with db.transaction() as tx:
        free, _ = tokens.issue(tx, frozenset({"credit:query"}), tokens.CLIENT_TOKEN_LIFE, client_id=bank.client_id)
    answered = factories.ask(bank.http, free, other, key="once").json["query_id"]
    bound = bank.redeem(person.grant(bank.ask())["code"]).json["access_token"]
    for path, free_status, bound_status in (
        (f"/v1/credit-queries/{answered}", 200, 403),
        (f"/v1/audit/entries/{answered}", 200, 404),
    ):
        assert bank.http.get(path, headers=bearer(free)).status_code == free_status
        assert bank.http.get(path, headers=bearer(bound)).status_code == bound_status
    assert problem(factories.ask(bank.http, bound, other, key="once")) == "other-consent"


def test_revoking_the_consent_ends_what_the_token_can_do(bank: Bank, person: Person) -> None:
    bought = bank.redeem(person.grant(bank.ask())["code"]).json
    consent_id = bought["authorization_details"][0]["consent_id"]
    page = person.get(f"/enterprise/consents/{consent_id}")
    assert person.submit(page, act="revoke", sure=None).status_code == 422
    assert person.submit(page, act="revoke").status_code == 303
    assert problem(factories.ask(bank.http, bought["access_token"], person.uscc)) == "no-consent"


def test_the_client_names_its_enterprise_or_leaves_it_to_who_signs_in(bank: Bank, person: Person, app: Flask) -> None:
    named = details(uscc=person.uscc)
    stranger = Person(app)
    refused = stranger.arrive(bank.ask(authorization_details=named))
    assert refused.status_code == 403
    assert person.uscc not in refused.text
    assert waiting(stranger) == []
    answer = person.grant(bank.ask(authorization_details=named))
    assert bank.redeem(answer["code"]).json["authorization_details"][0]["uscc"] == person.uscc


def test_a_redirect_uri_keeps_its_own_query(app: Flask, person: Person) -> None:
    bank = Bank(app, redirect_uri="https://bank.example/back?branch=12")
    answer = person.submit(person.arrive(bank.ask()), decision="grant")
    assert answer.location.startswith("https://bank.example/back?branch=12&code=")


def test_a_request_that_was_not_answered_leaves_the_inbox_by_itself(
    bank: Bank, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    consent_id = person.arrive(bank.ask()) and waiting(person)[0]
    later(monkeypatch, policy.current().request_life + timedelta(seconds=1))
    person.sign_in(person.get("/sign-in"))
    assert consent_id not in person.get("/enterprise/requests").text
    assert words.STATUSES["lapsed"].zh in person.get("/enterprise/consents").text
    page = person.get(f"/enterprise/requests/{consent_id}")
    assert words.STATUSES["lapsed"].zh in page.text
    assert 'name="decision"' not in page.text


def test_housekeeping_deletes_what_nothing_can_come_of(
    bank: Bank, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    person.grant(bank.ask())
    bank.push()
    with db.transaction() as tx:
        assert authorizations.tidy(tx) == 0
    later(monkeypatch, authorizations.PUSHED_LIFE + timedelta(seconds=1))
    with db.transaction() as tx:
        assert authorizations.tidy(tx) == 1
    later(monkeypatch, timedelta(days=2))
    with db.transaction() as tx:
        assert authorizations.tidy(tx) == 1
        assert tx.execute(select(authorization_request)).all() == []


def later(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    then = clock.now() + by
    monkeypatch.setattr(clock, "now", lambda: then)


def problem(answer: Any) -> str:
    assert answer.status_code == 403, answer.json
    return str(answer.json["type"].rpartition("/")[2])


def waiting(person: Person) -> list[str]:
    """The ids of the requests in the person's inbox, over the API."""
    headers = bearer(factories.signatory(person.uscc))
    return [each["consent_id"] for each in person.http.get("/v1/consent-requests", headers=headers).json["consents"]]


def count(person: Person, kind: str) -> int:
    with db.reading() as reading:
        found = select(entries.c.id).where(entries.c.uscc == person.uscc, entries.c.type == kind)
        return len(reading.execute(found).all())
