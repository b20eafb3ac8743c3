# SPDX-License-Identifier: Apache-2.0
"""Clients as administrators see them: what each may, and how long its secrets and keys live."""

from typing import Any

from sqlalchemy import Connection, select

from access import client_keys, redirects
from access.models import client, client_secret
from kernel import clock
from kernel.errors import NotFound


def listed(
    tx: Connection, party: str | None = None, before: str | None = None, limit: int | None = None
) -> list[dict[str, Any]]:
    """Clients, the newest first, all or those of a party (an institution's id, a source's code).

    `{"client_id", "institution", "source", "scopes", "status", "per_second", "created_at", "redirect_uris",
    "auth_method", "dpop_bound", "algorithms", "secrets": [...], "keys": [...], "jwks_uri", "jwks_fetched_at",
    "jwks_fault"}`, a
    secret as `{"created_at", "expires_at"}`, a key as `{"thumbprint", "kid", "kty", "created_at", "expires_at"}`.
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
    for client_id, keys in client_keys.shown(tx, by_id).items():
        by_id[client_id].update(keys)
    return found


def document(tx: Connection, client_id: str) -> dict[str, Any]:
    """One client as `listed` shows it; raises NotFound."""
    row = tx.execute(select(client).where(client.c.id == client_id)).one_or_none()
    if row is None:
        raise NotFound(f"no client {client_id}")
    of = row.institution or row.source
    return next(one for one in listed(tx, of) if one["client_id"] == client_id)


def _document(row: Any) -> dict[str, Any]:
    shown = {"client_id": row.id, "institution": row.institution, "source": row.source, "scopes": row.scopes.split()}
    more = {"status": row.status, "per_second": row.per_second, "created_at": clock.rfc3339(row.created_at)}
    more |= {"auth_method": row.auth_method, "dpop_bound": row.dpop_bound}
    more |= {"algorithms": row.algorithms.split() if row.algorithms else []}
    none = {"jwks_uri": None, "jwks_fetched_at": None, "jwks_fault": None}
    return {**shown, **more, "redirect_uris": [], "secrets": [], "keys": [], **none}
