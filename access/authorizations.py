# SPDX-License-Identifier: Apache-2.0
"""A client's request to an enterprise by redirect, from its push to the token: one row, each step taken once.

    pushed (90 s) → opened in one browser (30 min) → became a request in the inbox → answered → code (60 s) → token

Each step is one UPDATE that names the state it leaves, so of two at the same moment one wins. What travels through
the browser (request_uri, code) is 256 random bits, kept as a hash.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Connection, delete, insert, or_, select, update

from access import tokens
from access.models import authorization_request as requests
from access.models import client, institution
from kernel import canonical, clock, ids
from kernel.errors import Conflict, NotFound

PUSHED_LIFE = timedelta(seconds=90)
OPEN_LIFE = timedelta(minutes=30)
CODE_LIFE = timedelta(seconds=60)
KEEP = timedelta(days=1)  # after the last that could happen
URN = "urn:ietf:params:oauth:request_uri:"  # RFC 9126 §2.2


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client pushed, found well-formed."""

    client: str
    redirect_uri: str
    state: str | None
    scope: str
    code_challenge: str
    dpop_jkt: str | None
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Authorization:
    """A request as it stands; also what Authlib asks of a code."""

    id: str
    client: str
    institution: str
    institution_name: str
    institution_kind: str
    redirect_uri: str
    state: str | None
    scope: str
    code_challenge: str
    dpop_jkt: str | None
    details: Mapping[str, Any]
    consent: str | None
    uscc: str | None
    answered_at: datetime | None
    person: str | None
    granted: Mapping[str, Any] | None
    code_challenge_method: str = "S256"

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope


def push(tx: Connection, asked: Asked) -> str:
    """Keep what was pushed. Returns its request_uri, once."""
    reference = ids.new_secret()
    tx.execute(
        insert(requests).values(
            id=ids.new_id(),
            reference=tokens.token_hash(reference),
            client=asked.client,
            redirect_uri=asked.redirect_uri,
            state=asked.state,
            scope=asked.scope,
            code_challenge=asked.code_challenge,
            dpop_jkt=asked.dpop_jkt,
            details=canonical.encode(asked.details).decode(),
            pushed_at=clock.now(),
        )
    )
    return URN + reference


def open_once(tx: Connection, client_id: str, request_uri: str, browser: str) -> str:
    """Spend a request_uri for one browser. Returns the request's id.

    Raises NotFound (`request-unknown`), in the same words where there is none, it is another client's, was spent
    or is too old.
    """
    now, reference = clock.now(), tokens.token_hash(request_uri.removeprefix(URN))
    mine = requests.c.reference == reference, requests.c.client == client_id
    fresh = requests.c.opened_at.is_(None), requests.c.pushed_at > now - PUSHED_LIFE
    opened = update(requests).where(*mine, *fresh).values(opened_at=now, browser=tokens.token_hash(browser))
    if not request_uri.startswith(URN) or not tx.execute(opened).rowcount:
        raise _unknown()
    return str(tx.scalar(select(requests.c.id).where(*mine)))


def opened(tx: Connection, request_id: str, browser: str | None, *, lock: bool = False) -> Authorization:
    """A request that was opened in this browser, not long ago; raises NotFound (`request-unknown`) in all else.

    Also where its client or institution may ask no longer.
    """
    here = requests.c.browser == tokens.token_hash(browser or ""), requests.c.id == request_id
    found = _WITH_CLIENT.where(*here, requests.c.opened_at > clock.now() - OPEN_LIFE, *_MAY_ASK)
    row = tx.execute(found.with_for_update(of=requests) if lock else found).one_or_none()
    if row is None or browser is None:
        raise _unknown()
    return _authorization(row)


def earlier_consent(tx: Connection, held: Authorization, uscc: str) -> str | None:
    """The newest consent that this client asked this enterprise for by redirect, in the very same terms."""
    same = requests.c.client == held.client, requests.c.details == canonical.encode(held.details).decode()
    newest = select(requests.c.consent).where(*same, requests.c.uscc == uscc)
    return tx.scalar(newest.order_by(requests.c.id.desc()).limit(1))


