# SPDX-License-Identifier: Apache-2.0
"""The bureau's signatures: Ed25519 keys, one in use for each `use`, and detached JWS (RFC 7515 App. F, RFC 8037).

A private key is wrapped by the purpose key `signing`. Public keys are never deleted: what was signed years ago must
verify. The newest key that is not retired signs; where several signatures are allowed, all that are not retired do,
so that whoever knows only the earlier one still finds it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey
from sqlalchemy import Connection, insert, select, update

from kernel import clock, keys
from kernel.errors import SettingError
from kernel.keys import Altered
from kernel.models import signing_key

ALGORITHM = "Ed25519"  # RFC 9864: the fully specified name
USES = ("consent", "export", "log", "reward", "webhook")


class Signer:
    """A key in use. Shows nothing of itself."""

    __slots__ = ("_key", "_raw", "kid")

    def __init__(self, kid: str, key: OKPKey) -> None:
        self.kid = kid
        self._key = key
        assert isinstance(key.private_key, Ed25519PrivateKey)
        self._raw = key.private_key

    def __repr__(self) -> str:
        return f"<Signer {self.kid}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is neither pickled nor copied")

    def sign(self, payload: bytes) -> str:
        """A detached JWS over the payload: `<header>..<signature>`."""
        header = {"alg": ALGORITHM, "kid": self.kid}
        attached = jws.serialize_compact(header, payload, self._key, algorithms=[ALGORITHM])
        return str(jws.detach_content(attached))

    def sign_raw(self, payload: bytes) -> bytes:
        """The 64 bytes of an Ed25519 signature (RFC 8032)."""
        return self._raw.sign(payload)

    @property
    def public(self) -> bytes:
        """The public key's 32 bytes."""
        return self._raw.public_key().public_bytes_raw()


def create(tx: Connection) -> None:
    """Make a key for each use that has none. The caller commits."""
    held = set(tx.scalars(select(signing_key.c.use)))
    for use in USES:
        if use not in held:
            add(tx, use)


def add(tx: Connection, use: str) -> str:
    """Make a key that signs from the next start on (rotation: the earlier ones go on verifying). Returns its kid."""
    key = OKPKey.generate_key("Ed25519", {"use": "sig", "alg": ALGORITHM})
    kid = key.thumbprint()  # RFC 7638
    public = {**key.as_dict(private=False), "kid": kid}
    secret = orjson.dumps(key.as_dict(private=True))
    values = {"kid": kid, "use": use, "public": orjson.dumps(public).decode(), "created_at": clock.now()}
    values["wrapped"] = keys.purpose("signing").encrypt(secret, _bound_to(use, kid))
    tx.execute(insert(signing_key).values(**values))
    return kid


@dataclass(frozen=True, slots=True)
class Held:
    """A key as others see it: its name, its public 32 bytes, since when it is there, when it was retired."""

    kid: str
    public: bytes
    created_at: datetime
    retired_at: datetime | None


def held(tx: Connection, use: str) -> list[Held]:
    """Every key of a use, retired ones too, oldest first."""
    rows = tx.execute(select(signing_key).where(signing_key.c.use == use).order_by(signing_key.c.created_at))
    return [Held(row.kid, _raw(orjson.loads(row.public)), row.created_at, row.retired_at) for row in rows]


def retire(tx: Connection, kid: str) -> None:
    """Have a key sign no more, from the next opening on. It stays, and verifies. The caller commits."""
    tx.execute(update(signing_key).where(signing_key.c.kid == kid).values(retired_at=clock.now()))


def open_signers(tx: Connection) -> None:
    """Open the process's signers; raises SettingError where one is missing or does not open."""
    newest_first = select(signing_key).where(signing_key.c.retired_at.is_(None))
    opened: dict[str, tuple[Signer, ...]] = {}
    for row in tx.execute(newest_first.order_by(signing_key.c.created_at.desc(), signing_key.c.kid)):
        try:
            secret = keys.purpose("signing").decrypt(row.wrapped, _bound_to(row.use, row.kid))
        except Altered as error:
            raise SettingError(f"the signing key {row.kid} does not open: restore the database's own") from error
        signer = Signer(row.kid, OKPKey.import_key(orjson.loads(secret)))
        opened[row.use] = (*opened.get(row.use, ()), signer)
    if missing := set(USES) - set(opened):
        raise SettingError(f"the database has no signing key for {', '.join(sorted(missing))}: run `bureau upgrade`")
    global _signers
    _signers = opened


def signer(use: str) -> Signer:
    """The process's signer; raises SettingError before `open_signers`."""
    return signers(use)[0]


def signers(use: str) -> tuple[Signer, ...]:
    """The process's signers whose keys are not retired, the newest first; raises SettingError as `signer` does."""
    try:
        return _signers[use]
    except KeyError as error:
        raise SettingError(f"no signer for {use}: the process must call kernel.signing.open_signers") from error


def public_keys(tx: Connection, *uses: str) -> list[dict[str, Any]]:
    """Every public key of these uses as a JWK (RFC 7517), oldest first: the `keys` of a JWK set."""
    kept = select(signing_key.c.public).where(signing_key.c.use.in_(uses)).order_by(signing_key.c.created_at)
    return [orjson.loads(text) for text in tx.scalars(kept)]


def raw_public_keys(tx: Connection, use: str) -> list[bytes]:
    """Every public key of a use as its 32 bytes, oldest first."""
    return [each.public for each in held(tx, use)]


def is_signed(signature: str, payload: bytes, public: Iterable[dict[str, Any]]) -> bool:
    """Whether a detached JWS is one of these keys' over exactly this payload."""
    try:
        known = KeySet.import_key_set({"keys": list(public)})
        jws.deserialize_compact(signature, known, algorithms=[ALGORITHM], payload=payload)
    except (JoseError, ValueError):
        return False
    return True


_signers: dict[str, tuple[Signer, ...]] = {}


def _raw(jwk: dict[str, Any]) -> bytes:
    return bytes(OKPKey.import_key(jwk).public_key.public_bytes_raw())


def _bound_to(use: str, kid: str) -> bytes:
    return f"signing-key\0{use}\0{kid}".encode()
