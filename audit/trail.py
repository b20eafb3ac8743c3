# SPDX-License-Identifier: Apache-2.0
"""The trail: one entry for everything that was asked, allowed, refused or received (design section 8).

An entry is committed with the act that it tells of, in one transaction; a trigger of the database notes it as
`unsealed` in the same breath, and others refuse to change or delete it. Its bytes are canonical JSON (RFC 8785)
and carry their own evidence, so that review and rewards read the trail and nothing else.

The operator, the reference and the Idempotency-Key of a question are the institution's business: the bytes hold
only their salted digests, so that a receipt shown to the enterprise does not tell who at the bank asked; the clear
text and the salt stand beside the bytes.
"""

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, insert, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from audit.events import Event
from audit.merkle import leaf_hash
from audit.models import entry as entries
from kernel import canonical, clock, db, ids
from kernel.errors import TooLarge, Unavailable
from kernel.idempotency import in_flight, require_same
from kernel.prepared import Prepared

MAX_ENTRY_BYTES = 64 * 1024
FACETS = ("type", "outcome", "rule", "purpose", "product")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What an entry says, before it is written. None means that the entry does not speak of it."""

    type: Event
    actor: str
    channel: str = "api"  # or "counter": the bureau's own command line; or "worker": by schedule
    id: str = field(default_factory=ids.new_id)
    client: str | None = None
    institution: str | None = None
    institution_name: str | None = None
    operator: str | None = None
    reference: str | None = None
    uscc: str | None = None
    consent: str | None = None
    consent_version: int | None = None
    purpose: str | None = None
    product: str | None = None
    classes: tuple[int, ...] | None = None
    publication: int | None = None
    outcome: str | None = None
    rule: str | None = None
    request_digest: str | None = None  # hex SHA-256 of the canonical request; written salted
    answer_digest: str | None = None  # hex SHA-256 of exactly the bytes of the answer's body
    billable: bool = False
    of: str | None = None  # the entry that this one repeats
    detail: Mapping[str, Any] | None = None
    idempotency_key: str | None = None


class _TakenBack(Exception):
    """Undoes the transaction of an entry that was only to be tried."""


@contextmanager
def recording(*, only_the_entry: bool = False) -> Iterator[Connection]:
    """A transaction whose work counts only with its entry: if anything of it fails, nothing happened.

    `only_the_entry` promises that the entry is all that it writes, and last (see `kernel.db.single_write`).

    Raises Unavailable (`audit-unavailable`) where the database cannot take the entry, Conflict where a twin with
    the same Idempotency-Key is still in flight, and lets IntegrityError through: the twin has just finished.
    """
    try:
        with db.single_write() if only_the_entry else db.transaction() as tx:
            yield tx
    except (DBAPIError, PoolTimeout) as error:
        if db.is_taken(error):
            raise
        if db.is_lock_timeout(error):
            raise in_flight() from error
        raise Unavailable(
            "the trail cannot take an entry now, so nothing was done or disclosed: try again",
            slug="audit-unavailable",
        ) from error


def append(tx: Connection, said: Entry) -> datetime:
    """Write an entry; it counts when `tx` commits. Returns its time.

    Raises TooLarge beyond MAX_ENTRY_BYTES and IntegrityError where its Idempotency-Key is taken.
    """
    time = clock.now()
    _INSERT.run(tx, row_of(said, time))
    return time


def can_append() -> bool:
    """Whether the database takes an entry now: one is written in a transaction that is then undone."""
    try:
        with recording() as tx:
            append(tx, Entry(type=Event.STAFF_VIEWED, actor="probe"))
            raise _TakenBack
    except _TakenBack:
        return True
    except Unavailable:
        return False


def row_of(said: Entry, time: datetime) -> dict[str, Any]:
    """The row that an entry of this time is written as. Raises TooLarge beyond MAX_ENTRY_BYTES."""
    salt = secrets.token_bytes(16)
    document = _document(said, time, salt)
    leaf = canonical.encode(document)
    if len(leaf) > MAX_ENTRY_BYTES:
        raise TooLarge(f"an entry of {len(leaf)} bytes exceeds {MAX_ENTRY_BYTES}")
    return {
        "id": said.id,
        "time": time,
        "type": said.type.value,
        "actor": said.actor,
        "idempotency_key": said.idempotency_key,
        "uscc": said.uscc,
        "institution": said.institution,
        "consent": said.consent,
        "outcome": said.outcome,
        "billable": said.billable,
        "operator": said.operator,
        "reference": said.reference,
        "salt": salt,
        "leaf_hash": leaf_hash(leaf),
        "bytes": leaf,
        "facet": facet_of(document),
        "classes": mask_of(document.get("classes")),
    }


def facet_of(document: Mapping[str, Any]) -> str:
    """What kind of thing an entry tells of: type, outcome, rule, purpose and product in one word each, `-` for none.

    There are some hundreds of them, whatever the number of entries: so one index serves five filters.
    """
    return " ".join([document.get(name) or "-" for name in FACETS])


def mask_of(classes: Iterable[int] | None) -> int | None:
    """Classes as bits, class 1 the lowest; None where an entry does not speak of classes."""
    if classes is None:
        return None
    mask = 0
    for number in classes:
        mask |= 1 << number - 1
    return mask


def find_keyed(tx: Connection, actor: str, key: str, request_digest: str) -> dict[str, Any] | None:
    """The document of the entry that spent this actor's Idempotency-Key on this very request, if one did.

    Raises Invalid (`idempotency-key-reused`) where the key was spent on another request.
    """
    row = _KEYED.one_or_none(tx, {"actor": actor, "key": key})
    if row is None or row.bytes is None:
        return None
    earlier: dict[str, Any] = orjson.loads(row.bytes)
    require_same(earlier.get("request_digest", ""), salted_digest(row.salt, request_digest))
    return earlier


def find(tx: Connection, entry_id: str) -> dict[str, Any] | None:
    """The document of an entry, with `operator` and `reference` in clear; None if there is none."""
    row = _BY_ID.one_or_none(tx, {"entry_id": entry_id})
    if row is None or row.bytes is None:
        return None
    return {**orjson.loads(row.bytes), "operator": row.operator, "reference": row.reference}


def salted_digest(salt: bytes, text: str) -> str:
    """Hex SHA-256 of a 16-byte salt and a text: what an entry's bytes hold in the text's place."""
    return hashlib.sha256(salt + text.encode()).hexdigest()


def _document(said: Entry, time: datetime, salt: bytes) -> dict[str, Any]:
    known = {
        "v": 1,
        "id": said.id,
        "nonce": secrets.token_hex(16),  # 128 bits, so that nobody guesses an entry from its leaf hash
        "time": clock.rfc3339(time),
        "type": said.type.value,
        "actor": said.actor,
        "channel": said.channel,
        "client": said.client,
        "institution": said.institution,
        "institution_name": said.institution_name,
        "operator_digest": said.operator and salted_digest(salt, said.operator),
        "reference_digest": said.reference and salted_digest(salt, said.reference),
        "idempotency_key_digest": said.idempotency_key and salted_digest(salt, said.idempotency_key),
        "uscc": said.uscc,
        "consent": said.consent,
        "consent_version": said.consent_version,
        "purpose": said.purpose,
        "product": said.product,
        "classes": said.classes,
        "publication": said.publication,
        "outcome": said.outcome,
        "rule": said.rule,
        "request_digest": said.request_digest and salted_digest(salt, said.request_digest),
        "answer_digest": said.answer_digest,
        "billable": said.billable,
        "of": said.of,
        "detail": said.detail,
    }
    return {name: value for name, value in known.items() if value is not None}


_INSERT = Prepared(insert(entries))
_KEYED = Prepared(
    select(entries.c.bytes, entries.c.salt).where(
        entries.c.actor == bindparam("actor"), entries.c.idempotency_key == bindparam("key")
    )
)
_BY_ID = Prepared(
    select(entries.c.bytes, entries.c.operator, entries.c.reference).where(entries.c.id == bindparam("entry_id"))
)
