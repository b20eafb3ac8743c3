# SPDX-License-Identifier: Apache-2.0
"""One shape for every error, whoever raised it, and its own status."""

from typing import Any, NoReturn

import pytest
from flask import Flask
from flask.testing import FlaskClient

from kernel import errors, problems
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
    told = {kind.__name__: client.get(f"/fail/{kind.__name__}") for kind in problems.STATUS}
    for kind, status in problems.STATUS.items():
        assert assert_problem(told[kind.__name__], status, "a-rule")["detail"] == "what to do about it"
    assert set(problems.STATUS.values()) == {400, 401, 403, 404, 409, 410, 413, 422, 429, 503}
    assert told["TooMany"].headers["Retry-After"] == "1"
    assert told["Unavailable"].headers["Retry-After"] == "2"
    assert_problem(client.get("/fail/SettingError"), 500, "a-rule")


@on_one_engine
def test_the_type_of_a_problem_does_not_change_with_the_address_that_was_called(client: FlaskClient) -> None:
    for host in ("localhost", "evil.example", "127.0.0.1:8000", "ev il"):
        assert_problem(client.get("/nothing", headers={"Host": host}), 404, "not-found")


def test_every_problem_is_told_in_both_languages() -> None:
    for slug, (title, told) in problems.words().items():
        assert title["zh"], slug
        assert title["en"].isascii(), slug
        assert told["zh"], slug
        assert told["en"].isascii(), slug
