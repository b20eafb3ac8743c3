# SPDX-License-Identifier: Apache-2.0
"""The web edge: one shape for every error, ids for every request, and methods that behave."""

import re
from typing import Any, NoReturn

import pytest
from flask import Flask
from flask.testing import FlaskClient

from kernel import errors, web
from tests import factories
from tests.conftest import PUBLIC_URL

SESSIONS = "/v1/sessions"
CREDENTIALS = {"username": "nobody", "password": "wrong"}
# For what is decided before any database is asked.
on_one_engine = pytest.mark.parametrize("house", ["sqlite"], indirect=True)


def assert_problem(response: Any, status: int, slug: str) -> dict[str, Any]:
    """The document of a response that must be the problem of this name (RFC 9457)."""
    assert response.status_code == status, response.get_data(as_text=True)
    assert response.content_type == "application/problem+json"
    document: dict[str, Any] = response.json
    assert {"type", "title", "status", "detail", "instance"} <= document.keys()
    assert document["type"] == f"{PUBLIC_URL}/problems/{slug}"
    assert document["status"] == status
    assert document["title"] == slug.replace("-", " ")
    assert len(document["detail"]) > 5
    assert document["instance"] == f"{response.request.path}#{response.headers['X-Request-Id']}"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    return document


@on_one_engine
def test_a_body_that_is_not_json_is_400(client: FlaskClient) -> None:
    response = client.post(SESSIONS, data="{", content_type="application/json")
    assert_problem(response, 400, "malformed-request")


@on_one_engine
def test_no_token_is_401_and_is_told_to_send_one(client: FlaskClient) -> None:
    response = client.get("/v1/consents")
    assert_problem(response, 401, "missing-token")
    algorithms = 'algs="ES256 PS256 EdDSA Ed25519"'
    assert response.headers["WWW-Authenticate"] == f'Bearer realm="bureau", DPoP realm="bureau", {algorithms}'


@on_one_engine
@pytest.mark.parametrize(
    "authorization",
    ["Bearer unknown", "bearer unknown", "Bearer", "Bearer a b", "Basic YTpi", "x", "Bearer é"],
)
def test_a_token_that_is_none_of_ours_is_401(client: FlaskClient, authorization: str) -> None:
    response = client.get("/v1/consents", headers={"Authorization": authorization})
    assert_problem(response, 401, "invalid-token")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="bureau", error="invalid_token"'


def test_a_token_without_the_scope_is_403(client: FlaskClient) -> None:
    bearer = factories.token(factories.bank(), ["consent:read"])
    response = factories.ask(client, bearer, factories.new_uscc())
    assert_problem(response, 403, "insufficient-scope")
    assert 'error="insufficient_scope"' in response.headers["WWW-Authenticate"]


@on_one_engine
@pytest.mark.parametrize("path", ["/no", "/v1", "/v1/nothing", "/v1/consents/", "/oauth", "/v1/%ff%fe", "/v1/企业"])
def test_a_path_that_is_not_there_is_404(client: FlaskClient, path: str) -> None:
    assert_problem(client.get(path), 404, "not-found")


@on_one_engine
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE"])
def test_a_method_that_is_not_there_is_405_and_told_which_are(client: FlaskClient, method: str) -> None:
    response = client.open("/v1/consents", method=method)
    assert_problem(response, 405, "method-not-allowed")
    assert {"GET", "POST"} <= {each.strip() for each in response.headers["Allow"].split(",")}


def test_a_state_that_does_not_allow_it_is_409_and_told_when_to_come_back(client: FlaskClient) -> None:
    enterprise = factories.new_uscc()
    headers = {"Authorization": f"Bearer {factories.signatory(enterprise)}"}
    url = f"/v1/consents/{factories.consent(enterprise)}/revoke"
    assert client.post(url, json={}, headers=headers).status_code == 200
    response = client.post(url, json={}, headers=headers)
    assert_problem(response, 409, "consent-ended")
    assert response.headers["Retry-After"] == "1"


