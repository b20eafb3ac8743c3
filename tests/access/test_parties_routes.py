# SPDX-License-Identifier: Apache-2.0
"""Onboarding over HTTP: two administrators, an institution's whole life, its clients, and the switches."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from access import institutions, people, tokens
from audit.models import entry as entries
from kernel import clock, db
from tests import factories
from tests.kernel.test_problems import assert_problem

APPLICATION = {
    "name": "演示商业银行",
    "kind": "bank",
    "contract_ref": "合同2026-001",
    "contract_until": "2036-12-31",
    "products": ["records"],
    "purposes": ["pre_loan", "post_loan"],
    "networks": ["127.0.0.0/8", "2001:db8::/32"],
    "per_second": 50,
    "per_day": 1000,
}


def official(role: str = "admin") -> dict[str, str]:
    """The headers of a new administrator or security officer."""
    username, _ = factories.person(role)
    with db.transaction() as tx:
        scopes = people.ROLE_SCOPES[role]
        token, _ = tokens.issue(tx, scopes, tokens.SESSION_LIFE, username=username)
    return {"Authorization": f"Bearer {token}"}


def apply_for(client: FlaskClient, headers: dict[str, str], **changes: Any) -> Any:
    return client.post("/v1/institutions", json={**APPLICATION, **changes}, headers=headers)


def act(client: FlaskClient, headers: dict[str, str], institution: str, what: str, reason: str | None = None) -> Any:
    return client.post(f"/v1/institutions/{institution}/{what}", json={"reason": reason}, headers=headers)


def test_an_institutions_life_from_application_to_its_end(client: FlaskClient) -> None:
    ada, bea = official(), official()
    applied = apply_for(client, ada)
    assert applied.status_code == 201
    told = applied.json
    assert {name: told[name] for name in APPLICATION} == APPLICATION
    assert told["status"] == "applied"
    one = told["institution"]
    assert_problem(act(client, ada, one, "approve"), 409, "second-person-needed")
    approved = act(client, bea, one, "approve")
    assert (approved.status_code, approved.json["status"]) == (200, "approved")
    assert_problem(act(client, bea, one, "approve"), 409, "not-in-this-state")
    assert_problem(act(client, bea, one, "suspend"), 422, "invalid-field")
    assert act(client, bea, one, "suspend", "费用未付").json["status"] == "suspended"
    shown = client.get(f"/v1/institutions/{one}", headers=ada).json
    assert (shown["status"], shown["reason"]) == ("suspended", "费用未付")
    assert act(client, ada, one, "resume").json["status"] == "approved"
    assert act(client, ada, one, "close", "合同终止").json["status"] == "closed"
    for what in ("approve", "resume", "suspend", "close"):
        assert_problem(act(client, bea, one, what, "再来"), 409, "not-in-this-state")
    assert_problem(client.patch(f"/v1/institutions/{one}", json={}, headers=ada), 409, "not-in-this-state")
    with db.reading() as reading:
        told = reading.execute(
            select(entries.c.type, entries.c.actor).where(entries.c.institution == one).order_by(entries.c.id)
        ).all()
    acts = [kind.removeprefix("institution.") for kind, _ in told]
    assert acts == ["applied", "approved", "suspended", "resumed", "closed"]
    assert told[0].actor != told[1].actor
    assert all(actor.startswith("person:admin-") for _, actor in told)


def test_what_a_contract_allows_is_changed_for_the_next_question(client: FlaskClient) -> None:
    ada, bank, uscc = official(), factories.bank(), factories.new_uscc()
    factories.consent(uscc, bank)
    bearer = factories.token(bank)
    assert factories.ask(client, bearer, uscc).status_code == 200
    for change, slug in (
        ({"purposes": ["post_loan"]}, "purpose-not-allowed"),
        ({"purposes": [], "products": ["screening"]}, "product-not-allowed"),
        ({"products": [], "contract_until": "2026-01-01"}, "institution-not-approved"),
        ({"contract_until": None, "networks": ["2001:db8::/32"]}, "network-not-allowed"),
        ({"networks": [], "per_day": 0}, "institution-quota-exhausted"),
    ):
        changed = client.patch(f"/v1/institutions/{bank}", json=change, headers=ada)
        assert changed.status_code == 200
        assert {name: changed.json[name] for name in change} == change
        refused = factories.ask(client, bearer, uscc)
        assert refused.json["type"].endswith(f"/problems/{slug}")
        assert refused.status_code == (429 if "quota" in slug else 403)
    client.patch(f"/v1/institutions/{bank}", json={"per_day": None}, headers=ada)
    assert factories.ask(client, bearer, uscc).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"networks": ["10.0.0.1/24"]},
        {"networks": ["garbage"]},
        {"products": ["gossip"]},
        {"purposes": ["curiosity"]},
        {"per_second": -1},
        {"per_day": 1.5},
        {"contract_until": "2026-02-30"},
        {"status": "approved"},
        {"applied_by": "person:other"},
    ],
)
def test_what_is_no_contract_is_refused(client: FlaskClient, wrong: dict[str, Any]) -> None:
    ada, bank = official(), factories.bank()
    assert_problem(client.patch(f"/v1/institutions/{bank}", json=wrong, headers=ada), 422, "invalid-field")
    assert_problem(apply_for(client, ada, **wrong), 422, "invalid-field")
    with db.reading() as reading:
        assert institutions.get(reading, bank).status == "approved"


def test_a_name_is_given_once_and_kinds_are_known(client: FlaskClient) -> None:
    ada = official()
    assert apply_for(client, ada).status_code == 201
    assert_problem(apply_for(client, official()), 409, "conflict")
    assert_problem(apply_for(client, ada, name="另一家", kind="shop"), 422, "invalid-field")


def test_institutions_are_listed_page_by_page_and_by_status(client: FlaskClient) -> None:
    ada = official()
    added = [apply_for(client, ada, name=f"演示{n}").json["institution"] for n in range(5)]
    client.post(f"/v1/institutions/{added[0]}/close", json={"reason": "撤回"}, headers=ada)
    found: list[str] = []
    query: dict[str, Any] = {"limit": 2, "status": "applied"}
    while True:
        page = client.get("/v1/institutions", query_string=query, headers=ada).json
        found += [one["institution"] for one in page["institutions"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert found == added[:0:-1]


def test_clients_are_given_rotated_disabled_and_enabled(client: FlaskClient) -> None:
    ada, bank, form = official(), factories.bank(), {"grant_type": "client_credentials"}

    def works(secret: str) -> bool:
        return bool(client.post("/oauth/token", data=form, auth=(client_id, secret)).status_code == 200)

    made = client.post(f"/v1/institutions/{bank}/clients", json={"scopes": ["credit:query"]}, headers=ada)
    assert made.status_code == 201
    client_id, first = made.json["client_id"], made.json["client_secret"]
    rotated = client.post(f"/v1/clients/{client_id}/rotate", json={}, headers=ada)
    assert (rotated.status_code, rotated.json["client_id"]) == (200, client_id)
    second = rotated.json["client_secret"]
    assert works(first)
    assert works(second)
    third = client.post(f"/v1/clients/{client_id}/rotate", json={"overlap_hours": 0}, headers=ada).json["client_secret"]
    assert [works(each) for each in (first, second, third)] == [False, False, True]
    assert client.post(f"/v1/clients/{client_id}/disable", headers=ada).json["status"] == "disabled"
    assert not works(third)
    assert client.post(f"/v1/clients/{client_id}/enable", headers=ada).json["status"] == "active"
    assert works(third)
    assert client.patch(f"/v1/clients/{client_id}", json={"per_second": 7}, headers=ada).json["per_second"] == 7
    listed = client.get(f"/v1/institutions/{bank}/clients", headers=ada)
    (line,) = listed.json["clients"]
    assert (line["client_id"], line["scopes"], len(line["secrets"])) == (client_id, ["credit:query"], 1)
    assert not any(secret in listed.text for secret in (first, second, third))


def test_a_client_gets_no_scope_of_others(client: FlaskClient) -> None:
    ada, bank = official(), factories.bank()
    for scopes in (["admin"], ["batch:write"], ["credit:query", "security"]):
        wrong = client.post(f"/v1/institutions/{bank}/clients", json={"scopes": scopes}, headers=ada)
        assert_problem(wrong, 422, "invalid-field")


def test_what_there_is_not_is_not_found(client: FlaskClient) -> None:
    ada, security = official(), official("security")
    for method, path, body in (
        ("GET", "/v1/institutions/nobody", None),
        ("PATCH", "/v1/institutions/nobody", {}),
        ("POST", "/v1/institutions/nobody/approve", {}),
        ("POST", "/v1/institutions/nobody/clients", {"scopes": ["credit:query"]}),
        ("GET", "/v1/institutions/nobody/clients", None),
        ("POST", "/v1/clients/nobody/rotate", {}),
        ("POST", "/v1/clients/nobody/disable", None),
        ("PATCH", "/v1/clients/nobody", {"per_second": 1}),
    ):
        assert_problem(client.open(path, method=method, json=body, headers=ada), 404, "not-found")
    stopped = {"target": "client", "id": "nobody", "reason": "演练"}
    assert_problem(client.post("/v1/switches", json=stopped, headers=security), 404, "not-found")
    assert_problem(client.delete("/v1/switches/all", headers=security), 404, "not-found")


def test_who_is_no_administrator_reaches_nothing_here(client: FlaskClient) -> None:
    bank = factories.bank()
    strangers = [
        {"Authorization": f"Bearer {factories.token(bank)}"},
        {"Authorization": f"Bearer {factories.signatory(factories.new_uscc())}"},
        official("compliance"),
    ]
    for headers in strangers:
        for path in (f"/v1/institutions/{bank}", f"/v1/institutions/{bank}/clients", "/v1/sources", "/v1/switches"):
            assert_problem(client.get(path, headers=headers), 403, "insufficient-scope")
        assert_problem(act(client, headers, bank, "suspend", "我说的"), 403, "insufficient-scope")
    assert_problem(client.get("/v1/switches", headers=official()), 403, "insufficient-scope")


def test_security_stops_and_starts(client: FlaskClient) -> None:
    security, bank = official("security"), factories.bank()
    bearer = {"Authorization": f"Bearer {factories.token(bank)}"}
    for target, party, status in (("all", None, 503), ("institution", bank, 403)):
        body = {"target": target, "reason": "演练"} | ({"id": party} if party else {})
        made = client.post("/v1/switches", json=body, headers=security)
        assert made.status_code == 201
        assert client.get("/v1/consents", headers=bearer).status_code == status
        assert client.get("/v1/switches", headers=security).json == {"switches": [made.json], "next_cursor": None}
        assert_problem(client.post("/v1/switches", json=body, headers=security), 409, "stopped-already")
        assert client.delete(f"/v1/switches/{made.json['switch']}", headers=security).status_code == 204
        assert client.get("/v1/consents", headers=bearer).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"target": "all", "id": "x", "reason": "演练"},
        {"target": "client", "reason": "演练"},
        {"target": "all"},
        {"target": "everything", "reason": "演练"},
    ],
)
def test_a_stop_that_names_nothing_right_is_refused(client: FlaskClient, body: dict[str, str]) -> None:
    assert_problem(client.post("/v1/switches", json=body, headers=official("security")), 422, "invalid-field")


def test_a_contracts_last_day_is_one_of_shanghai(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    bank = factories.bank()
    today = clock.legal_day(clock.now())
    with db.transaction() as tx:
        institutions.change(tx, bank, {"contract_until": today})
        assert institutions.get(tx, bank).status == "approved"
        monkeypatch.setattr(clock, "legal_day", lambda _now: today.replace(year=today.year + 1))
        assert institutions.get(tx, bank).status == "contract-expired"
