# SPDX-License-Identifier: Apache-2.0
"""A registered client as it was when it was read, with its party: what the OAuth2 endpoints judge by.

Of those that sign see `access/signing_clients.py`; how clients come about and change, `access/clients.py`.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

from authlib.oauth2.rfc6749 import ClientMixin
from sqlalchemy import ColumnElement, Connection, Select, Table, bindparam, func, select

from access import sources, switch
from access.client_keys import Held
from access.models import client, client_secret, institution, source
from kernel import clock, jose
from kernel.errors import NotPermitted
from kernel.prepared import Prepared

SECRET, SIGNED = AUTH_METHODS = ("client_secret_basic", "private_key_jwt")
_SOUGHT = bindparam("sought", type_=client.c.id.type)


@dataclass(frozen=True, slots=True)
class Client(ClientMixin):
    """A registered client, as Authlib's endpoints ask about it."""

    client_id: str
    secret_hashes: tuple[bytes, ...]  # those that live now
    auth_method: str
    scopes: frozenset[str]
    active: bool
    networks: str | None = None
    stopped: str | None = None  # the switch that stops it
    refusal: NotPermitted | None = None  # its party's standing gives no token
    keys: tuple[Held, ...] = ()  # those that live now
    algorithms: frozenset[str] = frozenset(jose.ALGORITHMS)  # what it may sign with
    dpop_bound: bool = False  # it gets no token but one that is bound to a key (RFC 9449 §5.2)

    def get_client_id(self) -> str:
        return self.client_id

    def get_allowed_scope(self, scope: str | None) -> str:
        # Nothing asked means all that is registered; something unregistered was refused before (never narrowed).
        return scope or " ".join(sorted(self.scopes))

    def check_client_secret(self, client_secret: str) -> bool:
        offered = secret_hash(client_secret)
        fits = [hmac.compare_digest(held, offered) for held in self.secret_hashes]
        return self.active and any(fits)

    def check_grant_type(self, grant_type: str) -> bool:
        # Who has no redirect URI never had a code: there is nothing to find out here.
        return grant_type in ("client_credentials", "authorization_code")


def find(tx: Connection, client_id: str) -> Client | None:
    """A client by its id, with its secrets; disabled ones included (their secret does not fit)."""
    rows, now = _WITH_SECRETS.all(tx, {"sought": client_id}), clock.now()
    live = tuple(each.hash for each in rows if each.hash and (each.expires_at is None or each.expires_at > now))
    return made(rows[0], secret_hashes=live) if rows else None


def made(row: Any, *, secret_hashes: tuple[bytes, ...] = (), keys: tuple[Held, ...] = ()) -> Client:
    """A client of a row that `with_party` selected."""
    return Client(
        client_id=row.id,
        secret_hashes=secret_hashes,
        auth_method=row.auth_method,
        scopes=frozenset(row.scopes.split()),
        active=row.status == "active",
        networks=row.networks,
        stopped=row.stopped,
        refusal=_refusal(row),
        keys=keys,
        algorithms=frozenset((row.algorithms or " ".join(jose.ALGORITHMS)).split()),
        dpop_bound=row.dpop_bound,
    )


def with_party(*more: ColumnElement[Any], of: Table, sought: ColumnElement[str] = _SOUGHT) -> Select[Any]:
    """Clients by id (`sought`) with their party and the switch that stops them, a row for each row of `of`."""
    joined = (
        client.outerjoin(of, of.c.client == client.c.id)
        .outerjoin(institution, institution.c.id == client.c.institution)
        .outerjoin(source, source.c.code == client.c.source)
    )
    party = (
        institution.c.status.label("institution_status"),
        source.c.status.label("source_status"),
        source.c.contract_until,
        func.coalesce(institution.c.networks, source.c.networks).label("networks"),
        switch.reading(client.c.id, client.c.institution).label("stopped"),
    )
    return select(client, *more, *party).select_from(joined).where(client.c.id == sought)


def secret_hash(secret: str) -> bytes:
    """SHA-256: enough for 256 random bits, which no one can guess whatever the speed of the hash."""
    return hashlib.sha256(secret.encode()).digest()


def _refusal(row: Any) -> NotPermitted | None:
    """Why a party's standing gives its clients no token: an institution's questions are refused one by one, on
    record, once it was approved; a source that may not deliver needs none."""
    if row.source is None:
        ungiven = row.institution_status in ("applied", "closed")
        told = f"the institution is {row.institution_status}: its clients get no token"
        return NotPermitted(told, slug="institution-not-approved") if ungiven else None
    try:
        sources.require_standing(row.source_status, row.contract_until)
    except NotPermitted as refused:
        return refused
    return None


_BY_SECRET = with_party(client_secret.c.hash, client_secret.c.expires_at, of=client_secret)
_WITH_SECRETS = Prepared(_BY_SECRET.order_by(client_secret.c.created_at))
