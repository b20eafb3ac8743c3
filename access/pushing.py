# SPDX-License-Identifier: Apache-2.0
"""Pushed authorization requests (RFC 9126), the only way to ask an enterprise by redirect.

A push is judged whole before anyone's browser is involved, so that every fault goes to the client and none to the
enterprise: redirect_uri as registered, `response_type=code`, PKCE with S256 (RFC 7636), `authorization_details`
(RFC 9396) of a type whose room has registered here how it is read. Unknown parameters are ignored.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import TokenEndpoint
from authlib.oauth2.rfc6749.errors import InvalidRequestError, InvalidScopeError, UnauthorizedClientError

from access import authentication, authorizations, redirects, registered
from access.authorizations import Asked
from access.dpop import Proof
from kernel import db
from kernel.errors import Invalid

ASKING = "consent:request"  # the scope without which a client asks nobody
SCOPES = ("credit:query",)  # what a token that a code buys may be good for
MOST_DETAILS_BYTES = 8 * 1024
_S256 = re.compile(r"[A-Za-z0-9_-]{43}")
_STATE = re.compile(r"[\x20-\x7e]{1,400}")

# What reads the details of a type: returns them with their defaults, raises Invalid. `app` plugs it in.
Read = Callable[[Mapping[str, Any]], Mapping[str, Any]]
details_types: dict[str, Read] = {}


class InvalidDetails(OAuth2Error):
    """RFC 9396 §5."""

    error = "invalid_authorization_details"


class PushedRequests(TokenEndpoint):
    """RFC 9126 §2: the client authenticates as at the token endpoint, and gets a request_uri."""

    ENDPOINT_NAME = "pushed_authorization_request"

    def create_endpoint_response(self, request: Any) -> tuple[int, Any, list[tuple[str, str]]]:
        request.proof = authentication.offered_proof()
        client = self.authenticate_endpoint_client(request)
        asked = checked(client, request.form, request.proof)
        with db.transaction() as tx:
            request_uri = authorizations.push(tx, asked)
        body = {"request_uri": request_uri, "expires_in": int(authorizations.PUSHED_LIFE.total_seconds())}
        return 201, body, [("Content-Type", "application/json"), ("Cache-Control", "no-cache, no-store")]


def checked(client: registered.Client, form: Any, proof: Proof | None = None) -> Asked:
    """What the form asks for; raises OAuth2Error at the first fault."""
    if "request_uri" in form:
        raise InvalidRequestError("a push carries no request_uri")
    if "request" in form:
        raise OAuth2Error("request objects are not taken: push the parameters", error="request_not_supported")
    if form.get("client_id", client.client_id) != client.client_id:
        raise InvalidRequestError("client_id is not the client that authenticated")
    if ASKING not in client.scopes:
        raise UnauthorizedClientError(f"the client is not registered for {ASKING}")
    if form.get("response_type") != "code":
        raise OAuth2Error("response_type is code", error="unsupported_response_type")
    if form.get("response_mode", "query") != "query":
        raise InvalidRequestError("response_mode is query, or left out")
    redirect_uri = form.get("redirect_uri", "")
    with db.reading() as reading:
        if not redirects.is_registered(reading, client.client_id, redirect_uri):
            raise InvalidRequestError("redirect_uri is not registered for the client, character by character")
    return Asked(
        client=client.client_id,
        redirect_uri=redirect_uri,
        state=_state(form),
        scope=_scope(client, form),
        code_challenge=_challenge(form),
        dpop_jkt=_thumbprint(form, proof),
        details=_details(form.get("authorization_details", "")),
    )


def _state(form: Any) -> str | None:
    state: str | None = form.get("state")
    if state is not None and not _STATE.fullmatch(state):
        raise InvalidRequestError("state is 1 to 400 visible ASCII characters")
    return state


def _scope(client: registered.Client, form: Any) -> str:
    asked = set(form.get("scope", "").split()) or set(SCOPES)
    if asked - set(SCOPES) or asked - client.scopes:
        raise InvalidScopeError(f"the scope of a redirect is {' '.join(SCOPES)}, registered for the client")
    return " ".join(sorted(asked))


def _challenge(form: Any) -> str:
    if form.get("code_challenge_method") != "S256":
        raise InvalidRequestError("send code_challenge_method S256 (RFC 7636)")
    challenge = str(form.get("code_challenge", ""))
    if not _S256.fullmatch(challenge):
        raise InvalidRequestError("code_challenge is the base64url of a SHA-256: 43 characters")
    return challenge


def _thumbprint(form: Any, proof: Proof | None) -> str | None:
    """The key that the token will be bound to: named, or shown by a proof (RFC 9449 §10.1), or both alike."""
    thumbprint: str | None = form.get("dpop_jkt")
    if thumbprint is not None and not _S256.fullmatch(thumbprint):
        raise InvalidRequestError("dpop_jkt is a JWK thumbprint (RFC 7638): 43 characters")
    if proof is not None and thumbprint not in (None, proof.jkt):
        raise InvalidRequestError("dpop_jkt is not the key of the DPoP proof")
    return proof.jkt if proof is not None else thumbprint


def _details(text: str) -> Mapping[str, Any]:
    known = ", ".join(sorted(details_types))
    if len(text.encode()) > MOST_DETAILS_BYTES:
        raise InvalidDetails(f"authorization_details is larger than {MOST_DETAILS_BYTES} bytes")
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidDetails("send authorization_details: a JSON array (RFC 9396)") from error
    if not isinstance(found, list) or len(found) != 1 or not isinstance(found[0], dict):
        raise InvalidDetails("authorization_details is an array of one object: one consent a request")
    read = details_types.get(str(found[0].get("type")))
    if read is None:
        raise InvalidDetails(f"the types of authorization_details are: {known}")
    try:
        return read(found[0])
    except Invalid as error:
        raise InvalidDetails(_ascii(error)) from error


def _ascii(error: Invalid) -> str:
    """An error's field and reason, in the characters that RFC 6749 allows."""
    told = _flat(error.extra["errors"]) if "errors" in error.extra else error.detail
    return re.sub(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]", "'", told)[:400]


def _flat(messages: Any) -> str:
    if isinstance(messages, dict):
        return ", ".join(f"{name}: {_flat(each)}" for name, each in messages.items())
    return ", ".join(map(str, messages)) if isinstance(messages, list) else str(messages)
