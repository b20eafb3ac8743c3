# SPDX-License-Identifier: Apache-2.0
"""The OAuth2 endpoints' inside, on Authlib: client credentials, introspection (RFC 7662), revocation (RFC 7009)."""

import os
from collections.abc import Callable
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc6749.errors import InvalidRequestError, InvalidScopeError
from authlib.oauth2.rfc6749.util import extract_basic_authorization
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from flask import Flask

from access import clients, limits, networks, switch, tokens
from kernel import db, ids

SCOPES = (*clients.INSTITUTION_SCOPES, *clients.SOURCE_SCOPES)
server = AuthorizationServer()


class ClientCredentialsGrant(grants.ClientCredentialsGrant):
    """RFC 6749 §4.4; a scope that is not registered for the client is refused, never dropped in silence."""

    TOKEN_ENDPOINT_AUTH_METHODS = list(clients.AUTH_METHODS)

    def validate_requested_scope(self) -> None:
        if set((self.request.payload.scope or "").split()) - self.request.client.scopes:
            raise InvalidScopeError("the scope is not registered for this client")


class Introspection(IntrospectionEndpoint):
    """A client may ask about its own tokens, and learns of no others."""

    CLIENT_AUTH_METHODS = list(clients.AUTH_METHODS)

    def check_params(self, request: Any, client: clients.Client) -> None:
        _require_token(request)

    def query_token(self, token_string: str, token_type_hint: str | None) -> tokens.Token | None:
        return _query_token(token_string)

    def check_permission(self, token: tokens.Token, client: clients.Client, request: Any) -> bool:
        return token.check_client(client)

    def introspect_token(self, token: tokens.Token) -> dict[str, Any]:
        return {
            "active": True,
            "client_id": token.principal.client,
            "token_type": "Bearer",
            "scope": token.get_scope(),
            "iat": int(token.issued_at.timestamp()),
            "exp": int(token.expires_at.timestamp()),
        }


class Revocation(RevocationEndpoint):
    """A client may end its own tokens; the next request with one is refused."""

    CLIENT_AUTH_METHODS = list(clients.AUTH_METHODS)

    def check_params(self, request: Any, client: clients.Client) -> None:
        _require_token(request)

    def query_token(self, token_string: str, token_type_hint: str | None) -> tokens.Token | None:
        return _query_token(token_string)

    def revoke_token(self, token: tokens.Token, request: Any) -> None:
        assert token.principal.token
        with db.transaction() as tx:
            tokens.revoke(tx, bytes.fromhex(token.principal.token))


def install(app: Flask) -> None:
    """Set Authlib's server up for an app."""
    # TLS ends at the proxy in front, so what arrives here is plain HTTP whatever the client used. Authlib takes
    # that for an insecure client unless the Host is this machine, and has no other switch.
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
    life = int(tokens.CLIENT_TOKEN_LIFE.total_seconds())
    app.config["OAUTH2_ACCESS_TOKEN_GENERATOR"] = lambda *_args, **_kwargs: ids.new_secret()
    app.config["OAUTH2_TOKEN_EXPIRES_IN"] = {"client_credentials": life}
    server.init_app(app, query_client=_query_client, save_token=_save_token)
    server.register_client_auth_method("client_secret_basic", _authenticate_basic)


def metadata(issuer: str) -> dict[str, Any]:
    """The authorization server's metadata (RFC 8414): only what is really there."""
    return {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/oauth/token",
        "introspection_endpoint": f"{issuer}/oauth/introspect",
        "revocation_endpoint": f"{issuer}/oauth/revoke",
        "jwks_uri": f"{issuer}/oauth/jwks",
        "scopes_supported": list(SCOPES),
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": list(clients.AUTH_METHODS),
        "introspection_endpoint_auth_methods_supported": list(clients.AUTH_METHODS),
        "revocation_endpoint_auth_methods_supported": list(clients.AUTH_METHODS),
    }


def _authenticate_basic(find: Callable[[str], clients.Client | None], request: Any) -> clients.Client | None:
    """client_secret_basic, with what else a client must be to get in.

    1. a pair of client and address that has just failed too often is not looked at: 429 (`limits.failures`)
    2. an unknown client, a wrong secret or a header that holds none is a failure, and counted
    3. only who knows the secret learns that a switch, the network or the party's standing refuses: 503 or 403
    """
    try:
        client_id, secret = extract_basic_authorization(request.headers)
    except ValueError:  # no text in base64
        client_id = secret = None
    if not client_id or not secret:
        return None
    address = networks.of_caller()
    known = find(client_id)
    # What there is no client of is counted for the address alone: made-up names shall not fill the table.
    attempt = limits.attempt(known.client_id if known else None, address)
    limits.failures.require_left(attempt)
    if known is None or not known.check_client_secret(secret):
        limits.failures.take_one(attempt)
        return None
    if known.stopped is not None:
        raise switch.refusal(known.stopped)
    networks.require_allowed(known.networks, address)
    if known.refusal is not None:
        raise known.refusal
    return known


def _require_token(request: Any) -> None:
    # An unknown token_type_hint is ignored (RFC 7009 §2.1, RFC 7662 §2.1); Authlib would refuse it.
    if "token" not in request.form:
        raise InvalidRequestError("send the parameter token in the form")


def _query_client(client_id: str) -> clients.Client | None:
    if "\0" in client_id:  # no text of a database's
        return None
    with db.reading() as reading:
        return clients.find(reading, client_id)


def _query_token(token_string: str) -> tokens.Token | None:
    with db.reading() as reading:
        return tokens.find(reading, token_string)


def _save_token(issued: dict[str, Any], request: Any) -> None:
    scopes = frozenset(issued.get("scope", "").split())
    with db.transaction() as tx:
        tokens.store(tx, issued["access_token"], scopes, tokens.CLIENT_TOKEN_LIFE, client_id=request.client.client_id)


server.register_grant(ClientCredentialsGrant)
server.register_endpoint(Introspection)
server.register_endpoint(Revocation)
