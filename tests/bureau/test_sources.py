# SPDX-License-Identifier: Apache-2.0
"""Sources: registered, approved by a second person, suspended; and what is refused of those that may not deliver."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from access import clients, lifecycle, sources, tokens
from audit.models import entry as entries
from bureau import catalogue, models
from kernel import clock, db
from kernel.errors import NotPermitted
from tests import factories
from tests.access.test_parties_routes import official
from tests.conftest import House
from tests.kernel.test_problems import assert_problem

GRANT = {"grant_type": "client_credentials"}


def deliver() -> Any:
    return factories.deliver([factories.registration(1, factories.new_uscc())], source="S01")


def stored(table: Any) -> int:
    with db.reading() as reading:
        return len(reading.execute(select(table)).all())


def test_a_source_that_was_never_registered_may_deliver(house: House) -> None:
    assert deliver().accepted == 1


@pytest.mark.parametrize("status", ["applied", "suspended", "closed", "contract-expired"])
def test_of_a_source_that_is_not_approved_nothing_is_taken_or_stored(house: House, status: str) -> None:
    with db.transaction() as tx:
        if status == "applied":
            sources.apply_for(tx, "S01", sources.Terms(), lifecycle.Act("person:ada"))
        else:
            sources.add(tx, "S01")
        if status == "contract-expired":
            sources.change(tx, "S01", {"contract_until": clock.legal_day(clock.now()).replace(year=2020)})
        elif status != "applied":
            sources.act(tx, "S01", {"suspended": "suspend", "closed": "close"}[status], reason="数据质量")
    with pytest.raises(NotPermitted, match=status) as refused:
        deliver()
    assert refused.value.slug == "source-not-approved"
    assert stored(models.batch) == stored(models.folio) == 0
    assert factories.deliver([factories.registration(1, factories.new_uscc())], source="S02").accepted == 1


def test_a_suspended_source_gets_no_token_and_its_tokens_end_until_it_is_resumed(client: FlaskClient) -> None:
    with db.transaction() as tx:
        sources.add(tx, "S01")
        client_id, secret = clients.add(tx, "S01", ("batch:write",), is_source=True)
        scopes = frozenset({"batch:write"})
        bearer, _ = tokens.issue(tx, scopes, tokens.CLIENT_TOKEN_LIFE, client_id=client_id)

    def answers() -> list[Any]:
        shown = {"Authorization": f"Bearer {bearer}"}
        issued = client.post("/oauth/token", data=GRANT, auth=(client_id, secret))
        return [issued, client.get("/v1/consents", headers=shown)]

    assert [answer.status_code for answer in answers()] == [200, 403]
    assert answers()[1].json["type"].endswith("/insufficient-scope")
    with db.transaction() as tx:
        sources.act(tx, "S01", "suspend", reason="数据质量")
    for answer in answers():
        assert_problem(answer, 403, "source-not-approved")
    with db.transaction() as tx:
        sources.act(tx, "S01", "resume")
    assert [answer.status_code for answer in answers()] == [200, 403]


def test_a_source_calls_from_where_its_contract_says(client: FlaskClient) -> None:
    with db.transaction() as tx:
        sources.add(tx, "S01", sources.Terms(networks=("2001:db8::/32",)))
        auth = clients.add(tx, "S01", ("batch:write",), is_source=True)
    for peer, status in (("127.0.0.1", 403), ("2001:db8::7", 200)):
        response = client.post("/oauth/token", data=GRANT, auth=auth, environ_overrides={"REMOTE_ADDR": peer})
        assert response.status_code == status


def test_a_sources_life_over_http(client: FlaskClient) -> None:
    ada, bea = official(), official()
    body = {"source": "S07", "basis": "江苏省公共数据管理办法", "contract_ref": "协议7", "networks": ["10.0.0.0/8"]}
    applied = client.post("/v1/sources", json=body, headers=ada)
    assert applied.status_code == 201
    assert {name: applied.json[name] for name in body} == body
    assert (applied.json["status"], applied.json["name"]) == ("applied", catalogue.current().sources["S07"].name_zh)
    assert_problem(client.post("/v1/sources", json=body, headers=ada), 409, "conflict")
    assert_problem(client.post("/v1/sources/S07/approve", json={}, headers=ada), 409, "second-person-needed")
    for headers, act, status in (
        (bea, "approve", "approved"),
        (ada, "suspend", "suspended"),
        (ada, "resume", "approved"),
        (ada, "close", "closed"),
    ):
        done = client.post(f"/v1/sources/S07/{act}", json={"reason": "演练"}, headers=headers)
        assert (done.status_code, done.json["status"]) == (200, status)
    assert_problem(client.patch("/v1/sources/S07", json={"basis": "x"}, headers=ada), 409, "not-in-this-state")
    with db.reading() as reading:
        kinds = reading.scalars(
            select(entries.c.type).where(entries.c.type.like("source.%")).order_by(entries.c.id)
        ).all()
    assert [kind.removeprefix("source.") for kind in kinds] == ["applied", "approved", "suspended", "resumed", "closed"]


def test_every_source_of_the_catalogue_is_listed_registered_or_not(client: FlaskClient) -> None:
    ada = official()
    with db.transaction() as tx:
        sources.add(tx, "S02")
    found: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": 40}
    while query.get("cursor", "") is not None:
        page = client.get("/v1/sources", query_string=query, headers=ada).json
        found += page["sources"]
        query["cursor"] = page["next_cursor"]
    assert [one["source"] for one in found] == sorted(catalogue.current().sources)
    assert {one["source"] for one in found if one["status"] == "approved"} == {"S02"}
    assert client.get("/v1/sources/S03", headers=ada).json["status"] == "unregistered"


def test_what_the_catalogue_does_not_know_is_no_source(client: FlaskClient) -> None:
    ada = official()
    assert_problem(client.post("/v1/sources", json={"source": "S99"}, headers=ada), 422, "invalid-field")
    for method, path, body in (
        ("GET", "/v1/sources/S99", None),
        ("PATCH", "/v1/sources/S99", {}),
        ("POST", "/v1/sources/S99/approve", {}),
        ("POST", "/v1/sources/S99/clients", {"scopes": ["batch:write"]}),
        ("GET", "/v1/sources/S99/clients", None),
        ("POST", "/v1/sources/S03/suspend", {"reason": "未登记"}),
    ):
        assert_problem(client.open(path, method=method, json=body, headers=ada), 404, "not-found")


def test_a_source_gets_a_client_over_http(client: FlaskClient) -> None:
    ada = official()
    wrong = client.post("/v1/sources/S03/clients", json={"scopes": ["credit:query"]}, headers=ada)
    assert_problem(wrong, 422, "invalid-field")
    made = client.post("/v1/sources/S03/clients", json={"scopes": ["batch:write"]}, headers=ada)
    assert made.status_code == 201
    auth = made.json["client_id"], made.json["client_secret"]
    assert client.post("/oauth/token", data=GRANT, auth=auth).json["scope"] == "batch:write"
    (listed,) = client.get("/v1/sources/S03/clients", headers=ada).json["clients"]
    assert (listed["client_id"], listed["source"], listed["institution"]) == (auth[0], "S03", None)
