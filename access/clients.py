# SPDX-License-Identifier: Apache-2.0
"""OAuth2 clients of institutions and sources (RFC 6749 §2), and the rotation of their secrets and keys.

A client authenticates in one way: with a secret (client_secret_basic), or by signing (private_key_jwt).

A rotation gives a new secret at once and lets the one before live on for an overlap, so that a bank can change it
without a gap. Two secrets live at most: a further rotation ends the oldest. For keys see `access/client_keys.py`.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from access import client_keys, redirects
from access.client_keys import Keys
from access.lifecycle import COUNTER, Act
from access.models import client, client_secret, institution
from access.registered import SECRET, SIGNED, secret_hash
from audit import trail
from audit.events import Event
from kernel import clock, ids, jose
from kernel.errors import Conflict, Invalid, NotFound

INSTITUTION_SCOPES = ("credit:query", "consent:request", "consent:read", "screening:search")
SOURCE_SCOPES = ("batch:write",)
OVERLAP = timedelta(hours=24)
MAX_OVERLAP_HOURS = 720


def add(
    tx: Connection,
    party: str,
    scopes: tuple[str, ...],
    *,
    is_source: bool = False,
    per_second: int | None = None,
    dpop_bound: bool = False,
    redirect_uris: tuple[str, ...] = (),
    by: Act = COUNTER,
) -> tuple[str, str]:
    """Register a client of an institution (its id) or of a source (its code). Returns client id and secret.

    The secret is shown here once and kept as a hash. Raises NotFound for an unknown institution, Invalid for a
    scope or redirect URI that this kind of party cannot have. The caller checks that a source exists.
    """
    more = {"auth_method": SECRET, "per_second": per_second, "dpop_bound": dpop_bound}
    client_id = _register(tx, party, scopes, is_source, more, redirect_uris)
    secret = _give_secret(tx, client_id)
    _note(tx, Event.CLIENT_ADDED, client_id, by, institution=None if is_source else party, source=party)
    return client_id, secret


def add_signing(
    tx: Connection,
    party: str,
    scopes: tuple[str, ...],
    keys: Keys,
    *,
    is_source: bool = False,
    per_second: int | None = None,
    dpop_bound: bool = False,
    redirect_uris: tuple[str, ...] = (),
    by: Act = COUNTER,
) -> str:
    """Register a client that signs. Returns its id. Raises as `add`, and Invalid for keys that do not do."""
    if unknown := set(keys.algorithms) - set(jose.ALGORITHMS):
        told = f"algorithms must be of {', '.join(jose.ALGORITHMS)}"
        raise Invalid(told, errors={"algorithms": sorted(unknown)})
    more: dict[str, Any] = {"auth_method": SIGNED, "per_second": per_second, "dpop_bound": dpop_bound}
    more["algorithms"] = " ".join(keys.algorithms) or None
    client_id = _register(tx, party, scopes, is_source, more, redirect_uris)
    said = {"thumbprints": client_keys.register(tx, client_id, keys), "jwks_uri": keys.uri}
    of = None if is_source else party
    _note(tx, Event.CLIENT_ADDED, client_id, by, institution=of, source=party, auth_method=SIGNED, **said)
    return client_id


def add_as_asked(
    tx: Connection, party: str, asked: Mapping[str, Any], *, is_source: bool = False, by: Act = COUNTER
) -> tuple[str, str | None]:
    """Register a client as an administrator asked. Returns its id, and the secret of one that does not sign.

    `asked`: "scopes", and maybe "auth_method", "jwks", "jwks_uri", "algorithms", "dpop_bound", "redirect_uris",
    "per_second".
    """
    keys, scopes = keys_as_asked(asked), tuple(asked["scopes"])
    more: dict[str, Any] = {"is_source": is_source, "per_second": asked.get("per_second")}
    more |= {"dpop_bound": asked.get("dpop_bound", False), "redirect_uris": tuple(asked.get("redirect_uris", ()))}
    if asked.get("auth_method", SECRET) == SIGNED:
        return add_signing(tx, party, scopes, keys or Keys(), **more, by=by), None
    if keys is not None:
        raise Invalid(f"only a client that signs ({SIGNED}) has keys", errors={"auth_method": ["see detail"]})
    return add(tx, party, scopes, **more, by=by)


def keys_as_asked(asked: Mapping[str, Any]) -> Keys | None:
    """The keys that an administrator named: "jwks" or "jwks_uri", "algorithms"; None where none was named."""
    named = {name: asked[name] for name in ("jwks", "jwks_uri", "algorithms") if asked.get(name)}
    return Keys(named.get("jwks"), named.get("jwks_uri"), tuple(named.get("algorithms", ()))) if named else None


def rotate(tx: Connection, client_id: str, overlap: timedelta = OVERLAP, by: Act = COUNTER) -> str:
    """A new secret, shown once; the newest one before lives on for `overlap`, any older one ends. Raises NotFound."""
    _lock(tx, client_id, SECRET)
    own, now = client_secret.c.client == client_id, clock.now()
    newest = tx.scalar(select(client_secret.c.hash).where(own, client_secret.c.expires_at.is_(None)))
    if overlap <= timedelta():
        newest = None
    tx.execute(delete(client_secret).where(own, *([client_secret.c.hash != newest] if newest else [])))
    tx.execute(update(client_secret).where(own).values(expires_at=now + overlap))
    secret = _give_secret(tx, client_id)
    _note(tx, Event.CLIENT_ROTATED, client_id, by, overlap_hours=round(overlap / timedelta(hours=1), 3))
    return secret


def rotate_keys(
    tx: Connection, client_id: str, keys: Keys, overlap: timedelta = OVERLAP, by: Act = COUNTER
) -> list[str]:
    """Give a client that signs other keys, or another URL; those before live on for `overlap`.

    Returns the thumbprints of the new ones. Raises NotFound; Invalid for keys that do not do; Conflict for a client
    with a secret, and where too many keys would live. From a URL the keys before live until the first fetch.
    """
    _lock(tx, client_id, SIGNED)
    if keys.uri is not None:
        client_keys.point_to(tx, client_id, keys.uri)
        new: list[str] = []
    else:
        client_keys.publish_nowhere(tx, client_id)
        new = client_keys.replace(tx, client_id, client_keys.checked(keys.jwks), overlap)
    hours = round(overlap / timedelta(hours=1), 3)
    _note(tx, Event.CLIENT_ROTATED, client_id, by, overlap_hours=hours, thumbprints=new, jwks_uri=keys.uri)
    return new


def take_published(tx: Connection, client_id: str, jwks: Sequence[Mapping[str, Any]]) -> None:
    """Let exactly the keys live that a client publishes now; an entry where they changed. The caller commits."""
    before = client_keys.thumbprints(tx, client_id)
    client_keys.replace(tx, client_id, jwks, timedelta())
    after = client_keys.thumbprints(tx, client_id)
    if before != after:
        _note(tx, Event.CLIENT_CHANGED, client_id, Act(f"client:{client_id}"), thumbprints=after)


def disable(tx: Connection, client_id: str, by: Act = COUNTER) -> None:
    """Neither the client's secrets nor its tokens work from the commit on. Raises NotFound."""
    _set_status(tx, client_id, "disabled", Event.CLIENT_DISABLED, by)


