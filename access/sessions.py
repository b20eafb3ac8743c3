# SPDX-License-Identifier: Apache-2.0
"""Sessions of people, in SQL: signing in, seeing one's sessions, ending them.

A session is a bearer token and nothing else: no cookie is set or read, so no other site can use it. It lives
eight hours, thirty minutes of them unused, and is always a new one: nothing that a caller brings becomes one.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from access import lockout, people, tokens, totp
from access.lockout import Try
from access.models import person, token
from audit import trail
from audit.events import Event
from kernel import clock, db
from kernel.errors import NotFound, TooMany, Unauthenticated

ENROL_ONLY = frozenset({"totp:enrol"})
REQUIRING_TOTP = ("off", "staff", "everyone")  # of whom a second factor is asked before they have one


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that was just opened; the token is shown once."""

    token: str
    expires_at: datetime
    scopes: frozenset[str]


def sign_in(username: str, password: str, code: str | None, *, network: str, requiring: str = "off") -> Opened:
    """A session for a person who knows the password and, once enrolled, has a code of the second factor.

    Raises Unauthenticated: `sign-in-failed`, in the same words and after the same work, for an unknown or disabled
    name, a wrong password, a locked name; `totp-required` only to one who knew the password. Raises TooMany where
    too many tries came from the network. Someone of whom a second factor is asked and who has none yet gets a
    session that can do nothing but enrol one.
    """
    with db.transaction() as tx:
        tried = lockout.count(tx, username, network)
        row = tx.execute(select(person).where(person.c.username == username)).one_or_none()
    if tried.verdict.closed:
        raise _refusal(tried)
    right = people.is_password(row.password_hash if row else None, password)
    if not right or row is None or row.status != "active" or not tried.verdict.allowed:
        lockout.record(tried, username if row else "", network)
        raise _refusal(tried)
    with db.transaction() as tx:
        # Once more, and locked: what ended the account or its password meanwhile has ended this sign-in too.
        now = tx.execute(select(person).where(person.c.username == username).with_for_update()).one()
        if (now.password_hash, now.status) != (row.password_hash, row.status):
            raise _refusal(tried)
        if now.totp_confirmed_at is None or (code and totp.spend(tx, username, now.totp_secret, code)):
            lockout.give_back(tx, tried, signed_in=True)
            return _open(tx, now, requiring)
        if code is None:
            lockout.give_back(tx, tried, signed_in=False)
    if code is not None:
        lockout.record(tried, username, network)
    raise Unauthenticated("send the current code of your second factor as totp", slug="totp-required")


def listed(tx: Connection, username: str, before: str | None, limit: int) -> list[dict[str, Any]]:
    """A person's sessions that live, newest first; `before` a session's id."""
    now = clock.now()
    page = select(token).where(token.c.person == username, *_live(now)).order_by(token.c.session.desc()).limit(limit)
    if before is not None:
        page = page.where(token.c.session < before)
    return [
        {
            "session_id": row.session,
            "opened_at": clock.rfc3339(row.issued_at),
            "last_used_at": clock.rfc3339(row.last_used_at),
            "expires_at": clock.rfc3339(row.expires_at),
            "scopes": row.scopes.split(),
            "token_hash": row.hash.hex(),
        }
        for row in tx.execute(page)
    ]


def end(tx: Connection, username: str, session: str) -> None:
    """End one of a person's sessions; raises NotFound where there is none such that lives."""
    mine = token.c.person == username, token.c.session == session, *_live(clock.now())
    if not tx.execute(update(token).where(*mine).values(revoked_at=clock.now())).rowcount:
        raise NotFound(f"no session {session} of yours")


def _open(tx: Connection, row: Any, requiring: str) -> Opened:
    asked = requiring == "everyone" or (requiring == "staff" and row.role in people.STAFF)
    scopes = ENROL_ONLY if asked and row.totp_confirmed_at is None else people.ROLE_SCOPES[row.role]
    secret, expires_at = tokens.issue(tx, scopes, tokens.SESSION_LIFE, username=row.username)
    if row.role in people.STAFF:
        detail = {"username": row.username, "role": row.role, "second_factor": row.totp_confirmed_at is not None}
        trail.append(tx, trail.Entry(type=Event.SESSION_OPENED, actor=f"person:{row.username}", detail=detail))
    return Opened(secret, expires_at, scopes)


def _refusal(tried: Try) -> TooMany | Unauthenticated:
    wait_s = tried.verdict.crowded_s
    if wait_s is not None:
        return TooMany(
            "too many sign-ins from your network failed: wait", slug="too-many-sign-ins", retry_after_s=wait_s
        )
    return Unauthenticated("the username or the password is wrong", slug="sign-in-failed")


def _live(now: datetime) -> tuple[Any, ...]:
    used = token.c.last_used_at > now - tokens.IDLE_LIFE
    return token.c.revoked_at.is_(None), token.c.expires_at > now, used