def attach(tx: Connection, held: Authorization, consent_id: str, uscc: str) -> None:
    """Note the consent that the request became. The caller holds the row's lock."""
    mine = update(requests).where(requests.c.id == held.id)
    tx.execute(mine.values(consent=consent_id, uscc=uscc))


def give_code(tx: Connection, held: Authorization, person: str, granted: Mapping[str, Any]) -> str:
    """A code for what was granted; a code given before, and not spent, is good no longer.

    So whoever clicks twice reaches the client with the one code that works. Raises Conflict (`code-spent`).
    """
    code, now = ids.new_secret(), clock.now()
    unspent = update(requests).where(requests.c.id == held.id, requests.c.token.is_(None))
    values = {"answered_at": now, "person": person, "granted": canonical.encode(granted).decode()}
    if not tx.execute(unspent.values(**values, code=tokens.token_hash(code), code_given_at=now)).rowcount:
        raise Conflict("the institution has its answer already", slug="code-spent")
    return code


def of_code(tx: Connection, code: str, client_id: str) -> Authorization | None:
    """What a code stands for, if it is this client's, young, and unspent.

    A spent one that comes back, by its own client, ends the token that it bought (RFC 6749 §4.1.2): someone has
    learnt it. The caller commits.
    """
    mine = requests.c.code == tokens.token_hash(code), requests.c.client == client_id
    row = tx.execute(_WITH_CLIENT.where(*mine)).one_or_none()
    if row is None:
        return None
    if row.token is not None:
        tokens.revoke(tx, row.token)
        return None
    return _authorization(row) if row.code_given_at > clock.now() - CODE_LIFE else None


def spend_code(tx: Connection, held: Authorization, bought: bytes) -> bool:
    """Spend the code for a token (its hash). False where another request was faster: its token ends."""
    unspent = requests.c.id == held.id, requests.c.token.is_(None)
    if tx.execute(update(requests).where(*unspent).values(token=bought)).rowcount:
        return True
    tokens.revoke(tx, tx.scalar(select(requests.c.token).where(requests.c.id == held.id)) or b"")
    return False


def granted_with(tx: Connection, bought: bytes) -> Mapping[str, Any] | None:
    """What was granted with a token (its hash) that a code bought, as it was then."""
    granted = tx.scalar(select(requests.c.granted).where(requests.c.token == bought))
    found: Mapping[str, Any] | None = orjson.loads(granted) if granted is not None else None
    return found


def tidy(tx: Connection) -> int:
    """Delete requests that nothing can come of any more. Returns how many."""
    now = clock.now()
    unopened = requests.c.opened_at.is_(None) & (requests.c.pushed_at < now - PUSHED_LIFE)
    over = requests.c.pushed_at < now - (OPEN_LIFE + tokens.CLIENT_TOKEN_LIFE + KEEP)
    return tx.execute(delete(requests).where(or_(unopened, over))).rowcount


def _authorization(row: Any) -> Authorization:
    plain = {name: getattr(row, name) for name in _PLAIN}
    granted = orjson.loads(row.granted) if row.granted is not None else None
    return Authorization(**plain, details=orjson.loads(row.details), granted=granted)


def _unknown() -> NotFound:
    return NotFound("this request is unknown, was opened before, or has waited too long", slug="request-unknown")


_PLAIN = tuple(name for name in Authorization.__slots__ if name not in ("details", "granted", "code_challenge_method"))
_WITH_CLIENT = (
    select(
        requests,
        client.c.institution,
        institution.c.name.label("institution_name"),
        institution.c.kind.label("institution_kind"),
    )
    .join(client, client.c.id == requests.c.client)
    .join(institution, institution.c.id == client.c.institution)
)
_MAY_ASK = client.c.status == "active", institution.c.status == "approved"
