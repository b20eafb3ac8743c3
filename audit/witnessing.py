# SPDX-License-Identifier: Apache-2.0
"""The log's side of witnessing: a round in which every witness is asked to cosign the newest checkpoint.

What speaks HTTP is handed in (`Ask`); no transaction is open while it does. A round is harmless at any time, by any
number of processes, and repeated as often as one likes: a witness moves forward only.

A witness that saw more than the log has, or that says the log did not grow out of what it saw, has seen another
history: the database was restored from a backup, or someone signed twice. Then nothing more is sealed.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select

from audit import log, notes, trust, witness
from audit.growth import Fault
from audit.log import Head
from audit.models import checkpoint as checkpoints
from audit.models import cosignature as cosignatures
from audit.models import witnessed as witnessed_rows
from audit.notes import BadNote, Signature
from audit.sealing import LogBroken
from audit.trust import Witness
from kernel import clock, db

SIZES_AT_ONCE = 500


class Reply(NamedTuple):
    """What a witness answered: an HTTP status and its body; status 0 and why, where it did not."""

    status: int
    body: bytes


# Posts each body to its witness's add-checkpoint and gives the replies as they come, within a stated time.
Ask = Callable[[Sequence[tuple[Witness, bytes]]], Iterator[tuple[Witness, Reply]]]


class Round:
    """How a round goes: the checkpoint that was shown, who cosigned it, who did not and why, whether a quorum did."""

    def __init__(self, head: Head) -> None:
        self.head = head
        self.cosigned: dict[str, Signature] = {}
        self.failed: dict[str, str] = {}
        self.is_met = False
        self._kept: set[str] = set()

    def take(self, each: Witness, reply: Reply) -> int | None:
        """Sort a witness's reply in. Returns the size to begin from where it is at another one than was thought.

        Raises LogBroken where it contradicts the log.
        """
        if reply.status == 422:
            raise LogBroken(
                f"the witness {each.name} says that the log of {self.head.size} entries did not grow out of what it "
                f"cosigned: run `bureau verify`, compare with the published log; to go on would sign a second history"
            )
        if reply.status == 409 and (size := _size(reply.body)) is not None:
            _require_not_beyond(each, size)
            self.failed[each.name] = f"it is at size {size}"
            return size if size <= self.head.size else None
        cosignature = self._cosignature(each, reply)
        if cosignature is None:
            self.failed[each.name] = f"{reply.status}: {reply.body[:200].decode('utf-8', 'replace')}"
            return None
        self.failed.pop(each.name, None)
        self.cosigned[each.name] = cosignature
        return None

    def conclude(self) -> bool:
        """Whether a quorum has cosigned just now. That is then on record, with the cosignatures that make it."""
        policy = trust.current()
        if self.is_met or not policy.is_met([each.key for each in policy.witnesses if each.name in self.cosigned]):
            return False
        self.is_met = True
        self.keep(is_quorum=True)
        return True

    def keep(self, *, is_quorum: bool = False) -> None:
        """Keep the cosignatures that came, for ever; of an empty log there is no checkpoint to keep them under."""
        keys = {each.name: str(each.key) for each in trust.current().witnesses}
        now, size, fresh = clock.now(), self.head.size, self.cosigned.keys() - self._kept
        rows = [{"witness": keys[each], "size": size, "time": now, "line": str(self.cosigned[each])} for each in fresh]
        if size == 0 or not rows:
            return
        with db.transaction() as tx:
            tx.execute(insert(cosignatures), rows)
            if is_quorum:
                tx.execute(insert(witnessed_rows), {"size": size, "time": now})
        self._kept |= fresh

    def _cosignature(self, each: Witness, reply: Reply) -> Signature | None:
        if reply.status != 200:
            return None
        try:
            _, found = notes.verified(self.head.note + reply.body.decode(), [each.key])
        except (BadNote, UnicodeDecodeError):
            return None
        return found[0][1]


def hold_round(origin: str, ask: Ask, tell: Callable[[], None] = lambda: None) -> Round:
    """Ask the policy's witnesses to cosign the newest checkpoint; keep what they give.

    `tell` is called as soon as a quorum cosigned; the others may take their time. `origin` counts for a log only that
    was never sealed. Raises LogBroken where a witness has seen another history.
    """
    with db.reading() as reading:
        held = Round(log.head(reading) or log.empty(origin))
        sizes = {each: _last_size(reading, each) for each in trust.current().witnesses if each.url is not None}
    for _ in range(2):  # the second time those that are at another size than was thought
        with db.reading() as reading:
            posts = [(each, _submission(reading, held.head, old)) for each, old in sizes.items()]
        sizes = {}
        for each, reply in ask(posts):
            size = held.take(each, reply)
            if size is not None:
                sizes[each] = size
            if held.conclude():
                tell()
    held.keep()
    return held


def last_time(tx: Connection, each: Witness) -> datetime | None:
    """When a witness cosigned last."""
    last = _last(tx, each)
    return last.time if last else None


def faults(tx: Connection) -> Iterator[Fault]:
    """Cosignatures on record that are not over the checkpoint they stand under."""
    under, after = cosignatures.c.size, 0
    sizes = select(under).distinct().order_by(under).limit(SIZES_AT_ONCE)
    joined = select(cosignatures, checkpoints.c.note).join(checkpoints, checkpoints.c.size == under).order_by(under)
    while some := tx.scalars(sizes.where(under > after)).all():
        for row in tx.execute(joined.where(under > after, under <= some[-1])):
            if not _is_over(row):
                yield Fault(
                    f"checkpoint {row.size}", f"forged: a cosignature of {row.witness.partition('+')[0]}", "log"
                )
        after = some[-1]


def _is_over(row: Any) -> bool:
    try:
        text, _ = notes.split(row.note)
        notes.verified(f"{text}\n{row.line}", [notes.parse_key(row.witness)])
    except BadNote:
        return False
    return True


def _submission(tx: Connection, head: Head, old: int) -> bytes:
    try:
        return witness.compose(old, log.consistency(tx, old, head.size) if old else (), head.note)
    except ValueError as error:
        raise LogBroken(
            f"the log of {head.size} entries cannot be proved from size {old}: run `bureau verify`"
        ) from error


def _last_size(tx: Connection, each: Witness) -> int:
    last = _last(tx, each)
    return last.size if last else 0


def _last(tx: Connection, each: Witness) -> Any:
    """Size and time of a witness's newest cosignature on record, or None."""
    mine = select(cosignatures.c.size, cosignatures.c.time).where(cosignatures.c.witness == str(each.key))
    return tx.execute(mine.order_by(cosignatures.c.size.desc(), cosignatures.c.time.desc()).limit(1)).one_or_none()


def _require_not_beyond(each: Witness, size: int) -> None:
    """A witness is not ahead of what was ever sealed; someone else may just have sealed more than was shown."""
    with db.reading() as reading:
        head = log.head(reading)
    if size > (head.size if head else 0):
        raise LogBroken(
            f"the witness {each.name} cosigned {size} entries and the database has {head.size if head else 0}: it was "
            f"restored from a backup. Restore a newer one; to go on would sign a second history"
        )


def _size(body: bytes) -> int | None:
    try:
        return notes.parse_number(body.decode("ascii").removesuffix("\n"))
    except (BadNote, UnicodeDecodeError):
        return None
