# SPDX-License-Identifier: Apache-2.0
"""The second factor: time-based codes (RFC 6238, six digits, 30 s, SHA-1 as authenticator apps have it).

A code is good for its own time step and one on either side, and once: the last step spent is kept, and moves
forward in one statement, so that of two sign-ins with one code one wins. Recovery codes are good once each.
"""

import hashlib
import hmac
import secrets

import pyotp
from sqlalchemy import Connection, delete, insert, or_, select, update

from access.models import person, recovery_code
from audit import trail
from audit.events import Event
from kernel import clock, keys
from kernel.auth import Principal
from kernel.errors import Conflict, Invalid, NotFound, NotPermitted

STEP_S = 30
STEPS_ASIDE = 1
RECOVERY_CODES = 10
RECOVERY_CODE_BYTES = 10  # 80 bits each
ISSUER = "credit-bureau"


def begin(tx: Connection, username: str) -> dict[str, str]:
    """A new secret, shown once as `{"secret", "uri"}`; it counts only when a code of it has been confirmed.

    Raises Conflict (`totp-enrolled`) where the person has a second factor already.
    """
    row = tx.execute(select(person.c.totp_confirmed_at).where(person.c.username == username).with_for_update()).one()
    if row.totp_confirmed_at is not None:
        raise Conflict("you have a second factor: a security officer can reset it", slug="totp-enrolled")
    secret = pyotp.random_base32()
    kept = keys.purpose("people").encrypt(secret.encode(), _bound_to(username))
    tx.execute(update(person).where(person.c.username == username).values(totp_secret=kept, totp_step=None))
    return {"secret": secret, "uri": pyotp.TOTP(secret).provisioning_uri(name=username, issuer_name=ISSUER)}


def confirm(tx: Connection, username: str, code: str) -> list[str]:
    """Make the second factor count, by a code of it. Returns the recovery codes, once.

    Raises Conflict where none was begun or one counts already, Invalid (`totp-wrong`) for a wrong code.
    """
    row = tx.execute(select(person).where(person.c.username == username).with_for_update()).one()
    if row.totp_secret is None or row.totp_confirmed_at is not None:
        raise Conflict("begin with POST /v1/people/me/totp; a second factor that counts stays", slug="totp-not-begun")
    if not _spend_step(tx, username, row.totp_secret, code):
        raise Invalid("the code is wrong: is the clock right?", errors={"code": ["wrong"]}, slug="totp-wrong")
    tx.execute(update(person).where(person.c.username == username).values(totp_confirmed_at=clock.now()))
    codes = [secrets.token_hex(RECOVERY_CODE_BYTES) for _ in range(RECOVERY_CODES)]
    tx.execute(insert(recovery_code), [{"person": username, "hash": _hash(username, each)} for each in codes])
    said = trail.Entry(type=Event.TOTP_ENROLLED, actor=f"person:{username}", detail={"username": username})
    trail.append(tx, said)
    return codes


def spend(tx: Connection, username: str, secret: bytes, code: str) -> bool:
    """Whether a code or recovery code is good; if so it never is again. The caller commits."""
    if len(code) == 2 * RECOVERY_CODE_BYTES:
        mine = recovery_code.c.person == username, recovery_code.c.hash == _hash(username, code)
        return tx.execute(delete(recovery_code).where(*mine)).rowcount == 1
    return _spend_step(tx, username, secret, code)


def reset(tx: Connection, username: str, by: Principal) -> None:
    """Take a person's second factor away, so that a new one can be enrolled; by someone else than the person.

    Raises NotFound, NotPermitted (`not-yourself`).
    """
    if by.person == username:
        raise NotPermitted("another security officer resets yours", slug="not-yourself")
    gone = {"totp_secret": None, "totp_confirmed_at": None, "totp_step": None}
    if not tx.execute(update(person).where(person.c.username == username).values(gone)).rowcount:
        raise NotFound(f"no person {username}")
    tx.execute(delete(recovery_code).where(recovery_code.c.person == username))
    trail.append(tx, trail.Entry(type=Event.TOTP_RESET, actor=by.actor, detail={"username": username}))


def _spend_step(tx: Connection, username: str, secret: bytes, code: str) -> bool:
    codes = pyotp.TOTP(keys.purpose("people").decrypt(secret, _bound_to(username)).decode())
    now = int(clock.now().timestamp()) // STEP_S
    near = range(now - STEPS_ASIDE, now + STEPS_ASIDE + 1)
    matching = [step for step in near if hmac.compare_digest(codes.generate_otp(step).encode(), code.encode())]
    if not matching:
        return False
    unspent = or_(person.c.totp_step.is_(None), person.c.totp_step < matching[-1])
    forward = update(person).where(person.c.username == username, unspent).values(totp_step=matching[-1])
    return tx.execute(forward).rowcount == 1


def _hash(username: str, code: str) -> bytes:
    return hashlib.sha256(f"recovery-code\0{username}\0{code.lower()}".encode()).digest()


def _bound_to(username: str) -> bytes:
    return f"totp\0{username}".encode()
