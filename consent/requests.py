# SPDX-License-Identifier: Apache-2.0
"""An institution asks for a consent; the enterprise approves it, whole or narrowed, or rejects it.

A request is a consent in the state `requested`. It decides nothing, and lapses by itself after the policy's
`request_life_days`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, func, select

from audit.events import Event
from consent import policy, store
from consent.acts import Act, record
from consent.consents import first_version, step_back
from consent.decision import Consent
from consent.models import consent as consents
from consent.store import Given
from consent.terms import Frequency, Grant
from consent.transitions import after
from kernel import clock
from kernel.errors import Conflict, Invalid

OPEN_AT_ONCE = 3  # of one institution to one enterprise: an inbox is no place for pressure


def ask(tx: Connection, given: Grant, act: Act) -> Consent:
    """Write a request of the institution that the grant names. The caller commits.

    Raises Invalid (`beyond-policy`), Conflict (`requests-open`) where OPEN_AT_ONCE wait unanswered.
    """
    now = clock.now()
    policy.require_grantable(given, given.not_before or now)
    same = consents.c.uscc == given.uscc, consents.c.requested_by == given.grantee
    waiting = select(func.count()).where(*same, consents.c.status == "requested", consents.c.lapses_at > now)
    if (tx.scalar(waiting) or 0) >= OPEN_AT_ONCE:
        raise Conflict(f"{OPEN_AT_ONCE} requests wait for this enterprise's answer already", slug="requests-open")
    lapses_at = now + policy.current().request_life
    asked = first_version(given, now, status="requested", lapses_at=lapses_at)
    digest = store.add(tx, asked, Given(given.notice), deciding=False, requested_by=given.grantee)
    record(tx, Event.CONSENT_REQUESTED, asked, act, digest)
    return asked


def approve(tx: Connection, consent_id: str, act: Act, narrowed: Mapping[str, Any], given: Given) -> Consent:
    """Put a request into force, with the `narrowed` terms in place of those asked for. The caller commits.

    Raises NotFound, Conflict from another state, Invalid where `narrowed` is wider than the request or what is left
    goes beyond the policy (`beyond-policy`), and IntegrityError where another grant for the same grantee came first.
    """
    now, asked = clock.now(), store.get(tx, consent_id, lock=True)
    active = after(asked, "approve", now)
    active = replace(active, not_before=max(asked.not_before, now), **_within(asked, narrowed))
    if active.expires_at is not None and active.expires_at <= active.not_before:
        raise Invalid("a consent must end after it begins, in the future", errors={"expires_at": ["too early"]})
    policy.require_grantable(_terms(active), active.not_before)
    superseded = step_back(tx, active, now)
    digest = store.change(tx, active, given=given, deciding=True)
    record(tx, Event.CONSENT_GRANTED, active, act, digest, supersedes=superseded)
    return active


def reject(tx: Connection, consent_id: str, act: Act, reason: str | None = None) -> Consent:
    """Turn a request down. The caller commits. Raises NotFound, Conflict from another state."""
    asked = store.get(tx, consent_id, lock=True)
    rejected = after(asked, "reject", clock.now(), reason)
    record(tx, Event.CONSENT_REJECTED, rejected, act, store.change(tx, rejected))
    return rejected


def _terms(consent: Consent) -> Grant:
    """What a consent says, to be held against the policy."""
    return Grant(**{name: getattr(consent, name) for name in Grant.__slots__ if hasattr(consent, name)})


def _within(asked: Consent, narrowed: Mapping[str, Any]) -> dict[str, Any]:
    """The narrowed terms; raises Invalid naming the field that goes beyond what was asked for."""
    terms: dict[str, Any] = {}
    for name in ("classes", "products", "purposes"):
        if narrowed.get(name) is not None:
            terms[name] = tuple(sorted(set(narrowed[name])))
            if beyond := set(terms[name]) - set(getattr(asked, name)):
                raise _wider(name, f"{', '.join(map(str, sorted(beyond)))} was not asked for")
    for name, field in (("expires_at", "expires_at"), ("max_queries", "max_queries"), ("history_months", "history")):
        if narrowed.get(name) is not None:
            terms[name], most = narrowed[name], getattr(asked, name)
            if most is not None and narrowed[name] > most:
                raise _wider(field, "beyond what was asked for")
    often: Frequency | None = narrowed.get("frequency")
    if often is not None:
        terms["frequency"], most_often = often, asked.frequency
        if most_often is not None and often.most_in(most_often.per) > most_often.count:
            raise _wider("frequency", f"more than {most_often} was not asked for")
    return terms


def _wider(field: str, told: str) -> Invalid:
    return Invalid("an approval may narrow the request, not widen it", errors={field: [told]})
