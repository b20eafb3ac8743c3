# SPDX-License-Identifier: Apache-2.0
"""Data keys wrapped anew, and folios encrypted anew, beside live questions and deliveries.

Both walk over all enterprises in order of USCC, some in each transaction, and note how far they are: cut off, the
next run goes on there. A question reads keys and folios in one statement, so it sees an enterprise before or after.

Encrypting anew gives each enterprise a new data key, of the suite that new keys get, and encrypts its folios and
overlays under it; what they say stays, byte for byte. A delivery or compaction that holds the old key meanwhile may
still write under it, so old keys go only at the end, when nobody can hold one (`_forget_old_keys`), and only those
that nothing refers to.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, exists, insert, select, text, update

from audit import trail
from audit.events import Event
from bureau import vault
from bureau.models import data_key, folio, overlay, publication_head, rekey_walk
from bureau.publications import wait_in_line
from kernel import bulk, db, keys
from kernel.keys import Key

DATA_KEYS, FOLIOS = "data-keys", "folios"
KEYS_AT_ONCE = 2_000
ENTERPRISES_AT_ONCE = 50


@dataclass(slots=True)
class Reencrypted:
    """How many of each were encrypted anew, and how many old data keys went."""

    enterprises: int = 0
    folios: int = 0
    overlays: int = 0
    keys_removed: int = 0


def begin(tx: Connection, kind: str) -> None:
    """Note that a walk begins. The caller commits."""
    tx.execute(insert(rekey_walk).values(kind=kind, after="", done=0))


def is_walking(tx: Connection, kind: str) -> bool:
    return tx.scalar(select(rekey_walk.c.kind).where(rekey_walk.c.kind == kind)) is not None


def rewrap(tell: Callable[[int], None] = lambda done: None) -> int:
    """Wrap every data key under the newest purpose key. Returns how many enterprises were done, in all runs."""
    while True:
        with trail.recording() as tx:
            done, usccs = _next(tx, DATA_KEYS, KEYS_AT_ONCE)
            if not usccs:
                _end(tx, DATA_KEYS, Event.DATA_KEYS_REWRAPPED, {"enterprises": done})
                return done
            newest = keys.purpose("records").version
            old = data_key.c.wrapped_by != newest
            rows = tx.execute(select(data_key).where(bulk.among(tx, data_key.c.uscc, usccs), old)).all()
            wrapped = [vault.wrapped_row(row.uscc, vault.unwrapped(row)) for row in rows]
            if wrapped:
                tx.execute(_REWRAP, [{**row, "of": row["uscc"], "numbered": row["version"]} for row in wrapped])
            _move(tx, DATA_KEYS, usccs[-1], done + len(usccs))
        tell(done + len(usccs))


def reencrypt(tell: Callable[[int], None] = lambda done: None) -> Reencrypted:
    """Encrypt all folios and overlays under new data keys. Returns what this run did.

    Raises Altered where one does not open: restore it, then run again.
    """
    total = Reencrypted()
    with db.transaction() as tx:
        if not is_walking(tx, FOLIOS):
            begin(tx, FOLIOS)
    while True:
        with trail.recording() as tx:
            done, usccs = _next(tx, FOLIOS, ENTERPRISES_AT_ONCE)
            if not usccs:
                total.keys_removed = _forget_old_keys(tx)
                suite = keys.new_key().suite.name
                detail = {"enterprises": done, "suite": suite, "keys_removed": total.keys_removed}
                _end(tx, FOLIOS, Event.VAULT_REENCRYPTED, detail)
                return total
            _reencrypt_some(tx, usccs, total)
            _move(tx, FOLIOS, usccs[-1], done + len(usccs))
        tell(done + len(usccs))


def _reencrypt_some(tx: Connection, usccs: Sequence[str], total: Reencrypted) -> None:
    opened = vault.held_keys(tx, usccs)
    renewed = {uscc: keys.new_key(max(opened[uscc]) + 1) for uscc in usccs}
    tx.execute(insert(data_key), [vault.wrapped_row(uscc, key) for uscc, key in renewed.items()])
    rows = tx.execute(select(folio).where(bulk.among(tx, folio.c.uscc, usccs)).with_for_update()).all()
    if rows:
        tx.execute(_FOLIO, [_folio(row, opened[row.uscc], renewed[row.uscc]) for row in rows])
    laid = tx.execute(select(overlay).where(bulk.among(tx, overlay.c.uscc, usccs)).with_for_update()).all()
    if laid:
        tx.execute(_OVERLAY, [_overlay(row, opened[row.uscc], renewed[row.uscc]) for row in laid])
    total.enterprises += len(usccs)
    total.folios += len(rows)
    total.overlays += len(laid)


def _folio(row: Any, opened: Mapping[int, Key], key: Key) -> dict[str, Any]:
    number = getattr(row, "class")
    packed = vault.decrypt_folio(opened, row.uscc, number, row)
    ciphertext = vault.encrypt_folio(key, row.uscc, number, row.batch, row.part, packed)
    place = {"of": row.uscc, "number": number, "from_batch": row.batch, "from_part": row.part}
    return {**place, "key_version": key.version, "suite": key.suite.number, "ciphertext": ciphertext}


def _overlay(row: Any, opened: Mapping[int, Key], key: Key) -> dict[str, Any]:
    number = getattr(row, "class")
    content = vault.open_overlay(opened, row.uscc, number, row.id, row)
    ciphertext = vault.encrypt_overlay(key, row.uscc, number, row.id, content)
    return {
        "of": row.uscc,
        "laid": row.id,
        "key_version": key.version,
        "suite": key.suite.number,
        "ciphertext": ciphertext,
    }


def _forget_old_keys(tx: Connection) -> int:
    """Remove the data keys that are not their enterprise's newest and that nothing refers to. Returns how many.

    First it waits for whoever may hold one: a delivery's chunk has claimed its batch, a compactor has locked folios,
    and who lays an overlay has the head of the publications (on SQLite one writes at a time anyway).
    """
    wait_in_line(tx)
    if tx.dialect.name == "postgresql":
        tx.execute(text("LOCK TABLE open_batch, folio IN EXCLUSIVE MODE"))
    tx.execute(select(publication_head.c.number).with_for_update())
    newer = data_key.alias()
    is_newest = ~exists().where(newer.c.uscc == data_key.c.uscc, newer.c.version > data_key.c.version)
    in_folio = exists().where(folio.c.uscc == data_key.c.uscc, folio.c.key_version == data_key.c.version)
    in_overlay = exists().where(overlay.c.uscc == data_key.c.uscc, overlay.c.key_version == data_key.c.version)
    return tx.execute(delete(data_key).where(~is_newest, ~in_folio, ~in_overlay)).rowcount


def _next(tx: Connection, kind: str, limit: int) -> tuple[int, list[str]]:
    """How many enterprises the walk has done, and those that come next. Keeps other walkers off until the commit."""
    wait_in_line(tx)
    at = tx.execute(select(rekey_walk).where(rekey_walk.c.kind == kind).with_for_update()).one()
    some = select(data_key.c.uscc).where(data_key.c.uscc > at.after).distinct().order_by(data_key.c.uscc)
    return at.done, list(tx.scalars(some.limit(limit)))


def _move(tx: Connection, kind: str, after: str, done: int) -> None:
    tx.execute(update(rekey_walk).where(rekey_walk.c.kind == kind).values(after=after, done=done))


def _end(tx: Connection, kind: str, event: Event, detail: dict[str, Any]) -> None:
    tx.execute(delete(rekey_walk).where(rekey_walk.c.kind == kind))
    trail.append(tx, trail.Entry(type=event, actor="counter", channel="counter", detail=detail))


_REWRAP = (
    update(data_key)
    .where(data_key.c.uscc == bindparam("of"), data_key.c.version == bindparam("numbered"))
    .values(wrapped_by=bindparam("wrapped_by"), wrapped=bindparam("wrapped"))
)
_FOLIO = (
    update(folio)
    .where(
        folio.c.uscc == bindparam("of"),
        folio.c["class"] == bindparam("number"),
        folio.c.batch == bindparam("from_batch"),
        folio.c.part == bindparam("from_part"),
    )
    .values(key_version=bindparam("key_version"), suite=bindparam("suite"), ciphertext=bindparam("ciphertext"))
)
_OVERLAY = (
    update(overlay)
    .where(overlay.c.uscc == bindparam("of"), overlay.c.id == bindparam("laid"))
    .values(key_version=bindparam("key_version"), suite=bindparam("suite"), ciphertext=bindparam("ciphertext"))
)
