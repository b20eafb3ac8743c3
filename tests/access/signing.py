# SPDX-License-Identifier: Apache-2.0
"""A client's own key, as another implementation would use it: assertions (RFC 7523) and DPoP proofs (RFC 9449).

Written over `cryptography` and `json` alone, so that a fault of the JOSE library we verify with is not ours as well.
"""

import base64
import hashlib
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
GRANT = {"grant_type": "client_credentials"}


@dataclass(frozen=True)
class Signer:
    """A private key and the algorithm that it signs with."""

    algorithm: str
    key: Any
    kid: str | None = None

    @property
    def jwk(self) -> dict[str, str]:
        """The public key."""
        named = {"kid": self.kid} if self.kid else {}
        public = self.key.public_key()
        if isinstance(public, ec.EllipticCurvePublicKey):
            numbers, size = public.public_numbers(), (public.key_size + 7) // 8
            x, y = (b64(number.to_bytes(size, "big")) for number in (numbers.x, numbers.y))
            curve = {"secp256r1": "P-256", "secp384r1": "P-384"}[public.curve.name]
            return {"kty": "EC", "crv": curve, "x": x, "y": y, **named}
        if isinstance(public, rsa.RSAPublicKey):
            n, e = public.public_numbers().n, public.public_numbers().e
            return {
                "kty": "RSA",
                "n": b64(n.to_bytes((n.bit_length() + 7) // 8, "big")),
                "e": b64(e.to_bytes(3, "big")),
                **named,
            }
        return {"kty": "OKP", "crv": "Ed25519", "x": b64(public.public_bytes_raw()), **named}

    @property
    def jwks(self) -> dict[str, Any]:
        return {"keys": [self.jwk]}

    @property
    def thumbprint(self) -> str:
        """RFC 7638."""
        members = {name: value for name, value in self.jwk.items() if name != "kid"}
        return b64(hashlib.sha256(json.dumps(members, sort_keys=True, separators=(",", ":")).encode()).digest())

    def sign(self, signed: bytes) -> bytes:
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            size = (self.key.key_size + 7) // 8
            r, s = decode_dss_signature(self.key.sign(signed, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(size, "big") + s.to_bytes(size, "big")
        if isinstance(self.key, rsa.RSAPrivateKey):
            if self.algorithm == "RS256":
                return self.key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
            return self.key.sign(signed, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
        return bytes(self.key.sign(signed))

    def jwt(self, claims: Any, **header: Any) -> str:
        """A JWT; a header member of None is left out."""
        full = {"alg": self.algorithm, "kid": self.kid, **header}
        parts = [{name: value for name, value in full.items() if value is not None}, claims]
        signed = ".".join(b64(json.dumps(part).encode()) for part in parts)
        return f"{signed}.{b64(self.sign(signed.encode()))}"

    def assertion(self, client_id: str, issuer: str, header: dict[str, Any] | None = None, **changes: Any) -> str:
        """An assertion that is good but for what is changed; a claim of None is left out."""
        now = int(time.time())
        claims = {"iss": client_id, "sub": client_id, "aud": issuer, "iat": now, "exp": now + 60, "jti": new_jti()}
        return self.jwt(_changed(claims, changes), **(header or {}))

    def form(self, client_id: str, issuer: str, header: dict[str, Any] | None = None, **changes: Any) -> dict[str, str]:
        """What a form carries to authenticate the client."""
        assertion = self.assertion(client_id, issuer, header, **changes)
        return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}

    def proof(self, method: str, url: str, nonce: str | None = None, token: str | None = None, **changes: Any) -> str:
        """A DPoP proof; of `changes` the key `header` replaces members of the header."""
        jwk = Signer(self.algorithm, self.key).jwk
        header = {"typ": "dpop+jwt", "kid": None, "jwk": jwk, **changes.pop("header", {})}
        ath = b64(hashlib.sha256(token.encode()).digest()) if token else None
        claims = {"htm": method, "htu": url, "iat": int(time.time()), "jti": new_jti(), "nonce": nonce, "ath": ath}
        return self.jwt(_changed(claims, changes), **header)


def es256(kid: str | None = None) -> Signer:
    return Signer("ES256", ec.generate_private_key(ec.SECP256R1()), kid)


def ps256(kid: str | None = None) -> Signer:
    return Signer("PS256", rsa.generate_private_key(65537, 2048), kid)


def eddsa(kid: str | None = None) -> Signer:
    return Signer("EdDSA", ed25519.Ed25519PrivateKey.generate(), kid)


SIGNERS = {"ES256": es256, "PS256": ps256, "EdDSA": eddsa}


def new_jti() -> str:
    return secrets.token_urlsafe(16)


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _changed(claims: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**claims, **changes}.items() if value is not None}
