# SPDX-License-Identifier: Apache-2.0
"""What must fail in consent by redirect, each attack as somebody would try it (RFC 9700, RFC 9126 §7)."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from access import authorizations, clients, institutions, people
from access.models import authorization_request
from access.models import token as token_table
from app.application import create_app
from audit.models import entry as entries
from kernel import clock, db, ids
from tests import factories
from tests.conftest import PUBLIC_URL, House
from tests.consent.redirecting import BACK, Bank, Person, details, told


@pytest.fixture
def bank(app: Flask) -> Bank:
    return Bank(app)


@pytest.fixture
def person(app: Flask) -> Person:
    return Person(app)


def later(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    then = clock.now() + by
    monkeypatch.setattr(clock, "now", lambda: then)


def error_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json["error"]


def assert_page(answer: Any, status: int, slug: str) -> None:
    """An error that is shown here, and sends the browser nowhere."""
    assert (answer.status_code, answer.content_type) == (status, "text/html; charset=utf-8"), answer.text
    assert f"<code>{slug}</code>" in answer.text
    assert "Location" not in answer.headers
    assert "Refresh" not in answer.headers


# The push


@pytest.mark.parametrize(
    "uri",
    [
        None,
        "",
        "https://evil.example/back",
        "https://bank.example/back/",
        "https://bank.example/back?x=1",
        "https://bank.example/BACK",
        "https://bank.example:443/back",
        "https://bank.example/back#here",
        "https://bank.example/back\u200b",
        "http://bank.example/back",
        "https://bank.example.evil.example/back",
        "https://bank.example/./back",
    ],
)
def test_a_redirect_uri_that_is_not_registered_to_the_character_is_refused(bank: Bank, uri: str | None) -> None:
    assert error_of(bank.push(redirect_uri=uri)) == (400, "invalid_request")


@pytest.mark.parametrize(
    "uri",
    [
        "http://bank.example/back",
        "ftp://bank.example/back",
        "javascript:alert(1)",
        "data:text/html,x",
        "/back",
        "//bank.example/back",
        "https:///back",
        "https://user@bank.example/back",
        "https://bank.example/back#fragment",
        "https://bank.example/back#",
        "https://*.bank.example/back",
        "https://bank.example/back;form-action *",
        "https://bank.example/a b",
        "https://bank.example/é",
        "https://bank.example:port/back",
        "https://[::1/back",
        "http://127.0.0.1.evil.example/back",
        "https://bank.example/" + "x" * 400,
    ],
)
def test_what_is_no_safe_address_cannot_be_registered(app: Flask, uri: str) -> None:
    administrator = factories.session(factories.person("admin")[0], people.ROLE_SCOPES["admin"])
    body = {"scopes": ["consent:request"], "redirect_uris": [uri]}
    headers = {"Authorization": f"Bearer {administrator}"}
    answer = app.test_client().post(f"/v1/institutions/{factories.bank()}/clients", json=body, headers=headers)
    assert answer.status_code == 422
    assert "redirect_uris" in answer.json["errors"]


@pytest.mark.parametrize(
    "changes",
    [
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge": None},
        {"code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": "s256"},
        {"code_challenge": "short"},
        {"code_challenge": "x" * 44},
        {"code_challenge": "=" * 43},
    ],
)
def test_pkce_is_not_left_out_and_not_weakened(bank: Bank, changes: dict[str, Any]) -> None:
    assert error_of(bank.push(**changes)) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"request_uri": "urn:x"}, "invalid_request"),
        ({"request": "e30."}, "request_not_supported"),
        ({"state": "x" * 401}, "invalid_request"),
        ({"state": "中"}, "invalid_request"),
        ({"state": ""}, "invalid_request"),
        ({"scope": "credit:query consent:read"}, "invalid_scope"),
        ({"scope": "admin"}, "invalid_scope"),
        ({"dpop_jkt": "x"}, "invalid_request"),
        ({"client_id": "another"}, "invalid_request"),
    ],
)
def test_a_push_that_asks_for_something_else_is_refused(bank: Bank, changes: dict[str, Any], error: str) -> None:
    assert error_of(bank.push(**changes)) == (400, error)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "JSON"),
        ("", "JSON"),
        ("{}", "one object"),
        ("[]", "one object"),
        ("[1]", "one object"),
        ("[" * 3000, "JSON"),
        ("[{}]", "credit_query"),
        ('[{"type": "payment"}]', "credit_query"),
        (details(classes=[8]), "classes"),
        (details(classes=[]), "classes"),
        (details(classes=["1"]), "classes"),
        (details(purposes=["curiosity"]), "purposes"),
        (details(purposes=["self"]), "purposes"),
        (details(products=["report"]), "products"),
        (details(days=0), "days"),
        (details(days=36_500), "days"),
        (details(days=None), "days"),
        (details(days=2_000), "longest_validity_days"),
        (details(uscc="91320599MA0000000X"), "uscc"),
        (details(uscc=""), "uscc"),
        (details(actions=["delete"]), "actions"),
        (details(max_queries=0), "max_queries"),
        (details(frequency={"count": 1, "per": "hour"}), "frequency"),
        (details(history={"months": 0}), "history"),
        (details(grantee="platform"), "grantee: Unknown field"),
        (details(scope="collect"), "scope: Unknown field"),
        (details(note="x" * 9000), "larger than"),
        (details()[:-1] + "," + details()[1:], "one object"),
    ],
)
def test_details_that_are_wrong_are_told_so_with_the_field(bank: Bank, text: str | None, told: str) -> None:
    answer = bank.push(authorization_details=text)
    assert error_of(answer) == (400, "invalid_authorization_details")
    assert told in answer.json["error_description"]


def test_only_a_client_that_may_ask_for_consent_pushes(app: Flask) -> None:
    assert error_of(Bank(app, scopes=("credit:query",)).push()) == (400, "unauthorized_client")
    assert error_of(Bank(app, scopes=("consent:request",)).push()) == (400, "invalid_scope")


def test_a_push_without_a_client_or_with_a_parameter_twice_is_refused(bank: Bank) -> None:
    for credentials in (None, (bank.client_id, "wrong"), ("unknown", "x")):
        answer = bank.http.post("/oauth/par", data=bank.parameters(), auth=credentials)
        assert error_of(answer) == (401, "invalid_client")
    twice = {**bank.parameters(), "redirect_uri": [BACK, BACK]}
    assert error_of(bank.http.post("/oauth/par", data=twice, auth=bank.auth)) == (400, "invalid_request")


# The authorization endpoint


def test_a_request_uri_works_once(bank: Bank, person: Person, app: Flask) -> None:
    link = bank.ask()
    assert person.get(link).status_code == 303
    assert_page(person.get(link), 404, "request-unknown")
    assert_page(Person(app).get(link), 404, "request-unknown")


def test_a_request_uri_works_for_ninety_seconds(bank: Bank, person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    link = bank.ask()
    assert bank.push().json["expires_in"] <= 90
    later(monkeypatch, timedelta(seconds=90))
    assert_page(person.get(link), 404, "request-unknown")


def test_a_request_uri_of_another_client_is_unknown_and_not_spent(bank: Bank, person: Person, app: Flask) -> None:
    link, other = bank.ask(), Bank(app)
    assert_page(person.get(link.replace(bank.client_id, other.client_id)), 404, "request-unknown")
    assert person.get(link).status_code == 303


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?client_id={client}",
        "?client_id={client}&request_uri=",
        "?client_id={client}&request_uri=https://evil.example/request.jwt",
        "?client_id={client}&request_uri=urn:ietf:params:oauth:request_uri:guessed",
        "?client_id={client}&response_type=code&redirect_uri={back}&code_challenge=x&state=1",
        "?client_id={client}&response_type=code&redirect_uri=https://evil.example/&state=1",
        "?client_id=%00&request_uri=urn:ietf:params:oauth:request_uri:x",
    ],
)
def test_what_was_not_pushed_is_shown_here_and_never_sent_on(bank: Bank, person: Person, query: str) -> None:
    answer = person.get("/oauth/authorize" + query.format(client=bank.client_id, back=BACK))
    assert answer.status_code in (400, 404)
    assert "Location" not in answer.headers
    assert "evil.example" not in answer.text


def test_parameters_beside_the_request_uri_change_nothing(bank: Bank, person: Person) -> None:
    link = f"{bank.ask()}&redirect_uri=https://evil.example/&state=evil&scope=admin&authorization_details=[]"
    answer = told(person.submit(person.arrive(link), decision="grant"))
    assert answer["state"] == "af0ifjsldkj"


def test_a_request_that_was_opened_is_good_in_that_browser_alone(bank: Bank, person: Person, app: Flask) -> None:
    page = person.arrive(bank.ask())
    thief = Person(app, person.uscc)
    thief.sign_in(thief.get("/sign-in"))
    assert_page(thief.get(page.request.path), 404, "request-unknown")
    action, fields = page.request.path, {"decision": "grant", "classes": ["1"], "purposes": ["pre_loan"]}
    portal = thief.get("/enterprise/requests").text
    fields["form_token"] = portal.partition('name="form_token" value="')[2].partition('"')[0]
    fields["products"] = ["records"]
    assert_page(thief.post(action, fields), 404, "request-unknown")


def test_a_request_that_was_left_open_is_over_after_half_an_hour(
    bank: Bank, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = person.arrive(bank.ask())
    later(monkeypatch, timedelta(minutes=29))
    person.sign_in(person.get("/sign-in"))
    assert person.get(page.request.path).status_code == 200
    later(monkeypatch, timedelta(minutes=2))
    assert_page(person.get(page.request.path), 404, "request-unknown")


@pytest.mark.parametrize("what", ["client", "institution"])
def test_a_client_or_institution_that_was_stopped_meanwhile_asks_no_longer(
    bank: Bank, person: Person, what: str
) -> None:
    page = person.arrive(bank.ask())
    stop(bank, what)
    assert_page(person.get(page.request.path), 404, "request-unknown")
    assert_page(person.submit(page, decision="grant"), 404, "request-unknown")


# The answer


def test_a_form_from_elsewhere_or_from_before_the_sign_in_is_refused(bank: Bank, person: Person, app: Flask) -> None:
    page = person.arrive(bank.ask())
    stranger = Person(app).get("/sign-in").text.partition('name="form_token" value="')[2].partition('"')[0]
    for form_token in (None, "", "x", stranger):
        assert_page(person.submit(page, decision="grant", form_token=form_token), 403, "form-expired")
    action = page.request.path
    forged = person.http.post(
        action, data={"decision": "reject"}, base_url=PUBLIC_URL, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert_page(forged, 403, "form-expired")
    assert grants(person.uscc) == 0
    assert told(person.submit(page, decision="grant"))["code"]


def test_another_site_cannot_sign_somebody_in(person: Person) -> None:
    form = {"username": person.username, "password": person.password}
    assert_page(person.post("/sign-in", form), 403, "form-expired")
    person.get("/sign-in")
    assert_page(person.post("/sign-in", form), 403, "form-expired")


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": ["1", "2", "3"]},
        {"classes": ["7"]},
        {"purposes": ["pre_loan", "insurance"]},
        {"products": ["records", "screening"]},
        {"until": "2999-12-31"},
        {"max_queries": "6"},
        {"classes": []},
        {"classes": ["x"]},
        {"purposes": []},
        {"products": []},
        {"until": "tomorrow"},
        {"until": "2001-01-01"},
        {"max_queries": "0"},
        {"max_queries": "١"},
        {"frequency": "4"},
        {"frequency": "1", "per": "day"},
        {"frequency": "1", "per": "hour"},
        {"frequency": "1", "per": None},
        {"frequency": "-1"},
        {"history": "25"},
        {"history": "0"},
        {"decision": "x"},
        {"decision": None},
    ],
)
def test_a_form_that_was_tampered_with_widens_nothing(bank: Bank, person: Person, changes: dict[str, Any]) -> None:
    limits = {"max_queries": 5, "frequency": {"count": 3, "per": "month"}, "history": {"months": 24}}
    page = person.arrive(bank.ask(authorization_details=details(**limits)))
    answer = person.submit(page, **{"decision": "grant", "per": "month", **changes})
    if changes == {"max_queries": "١"}:  # a digit of another script is still one
        assert told(answer)["code"]
        return
    assert answer.status_code in (409, 422), answer.text
    assert "Location" not in answer.headers
    assert grants(person.uscc) == 0


def test_a_signatory_of_another_enterprise_answers_nothing(bank: Bank, person: Person, app: Flask) -> None:
    page = person.arrive(bank.ask(authorization_details=details(uscc=person.uscc)))
    stranger = Person(app)
    # the same browser, and someone else signs in at it
    person.http, stranger.http = stranger.http, person.http
    stranger.sign_in(stranger.get("/sign-in"))
    for decision in ("grant", "reject", "finish"):
        action, fields = page.request.path, {"decision": decision, "classes": ["1", "2"], "purposes": ["pre_loan"]}
        portal = stranger.get("/enterprise/requests").text
        fields["form_token"] = portal.partition('name="form_token" value="')[2].partition('"')[0]
        fields["products"] = ["records"]
        assert_page(stranger.post(action, fields), 403, "other-enterprise")
    assert grants(person.uscc) == grants(stranger.uscc) == 0


@pytest.mark.parametrize("role", ["compliance", "admin", "finance", "security"])
def test_staff_act_for_no_enterprise(bank: Bank, app: Flask, role: str) -> None:
    clerk = Person(app, role=role)
    opened = clerk.get(bank.ask())
    refused = clerk.sign_in(clerk.get(clerk.get(opened.location).location))
    assert_page(refused, 403, "not-a-signatory")
    assert clerk.get("/enterprise/requests").location == "/sign-in"


def test_a_session_that_was_planted_beforehand_becomes_nobodys(person: Person) -> None:
    planted = ids.new_secret()
    person.http.set_cookie("__Host-session", planted, domain="bureau.example", secure=True)
    person.sign_in(person.get("/sign-in"))
    cookie = person.http.get_cookie("__Host-session", domain="bureau.example")
    assert cookie is not None
    assert cookie.value != planted
    with db.reading() as reading:
        hashes = list(reading.scalars(select(token_table.c.hash).where(token_table.c.person == person.username)))
    assert len(hashes) == 1


def test_signing_in_again_and_signing_out_end_the_session_that_was(person: Person) -> None:
    def secret() -> str:
        cookie = person.http.get_cookie("__Host-session", domain="bureau.example")
        assert cookie is not None
        return cookie.value

    def works(token: str) -> bool:
        answer = person.http.get("/v1/consents", headers={"Authorization": f"Bearer {token}"})
        return bool(answer.status_code == 200)

    person.sign_in(person.get("/sign-in"))
    first = secret()
    assert works(first)
    person.sign_in(person.get("/sign-in"))
    second = secret()
    assert not works(first)
    out = person.submit(person.get("/enterprise/requests"))
    assert out.location == "/sign-in"
    assert not works(second)
    assert person.get("/enterprise/requests").location == "/sign-in"


# The code


def test_a_code_works_once_and_its_token_ends_when_it_comes_back(bank: Bank, person: Person) -> None:
    code = person.grant(bank.ask())["code"]
    bearer = bank.redeem(code).json["access_token"]
    assert factories.ask(bank.http, bearer, person.uscc).status_code == 200
    assert error_of(bank.redeem(code)) == (400, "invalid_grant")
    assert factories.ask(bank.http, bearer, person.uscc).status_code == 401


def test_a_code_works_for_sixty_seconds(bank: Bank, person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    code = person.grant(bank.ask())["code"]
    later(monkeypatch, timedelta(seconds=60))
    assert error_of(bank.redeem(code)) == (400, "invalid_grant")


def test_a_code_of_another_client_is_refused_and_not_spent(bank: Bank, person: Person, app: Flask) -> None:
    code, other = person.grant(bank.ask())["code"], Bank(app, verifier=bank.verifier)
    assert error_of(bank.redeem(code, auth=other.auth)) == (400, "invalid_grant")
    assert bank.redeem(code).status_code == 200


@pytest.mark.parametrize("verifier", [None, "", "short", "x" * 43, "challenge"])
def test_a_code_without_the_right_verifier_buys_nothing(bank: Bank, person: Person, verifier: str | None) -> None:
    code = person.grant(bank.ask())["code"]
    wrong = bank.parameters()["code_challenge"] if verifier == "challenge" else verifier
    assert bank.redeem(code, code_verifier=wrong).status_code == 400
    assert bank.redeem(code).status_code == 200


@pytest.mark.parametrize("uri", [None, "", "https://bank.example/", "https://evil.example/back"])
def test_a_code_with_another_redirect_uri_buys_nothing(bank: Bank, person: Person, uri: str | None) -> None:
    code = person.grant(bank.ask())["code"]
    assert error_of(bank.redeem(code, redirect_uri=uri)) == (400, "invalid_grant")


def test_every_answer_names_its_issuer_so_that_servers_are_not_mixed_up(bank: Bank, person: Person) -> None:
    granted = told(person.submit(person.arrive(bank.ask()), decision="grant"))
    rejected = told(person.submit(person.arrive(bank.ask(authorization_details=details(days=7))), decision="reject"))
    metadata = bank.http.get("/.well-known/oauth-authorization-server").json
    assert granted["iss"] == rejected["iss"] == metadata["issuer"] == PUBLIC_URL
    assert metadata["authorization_response_iss_parameter_supported"] is True


# Two at once, on databases that commit for real


def test_of_two_who_submit_at_once_one_grant_comes(open_house: House) -> None:
    app = create_app(PUBLIC_URL)
    bank, person = Bank(app), Person(app)
    page = person.arrive(bank.ask())
    answers = at_once(lambda: twin(app, person).submit(page, decision="grant"), 4)
    codes = [told(answer)["code"] for answer in answers if answer.status_code == 303]
    assert codes
    assert grants(person.uscc) == 1
    assert [bank.redeem(code).status_code for code in codes].count(200) == 1


def test_of_two_who_open_a_request_uri_at_once_one_gets_in(open_house: House) -> None:
    app = create_app(PUBLIC_URL)
    link = Bank(app).ask()
    answers = at_once(lambda: Person(app).get(link), 4)
    assert sorted(answer.status_code for answer in answers) == [303, 404, 404, 404]


def test_of_two_who_redeem_a_code_at_once_none_keeps_a_token(open_house: House) -> None:
    app = create_app(PUBLIC_URL)
    bank, person = Bank(app), Person(app)
    code = person.grant(bank.ask())["code"]
    answers = at_once(lambda: bank.redeem(code), 4)
    bought = [answer.json["access_token"] for answer in answers if answer.status_code == 200]
    assert len(bought) == 1
    assert factories.ask(bank.http, bought[0], person.uscc).status_code == 401


def test_what_travels_through_the_browser_is_kept_as_a_hash(bank: Bank, person: Person) -> None:
    link = bank.ask()
    code = person.grant(link)["code"]
    with db.reading() as reading:
        (row,) = reading.execute(select(authorization_request)).all()
    kept = repr(tuple(row))
    assert code not in kept
    assert link.rpartition(":")[2] not in kept
    assert timedelta(seconds=60) >= authorizations.CODE_LIFE


def twin(app: Flask, person: Person) -> Person:
    """The same browser, in another thread."""
    again = Person.__new__(Person)
    again.uscc, again.username, again.password = person.uscc, person.username, person.password
    again.http = app.test_client()
    for name in ("__Host-session", "__Host-browser"):
        cookie = person.http.get_cookie(name, domain="bureau.example")
        assert cookie is not None
        again.http.set_cookie(name, cookie.value, domain="bureau.example", secure=True)
    return again


def at_once(act: Any, times: int) -> list[Any]:
    """Do something several times at one moment. Returns what came of each."""
    gate, done = threading.Barrier(times), []

    def run() -> None:
        gate.wait()
        done.append(act())

    threads = [threading.Thread(target=run) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == times
    return done


def stop(bank: Bank, what: str) -> None:
    with db.transaction() as tx:
        if what == "client":
            clients.disable(tx, bank.client_id)
        else:
            institutions.act(tx, bank.institution, "suspend", reason="why")


def grants(uscc: str) -> int:
    with db.reading() as reading:
        found = select(entries.c.id).where(entries.c.uscc == uscc, entries.c.type == "consent.granted")
        return len(reading.execute(found).all())
