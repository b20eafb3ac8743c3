# SPDX-License-Identifier: Apache-2.0
"""Pages: what every one of them sends along, who gets to which, and signing in with all that it asks."""

import re
from typing import Any

import pyotp
import pytest
from flask import Flask
from sqlalchemy import select

from access import totp
from access.models import sign_in_tries
from app.application import create_app
from bureau import directory
from kernel import clock, db
from tests import factories
from tests.conftest import PUBLIC_URL
from tests.consent.redirecting import Bank, Person

PORTAL = ("/enterprise/requests", "/enterprise/consents", "/enterprise/access-log")


@pytest.fixture
def person(app: Flask) -> Person:
    return Person(app)


def routes(app: Flask) -> dict[str, str]:
    """`METHOD /path` of each page → who may, as the page says."""
    return {
        f"{method} {rule.rule}": app.view_functions[rule.endpoint].page  # type: ignore[attr-defined]
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if hasattr(app.view_functions[rule.endpoint], "page")
    }


def test_every_page_is_known_here() -> None:
    assert set(routes(create_app(PUBLIC_URL))) == {
        "GET /",
        "GET /pages/<name>",
        "GET /oauth/authorize",
        "GET /sign-in",
        "POST /sign-in",
        "POST /sign-out",
        "GET /second-factor",
        "POST /second-factor",
        "GET /authorize/<request_id>",
        "POST /authorize/<request_id>",
        "GET /enterprise/requests",
        "GET /enterprise/requests/<consent_id>",
        "POST /enterprise/requests/<consent_id>",
        "GET /enterprise/consents",
        "GET /enterprise/consents/<consent_id>",
        "POST /enterprise/consents/<consent_id>",
        "GET /enterprise/access-log",
    }


@pytest.mark.parametrize("caller", ["nobody", "bearer", "bank", "other-cookie", "clerk", "stranger", "signatory"])
def test_who_gets_to_an_enterprises_pages(app: Flask, person: Person, caller: str) -> None:
    """Every page of a signatory × every caller: a bearer token opens none, and no cookie another's."""
    bank = factories.bank()
    consent_id = factories.consent(person.uscc, bank)
    who, headers = enter(app, person, caller, bank)
    wrong = {}
    for route, access in routes(app).items():
        if access == "anyone":
            continue
        method, rule = route.split(" ")
        path = re.sub("<[a-z_]+>", consent_id, rule)
        answer = who.http.open(path, method=method, base_url=PUBLIC_URL, headers=headers, data={"act": "revoke"})
        told = expected(caller, method, rule)
        if answer.status_code != told:
            wrong[route] = (answer.status_code, told)
        if caller != "signatory" and person.uscc in answer.text:
            wrong[route] = "tells of another's things"
    assert wrong == {}


def expected(caller: str, method: str, rule: str) -> int:
    if caller in ("nobody", "bearer", "bank", "other-cookie", "clerk"):
        return 303  # to the sign-in
    if method == "POST":
        return 403  # without the form's token
    if rule.startswith("/authorize"):
        return 404
    return 404 if caller == "stranger" and "<" in rule else 200


def enter(app: Flask, person: Person, caller: str, bank: str) -> tuple[Person, dict[str, str]]:
    who = {"signatory": person, "clerk": None}.get(caller) or Person(app, role="enterprise")
    if caller == "clerk":
        who = Person(app, role="compliance")
    if caller in ("signatory", "stranger", "clerk"):
        who.sign_in(who.get("/sign-in"))
    if caller == "other-cookie":
        secret = factories.session(person.username, {"consent:write"})
        who.http.set_cookie("session", secret, domain="bureau.example", secure=True)
    tokens = {"bearer": lambda: factories.signatory(person.uscc), "bank": lambda: factories.token(bank)}
    return who, {"Authorization": f"Bearer {tokens[caller]()}"} if caller in tokens else {}


def test_every_page_says_what_a_browser_may_do_with_it(app: Flask, person: Person) -> None:
    link = Bank(app).ask()
    answers = [person.get("/sign-in"), person.get("/oauth/authorize"), person.arrive(link)]
    answers += [person.get(path) for path in (*PORTAL, "/enterprise/consents/x")]
    for answer in answers:
        policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert (policy["style-src"], policy["img-src"]) == ("'self'", "'self'")
        assert policy["form-action"] in ("'self'", "'self' https://bank.example")
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert not re.search(r"<script|<style|\sstyle=|\son\w+=|https?://(?!bureau)", answer.text)
        assert answer.text.count("<h1") == 1
    assert sum("bank.example" in answer.headers["Content-Security-Policy"] for answer in answers) == 1


def test_cookies_are_for_this_host_out_of_reach_and_never_sent_in_clear(person: Person, app: Flask) -> None:
    opened = person.get("/sign-in?lang=en")
    signed_in = person.sign_in(opened)
    set_here = [*opened.headers.getlist("Set-Cookie"), *signed_in.headers.getlist("Set-Cookie")]
    assert {each.partition("=")[0] for each in set_here} == {"__Host-browser", "__Host-lang", "__Host-session"}
    for each in set_here:
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(each.split("; "))
        assert "Domain" not in each
    assert "Max-Age" not in next(each for each in set_here if "session" in each)


def test_on_a_machine_of_ones_own_without_tls_cookies_still_work(app: Flask) -> None:
    local = Person(create_app("http://127.0.0.1:8000"))
    local.get = lambda path, **more: local.http.get(path, base_url="http://127.0.0.1:8000", **more)  # type: ignore[method-assign]
    local.post = lambda path, form, **more: local.http.post(path, data=form, base_url="http://127.0.0.1:8000", **more)  # type: ignore[method-assign]
    answer = local.sign_in(local.get("/sign-in"))
    assert answer.headers["Set-Cookie"].startswith("session=")
    assert local.get("/enterprise/requests").status_code == 200