@on_one_engine
def test_a_field_that_is_wrong_is_422_and_named(client: FlaskClient) -> None:
    response = client.post(SESSIONS, json={"username": 1, "extra": True})
    told = assert_problem(response, 422, "invalid-field")["errors"]
    assert told.keys() == {"username", "password", "extra"}
    assert told["extra"] == ["Unknown field."]


@on_one_engine
def test_a_member_of_a_list_that_is_wrong_is_named_by_its_place(client: FlaskClient) -> None:
    bearer = factories.token(factories.bank())
    response = factories.ask(client, bearer, factories.new_uscc(), classes=[1, "2", 9])
    assert assert_problem(response, 422, "invalid-field")["errors"]["classes"].keys() == {"1", "2"}


@on_one_engine
def test_each_error_said_inside_has_its_status_outside(app: Flask) -> None:
    def fail(name: str) -> NoReturn:
        raise vars(errors)[name]("what to do about it", slug="a-rule")

    app.add_url_rule("/fail/<name>", view_func=fail)
    client = app.test_client()
    told = {kind.__name__: client.get(f"/fail/{kind.__name__}") for kind in web.STATUS}
    for kind, status in web.STATUS.items():
        assert assert_problem(told[kind.__name__], status, "a-rule")["detail"] == "what to do about it"
    assert set(web.STATUS.values()) == {400, 401, 403, 404, 409, 410, 413, 422, 429, 503}
    assert told["TooMany"].headers["Retry-After"] == "1"
    assert told["Unavailable"].headers["Retry-After"] == "2"
    assert_problem(client.get("/fail/SettingError"), 500, "a-rule")


@on_one_engine
def test_the_type_of_a_problem_does_not_change_with_the_address_that_was_called(client: FlaskClient) -> None:
    for host in ("localhost", "evil.example", "127.0.0.1:8000", "ev il"):
        assert_problem(client.get("/nothing", headers={"Host": host}), 404, "not-found")


@on_one_engine
@pytest.mark.parametrize("offered", ["a", "req-1_2.3", "A" * 64])
def test_a_sane_request_id_is_kept(client: FlaskClient, offered: str) -> None:
    for path in ("/healthz", "/nothing"):
        assert client.get(path, headers={"X-Request-Id": offered}).headers["X-Request-Id"] == offered


@on_one_engine
@pytest.mark.parametrize("offered", ["", "A" * 65, "a b", "a<b>", "a;b", "é", "a/b", '"a"'])
def test_another_request_id_is_replaced_by_one_of_ours(client: FlaskClient, offered: str) -> None:
    given = client.get("/healthz", headers={"X-Request-Id": offered}).headers["X-Request-Id"]
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", given)


@on_one_engine
def test_every_request_has_an_id_of_its_own(client: FlaskClient) -> None:
    assert len({client.get("/healthz").headers["X-Request-Id"] for _ in range(20)}) == 20


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json", "/.well-known/oauth-authorization-server"])
def test_head_tells_what_get_would_without_the_body(client: FlaskClient, path: str) -> None:
    got, head = client.get(path), client.head(path)
    assert (head.status_code, head.content_type) == (got.status_code, got.content_type) == (200, "application/json")
    assert head.data == b""
    assert head.headers["Content-Length"] == str(len(got.data))


@on_one_engine
def test_head_asks_for_the_token_that_get_asks_for(client: FlaskClient) -> None:
    response = client.head("/v1/consents")
    assert (response.status_code, response.data) == (401, b"")


@on_one_engine
def test_options_tells_the_methods_and_nothing_else(client: FlaskClient) -> None:
    response = client.options("/v1/consents")
    assert response.status_code == 200
    assert {each.strip() for each in response.headers["Allow"].split(",")} == {
        "GET",
        "HEAD",
        "OPTIONS",
        "POST",
    }
    assert response.data == b""
    assert not [name for name, _ in response.headers if name.lower().startswith("access-control")]
