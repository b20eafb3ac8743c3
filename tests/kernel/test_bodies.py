# SPDX-License-Identifier: Apache-2.0
"""What comes in: JSON in UTF-8 as RFC 8259 has it, within the limit, and nothing else."""

import io
import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from kernel import bodies
from tests import factories
from tests.kernel.test_problems import CREDENTIALS, SESSIONS, assert_problem, on_one_engine

JSON = "application/json"


@on_one_engine
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"username": "a",}',
        b"{'username': 'a'}",
        b'{"username": NaN, "password": "b"}',
        b'{"username": "a", "password": Infinity}',
        b'{"username": "\xff\xfe", "password": "b"}',
        b'{"username": "\xed\xa0\x80", "password": "b"}',
        b'{"username": "\\ud800", "password": "b"}',
        b'{"username": "a\nb", "password": "b"}',
        b'{"username": "a\x00b", "password": "b"}',
        b'{"username": "a"} {}',
        b'\xef\xbb\xbf{"username": "a", "password": "b"}',
        json.dumps(CREDENTIALS).encode("utf-16"),
        b"[" * 30_000,
        b'{"a":' * 10_000,
        b" ",
    ],
)
def test_what_is_not_json_in_utf8_is_400(client: FlaskClient, body: bytes) -> None:
    assert_problem(client.post(SESSIONS, data=body, content_type=JSON), 400, "malformed-request")


@on_one_engine
@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"text"', b"[{}]", b"true"])
def test_json_that_is_no_object_is_422(client: FlaskClient, body: bytes) -> None:
    told = assert_problem(client.post(SESSIONS, data=body, content_type=JSON), 422, "invalid-field")
    assert told["errors"]


@on_one_engine
def test_an_empty_body_lacks_every_field(client: FlaskClient) -> None:
    told = assert_problem(client.post(SESSIONS, content_type=JSON), 422, "invalid-field")
    assert told["errors"].keys() == {"username", "password"}


@pytest.mark.parametrize("field", ["operator", "reference", "uscc"])
def test_a_text_with_u0000_is_400_whatever_the_engine(client: FlaskClient, field: str) -> None:
    bearer = factories.token(factories.bank())
    response = factories.ask(client, bearer, factories.new_uscc(), **{field: "a\0b"})
    assert_problem(response, 400, "malformed-request")


@on_one_engine
def test_an_escaped_backslash_before_u0000_is_only_text(client: FlaskClient) -> None:
    response = client.post(SESSIONS, data=rb'{"username": "a\\u0000", "password": "b"}', content_type=JSON)
    assert_problem(response, 401, "sign-in-failed")


def test_u0000_in_a_url_reaches_no_database(client: FlaskClient) -> None:
    headers = {"Authorization": f"Bearer {factories.token(factories.bank())}"}
    assert_problem(client.get("/v1/consents/%00", headers=headers), 404, "not-found")
    assert_problem(client.get("/v1/consents?uscc=%00", headers=headers), 400, "malformed-request")


@on_one_engine
@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/json, text/plain",  # two headers, as a server joins them
        "application/json,application/json",
    ],
)
def test_another_media_type_or_two_of_them_are_415(client: FlaskClient, content_type: str | None) -> None:
    response = client.post(SESSIONS, data=json.dumps(CREDENTIALS), content_type=content_type)
    assert_problem(response, 415, "unsupported-media-type")


@on_one_engine
@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/json;"])
def test_the_media_type_is_read_as_rfc_9110_has_it(client: FlaskClient, content_type: str) -> None:
    response = client.post(SESSIONS, data=json.dumps(CREDENTIALS), content_type=content_type)
    assert_problem(response, 401, "sign-in-failed")


@on_one_engine
def test_the_token_is_asked_for_before_the_body_is_read(client: FlaskClient) -> None:
    response = client.post("/v1/credit-queries", data="x" * 70_000, content_type="text/plain")
    assert_problem(response, 401, "missing-token")


@on_one_engine
def test_a_body_of_the_limit_is_read_and_one_byte_more_is_413(client: FlaskClient) -> None:
    assert_problem(client.post(SESSIONS, data=_padded(bodies.MAX_BODY_BYTES), content_type=JSON), 401, "sign-in-failed")
    response = client.post(SESSIONS, data=_padded(bodies.MAX_BODY_BYTES + 1), content_type=JSON)
    assert_problem(response, 413, "too-large")


@on_one_engine
def test_a_large_body_that_does_not_say_its_length_is_413_too(client: FlaskClient) -> None:
    response = client.post(
        SESSIONS,
        input_stream=io.BytesIO(_padded(70_000)),
        content_type=JSON,
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert_problem(response, 413, "too-large")


@on_one_engine
def test_a_hundred_megabytes_announced_are_refused_unread(client: FlaskClient) -> None:
    announced = {"CONTENT_LENGTH": "100000000", "wsgi.input": _Untouchable()}
    response = client.post(SESSIONS, content_type=JSON, environ_overrides=announced)
    assert_problem(response, 413, "too-large")


@on_one_engine
def test_a_large_form_is_413_at_the_token_endpoint(client: FlaskClient) -> None:
    assert client.post("/oauth/token", data={"grant_type": "x" * 70_000}).status_code == 413


@on_one_engine
def test_a_query_string_is_judged_like_a_body(client: FlaskClient) -> None:
    headers = {"Authorization": f"Bearer {factories.token(factories.bank())}"}
    for query in ("limit=0", "limit=201", "limit=x", "limit=", "limit=1.5"):
        told = assert_problem(client.get(f"/v1/consents?{query}", headers=headers), 422, "invalid-field")
        assert told["errors"].keys() == {"limit"}


class _Untouchable(io.RawIOBase):
    """A stream that fails the test when it is read."""

    def readable(self) -> bool:
        return True

    def readinto(self, _buffer: Any) -> int:
        raise AssertionError("the body was read")


def _padded(length: int) -> bytes:
    body = json.dumps(CREDENTIALS).encode()
    return body + b" " * (length - len(body))
