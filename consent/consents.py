# SPDX-License-Identifier: Apache-2.0
"""Consents granted, revoked, found; and `require`, on which every disclosure hangs.

A question linearises at the statement in `require` that reads the consents: whoever asks after a revocation
was acknowledged is refused, whichever worker answers. Consent is never read from a cache or a replica.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, func, insert, select, update

from audit import trail
from audit.events import Event
from consent.decision import Consent, decide, grantees_of, require_collection_not_ended, require_live
from consent.models import consent as consents
from consent.models import consent_version as versions
from consent.question import Question
from kernel import canonical, clock, ids
from kernel.errors import Conflict, NotFound
from kernel.prepared import Prepared

PAGE_ROWS = 50
USCCS_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class Grant:
    """What an enterprise gives: to whom, which classes, products, purposes, and for how long."""

    uscc: str
    scope: str
    grantee: str
    classes: tuple[int, ...]
    products: tuple[str, ...]
    purposes: tuple[str, ...]
    not_before: datetime | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Act:
    """Who changes a consent, by which way, and under which Idempotency-Key."""

    actor: str
    channel: str = "api"
    key: str | None = None
    request_digest: str | None = None


def require(tx: Connection, question: Question) -> Consent:
    """The one consent that allows the question; else raises NotPermitted with the rule that refused."""
    own, kind, platform = grantees_of(question.asking)
    asked = {"uscc": question.uscc, "own": own, "kind": kind, "platform": platform}
    return decide([_consent(row) for row in _CANDIDATES.all(tx, asked)], question, clock.now())


def require_still(tx: Connection, consent_id: str) -> None:
    """Raise NotPermitted if this consent, or its enterprise's collection, was ended since it decided.

    For replays: what the consent covers was settled then. Being superseded does no harm as long as its own time
    has not run out and what superseded it is in force: an enterprise that revokes, revokes all of it.
    """
    now, consent = clock.now(), get(tx, consent_id)
    if consent.status == "superseded":
        same = consents.c.uscc == consent.uscc, consents.c.scope == consent.scope, consents.c.grantee == consent.grantee
        require_live(_consent(tx.execute(select(consents).where(*same, consents.c.deciding)).one()), now)
        require_live(replace(consent, status="active"), now)
    else:
        require_live(consent, now)
    row = tx.execute(_COLLECT, {"uscc": consent.uscc}).one_or_none()
    require_collection_not_ended(_consent(row) if row else None, now)


def grant(tx: Connection, given: Grant, act: Act) -> Consent:
    """Write a grant; it supersedes the live consent for the same grantee. The caller commits.

    Raises IntegrityError where the Idempotency-Key is taken or another grant for the same grantee came first.
    """
    now = clock.now()
    if earlier := _lock_deciding(tx, given):
        _step_back(tx, earlier, now)
    granted = Consent(
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
        status="active",
        reason=None,
        granted_at=now,
        changed_at=now,
    )
    tx.execute(insert(consents).values(**_columns(granted), deciding=True))
    _keep_version(tx, granted)
    _record(tx, Event.CONSENT_GRANTED, granted, act)
    return granted


def revoke(tx: Connection, consent_id: str, act: Act, reason: str | None = None) -> Consent:
    """End a consent for good. The caller commits.

    Raises NotFound, or Conflict from a state that has ended already; and for a collect consent while a query
    consent is still live, because query ends before collection can (the form's clause 6).
    """
    now, held = clock.now(), get(tx, consent_id, lock=True)
    if (status := held.status_at(now)) != "active":
        raise Conflict(f"the consent is {status} already", slug="consent-ended")
    if held.scope == "collect":
        _require_no_live_query(tx, held.uscc, now)
    revoked = replace(held, version=held.version + 1, status="revoked", reason=reason, changed_at=now)
    _write_version(tx, revoked)
    _record(tx, Event.CONSENT_REVOKED, revoked, act)
    return revoked


def get(tx: Connection, consent_id: str, *, lock: bool = False) -> Consent:
    """A consent by its id; raises NotFound."""
    found = select(consents).where(consents.c.id == consent_id)
    row = tx.execute(found.with_for_update() if lock else found).one_or_none()
    if row is None:
        raise NotFound(f"no consent {consent_id}")
    return _consent(row)


def listed(
    tx: Connection,
    *,
    uscc: str | None = None,
    grantees: Sequence[str] | None = None,
    before: str | None = None,
    limit: int = PAGE_ROWS,
) -> list[Consent]:
    """Consents, newest first, of an enterprise and/or naming one of `grantees`; `before` an id."""
    page = select(consents).order_by(consents.c.id.desc()).limit(limit)
    if uscc is not None:
        page = page.where(consents.c.uscc == uscc)
    if grantees is not None:
        page = page.where(consents.c.grantee.in_(grantees), consents.c.scope == "query")
    if before is not None:
        page = page.where(consents.c.id < before)
    return [_consent(row) for row in tx.execute(page)]


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


def history(tx: Connection, consent_id: str) -> Iterator[dict[str, Any]]:
    """The documents of all versions of a consent, oldest first; each names the digest of the one before."""
    kept = select(versions.c.document).where(versions.c.consent == consent_id).order_by(versions.c.version)
    return (orjson.loads(document) for document in tx.scalars(kept))


def document(consent: Consent, now: datetime) -> dict[str, Any]:
    """A consent as the API shows it, with the status that it has at `now`."""
    return {
        "consent_id": consent.id,
        "version": consent.version,
        "uscc": consent.uscc,
        "scope": consent.scope,
        "grantee": consent.grantee,
        "classes": list(consent.classes),
        "products": list(consent.products),
        "purposes": list(consent.purposes),
        "not_before": clock.rfc3339(consent.not_before),
        "expires_at": clock.rfc3339(consent.expires_at) if consent.expires_at else None,
        "status": consent.status_at(now),
        "reason": consent.reason,
        "granted_at": clock.rfc3339(consent.granted_at),
        "changed_at": clock.rfc3339(consent.changed_at),
    }


def _lock_deciding(tx: Connection, given: Grant) -> Consent | None:
    """The consent that decides before the new grant does, locked until the commit."""
    same = (consents.c.uscc == given.uscc, consents.c.scope == given.scope, consents.c.grantee == given.grantee)
    deciding = select(consents).where(*same, consents.c.deciding)
    while True:
        row = tx.execute(deciding.with_for_update()).one_or_none()
        # PostgreSQL gives nothing where the row that it waited for stepped back meanwhile: lock its successor.
        if row is not None or tx.execute(deciding).one_or_none() is None:
            return None if row is None else _consent(row)


def _step_back(tx: Connection, earlier: Consent, now: datetime) -> None:
    """Let a newer grant decide: a live consent is superseded, an ended or expired one stays as it is."""
    tx.execute(update(consents).where(consents.c.id == earlier.id).values(deciding=False))
    if earlier.status_at(now) == "active":
        _write_version(tx, replace(earlier, version=earlier.version + 1, status="superseded", changed_at=now))


def _require_no_live_query(tx: Connection, uscc: str, now: datetime) -> None:
    live = select(func.count()).where(
        consents.c.uscc == uscc,
        consents.c.scope == "query",
        consents.c.status == "active",
        (consents.c.expires_at.is_(None)) | (consents.c.expires_at > now),
    )
    if count := tx.scalar(live):
        raise Conflict(f"{count} query consents are live: revoke them before collection", slug="query-consents-live")


def _write_version(tx: Connection, changed: Consent) -> None:
    tx.execute(update(consents).where(consents.c.id == changed.id).values(**_columns(changed)))
    _keep_version(tx, changed)


def _keep_version(tx: Connection, consent: Consent) -> None:
    before = versions.c.consent == consent.id, versions.c.version == consent.version - 1
    earlier = tx.scalar(select(versions.c.document).where(*before))
    previous = canonical.digest(orjson.loads(earlier)) if earlier is not None else None
    kept = canonical.encode({**document(consent, consent.changed_at), "previous": previous})
    tx.execute(insert(versions).values(consent=consent.id, version=consent.version, document=kept))


def _record(tx: Connection, event: Event, consent: Consent, act: Act) -> None:
    said = trail.Entry(
        type=event,
        actor=act.actor,
        channel=act.channel,
        uscc=consent.uscc,
        consent=consent.id,
        consent_version=consent.version,
        classes=consent.classes,
        request_digest=act.request_digest,
        idempotency_key=act.key,
        detail={
            "scope": consent.scope,
            "grantee": consent.grantee,
            "purposes": list(consent.purposes),
            "products": list(consent.products),
        },
    )
    trail.append(tx, said)


def _columns(consent: Consent) -> dict[str, Any]:
    lists = {
        name: ",".join(str(each) for each in getattr(consent, name)) for name in ("classes", "products", "purposes")
    }
    plain = {name: getattr(consent, name) for name in consent.__slots__ if name not in lists}
    return plain | lists


def _consent(row: Any) -> Consent:
    return Consent(
        id=row.id,
        version=row.version,
        uscc=row.uscc,
        scope=row.scope,
        grantee=row.grantee,
        classes=tuple(int(number) for number in row.classes.split(",")),
        products=tuple(row.products.split(",")),
        purposes=tuple(row.purposes.split(",")),
        not_before=row.not_before,
        expires_at=row.expires_at,
        status=row.status,
        reason=row.reason,
        granted_at=row.granted_at,
        changed_at=row.changed_at,
    )


_OF_ENTERPRISE = (consents.c.uscc == bindparam("uscc"), consents.c.deciding)
_GRANTEES: list[Any] = [bindparam("own"), bindparam("kind"), bindparam("platform")]
_CANDIDATES = Prepared(select(consents).where(*_OF_ENTERPRISE, consents.c.grantee.in_(_GRANTEES)))
_COLLECT = select(consents).where(*_OF_ENTERPRISE, consents.c.scope == "collect")
