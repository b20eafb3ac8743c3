# SPDX-License-Identifier: Apache-2.0
"""Consent by redirect as people go through it: Chromium, phone and desktop, Chinese and English.

BUREAU_TEST_SCREENSHOTS=FOLDER keeps a picture of each page.
"""

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from consent import words
from tests import factories
from tests.conftest import House
from tests.journeys import browsing, cast
from tests.journeys.browsing import Site, Visit, visiting
from tests.journeys.cast import Bank, Enterprise
from tests.journeys.service import Service

# The storage's engine makes no difference to a page: one is enough here.
pytestmark = pytest.mark.parametrize("shared_house", ["sqlite"], indirect=True, scope="module")
VERIFIER = "a-verifier-of-enough-characters-for-rfc-7636-x"
WHOLE = {
    "classes": [1, 2, 3], "purposes": ["pre_loan", "loan_approval"],
    "max_queries": 12, "frequency": {"count": 3, "per": "month"}, "history": {"months": 36},
}  # fmt: skip
DEVICES = pytest.mark.parametrize("device", browsing.DEVICES)
LANGUAGES = pytest.mark.parametrize("language", browsing.LANGUAGES)


@pytest.fixture
def bank(shared_service: Service, site: Site) -> Bank:
    return browsing.register(site)


@pytest.fixture
def firm(shared_house: House, shared_service: Service) -> Enterprise:
    return cast.new_enterprise()


def sign_in(visit: Visit, firm: Enterprise) -> None:
    visit.page.fill("#username", firm.username)
    visit.page.fill("#password", firm.password)
    visit.press("main button[type=submit]")


def picture(visit: Visit, *name: str) -> None:
    if folder := os.environ.get("BUREAU_TEST_SCREENSHOTS"):
        visit.page.screenshot(path=Path(folder) / f"{'-'.join(name)}.png", full_page=True)


@DEVICES
@LANGUAGES
def test_an_enterprise_comes_from_its_bank_narrows_grants_and_goes_back(
    browser: Browser, shared_service: Service, site: Site, bank: Bank, firm: Enterprise, device: str, language: str
) -> None:
    link = browsing.push(shared_service, bank, site, VERIFIER, **WHOLE)
    with visiting(browser, device, language) as visit:
        page = visit.page
        page.goto(link)
        assert bank.name in page.inner_text("main")
        picture(visit, device, language, "1-sign-in")
        assert visit.fits()
        sign_in(visit, firm)
        assert page.get_attribute("html", "lang") == {"zh": "zh-CN", "en": "en"}[language]
        assert cast.ENTERPRISE_NAME in page.inner_text("body")
        assert words.say(words.CLASSES[3], language) in page.inner_text("main")
        picture(visit, device, language, "2-ask")
        assert visit.fits()
        page.uncheck('input[name="classes"][value="3"]')
        for name, value in (("max_queries", "5"), ("frequency", "2"), ("history", "12")):
            page.fill(f"#{name}", value)
        visit.press('button[value="grant"]')
        page.wait_for_url(f"{site.back}?*")
        assert page.title() == "back at the bank"
        assert visit.only_from(f"127.0.0.1:{shared_service.port}", f"127.0.0.1:{site.port}")
        assert visit.complaints == []
    answer = site.visits[-1]
    assert (answer["state"], answer["iss"]) == ("af0ifjsldkj", shared_service.base)
    bought = browsing.redeem(shared_service, bank, site, VERIFIER, answer["code"])
    (granted,) = bought.json["authorization_details"]
    assert (granted["classes"], granted["max_queries"], granted["uscc"]) == ([1, 2], 5, firm.uscc)
    assert (granted["frequency"], granted["history"]) == ({"count": 2, "per": "month"}, {"months": 12})
    asked = cast.ask(shared_service, bought.json["access_token"], firm.uscc, classes=[1])
    assert asked.status == 200, asked
    assert cast.ask(shared_service, bought.json["access_token"], firm.uscc, classes=[3]).problem == "class-not-covered"


