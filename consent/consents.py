# SPDX-License-Identifier: Apache-2.0
"""`require`, on which every disclosure hangs; and consents granted, paused, revoked.

A question linearises at the statement in `require` that reads the consents: whoever asks after a revocation
was acknowledged is refused, whichever worker answers. Consent is never read from a cache or a replica.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from audit.events import Event
from consent import counters, policy, store
from consent.acts import Act, record
from consent.decision import (
    Consent,
    Permission,
    decide,
    grantees_of,
    require_collection_not_ended,
    require_live,
    require_within,
)
from consent.models import consent as consents
from consent.question import Question
from consent.store import Given, consent_of
from consent.terms import Grant
from consent.transitions import LIVE, after
from kernel import clock, ids
from kernel.errors import Conflict
from kernel.prepared import Prepared


def require(tx: Connection, question: Question) -> Permission:
    """What the one consent that decides, and the policy, permit; else raises NotPermitted with the rule."""
    own, kind, platform = grantees_of(question.asking)
    asked = {"uscc": question.uscc, "own": own, "kind": kind, "platform": platform}
    candidates = [consent_of(row) for row in _CANDIDATES.all(tx, asked)]
    permission = decide(candidates, question, clock.now(), policy.current())
    if permission.limits:
        counters.require_left(tx, permission.consent.id, own, permission.limits)
    return permission


def count(tx: Connection, permission: Permission, question: Question) -> None:
    """Count an answered question against the limits; raises NotPermitted (`quota-exhausted`) at one of them.

    The last question that a consent to one institution allows consumes it.
    """
    consent, institution = permission.consent, question.asking.id
    used = counters.take(tx, consent.id, institution, permission.limits)
    if consent.grantee == institution and consent.max_queries is not None and used["all"] >= consent.max_queries:
        now, held = clock.now(), store.get(tx, consent.id, lock=True)
        if held.status_at(now) == "active":  # else it was ended while this question was on its way
            act = Act(question.actor, question.channel, client=question.client)
            _write(tx, Event.CONSENT_CONSUMED, after(held, "consume", now), act)


def require_still(tx: Connection, consent_id: str, purpose: str) -> None:
    """Raise NotPermitted if this consent, or its enterprise's collection, was ended since it decided.

    For replays: what the consent covers was settled then, and counters do not matter. Being superseded does no
    harm as long as its own time has not run out and what superseded it is in force: an enterprise that revokes,
    revokes all of it.
    """
    now, consent = clock.now(), store.get(tx, consent_id)
    if consent.status == "superseded":
        same = consents.c.uscc == consent.uscc, consents.c.scope == consent.scope, consents.c.grantee == consent.grantee
        newer = consent_of(tx.execute(select(consents).where(*same, consents.c.deciding)).one())
        _require_not_ended(newer, now)
        require_live(replace(consent, status="active"), now)
    else:
        _require_not_ended(consent, now)
    require_within(consent, policy.current().purposes[purpose], now)
    row = tx.execute(_COLLECT, {"uscc": consent.uscc}).one_or_none()
    require_collection_not_ended(consent_of(row) if row else None, now)


def grant(tx: Connection, given: Grant, act: Act) -> Consent:
    """Write a grant; it supersedes the live consent for the same grantee. The caller commits.

    Raises Conflict (`consent-suspended`) over a suspended one, Invalid (`beyond-policy`), and IntegrityError where
    the Idempotency-Key is taken or another grant for the same grantee came first.
    """
    now = clock.now()
    policy.require_grantable(given, given.not_before or now)
    superseded = step_back(tx, given, now)
    granted = first_version(given, now, status="active")
    digest = store.add(tx, granted, Given(given.notice, given.evidence), deciding=True)
    record(tx, Event.CONSENT_GRANTED, granted, act, digest, supersedes=superseded)
    return granted


def first_version(given: Grant, now: datetime, status: str, lapses_at: datetime | None = None) -> Consent:
    """The consent that a grant, or a request for one, becomes."""
    return Consent(
        id=ids.new_id(),
        version=1,
        uscc=given.uscc,
        scope=given.scope,
        grantee=given.grantee,
        classes=given.classes,
        products=given.products,
        purposes=given.purposes,
        not_before=given.not_before or now,
        expires_at=given.expires_at,
        status=status,
        reason=None,
        granted_at=now if status == "active" else None,
        changed_at=now,
        max_queries=given.max_queries,
        frequency=given.frequency,
        history_months=given.history_months,
        lapses_at=lapses_at,
    )


def step_back(tx: Connection, given: Grant | Consent, now: datetime) -> str | None:
    """Let a newer grant decide. A live consent is superseded (its id is returned); an ended one stays as it is.

    Raises Conflict (`consent-suspended`): what the bureau suspended no new grant sets free.
    """
    earlier = store.lock_deciding(tx, given.uscc, given.scope, given.grantee)
    if earlier is None:
        return None
    if earlier.status_at(now) == "suspended":
        raise Conflict("the bureau has suspended the consent that this one would replace", slug="consent-suspended")
    store.stop_deciding(tx, earlier.id)
    if earlier.status_at(now) not in LIVE:
        return None
    store.change(tx, after(earlier, "supersede", now))
    return earlier.id


def revoke(tx: Connection, consent_id: str, act: Act, reason: str | None = None) -> Consent:
    """End a consent for good. The caller commits.

    Raises NotFound, or Conflict from a state that has ended already; and for a collect consent while a query
    consent is still live, because query ends before collection can (the form's clause 6).
    """
    now, held = clock.now(), store.get(tx, consent_id, lock=True)
    revoked = after(held, "revoke", now, reason)
    if held.scope == "collect":
        _require_no_live_query(tx, held.uscc, now)
    return _write(tx, Event.CONSENT_REVOKED, revoked, act)


def pause(tx: Connection, consent_id: str, act: Act, reason: str | None = None) -> Consent:
    """Hold a consent until it is resumed. The caller commits. Raises NotFound, Conflict."""
    held = store.get(tx, consent_id, lock=True)
    return _write(tx, Event.CONSENT_PAUSED, after(held, "pause", clock.now(), reason), act)


def resume(tx: Connection, consent_id: str, act: Act, reason: str | None = None) -> Consent:
    """Put a paused consent into force again. The caller commits. Raises NotFound, Conflict."""
    held = store.get(tx, consent_id, lock=True)
    return _write(tx, Event.CONSENT_RESUMED, after(held, "resume", clock.now(), reason), act)


def _write(tx: Connection, event: Event, changed: Consent, act: Act) -> Consent:
    record(tx, event, changed, act, store.change(tx, changed))
    return changed


def _require_not_ended(consent: Consent, now: datetime) -> None:
    """As `require_live`, but a consent that was used up still stands behind the answers that it gave."""
    require_live(replace(consent, status="active") if consent.status == "consumed" else consent, now)


def _require_no_live_query(tx: Connection, uscc: str, now: datetime) -> None:
    live = select(func.count()).where(
        consents.c.uscc == uscc,
        consents.c.scope == "query",
        consents.c.status.in_(sorted(LIVE)),
        (consents.c.expires_at.is_(None)) | (consents.c.expires_at > now),
    )
    if found := tx.scalar(live):
        raise Conflict(f"{found} query consents are live: revoke them before collection", slug="query-consents-live")


_OF_ENTERPRISE = (consents.c.uscc == bindparam("uscc"), consents.c.deciding)
_GRANTEES: list[Any] = [bindparam("own"), bindparam("kind"), bindparam("platform")]
_CANDIDATES = Prepared(select(consents).where(*_OF_ENTERPRISE, consents.c.grantee.in_(_GRANTEES)))
_COLLECT = select(consents).where(*_OF_ENTERPRISE, consents.c.scope == "collect")
