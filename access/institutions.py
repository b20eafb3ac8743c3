# SPDX-License-Identifier: Apache-2.0
"""The institutions that query, and what their standing lets them ask.

One applies (`apply_for`), another administrator approves; the counter registers at once (`add`). What its contract
allows (`Terms`) is read with each token, so a change counts at the next request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

from sqlalchemy import Connection, insert, select, update

from access import lifecycle, networks
from access.lifecycle import COUNTER, Act
from access.models import institution
from audit import trail
from audit.events import Event
from kernel import auth, clock, ids
from kernel.errors import Conflict, Invalid, NotFound, NotPermitted

KINDS = ("bank", "insurer", "guarantor", "investor", "leasing", "microloan", "government", "other")
PURPOSES = (
    "pre_loan",
    "loan_approval",
    "post_loan",
    "guarantee",
    "insurance",
    "equity_investment",
    "trade_credit",
    "screening",
    "administration",
)
PRODUCTS = ("records", "screening")
MAX_PER_SECOND, MAX_PER_DAY = 1_000_000, 1_000_000_000


@dataclass(frozen=True, slots=True)
class Terms:
    """What a contract says. Empty `products`, `purposes`, `networks` allow all; None sets no limit or end.

    `contract_until` is its last day (Asia/Shanghai); `networks` are CIDRs; `per_second` counts the requests of all
    the institution's clients together, `per_day` its questions (calendar day of Asia/Shanghai).
    """

    contract_ref: str | None = None
    contract_until: date | None = None
    products: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    per_second: int | None = None
    per_day: int | None = None


def add(tx: Connection, name: str, kind: str, terms: Terms = Terms()) -> str:
    """Register an institution at the counter, approved at once. Returns its id.

    Raises Invalid for an unknown kind, a bad name or bad terms, Conflict where the name is taken.
    """
    return _register(tx, name, kind, "approved", terms, COUNTER)


def apply_for(tx: Connection, name: str, kind: str, terms: Terms, by: Act) -> str:
    """Register an institution that another person is to approve. Returns its id; raises as `add`."""
    return _register(tx, name, kind, "applied", terms, by)


def act(tx: Connection, institution_id: str, what: str, by: Act = COUNTER, reason: str | None = None) -> str:
    """Approve, suspend, resume or close (`access.lifecycle`). Returns the new status.

    Raises NotFound, Conflict from a status that does not allow it or (`second-person-needed`) where whoever applied
    approves, Invalid where a suspension or closing does not say why.
    """
    lifecycle.require_reason(what, reason)
    row = _row(tx, institution_id)
    status = lifecycle.after(row.status, what)
    lifecycle.require_second_person(what, row.applied_by, by)
    here = institution.c.id == institution_id, institution.c.status == row.status
    if not tx.execute(update(institution).where(*here).values(status=status, reason=reason)).rowcount:
        raise Conflict("somebody else has just changed it: look again", slug="not-in-this-state")
    _note(tx, _DONE[what], row, by, {"reason": reason} if reason else None)
    return status


def change(tx: Connection, institution_id: str, changes: Mapping[str, Any], by: Act = COUNTER) -> None:
    """Change some of its terms, by their names. Raises NotFound, Invalid, Conflict where it is closed."""
    row = _row(tx, institution_id)
    if row.status == "closed":
        raise Conflict("it is closed: nothing of it changes any more", slug="not-in-this-state")
    values = _stored(replace(_terms(row), **changes))
    tx.execute(update(institution).where(institution.c.id == institution_id).values(**values))
    told = {name: values[name].isoformat() if isinstance(values[name], date) else values[name] for name in changes}
    _note(tx, Event.INSTITUTION_CHANGED, row, by, told)


def list_all(tx: Connection) -> Sequence[dict[str, Any]]:
    """Every institution as `{"institution", "name", "kind", "status", "products", "purposes"}`, by name."""
    names = ("institution", "name", "kind", "status", "products", "purposes")
    rows = [_document(row) for row in tx.execute(select(institution).order_by(institution.c.name))]
    return [{name: row[name] for name in names} for row in rows]


def listed(tx: Connection, before: str | None, limit: int, status: str | None = None) -> list[dict[str, Any]]:
    """A page of institutions as `document` shows them, the newest first; `before` an id."""
    page = select(institution).order_by(institution.c.id.desc()).limit(limit)
    if before is not None:
        page = page.where(institution.c.id < before)
    if status is not None:
        page = page.where(institution.c.status == status)
    return [_document(row) for row in tx.execute(page)]


def document(tx: Connection, institution_id: str) -> dict[str, Any]:
    """An institution with its terms, as its administrators see it; raises NotFound."""
    return _document(_row(tx, institution_id))


def get(tx: Connection, institution_id: str) -> auth.Institution:
    """An institution's standing; raises NotFound."""
    return standing(_row(tx, institution_id))


