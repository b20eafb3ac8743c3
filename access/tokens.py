# SPDX-License-Identifier: Apache-2.0
"""Access tokens: 256 random bits, stored as their SHA-256, looked up with their holder in one statement.

Opaque on purpose: verifying a signature would cost about as much as the lookup, and a lookup makes revocation,
a disabled client and a suspended institution take effect at the next request.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from access import sources, switch
from access.institutions import standing
from access.models import client, institution, person, source, token
from kernel import clock, db, ids
from kernel.auth import Principal
from kernel.prepared import Prepared

CLIENT_TOKEN_LIFE = timedelta(seconds=300)
SESSION_LIFE = timedelta(hours=8)
IDLE_LIFE = timedelta(minutes=30)  # 等保 (GB/T 22239-2019 8.1.4.1): who has gone away is signed out
TOUCHED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it stands now, with who holds it."""

    principal: Principal
    issued_at: datetime
    expires_at: datetime
    ended: bool  # revoked, idle for too long, or its holder is no longer active
    last_used_at: datetime | None = None  # of sessions only
    networks: str | None = None  # where its holder may call from
    stopped: str | None = None  # the switch that stops its holder
    jkt: str | None = None  # thumbprint of the key that it is bound to (RFC 9449)

    def get_scope(self) -> str:
        return " ".join(sorted(self.principal.scopes))

    def get_client_id(self) -> str | None:
        return self.principal.client

    def is_expired(self) -> bool:
        return self.expires_at <= clock.now()

    def is_revoked(self) -> bool:
        return self.ended

    def check_client(self, asking: Any) -> bool:
        return self.principal.client is not None and self.principal.client == asking.get_client_id()


def issue(
    tx: Connection,
    scopes: frozenset[str],
    life: timedelta,
    *,
    client_id: str | None = None,
    username: str | None = None,
) -> tuple[str, datetime]:
    """A new token for a client or a person. Returns it, once, with its expiry."""
    return store(tx, ids.new_secret(), scopes, life, client_id=client_id, username=username)


def store(
    tx: Connection,
    secret: str,
    scopes: frozenset[str],
    life: timedelta,
    *,
    client_id: str | None = None,
    username: str | None = None,
    consent: str | None = None,
    jkt: str | None = None,
) -> tuple[str, datetime]:
    """Keep a token that was just made, as its hash. Returns it with its expiry."""
    values = {**row(secret, scopes, life, client_id=client_id, username=username, jkt=jkt), "consent": consent}
    tx.execute(insert(token), values)
    return secret, values["expires_at"]


def row(
    secret: str,
    scopes: frozenset[str],
    life: timedelta,
    *,
    client_id: str | None = None,
    username: str | None = None,
    jkt: str | None = None,
) -> dict[str, Any]:
    """What is kept of a token that begins to live now."""
    now = clock.now()
    return {
        "hash": token_hash(secret),
        "client": client_id,
        "person": username,
        "scopes": " ".join(sorted(scopes)),
        "issued_at": now,
        "expires_at": now + life,
        "session": ids.new_id() if username else None,
        "last_used_at": now if username else None,
        "jkt": jkt,
    }


def find(tx: Connection, secret: str) -> Token | None:
    """The token with its holder, if it was ever issued.

    Raises NotPermitted (`source-not-approved`) for a token of a source that may not deliver now.
    """
    hashed = token_hash(secret)
    row: Any = _WITH_HOLDER.one_or_none(tx, {"sought": hashed})
    if row is None:
        return None
    asking = standing(row) if row.id is not None else None
    if row.source is not None:
        sources.require_standing(row.source_status, row.source_until)
    principal = Principal(
        actor=f"client:{row.client}" if row.client else f"person:{row.person}",
        scopes=frozenset(row.scopes.split()),
        client=row.client,
        institution=asking,
        source=row.source,
        person=row.person,
        role=row.role,
        uscc=row.uscc,
        token=hashed.hex(),
        per_second=row.client_per_second,
        consent=row.consent,
    )
    holder_status = row.client_status if row.client else row.person_status
    last_used_at = (row.last_used_at or row.issued_at) if row.person else None
    idle = last_used_at is not None and last_used_at + IDLE_LIFE <= clock.now()
    ended = idle or row.revoked_at is not None or holder_status != "active" or row.status == "closed"
    return Token(principal, row.issued_at, row.expires_at, ended, last_used_at, row.networks, row.stopped, row.jkt)


def touch(hashed: str | None, last_used_at: datetime) -> None:
    """Note that a session is in use: once a minute, so that reading stays reading."""
    if hashed is not None and clock.now() - last_used_at >= TOUCHED_EVERY:
        with db.transaction() as tx:
            tx.execute(update(token).where(token.c.hash == bytes.fromhex(hashed)).values(last_used_at=clock.now()))


def revoke(tx: Connection, hashed: bytes) -> None:
    """End a token from the commit on. Ending it twice is no error."""
    tx.execute(update(token).where(token.c.hash == hashed, token.c.revoked_at.is_(None)).values(revoked_at=clock.now()))


def tidy(tx: Connection, keep: timedelta) -> int:
    """Delete tokens that expired longer ago than `keep`; the trail remembers what they did. Returns how many."""
    return tx.execute(delete(token).where(token.c.expires_at < clock.now() - keep)).rowcount


def token_hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


_WITH_HOLDER = Prepared(
    select(
        token.c.client,
        token.c.person,
        token.c.scopes,
        token.c.issued_at,
        token.c.expires_at,
        token.c.revoked_at,
        token.c.last_used_at,
        token.c.consent,
        token.c.jkt,
        client.c.status.label("client_status"),
        client.c.source,
        client.c.per_second.label("client_per_second"),
        institution.c.id,
        institution.c.name,
        institution.c.kind,
        institution.c.status,
        institution.c.contract_until,
        institution.c.products,
        institution.c.purposes,
        institution.c.per_second,
        institution.c.per_day,
        source.c.status.label("source_status"),
        source.c.contract_until.label("source_until"),
        func.coalesce(institution.c.networks, source.c.networks).label("networks"),
        switch.reading(token.c.client, client.c.institution).label("stopped"),
        person.c.role,
        person.c.uscc,
        person.c.status.label("person_status"),
    )
    .select_from(
        token.outerjoin(client, client.c.id == token.c.client)
        .outerjoin(institution, institution.c.id == client.c.institution)
        .outerjoin(source, source.c.code == client.c.source)
        .outerjoin(person, person.c.username == token.c.person)
    )
    .where(token.c.hash == bindparam("sought"))
)
