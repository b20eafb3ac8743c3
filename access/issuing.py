# SPDX-License-Identifier: Apache-2.0
"""A client's token is kept, and what it was asked for with is spent: both durably, or neither.

On PostgreSQL one statement, hence one round trip, one commit and one flush.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import CTE, Select, bindparam, func, insert, select
from sqlalchemy.dialects import postgresql

from access import spent, tokens
from access.models import spent as spending
from access.models import token
from access.signing_clients import AS_SEEN
from access.spent import Use
from kernel import db
from kernel.prepared import Prepared

MOST_USES = 2  # an assertion and a proof
_STORED = ("hash", "client", "scopes", "issued_at", "expires_at", "jkt")


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
    values = tokens.row(secret, scopes, tokens.CLIENT_TOKEN_LIFE, client_id=client_id)
    with db.single_write() as tx:
        if tx.dialect.name == "postgresql":
            given = {**values, **seen, "key_0": use.key, "until_0": use.until}
            return _STORING_AS_SEEN.one_or_none(tx, given) is not None
        if _SO.one_or_none(tx, seen) is None or not spent.try_in(tx, use):
            return False
        tx.execute(insert(token), values)
        return True


def _storing(count: int) -> Prepared:
    """Take so many uses, and keep the token if all of them were fresh; returns the fresh ones' keys."""
    taken = postgresql.insert(spending).values([_use(number) for number in range(count)])
    return _keeping(taken.on_conflict_do_nothing().returning(spending.c.key).cte("fresh"), count)


def _storing_as_seen() -> Prepared:
    """The same with one use, of a client that is as it was seen; returns no key where nothing was done."""
    so, use = AS_SEEN.cte("as_seen"), _use(0)
    taken = postgresql.insert(spending).from_select(list(use), select(*use.values()).select_from(so))
    return _keeping(taken.on_conflict_do_nothing().returning(spending.c.key).cte("fresh"), 1)


def _use(number: int) -> dict[str, Any]:
    return {each.name: bindparam(f"{each.name}_{number}", type_=each.type) for each in spending.c}


def _keeping(fresh: CTE, count: int) -> Prepared:
    kept: Select[Any] = select(*(bindparam(name, type_=token.c[name].type) for name in _STORED))
    all_fresh = select(func.count()).select_from(fresh).scalar_subquery() == count
    storing = insert(token).from_select(_STORED, kept.where(all_fresh)).cte("storing")
    return Prepared(select(fresh.c.key).add_cte(storing))


_STORING = [_storing(count) for count in range(1, MOST_USES + 1)]
_STORING_AS_SEEN, _SO = _storing_as_seen(), Prepared(AS_SEEN)
