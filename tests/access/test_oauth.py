# SPDX-License-Identifier: Apache-2.0
"""The OAuth2 endpoints as RFC 6749, 7009, 7662 and 8414 describe them, bodies included."""

import base64
import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from access import clients, models, oauth
from access.schemas import IntrospectionSchema, MetadataSchema, TokenSchema
from kernel import db
from tests import factories
from tests.conftest import PUBLIC_URL, House

SCOPES = ("credit:query", "consent:read")
GRANT = {"grant_type": "client_credentials"}
Registered = tuple[str, str]


@pytest.fixture
def registered(house: House) -> Registered:
    """A client of an institution: its id and secret."""
    return register()


def register() -> Registered:
    institution = factories.bank()
    with db.transaction() as tx:
        return clients.add(tx, institution, SCOPES)


def post(client: FlaskClient, endpoint: str, auth: Any = None, **form: str) -> Any:
    return client.post(f"/oauth/{endpoint}", data=form, auth=auth)


def issue(client: FlaskClient, registered: Registered, **form: str) -> str:
    return str(post(client, "token", registered, **GRANT, **form).json["access_token"])


def use(client: FlaskClient, bearer: str) -> int:
    return client.get("/v1/consents", headers={"Authorization": f"Bearer {bearer}"}).status_code


def assert_refused(response: Any, status: int, error: str) -> None:
    """The error body of RFC 6749 §5.2."""
    assert (response.status_code, response.json["error"]) == (status, error)
    assert response.content_type == "application/json"
    assert response.json.keys() == {"error", "error_description"}
    assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+", response.json["error_description"])
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Request-Id"]
    if status == 401:
        assert response.headers["WWW-Authenticate"] == 'Basic realm="bureau"'


def test_a_token_is_issued_as_the_rfc_shows_it(client: FlaskClient, registered: Registered) -> None:
    response = post(client, "token", registered, **GRANT)
    assert response.status_code == 200
    assert response.content_type == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    token = response.json
    assert TokenSchema().validate(token) == {}
    assert token.keys() == {"access_token", "token_type", "expires_in", "scope"}
    assert token["token_type"] == "Bearer"
    assert 0 < token["expires_in"] <= 300
    assert set(token["scope"].split()) == set(SCOPES)
    assert use(client, token["access_token"]) == 200


def test_the_scope_that_is_asked_for_is_the_scope_that_is_given(client: FlaskClient, registered: Registered) -> None:
    assert post(client, "token", registered, **GRANT, scope="consent:read").json["scope"] == "consent:read"
    bearer = issue(client, registered, scope="credit:query")
    assert use(client, bearer) == 403
    assert factories.ask(client, bearer, factories.new_uscc()).json["type"].endswith("/no-consent")


@pytest.mark.parametrize("scope", ["screening:search", "credit:query screening:search", "admin", "Credit:query", "*"])
def test_a_scope_that_is_not_registered_is_refused_and_never_dropped(
    client: FlaskClient, registered: Registered, scope: str
) -> None:
    assert_refused(post(client, "token", registered, **GRANT, scope=scope), 400, "invalid_scope")
    with db.reading() as reading:
        assert reading.execute(select(models.token)).all() == []


def test_unknown_parameters_are_ignored(client: FlaskClient, registered: Registered) -> None:
    response = post(client, "token", registered, **GRANT, resource="x", colour="blue")
    assert response.status_code == 200


def test_a_wrong_secret_and_an_unknown_client_are_invalid_clients(client: FlaskClient, registered: Registered) -> None:
    for auth in (
        (registered[0], "wrong"),
        (registered[0], ""),
        ("unknown", registered[1]),
        ("a\0b", "x"),
        None,
    ):
        assert_refused(post(client, "token", auth, **GRANT), 401, "invalid_client")


@pytest.mark.parametrize("credentials", [b"\xff:\xff", b"no-colon", b"", b":", b"a\x00:b"])
def test_a_basic_header_that_is_no_credentials_is_an_invalid_client(
    client: FlaskClient, registered: Registered, credentials: bytes
) -> None:
    for token in (base64.b64encode(credentials).decode(), "%%%", "é"):
        response = client.post("/oauth/token", data=GRANT, headers={"Authorization": f"Basic {token}"})
        assert_refused(response, 401, "invalid_client")


def test_a_secret_in_the_body_is_refused(client: FlaskClient, registered: Registered) -> None:
    form = {"client_id": registered[0], "client_secret": registered[1]}
    for endpoint, more in (("token", GRANT), ("introspect", {"token": "x"}), ("revoke", {"token": "x"})):
        assert_refused(post(client, endpoint, **form, **more), 401, "invalid_client")


@pytest.mark.parametrize("grant", ["password", "refresh_token", "implicit", "x", 'a"b\\', "é"])
def test_any_other_grant_is_unsupported(client: FlaskClient, registered: Registered, grant: str) -> None:
    form = {"grant_type": grant, "username": "a", "password": "b", "code": "c", "refresh_token": "d"}
    assert_refused(post(client, "token", registered, **form), 400, "unsupported_grant_type")


def test_a_missing_grant_type_is_an_invalid_request(client: FlaskClient, registered: Registered) -> None:
    for form in ({}, {"grant_type": ""}, {"scope": "consent:read"}):
        assert_refused(post(client, "token", registered, **form), 400, "invalid_request")
    as_json = client.post("/oauth/token", json=GRANT, auth=registered)
    assert_refused(as_json, 400, "invalid_request")


def test_what_stands_in_the_url_does_not_count(client: FlaskClient, registered: Registered) -> None:
    in_url = client.post("/oauth/token?grant_type=client_credentials", auth=registered)
    assert_refused(in_url, 400, "invalid_request")
    narrowed = client.post("/oauth/token?scope=consent:read", data=GRANT, auth=registered)
    assert set(narrowed.json["scope"].split()) == set(SCOPES)


