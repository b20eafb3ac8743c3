# SPDX-License-Identifier: Apache-2.0
"""Clients that sign, with their keys: read from the database, or remembered as they were when last read.

What is remembered is a guess. Whoever acts on it does so in a statement that asks `still_as_seen`, which leaves only
those of whom everything that was read is still so. A client that was disabled, a key that ended, an institution that
was closed, a switch that was pulled: each counts at the very next request in every process, and nothing is told to
anyone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Select, column

from access import registered
from access.client_keys import Held
from access.models import client, client_key
from access.registered import Client
from kernel import clock
from kernel.prepared import Prepared

MOST_REMEMBERED = 4096  # clients; then the one that was read longest ago is forgotten

_KEY = client_key.c.kid, client_key.c.jwk, client_key.c.expires_at
_READ = registered.with_party(*_KEY, of=client_key)
_WITH_KEYS = Prepared(_READ.order_by(client_key.c.created_at))
# What was seen of a client and one key of it: its id, and each column that `find` reads.
SEEN = column("sought", client.c.id.type), *(column(f"seen_{each.key}", each.type) for each in _READ.selected_columns)


@dataclass(frozen=True, slots=True)
class Seen:
    """A client as it was when it was last read."""

    client: Client
    rows: Sequence[Any]

    def parameters(self, key: Held) -> Mapping[str, Any]:
        """What was seen of the client and this key of it, by the names of `SEEN`."""
        row = next(each for each in self.rows if each.jwk == key.jwk)
        return {"sought": row.id, **dict(zip(_SEEN, row, strict=True))}


def still_as_seen(asked: FromClause, *columns: ColumnElement[Any]) -> Select[Any]:
    """Of those rows of `asked`, which has the columns of `SEEN`, whose client is what they say: these columns."""
    so = [each.is_not_distinct_from(asked.c[f"seen_{each.key}"]) for each in _READ.selected_columns]
    read = registered.with_party(*_KEY, of=client_key, sought=asked.c.sought)
    # True of all, and of one in 200 as PostgreSQL guesses: so it looks each up by its key, and reads no table through.
    few = asked.c.sought == asked.c.seen_id
    return read.with_only_columns(*columns).where(few, *so)


def find(tx: Connection, client_id: str) -> Client | None:
    """A client by its id, with its keys; disabled ones included (nothing that they sign is taken)."""
    rows = _WITH_KEYS.all(tx, {"sought": client_id})
    _remember(client_id, rows)
    return _made(rows, clock.now()) if rows else None


def recall(client_id: str, now: datetime) -> Seen | None:
    """What `find` would make now of what it last read, if it ever read such a client."""
    rows = _remembered.get(client_id)
    return Seen(_made(rows, now), rows) if rows else None


def _made(rows: Sequence[Any], now: datetime) -> Client:
    live = [each for each in rows if each.jwk and (each.expires_at is None or each.expires_at > now)]
    return registered.made(rows[0], keys=tuple(Held(each.kid, each.jwk) for each in live))


def _remember(client_id: str, rows: Sequence[Any]) -> None:
    with _one_at_a_time:  # who recalls needs no lock: it takes all rows of a client, or none
        _remembered.pop(client_id, None)
        if rows:
            _remembered[client_id] = rows
            while len(_remembered) > MOST_REMEMBERED:
                del _remembered[next(iter(_remembered))]


_SEEN = [each.key for each in SEEN[1:]]
_remembered: dict[str, Sequence[Any]] = {}
_one_at_a_time = Lock()
