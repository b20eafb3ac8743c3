# SPDX-License-Identifier: Apache-2.0
"""What a caller who does something wrong is told, over HTTP: the documented answer, and never a record."""

from datetime import timedelta
from typing import Any

import pytest

from tests import factories
from tests.journeys.cast import Cast, ask, fetch_token, grant, new_bank, read_access_log, sign_in, token
from tests.journeys.service import Reply, Service

CHALLENGES = 'Bearer realm="bureau", DPoP realm="bureau", algs="ES256 PS256 EdDSA Ed25519"'  # RFC 9449 §7.1


@pytest.fixture(scope="module")
def bearer(shared_service: Service, shared_cast: Cast) -> str:
    return token(shared_service, shared_cast.bank)


@pytest.fixture(autouse=True)
def no_record_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is not a 2xx holds nothing of what the enterprise has on file."""
    call = Service.call

    def watched(self: Service, *arguments: Any, **more: Any) -> Reply:
        reply = call(self, *arguments, **more)
        assert reply.status < 300 or b"C1.01" not in reply.body, reply
        return reply

    monkeypatch.setattr(Service, "call", watched)


def test_another_institutions_token_opens_nothing(shared_service: Service, shared_cast: Cast, bearer: str) -> None:
    mine = ask(shared_service, bearer, shared_cast.enterprise.uscc)
    stranger = token(shared_service, new_bank())

    refused = ask(shared_service, stranger, shared_cast.enterprise.uscc)
    assert (refused.status, refused.problem) == (403, "no-consent")
    header = {"Authorization": f"Bearer {stranger}"}
    looked = shared_service.call("GET", f"/v1/credit-queries/{mine.json['query_id']}", **header)
    assert (looked.status, looked.problem) == (404, "not-found")
    consent = shared_service.call("GET", f"/v1/consents/{shared_cast.consent}", **header)
    assert (consent.status, consent.problem) == (404, "not-found")
    assert shared_service.call("GET", "/v1/consents", **header).json["consents"] == []


def test_a_revoked_token_fails_at_the_next_request(shared_service: Service, shared_cast: Cast) -> None:
    bank, bearer = shared_cast.bank, token(shared_service, shared_cast.bank)
    form = {"Authorization": bank.basic, "Content_Type": "application/x-www-form-urlencoded"}
    active = shared_service.call("POST", "/oauth/introspect", f"token={bearer}", **form)
    assert (active.status, active.json["active"], active.json["client_id"]) == (200, True, bank.client_id)

    assert shared_service.call("POST", "/oauth/revoke", f"token={bearer}", **form).status == 200

    refused = ask(shared_service, bearer, shared_cast.enterprise.uscc)
    assert (refused.status, refused.problem) == (401, "invalid-token")
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]
    assert shared_service.call("POST", "/oauth/introspect", f"token={bearer}", **form).json == {"active": False}


def test_an_expired_token_is_worth_nothing(shared_service: Service, shared_cast: Cast) -> None:
    expired = factories.token(shared_cast.bank.institution, life=timedelta(seconds=-1))
    refused = ask(shared_service, expired, shared_cast.enterprise.uscc)
    assert (refused.status, refused.problem) == (401, "invalid-token")


def test_no_token_is_asked_for_one(shared_service: Service) -> None:
    refused = shared_service.call("POST", "/v1/credit-queries", {}, Idempotency_Key="none")
    assert (refused.status, refused.problem) == (401, "missing-token")
    assert refused.headers["www-authenticate"] == CHALLENGES


def test_a_token_without_the_scope_is_told_so(shared_service: Service, shared_cast: Cast) -> None:
    narrow = fetch_token(shared_service, shared_cast.bank, scope="consent:read").json["access_token"]
    refused = ask(shared_service, narrow, shared_cast.enterprise.uscc)
    assert (refused.status, refused.problem) == (403, "insufficient-scope")
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]


def test_a_scope_that_is_not_registered_is_never_narrowed(shared_service: Service, shared_cast: Cast) -> None:
    refused = fetch_token(shared_service, shared_cast.bank, scope="credit:query%20batch:write")
    assert (refused.status, refused.json["error"]) == (400, "invalid_scope")


def test_an_enterprise_cannot_ask_as_a_bank_does(shared_service: Service, shared_cast: Cast) -> None:
    session = sign_in(shared_service, shared_cast.enterprise)
    refused = ask(shared_service, session, shared_cast.enterprise.uscc)
    assert (refused.status, refused.problem) == (403, "insufficient-scope")


def test_an_enterprise_cannot_grant_for_another_nor_read_its_log(shared_service: Service, shared_cast: Cast) -> None:
    session, other = sign_in(shared_service, shared_cast.enterprise), factories.new_uscc()
    granted = grant(shared_service, session, shared_cast, uscc=other)
    assert (granted.status, granted.problem) == (403, "not-your-enterprise")
    log = shared_service.call("GET", f"/v1/enterprises/{other}/access-log", Authorization=f"Bearer {session}")
    assert (log.status, log.problem) == (403, "not-your-enterprise")


def test_an_unknown_enterprise_is_refused_like_one_without_consent(shared_service: Service, bearer: str) -> None:
    refused = ask(shared_service, bearer, factories.new_uscc())
    assert (refused.status, refused.problem) == (403, "no-consent")


def test_a_code_that_fails_its_check_symbol_is_no_code(shared_service: Service, shared_cast: Cast, bearer: str) -> None:
    valid = shared_cast.enterprise.uscc
    wrong = valid[:-1] + ("0" if valid[-1] != "0" else "1")
    refused = ask(shared_service, bearer, wrong)
    assert (refused.status, refused.problem) == (422, "invalid-uscc")
    assert "uscc" in refused.json["errors"]


def test_the_same_key_and_body_give_the_same_answer_and_one_billable_entry(
    shared_service: Service, shared_cast: Cast, bearer: str
) -> None:
    uscc, session = shared_cast.enterprise.uscc, sign_in(shared_service, shared_cast.enterprise)
    first, second = (ask(shared_service, bearer, uscc, key="replayed") for _ in range(2))
    assert (first.status, second.status) == (200, 200)
    assert first.body == second.body
    assert first.headers["content-digest"] == second.headers["content-digest"]
    log = read_access_log(shared_service, session, uscc)
    assert [line["type"] for line in log[:2]] == ["query.replayed", "query.answered"]


def test_the_same_key_with_another_body_is_refused_and_leaves_no_entry(
    shared_service: Service, shared_cast: Cast, bearer: str
) -> None:
    uscc, session = shared_cast.enterprise.uscc, sign_in(shared_service, shared_cast.enterprise)
    assert ask(shared_service, bearer, uscc, key="reused").status == 200
    before = read_access_log(shared_service, session, uscc)
    refused = ask(shared_service, bearer, uscc, key="reused", operator="OP-00043")
    assert (refused.status, refused.problem) == (422, "idempotency-key-reused")
    assert read_access_log(shared_service, session, uscc) == before


@pytest.mark.parametrize("key", [None, "", "two words", "é", "k" * 129])
def test_a_question_without_a_proper_key_is_malformed(
    shared_service: Service, shared_cast: Cast, bearer: str, key: str | None
) -> None:
    body = {
        "uscc": shared_cast.enterprise.uscc,
        "purpose": "pre_loan",
        "product": "records",
        "operator": "OP-00042",
    }
    headers = {"Authorization": f"Bearer {bearer}"} | ({} if key is None else {"Idempotency_Key": key})
    refused = shared_service.call("POST", "/v1/credit-queries", body, **headers)
    assert (refused.status, refused.problem) == (400, "idempotency-key-required")


@pytest.mark.parametrize(
    "body",
    [b"{", b'{"uscc": "\xff"}', b'{"uscc": "\\ud800"}', b'{"uscc": NaN}', b"[" * 30_000],
    ids=["half", "not utf-8", "lone surrogate", "NaN", "deep"],
)
def test_a_body_that_is_not_json_is_malformed(shared_service: Service, bearer: str, body: bytes) -> None:
    headers = {
        "Authorization": f"Bearer {bearer}",
        "Idempotency_Key": "malformed",
        "Content_Type": "application/json",
    }
    refused = shared_service.call("POST", "/v1/credit-queries", body, **headers)
    assert (refused.status, refused.problem) == (400, "malformed-request")


@pytest.mark.parametrize("body", [b"null", b"[]", b'"text"', b"1"])
def test_a_body_that_is_no_object_is_told_so(shared_service: Service, bearer: str, body: bytes) -> None:
    headers = {
        "Authorization": f"Bearer {bearer}",
        "Idempotency_Key": "no-object",
        "Content_Type": "application/json",
    }
    refused = shared_service.call("POST", "/v1/credit-queries", body, **headers)
    assert (refused.status, refused.problem) == (422, "invalid-field")


def test_a_body_of_another_type_is_unsupported(shared_service: Service, bearer: str) -> None:
    headers = {"Authorization": f"Bearer {bearer}", "Idempotency_Key": "form", "Content_Type": "text/plain"}
    refused = shared_service.call("POST", "/v1/credit-queries", b"{}", **headers)
    assert (refused.status, refused.problem) == (415, "unsupported-media-type")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"purpose": "curiosity"}, "purpose"),
        ({"product": "report"}, "product"),
        ({"classes": []}, "classes"),
        ({"classes": [0]}, "classes"),
        ({"classes": ["1"]}, "classes"),
        ({"operator": ""}, "operator"),
        ({"operator": "O" * 65}, "operator"),
        ({"reference": "r" * 65}, "reference"),
        ({"surprise": 1}, "surprise"),
        ({"operator": None}, "operator"),
    ],
)
def test_a_wrong_field_is_named(
    shared_service: Service, shared_cast: Cast, bearer: str, changes: dict[str, Any], field: str
) -> None:
    refused = ask(shared_service, bearer, shared_cast.enterprise.uscc, **changes)
    assert (refused.status, refused.problem) == (422, "invalid-field")
    assert list(refused.json["errors"]) == [field]


def test_a_wrong_password_and_an_unknown_name_are_told_the_same(shared_service: Service, shared_cast: Cast) -> None:
    wrong = {"username": shared_cast.enterprise.username, "password": "wrong"}
    told = [shared_service.call("POST", "/v1/sessions", body) for body in (wrong, {**wrong, "username": "nobody"})]
    assert [(reply.status, reply.problem) for reply in told] == [(401, "sign-in-failed")] * 2
    assert told[0].json["detail"] == told[1].json["detail"]


def test_a_client_with_a_wrong_secret_gets_no_token(shared_service: Service, shared_cast: Cast) -> None:
    headers = {"Authorization": "Basic eDp5", "Content_Type": "application/x-www-form-urlencoded"}
    refused = shared_service.call("POST", "/oauth/token", "grant_type=client_credentials", **headers)
    assert (refused.status, refused.json["error"]) == (401, "invalid_client")
    assert refused.headers["www-authenticate"].startswith("Basic")


def test_what_is_not_there_is_a_problem_too(shared_service: Service) -> None:
    missing = shared_service.call("GET", "/v1/nothing", X_Request_Id="mine-1")
    assert (missing.status, missing.problem) == (404, "not-found")
    assert missing.headers["x-request-id"] == "mine-1"
    wrong = shared_service.call("PUT", "/v1/credit-queries")
    assert (wrong.status, wrong.problem) == (405, "method-not-allowed")
    assert "POST" in wrong.headers["allow"]


def test_a_client_behind_the_city_s_proxy_gets_a_token(shared_service: Service, shared_cast: Cast) -> None:
    """TLS ends at the proxy, which passes the public name on as Host: plain HTTP under a foreign name."""
    headers = {"Host": "bureau.example", "Authorization": shared_cast.bank.basic}
    headers["Content_Type"] = "application/x-www-form-urlencoded"
    issued = shared_service.call("POST", "/oauth/token", "grant_type=client_credentials", **headers)
    assert issued.status == 200
    problem = shared_service.call("GET", "/v1/consents", Host="elsewhere.example")
    assert problem.json["type"] == f"{shared_service.base}/problems/missing-token"
