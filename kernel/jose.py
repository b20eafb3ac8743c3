# SPDX-License-Identifier: Apache-2.0
"""What others sign: the public keys that count here, and JWTs read within bounds (RFC 7515, 7517, 7518, 8037, 8725).

Three algorithms, each with one kind of key: ES256 (P-256), PS256 (RSA, 2048 to 4096 bits), Ed25519, which may still
be called EdDSA (RFC 9864). Nothing that a JWT says of its own key is believed, `crit` is refused whatever it holds
(no extension is understood), and each part has exactly one spelling: base64url without padding or stray bits.
"""

import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64decode

PublicKey = ECKey | OKPKey | RSAKey
ALGORITHMS = ("ES256", "PS256", "EdDSA", "Ed25519")
PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
RSA_BITS = range(2048, 4097)
_MODULUS_CHARACTERS = range(RSA_BITS.start // 6, RSA_BITS.stop // 6 + 2)
MOST_EXPONENT = 2**32  # verifying takes as long as the exponent
MOST_HEADER_BYTES = 4096
WANTED = "a public JWK of a P-256, Ed25519 or RSA (2048 to 4096 bits) key for signatures"
_OTHERS_WORD = ("jku", "x5u", "x5c")  # where a JWT would have its key taken from
_MODELS = {name: JWSRegistry.algorithms["Ed25519" if name == "EdDSA" else name] for name in ALGORITHMS}


class Unacceptable(ValueError):
    """A key or a JWT that does not count here; its text, plain ASCII, says why and holds nothing that was sent."""


@dataclass(frozen=True, slots=True)
class Jwt:
    """A JWT as it was read: not verified yet."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signed: bytes
    signature: bytes

    @property
    def algorithm(self) -> str:
        return str(self.header["alg"])


def public_key(jwk: Mapping[str, Any]) -> PublicKey:
    """The public key of a JWK; raises Unacceptable for a private, weak or unknown one, or one not for signatures."""
    modulus = jwk.get("n", "")
    if jwk.get("kty") not in ("EC", "OKP", "RSA") or PRIVATE_MEMBERS & jwk.keys():
        raise Unacceptable(WANTED)
    if jwk["kty"] == "RSA" and not (isinstance(modulus, str) and len(modulus) in _MODULUS_CHARACTERS):
        raise Unacceptable(WANTED)  # before anything is computed with it
    try:
        key = import_key(dict(jwk))
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise Unacceptable(WANTED) from error
    if not isinstance(key, ECKey | OKPKey | RSAKey) or not _is_strong(key) or not algorithms_of(key):
        raise Unacceptable(WANTED)
    if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ("verify",)):
        raise Unacceptable(WANTED)
    return key


def algorithms_of(key: PublicKey) -> tuple[str, ...]:
    """The algorithms that a key may be used with: those of its kind, narrowed by its own `alg`."""
    kind = {"EC": ("ES256",), "RSA": ("PS256",), "OKP": ("EdDSA", "Ed25519")}[key.key_type]
    named = key.get("alg")
    return kind if named is None or named in kind else ()


def read(text: str, most_bytes: int, *, with_jwk: bool = False) -> Jwt:
    """Read a JWT in compact form, without verifying it. Raises Unacceptable.

    `with_jwk`: its header must carry the key that signed it (RFC 9449); else it must not.
    """
    if len(text) > most_bytes:
        raise Unacceptable(f"it is longer than {most_bytes} characters")
    parts = text.split(".")
    if len(parts) != 3 or len(parts[0]) > MOST_HEADER_BYTES or not text.isascii():
        raise Unacceptable("it is no JWT in compact form: three parts in base64url")
    header, claims = _document(parts[0]), _document(parts[1])
    if header.get("alg") not in ALGORITHMS:
        raise Unacceptable("its alg is none of those in the metadata")
    if "crit" in header or "b64" in header:
        raise Unacceptable("its header asks for an extension that is not understood here")
    if ("jwk" in header) != with_jwk or any(name in header for name in _OTHERS_WORD):
        raise Unacceptable("its header must carry its key as jwk" if with_jwk else "its header brings or names a key")
    return Jwt(header, claims, f"{parts[0]}.{parts[1]}".encode(), _decoded(parts[2]))


def media_type(jwt: Jwt) -> str | None:
    """The JWT's `typ`, spelt in one way (RFC 7515 §4.1.9); raises Unacceptable where it is no text."""
    typ = jwt.header.get("typ")
    if typ is not None and not isinstance(typ, str):
        raise Unacceptable("its typ is no text")
    return typ.lower().removeprefix("application/") if typ is not None else None


def is_signed(jwt: Jwt, key: PublicKey) -> bool:
    """Whether a key signed a JWT, by an algorithm that is this key's."""
    if jwt.algorithm not in algorithms_of(key):
        return False
    try:
        return _MODELS[jwt.algorithm].verify(jwt.signed, jwt.signature, key)
    except (JoseError, ValueError):
        return False


def instant(claims: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519 §2) in seconds, or None where there is none; raises Unacceptable for anything else."""
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**40:
        raise Unacceptable(f"its {name} is no time in seconds")
    return value


def _is_strong(key: PublicKey) -> bool:
    if isinstance(key, RSAKey):
        raw: Any = key.public_key
        return raw.key_size in RSA_BITS and raw.public_numbers().e < MOST_EXPONENT
    return key.as_dict(private=False).get("crv") in ("P-256", "Ed25519")


def _document(part: str) -> dict[str, Any]:
    try:
        document = orjson.loads(_decoded(part))
    except orjson.JSONDecodeError as error:
        raise Unacceptable("its header and its claims must be JSON objects") from error
    if not isinstance(document, dict):
        raise Unacceptable("its header and its claims must be JSON objects")
    return document


def _decoded(part: str) -> bytes:
    try:
        return urlsafe_b64decode(part.encode())
    except (binascii.Error, ValueError) as error:
        raise Unacceptable("it is no JWT in compact form: three parts in base64url") from error
