# SPDX-License-Identifier: Apache-2.0
"""Which client is calling an OAuth2 endpoint: authenticated by the one way that it is registered for."""

from typing import Any

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749.errors import InvalidClientError, InvalidRequestError
from authlib.oauth2.rfc6749.util import extract_basic_authorization
from flask import current_app

from access import (
    assertions,
    client_keys,
    limits,
    networks,
    presented,
    registered,
    signing_clients,
    spent,
    switch,
)
from access.assertions import Assertion
from access.client_keys import Held
from access.dpop import NonceWanted, Proof
from access.networks import Address
from access.registered import Client
from access.spent import Use
from kernel import clock, db, jose
from kernel.jose import Unacceptable


class InvalidClient(InvalidClientError):
    """401 `invalid_client`, with the challenge that RFC 9110 §15.5.2 and RFC 6749 §5.2 ask for."""

    def __init__(self, description: str) -> None:
        super().__init__(description, status_code=401)

    def get_headers(self) -> list[tuple[str, str]]:
        headers = [each for each in super().get_headers() if each[0] != "WWW-Authenticate"]
        return [*headers, ("WWW-Authenticate", 'Basic realm="bureau"')]


class InvalidProof(OAuth2Error):
    """RFC 9449 §5."""

    error = "invalid_dpop_proof"


class UseNonce(OAuth2Error):
    """RFC 9449 §8: the nonce is in the header."""

    error = "use_dpop_nonce"


def offered_proof() -> Proof | None:
    """The DPoP proof that came with a request to an OAuth2 endpoint, if one did. Raises InvalidProof, UseNonce."""
    try:
        return presented.offered_proof()
    except NonceWanted as error:
        raise UseNonce("make a DPoP proof with the nonce of the header DPoP-Nonce") from error
    except Unacceptable as error:
        raise InvalidProof(f"the DPoP proof is not good: {error}") from error


def use_of(proof: Proof) -> Use:
    """A proof's one use."""
    return Use(spent.key_of("proof", proof.jkt, proof.jti), proof.until, _proof_again)


def require_client(request: Any) -> Client:
    """The client that sent a request to an OAuth2 endpoint.

    What may be used once (the assertion's `jti`) is added to `request.uses`: whoever calls spends it before anything
    is given. Raises InvalidRequestError for a parameter sent twice (RFC 6749 §3.2) or two ways at once (§2.3), and
    InvalidClient for whoever cannot prove to be a client. Only who can learns that a switch, the network or its
    party's standing refuses: 503 or 403.
    """
    if any(len(values) > 1 for _, values in request.form.lists()):
        raise InvalidRequestError("send each parameter once")
    client = _by_assertion(request) if "client_assertion" in request.form else _by_secret(request)
    require_welcome(client, networks.of_caller())
    return client


def require_welcome(client: Client, caller: Address | None) -> None:
    """Raise where a switch, the caller's network or its party's standing refuses an authenticated client."""
    if client.stopped is not None:
        raise switch.refusal(client.stopped)
    networks.require_allowed(client.networks, caller)
    if client.refusal is not None:
        raise client.refusal


def signed_with(client: Client, said: Assertion) -> Held | None:
    """The client's key that signed its assertion, by an algorithm that it may use; None where none did."""
    if not client.active or client.auth_method != registered.SIGNED or said.jwt.algorithm not in client.algorithms:
        return None
    fitting = client_keys.fitting(client.keys, said.jwt, said.kid)
    return next((each for each in fitting if jose.is_signed(said.jwt, each.key)), None)


def use_of_assertion(said: Assertion) -> Use:
    """An assertion's one use."""
    return Use(spent.key_of("assertion", said.client_id, said.jti), said.expires_at, _assertion_again)


def _by_assertion(request: Any) -> Client:
    """private_key_jwt (RFC 7523). Failures are not counted: a secret can be guessed, a signature cannot.

    1. what the assertion claims is good at this moment, whoever signed it (`access/assertions.py`)
    2. a key of the client that it names signed it, by an algorithm that the client may use
    3. its `jti` is one use
    """
    if request.headers.get("Authorization"):
        raise InvalidRequestError("authenticate in one way: by the header or by the assertion")
    if request.form.get("client_assertion_type") != assertions.TYPE:
        raise InvalidRequestError(f"the client_assertion_type must be {assertions.TYPE}")
    try:
        said = assertions.read(request.form["client_assertion"], current_app.config["BUREAU_PUBLIC_URL"], clock.now())
    except Unacceptable as error:
        raise InvalidClient(f"the client_assertion is not good: {error}") from error
    if request.form.get("client_id", said.client_id) != said.client_id:
        raise InvalidClient("the client_id is not that of the client_assertion")
    with db.reading() as reading:
        client = signing_clients.find(reading, said.client_id)
    if client is None or signed_with(client, said) is None:
        if client is not None and not client_keys.fitting(client.keys, said.jwt, said.kid):
            client_keys.wish(client.client_id)  # it may have published a new one
        raise InvalidClient("the client is unknown, or none of its keys fits the client_assertion")
    request.uses.append(use_of_assertion(said))
    return client


def _proof_again() -> InvalidProof:
    return InvalidProof("the DPoP proof was used before: make one for each request")


def _assertion_again() -> InvalidClient:
    return InvalidClient("the client_assertion was used before: each has a jti of its own")


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
        raise InvalidClient("authenticate with HTTP Basic or with a client_assertion, as the client is registered")
    known, address = _find(client_id), networks.of_caller()
    attempt = _attempt(known, address)
    limits.failures.require_left(attempt)
    if known is None or known.auth_method != registered.SECRET or not known.check_client_secret(secret):
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
        return registered.find(reading, client_id)
