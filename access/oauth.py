# SPDX-License-Identifier: Apache-2.0
"""The OAuth2 endpoints' inside, on Authlib: client credentials, introspection (RFC 7662), revocation (RFC 7009)."""

import os
from typing import Any

import flask
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.integrations.flask_oauth2.requests import FlaskOAuth2Payload, FlaskOAuth2Request
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc6749.errors import (
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    UnsupportedGrantTypeError,
)
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from flask import Flask, Response

from access import authentication, authorizations, clients, issuing, pushing, registered, spent, tokens
from access.codes import AuthorizationCodeGrant, PkceS256, unspent
from access.dpop import Proof
from access.pushing import PushedRequests
from access.spent import Use
from kernel import db, ids, jose
from kernel.errors import BureauError

AUTHENTICATING = ("token", "introspection", "revocation")  # endpoints where clients authenticate
SCOPES = (*clients.INSTITUTION_SCOPES, *clients.SOURCE_SCOPES)


class Parameters(FlaskOAuth2Payload):
    """What a request says: a POST in its form, a GET in its URL, never a mixture (RFC 6749 §3.1, §3.2)."""

    @property
    def data(self) -> Any:
        return self._request.form if self._request.method == "POST" else self._request.args


class Request(FlaskOAuth2Request):
    """A request to an OAuth2 endpoint."""

    def __init__(self, request: flask.Request) -> None:
        super().__init__(request)
        self.payload = Parameters(request)
        self.uses: list[Use] = []  # to be spent before anything is given
        self.proof: Proof | None = None  # of the key that a token is to be bound to


class UnknownGrant(UnsupportedGrantTypeError):
    description = "this grant_type is not offered here: see the metadata"  # what was sent is not ours to repeat


class Server(AuthorizationServer):
    """Authlib's, which authenticates clients as this bureau does and tells errors as RFC 6749 §5.2 has them."""

    def create_oauth2_request(self, request: Any) -> Request:
        # The request itself: through Flask's proxy each of Authlib's looks at it costs another lookup.
        return Request(flask.request._get_current_object())  # type: ignore[attr-defined]

    def authenticate_client(self, request: Request, methods: Any = None, endpoint: str = "token") -> registered.Client:
        """The client; at the token endpoint what it used is spent with the token that it gets, else here."""
        client = authentication.require_client(request)
        if endpoint != "token":
            request.uses += [authentication.use_of(request.proof)] if request.proof is not None else []
            spent.spend(request.uses)
        return client

    def create_token_response(self, request: Any = None) -> Response:
        """A token, or an error of RFC 6749 §5.2.

        1. the DPoP proof, if one came: without a good nonce the client tries again, and no assertion is used up
        2. the client, its grant, its scope (Authlib)
        3. a client whose tokens are to be bound gets no other, nor does a code that was asked for with a key
        4. the token is kept and all uses are spent, in one commit (`_save_token`)
        Whatever fails after the client was known, what it used is spent.
        """
        request = self.create_oauth2_request(request)
        try:
            request.proof = authentication.offered_proof()
            grant = self.get_token_grant(request)
            grant.validate_token_request()
            _require_binding(request)
            return self.handle_response(*grant.create_token_response())  # type: ignore[no-any-return]
        except OAuth2Error as error:
            spent.burn(request.uses)
            return self.handle_error_response(request, error)  # type: ignore[no-any-return]
        except BureauError:
            spent.burn(request.uses)
            raise

    def get_token_grant(self, request: Any) -> Any:
        if not request.payload.grant_type:
            raise InvalidRequestError("send the parameter grant_type in the form")
        try:
            return super().get_token_grant(request)
        except UnsupportedGrantTypeError as error:
            raise UnknownGrant(None) from error


server = Server()


class ClientCredentialsGrant(grants.ClientCredentialsGrant):
    """RFC 6749 §4.4; a scope that is not registered for the client is refused, never dropped in silence."""

    def validate_requested_scope(self) -> None:
        if unregistered(self.request.client, self.request.payload.scope):
            raise InvalidScopeError("the scope is not registered for this client")


class Introspection(IntrospectionEndpoint):
    """A client may ask about its own tokens, and learns of no others."""

    def check_params(self, request: Any, client: registered.Client) -> None:
        _require_token(request)

    def query_token(self, token_string: str, token_type_hint: str | None) -> tokens.Token | None:
        return _query_token(token_string)

    def check_permission(self, token: tokens.Token, client: registered.Client, request: Any) -> bool:
        return token.check_client(client)

    def introspect_token(self, token: tokens.Token) -> dict[str, Any]:
        """As RFC 7662 §2.2 has it, with the key of a bound one and what was granted with one that a code bought."""
        return {
            "active": True,
            "client_id": token.principal.client,
            "token_type": "DPoP" if token.jkt else "Bearer",
            "scope": token.get_scope(),
            "iss": flask.current_app.config["BUREAU_PUBLIC_URL"],
            "iat": int(token.issued_at.timestamp()),
            "exp": int(token.expires_at.timestamp()),
            **({"cnf": {"jkt": token.jkt}} if token.jkt else {}),
            **({"authorization_details": [_granted(token)]} if token.principal.consent else {}),
        }


