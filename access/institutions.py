# SPDX-License-Identifier: Apache-2.0
"""The institutions that query, and what their standing lets them ask."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert, select

from access.models import institution
from audit import trail
from audit.events import Event
from kernel import auth, clock, ids
from kernel.errors import Conflict, Invalid, NotFound, NotPermitted

KINDS = ("bank", "insurer", "guarantor", "investor", "leasing", "microloan", "government", "other")


def add(tx: Connection, name: str, kind: str, by: str = "counter") -> str:
    """Register an institution, approved at once, for all products and purposes. Returns its id.

    Raises Invalid for an unknown kind or a bad name, Conflict where the name is taken.
    """
    if kind not in KINDS:
        raise Invalid(f"kind must be one of {', '.join(KINDS)}", errors={"kind": [f"unknown: {kind}"]})
    if not 1 <= len(name.strip()) <= 200:
        raise Invalid("a name has 1 to 200 characters", errors={"name": ["1 to 200 characters"]})
    if tx.scalar(select(institution.c.id).where(institution.c.name == name.strip())):
        raise Conflict(f"an institution named {name.strip()} is registered already")
    added = ids.new_id()
    tx.execute(
        insert(institution).values(
            id=added,
            name=name.strip(),
            kind=kind,
            status="approved",
            products="",
            purposes="",
            created_at=clock.now(),
        )
    )
    said = trail.Entry(
        type=Event.INSTITUTION_ADDED, actor=by, channel="counter", institution=added, institution_name=name.strip()
    )
    trail.append(tx, said)
    return added


def list_all(tx: Connection) -> Sequence[dict[str, Any]]:
    """Every institution as `{"institution", "name", "kind", "status"}`, by name."""
    columns = institution.c.id.label("institution"), institution.c.name, institution.c.kind, institution.c.status
    return [dict(row._mapping) for row in tx.execute(select(*columns).order_by(institution.c.name))]


def get(tx: Connection, institution_id: str) -> auth.Institution:
    """An institution's standing; raises NotFound."""
    row = tx.execute(select(institution).where(institution.c.id == institution_id)).one_or_none()
    if row is None:
        raise NotFound(f"no institution {institution_id}: `bureau institution list` shows them")
    return standing(row.id, row.name, row.kind, row.status, row.products, row.purposes)


def standing(institution_id: str, name: str, kind: str, status: str, products: str, purposes: str) -> auth.Institution:
    """An institution's standing from its row's columns."""
    allowed = (tuple(listed.split(",")) if listed else () for listed in (products, purposes))
    return auth.Institution(institution_id, name, kind, status, *allowed)


def exists(tx: Connection, institution_id: str) -> bool:
    return tx.scalar(select(institution.c.id).where(institution.c.id == institution_id)) is not None


def require_standing(asking: auth.Institution, purpose: str, product: str) -> None:
    """Raise NotPermitted unless the institution is approved and allowed this purpose and product."""
    if asking.status != "approved":
        raise NotPermitted(f"the institution is {asking.status}", slug="institution-not-approved")
    if asking.purposes and purpose not in asking.purposes:
        raise NotPermitted(f"the institution may not ask for {purpose}", slug="purpose-not-allowed")
    if asking.products and product not in asking.products:
        raise NotPermitted(f"the institution may not ask for the product {product}", slug="product-not-allowed")
