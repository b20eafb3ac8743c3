# SPDX-License-Identifier: Apache-2.0
"""The code that an enterprise's answer sends to the client, and the token that it buys (RFC 6749 §4.1, RFC 7636).

A code is good once, for sixty seconds, for the client that pushed the request, with the redirect_uri and the PKCE
verifier of that push. The token carries one consent and is good for nothing outside it.
"""

from typing import Any

from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc6749.errors import InvalidGrantError
from authlib.oauth2.rfc7636 import CodeChallenge

from access import authorizations, registered
from access.authorizations import Authorization
from kernel import db


class AuthorizationCodeGrant(grants.AuthorizationCodeGrant):
    """The token endpoint's half; the other half is `access.pushing` and the pages."""

    RESPONSE_TYPES: set[str] = set()

    def query_authorization_code(self, code: str, client: registered.Client) -> Authorization | None:
        with db.transaction() as tx:
            return authorizations.of_code(tx, code, client.client_id)

    def authenticate_user(self, authorization_code: Authorization) -> str | None:
        return authorization_code.person

    def delete_authorization_code(self, authorization_code: Authorization) -> None:
        """It was spent in the very transaction that kept the token (`oauth._save_token`)."""

    def create_token_response(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        """As RFC 9396 §7 says: with the details as they were granted, and the consent that they became."""
        status, issued, headers = super().create_token_response()
        return status, {**issued, "authorization_details": [self.request.authorization_code.granted]}, headers


class PkceS256(CodeChallenge):
    """S256 alone, and never without: the challenge was asked for at the push."""

    DEFAULT_CODE_CHALLENGE_METHOD = "S256"
    SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]


def unspent() -> InvalidGrantError:
    """What is told where a code was spent a moment ago."""
    return InvalidGrantError("Invalid 'code' in request.")
