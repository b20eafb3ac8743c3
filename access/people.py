# SPDX-License-Identifier: Apache-2.0
"""People: signatories of enterprises, compliance officers, the finance office, administrators, security officers.

Staff hold one role each: who administers does not audit, and neither guards (three separate offices, 三员分立).
A staff number is held by one active account.
"""

import re
import secrets
from dataclasses import dataclass
from functools import cache
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from sqlalchemy import Connection, insert, select, update

from access import lockout
from access.models import person, token
from audit import trail
from audit.events import Event
from kernel import clock, db, ids, uscc
from kernel.auth import Principal
from kernel.errors import Conflict, Invalid, NotFound, NotPermitted

ROLE_SCOPES = {
    "enterprise": frozenset({"consent:write", "consent:read", "self:read"}),
    "compliance": frozenset({"audit:read", "consent:suspend", "staff:confirm", "reward:read", "reward:confirm"}),
    "finance": frozenset({"reward:read", "reward:correct"}),
    "admin": frozenset({"admin", "staff:confirm"}),
    "security": frozenset({"security", "consent:suspend", "staff:confirm"}),
}
STAFF = ("compliance", "finance", "admin", "security")
PASSWORD_CHARS = 12, 200
USERNAME = r"[a-z0-9][a-z0-9._-]{2,63}"
# Of twelve characters and more, what is tried first; shorter ones are refused for being short.
COMMONEST = frozenset(
    """
    password1234 password12345 password123456 passwordpassword 123456789012 1234567890123 1234567890ab
    qwertyuiop12 qwertyuiop123 qwertyuiop[] qwerty123456 1q2w3e4r5t6y 1qaz2wsx3edc 1qaz2wsx3edc4rfv
    abcdefghijkl abc123456789 iloveyou1234 administrator admin1234567 administrator1 changeme1234
    letmein12345 welcome12345 woaini1314520 woaini520131 a123456789012 aa1234567890 zxcvbnm12345
    asdfghjkl123 987654321098
    """.split()  # noqa: SIM905  # read as a list, one would scroll
)
_hasher = PasswordHasher()  # argon2id with the library's RFC 9106 low-memory profile


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Someone to be registered. Enterprise signatories name their USCC, staff have a staff number."""

    role: str
    enterprise: str | None = None
    name: str | None = None
    staff_no: str | None = None


def add(
    tx: Connection,
    role: str,
    enterprise: str | None = None,
    username: str | None = None,
    name: str | None = None,
    staff_no: str | None = None,
) -> tuple[str, str]:
    """Register a person at the counter. Returns username and password, which is shown once.

    Raises Invalid for an unknown role, USCC or a bad username, Conflict where username or staff number is taken.
    """
    username = username or f"{role}-{ids.new_id()[-12:]}"
    if role in STAFF and staff_no is None:
        staff_no = f"counter-{ids.new_id()[-12:]}"
    newcomer, password = Newcomer(role, enterprise, name, staff_no), secrets.token_urlsafe(18)
    require_possible(tx, newcomer)
    register(tx, newcomer, username, password, actor="counter", channel="counter")
    return username, password


def require_possible(tx: Connection, newcomer: Newcomer) -> None:
    """Raise Invalid or Conflict (`staff-number-taken`) unless such a person may be registered."""
    role, enterprise = newcomer.role, newcomer.enterprise
    if role not in ROLE_SCOPES:
        raise Invalid(f"role must be one of {', '.join(ROLE_SCOPES)}", errors={"role": [f"unknown: {role}"]})
    if (role == "enterprise") != (enterprise is not None):
        raise Invalid("an enterprise's signatory, and no one else, names a USCC", errors={"uscc": ["see detail"]})
    if enterprise is not None and not uscc.is_valid(enterprise):
        raise Invalid(f"{enterprise} is not a valid unified social credit code", errors={"uscc": ["check digit"]})
    if (role in STAFF) != (newcomer.staff_no is not None):
        raise Invalid("staff, and no one else, have a staff number", errors={"staff_no": ["see detail"]})
    if newcomer.staff_no is not None:
        _require_one_role(tx, newcomer.staff_no)


def register(
    tx: Connection, newcomer: Newcomer, username: str, password: str, *, actor: str, channel: str = "api"
) -> None:
    """Write a person down who was found possible. Raises Invalid for a bad username, Conflict for a taken one."""
    if not re.fullmatch(USERNAME, username):
        raise Invalid("a username has 3 to 64 of a-z 0-9 . _ -", errors={"username": [f"must match {USERNAME}"]})
    if tx.scalar(select(person.c.username).where(person.c.username == username)):
        raise Conflict(f"the username {username} is taken", slug="username-taken")
    values: dict[str, Any] = {"username": username, "password_hash": _hasher.hash(password), "role": newcomer.role}
    values |= {"uscc": newcomer.enterprise, "name": newcomer.name, "staff_no": newcomer.staff_no}
    tx.execute(insert(person).values(**values, status="active", created_at=clock.now()))
    told = {"username": username, "role": newcomer.role, "name": newcomer.name, "staff_no": newcomer.staff_no}
    detail = {name: value for name, value in told.items() if value is not None}
    said = trail.Entry(type=Event.PERSON_ADDED, actor=actor, channel=channel, uscc=newcomer.enterprise, detail=detail)
    trail.append(tx, said)


def listed(tx: Connection, after: str | None, limit: int) -> list[dict[str, Any]]:
    """People by username, `after` one, as administrators see them."""
    page = select(person).order_by(person.c.username).limit(limit)
    if after is not None:
        page = page.where(person.c.username > after)
    return [
        {
            "username": row.username,
            "role": row.role,
            "name": row.name,
            "staff_no": row.staff_no,
            "uscc": row.uscc,
            "status": row.status,
            "second_factor": row.totp_confirmed_at is not None,
            "created_at": clock.rfc3339(row.created_at),
        }
        for row in tx.execute(page)
    ]


def disable(tx: Connection, username: str, by: Principal) -> None:
    """End a person's account and all sessions. Raises NotFound, NotPermitted (`not-yourself`)."""
    if by.person == username:
        raise NotPermitted("another security officer disables you", slug="not-yourself")
    _set_status(tx, username, "disabled")
    end_sessions(tx, username)
    trail.append(tx, trail.Entry(type=Event.PERSON_DISABLED, actor=by.actor, detail={"username": username}))


