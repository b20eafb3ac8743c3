# SPDX-License-Identifier: Apache-2.0
"""Consents as rows: found, locked, listed, and written with a version that the bureau signs.

A version is a document in canonical JSON (RFC 8785): all terms, the state, and the digest of the version before.
The bureau signs those very bytes (detached JWS), and the consent's entry on the trail names their digest.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, insert, select, update

from consent.decision import Consent
from consent.models import consent as consents
from consent.models import consent_version as versions
from consent.terms import Frequency
from kernel import canonical, clock, signing
from kernel.errors import NotFound

PAGE_ROWS = 50


@dataclass(frozen=True, slots=True)
class Given:
    """What came with a consent and decides nothing: kept in its versions as it was given."""

    notice: Mapping[str, Any] | None = None
    evidence: Mapping[str, Any] | None = None


def add(tx: Connection, consent: Consent, given: Given, *, deciding: bool, requested_by: str | None = None) -> str:
    """Write a consent's first version. Returns its digest.

    Raises IntegrityError where another one came to decide for the same grantee meanwhile.
    """
    created = {"created_at": consent.changed_at, "deciding": deciding, "requested_by": requested_by}
    tx.execute(insert(consents).values(**_columns(consent), **created))
    return _keep_version(tx, consent, given)


def change(tx: Connection, changed: Consent, *, given: Given | None = None, deciding: bool | None = None) -> str:
    """Write a consent's next version, with what came with it unless that is new. Returns its digest."""
    values = _columns(changed) | ({} if deciding is None else {"deciding": deciding})
    tx.execute(update(consents).where(consents.c.id == changed.id).values(**values))
    return _keep_version(tx, changed, given)


def stop_deciding(tx: Connection, consent_id: str) -> None:
    tx.execute(update(consents).where(consents.c.id == consent_id).values(deciding=False))


def get(tx: Connection, consent_id: str, *, lock: bool = False) -> Consent:
    """A consent by its id; raises NotFound."""
    found = select(consents).where(consents.c.id == consent_id)
    row = tx.execute(found.with_for_update() if lock else found).one_or_none()
    if row is None:
        raise NotFound(f"no consent {consent_id}")
    return consent_of(row)


def lock_deciding(tx: Connection, uscc: str, scope: str, grantee: str) -> Consent | None:
    """The consent that decides for a grantee, locked until the commit."""
    same = consents.c.uscc == uscc, consents.c.scope == scope, consents.c.grantee == grantee
    deciding = select(consents).where(*same, consents.c.deciding)
    while True:
        row = tx.execute(deciding.with_for_update()).one_or_none()
        # PostgreSQL gives nothing where the row that it waited for stepped back meanwhile: lock its successor.
        if row is not None or tx.execute(deciding).one_or_none() is None:
            return None if row is None else consent_of(row)


def requested_by(tx: Connection, consent_id: str) -> str | None:
    """The institution that asked for a consent; None where the enterprise gave it unasked."""
    return tx.scalar(select(consents.c.requested_by).where(consents.c.id == consent_id))


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
    return [present(consent_of(row), row.document, row.signature, now) for row in tx.execute(page)]


def history(tx: Connection, consent_id: str) -> Iterator[dict[str, Any]]:
    """All versions of a consent, oldest first, as signed, each with its `signature` beside its members."""
    kept = select(versions).where(versions.c.consent == consent_id).order_by(versions.c.version)
    for row in tx.execute(kept):
        yield {**orjson.loads(row.document), "signature": row.signature}


def digest_of(version: Mapping[str, Any]) -> str:
    """Hex SHA-256 of a version as `history` gives it: what the next one names as `previous`."""
    return canonical.digest({name: value for name, value in version.items() if name != "signature"})


def shown(tx: Connection, consent: Consent, now: datetime) -> dict[str, Any]:
    """A consent as the API shows it: its last version with its signature, and the status that it has at `now`."""
    key = versions.c.consent == consent.id, versions.c.version == consent.version
    row = tx.execute(select(versions).where(*key)).one()
    return present(consent, row.document, row.signature, now)


def present(consent: Consent, version: bytes, signature: str | None, now: datetime) -> dict[str, Any]:
    """A version's document with its signature, and the status that the consent has at `now`."""
    document = {**dict.fromkeys(LATER_MEMBERS), **orjson.loads(version)}
    return {**document, "status": consent.status_at(now), "signature": signature}


def document(consent: Consent, given: Given, previous: str | None) -> dict[str, Any]:
    """A version of a consent as it is signed."""
    frequency = consent.frequency and {"count": consent.frequency.count, "per": consent.frequency.per}
    return {
        "consent_id": consent.id,
        "version": consent.version,
        "previous": previous,
        "uscc": consent.uscc,
        "scope": consent.scope,
        "grantee": consent.grantee,
        "classes": list(consent.classes),
        "products": list(consent.products),
        "purposes": list(consent.purposes),
        "not_before": clock.rfc3339(consent.not_before),
        "expires_at": _time(consent.expires_at),
        "max_queries": consent.max_queries,
        "frequency": frequency,
        "history": consent.history_months and {"months": consent.history_months},
        "notice": given.notice,
        "evidence": given.evidence,
        "status": consent.status,
        "reason": consent.reason,
        "granted_at": _time(consent.granted_at),
        "lapses_at": _time(consent.lapses_at),
        "changed_at": clock.rfc3339(consent.changed_at),
    }


def consent_of(row: Any) -> Consent:
    """A consent from its row's columns."""
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
        max_queries=row.max_queries,
        frequency=Frequency(row.frequency_count, row.frequency_per) if row.frequency_count is not None else None,
        history_months=row.history_months,
        suspended_from=row.suspended_from,
        lapses_at=row.lapses_at,
    )


# Members that the first form's versions do not have.
LATER_MEMBERS = ("previous", "max_queries", "frequency", "history", "notice", "evidence", "lapses_at")
_LISTS = ("classes", "products", "purposes")


def _is_asking_s(institution: str | None) -> ColumnElement[bool]:
    """A request is seen by the institution that made it, and by no other of its kind."""
    return consents.c.requested_by.is_(None) | (consents.c.requested_by == institution)


def _columns(consent: Consent) -> dict[str, Any]:
    plain = {name: getattr(consent, name) for name in consent.__slots__ if name not in (*_LISTS, "frequency")}
    lists = {name: ",".join(str(each) for each in getattr(consent, name)) for name in _LISTS}
    often = consent.frequency
    return plain | lists | {"frequency_count": often and often.count, "frequency_per": often and often.per}


def _keep_version(tx: Connection, consent: Consent, given: Given | None) -> str:
    before = versions.c.consent == consent.id, versions.c.version == consent.version - 1
    earlier = tx.scalar(select(versions.c.document).where(*before))
    previous = hashlib.sha256(earlier).hexdigest() if earlier is not None else None
    if given is None:
        carried = orjson.loads(earlier) if earlier is not None else {}
        given = Given(carried.get("notice"), carried.get("evidence"))
    kept = canonical.encode(document(consent, given, previous))
    values = {"consent": consent.id, "version": consent.version, "document": kept}
    tx.execute(insert(versions).values(**values, signature=signing.signer("consent").sign(kept)))
    return hashlib.sha256(kept).hexdigest()


def _time(instant: datetime | None) -> str | None:
    return clock.rfc3339(instant) if instant is not None else None
