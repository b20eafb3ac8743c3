# SPDX-License-Identifier: Apache-2.0
"""Invitations: how people get an account without anyone else knowing their password.

An administrator invites. Into the offices that watch each other (admin, compliance, security) nobody comes by one
person's hand: someone of another of these offices confirms. Each of the two hands over one half of the code, so
that neither can use the invitation in the invited person's place.
"""

import hashlib
import hmac
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, insert, select, update

from access import people
from access.models import invitation, person
from access.people import Newcomer
from audit import trail
from audit.events import Event
from kernel import clock, ids
from kernel.auth import Principal
from kernel.errors import Conflict, NotFound, NotPermitted

LIFE = timedelta(days=7)
NEED_TWO = ("admin", "compliance", "security")


def invite(tx: Connection, newcomer: Newcomer, by: Principal) -> dict[str, Any]:
    """Invite someone. Returns the invitation with `code`, shown once: whole, or the inviter's half of it.

    Raises Invalid, or Conflict where the staff number has an account.
    """
    people.require_possible(tx, newcomer)
    code, now = ids.new_secret(), clock.now()
    values = {
        "id": ids.new_id(),
        "role": newcomer.role,
        "uscc": newcomer.enterprise,
        "name": newcomer.name,
        "staff_no": newcomer.staff_no,
        "code_hash": _hash(code),
        "made_by": by.person,
        "made_at": now,
        "expires_at": now + LIFE,
    }
    tx.execute(insert(invitation).values(values))
    _record(tx, Event.INVITATION_MADE, by.actor, values)
    return {**_shown(_get(tx, str(values["id"]))), "code": code}


def confirm(tx: Connection, invitation_id: str, by: Principal) -> dict[str, Any]:
    """Confirm an invitation as the second person. Returns it with `code`: the confirmer's half.

    Raises NotFound, Conflict where nothing is to be confirmed, NotPermitted (`second-person-needed`) for the
    inviter and for anyone of the inviter's own office.
    """
    held = _get(tx, invitation_id, lock=True)
    inviter = tx.execute(select(person.c.role).where(person.c.username == held.made_by)).one()
    if by.person == held.made_by or by.role == inviter.role or by.role not in NEED_TWO:
        raise NotPermitted(
            f"someone else confirms: of {' or '.join(role for role in NEED_TWO if role != inviter.role)}",
            slug="second-person-needed",
        )
    if (status := _status(held)) != "unconfirmed":
        raise Conflict(f"the invitation is {status}", slug="invitation-ended")
    code = ids.new_secret()
    confirmed = {"confirmed_by": by.person, "second_hash": _hash(code)}
    tx.execute(update(invitation).where(invitation.c.id == invitation_id).values(confirmed))
    _record(tx, Event.INVITATION_CONFIRMED, by.actor, held._mapping)
    return {**_shown(_get(tx, invitation_id)), "code": code}


def accept(tx: Connection, code: str, username: str, password: str) -> dict[str, str]:
    """Become a person of the bureau. `code` is what was handed over: where two did, both halves with a dot between.

    Raises NotFound in the same words for every code that is not good (now), Invalid for a bad username or weak
    password, Conflict for a taken username or staff number; then the code stays good.
    """
    first, _, second = code.partition(".")
    held = tx.execute(select(invitation).where(invitation.c.code_hash == _hash(first)).with_for_update()).one_or_none()
    wanted = held.second_hash or _hash("") if held is not None else _hash("")
    if held is None or not hmac.compare_digest(wanted, _hash(second)) or _status(held) != "open":
        raise NotFound("no open invitation has this code: ask for a new one", slug="no-invitation")
    people.require_strong(username, password)
    newcomer = Newcomer(held.role, held.uscc, held.name, held.staff_no)
    people.require_possible(tx, newcomer)
    people.register(tx, newcomer, username, password, actor=f"invitation:{held.id}")
    tx.execute(update(invitation).where(invitation.c.id == held.id).values(accepted_at=clock.now()))
    return {"username": username, "role": held.role}


def listed(tx: Connection, before: str | None, limit: int) -> list[dict[str, Any]]:
    """Invitations, newest first; `before` an id."""
    page = select(invitation).order_by(invitation.c.id.desc()).limit(limit)
    if before is not None:
        page = page.where(invitation.c.id < before)
    return [_shown(row) for row in tx.execute(page)]


def _get(tx: Connection, invitation_id: str, *, lock: bool = False) -> Any:
    sought = select(invitation).where(invitation.c.id == invitation_id)
    row = tx.execute(sought.with_for_update() if lock else sought).one_or_none()
    if row is None:
        raise NotFound(f"no invitation {invitation_id}")
    return row


def _status(row: Any) -> str:
    if row.accepted_at is not None:
        return "accepted"
    if row.expires_at <= clock.now():
        return "expired"
    return "unconfirmed" if row.role in NEED_TWO and row.confirmed_by is None else "open"


def _shown(row: Any) -> dict[str, Any]:
    return {
        "invitation_id": row.id,
        "role": row.role,
        "uscc": row.uscc,
        "name": row.name,
        "staff_no": row.staff_no,
        "status": _status(row),
        "made_by": row.made_by,
        "made_at": clock.rfc3339(row.made_at),
        "confirmed_by": row.confirmed_by,
        "expires_at": clock.rfc3339(row.expires_at),
    }


def _record(tx: Connection, event: Event, actor: str, row: Any) -> None:
    told = {"invitation": row["id"], **{name: row[name] for name in ("role", "name", "staff_no")}}
    detail = {name: value for name, value in told.items() if value is not None}
    trail.append(tx, trail.Entry(type=event, actor=actor, uscc=row["uscc"], detail=detail))


def _hash(code: str) -> bytes:
    return hashlib.sha256(code.encode()).digest()
