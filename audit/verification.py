# SPDX-License-Identifier: Apache-2.0
"""Recompute the trail from its own bytes and name every entry that is not what was written.

The sealed entries are read once, streaming, in the order of their leaves: each is looked at (`audit.rows`), and the
tree is grown anew from them and held against the tiles, against every checkpoint's root and signature, and against
the log as it was published (`audit.growth`). Then those that wait to be sealed, those that the sealer missed, and what
is neither.

What no check here can find: an entry removed together with its note before it was sealed, or rewritten together
with its leaf hash; and a log rolled back together with its published files. Those show against a receipt, an
institution's own copy, or a witness.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from audit import growth, missed, rows, sections
from audit.growth import MOST, Fault
from audit.models import entry as entries
from audit.models import leaf as leaves
from audit.models import log_head, unsealed
from kernel.prepared import Prepared

ROWS_AT_ONCE = 2_000

__all__ = ["Fault", "Report", "verify"]


@dataclass(frozen=True, slots=True)
class Report:
    """What a check of the trail found. Before any sealing the tree has size 0 and no root."""

    ok: bool
    entries: int
    size: int
    root: str | None
    unsealed: int
    faults: tuple[Fault, ...]


@dataclass(slots=True)
class _Count:
    tell: Callable[[int], None]
    sealed: int = 0
    others: int = 0

    def of_sealed(self, there: int) -> None:
        self.sealed = there
        self.tell(there)


def verify(tx: Connection, published: Path | None = None, tell: Callable[[int], None] = lambda done: None) -> Report:
    """Check every entry and the whole tree; memory stays flat whatever their number, and however many are wrong.

    `published` is the folder of the log as files, if there is one; `tell` hears how many entries were looked at.
    At most MOST faults are told. What is sealed meanwhile is left to the next check.
    """
    count = _Count(tell)
    head: Any = tx.execute(select(log_head)).one_or_none()
    size = head.size if head else 0
    of_log = growth.faults(tx, head.origin, size, published, count.of_sealed) if size else iter(())
    all_faults = chain(of_log, growth.strays(tx, size), _waiting(tx, count), _missed(tx), _strays(tx, count))
    faults = tuple(islice(_once(all_faults), MOST))
    waiting = tx.scalar(select(func.count()).select_from(unsealed)) or 0
    root = growth.signed_root(tx, size)
    return Report(not faults, count.sealed + count.others, size, root.hex() if root else None, waiting, faults)


def _once(faults: Iterator[Fault]) -> Iterator[Fault]:
    """Each entry's first fault; what follows from it is not told again."""
    named: set[str] = set()
    for fault in faults:
        if fault.kind != "entry" or fault.entry not in named:
            named.add(fault.entry)
            yield fault


def _waiting(tx: Connection, count: _Count) -> Iterator[Fault]:
    """The entries noted as unsealed."""
    after = ""
    while found := sections.fetched(tx, _NOTED, {"after": after}):
        for row in found:
            if row.id is None:
                yield Fault(row.noted, "deleted: it was noted as unsealed and is no longer there")
            elif row.place is not None:
                yield Fault(row.noted, "edited: it is noted as unsealed, and sealed")
            else:
                count.others += 1
                if told := rows.fault(row):
                    yield Fault(row.noted, told)
        after = found[-1].noted


def _missed(tx: Connection) -> Iterator[Fault]:
    """The entries that were gone when they were to be sealed: what the trail itself tells."""
    for entry, told_by in missed.told(tx):
        yield Fault(entry, f"deleted: it was gone before it was sealed, as the entry {told_by} tells")


def _strays(tx: Connection, count: _Count) -> Iterator[Fault]:
    """The entries that are neither sealed nor noted. One statement, so that none is sealed between two looks."""
    for entry in tx.scalars(_STRAYS):
        count.others += 1
        yield Fault(entry, "inserted, or its note removed: it is neither sealed nor noted as unsealed")


_JOINED = unsealed.outerjoin(entries, entries.c.id == unsealed.c.entry).outerjoin(
    leaves, leaves.c.entry == unsealed.c.entry
)
_NOTED = Prepared(
    select(*rows.COLUMNS, unsealed.c.entry.label("noted"), leaves.c.index.label("place"))
    .select_from(_JOINED)
    .where(unsealed.c.entry > bindparam("after"))
    .order_by(unsealed.c.entry)
    .limit(ROWS_AT_ONCE)
)
_STRAYS = (
    select(entries.c.id)
    .where(~select(leaves.c.index).where(leaves.c.entry == entries.c.id).exists())
    .where(~select(unsealed.c.entry).where(unsealed.c.entry == entries.c.id).exists())
    .limit(MOST)
)
