# SPDX-License-Identifier: Apache-2.0
"""A client's token is kept, and what it was asked for with is spent: both durably, or neither.

On PostgreSQL one statement, hence one round trip, one commit and one flush; and for those who come the short way,
one for all whose requests came while the last one was under way.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, Integer, Select, Text, bindparam, cast, column, func, insert, literal, select
from sqlalchemy.dialects import postgresql

from access import signing_clients, spent, tokens
from access.models import spent as spending
from access.models import token
from access.spent import Use
from kernel import db
from kernel.prepared import Prepared
from kernel.together import Together

MOST_USES = 2  # an assertion and a proof
MOST_AT_ONCE = 64
PATIENCE_S = 1.0  # for another's statement, which takes milliseconds
_STORED = ("hash", "client", "scopes", "issued_at", "expires_at", "jkt")


class Granted(NamedTuple):
    """A token that may be kept while its client is as it was seen: that, the use to spend, the token's row."""

    seen: Mapping[str, Any]
    use: Use
    row: Mapping[str, Any]


def store(uses: Sequence[Use], secret: str, scopes: frozenset[str], client_id: str, jkt: str | None = None) -> None:
    """Keep a token and spend its uses. Raises the error of a use that was spent before."""
    values = tokens.row(secret, scopes, tokens.CLIENT_TOKEN_LIFE, client_id=client_id, jkt=jkt)
    with db.single_write() as tx:
        if uses and tx.dialect.name == "postgresql":
            for number, use in enumerate(uses):
                values |= {f"key_{number}": use.key, f"until_{number}": use.until}
            fresh = {row.key for row in _STORING[len(uses) - 1].all(tx, values)}
            spent.require_all(uses, fresh)
        else:
            for use in uses:
                spent.spend_in(tx, use)
            tx.execute(insert(token), values)


def store_as_seen(seen: Mapping[str, Any], use: Use, secret: str, scopes: frozenset[str], client_id: str) -> bool:
    """The same with one use, if the client is still as it was seen (`access/signing_clients.py`).

    False, and nothing was done, where it is not, or where the use was spent before.
    """
    row = tokens.row(secret, scopes, tokens.CLIENT_TOKEN_LIFE, client_id=client_id)
    return _store_together(Granted(seen, use, row))


def store_all_as_seen(granted: Sequence[Granted]) -> Sequence[bool]:
    """The same for several at once: whether each was kept. Of those with the same use it is the first."""
    with db.single_write() as tx:
        if tx.dialect.name != "postgresql":
            return [_store_as_seen(tx, each) for each in granted]
        told = [
            {"number": number, "key": each.use.key, "until": each.use.until, **each.seen, **each.row}
            for number, each in enumerate(granted)
        ]
        kept = {row.number for row in _STORING_AS_SEEN.all(tx, {"granted": orjson.dumps(told, _in_hex).decode()})}
        return [number in kept for number in range(len(granted))]


def _store_as_seen(tx: Connection, granted: Granted) -> bool:
    if _AS_SEEN.one_or_none(tx, granted.seen) is None or not spent.try_in(tx, granted.use):
        return False
    tx.execute(insert(token), granted.row)
    return True


def _storing(count: int) -> Prepared:
    """Take so many uses, and keep the token if all of them were fresh; returns the fresh ones' keys."""
    uses = [{each.name: bindparam(f"{each.name}_{number}", type_=each.type) for each in spending.c}
            for number in range(count)]  # fmt: skip
    fresh = postgresql.insert(spending).values(uses).on_conflict_do_nothing().returning(spending.c.key).cte("fresh")
    kept: Select[Any] = select(*(bindparam(name, type_=token.c[name].type) for name in _STORED))
    all_fresh = select(func.count()).select_from(fresh).scalar_subquery() == count
    storing = insert(token).from_select(_STORED, kept.where(all_fresh)).cte("storing")
    return Prepared(select(fresh.c.key).add_cte(storing))


def _storing_as_seen() -> Prepared:
    """Of what was granted, as JSON, take what is still as it was seen and whose use is fresh; returns its numbers.

    Uses are taken in the order of their keys, so that two of these never wait for each other.
    """
    use_and_row = column("number", Integer), *spending.c, *(token.c[name] for name in _STORED)
    told = [column(each.key, each.type) for each in (*use_and_row, *signing_clients.SEEN)]
    recordset = func.json_to_recordset(cast(bindparam("granted", type_=Text), postgresql.JSON)).table_valued(*told)
    granted = recordset.render_derived(name="granted", with_types=True)
    seen = signing_clients.still_as_seen(granted, *(granted.c[each.key] for each in use_and_row))
    first = seen.ext(postgresql.distinct_on(granted.c.key)).order_by(granted.c.key, granted.c.number).cte("first")
    uses = select(*(first.c[each.name] for each in spending.c)).order_by(first.c.key)
    taken = postgresql.insert(spending).from_select([each.name for each in spending.c], uses)
    fresh = taken.on_conflict_do_nothing().returning(spending.c.key).cte("fresh")
    kept = first.join(fresh, fresh.c.key == first.c.key)
    storing = insert(token).from_select(_STORED, select(*(first.c[name] for name in _STORED)).select_from(kept))
    return Prepared(select(first.c.number).select_from(kept).add_cte(storing.cte("storing")))


def _as_seen() -> Prepared:
    """One row, if the client is as the parameters say."""
    row = select(*(bindparam(each.key, type_=each.type).label(each.key) for each in signing_clients.SEEN))
    return Prepared(signing_clients.still_as_seen(row.subquery("granted"), literal(1).label("so")))


def _in_hex(value: bytes) -> str:
    return "\\x" + value.hex()


_STORING = [_storing(count) for count in range(1, MOST_USES + 1)]
_STORING_AS_SEEN, _AS_SEEN = _storing_as_seen(), _as_seen()
_store_together = Together(store_all_as_seen, MOST_AT_ONCE, PATIENCE_S)
