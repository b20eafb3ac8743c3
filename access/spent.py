# SPDX-License-Identifier: Apache-2.0
"""What may be used once: the `jti` of assertions and of DPoP proofs. One insert decides, whoever else tries.

A use is known by a hash of whose it is and of its decoded `jti`, never of the text that was sent: however a JWT is
spelt, or its signature varied, it is the same use. It is remembered until its JWT could not be accepted anyway, and
LONGER for those that were judged just before and are still under way.

Assertions, and proofs sent to an OAuth2 endpoint, are remembered durably. Proofs at resources go where commits wait
for no disk (docs/adr/0040).
"""

import hashlib
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete
from sqlalchemy.dialects import postgresql, sqlite

from access.models import spent, spent_proof
from kernel import clock, db
from kernel.prepared import Prepared

LONGER = timedelta(minutes=1)  # than any wait for a connection, a turn and a lock; and clocks of machines differ


@dataclass(frozen=True, slots=True)
class Use:
    """One use: its key, until when a second one must be refused, and what makes the error for it."""

    key: bytes
    until: datetime
    again: Callable[[], Exception]


def key_of(kind: str, owner: str, jti: str) -> bytes:
    """The key of a use: its kind, whose it is, and the decoded `jti`."""
    return hashlib.sha256(f"{kind}\0{owner}\0{jti}".encode()).digest()


def spend(uses: Iterable[Use]) -> None:
    """Spend some uses durably; raises the error of the first that was spent before."""
    for use in uses:
        with db.single_write() as tx:
            spend_in(tx, use)


def spend_in(tx: Connection, use: Use) -> None:
    """Spend a use in the caller's transaction; raises its error where it was spent before."""
    if not try_in(tx, use):
        raise use.again()


def try_in(tx: Connection, use: Use) -> bool:
    """Spend a use in the caller's transaction; whether it was not spent before."""
    return _take(tx, _SPEND, use)


def require_all(uses: Iterable[Use], fresh: Container[bytes]) -> None:
    """Raise the error of the first use that is not among the fresh."""
    for use in uses:
        if use.key not in fresh:
            raise use.again()


def burn(uses: Iterable[Use]) -> None:
    """Spend what is not spent yet: what was shown once is never good again, whatever became of the request."""
    for use in uses:
        with db.single_write() as tx:
            _take(tx, _SPEND, use)


def spend_proof(use: Use) -> None:
    """Spend a proof sent to a resource; raises its error where it was spent before."""
    with db.unflushed() as tx:
        if not _take(tx, _SPEND_PROOF, use):
            raise use.again()


def tidy(tx: Connection) -> int:
    """Forget what no longer needs remembering. Returns how many."""
    over = clock.now() - LONGER
    return sum(tx.execute(delete(table).where(table.c.until < over)).rowcount for table in (spent, spent_proof))


def _take(tx: Connection, by_dialect: dict[str, Prepared], use: Use) -> bool:
    """Whether the use was not spent before; the one insert that decides."""
    return by_dialect[tx.dialect.name].one_or_none(tx, {"use": use.key, "ends": use.until}) is not None


def _spending(table: Table) -> dict[str, Prepared]:
    by_dialect = {}
    for name, dialect in (("postgresql", postgresql), ("sqlite", sqlite)):
        row: Any = dialect.insert(table).values(key=bindparam("use"), until=bindparam("ends"))
        by_dialect[name] = Prepared(row.on_conflict_do_nothing().returning(table.c.key))
    return by_dialect


_SPEND, _SPEND_PROOF = _spending(spent), _spending(spent_proof)