@DEVICES
@LANGUAGES
def test_an_enterprise_does_its_part_on_its_own_pages(
    browser: Browser, shared_service: Service, site: Site, bank: Bank, firm: Enterprise, device: str, language: str
) -> None:
    with visiting(browser, device, language) as visit:
        page = visit.page
        page.goto(browsing.push(shared_service, bank, site, VERIFIER, **WHOLE))
        sign_in(visit, firm)
        visit.press('a[href="/enterprise/requests"]:visible >> nth=-1')  # answer later
        picture(visit, device, language, "3-inbox")
        visit.press("main a.button")
        visit.press('button[value="grant"]')
        page.wait_for_url("**/enterprise/consents/*")
        picture(visit, device, language, "4-consent")
        bearer = cast.token(shared_service, bank)
        asked = {"classes": [1]}
        assert cast.ask(shared_service, bearer, firm.uscc, **asked).status == 200
        visit.press('button[value="pause"]')
        assert cast.ask(shared_service, bearer, firm.uscc, **asked).problem == "consent-paused"
        visit.press('button[value="resume"]')
        page.check('input[name="sure"]')
        visit.press('button[value="revoke"]')
        assert cast.ask(shared_service, bearer, firm.uscc, **asked).problem == "no-consent"
        picture(visit, device, language, "5-revoked")
        visit.press("nav.tabs a >> nth=1")
        picture(visit, device, language, "6-consents")
        assert visit.fits()
        visit.press("nav.tabs a >> nth=2")
        assert page.locator("tbody tr").count() == 3
        assert bank.name in page.inner_text("tbody")
        picture(visit, device, language, "7-log")
        assert visit.fits()
        visit.press(".who button")
        page.wait_for_url("**/sign-in")
        page.goto(f"{shared_service.base}/enterprise/consents")
        assert page.url.endswith("/sign-in")
        assert visit.complaints == []
        assert visit.only_from(f"127.0.0.1:{shared_service.port}")


@LANGUAGES
def test_a_rejection_and_a_wrong_password_are_told_in_words(
    browser: Browser, shared_service: Service, site: Site, bank: Bank, firm: Enterprise, language: str
) -> None:
    link = browsing.push(shared_service, bank, site, VERIFIER, classes=[1], purposes=["pre_loan"])
    with visiting(browser, "phone", language) as visit:
        visit.page.goto(link)
        sign_in(visit, Enterprise(firm.uscc, firm.username, "not the password"))
        assert visit.page.is_visible("[role=alert]")
        assert visit.page.input_value("#username") == firm.username
        assert visit.page.input_value("#password") == ""
        assert bank.name in visit.page.inner_text("main")
        picture(visit, "phone", language, "8-wrong-password")
        sign_in(visit, firm)
        picture(visit, "phone", language, "9-ask-little")
        visit.press('button[value="reject"]')
        visit.page.wait_for_url(f"{site.back}?*")
        assert site.visits[-1]["error"] == "access_denied"
        visit.page.goto(link)
        assert visit.page.inner_text("code >> nth=0") == "request-unknown"
        picture(visit, "phone", language, "10-problem")
        assert visit.fits()


