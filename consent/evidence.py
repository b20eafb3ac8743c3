# SPDX-License-Identifier: Apache-2.0
"""What proves that the enterprise itself consented: its registered keys, and its signature over the grant.

An enterprise may register public keys (JWK). A grant may then carry in `evidence.jws` a detached JWS (RFC 7515
App. F) over the canonical JSON (RFC 8785) of the very request body without that member, with the header members
`alg`, `kid` (the key's RFC 7638 thumbprint) and `iat`. 电子签名法 Art. 13: the signatory's alone, and any change shows.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, import_key
from joserfc.jws import JWSRegistry
from joserfc.registry import HeaderParameter
from sqlalchemy import Connection, func, insert, select, update

from audit import trail
from audit.events import Event
from consent.acts import Act
from consent.models import enterprise_key
from kernel import canonical, clock, jose
from kernel.errors import Conflict, Invalid, NotFound
from kernel.jose import Unacceptable

ALGORITHMS = ("ES256", "PS256", "Ed25519")
MOST_KEYS = 20  # live ones of an enterprise
FRESH = timedelta(minutes=10)  # how old or how far ahead `iat` may be
_REGISTRY = JWSRegistry({"iat": HeaderParameter("time of signing", "int", required=True)}, algorithms=list(ALGORITHMS))


def register(tx: Connection, uscc: str, jwk: Mapping[str, Any], act: Act) -> dict[str, Any]:
    """Register a public key of an enterprise. Returns it as `keys_of` shows it. The caller commits.

    Raises Invalid for a private, weak or unknown key, Conflict where it is registered or MOST_KEYS are.
    """
    try:
        key = jose.public_key(jwk)
    except Unacceptable as error:
        raise _bad_key(f"send {error}") from error
    kid, now = key.thumbprint(), clock.now()
    live = enterprise_key.c.uscc == uscc, enterprise_key.c.retired_at.is_(None)
    if (tx.scalar(select(func.count()).where(*live)) or 0) >= MOST_KEYS:
        raise Conflict(f"{MOST_KEYS} keys are registered: retire one first", slug="too-many-keys")
    if tx.scalar(select(enterprise_key.c.kid).where(enterprise_key.c.uscc == uscc, enterprise_key.c.kid == kid)):
        raise Conflict("this key is registered already, or was retired: make a new one", slug="key-known")
    kept = canonical.encode({**key.as_dict(private=False), "kid": kid}).decode()
    tx.execute(insert(enterprise_key).values(uscc=uscc, kid=kid, jwk=kept, registered_at=now))
    _record(tx, Event.KEY_REGISTERED, uscc, kid, act)
    return _shown(kid, kept, now, None)


def retire(tx: Connection, uscc: str, kid: str, act: Act) -> None:
    """Accept nothing new from a key; what it signed goes on verifying. The caller commits. Raises NotFound."""
    key = enterprise_key.c.uscc == uscc, enterprise_key.c.kid == kid, enterprise_key.c.retired_at.is_(None)
    if not tx.execute(update(enterprise_key).where(*key).values(retired_at=clock.now())).rowcount:
        raise NotFound(f"no key {kid} in use")
    _record(tx, Event.KEY_RETIRED, uscc, kid, act)


def keys_of(tx: Connection, uscc: str) -> list[dict[str, Any]]:
    """An enterprise's keys, retired ones too: `{"kid", "jwk", "registered_at", "retired_at"}`, oldest first."""
    found = select(enterprise_key).where(enterprise_key.c.uscc == uscc).order_by(enterprise_key.c.registered_at)
    return [_shown(row.kid, row.jwk, row.registered_at, row.retired_at) for row in tx.execute(found)]


def verified(tx: Connection, uscc: str, sent: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The evidence of a grant whose body was `sent`, with what was signed if it carries a signature.

    Raises Invalid (`evidence-not-verified`) unless the signature is fresh and a live key's of this enterprise.
    """
    evidence: dict[str, Any] = dict(sent["evidence"])
    if evidence.get("jws") is None:
        return evidence
    signed = {**sent, "evidence": {name: value for name, value in evidence.items() if name != "jws"}}
    live = [orjson.dumps(key["jwk"]) for key in keys_of(tx, uscc) if key["retired_at"] is None]
    if not live:
        raise _unverified("the enterprise has no registered key: register one, or leave jws out")
    known = KeySet([import_key(orjson.loads(text)) for text in live])
    try:
        payload = canonical.encode(signed)
        found = jws.deserialize_compact(evidence["jws"], known, list(ALGORITHMS), _REGISTRY, payload)
    except (JoseError, ValueError) as error:
        raise _unverified("the signature is not one of the enterprise's registered keys over this body") from error
    if abs(now.timestamp() - found.protected["iat"]) > FRESH.total_seconds():
        raise _unverified(f"iat must lie within {FRESH.total_seconds():.0f} seconds of now")
    return {**evidence, "kid": found.protected.get("kid"), "signed": signed}


def _bad_key(told: str) -> Invalid:
    return Invalid(told, errors={"jwk": [told]})


def _unverified(told: str) -> Invalid:
    return Invalid(told, errors={"evidence": [told]}, slug="evidence-not-verified")


def _shown(kid: str, jwk: str, registered_at: datetime, retired_at: datetime | None) -> dict[str, Any]:
    retired = clock.rfc3339(retired_at) if retired_at else None
    return {"kid": kid, "jwk": orjson.loads(jwk), "registered_at": clock.rfc3339(registered_at), "retired_at": retired}


def _record(tx: Connection, event: Event, uscc: str, kid: str, act: Act) -> None:
    trail.append(tx, trail.Entry(type=event, actor=act.actor, channel=act.channel, uscc=uscc, detail={"kid": kid}))
