# SPDX-License-Identifier: Apache-2.0
"""What is done to a consent, by whom; each act is an entry, and those whom the consent names are told of it."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from audit import trail
from audit.events import Event
from consent.decision import Consent
from kernel import clock, outbox


@dataclass(frozen=True, slots=True)
class Act:
    """Who changes a consent, by which way, and under which Idempotency-Key."""

    actor: str
    channel: str = "api"
    key: str | None = None
    request_digest: str | None = None
    client: str | None = None


def record(
    tx: Connection, event: Event, consent: Consent, act: Act, digest: str | None, supersedes: str | None = None
) -> None:
    """Put what was done to a consent on the trail, with the digest of the version that came of it."""
    detail = {
        "scope": consent.scope,
        "grantee": consent.grantee,
        "purposes": list(consent.purposes),
        "products": list(consent.products),
        "status": consent.status,
        "version_digest": digest,
        "supersedes": supersedes,
        "reason": consent.reason,
    }
    said = trail.Entry(
        type=event,
        actor=act.actor,
        channel=act.channel,
        client=act.client,
        uscc=consent.uscc,
        consent=consent.id,
        consent_version=consent.version,
        classes=consent.classes,
        request_digest=act.request_digest,
        idempotency_key=act.key,
        detail={name: value for name, value in detail.items() if value is not None},
    )
    trail.append(tx, said)
    # Who asked knows that it asked; and of a suspicion that nobody confirmed yet those suspected are not told.
    if consent.scope == "query" and digest is not None and event != Event.CONSENT_REQUESTED:
        outbox.put(tx, event, consent.grantee, _told(consent, supersedes))


def _told(consent: Consent, supersedes: str | None) -> dict[str, Any]:
    """What those whom a consent names are told of a change to it: what they may read at /v1/consents anyway."""
    told = {
        "consent_id": consent.id,
        "version": consent.version,
        "uscc": consent.uscc,
        "grantee": consent.grantee,
        "status": consent.status,
        "classes": consent.classes,
        "products": consent.products,
        "purposes": consent.purposes,
        "not_before": clock.rfc3339(consent.not_before),
        "expires_at": consent.expires_at and clock.rfc3339(consent.expires_at),
    }
    return told if supersedes is None else {**told, "supersedes": supersedes}