@DEVICES
@LANGUAGES
def test_a_form_that_is_wrong_is_told_field_by_field_in_words(
    browser: Browser, shared_service: Service, site: Site, bank: Bank, firm: Enterprise, device: str, language: str
) -> None:
    wrong = {}
    with visiting(browser, device, language, bypass_csp=True) as visit:
        page = visit.page

        def look(name: str, *fields: str) -> None:
            picture(visit, device, language, f"12-{name}")
            told = page.locator("main [role=alert] li strong").all_inner_texts()
            assert told == [words.say(words.FIELDS[field], language) for field in fields]
            assert visit.fits(), name
            if faults := browsing.faults_of_access(page):
                wrong[name] = faults

        def send(selector: str) -> None:
            """Press what the browser itself would hold back."""
            page.evaluate("for (const form of document.forms) form.noValidate = true")
            visit.press(selector)

        page.goto(browsing.push(shared_service, bank, site, VERIFIER, **WHOLE))
        sign_in(visit, firm)
        asked = page.url
        for each in page.locator("fieldset input[type=checkbox]").all():
            each.uncheck()
        page.fill("#max_queries", "1000")
        send('button[value="grant"]')
        look("nothing-ticked", "purposes", "classes")
        visit.press("main a.button")
        assert page.url == asked
        for name in ("max_queries", "frequency", "history"):
            page.fill(f"#{name}", "0")
        page.fill("#until", "")
        send('button[value="grant"]')
        look("zeros", "max_queries", "frequency", "history")
        visit.press("main a.button")
        page.evaluate("document.querySelector('#until').value = '2999-12-31'")
        send('button[value="grant"]')
        look("too-late", "expires_at")
        visit.press("main a.button")
        visit.press('button[value="reject"]')
        granted = factories.consent(firm.uscc, bank.institution)
        page.goto(f"{shared_service.base}/enterprise/consents/{granted}")
        send('button[value="revoke"]')
        look("not-sure", "sure")
        visit.press("main a.button")
        assert page.url.endswith(granted)
        page.evaluate("for (const each of document.querySelectorAll('[name=form_token]')) each.value = 'x'")
        visit.press('button[value="pause"]')
        look("expired")
        visit.press("main a.button")
        visit.press('button[value="pause"]')
        assert page.is_visible('button[value="resume"]')
        page.goto(f"{shared_service.base}/enterprise/consents/none")
        look("not-found")
        page.goto(f"{shared_service.base}/second-factor")
        visit.press("main button")
        page.fill("#code", "000000")
        visit.press("main button")
        look("wrong-code")
    assert wrong == {}


def test_the_language_is_switched_and_kept(browser: Browser, shared_service: Service, firm: Enterprise) -> None:
    with visiting(browser, "desktop", "en") as visit:
        page = visit.page
        page.goto(f"{shared_service.base}/sign-in")
        assert page.get_attribute("html", "lang") == "en"
        visit.press("nav.languages a")
        assert page.get_attribute("html", "lang") == "zh-CN"
        sign_in(visit, firm)
        assert page.get_attribute("html", "lang") == "zh-CN"


def test_all_can_be_done_with_the_keyboard(
    browser: Browser, shared_service: Service, site: Site, bank: Bank, firm: Enterprise
) -> None:
    with visiting(browser, "desktop", "zh") as visit:
        page, keys = visit.page, visit.page.keyboard
        page.goto(browsing.push(shared_service, bank, site, VERIFIER, classes=[1, 2], purposes=["pre_loan"]))
        keys.press("Tab")
        assert focused(visit)["class"] == "skip"
        until(visit, "username")
        keys.type(firm.username)
        until(visit, "password")
        keys.type(firm.password)
        keys.press("Enter")
        page.wait_for_url("**/authorize/*")
        until(visit, "classes")
        keys.press("Tab")
        assert focused(visit)["name"] == "classes"
        keys.press("Space")
        assert page.locator('input[name="classes"]:checked').count() == 1
        until(visit, "decision")
        keys.press("Enter")
        page.wait_for_url(f"{site.back}?*")
    code = site.visits[-1]["code"]
    bought = browsing.redeem(shared_service, bank, site, VERIFIER, code)
    assert bought.json["authorization_details"][0]["classes"] == [1]


def test_enlarged_four_times_nothing_is_cut_off(
    browser: Browser, shared_service: Service, site: Site, bank: Bank, firm: Enterprise
) -> None:
    narrow = {"viewport": {"width": 320, "height": 256}}  # WCAG 2.2, 1.4.10: 1280 × 1024 at 400 %
    for language in ("zh", "en"):
        with visiting(browser, "desktop", language, **narrow) as visit:
            visit.page.goto(browsing.push(shared_service, bank, site, VERIFIER, **WHOLE))
            assert visit.fits()
            sign_in(visit, firm)
            assert visit.fits()
            for path in ("requests", "consents", "access-log"):
                visit.page.goto(f"{shared_service.base}/enterprise/{path}")
                assert visit.fits(), path