class Revocation(RevocationEndpoint):
    """A client may end its own tokens; the next request with one is refused."""

    def authenticate_token(self, request: Any, client: registered.Client) -> tokens.Token | None:
        _require_token(request)
        token = _query_token(request.form["token"])
        if token is not None and not token.check_client(client):
            raise InvalidGrantError("the token is not one of this client")
        return token

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
    app.config["OAUTH2_TOKEN_EXPIRES_IN"] = {"client_credentials": life, "authorization_code": life}
    server.init_app(app, save_token=_save_token)


def metadata(issuer: str) -> dict[str, Any]:
    """The authorization server's metadata (RFC 8414): only what is really there."""
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/oauth/authorize",
        "pushed_authorization_request_endpoint": f"{issuer}/oauth/par",
        "require_pushed_authorization_requests": True,
        "token_endpoint": f"{issuer}/oauth/token",
        "introspection_endpoint": f"{issuer}/oauth/introspect",
        "revocation_endpoint": f"{issuer}/oauth/revoke",
        "jwks_uri": f"{issuer}/oauth/jwks",
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["client_credentials", "authorization_code"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "authorization_details_types_supported": sorted(pushing.details_types),
        **{f"{each}_endpoint_auth_methods_supported": list(registered.AUTH_METHODS) for each in AUTHENTICATING},
        **{f"{each}_endpoint_auth_signing_alg_values_supported": list(jose.ALGORITHMS) for each in AUTHENTICATING},
        "dpop_signing_alg_values_supported": list(jose.ALGORITHMS),
    }


def unregistered(client: registered.Client, scope: str | None) -> set[str]:
    """What is asked for in a scope and not registered for the client."""
    return set((scope or "").split()) - client.scopes


def _require_binding(request: Request) -> None:
    """Raise unless a proof came where one must, of the key that was named when a code was asked for (RFC 9449 §10)."""
    held = getattr(request, "authorization_code", None)
    if request.proof is not None:
        request.uses.append(authentication.use_of(request.proof))
    elif request.client.dpop_bound:
        raise InvalidRequestError("the tokens of this client are bound to a key: send a DPoP proof")
    if held is not None and held.dpop_jkt not in (None, request.proof and request.proof.jkt):
        raise InvalidGrantError("the code was asked for with another key: send a DPoP proof of that one")


def _require_token(request: Any) -> None:
    # An unknown token_type_hint is ignored (RFC 7009 §2.1, RFC 7662 §2.1); Authlib would refuse it.
    if "token" not in request.form:
        raise InvalidRequestError("send the parameter token in the form")


def _query_token(token_string: str) -> tokens.Token | None:
    with db.reading() as reading:
        return tokens.find(reading, token_string)


def _granted(token: tokens.Token) -> Any:
    with db.reading() as reading:
        return authorizations.granted_with(reading, bytes.fromhex(token.principal.token or ""))


def _save_token(issued: dict[str, Any], request: Request) -> None:
    """Keep what is about to be given, and spend what it was asked for with, in one commit; `issued` becomes the answer.

    One that a code buys is bound to the consent, and spends the code too.
    """
    secret, scopes, jkt = issued["access_token"], frozenset(issued.get("scope", "").split()), None
    if request.proof is not None:
        issued["token_type"], jkt = "DPoP", request.proof.jkt
    client_id = request.client.client_id
    held = getattr(request, "authorization_code", None)
    if held is None:
        issuing.store(request.uses, secret, scopes, client_id, jkt)
        return
    with db.transaction() as tx:
        for use in request.uses:
            spent.spend_in(tx, use)
        is_first = authorizations.spend_code(tx, held, tokens.token_hash(secret))
        if is_first:
            life = tokens.CLIENT_TOKEN_LIFE
            tokens.store(tx, secret, scopes, life, client_id=client_id, consent=held.consent, jkt=jkt)
    if not is_first:
        raise unspent()


server.register_grant(ClientCredentialsGrant)
server.register_grant(AuthorizationCodeGrant, [PkceS256(required=True)])
server.register_endpoint(PushedRequests)
server.register_endpoint(Introspection)
server.register_endpoint(Revocation)
