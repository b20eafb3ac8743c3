# SPDX-License-Identifier: Apache-2.0
"""The demo city as its users find it: what `bureau demo` prints, what it keeps, and who may ask what."""

import json
import re
import stat
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from app.application import create_app
from kernel import db, uscc
from tests.app.conftest import DEMO_ENTERPRISES, Ran, run_here
from tests.conftest import PUBLIC_URL, _open
from tests.factories import token

SHAPE = {
    "base_url": None,
    "bank": {"institution", "client_id", "client_secret"},
    "source": {"client_id", "client_secret"},
    "enterprise": {"uscc", "name", "username", "password"},
    "compliance": {"username", "password"},
    "consent_id": None,
}
UNASSIGNED = "320599"
README = Path(__file__).parents[2] / "README.md"


@pytest.fixture(scope="module")
def credentials(made_city: Path) -> dict[str, Any]:
    return json.loads((made_city / "printed.json").read_text())  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def consents(made_city: Path) -> list[dict[str, Any]]:
    return run_in(made_city, "consent", "list", "--json").json  # type: ignore[no-any-return]


def run_in(home: Path, *arguments: str) -> Ran:
    return run_here({"BUREAU_HOME": str(home)}, *arguments)


def test_it_prints_the_credentials_and_keeps_them_for_its_owner_alone(
    made_city: Path, credentials: dict[str, Any]
) -> None:
    kept = made_city / "demo.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert json.loads(kept.read_text()) == credentials
    assert credentials.keys() == SHAPE.keys()
    for name, members in SHAPE.items():
        assert members is None or credentials[name].keys() == members
    assert credentials["base_url"] == "http://127.0.0.1:8000"


def test_it_moves_into_an_empty_bureau_only(city_home: Path) -> None:
    before = (city_home / "demo.json").read_bytes()
    assert "into an empty bureau only" in run_in(city_home, "demo", "--json").complaint
    assert (city_home / "demo.json").read_bytes() == before


def test_96_institutions_are_named_as_demo(made_city: Path, credentials: dict[str, Any]) -> None:
    listed = run_in(made_city, "institution", "list", "--json").json
    assert len(listed) == 96
    assert all("演示" in institution["name"] for institution in listed)
    assert len({institution["name"] for institution in listed}) == 96
    bank = {institution["institution"]: institution for institution in listed}[credentials["bank"]["institution"]]
    told = (bank["kind"], bank["status"], bank["products"], bank["purposes"])
    assert told == ("bank", "approved", ["records", "screening"], [])


def test_each_institution_may_ask_for_what_its_kind_does(made_city: Path) -> None:
    listed = run_in(made_city, "institution", "list", "--json").json
    assert Counter(one["status"] for one in listed) == {"approved": 91, "suspended": 2, "applied": 3}
    assert all(one["products"] for one in listed)
    usual = {"bank": "pre_loan", "insurer": "insurance", "guarantor": "guarantee", "investor": "equity_investment"}
    for one in listed:
        assert one["name"] == "演示银行01" or usual[one["kind"]] in one["purposes"]
        assert ("screening" in one["products"]) == (one["name"] == "演示银行01" or "screening" in one["purposes"])
    of_banks = {(*one["products"], *one["purposes"]) for one in listed if one["kind"] == "bank"}
    assert len(of_banks) == 5


def test_all_75_sources_are_registered(made_city: Path) -> None:
    listed = run_in(made_city, "source", "list", "--json").json
    assert Counter(one["status"] for one in listed) == {"approved": 75}


def test_every_code_is_valid_and_of_the_unassigned_division(consents: list[dict[str, Any]]) -> None:
    codes = {consent["uscc"] for consent in consents}
    assert len(codes) == DEMO_ENTERPRISES
    assert all(uscc.is_valid(code) and uscc.division(code) == UNASSIGNED for code in codes)


