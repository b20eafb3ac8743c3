# SPDX-License-Identifier: Apache-2.0
"""Check every consent: each version is signed by the bureau and names the one before, and none was left out.

The columns by which a consent decides must say what its last signed version says, and the one that decides must be
the one that should: whoever edits a row to widen a consent, or takes one away so that a wider one decides, is found
here. The trail tells which consents were granted, and which versions were signed.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import orjson
from sqlalchemy import Connection, select

from audit import trail
from audit.events import Event
from audit.models import entry as entries
from audit.verification import Fault
from consent import store
from consent.decision import Consent
from consent.models import consent as consents
from consent.models import consent_version as versions
from consent.store import Given, consent_of
from kernel import signing

ROWS_AT_ONCE = 2_000


def faults(tx: Connection) -> Iterator[Fault]:
    """Every consent that is not what was written, by id; memory stays flat whatever their number."""
    public, after = signing.public_keys(tx, "consent"), ""
    while rows := _page(tx, after):
        ids = [row.id for row in rows]
        kept: dict[str, list[Any]] = {consent_id: [] for consent_id in ids}
        of_these = select(versions).where(versions.c.consent.in_(ids)).order_by(versions.c.consent, versions.c.version)
        for version in tx.execute(of_these):
            kept[version.consent].append(version)
        for row in rows:
            told = _checked(row, kept[row.id], public) or _stripped(tx, kept[row.id]) or _misplaced(tx, row)
            if told:
                yield Fault(row.id, told, "consent")
        after = ids[-1]
    for consent_id in tx.scalars(_GRANTED_AND_GONE):
        yield Fault(consent_id, "deleted: the trail tells that it was granted", "consent")


def check(held: Consent, kept: list[Any], public: list[dict[str, Any]]) -> str | None:
    """What is wrong with one consent and its versions (oldest first), or None."""
    previous = None
    for number, version in enumerate(kept, 1):
        if version.version != number:
            return f"deleted: its version {number} is missing"
        # The first form's versions carry no signature; none may lose it once one has it.
        if version.signature is None and any(earlier.signature for earlier in kept[: number - 1]):
            return f"edited: its version {number} is not signed"
        if version.signature is not None and not signing.is_signed(version.signature, version.document, public):
            return f"edited: its version {number} is not what the bureau signed"
        if number > 1 and orjson.loads(version.document).get("previous") != previous:
            return f"edited: its version {number} does not name the one before"
        previous = hashlib.sha256(version.document).hexdigest()
    if len(kept) != held.version:
        return f"deleted: its version {held.version} is missing"
    said = orjson.loads(kept[-1].document)
    columns = store.document(held, Given(), None)
    for name, value in columns.items():
        if name not in _NOT_COLUMNS and name in said and said[name] != value:
            return f"edited: its column {name} differs from its signed version"
    return None


_NOT_COLUMNS = ("previous", "notice", "evidence")


def _checked(row: Any, kept: list[Any], public: list[dict[str, Any]]) -> str | None:
    """As `check`, for rows that may even be of the wrong type."""
    try:
        return check(consent_of(row), kept, public)
    except (TypeError, AttributeError, ValueError, KeyError):
        return "edited: it holds what was never written"


def _stripped(tx: Connection, kept: list[Any]) -> str | None:
    """The first form's versions were never signed; of any other the trail tells the digest of what was signed."""
    for version in kept:
        if version.signature is None:
            of_it = entries.c.consent == version.consent, entries.c.type.in_(_CHANGES), entries.c.bytes.is_not(None)
            for content in tx.scalars(select(entries.c.bytes).where(*of_it)):
                document = orjson.loads(content)
                if document["consent_version"] == version.version and "version_digest" in document["detail"]:
                    return f"edited: its version {version.version} is not signed"
    return None


def _misplaced(tx: Connection, row: Any) -> str | None:
    """Of all that were granted to one grantee the newest decides."""
    granted = row.status not in ("requested", "rejected")
    if row.deciding and (not granted or row.status == "superseded"):
        return "edited: it decides, and must not"
    if row.deciding or not granted:
        return None
    same = consents.c.uscc == row.uscc, consents.c.scope == row.scope, consents.c.grantee == row.grantee
    later = select(consents.c.id).where(*same, consents.c.id != row.id, consents.c.granted_at >= row.granted_at)
    if tx.execute(later.limit(1)).one_or_none() is None:
        return "edited: it was set aside, and no newer one took its place"
    return None


def _page(tx: Connection, after: str) -> list[Any]:
    page = select(consents).where(consents.c.id > after).order_by(consents.c.id).limit(ROWS_AT_ONCE)
    return list(tx.execute(page))


_CHANGES = [event.value for event in Event if event.value.startswith("consent.")]
_GRANTED_AND_GONE = select(entries.c.consent).where(
    entries.c.facet == trail.facet_of({"type": Event.CONSENT_GRANTED}),
    ~select(consents.c.id).where(consents.c.id == entries.c.consent).exists(),
)
