# SPDX-License-Identifier: Apache-2.0
"""What a person is told of a form that is wrong: each field as its label names it, in the reader's language."""

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from consent import faults, policy, words
from consent.portal import ACTS
from consent.screens import NarrowingSchema
from kernel.errors import Conflict, Invalid
from tests import factories
from tests.consent.redirecting import Bank, Person, details
from tests.consent.test_policy import STRICT

LANGUAGES = ("zh", "en")
LIMITS = {"max_queries": 5, "frequency": {"count": 3, "per": "month"}, "history": {"months": 24}}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"classes": []}, "classes"),
    ({"classes": ["x"]}, "classes"),
    ({"classes": ["7"]}, "classes"),
    ({"purposes": []}, "purposes"),
    ({"products": ["gossip"]}, "products"),
    ({"until": "tomorrow"}, "until"),
    ({"until": "2001-01-01"}, "until"),
    ({"until": "2999-12-31"}, "until"),
    ({"max_queries": "6"}, "max_queries"),
    ({"frequency": "-1"}, "frequency"),
    ({"frequency": "1", "per": None}, "per"),
    ({"history": "25"}, "history"),
    ({"decision": None}, "decision"),
]


@pytest.fixture
def person(app: Flask) -> Person:
    return Person(app)


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[None]:
    """A policy that allows 30 days, 12 months, 5 a day, classes 1 and 2."""
    file = tmp_path / "policy.toml"
    file.write_text(STRICT)
    policy.use(file)
    yield
    policy.use(policy.SHIPPED)


def listed(page: str) -> list[str]:
    """What a problem page says of fields."""
    found = re.search(r'(?s)<div class="card problem".*?</div>', page)
    assert found, page
    return [html.unescape(re.sub("<[^>]+>", "", each)) for each in re.findall(r"(?s)<li>(.*?)</li>", found[0])]


def said(name: str, language: str) -> str:
    colon = {"zh": "：", "en": ": "}[language]
    return f"{words.say(words.FIELDS[name], language)}{colon}{words.say(words.TAKES[name], language)}"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("changes", "field"), WRONG)
def test_a_wrong_field_is_named_as_its_label_names_it(
    app: Flask, person: Person, changes: dict[str, Any], field: str, language: str
) -> None:
    page = person.arrive(Bank(app).ask(authorization_details=details(**LIMITS)))
    person.get(f"/enterprise/requests?lang={language}")
    answer = person.submit(page, **{"decision": "grant", **changes})
    assert (answer.status_code, listed(answer.text)) == (422, [said(field, language)])
    assert onward(answer) == page.request.path


def test_the_labels_of_the_form_are_these_names(app: Flask, person: Person) -> None:
    page = person.arrive(Bank(app).ask())
    for language in LANGUAGES:
        asked = person.get(f"{page.request.path}?lang={language}").text
        for name in NarrowingSchema._declared_fields:
            assert words.say(words.FIELDS[name], language) in html.unescape(asked), name


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_consents_own_page_says_what_it_needs_and_leads_back(person: Person, language: str) -> None:
    consent_id = factories.consent(person.uscc, factories.bank())
    person.sign_in(person.get("/sign-in"))
    path = f"/enterprise/consents/{consent_id}"
    page = person.get(f"{path}?lang={language}")
    assert words.say(words.FIELDS["sure"], language) in page.text
    for changes, field in (({"act": "revoke", "sure": None}, "sure"), ({"act": "x"}, "act"), ({"act": None}, "act")):
        answer = person.submit(page, **changes)
        assert (answer.status_code, listed(answer.text)) == (422, [said(field, language)])
        assert onward(answer) == path


def test_from_an_old_form_one_goes_back_to_a_fresh_one(app: Flask, person: Person) -> None:
    opened = person.get(Bank(app).ask())
    sign_in = person.get(person.get(opened.location).location)
    (waiting,) = re.findall(r'name="then" value="([^"]+)"', sign_in.text)
    assert onward(person.sign_in(sign_in, form_token="x")) == f"/sign-in?then={waiting}"
    page = person.get(person.sign_in(sign_in).location)
    assert onward(person.submit(page, decision="grant", form_token="x")) == page.request.path
    assert onward(person.post("/sign-out", {"form_token": "x"})) == "/"


def test_a_mangled_link_to_a_later_page_shows_the_first(person: Person) -> None:
    bank = factories.bank("演示银行·首页")
    factories.consent(person.uscc, bank)
    person.sign_in(person.get("/sign-in"))
    assert "演示银行·首页" in person.get("/enterprise/consents?cursor=x").text
    assert person.get("/enterprise/access-log?cursor=x").status_code == 200


def onward(answer: Any) -> str:
    (place,) = re.findall(r'class="button" href="([^"]+)"', answer.text)
    return html.unescape(place)


@pytest.mark.usefixtures("strict")
def test_what_goes_beyond_the_policy_is_told_with_its_limit(app: Flask, person: Person) -> None:
    page = person.arrive(Bank(app).ask(authorization_details=details(days=30)))
    told = {
        "history": ("13", "最多展示最近 12 个月的事项", "at most the last 12 months"),
        "frequency": ("6", "最多每日 5 次", "at most 5 a day"),
    }
    for name, (value, zh, en) in told.items():
        form = {"decision": "grant", "per": "day", name: value}
        for language, limit in (("zh", f"：贷前审查：{zh}"), ("en", f": Review before a loan: {en}")):
            person.get(f"/enterprise/requests?lang={language}")
            answer = person.submit(page, **form)
            assert listed(answer.text) == [f"{words.say(words.FIELDS[name], language)}{limit}"]


@pytest.mark.usefixtures("strict")
def test_what_the_policy_has_no_use_for_is_told_with_what_it_allows() -> None:
    allowed = f"{words.CLASSES[1].zh}、{words.CLASSES[2].zh}"
    assert faults.told(beyond("classes"), "zh") == [("信息类别", f"保险承保与理赔：只限{allowed}")]
    only = "Insurance and claims: only: The records themselves"
    assert faults.told(beyond("products"), "en") == [("In which form", only)]
    longest = faults.told(beyond("longest_validity_days", "expires_at"), "zh")
    assert longest == [("授权至（含当日）", "保险承保与理赔：授权最长 30 天")]


def beyond(key: str, field: str = "") -> Invalid:
    """A refusal by the policy's rule of this key for insurance."""
    refused = Invalid("x", errors={field or key: ["x"]}, slug="beyond-policy")
    refused.extra["rule"] = f"insurance.{key}"
    return refused


def test_every_field_has_its_words_and_an_error_without_fields_none() -> None:
    assert words.FIELDS.keys() == words.TAKES.keys()
    assert words.FIELDS.keys() >= NarrowingSchema._declared_fields.keys()
    for told in (*words.FIELDS.values(), *words.TAKES.values()):
        assert re.search("[\u4e00-\u9fff]", told.zh)
        assert told.en.isascii()
    assert faults.told(Conflict("x"), "zh") == faults.told(Invalid("x", errors={"other": ["x"]}), "zh") == []
    assert set(ACTS) == {"revoke", "pause", "resume"}, "as TAKES tells them"
