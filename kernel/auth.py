# SPDX-License-Identifier: Apache-2.0
"""Who is calling, as the rooms above see it; and an empty protector that `access` gives its validator at start.

The protector stands here, empty, so that every route below can ask for a scope without importing `access`,
and `access` can read the database without anyone below knowing how tokens are kept.
"""

from dataclasses import dataclass
from typing import Any, NoReturn

from authlib.integrations.flask_oauth2 import ResourceProtector
from authlib.oauth2 import OAuth2Error
from flask import g, request

from kernel.errors import NotPermitted, Unauthenticated

ANY_SCOPE = ""  # for the few routes that any valid token may call


@dataclass(frozen=True, slots=True)
class Institution:
    """A financial institution's standing at the moment it called. Empty `products`, `purposes` allow all.

    `per_second` limits its requests, `per_day` its questions; None sets no limit of its own.
    """

    id: str
    name: str
    kind: str
    status: str
    products: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()
    per_second: int | None = None
    per_day: int | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose token was just read: a client (of an institution or a source) or a signed-in person."""

    actor: str  # "client:…", "person:…" or "counter": one name for each who acts
    scopes: frozenset[str]
    client: str | None = None
    institution: Institution | None = None
    source: str | None = None
    person: str | None = None
    role: str | None = None
    uscc: str | None = None  # the enterprise that a signatory acts for
    token: str | None = None  # the token's stored hash, so that its holder can end it
    per_second: int | None = None  # a client's own limit; None: what is shipped
    consent: str | None = None  # the one consent that a token which a code bought is good for


class Protector(ResourceProtector):
    """Authlib's guard of RFC 6750, answering with this project's errors."""

    def raise_error_response(self, error: OAuth2Error) -> NoReturn:
        if error.error == "insufficient_scope":
            raise NotPermitted("the token lacks the scope that this route asks for", slug="insufficient-scope")
        if error.error == "missing_authorization":
            raise Unauthenticated("send the header Authorization: Bearer <access token>", slug="missing-token")
        raise Unauthenticated("the access token is unknown, expired or revoked: get a new one", slug="invalid-token")


protector = Protector()


def admit(scope: str) -> None:
    """Let the present request pass if its bearer token carries `scope`.

    Raises Unauthenticated (no valid token) or NotPermitted (`insufficient-scope`).
    """
    try:
        g.principal = protector.validate_request([scope] if scope else None, request).principal
    except OAuth2Error as error:
        protector.raise_error_response(error)


def caller() -> Principal:
    """The admitted caller of the present request."""
    principal: Any = g.principal
    assert isinstance(principal, Principal)
    return principal