def standing(row: Any) -> auth.Institution:
    """An institution's standing from a row with its columns, an ended contract told."""
    today = clock.legal_day(clock.now()) if row.contract_until else date.min
    return auth.Institution(
        row.id,
        row.name,
        row.kind,
        lifecycle.standing_of(row.status, row.contract_until, today),
        _split(row.products),
        _split(row.purposes),
        row.per_second,
        row.per_day,
    )


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


def _register(tx: Connection, name: str, kind: str, status: str, terms: Terms, by: Act) -> str:
    name = name.strip()
    if kind not in KINDS:
        raise Invalid(f"kind must be one of {', '.join(KINDS)}", errors={"kind": [f"unknown: {kind}"]})
    if not 1 <= len(name) <= 200:
        raise Invalid("a name has 1 to 200 characters", errors={"name": ["1 to 200 characters"]})
    values = {"id": ids.new_id(), "name": name, "kind": kind, "status": status, "created_at": clock.now()}
    values |= {"applied_by": by.actor, **_stored(terms)}
    if tx.scalar(select(institution.c.id).where(institution.c.name == name)):
        raise Conflict(f"an institution named {name} is registered already")
    row = tx.execute(insert(institution).values(**values).returning(institution)).one()
    _note(tx, Event.INSTITUTION_ADDED if status == "approved" else Event.INSTITUTION_APPLIED, row, by)
    return str(row.id)


def _row(tx: Connection, institution_id: str) -> Any:
    row = tx.execute(select(institution).where(institution.c.id == institution_id)).one_or_none()
    if row is None:
        raise NotFound(f"no institution {institution_id}: `bureau institution list` shows them")
    return row


def _stored(terms: Terms) -> dict[str, Any]:
    """Terms as columns; raises Invalid for what is no product, purpose, network or limit."""
    for field, known in (("products", PRODUCTS), ("purposes", PURPOSES)):
        if unknown := set(getattr(terms, field)) - set(known):
            raise Invalid(f"{field} are of {', '.join(known)}", errors={field: sorted(unknown)})
    for field, most in (("per_second", MAX_PER_SECOND), ("per_day", MAX_PER_DAY)):
        limit = getattr(terms, field)
        if limit is not None and not 0 <= limit <= most:
            raise Invalid(f"{field} is 0 to {most}, or nothing", errors={field: [f"0 to {most}"]})
    lists = {name: ",".join(dict.fromkeys(getattr(terms, name))) for name in ("products", "purposes")}
    return {**asdict(terms), **lists, "networks": networks.checked(terms.networks)}


def _terms(row: Any) -> Terms:
    lists = {name: _split(getattr(row, name)) for name in ("products", "purposes", "networks")}
    return Terms(row.contract_ref, row.contract_until, **lists, per_second=row.per_second, per_day=row.per_day)


def _document(row: Any) -> dict[str, Any]:
    terms = asdict(_terms(row))
    until = row.contract_until.isoformat() if row.contract_until else None
    shown = {"institution": row.id, "name": row.name, "kind": row.kind, "status": row.status}
    more = {"applied_by": row.applied_by, "reason": row.reason, "created_at": clock.rfc3339(row.created_at)}
    return {**shown, **terms, "contract_until": until, **more}


def _note(tx: Connection, event: Event, row: Any, by: Act, detail: Mapping[str, Any] | None = None) -> None:
    said = trail.Entry(
        type=event,
        actor=by.actor,
        channel=by.channel,
        institution=row.id,
        institution_name=row.name,
        detail={"kind": row.kind, **(detail or {})},
    )
    trail.append(tx, said)


def _split(stored: str | None) -> tuple[str, ...]:
    return tuple(stored.split(",")) if stored else ()


_DONE = {
    "approve": Event.INSTITUTION_APPROVED,
    "suspend": Event.INSTITUTION_SUSPENDED,
    "resume": Event.INSTITUTION_RESUMED,
    "close": Event.INSTITUTION_CLOSED,
}
