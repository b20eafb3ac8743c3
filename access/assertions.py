# SPDX-License-Identifier: Apache-2.0
"""private_key_jwt: a client proves to be itself by a JWT of its own (RFC 7521 §4.2, RFC 7523 §3, FAPI 2.0 §5.3.2).

iss, sub   the client's id
aud        the issuer, as one string: neither a list nor an endpoint, so that no other server can pass it on
exp        at most 60 s after iat (after now where there is no iat)
iat, nbf   not more than 10 s ahead
jti        1 to 255 characters, used once
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from kernel import jose
from kernel.jose import Jwt, Unacceptable

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MOST_BYTES = 4096
MOST_JTI = 255
LIFE_S, AHEAD_S = 60, 10
_TYPES = (None, "jwt", "client-authentication+jwt")


@dataclass(frozen=True, slots=True)
class Assertion:
    """What an assertion claims. Whether the client signed it is another question."""

    client_id: str
    jti: str
    expires_at: datetime
    kid: str | None
    jwt: Jwt


def read(text: str, issuer: str, now: datetime) -> Assertion:
    """Read an assertion that was sent to this issuer; raises Unacceptable for one that is not good at this moment."""
    jwt = jose.read(text, MOST_BYTES)
    if jose.media_type(jwt) not in _TYPES:
        raise Unacceptable("its typ is that of another kind of JWT")
    claims, kid = jwt.claims, jwt.header.get("kid")
    client_id, jti = claims.get("sub"), claims.get("jti")
    if not isinstance(client_id, str) or claims.get("iss") != client_id or "\0" in client_id:
        raise Unacceptable("its iss and its sub must both be the client_id")
    if claims.get("aud") != issuer:
        raise Unacceptable("its aud must be the issuer, as one string")
    if not isinstance(jti, str) or not 1 <= len(jti) <= MOST_JTI:
        raise Unacceptable(f"its jti must have 1 to {MOST_JTI} characters")
    if kid is not None and not isinstance(kid, str):
        raise Unacceptable("its kid is no text")
    return Assertion(client_id, jti, _expiry(jwt, now.timestamp()), kid, jwt)


def _expiry(jwt: Jwt, now: float) -> datetime:
    ends, begins = jose.instant(jwt.claims, "exp"), jose.instant(jwt.claims, "iat")
    valid_from = jose.instant(jwt.claims, "nbf")
    if ends is None or ends <= now:
        raise Unacceptable("it has expired, or has no exp")
    if max(begins or 0, valid_from or 0) > now + AHEAD_S:
        raise Unacceptable(f"its iat or its nbf lies more than {AHEAD_S} s ahead: set your clock")
    if ends - (now if begins is None else begins) > LIFE_S:
        raise Unacceptable(f"it may live for {LIFE_S} s at most")
    return datetime.fromtimestamp(ends, UTC)
