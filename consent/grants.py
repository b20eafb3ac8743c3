# SPDX-License-Identifier: Apache-2.0
"""A grant from the request to the trail: checked against what exists, and written once per Idempotency-Key."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from access import institutions
from audit import trail
from consent import consents
from consent.consents import Act, Grant
from kernel import canonical, clock, db
from kernel.errors import Invalid
from kernel.idempotency import settle


def checked(body: Mapping[str, Any]) -> Grant:
    """The grant that a validated body asks for; raises Invalid where it names nobody that exists."""
    grantee = body["grantee"] or ("platform" if body["scope"] == "collect" else "")
    with db.reading() as reading:
        require_grantee(reading, body["scope"], grantee)
    return Grant(
        uscc=body["uscc"],
        scope=body["scope"],
        grantee=grantee,
        classes=tuple(sorted(set(body["classes"]))),
        products=tuple(sorted(set(body["products"]))),
        purposes=tuple(sorted(set(body["purposes"]))),
        not_before=body["not_before"],
        expires_at=body["expires_at"],
    )


def require_ahead(given: Grant, now: datetime) -> None:
    """Raise Invalid where a grant ends before it begins, or has ended already."""
    if given.expires_at is not None and given.expires_at <= max(given.not_before or now, now):
        raise Invalid("a consent must end after it begins, in the future", errors={"expires_at": ["too early"]})


def require_grantee(reading: Connection, scope: str, grantee: str) -> None:
    """Raise Invalid unless the grantee is an institution of ours, a kind of them, or the platform."""
    if not grantee:
        raise Invalid(
            "say who may ask: an institution's id, kind:<kind>, or platform for all", errors={"grantee": ["required"]}
        )
    if scope == "collect":
        if grantee != "platform":
            raise Invalid(
                "a collect consent is given to the bureau: leave the grantee out",
                errors={"grantee": ["must be platform"]},
            )
    elif grantee.startswith("kind:"):
        if grantee.removeprefix("kind:") not in institutions.KINDS:
            raise Invalid("no such kind of institution", errors={"grantee": [f"of {', '.join(institutions.KINDS)}"]})
    elif grantee != "platform" and not institutions.exists(reading, grantee):
        raise Invalid("no such institution", errors={"grantee": ["unknown institution"]})


def grant_once(given: Grant, actor: str, key: str) -> dict[str, Any]:
    """Write the grant, or find what this key wrote before. Returns the consent as it was given.

    Raises Invalid (`idempotency-key-reused`) where the key comes back with another body.
    """
    digest = canonical.digest({name: _plain(getattr(given, name)) for name in given.__slots__})

    def attempt() -> dict[str, Any]:
        with trail.recording() as tx:
            earlier = trail.find_keyed(tx, actor, key, digest)
            if earlier is None:
                require_ahead(given, clock.now())
                consent = consents.grant(tx, given, Act(actor, key=key, request_digest=digest))
                consent_id = consent.id
            else:
                consent_id = earlier["consent"]
            first = next(consents.history(tx, consent_id))
            return {name: value for name, value in first.items() if name != "previous"}

    return settle(attempt)


def _plain(value: Any) -> Any:
    return clock.rfc3339(value) if isinstance(value, datetime) else value
