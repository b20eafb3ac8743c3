# SPDX-License-Identifier: Apache-2.0
"""Methods that behave."""

import pytest
from flask.testing import FlaskClient

from tests.kernel.test_problems import on_one_engine


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