@pytest.mark.parametrize("endpoint", ["token", "introspect", "revoke"])
def test_a_parameter_sent_twice_is_an_invalid_request(
    client: FlaskClient, registered: Registered, endpoint: str
) -> None:
    for name in ("scope", "token", "anything", "é"):
        form = {**GRANT, "token": "x", name: ["a", "a"]}
        assert_refused(client.post(f"/oauth/{endpoint}", data=form, auth=registered), 400, "invalid_request")


def test_a_clients_own_token_is_introspected(client: FlaskClient, registered: Registered) -> None:
    bearer = issue(client, registered)
    for hint in ({}, {"token_type_hint": "access_token"}, {"token_type_hint": "something_else"}):
        told = post(client, "introspect", registered, token=bearer, **hint).json
        assert IntrospectionSchema().validate(told) == {}
        assert told.keys() == {"active", "client_id", "token_type", "scope", "iss", "iat", "exp"}
        assert (told["active"], told["client_id"]) == (True, registered[0])
        assert 0 < told["exp"] - told["iat"] <= 300
        assert set(told["scope"].split()) == set(SCOPES)


def test_of_others_tokens_a_client_learns_what_it_learns_of_none(client: FlaskClient, registered: Registered) -> None:
    other = register()
    session = factories.signatory(factories.new_uscc())
    ended = issue(client, registered)
    post(client, "revoke", registered, token=ended)
    for token in (issue(client, other), session, ended, "unknown", ""):
        response = post(client, "introspect", registered, token=token)
        assert (response.status_code, response.json) == (200, {"active": False})


def test_a_revoked_token_fails_at_the_next_request(client: FlaskClient, registered: Registered) -> None:
    bearer, sibling = issue(client, registered), issue(client, registered)
    assert use(client, bearer) == 200
    response = post(client, "revoke", registered, token=bearer, token_type_hint="something_else")
    assert response.status_code == 200
    assert use(client, bearer) == 401
    assert use(client, sibling) == 200
    assert post(client, "revoke", registered, token=bearer).status_code == 200
    assert post(client, "revoke", registered, token="unknown").status_code == 200


def test_nobody_ends_anothers_token(client: FlaskClient, registered: Registered) -> None:
    bearer, session = issue(client, registered), factories.signatory(factories.new_uscc())
    for token in (bearer, session):
        assert_refused(post(client, "revoke", register(), token=token), 400, "invalid_grant")
        assert use(client, token) == 200


@pytest.mark.parametrize("endpoint", ["introspect", "revoke"])
def test_a_missing_token_or_client_is_told_so(client: FlaskClient, registered: Registered, endpoint: str) -> None:
    assert_refused(post(client, endpoint, registered), 400, "invalid_request")
    assert_refused(post(client, endpoint, token="x"), 401, "invalid_client")
    assert_refused(post(client, endpoint, (registered[0], "wrong"), token="x"), 401, "invalid_client")


def test_the_metadata_lists_endpoints_that_exist_and_every_one_of_them(app: Flask) -> None:
    client = app.test_client()
    told = client.get("/.well-known/oauth-authorization-server").json
    assert MetadataSchema().validate(told) == {}
    assert told["issuer"] == PUBLIC_URL
    listed = {value.removeprefix(PUBLIC_URL) for name, value in told.items() if name.endswith("_endpoint")}
    there = {rule.rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/oauth/")}
    assert listed | {told["jwks_uri"].removeprefix(PUBLIC_URL)} == there
    for path in listed - {"/oauth/authorize"}:
        assert client.post(path).status_code in (400, 401)
    assert client.get("/oauth/authorize").status_code == 404


def test_the_metadata_claims_nothing_that_is_not_there(client: FlaskClient, registered: Registered) -> None:
    told = client.get("/.well-known/oauth-authorization-server").json
    assert told.keys() == {
        "issuer",
        "authorization_endpoint",
        "pushed_authorization_request_endpoint",
        "require_pushed_authorization_requests",
        "token_endpoint",
        "introspection_endpoint",
        "revocation_endpoint",
        "jwks_uri",
        "scopes_supported",
        "response_types_supported",
        "response_modes_supported",
        "grant_types_supported",
        "code_challenge_methods_supported",
        "authorization_response_iss_parameter_supported",
        "authorization_details_types_supported",
        "token_endpoint_auth_methods_supported",
        "introspection_endpoint_auth_methods_supported",
        "revocation_endpoint_auth_methods_supported",
        "token_endpoint_auth_signing_alg_values_supported",
        "introspection_endpoint_auth_signing_alg_values_supported",
        "revocation_endpoint_auth_signing_alg_values_supported",
        "dpop_signing_alg_values_supported",
    }
    assert told["grant_types_supported"] == [GRANT["grant_type"], "authorization_code"]
    assert told["response_types_supported"] == ["code"]
    assert told["code_challenge_methods_supported"] == ["S256"]
    assert told["authorization_details_types_supported"] == ["credit_query"]
    for endpoint in ("token", "introspection", "revocation"):
        assert told[f"{endpoint}_endpoint_auth_methods_supported"] == ["client_secret_basic", "private_key_jwt"]
        signing = told[f"{endpoint}_endpoint_auth_signing_alg_values_supported"]
        assert signing == told["dpop_signing_alg_values_supported"] == ["ES256", "PS256", "EdDSA", "Ed25519"]
    assert set(told["scopes_supported"]) == {*clients.INSTITUTION_SCOPES, *clients.SOURCE_SCOPES}
    assert len(told["scopes_supported"]) == len(set(told["scopes_supported"])) == len(oauth.SCOPES)
