# SPDX-License-Identifier: Apache-2.0
"""The sources that deliver: registration, contract, the legal basis they deliver under, where they may call from.

A code is taken at its word here: which sources there are the catalogue says, and callers check. A source that was
never registered counts as approved: that is how the first version worked, and its deliveries go on.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

from sqlalchemy import Connection, insert, select, update

from access import lifecycle, networks
from access.lifecycle import COUNTER, Act
from access.models import source
from audit import trail
from audit.events import Event
from kernel import clock
from kernel.errors import Conflict, NotFound, NotPermitted


@dataclass(frozen=True, slots=True)
class Terms:
    """What a source's contract says: see `access.institutions.Terms`. `basis` names the law or agreement."""

    basis: str | None = None
    contract_ref: str | None = None
    contract_until: date | None = None
    networks: tuple[str, ...] = ()


def add(tx: Connection, code: str, terms: Terms = Terms()) -> None:
    """Register a source at the counter, approved at once. Raises Conflict where it is, Invalid for bad terms."""
    _register(tx, code, "approved", terms, COUNTER)


def apply_for(tx: Connection, code: str, terms: Terms, by: Act) -> None:
    """Register a source that another person is to approve; raises as `add`. Until then it counts as not approved."""
    _register(tx, code, "applied", terms, by)


def act(tx: Connection, code: str, what: str, by: Act = COUNTER, reason: str | None = None) -> str:
    """Approve, suspend, resume or close, as with institutions. Returns the new status; raises alike."""
    lifecycle.require_reason(what, reason)
    row = _row(tx, code)
    status = lifecycle.after(row.status, what)
    lifecycle.require_second_person(what, row.applied_by, by)
    here = source.c.code == code, source.c.status == row.status
    if not tx.execute(update(source).where(*here).values(status=status, reason=reason)).rowcount:
        raise Conflict("somebody else has just changed it: look again", slug="not-in-this-state")
    _note(tx, _DONE[what], code, by, {"reason": reason} if reason else {})
    return status


def change(tx: Connection, code: str, changes: Mapping[str, Any], by: Act = COUNTER) -> None:
    """Change some of its terms, by their names. Raises NotFound, Invalid, Conflict where it is closed."""
    row = _row(tx, code)
    if row.status == "closed":
        raise Conflict("it is closed: nothing of it changes any more", slug="not-in-this-state")
    values = _stored(replace(_terms(row), **changes))
    tx.execute(update(source).where(source.c.code == code).values(**values))
    told = {name: values[name].isoformat() if isinstance(values[name], date) else values[name] for name in changes}
    _note(tx, Event.SOURCE_CHANGED, code, by, told)


def registered(tx: Connection) -> dict[str, dict[str, Any]]:
    """Every registered source by its code, as `document` shows it."""
    return {row.code: _document(row) for row in tx.execute(select(source).order_by(source.c.code))}


def document(tx: Connection, code: str) -> dict[str, Any]:
    """A registered source with its terms; raises NotFound."""
    return _document(_row(tx, code))


def require_approved(tx: Connection, code: str) -> None:
    """Raise NotPermitted (`source-not-approved`) where a source may not deliver now."""
    row = tx.execute(select(source).where(source.c.code == code)).one_or_none()
    if row is not None:
        require_standing(row.status, row.contract_until)


def require_standing(status: str | None, contract_until: date | None) -> None:
    """As `require_approved`, from a source's columns; None and None where it was never registered."""
    counts = lifecycle.standing_of(status or "approved", contract_until, clock.legal_day(clock.now()))
    if counts != "approved":
        raise NotPermitted(f"the source is {counts}: its deliveries are not taken", slug="source-not-approved")


def _register(tx: Connection, code: str, status: str, terms: Terms, by: Act) -> None:
    values = {"code": code, "status": status, "created_at": clock.now(), "applied_by": by.actor, **_stored(terms)}
    if tx.scalar(select(source.c.code).where(source.c.code == code)):
        raise Conflict(f"the source {code} is registered already")
    tx.execute(insert(source).values(**values))
    _note(tx, Event.SOURCE_APPLIED if status == "applied" else Event.SOURCE_APPROVED, code, by, {})


def _row(tx: Connection, code: str) -> Any:
    row = tx.execute(select(source).where(source.c.code == code)).one_or_none()
    if row is None:
        raise NotFound(f"the source {code} is not registered: `bureau source list` shows them")
    return row


def _stored(terms: Terms) -> dict[str, Any]:
    return {**asdict(terms), "networks": networks.checked(terms.networks)}


def _terms(row: Any) -> Terms:
    listed = tuple(row.networks.split(",")) if row.networks else ()
    return Terms(row.basis, row.contract_ref, row.contract_until, listed)


def _document(row: Any) -> dict[str, Any]:
    until = row.contract_until.isoformat() if row.contract_until else None
    more = {"applied_by": row.applied_by, "reason": row.reason, "created_at": clock.rfc3339(row.created_at)}
    return {"source": row.code, "status": row.status, **asdict(_terms(row)), "contract_until": until, **more}


def _note(tx: Connection, event: Event, code: str, by: Act, detail: Mapping[str, Any]) -> None:
    said = trail.Entry(type=event, actor=by.actor, channel=by.channel, detail={"source": code, **detail})
    trail.append(tx, said)


_DONE = {
    "approve": Event.SOURCE_APPROVED,
    "suspend": Event.SOURCE_SUSPENDED,
    "resume": Event.SOURCE_RESUMED,
    "close": Event.SOURCE_CLOSED,
}