@DEVICES
@LANGUAGES
def test_axe_finds_nothing_on_any_page(
    browser: Browser, shared_service: Service, site: Site, bank: Bank, firm: Enterprise, device: str, language: str
) -> None:
    wrong = {}
    with visiting(browser, device, language, bypass_csp=True) as visit:
        page = visit.page

        def look(name: str) -> None:
            if faults := browsing.faults_of_access(page):
                wrong[name] = faults

        page.goto(browsing.push(shared_service, bank, site, VERIFIER, **WHOLE))
        look("sign-in")
        sign_in(visit, Enterprise(firm.uscc, firm.username, "not the password"))
        look("wrong password")
        sign_in(visit, firm)
        look("ask")
        page.goto(f"{shared_service.base}/enterprise/requests")
        look("inbox")
        visit.press("main a.button")
        visit.press('button[value="grant"]')
        look("consent")
        cast.ask(shared_service, cast.token(shared_service, bank), firm.uscc, classes=[1])
        for path in ("requests", "consents", "access-log", "consents/x"):
            page.goto(f"{shared_service.base}/enterprise/{path}")
            look(path)
        page.goto(f"{shared_service.base}/second-factor")
        look("second factor")
        visit.press("main button")
        look("second factor, begun")
        picture(visit, device, language, "11-second-factor")
        assert visit.fits()
    assert wrong == {}


def test_the_policy_holds_against_what_gets_into_a_page(
    browser: Browser, shared_service: Service, site: Site, bank: Bank, firm: Enterprise
) -> None:
    outside = f"http://127.0.0.1:{site.port}/stolen"
    other = f"http://localhost:{site.port}/stolen"  # not the origin that the form may end at
    with visiting(browser, "desktop", "en") as visit:
        page = visit.page
        page.goto(browsing.push(shared_service, bank, site, VERIFIER, **WHOLE))
        sign_in(visit, firm)
        page.evaluate(INJECT, [outside, other])
        page.wait_for_timeout(500)
        assert page.evaluate("window.injected") is None
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 0, 0)"
        refused = set(page.evaluate("window.refused"))
        assert refused >= {"script-src-elem", "style-src-attr", "img-src", "connect-src", "form-action", "base-uri"}
        assert [path for path in site.paths if path.startswith("/stolen")] == []
        assert page.evaluate("document.cookie") == ""


def test_no_site_can_frame_a_page(browser: Browser, shared_service: Service, site: Site) -> None:
    with visiting(browser, "desktop", "en") as visit:
        visit.page.goto(site.back)
        before = visit.page.frames
        visit.page.evaluate(
            "url => document.body.append(Object.assign(document.createElement('iframe'), {src: url}))",
            f"{shared_service.base}/sign-in",
        )
        visit.page.wait_for_timeout(500)
        (frame,) = (each for each in visit.page.frames if each not in before)
        assert frame.locator("#username").count() == 0


INJECT = """([outside, other]) => {
  window.refused = [];
  document.addEventListener("securitypolicyviolation", event => window.refused.push(event.effectiveDirective));
  const add = (tag, values) => {
    const made = Object.assign(document.createElement(tag), values);
    document.body.append(made);
    return made;
  };
  add("script", {textContent: "window.injected = true"});
  add("script", {src: outside});
  add("div", {}).setAttribute("style", "color: red");
  add("style", {textContent: "body { background: rgb(255, 0, 0) !important }"});
  add("img", {src: outside});
  add("base", {href: outside});
  fetch(outside).catch(() => null);
  add("form", {action: other, method: "post"}).submit();
}"""


def focused(visit: Visit) -> dict[str, Any]:
    found: dict[str, Any] = visit.page.evaluate(
        "({id: document.activeElement.id, name: document.activeElement.name, class: document.activeElement.className})"
    )
    return found


def until(visit: Visit, name: str) -> None:
    """Press Tab until the field of this name has the focus."""
    for _ in range(40):
        visit.page.keyboard.press("Tab")
        if focused(visit)["name"] == name:
            return
    raise AssertionError(f"{name} cannot be reached with the keyboard")