def enable(tx: Connection, client_id: str, by: Act = COUNTER) -> None:
    """Take a disabling back; tokens that have not expired work again too. Raises NotFound."""
    _set_status(tx, client_id, "active", Event.CLIENT_ENABLED, by)


def limit(tx: Connection, client_id: str, per_second: int | None, by: Act = COUNTER) -> None:
    """Set a client's own limit of requests a second; None: what is shipped. Raises NotFound."""
    if not tx.execute(update(client).where(client.c.id == client_id).values(per_second=per_second)).rowcount:
        raise NotFound(f"no client {client_id}")
    _note(tx, Event.CLIENT_CHANGED, client_id, by, per_second=per_second)


def redirect_to(tx: Connection, client_id: str, uris: tuple[str, ...], by: Act = COUNTER) -> None:
    """Make these, and no others, where an institution's client may be answered. Raises NotFound, Invalid."""
    if tx.scalar(select(client.c.institution).where(client.c.id == client_id)) is None:
        raise NotFound(f"no institution's client {client_id}")
    redirects.register(tx, client_id, uris)
    _note(tx, Event.CLIENT_CHANGED, client_id, by, redirect_uris=list(uris))


def tidy(tx: Connection) -> int:
    """Delete secrets whose overlap is over; they have been good for nothing since. Returns how many."""
    return tx.execute(delete(client_secret).where(client_secret.c.expires_at < clock.now())).rowcount


def _register(
    tx: Connection,
    party: str,
    scopes: tuple[str, ...],
    is_source: bool,
    more: dict[str, Any],
    redirect_uris: tuple[str, ...],
) -> str:
    allowed = SOURCE_SCOPES if is_source else INSTITUTION_SCOPES
    if not scopes or (unknown := set(scopes) - set(allowed)):
        raise Invalid(f"scopes must be of {', '.join(allowed)}", errors={"scope": sorted(unknown) if scopes else []})
    if not is_source and not tx.scalar(select(institution.c.id).where(institution.c.id == party)):
        raise NotFound(f"no institution {party}: `bureau institution list` shows them")
    values: dict[str, Any] = {
        "id": ids.new_id(),
        "institution": None if is_source else party,
        "source": party if is_source else None,
        "scopes": " ".join(dict.fromkeys(scopes)),
        "status": "active",
        "created_at": clock.now(),
        **more,
    }
    tx.execute(insert(client).values(values))
    if is_source and redirect_uris:
        raise Invalid("a source asks nobody for consent", errors={"redirect_uris": ["leave them out"]})
    redirects.register(tx, values["id"], redirect_uris)
    return str(values["id"])


def _lock(tx: Connection, client_id: str, method: str) -> None:
    """Have rotations of a client queue, so that never more secrets or keys live than may. Raises NotFound, Conflict."""
    # NO KEY: else who keeps a token of this client, and all whose tokens are kept with it, would queue too.
    locked = select(client.c.auth_method).where(client.c.id == client_id).with_for_update(key_share=True)
    held = tx.scalar(locked)
    if held is None:
        raise NotFound(f"no client {client_id}")
    if held != method:
        needed = "new keys (jwks or jwks_uri)" if held == SIGNED else "no keys, it has a secret"
        raise Conflict(f"the client authenticates by {held}: its rotation takes {needed}", slug="other-auth-method")


def _give_secret(tx: Connection, client_id: str) -> str:
    secret = ids.new_secret()
    values = {"client": client_id, "hash": secret_hash(secret), "created_at": clock.now()}
    tx.execute(insert(client_secret).values(**values))
    return secret


def _set_status(tx: Connection, client_id: str, status: str, event: Event, by: Act) -> None:
    if not tx.execute(update(client).where(client.c.id == client_id).values(status=status)).rowcount:
        raise NotFound(f"no client {client_id}")
    _note(tx, event, client_id, by)


def _note(tx: Connection, event: Event, client_id: str, by: Act, **said: Any) -> None:
    of = said.pop("institution", None)
    if of is not None:
        said.pop("source", None)
    trail.append(
        tx,
        trail.Entry(
            type=event, actor=by.actor, channel=by.channel, client=client_id, institution=of, detail=said or None
        ),
    )
