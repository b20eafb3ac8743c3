# SPDX-License-Identifier: Apache-2.0
"""Tokens as they are presented at a resource: plainly as Bearer (RFC 6750), or with a proof as DPoP (RFC 9449 §7).

`app` plugs both validators into `kernel.auth.protector` at start.
"""

from typing import Any

from authlib.oauth2.rfc6750 import BearerTokenValidator
from flask import current_app, request

from access import dpop, networks, spent, switch, tokens
from access.dpop import NonceWanted, Proof
from access.spent import Use
from access.tokens import Token
from kernel import clock, db
from kernel.errors import Unauthenticated
from kernel.headers import tell_nonce
from kernel.jose import Unacceptable


class Validator(BearerTokenValidator):
    """Tokens that whoever holds them may use."""

    def authenticate_token(self, token_string: str) -> Token | None:
        found = _found(token_string)
        if found is not None and found.jkt is not None:
            raise Unauthenticated("the token is bound to a key: send it as DPoP, with a proof", slug="token-is-bound")
        return found

    def validate_token(self, token: Token | None, scopes: Any, request: Any, **more: Any) -> None:
        """Beside what RFC 6750 asks: no switch stops the client, and it calls from where it may."""
        super().validate_token(token, scopes, request, **more)
        if token is not None and token.principal.client is not None:
            if token.stopped is not None:
                raise switch.refusal(token.stopped)
            if token.networks:
                networks.require_allowed(token.networks, networks.of_caller())


class BoundValidator(Validator):
    """Tokens that are bound to a key, each with a proof of it."""

    TOKEN_TYPE = "dpop"  # noqa: S105  # the name of a scheme

    def authenticate_token(self, token_string: str) -> Token | None:
        proof = _require_proof(token_string)
        found = _found(token_string)
        if found is None or found.jkt != proof.jkt:
            return None
        spent.spend_proof(Use(spent.key_of("proof", proof.jkt, proof.jti), proof.until, _again))
        return found


def offered_proof(token_string: str | None = None) -> Proof | None:
    """The proof in the header of the present request, judged; None where there is none.

    Where its nonce is not the newest, the answer will tell the newest. Raises as `dpop.read`.
    """
    text = request.headers.get("DPoP")
    if text is None:
        return None
    now = clock.now()
    try:
        proof = dpop.read(
            text, request.method, current_app.config["BUREAU_PUBLIC_URL"] + request.path, now, token_string
        )
    except NonceWanted:
        tell_nonce(dpop.nonce(now))
        raise
    if not proof.is_nonce_newest:
        tell_nonce(dpop.nonce(now))
    return proof


def _again() -> Unauthenticated:
    return Unauthenticated("the DPoP proof was used before: make one for each request", slug="invalid-dpop-proof")


def _require_proof(token_string: str) -> Proof:
    try:
        proof = offered_proof(token_string)
    except NonceWanted as error:
        told = "make a DPoP proof with the nonce of the header DPoP-Nonce"
        raise Unauthenticated(told, slug="use-dpop-nonce") from error
    except Unacceptable as error:
        raise Unauthenticated(f"the DPoP proof is not good: {error}", slug="invalid-dpop-proof") from error
    if proof is None:
        raise Unauthenticated("send one header DPoP with a proof for this request", slug="invalid-dpop-proof")
    return proof


def _found(token_string: str) -> Token | None:
    with db.reading() as reading:
        found = tokens.find(reading, token_string)
    if found is not None and found.last_used_at is not None and not (found.ended or found.is_expired()):
        tokens.touch(found.principal.token, found.last_used_at)
    return found
