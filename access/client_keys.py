# SPDX-License-Identifier: Apache-2.0
"""The public keys of clients that sign: registered by value, or published by the client at a URL.

By value, a rotation registers the new keys at once and lets those before live on for an overlap. By URL, the client
makes its own overlap, by publishing both; what it no longer publishes ends with the next fetch. Fetching is done by
`connectors`, ahead of time and never for a request; a `kid` that is not known here makes the next fetch due.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import Connection, delete, insert, select, update

from access.models import client_jwks, client_key
from kernel import canonical, clock, db, jose
from kernel.errors import Conflict, Invalid
from kernel.jose import Jwt, PublicKey, Unacceptable

MOST_KEYS = 10  # that live at once
MOST_KID = 200
MOST_URI = 2_000
FETCH_EVERY = timedelta(minutes=15)
WISHED_EVERY = timedelta(minutes=1)  # how often unknown kids can make a fetch due
_URI = re.compile(r"https?://[!-~]+")  # http only into networks that the operator lists: `connectors` judges
_WANTED = f"send a JWK set (RFC 7517 §5) of 1 to {MOST_KEYS} keys, each {jose.WANTED}"


@dataclass(frozen=True, slots=True)
class Held:
    """A live key of a client as it is stored."""

    kid: str | None
    jwk: str

    @property
    def key(self) -> PublicKey:
        return _parsed(self.jwk)


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys to be registered: by value, or a URL where they are published; and the algorithms that they may sign with.

    Empty `algorithms` allow each key those of its kind.
    """

    jwks: Mapping[str, Any] | None = None
    uri: str | None = None
    algorithms: tuple[str, ...] = ()


def checked(jwks: Any, *, skipping: bool = False) -> list[dict[str, Any]]:
    """The JWKs of a set; raises Invalid unless there are 1 to MOST_KEYS, each of them good and there once.

    `skipping` leaves out what is no key for signing, as a published set may hold more than we were meant to read.
    """
    listed = jwks.get("keys") if isinstance(jwks, Mapping) else None
    if not isinstance(listed, list):
        raise _invalid(_WANTED)
    good = {}
    for jwk in listed:
        try:
            key = jose.public_key(jwk if isinstance(jwk, Mapping) else {})
        except Unacceptable as error:
            if skipping:
                continue
            raise _invalid(_WANTED) from error
        kid = jwk.get("kid")
        if kid is not None and not (isinstance(kid, str) and 1 <= len(kid) <= MOST_KID and "\0" not in kid):
            raise _invalid(f"a kid has 1 to {MOST_KID} characters")
        good[key.thumbprint()] = {**key.as_dict(private=False), **({"kid": kid} if kid else {})}
    if not 1 <= len(good) <= MOST_KEYS or (len(good) < len(listed) and not skipping):
        raise _invalid(_WANTED)
    return list(good.values())


def register(tx: Connection, client_id: str, keys: Keys) -> list[str]:
    """Register a new client's keys. Returns the thumbprints of those that are here already. Raises Invalid."""
    if (keys.jwks is None) == (keys.uri is None):
        raise _invalid("give either the keys or the URL where they are published")
    if keys.uri is not None:
        point_to(tx, client_id, keys.uri)
        return []
    return replace(tx, client_id, checked(keys.jwks), timedelta())


def replace(tx: Connection, client_id: str, jwks: Sequence[Mapping[str, Any]], overlap: timedelta) -> list[str]:
    """Let exactly these keys live, and those before for an overlap more. Returns the thumbprints of the new ones.

    Raises Conflict where more than MOST_KEYS would live.
    """
    now, own = clock.now(), client_key.c.client == client_id
    wanted = {jose.public_key(jwk).thumbprint(): jwk for jwk in jwks}
    tx.execute(delete(client_key).where(own, client_key.c.expires_at <= now))
    held = {row.thumbprint: row for row in tx.execute(select(client_key).where(own))}
    leaving = [each for each, row in held.items() if each not in wanted]
    for thumbprint in leaving:
        _end(tx, client_id, held[thumbprint], now + overlap)
    new = {each: jwk for each, jwk in wanted.items() if each not in held}
    staying = [each for each in held if each in wanted]
    tx.execute(update(client_key).where(own, client_key.c.thumbprint.in_(staying)).values(expires_at=None))
    if len(wanted) + (len(leaving) if overlap > timedelta() else 0) > MOST_KEYS:
        raise Conflict(f"more than {MOST_KEYS} keys would live: shorten the overlap", slug="too-many-keys")
    for thumbprint, jwk in new.items():
        kept = {"client": client_id, "thumbprint": thumbprint, "kid": jwk.get("kid"), "created_at": now}
        tx.execute(insert(client_key).values(**kept, jwk=canonical.encode(dict(jwk)).decode()))
    return sorted(new)


def thumbprints(tx: Connection, client_id: str) -> list[str]:
    """Those of a client's stored keys, in the order of their text."""
    return sorted(tx.scalars(select(client_key.c.thumbprint).where(client_key.c.client == client_id)))


