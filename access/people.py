# SPDX-License-Identifier: Apache-2.0
"""People: signatories of enterprises, compliance officers, the finance office, administrators."""

import secrets
from datetime import datetime
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from sqlalchemy import Connection, insert, select

from access import tokens
from access.models import person
from audit import trail
from audit.events import Event
from kernel import clock, db, ids, uscc
from kernel.errors import Conflict, Invalid, Unauthenticated

ROLE_SCOPES = {
    "enterprise": frozenset({"consent:write", "consent:read", "self:read"}),
    "compliance": frozenset({"audit:read"}),
    "finance": frozenset({"reward:read"}),
    "admin": frozenset({"admin"}),
    "security": frozenset({"admin", "security"}),
}
_hasher = PasswordHasher()  # argon2id with the library's RFC 9106 low-memory profile


def add(tx: Connection, role: str, enterprise: str | None = None, username: str | None = None) -> tuple[str, str]:
    """Register a person of a role; enterprise signatories name their USCC. Returns username and password.

    Raises Invalid for an unknown role or USCC, Conflict where the username is taken.
    """
    if role not in ROLE_SCOPES:
        raise Invalid(f"role must be one of {', '.join(ROLE_SCOPES)}", errors={"role": [f"unknown: {role}"]})
    if (role == "enterprise") != (enterprise is not None):
        raise Invalid("an enterprise's signatory, and no one else, names a USCC", errors={"uscc": ["see detail"]})
    if enterprise is not None and not uscc.is_valid(enterprise):
        raise Invalid(f"{enterprise} is not a valid unified social credit code", errors={"uscc": ["check digit"]})
    username = username or f"{role}-{ids.new_id()[-12:]}"
    if tx.scalar(select(person.c.username).where(person.c.username == username)):
        raise Conflict(f"the username {username} is taken")
    password = secrets.token_urlsafe(18)
    values = {"username": username, "password_hash": _hasher.hash(password), "role": role, "uscc": enterprise}
    tx.execute(insert(person).values(**values, status="active", created_at=clock.now()))
    detail = {"username": username, "role": role}
    trail.append(
        tx, trail.Entry(type=Event.PERSON_ADDED, actor="counter", channel="counter", uscc=enterprise, detail=detail)
    )
    return username, password


def sign_in(username: str, password: str) -> tuple[str, datetime, frozenset[str]]:
    """A session for a person who knows the password: its token, expiry and scopes.

    Raises Unauthenticated, with the same words and after the same work whether the name or the password is wrong.
    """
    with db.reading() as reading:
        row = reading.execute(select(person).where(person.c.username == username)).one_or_none()
    try:
        _hasher.verify(row.password_hash if row else _decoy(), password)
    except VerificationError:
        row = None
    if row is None or row.status != "active":
        raise Unauthenticated("the username or the password is wrong", slug="sign-in-failed")
    scopes = ROLE_SCOPES[row.role]
    with db.transaction() as tx:
        token, expires_at = tokens.issue(tx, scopes, tokens.SESSION_LIFE, username=username)
    return token, expires_at, scopes


@cache
def _decoy() -> str:
    """A hash to check a password against where there is no such person; made when first needed."""
    return _hasher.hash(secrets.token_urlsafe(16))
