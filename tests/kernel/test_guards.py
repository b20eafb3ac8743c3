# SPDX-License-Identifier: Apache-2.0
"""Every route says who may call it, and means it: what a view says and what a stranger is told agree."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from flask import Flask
from flask.testing import FlaskClient

from access import clients, people
from kernel import auth
from tests import factories
from tests.kernel.test_problems import assert_problem, on_one_engine

PUBLIC = {
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
    "GET /openapi.json",
    "GET /.well-known/oauth-authorization-server",
    "POST /oauth/token",
    "POST /oauth/introspect",
    "POST /oauth/par",
    "POST /oauth/revoke",
    "GET /oauth/jwks",
    "GET /log/checkpoint",
    "GET /docs",
    "GET /docs/<name>",
    "GET /log/tile/<path:place>",
    "POST /v1/sessions",
    "POST /v1/invitations/accept",
}
ANY_TOKEN = {
    "DELETE /v1/sessions/current",
    "GET /v1/sessions",
    "DELETE /v1/sessions/<session_id>",
    "POST /v1/people/me/totp",
    "POST /v1/people/me/totp/confirm",
    "POST /v1/people/me/password",
    "GET /v1/audit/receipts/<entry_id>",
    "GET /v1/audit/entries/<entry_id>",
    "GET /v1/sources/<code>/feeds",
}
HELD = {*clients.INSTITUTION_SCOPES, *clients.SOURCE_SCOPES}.union(*people.ROLE_SCOPES.values())


class Guarded(NamedTuple):
    method: str
    path: str
    access: str | None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@on_one_engine
def test_what_is_public_is_listed_here_and_nothing_else_is(app: Flask) -> None:
    assert {str(route) for route in _routes(app) if route.access == "public"} == PUBLIC


@on_one_engine
def test_every_other_route_asks_for_a_scope_that_some_client_or_role_can_have(app: Flask) -> None:
    asked = {str(route): route.access for route in _routes(app) if route.access != "public"}
    assert {name for name, scope in asked.items() if scope == auth.ANY_SCOPE} == ANY_TOKEN
    assert len(asked) >= 8
    for name, scope in asked.items():
        assert name in ANY_TOKEN or scope in HELD, f"{name} asks for {scope!r}"


@on_one_engine
def test_no_route_answers_a_stranger(app: Flask, client: FlaskClient) -> None:
    for route in _guarded(app):
        assert_problem(_call(client, route), 401, "missing-token")
        assert_problem(_call(client, route, "unknown"), 401, "invalid-token")


def test_no_route_answers_a_token_of_other_scopes(app: Flask, client: FlaskClient) -> None:
    bearer = factories.token(factories.bank(), ["screening:search"])
    for route in _guarded(app):
        if route.access not in {"screening:search", auth.ANY_SCOPE}:
            assert_problem(_call(client, route, bearer), 403, "insufficient-scope")


@on_one_engine
def test_the_document_says_of_each_route_what_its_guard_does(app: Flask, client: FlaskClient) -> None:
    paths = client.get("/openapi.json").json["paths"]
    for route in _routes(app):
        if route.path == "/openapi.json" or route.path.startswith("/oauth/"):
            continue
        documented = paths[re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route.path)][route.method.lower()]["security"]
        scopes = [] if route.access == auth.ANY_SCOPE else [route.access]
        assert documented == ([] if route.access == "public" else [{"bearer": scopes}]), route


def _routes(app: Flask) -> Iterator[Guarded]:
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if hasattr(view, "page"):  # pages for people have a matrix of their own: tests/access/test_pages.py
            continue
        access = getattr(view, "access", None)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield Guarded(method, rule.rule, access)


def _guarded(app: Flask) -> list[Guarded]:
    found = [route for route in _routes(app) if str(route) not in PUBLIC]
    assert found
    return found


def _call(client: FlaskClient, route: Guarded, bearer: str | None = None) -> Any:
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    path = re.sub(r"<(?:int:\w+)>", "2026", route.path).replace("<path:", "<").replace("<", "").replace(">", "")
    return client.open(path, method=route.method, headers=headers)
