# SPDX-License-Identifier: Apache-2.0
"""OAuth2 clients of institutions and sources (RFC 6749 §2), and the rotation of their secrets.

A rotation gives a new secret at once and lets the one before live on for an overlap, so that a bank can change it
without a gap. Two secrets live at most: a further rotation ends the oldest.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from authlib.oauth2.rfc6749 import ClientMixin
from sqlalchemy import Connection, delete, func, insert, select, update

from access import redirects, sources, switch
from access.lifecycle import COUNTER, Act
from access.models import client, client_secret, institution, source
from audit import trail
from audit.events import Event
from kernel import clock, ids
from kernel.errors import Invalid, NotFound, NotPermitted

INSTITUTION_SCOPES = ("credit:query", "consent:request", "consent:read", "screening:search")
SOURCE_SCOPES = ("batch:write",)
AUTH_METHODS = ("client_secret_basic",)
OVERLAP = timedelta(hours=24)
MAX_OVERLAP_HOURS = 720


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


def add(
    tx: Connection,
    party: str,
    scopes: tuple[str, ...],
    *,
    is_source: bool = False,
    per_second: int | None = None,
    redirect_uris: tuple[str, ...] = (),
    by: Act = COUNTER,
) -> tuple[str, str]:
    """Register a client of an institution (its id) or of a source (its code). Returns client id and secret.

    The secret is shown here once and kept as a hash. Raises NotFound for an unknown institution, Invalid for a
    scope or redirect URI that this kind of party cannot have. The caller checks that a source exists.
    """
    allowed = SOURCE_SCOPES if is_source else INSTITUTION_SCOPES
    if not scopes or (unknown := set(scopes) - set(allowed)):
        raise Invalid(f"scopes must be of {', '.join(allowed)}", errors={"scope": sorted(unknown) if scopes else []})
    if not is_source and not tx.scalar(select(institution.c.id).where(institution.c.id == party)):
        raise NotFound(f"no institution {party}: `bureau institution list` shows them")
    client_id = ids.new_id()
    tx.execute(
        insert(client).values(
            id=client_id,
            auth_method="client_secret_basic",
            institution=None if is_source else party,
            source=party if is_source else None,
            scopes=" ".join(dict.fromkeys(scopes)),
            status="active",
            created_at=clock.now(),
            per_second=per_second,
        )
    )
    if is_source and redirect_uris:
        raise Invalid("a source asks nobody for consent", errors={"redirect_uris": ["leave them out"]})
    redirects.register(tx, client_id, redirect_uris)
    secret = _give_secret(tx, client_id)
    _note(tx, Event.CLIENT_ADDED, client_id, by, institution=None if is_source else party, source=party)
    return client_id, secret


def rotate(tx: Connection, client_id: str, overlap: timedelta = OVERLAP, by: Act = COUNTER) -> str:
    """A new secret, shown once; the newest one before lives on for `overlap`, any older one ends. Raises NotFound."""
    # The row's lock makes two rotations queue, so that never three secrets live.
    if tx.scalar(select(client.c.id).where(client.c.id == client_id).with_for_update()) is None:
        raise NotFound(f"no client {client_id}")
    own, now = client_secret.c.client == client_id, clock.now()
    newest = tx.scalar(select(client_secret.c.hash).where(own, client_secret.c.expires_at.is_(None)))
    if overlap <= timedelta():
        newest = None
    tx.execute(delete(client_secret).where(own, *([client_secret.c.hash != newest] if newest else [])))
    tx.execute(update(client_secret).where(own).values(expires_at=now + overlap))
    secret = _give_secret(tx, client_id)
    _note(tx, Event.CLIENT_ROTATED, client_id, by, overlap_hours=round(overlap / timedelta(hours=1), 3))
    return secret


def disable(tx: Connection, client_id: str, by: Act = COUNTER) -> None:
    """Neither the client's secrets nor its tokens work from the commit on. Raises NotFound."""
    _set_status(tx, client_id, "disabled", Event.CLIENT_DISABLED, by)


def enable(tx: Connection, client_id: str, by: Act = COUNTER) -> None:
    """Take a disabling back; tokens that have not expired work again too. Raises NotFound."""
    _set_status(tx, client_id, "active", Event.CLIENT_ENABLED, by)


def limit(tx: Connection, client_id: str, per_second: int | None, by: Act = COUNTER) -> None:
    """Set a client's own limit of requests a second; None: what is shipped. Raises NotFound."""
    if not tx.execute(update(client).where(client.c.id == client_id).values(per_second=per_second)).rowcount:
        raise NotFound(f"no client {client_id}")
    _note(tx, Event.CLIENT_CHANGED, client_id, by, per_second=per_second)


