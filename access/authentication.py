# SPDX-License-Identifier: Apache-2.0
"""Which client is calling an OAuth2 endpoint: authenticated by the one way that it is registered for."""

from typing import Any

from authlib.oauth2.rfc6749.errors import InvalidClientError, InvalidRequestError
from authlib.oauth2.rfc6749.util import extract_basic_authorization

from access import clients, limits, networks, switch
from access.clients import Client
from access.networks import Address
from kernel import db


class InvalidClient(InvalidClientError):
    """401 `invalid_client`, with the challenge that RFC 9110 §15.5.2 and RFC 6749 §5.2 ask for."""

    def __init__(self, description: str) -> None:
        super().__init__(description, status_code=401)

    def get_headers(self) -> list[tuple[str, str]]:
        headers = [each for each in super().get_headers() if each[0] != "WWW-Authenticate"]
        return [*headers, ("WWW-Authenticate", 'Basic realm="bureau"')]


def require_client(request: Any) -> Client:
    """The client that sent a request to an OAuth2 endpoint.

    Raises InvalidRequestError for a parameter sent twice (RFC 6749 §3.2) and InvalidClient for whoever cannot prove
    to be a client. Only who can learns that a switch, the network or its party's standing refuses: 503 or 403.
    """
    _require_each_once(request)
    client, address = _by_secret(request), networks.of_caller()
    if client.stopped is not None:
        raise switch.refusal(client.stopped)
    networks.require_allowed(client.networks, address)
    if client.refusal is not None:
        raise client.refusal
    return client


def _require_each_once(request: Any) -> None:
    if any(len(values) > 1 for _, values in request.form.lists()):
        raise InvalidRequestError("send each parameter once")


def _by_secret(request: Any) -> Client:
    """client_secret_basic (RFC 6749 §2.3.1).

    1. a pair of client and address that has just failed too often is not looked at: 429 (`limits.failures`)
    2. an unknown client, a wrong secret or a header that holds none is a failure, and counted
    """
    try:
        client_id, secret = extract_basic_authorization(request.headers)
    except ValueError:  # no text in base64
        client_id = secret = None
    if not client_id or not secret:
        raise InvalidClient("authenticate with HTTP Basic: client id and secret")
    known, address = _find(client_id), networks.of_caller()
    attempt = _attempt(known, address)
    limits.failures.require_left(attempt)
    if known is None or known.auth_method != "client_secret_basic" or not known.check_client_secret(secret):
        limits.failures.take_one(attempt)
        raise InvalidClient("the client is unknown or its secret is wrong")
    return known


def _attempt(known: Client | None, address: Address | None) -> str:
    # What there is no client of is counted for the address alone: made-up names shall not fill the table.
    return limits.attempt(known.client_id if known else None, address)


def _find(client_id: str) -> Client | None:
    if "\0" in client_id:  # no text of a database's
        return None
    with db.reading() as reading:
        return clients.find(reading, client_id)
