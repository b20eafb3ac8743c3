# SPDX-License-Identifier: Apache-2.0
"""Tokens for clients, sessions for people."""

from typing import Any

from flask import Response, current_app

from access import lockout, networks, oauth, people, sessions, tokens
from access.schemas import (
    CredentialsSchema,
    IntrospectionSchema,
    JwksSchema,
    MetadataSchema,
    PageSchema,
    PushedRequestSchema,
    PushedSchema,
    SessionListSchema,
    SessionSchema,
    TokenReferenceSchema,
    TokenRequestSchema,
    TokenSchema,
)
from kernel import auth, clock, cursors, db, signing
from kernel.errors import NotPermitted
from kernel.web import Blueprint, json_response

blp = Blueprint("access", __name__, description="Tokens and sessions")


@blp.route("/oauth/token", methods=["POST"])
@blp.public
@blp.response(200, TokenSchema)
@blp.documents_form(TokenRequestSchema)
def issue_token() -> Response:
    """Get an access token: a client's own (RFC 6749 §4.4), or what a code buys (§4.1.3).

    The client authenticates with HTTP Basic or by signing (private_key_jwt). The token is opaque and lives 300
    seconds; with a header DPoP (RFC 9449) it is bound to the proof's key. One that a code bought is good for the one
    consent that `authorization_details` tells of.
    """
    return oauth.server.create_token_response()


@blp.route("/oauth/par", methods=["POST"])
@blp.public
@blp.response(201, PushedSchema)
@blp.documents_form(PushedRequestSchema)
def push_request() -> Response:
    """Push a request to an enterprise (RFC 9126), then send its browser to /oauth/authorize with the request_uri.

    PKCE with S256; `authorization_details` (RFC 9396) of the type `credit_query`. The request_uri lives 90 seconds
    and works once; the answer comes to a registered redirect_uri with `iss` (RFC 9207).
    """
    return oauth.server.create_endpoint_response("pushed_authorization_request")  # type: ignore[no-any-return]


@blp.route("/oauth/introspect", methods=["POST"])
@blp.public
@blp.response(200, IntrospectionSchema)
@blp.documents_form(TokenReferenceSchema)
def introspect_token() -> Response:
    """Ask whether one's own token is active (RFC 7662)."""
    return oauth.server.create_endpoint_response("introspection")  # type: ignore[no-any-return]


@blp.route("/oauth/revoke", methods=["POST"])
@blp.public
@blp.response(200)
@blp.documents_form(TokenReferenceSchema)
def revoke_token() -> Response:
    """End one's own token; it fails at the next request (RFC 7009)."""
    return oauth.server.create_endpoint_response("revocation")  # type: ignore[no-any-return]


@blp.route("/.well-known/oauth-authorization-server")
@blp.public
@blp.response(200, MetadataSchema)
def show_metadata() -> Response:
    """What this authorization server offers (RFC 8414)."""
    return json_response(oauth.metadata(current_app.config["BUREAU_PUBLIC_URL"]))


@blp.route("/oauth/jwks")
@blp.public
@blp.response(200, JwksSchema)
def show_keys() -> Response:
    """The public keys of what the bureau signs, consents, statements, exports (RFC 7517); none is ever taken out."""
    with db.reading() as reading:
        return json_response({"keys": signing.public_keys(reading, "consent", "reward", "export")})


@blp.route("/v1/sessions", methods=["POST"])
@blp.public
@blp.arguments(CredentialsSchema())
@blp.response(201, SessionSchema)
def sign_in(credentials: dict[str, Any]) -> Response:
    """Sign a person in; the token carries the scopes of the person's role.

    Where a second factor is enrolled, send its current code (or a recovery code) as `totp`: 401 `totp-required`.
    """
    opened = sessions.sign_in(
        credentials["username"],
        credentials["password"],
        credentials.get("totp"),
        network=lockout.network_of(networks.of_caller()),
        requiring=current_app.config["BUREAU_REQUIRE_TOTP"],
    )
    shown = {"token": opened.token, "expires_at": clock.rfc3339(opened.expires_at), "scopes": sorted(opened.scopes)}
    return json_response(shown, 201)


@blp.route("/v1/sessions")
@blp.requires(auth.ANY_SCOPE)
@blp.arguments(PageSchema(), location="query")
@blp.response(200, SessionListSchema)
def list_sessions(asked: dict[str, Any]) -> Response:
    """One's own sessions that live, newest first."""
    username, before = people.require_person(auth.caller()), cursors.decode(asked.get("cursor"))
    with db.reading() as reading:
        page = sessions.listed(reading, username, before, asked["limit"])
    shown = [{**one, "current": one.pop("token_hash") == auth.caller().token} for one in page]
    next_cursor = cursors.encode(page[-1]["session_id"]) if len(page) == asked["limit"] else None
    return json_response({"sessions": shown, "next_cursor": next_cursor})


@blp.route("/v1/sessions/<session_id>", methods=["DELETE"])
@blp.requires(auth.ANY_SCOPE)
@blp.response(204)
def end_session(session_id: str) -> Response:
    """End another of one's own sessions."""
    with db.transaction() as tx:
        sessions.end(tx, people.require_person(auth.caller()), session_id)
    return Response(status=204)


@blp.route("/v1/sessions/current", methods=["DELETE"])
@blp.requires(auth.ANY_SCOPE)
@blp.response(204)
def sign_out() -> Response:
    """End the present session."""
    principal = auth.caller()
    if principal.person is None or principal.token is None:
        raise NotPermitted("only a person's session ends here; a client revokes its token at /oauth/revoke")
    with db.transaction() as tx:
        tokens.revoke(tx, bytes.fromhex(principal.token))
    return Response(status=204)
