# SPDX-License-Identifier: Apache-2.0
"""A grant or a request from its body to the trail: checked against what exists, written once per Idempotency-Key."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from access import institutions
from audit import trail
from consent import consents, evidence, requests, store
from consent.acts import Act
from consent.decision import Consent
from consent.store import Given
from consent.terms import Frequency, Grant, limits_of
from kernel import canonical, clock, db
from kernel.errors import Invalid
from kernel.idempotency import settle

Write = Callable[[Connection, Grant, Act], Consent]


def checked(body: Mapping[str, Any], sent: Mapping[str, Any] | None = None) -> Grant:
    """The grant that a validated body asks for; raises Invalid where it names nobody that exists.

    `sent` is the body as it came, over which `evidence.jws` was made; raises Invalid where that does not verify.
    """
    grantee = body["grantee"] or ("platform" if body["scope"] == "collect" else "")
    proof = body.get("evidence")
    with db.reading() as reading:
        require_grantee(reading, body["scope"], grantee)
        if proof is not None and proof.get("jws") is not None:
            if sent is None:
                raise Invalid("only a grant over the API carries a signature", errors={"evidence": ["leave jws out"]})
            proof = evidence.verified(reading, body["uscc"], sent, clock.now())
    return Grant(
        uscc=body["uscc"],
        scope=body["scope"],
        grantee=grantee,
        classes=tuple(sorted(set(body["classes"]))),
        products=tuple(sorted(set(body["products"]))),
        purposes=tuple(sorted(set(body["purposes"]))),
        not_before=body["not_before"],
        expires_at=body["expires_at"],
        **limits_of(body),
        notice=body.get("notice"),
        evidence=proof,
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
    return _once(consents.grant, given, Act(actor, key=key))


def ask_once(given: Grant, act: Act) -> dict[str, Any]:
    """Write the request for a consent, or find what this key wrote before. Returns it as it was made."""
    return _once(requests.ask, given, act)


def approve(
    consent_id: str, act: Act, body: Mapping[str, Any], require_visible: Callable[[Consent, Connection], None]
) -> dict[str, Any]:
    """Approve a request, once more where another grant for the same grantee came in between. Returns the consent."""
    narrowed = {name: body.get(name) for name in ("classes", "products", "purposes", "expires_at")} | limits_of(body)

    def attempt() -> dict[str, Any]:
        with trail.recording() as tx:
            require_visible(store.get(tx, consent_id), tx)
            given = Given(body.get("notice"), body.get("evidence"))
            approved = requests.approve(tx, consent_id, act, narrowed, given)
            return store.shown(tx, approved, clock.now())

    return settle(attempt)


def _once(write: Write, given: Grant, act: Act) -> dict[str, Any]:
    digest = canonical.digest({name: _plain(getattr(given, name)) for name in given.__slots__})
    keyed = Act(act.actor, act.channel, act.key, digest, act.client)
    assert act.key is not None

    def attempt() -> dict[str, Any]:
        with trail.recording() as tx:
            earlier = trail.find_keyed(tx, act.actor, act.key or "", digest)
            if earlier is None:
                require_ahead(given, clock.now())
                consent_id = write(tx, given, keyed).id
            else:
                consent_id = earlier["consent"]
            return next(store.history(tx, consent_id))

    return settle(attempt)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return clock.rfc3339(value)
    return asdict(value) if isinstance(value, Frequency) else value