def test_whoever_has_a_second_factor_is_asked_for_it(app: Flask, person: Person) -> None:
    with db.transaction() as tx:
        secret = totp.begin(tx, person.username)["secret"]
        now = int(clock.now().timestamp())
        totp.confirm(tx, person.username, pyotp.TOTP(secret).at(now - totp.STEP_S))
    page = person.sign_in(person.get("/sign-in"))
    assert page.status_code == 401
    assert "动态验证码" in page.text
    assert person.password not in page.text
    assert person.sign_in(page, totp="000000").status_code == 401
    code = pyotp.TOTP(secret).at(now)
    assert person.sign_in(page, totp=f"{code[:3]} {code[3:]}").status_code == 303


def test_signing_in_on_a_page_is_counted_and_locks_as_over_the_api(person: Person) -> None:
    page = person.get("/sign-in")
    for _ in range(5):
        assert person.sign_in(page, password="wrong").status_code == 401
    assert person.sign_in(page).status_code == 401, "locked: the right password does not help"
    with db.reading() as reading:
        assert max(reading.scalars(select(sign_in_tries.c.failures))) >= 5
    body = {"username": person.username, "password": person.password}
    assert person.http.post("/v1/sessions", json=body).status_code == 401


@pytest.mark.parametrize("form", [{"username": ""}, {"password": ""}, {"username": "x" * 500}, {"password": "x" * 201}])
def test_what_cannot_be_a_sign_in_is_a_wrong_one(person: Person, form: dict[str, Any]) -> None:
    assert person.sign_in(person.get("/sign-in"), **form).status_code == 401


def test_a_person_of_whom_a_second_factor_is_asked_enrols_one_and_signs_in_with_it(app: Flask) -> None:
    strict = Person(create_app(PUBLIC_URL, require_totp="everyone"))
    opened = strict.sign_in(strict.get("/sign-in"))
    assert opened.location == "/second-factor"
    assert strict.get("/enterprise/requests").status_code == 403, "so far the session can do nothing else"
    begun = strict.submit(strict.get("/second-factor"))
    wrong = strict.submit(begun, code="000000")
    assert (wrong.status_code, 'role="alert"' in wrong.text) == (422, True)
    (secret,) = re.findall(r'class="key">([A-Z2-7]+)<', wrong.text)
    assert f"secret={secret}" in wrong.text
    now = int(clock.now().timestamp())
    done = strict.submit(wrong, code=pyotp.TOTP(secret).at(now - totp.STEP_S))
    recovery = re.findall(r"<code>([0-9a-f]{20})</code>", done.text)
    assert len(recovery) == totp.RECOVERY_CODES
    assert strict.sign_in(strict.get("/sign-in")).status_code == 401
    assert strict.sign_in(strict.get("/sign-in"), totp=pyotp.TOTP(secret).at(now)).location == "/enterprise/requests"
    assert strict.sign_in(strict.get("/sign-in"), totp=recovery[0]).status_code == 303
    again = strict.submit(strict.get("/second-factor"))
    assert (again.status_code, "totp-enrolled" in again.text) == (409, True)


def test_staff_that_must_enrol_a_second_factor_does_not_do_so_here(app: Flask) -> None:
    clerk = Person(create_app(PUBLIC_URL, require_totp="staff"), role="compliance")
    assert clerk.sign_in(clerk.get("/sign-in")).status_code == 403
    assert clerk.get("/second-factor").location == "/sign-in"


@pytest.mark.parametrize(
    ("accepted", "tag"),
    [
        (None, "zh-CN"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh-CN"),
        ("en-US,en;q=0.9", "en"),
        ("de,en;q=0.5", "en"),
        ("de", "zh-CN"),
        ("*", "zh-CN"),
        ("en;q=broken", "zh-CN"),
    ],
)
def test_a_page_speaks_the_readers_language_and_chinese_else(person: Person, accepted: str | None, tag: str) -> None:
    headers = {"Accept-Language": accepted} if accepted else {}
    assert f'<html lang="{tag}">' in person.get("/sign-in", headers=headers).text
    assert '<html lang="en">' in person.get("/sign-in?lang=en").text
    assert '<html lang="en">' in person.get("/sign-in", headers=headers).text, "the switch is kept"


def test_switching_the_language_keeps_the_request_that_waits(app: Flask, person: Person) -> None:
    bank = Bank(app, name="演示银行·待")
    page = person.get(person.get(person.get(bank.ask()).location).location)
    assert bank.name
    assert bank.name in page.text
    (english,) = re.findall(r'href="([^"]*lang=en)"', page.text)
    assert bank.name in person.get(english.replace("&amp;", "&")).text
    wrong = person.sign_in(page, password="wrong")
    assert bank.name in wrong.text


def test_what_people_type_is_shown_as_text(app: Flask) -> None:
    evil = '<script>alert(1)</script>"&'
    person, bank = Person(app), Bank(app, name=f"演示{evil}")
    factories.deliver([factories.registration(1, person.uscc, f"演示{evil}")])
    with db.reading() as reading:
        assert directory.name_of(reading, person.uscc) == f"演示{evil}"
    wrong = person.sign_in(person.get("/sign-in"), username=evil)
    asked = person.arrive(bank.ask())
    for page in (wrong, asked, person.get("/enterprise/requests")):
        assert "<script>" not in page.text
        assert "&lt;script&gt;" in page.text


def test_a_file_that_is_none_of_the_pages_is_a_problem(person: Person) -> None:
    assert person.get("/pages/pages.css").headers["Cache-Control"].endswith("immutable")
    for name in ("layout.html", "..%2fpages.py", "x"):
        assert person.get(f"/pages/{name}").status_code == 404
