# SPDX-License-Identifier: Apache-2.0
"""OAuth2 clients of institutions and sources (RFC 6749 §2)."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

from authlib.oauth2.rfc6749 import ClientMixin
from sqlalchemy import Connection, insert, select, update

from access.models import client, institution
from audit import trail
from audit.events import Event
from kernel import clock, ids
from kernel.errors import Invalid, NotFound

INSTITUTION_SCOPES = ("credit:query", "consent:request", "consent:read", "screening:search")
SOURCE_SCOPES = ("batch:write",)
AUTH_METHODS = ("client_secret_basic",)


@dataclass(frozen=True, slots=True)
class Client(ClientMixin):
    """A registered client, as Authlib's endpoints ask about it."""

    client_id: str
    secret_hash: bytes
    auth_method: str
    scopes: frozenset[str]
    active: bool

    def get_client_id(self) -> str:
        return self.client_id

    def get_allowed_scope(self, scope: str | None) -> str:
        # Nothing asked means all that is registered; something unregistered was refused before (never narrowed).
        return scope or " ".join(sorted(self.scopes))

    def check_client_secret(self, client_secret: str) -> bool:
        return self.active and hmac.compare_digest(self.secret_hash, secret_hash(client_secret))

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == self.auth_method

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "client_credentials"


def add(tx: Connection, party: str, scopes: tuple[str, ...], *, is_source: bool = False) -> tuple[str, str]:
    """Register a client of an institution (its id) or of a source (its code). Returns client id and secret.

    The secret is shown here once and kept as a hash. Raises NotFound for an unknown institution, Invalid for a
    scope that this kind of party cannot have. The caller checks that a source exists (the catalogue knows).
    """
    allowed = SOURCE_SCOPES if is_source else INSTITUTION_SCOPES
    if not scopes or (unknown := set(scopes) - set(allowed)):
        raise Invalid(f"scopes must be of {', '.join(allowed)}", errors={"scope": sorted(unknown) if scopes else []})
    if not is_source and not tx.scalar(select(institution.c.id).where(institution.c.id == party)):
        raise NotFound(f"no institution {party}: `bureau institution list` shows them")
    client_id, secret = ids.new_id(), ids.new_secret()
    tx.execute(
        insert(client).values(
            id=client_id,
            secret_hash=secret_hash(secret),
            auth_method="client_secret_basic",
            institution=None if is_source else party,
            source=party if is_source else None,
            scopes=" ".join(scopes),
            status="active",
            created_at=clock.now(),
        )
    )
    detail = {"source": party} if is_source else None
    said = trail.Entry(
        type=Event.CLIENT_ADDED,
        actor="counter",
        channel="counter",
        client=client_id,
        institution=None if is_source else party,
        detail=detail,
    )
    trail.append(tx, said)
    return client_id, secret


def disable(tx: Connection, client_id: str) -> None:
    """End a client: neither its secret nor its tokens work from the commit on. Raises NotFound."""
    if not tx.execute(update(client).where(client.c.id == client_id).values(status="disabled")).rowcount:
        raise NotFound(f"no client {client_id}")
    trail.append(tx, trail.Entry(type=Event.CLIENT_DISABLED, actor="counter", channel="counter", client=client_id))


def find(tx: Connection, client_id: str) -> Client | None:
    """A client by its id, disabled ones included (their secret does not fit)."""
    row: Any = tx.execute(select(client).where(client.c.id == client_id)).one_or_none()
    if row is None:
        return None
    return Client(row.id, row.secret_hash, row.auth_method, frozenset(row.scopes.split()), row.status == "active")


def secret_hash(secret: str) -> bytes:
    """SHA-256: enough for 256 random bits, which no one can guess whatever the speed of the hash."""
    return hashlib.sha256(secret.encode()).digest()