def enable(tx: Connection, username: str, by: Principal) -> None:
    """Let a person sign in again. Raises NotFound, Conflict where the staff number has another account now."""
    staff_no = tx.scalar(select(person.c.staff_no).where(person.c.username == username, person.c.status != "active"))
    if staff_no is not None:
        _require_one_role(tx, staff_no)
    _set_status(tx, username, "active")
    trail.append(tx, trail.Entry(type=Event.PERSON_ENABLED, actor=by.actor, detail={"username": username}))


def change_password(principal: Principal, current: str, new: str, network: str) -> None:
    """Give oneself another password; all other sessions end.

    Raises NotPermitted (`wrong-password`; tries are counted as at the sign-in) and Invalid for a weak password.
    """
    username = principal.person or ""
    require_strong(username, new)
    with db.transaction() as tx:
        tried = lockout.count(tx, username, network)
        kept = tx.scalar(select(person.c.password_hash).where(person.c.username == username))
    if not is_password(kept, current) or not tried.verdict.allowed:
        lockout.record(tried, username, network)
        raise NotPermitted("the current password is wrong", slug="wrong-password")
    with db.transaction() as tx:
        lockout.give_back(tx, tried, signed_in=False)
        tx.execute(update(person).where(person.c.username == username).values(password_hash=_hasher.hash(new)))
        end_sessions(tx, username, but=principal.token)
        said = trail.Entry(type=Event.PASSWORD_CHANGED, actor=principal.actor, detail={"username": username})
        trail.append(tx, said)


def require_person(principal: Principal) -> str:
    """The username of a signed-in person; raises NotPermitted for a client."""
    if principal.person is None:
        raise NotPermitted("this is for people who signed in, not for clients", slug="not-a-person")
    return principal.person


def end_sessions(tx: Connection, username: str, *, but: str | None = None) -> None:
    """End all sessions of a person, but one (its token's hash) where one is named."""
    live = update(token).where(token.c.person == username, token.c.revoked_at.is_(None))
    if but is not None:
        live = live.where(token.c.hash != bytes.fromhex(but))
    tx.execute(live.values(revoked_at=clock.now()))


def is_password(kept: str | None, password: str) -> bool:
    """Whether a password is the one kept as a hash; as much work where there is no such person (None)."""
    try:
        _hasher.verify(kept or _decoy(), password)
    except VerificationError:
        return False
    return kept is not None


def require_strong(username: str, password: str) -> None:
    """Raise Invalid (`weak-password`) for what would be guessed soon (NIST SP 800-63B §5.1.1.2)."""
    shortest, longest = PASSWORD_CHARS
    plain = password.casefold()
    if not shortest <= len(password) <= longest:
        reason = f"{shortest} to {longest} characters"
    elif username.casefold() in plain:
        reason = "holds the username"
    elif plain in COMMONEST or len(set(plain)) < 5:
        reason = "among the commonest"
    else:
        return
    raise Invalid("choose another password: see errors", errors={"password": [reason]}, slug="weak-password")


def _set_status(tx: Connection, username: str, status: str) -> None:
    if not tx.execute(update(person).where(person.c.username == username).values(status=status)).rowcount:
        raise NotFound(f"no person {username}")


def _require_one_role(tx: Connection, staff_no: str) -> None:
    if tx.scalar(select(person.c.username).where(person.c.staff_no == staff_no, person.c.status == "active")):
        raise Conflict(f"the staff number {staff_no} has an account: one person, one role", slug="staff-number-taken")


@cache
def _decoy() -> str:
    """A hash to check a password against where there is no such person; made when first needed."""
    return _hasher.hash(secrets.token_urlsafe(16))
