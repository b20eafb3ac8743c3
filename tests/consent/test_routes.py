# SPDX-License-Identifier: Apache-2.0
"""Consent over HTTP: an enterprise gives and ends its own, an institution sees what names it, and no more."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from audit.models import entry as entries
from consent import store
from consent.schemas import ConsentListSchema, ConsentSchema, ConsentWithHistorySchema
from kernel import clock, db, ids
from tests import factories
from tests.kernel.test_problems import assert_problem


class Caller:
    """One who calls with a bearer token."""

    def __init__(self, client: FlaskClient, bearer: str) -> None:
        self.client, self.headers = client, {"Authorization": f"Bearer {bearer}"}

    def get(self, path: str = "", **query: Any) -> Any:
        return self.client.get(f"/v1/consents{path}", query_string=query, headers=self.headers)

    def post(self, path: str, body: Any, **headers: str) -> Any:
        return self.client.post(f"/v1/consents{path}", json=body, headers={**self.headers, **headers})

    def grant(self, body: Any, key: str | None = None) -> Any:
        return self.post("", body, **{"Idempotency-Key": key or ids.new_id()})


@pytest.fixture
def enterprise() -> str:
    return factories.new_uscc()


@pytest.fixture
def signatory(client: FlaskClient, enterprise: str) -> Caller:
    return Caller(client, factories.signatory(enterprise))


ENDS = (datetime.now(clock.SHANGHAI) + timedelta(days=900)).isoformat(timespec="seconds")


def body(enterprise: str, **changes: Any) -> dict[str, Any]:
    return {"uscc": enterprise, "grantee": "platform", "classes": [1], "purposes": ["pre_loan"], **changes}


def bank(client: FlaskClient, institution: str | None = None, kind: str = "bank") -> Caller:
    institution = institution or factories.bank(kind=kind)
    return Caller(client, factories.token(institution, ["credit:query", "consent:read"]))


def granted_entries(enterprise: str) -> int:
    with db.reading() as reading:
        about = entries.c.uscc == enterprise, entries.c.type == "consent.granted"
        return reading.scalar(select(func.count(entries.c.id)).where(*about)) or 0


def test_a_grant_answers_with_the_consent_as_get_shows_it(enterprise: str, signatory: Caller) -> None:
    response = signatory.grant(body(enterprise, expires_at=ENDS))
    assert response.status_code == 201
    given = response.json
    assert ConsentSchema().validate(given) == {}
    shown = signatory.get(f"/{given['consent_id']}").json
    history = shown.pop("versions")
    assert shown == given
    assert given["expires_at"] == clock.rfc3339(datetime.fromisoformat(ENDS))
    assert (given["status"], given["version"], given["products"]) == ("active", 1, ["records", "screening"])
    assert history == [given]
    assert given["previous"] is None


def test_the_same_key_and_body_give_the_same_answer_and_one_entry(enterprise: str, signatory: Caller) -> None:
    first, again = (signatory.grant(body(enterprise), "k") for _ in range(2))
    assert (again.status_code, again.data) == (first.status_code, first.data)
    assert granted_entries(enterprise) == 1


def test_the_same_key_with_another_body_is_422(enterprise: str, signatory: Caller) -> None:
    assert signatory.grant(body(enterprise), "k").status_code == 201
    assert_problem(signatory.grant(body(enterprise, classes=[2]), "k"), 422, "idempotency-key-reused")
    assert granted_entries(enterprise) == 1


def test_a_grant_without_a_key_is_400_and_written_nowhere(enterprise: str, signatory: Caller) -> None:
    assert_problem(signatory.post("", body(enterprise)), 400, "idempotency-key-required")
    assert granted_entries(enterprise) == 0


def test_a_revocation_answers_with_the_consent_and_chains_its_history(enterprise: str, signatory: Caller) -> None:
    consent_id = signatory.grant(body(enterprise)).json["consent_id"]
    response = signatory.post(f"/{consent_id}/revoke", {"reason": "不再合作"})
    assert response.status_code == 200
    assert ConsentSchema().validate(response.json) == {}
    shown = signatory.get(f"/{consent_id}").json
    assert ConsentWithHistorySchema().validate(shown) == {}
    first, second = shown.pop("versions")
    assert shown == response.json
    assert (shown["status"], shown["version"], shown["reason"]) == ("revoked", 2, "不再合作")
    assert second["previous"] == store.digest_of(first)
    assert_problem(signatory.post(f"/{consent_id}/revoke", {}), 409, "consent-ended")


def test_collection_cannot_end_while_queries_live(enterprise: str, signatory: Caller) -> None:
    collect = signatory.grant(body(enterprise, scope="collect")).json["consent_id"]
    query = signatory.grant(body(enterprise)).json["consent_id"]
    assert_problem(signatory.post(f"/{collect}/revoke", {}), 409, "query-consents-live")
    assert signatory.post(f"/{query}/revoke", {}).status_code == 200
    assert signatory.post(f"/{collect}/revoke", {}).status_code == 200


BAD = [
    ({"extra": 1}, {"extra"}),
    ({"classes": []}, {"classes"}),
    ({"classes": [0]}, {"classes"}),
    ({"classes": [8]}, {"classes"}),
    ({"classes": ["1"]}, {"classes"}),
    ({"classes": [1.5]}, {"classes"}),
    ({"classes": [True]}, {"classes"}),
    ({"classes": 1}, {"classes"}),
    ({"classes": None}, {"classes"}),
    ({"classes": [1] * 8}, {"classes"}),
    ({"purposes": []}, {"purposes"}),
    ({"purposes": ["curiosity"]}, {"purposes"}),
    ({"purposes": "pre_loan"}, {"purposes"}),
    ({"products": ["score"]}, {"products"}),
    ({"products": []}, {"products"}),
    ({"scope": "share"}, {"scope"}),
    ({"grantee": "nobody"}, {"grantee"}),
    ({"grantee": "kind:pawnshop"}, {"grantee"}),
    ({"grantee": ""}, {"grantee"}),
    ({"grantee": 7}, {"grantee"}),
    ({"uscc": 7}, {"uscc"}),
    ({"uscc": "x" * 33}, {"uscc"}),
    ({"expires_at": "2099-01-01T00:00:00"}, {"expires_at"}),
    ({"expires_at": "2020-01-01T00:00:00Z"}, {"expires_at"}),
    ({"expires_at": "tomorrow"}, {"expires_at"}),
    ({"expires_at": 4_000_000_000}, {"expires_at"}),
    ({"expires_at": "9999-12-31T23:59:59-23:59"}, {"expires_at"}),
    ({"not_before": "2026-01-01"}, {"not_before"}),
    ({"not_before": "0001-01-01T00:00:00+23:59"}, {"not_before"}),
    ({"not_before": "2099-01-02T00:00:00Z", "expires_at": "2099-01-01T00:00:00Z"}, {"expires_at"}),
    ({"scope": "collect", "grantee": "kind:bank"}, {"grantee"}),
]


def test_a_bad_body_is_422_with_the_fields_named_and_written_nowhere(enterprise: str, signatory: Caller) -> None:
    for changes, fields in BAD:
        told = assert_problem(signatory.grant(body(enterprise, **changes)), 422, "invalid-field")
        assert told["errors"].keys() == fields, changes
    told = assert_problem(signatory.grant({}), 422, "invalid-field")
    assert told["errors"].keys() == {"uscc", "classes", "purposes"}
    assert granted_entries(enterprise) == 0


def test_a_bad_reason_is_422_and_revokes_nothing(enterprise: str, signatory: Caller) -> None:
    consent_id = signatory.grant(body(enterprise)).json["consent_id"]
    for reason in ("", "x" * 401, 7, ["x"]):
        told = assert_problem(signatory.post(f"/{consent_id}/revoke", {"reason": reason}), 422, "invalid-field")
        assert told["errors"].keys() == {"reason"}
    assert signatory.get(f"/{consent_id}").json["status"] == "active"


def test_a_signatory_acts_for_its_own_enterprise_only(client: FlaskClient, enterprise: str, signatory: Caller) -> None:
    other = factories.new_uscc()
    others = factories.consent(other)
    assert_problem(signatory.grant(body(other)), 403, "not-your-enterprise")
    assert granted_entries(other) == 1
    assert_problem(signatory.get(f"/{others}"), 404, "not-found")
    assert_problem(signatory.post(f"/{others}/revoke", {}), 404, "not-found")
    assert_problem(signatory.get(uscc=other), 403, "not-your-enterprise")
    assert signatory.get().json == {"consents": [], "next_cursor": None}
    assert Caller(client, factories.signatory(other)).get(f"/{others}").json["status"] == "active"


def test_what_is_not_ones_own_looks_exactly_like_what_does_not_exist(client: FlaskClient, signatory: Caller) -> None:
    others, absent = factories.consent(factories.new_uscc(), "kind:bank"), ids.new_id()
    for caller in (signatory, bank(client, kind="insurer")):
        shown = [caller.get(f"/{each}") for each in (others, absent)]
        assert [response.status_code for response in shown] == [404, 404]
        details = [
            response.json["detail"].removesuffix(each) for response, each in zip(shown, (others, absent), strict=True)
        ]
        assert details[0] == details[1]


def test_an_institution_sees_the_consents_that_name_it_and_no_others(client: FlaskClient, enterprise: str) -> None:
    institution = factories.bank()
    mine = [factories.consent(enterprise, grantee) for grantee in (institution, "kind:bank", "platform")]
    hidden = [
        factories.consent(enterprise, factories.bank()),
        factories.consent(enterprise, "kind:insurer"),
        factories.consent(enterprise, scope="collect"),
    ]
    caller = bank(client, institution)
    listed = [consent["consent_id"] for consent in caller.get().json["consents"]]
    assert sorted(listed) == sorted(mine)
    assert caller.get(uscc=enterprise).json["consents"] == caller.get().json["consents"]
    assert caller.get(uscc=factories.new_uscc()).json["consents"] == []
    assert [caller.get(f"/{each}").status_code for each in [*mine, *hidden]] == [200] * 3 + [404] * 3


def test_an_institution_neither_gives_nor_ends_a_consent(client: FlaskClient, enterprise: str) -> None:
    caller = bank(client)
    assert_problem(caller.grant(body(enterprise)), 403, "insufficient-scope")
    assert_problem(caller.post(f"/{factories.consent(enterprise)}/revoke", {}), 403, "insufficient-scope")


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 200])
def test_pages_walk_every_consent_once_newest_first(enterprise: str, signatory: Caller, limit: int) -> None:
    given = [factories.consent(enterprise, grantee) for grantee in ("platform", "kind:bank", "kind:other") * 2]
    factories.consent(factories.new_uscc())
    walked: list[str] = []
    query: dict[str, Any] = {"limit": limit}
    for _ in range(len(given) + 2):
        page = signatory.get(**query).json
        assert ConsentListSchema().validate(page) == {}
        assert len(page["consents"]) <= limit
        walked += [consent["consent_id"] for consent in page["consents"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert walked == sorted(given, reverse=True)


def test_a_page_that_cannot_be_is_422(signatory: Caller) -> None:
    for query in ({"limit": 0}, {"limit": 201}, {"limit": "x"}, {"cursor": "é"}, {"cursor": "x" * 129}):
        told = assert_problem(signatory.get(**query), 422, "invalid-field")
        assert told["errors"].keys() == query.keys()


def test_an_answer_is_json_and_is_not_kept_by_caches(enterprise: str, signatory: Caller) -> None:
    for response in (signatory.grant(body(enterprise)), signatory.get()):
        assert response.content_type == "application/json"
        assert response.headers["Cache-Control"] == "no-store"
        assert json.loads(response.data) == response.json
