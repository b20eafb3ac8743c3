# SPDX-License-Identifier: Apache-2.0
"""Consents granted, paused, revoked, found; and `require`, on which every disclosure hangs.

A question linearises at the statement in `require` that reads the consents: whoever asks after a revocation
was acknowledged is refused, whichever worker answers. Consent is never read from a cache or a replica.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, case, func, select

from audit import trail
from audit.events import Event
from consent import counters, policy, store
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
from consent.models import consent_version as versions
from consent.question import Question
from consent.store import Given, consent_of
from consent.terms import Grant
from consent.transitions import LIVE, after
from kernel import clock, ids, outbox
from kernel.errors import Conflict
from kernel.prepared import Prepared

PAGE_ROWS = 50
USCCS_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class Act:
    """Who changes a consent, by which way, and under which Idempotency-Key."""

    actor: str
    channel: str = "api"
    key: str | None = None
    request_digest: str | None = None
    client: str | None = None


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


def listed(
    tx: Connection,
    now: datetime,
    *,
    uscc: str | None = None,
    grantees: Sequence[str] | None = None,
    requested_by: str | None = None,
    status: str | None = None,
    before: str | None = None,
    limit: int = PAGE_ROWS,
) -> list[dict[str, Any]]:
    """Consents as shown, newest first: of an enterprise, and/or naming one of `grantees` or asked for by one.

    `before` is a consent's id; `status` the stored status (an expired one is still `active` there).
    """
    version = (versions.c.consent == consents.c.id) & (versions.c.version == consents.c.version)
    page = select(consents, versions.c.document, versions.c.signature).join(versions, version)
    page = page.order_by(consents.c.id.desc()).limit(limit)
    if uscc is not None:
        page = page.where(consents.c.uscc == uscc)
    if grantees is not None:
        page = page.where(consents.c.grantee.in_(grantees), consents.c.scope == "query", _is_asking_s(requested_by))
    if status is not None:
        page = page.where(consents.c.status == status)
    if before is not None:
        page = page.where(consents.c.id < before)
    return [store.present(consent_of(row), row.document, row.signature, now) for row in tx.execute(page)]


def collecting(tx: Connection, usccs: Iterable[str]) -> dict[str, frozenset[int]]:
    """The classes of which some enterprises allow collection now, by USCC."""
    now, sought = clock.now(), sorted(usccs)
    found: dict[str, frozenset[int]] = {}
    in_force = (
        consents.c.scope == "collect",
        consents.c.deciding,
        consents.c.status == "active",
        consents.c.not_before <= now,
        (consents.c.expires_at.is_(None)) | (consents.c.expires_at > now),
    )
    for start in range(0, len(sought), USCCS_AT_ONCE):
        some = consents.c.uscc.in_(sought[start : start + USCCS_AT_ONCE])
        for uscc, classes in tx.execute(select(consents.c.uscc, consents.c.classes).where(some, *in_force)):
            found[uscc] = frozenset(int(number) for number in classes.split(","))
    return found


def collect_standing(now: datetime) -> Select[Any]:
    """A statement: each enterprise that ever gave a collect consent, whether it is `live` (1 or 0), when granted."""
    in_force = (
        (consents.c.status == "active")
        & (consents.c.not_before <= now)
        & (consents.c.expires_at.is_(None) | (consents.c.expires_at > now))
    )
    columns = consents.c.uscc, consents.c.granted_at, case((in_force, 1), else_=0).label("live")
    return select(*columns).where(consents.c.scope == "collect", consents.c.grantee == "platform", consents.c.deciding)


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


def _is_asking_s(institution: str | None) -> ColumnElement[bool]:
    """A request is seen by the institution that made it, and by no other of its kind."""
    return consents.c.requested_by.is_(None) | (consents.c.requested_by == institution)


_OF_ENTERPRISE = (consents.c.uscc == bindparam("uscc"), consents.c.deciding)
_GRANTEES: list[Any] = [bindparam("own"), bindparam("kind"), bindparam("platform")]
_CANDIDATES = Prepared(select(consents).where(*_OF_ENTERPRISE, consents.c.grantee.in_(_GRANTEES)))
_COLLECT = select(consents).where(*_OF_ENTERPRISE, consents.c.scope == "collect")