def redirect_to(tx: Connection, client_id: str, uris: tuple[str, ...], by: Act = COUNTER) -> None:
    """Make these, and no others, where an institution's client may be answered. Raises NotFound, Invalid."""
    if tx.scalar(select(client.c.institution).where(client.c.id == client_id)) is None:
        raise NotFound(f"no institution's client {client_id}")
    redirects.register(tx, client_id, uris)
    _note(tx, Event.CLIENT_CHANGED, client_id, by, redirect_uris=list(uris))


def listed(
    tx: Connection, party: str | None = None, before: str | None = None, limit: int | None = None
) -> list[dict[str, Any]]:
    """Clients, the newest first, all or those of a party (an institution's id, a source's code).

    `{"client_id", "institution", "source", "scopes", "status", "per_second", "created_at", "redirect_uris",
    "secrets": [...]}`, a secret as `{"created_at", "expires_at"}`.
    """
    page = select(client).order_by(client.c.id.desc()).limit(limit)
    if party is not None:
        page = page.where((client.c.institution == party) | (client.c.source == party))
    if before is not None:
        page = page.where(client.c.id < before)
    found = [_document(row) for row in tx.execute(page)]
    by_id = {one["client_id"]: one for one in found}
    live = client_secret.c.expires_at.is_(None) | (client_secret.c.expires_at > clock.now())
    secrets = select(client_secret).where(live).order_by(client_secret.c.created_at)
    for row in tx.execute(secrets.where(client_secret.c.client.in_(by_id)) if limit else secrets):
        if row.client in by_id:
            ends = clock.rfc3339(row.expires_at) if row.expires_at else None
            by_id[row.client]["secrets"].append({"created_at": clock.rfc3339(row.created_at), "expires_at": ends})
    for client_id, uris in redirects.of_clients(tx, by_id).items():
        by_id[client_id]["redirect_uris"] = uris
    return found


def document(tx: Connection, client_id: str) -> dict[str, Any]:
    """One client as `listed` shows it; raises NotFound."""
    row = tx.execute(select(client).where(client.c.id == client_id)).one_or_none()
    if row is None:
        raise NotFound(f"no client {client_id}")
    of = row.institution or row.source
    return next(one for one in listed(tx, of) if one["client_id"] == client_id)


def find(tx: Connection, client_id: str) -> Client | None:
    """A client by its id, disabled ones included (their secret does not fit)."""
    rows: Any = tx.execute(_WITH_PARTY.where(client.c.id == client_id)).all()
    if not rows:
        return None
    row, now = rows[0], clock.now()
    live = tuple(each.hash for each in rows if each.hash and (each.expires_at is None or each.expires_at > now))
    scopes, active = frozenset(row.scopes.split()), row.status == "active"
    return Client(row.id, live, row.auth_method, scopes, active, row.networks, row.stopped, _refusal(row))


def tidy(tx: Connection) -> int:
    """Delete secrets whose overlap is over; they have been good for nothing since. Returns how many."""
    return tx.execute(delete(client_secret).where(client_secret.c.expires_at < clock.now())).rowcount


def secret_hash(secret: str) -> bytes:
    """SHA-256: enough for 256 random bits, which no one can guess whatever the speed of the hash."""
    return hashlib.sha256(secret.encode()).digest()


def _give_secret(tx: Connection, client_id: str) -> str:
    secret = ids.new_secret()
    values = {"client": client_id, "hash": secret_hash(secret), "created_at": clock.now()}
    tx.execute(insert(client_secret).values(**values))
    return secret


def _set_status(tx: Connection, client_id: str, status: str, event: Event, by: Act) -> None:
    if not tx.execute(update(client).where(client.c.id == client_id).values(status=status)).rowcount:
        raise NotFound(f"no client {client_id}")
    _note(tx, event, client_id, by)


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


def _document(row: Any) -> dict[str, Any]:
    shown = {"client_id": row.id, "institution": row.institution, "source": row.source, "scopes": row.scopes.split()}
    more = {"status": row.status, "per_second": row.per_second, "created_at": clock.rfc3339(row.created_at)}
    return {**shown, **more, "redirect_uris": [], "secrets": []}


def _note(tx: Connection, event: Event, client_id: str, by: Act, **said: Any) -> None:
    of = said.pop("institution", None)
    if of is not None:
        said.pop("source", None)
    trail.append(
        tx,
        trail.Entry(
            type=event, actor=by.actor, channel=by.channel, client=client_id, institution=of, detail=said or None
        ),
    )


_WITH_PARTY = (
    select(
        client,
        client_secret.c.hash,
        client_secret.c.expires_at,
        institution.c.status.label("institution_status"),
        source.c.status.label("source_status"),
        source.c.contract_until,
        func.coalesce(institution.c.networks, source.c.networks).label("networks"),
        switch.reading(client.c.id, client.c.institution).label("stopped"),
    )
    .select_from(
        client.outerjoin(client_secret, client_secret.c.client == client.c.id)
        .outerjoin(institution, institution.c.id == client.c.institution)
        .outerjoin(source, source.c.code == client.c.source)
    )
    .order_by(client_secret.c.created_at)
)