def test_the_demo_enterprise_gave_exactly_one_query_consent(
    credentials: dict[str, Any], consents: list[dict[str, Any]]
) -> None:
    own = [consent for consent in consents if consent["uscc"] == credentials["enterprise"]["uscc"]]
    assert Counter(consent["scope"] for consent in own) == {"query": 1, "collect": 1}
    (query,) = [consent for consent in own if consent["scope"] == "query"]
    assert query == {
        "consent_id": credentials["consent_id"],
        "uscc": credentials["enterprise"]["uscc"],
        "scope": "query",
        "grantee": credentials["bank"]["institution"],
        "classes": [1, 2, 3, 4, 5, 6, 7],
        "purposes": ["pre_loan"],
        "products": ["records"],
        "status": "active",
        "expires_at": None,
    }


def test_300_other_firms_let_the_bank_find_them(credentials: dict[str, Any], consents: list[dict[str, Any]]) -> None:
    bank = credentials["bank"]["institution"]
    screened = {
        consent["uscc"]
        for consent in consents
        if consent["grantee"] == bank and consent["status"] == "active" and "screening" in consent["purposes"]
    }
    assert len(screened - {credentials["enterprise"]["uscc"]}) >= 300
    # Whatever names the bank itself decides alone, so none of these firms may have given it another one.
    given = Counter(consent["uscc"] for consent in consents if consent["grantee"] == bank)
    assert set(given.values()) == {1}
    assert all("screening" in consent["products"] for consent in consents if "screening" in consent["purposes"])


def test_every_enterprise_lets_the_bureau_collect(consents: list[dict[str, Any]]) -> None:
    assert sum(consent["scope"] == "collect" for consent in consents) == DEMO_ENTERPRISES


def test_the_demo_enterprise_has_records_in_all_seven_classes(city_home: Path, credentials: dict[str, Any]) -> None:
    bank, enterprise = credentials["bank"]["institution"], credentials["enterprise"]
    answered = run_in(city_home, "query", "--institution", bank, "--uscc", enterprise["uscc"], "--operator", "OP-00042")
    answer = answered.json
    assert [found["class"] for found in answer["classes"]] == [1, 2, 3, 4, 5, 6, 7]
    assert all(dataset["records"] for found in answer["classes"] for dataset in found["datasets"])
    assert answer["name"] == enterprise["name"]
    assert "演示" in answer["name"]
    registration = answer["classes"][0]["datasets"][0]["records"][0]["items"]
    assert registration["C1.01.02"] == enterprise["uscc"]
    assert re.fullmatch(r"3205\d\d", registration["C1.01.17"])
    assert registration["C1.01.17"] != UNASSIGNED  # a real district, though the code names none


def test_the_screening_of_the_readme_finds_firms_of_the_city(city_home: Path, credentials: dict[str, Any]) -> None:
    example = re.search(r"-d '(\{\"operator\".*?\})'\n", README.read_text(), re.DOTALL)
    assert example is not None
    bound, engine = db._bound, db.open_engine(f"sqlite:///{city_home / 'bureau.db'}")
    try:
        _open(engine, city_home)
        bearer = token(credentials["bank"]["institution"], ("screening:search",))
        headers = {"Authorization": f"Bearer {bearer}", "Idempotency-Key": "once"}
        page = create_app(PUBLIC_URL).test_client().post("/v1/screenings", json=json.loads(example[1]), headers=headers)
    finally:
        db.use(bound)
        engine.dispose()
    assert page.status_code == 200, page.json
    assert page.json["total"] == len(page.json["enterprises"]) >= 2
    assert all(each["indicators"]["ENERGY.POWER_YOY"] >= 20 for each in page.json["enterprises"])


def test_what_the_city_did_is_on_its_trail(made_city: Path) -> None:
    report = run_in(made_city, "verify", "--json").json
    assert report["ok"] is True
    assert (report["size"], report["unsealed"]) > (2 * DEMO_ENTERPRISES, 0)
