# SPDX-License-Identifier: Apache-2.0
"""DPoP (RFC 9449): a proof, made for one request, that its sender holds the key that a token is bound to.

    typ, jwk       dpop+jwt; the public key, which signed the proof
    htm, htu       the request's method and URL; a query or fragment does not count
    iat            at most 60 s old, not more than 10 s ahead
    nonce          one that this bureau gave within the last minute or two
    ath            with a token: its SHA-256
    jti            1 to 255 characters, used once

The nonce is the same for everyone in a minute, and keyed: every worker makes and knows it, and nothing is stored
(docs/adr/0040). A proof can so not be made ahead of its time by who holds the key for a moment only.
"""

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from urllib.parse import unquote, urlsplit

from kernel import jose, keys
from kernel.jose import Unacceptable

TYPE = "dpop+jwt"
MOST_BYTES = 4096
MOST_JTI = 255
OLD_S, AHEAD_S = 60, 10
NONCE_S = 60
_PORTS = {"http": 80, "https": 443}


class NonceWanted(Exception):
    """A proof without a nonce, or with one that is no longer good."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof that is good for its request: its key's thumbprint (RFC 7638), its one use, whether to tell a nonce."""

    jkt: str
    jti: str
    until: datetime
    is_nonce_newest: bool


def read(text: str, method: str, url: str, now: datetime, token: str | None = None) -> Proof:
    """Judge the proof that came with a request, with or without a token.

    Raises Unacceptable for one that is not this request's, NonceWanted for one that only lacks a good nonce.
    """
    jwt = jose.read(text, MOST_BYTES, with_jwk=True)
    if jose.media_type(jwt) != TYPE:
        raise Unacceptable(f"its typ must be {TYPE}")
    jwk = jwt.header["jwk"]
    key = jose.public_key(jwk if isinstance(jwk, dict) else {})
    if not jose.is_signed(jwt, key):
        raise Unacceptable("its signature is not that of its jwk")
    claims, jti = jwt.claims, jwt.claims.get("jti")
    if not isinstance(jti, str) or not 1 <= len(jti) <= MOST_JTI:
        raise Unacceptable(f"its jti must have 1 to {MOST_JTI} characters")
    if claims.get("htm") != method or not _is_place(claims.get("htu"), url):
        raise Unacceptable("its htm and htu must be the method and the URL of this request")
    issued = jose.instant(claims, "iat")
    if issued is None or not now.timestamp() - OLD_S <= issued <= now.timestamp() + AHEAD_S:
        raise Unacceptable(f"its iat must lie within the last {OLD_S} s: set your clock")
    if token is not None and claims.get("ath") != _sha256(token.encode()):
        raise Unacceptable("its ath must be the SHA-256 of the access token")
    newest = _require_nonce(claims.get("nonce"), now)
    return Proof(key.thumbprint(), jti, datetime.fromtimestamp(issued, UTC) + timedelta(seconds=OLD_S), newest)


def nonce(now: datetime) -> str:
    """The nonce of this minute."""
    return _nonce_of(int(now.timestamp()) // NONCE_S)


def _require_nonce(sent: object, now: datetime) -> bool:
    """Whether a nonce is the newest; raises NonceWanted for one that is neither this minute's nor the last one's."""
    minute = int(now.timestamp()) // NONCE_S
    if isinstance(sent, str) and sent.isascii():
        for age in (0, 1):
            if compare_digest(sent, _nonce_of(minute - age)):
                return age == 0
    raise NonceWanted


def _nonce_of(minute: int) -> str:
    mac = keys.purpose("tokens").mac256(f"dpop-nonce\0{minute}".encode())
    return base64.urlsafe_b64encode(mac.to_bytes(32)).rstrip(b"=").decode()


def _is_place(htu: object, url: str) -> bool:
    """Whether two URLs name one place (RFC 3986 §6.2.2, §6.2.3), query and fragment aside."""
    if not isinstance(htu, str):
        return False
    try:
        return _place(htu) == _place(url)
    except ValueError:
        return False


def _place(url: str) -> tuple[str, str | None, int | None, str]:
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise ValueError("a place has no user")
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme), unquote(parts.path) or "/"


def _sha256(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