def fitting(held: Iterable[Held], jwt: Jwt, kid: str | None) -> list[Held]:
    """The keys that may have signed a JWT: those of its `kid` where it names one, that can do its `alg`."""
    named = [each for each in held if kid is None or each.kid == kid]
    return [each for each in named if jwt.algorithm in jose.algorithms_of(each.key)]


def point_to(tx: Connection, client_id: str, uri: str) -> None:
    """Have a client's keys fetched from a URL from now on, at once for the first time. Raises Invalid."""
    if not _URI.fullmatch(uri):
        raise Invalid("the keys' URL cannot be called", errors={"jwks_uri": ["must begin with https://"]})
    publish_nowhere(tx, client_id)
    now = clock.now()
    tx.execute(insert(client_jwks).values(client=client_id, uri=uri, due_at=now, wished_at=now, failures=0))


def publish_nowhere(tx: Connection, client_id: str) -> None:
    """Fetch a client's keys no more; those that were fetched stay."""
    tx.execute(delete(client_jwks).where(client_jwks.c.client == client_id))


def wish(client_id: str) -> None:
    """Make a client's next fetch due, where its keys are published and it was not wished within WISHED_EVERY.

    Anyone can make us wish, by a made-up kid: that costs a lookup, and a write once in a while.
    """
    now = clock.now()
    stale = client_jwks.c.client == client_id, client_jwks.c.due_at > now, client_jwks.c.wished_at < now - WISHED_EVERY
    with db.reading() as reading:
        is_stale = reading.scalar(select(client_jwks.c.client).where(*stale)) is not None
    if is_stale:
        with db.transaction() as tx:
            tx.execute(update(client_jwks).where(*stale).values(due_at=now, wished_at=now))


def due(tx: Connection) -> list[tuple[str, str]]:
    """(client, URL) of the fetches that are due, the longest first."""
    waiting = select(client_jwks.c.client, client_jwks.c.uri).where(client_jwks.c.due_at <= clock.now())
    return [(row.client, row.uri) for row in tx.execute(waiting.order_by(client_jwks.c.due_at))]


def note_fetch(tx: Connection, client_id: str, fault: str | None) -> None:
    """Note how a fetch went, and when the next is due: after a fault sooner, but ever later."""
    failed = tx.scalar(select(client_jwks.c.failures).where(client_jwks.c.client == client_id)) or 0
    now = clock.now()
    if fault is None:
        said: dict[str, Any] = {"fetched_at": now, "failures": 0, "fault": None, "due_at": now + FETCH_EVERY}
    else:
        rest = min(FETCH_EVERY, timedelta(seconds=15) * 2 ** min(failed, 8))
        said = {"failures": failed + 1, "fault": fault[:200], "due_at": now + rest}
    tx.execute(update(client_jwks).where(client_jwks.c.client == client_id).values(**said))


def shown(tx: Connection, client_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """For lists, by client: `{"keys": [{"thumbprint", "kid", "kty", "created_at", "expires_at"}], "jwks_uri", …}`."""
    by_client: dict[str, dict[str, Any]] = {}
    ids = list(client_ids)
    for row in tx.execute(select(client_key).where(client_key.c.client.in_(ids)).order_by(client_key.c.created_at)):
        if row.expires_at is None or row.expires_at > clock.now():
            told = {"thumbprint": row.thumbprint, "kid": row.kid, "kty": orjson.loads(row.jwk)["kty"]}
            told |= {"created_at": clock.rfc3339(row.created_at), "expires_at": _when(row.expires_at)}
            by_client.setdefault(row.client, {}).setdefault("keys", []).append(told)
    for row in tx.execute(select(client_jwks).where(client_jwks.c.client.in_(ids))):
        fetched = {"jwks_uri": row.uri, "jwks_fetched_at": _when(row.fetched_at), "jwks_fault": row.fault}
        by_client.setdefault(row.client, {}).update(fetched)
    return by_client


def tidy(tx: Connection) -> int:
    """Delete keys whose overlap is over. Returns how many."""
    return tx.execute(delete(client_key).where(client_key.c.expires_at < clock.now())).rowcount


def _end(tx: Connection, client_id: str, row: Any, at: datetime) -> None:
    """End a key at `at`, or earlier where it was to end earlier; at once where that is now."""
    this = client_key.c.client == client_id, client_key.c.thumbprint == row.thumbprint
    if at <= clock.now():
        tx.execute(delete(client_key).where(*this))
    elif row.expires_at is None or row.expires_at > at:
        tx.execute(update(client_key).where(*this).values(expires_at=at))


@lru_cache(maxsize=1024)
def _parsed(jwk: str) -> PublicKey:
    # By its text: another version of a key is another text, so nothing here can be out of date.
    return jose.public_key(orjson.loads(jwk))


def _when(instant: datetime | None) -> str | None:
    return clock.rfc3339(instant) if instant else None


def _invalid(told: str) -> Invalid:
    return Invalid(told, errors={"jwks": [told]})
