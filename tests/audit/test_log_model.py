# SPDX-License-Identifier: Apache-2.0
"""The log against a naive oracle: a list of leaves, whose tree is computed from scratch by the words of the RFC.

Any course of appending, sealing in steps and by two sealers at once, publishing, rotating the key and starting anew:
after each step the head, the checkpoints and `verify` say what the list says, and every receipt, export and published
checkpoint that was ever taken away still proves itself.
"""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run
from sqlalchemy import Engine, select, text

from audit import export, exported, log, merkle, monitor, publishing, receipts, sealing, verification
from audit.models import checkpoint as checkpoints
from audit.models import entry as entries
from audit.models import leaf as leaves
from audit.notes import Verifier
from kernel import db, keys, signing
from tests.audit.test_sealing import ORIGIN, append, naive
from tests.conftest import House

STEP = 90  # leaves a sealing takes at once here, so that one call signs several checkpoints
TABLES = "entry, leaf, unsealed, tile, checkpoint, log_head, shown"


class LogMachine(RuleBasedStateMachine):
    house: House
    pristine: Path  # a copy of the SQLite database as it was
    folder: Path

    @initialize()
    def begin(self) -> None:
        self._empty()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.waiting: dict[str, bytes] = {}
        self.order: list[str] = []
        self.contents: list[bytes] = []
        self.seen: list[str] = []  # checkpoints as they were published
        self.receipts: list[tuple[str, int]] = []
        self.exports = 0

    @rule(count=st.integers(1, 130))
    def append(self, count: int) -> None:
        ids = append(count)
        with db.reading() as reading:
            written = reading.execute(select(entries.c.id, entries.c.bytes).where(entries.c.id.in_(ids))).all()
        self.waiting |= {row.id: row.bytes for row in written}

    @rule()
    def seal_one_step(self) -> None:
        with db.transaction() as tx:
            sealed = sealing.seal_some(tx, ORIGIN)
        self._take(sealed.sealed)

    @rule()
    def seal(self) -> None:
        self._take(sealing.seal(ORIGIN).sealed)

    @rule()
    def seal_by_two_at_once(self) -> None:
        with ThreadPoolExecutor(2) as pool:
            sealed = [each.sealed for each in pool.map(sealing.seal, [ORIGIN, ORIGIN])]
        self._take(sum(sealed))
        assert not self.waiting

    @rule()
    def publish(self) -> None:
        with db.reading() as reading:
            publishing.publish(reading, self.folder)
        if self.order:
            self.seen.append((self.folder / "checkpoint").read_text())

    @rule()
    def rotate_the_key(self) -> None:
        with db.transaction() as tx:
            signing.add(tx, "log")
        self.start_anew()

    @rule()
    def start_anew(self) -> None:
        """As another process would find it."""
        bound = db.current()
        assert isinstance(bound, Engine)
        bound.dispose()
        with db.reading() as reading:
            keys.use(keys.open_purpose_keys(reading, keys.read_root(self.house.home / "keys" / "root.key")))
            signing.open_signers(reading)

    @precondition(lambda self: self.order)
    @rule(data=st.data())
    def take_a_receipt(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.order) - 1))
        with db.reading() as reading:
            made = receipts.make(reading, self.order[index])
        assert made is not None
        self.receipts.append((made, index))

    @precondition(lambda self: self.order)
    @rule(data=st.data(), form=st.sampled_from(export.FORMS))
    def export(self, data: st.DataObject, form: export.Form) -> None:
        first = data.draw(st.integers(0, len(self.order) - 1))
        last = data.draw(st.integers(first + 1, len(self.order)))
        file = self.folder.with_name("export")
        export.write(file, first, last, form)
        with file.open("rb") as lines:
            found = exported.check(lines, export.proof_of(file).read_text(), self._known())
        assert (found.first, found.lines, found.checkpoint.root) == (first, last - first, self._root())
        if form == "ndjson":
            told = [orjson.loads(line)["entry"]["id"] for line in file.read_bytes().splitlines()]
            assert told == self.order[first:last]

    @rule()
    def whatever_was_taken_away_still_proves_itself(self) -> None:
        known = self._known()
        for receipt, index in self.receipts:
            proved = receipts.check(receipt, known)
            assert (proved.index, proved.document) == (index, orjson.loads(self.contents[index]))
        told = [monitor.opened(note, known) for note in self.seen]
        for older in told:
            assert older.root == self._root(older.size)
            monitor.require_grown(older, told[-1], told[-1], self._fetch)

    @invariant()
    def the_head_and_every_checkpoint_are_those_of_the_list(self) -> None:
        with db.reading() as reading:
            head = log.head(reading)
            signed = reading.execute(select(checkpoints.c.size, checkpoints.c.root)).all()
        assert (head.size if head else 0) == len(self.order)
        assert max((row.size for row in signed), default=0) == len(self.order)
        assert all(row.root == self._root(row.size) for row in signed)

    @invariant()
    def verify_finds_nothing_wrong(self) -> None:
        with db.reading() as reading:
            report = verification.verify(reading, self.folder)
        assert (report.ok, report.faults) == (True, ())
        assert (report.size, report.unsealed) == (len(self.order), len(self.waiting))
        assert report.entries == len(self.order) + len(self.waiting)
        assert report.root == (self._root().hex() if self.order else None)

    def _take(self, sealed: int) -> None:
        """What was sealed came from those that waited, each once, behind those that were there."""
        fresh = select(leaves.c.index.label("place"), leaves.c.entry).where(leaves.c.index >= len(self.order))
        with db.reading() as reading:
            found = reading.execute(fresh.order_by(leaves.c.index)).all()
        assert [row.place for row in found] == list(range(len(self.order), len(self.order) + sealed))
        for row in found:
            self.contents.append(self.waiting.pop(row.entry))
            self.order.append(row.entry)

    def _root(self, size: int | None = None) -> bytes:
        hashes = [merkle.leaf_hash(content) for content in self.contents[:size]]
        return naive(hashes)

    def _known(self) -> list[Verifier]:
        with db.reading() as reading:
            return log.keys(reading, ORIGIN)

    def _fetch(self, path: str) -> bytes:
        return (self.folder / path).read_bytes()

    def _empty(self) -> None:
        """The database as it was before the first entry."""
        bound = db.current()
        assert isinstance(bound, Engine)
        if self.house.engine == "sqlite":
            bound.dispose()
            shutil.copy(self.pristine, str(bound.url.database))
            return
        with bound.begin() as tx:
            tx.execute(text("SET LOCAL session_replication_role = replica"))
            tx.execute(text(f"TRUNCATE {TABLES} CASCADE"))


def test_the_log_is_a_list_over_any_course_of_events(
    open_house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "LEAVES_AT_ONCE", STEP)
    if open_house.engine == "sqlite":
        bound: Any = db.current()
        bound.dispose()
        LogMachine.pristine = shutil.copy(str(bound.url.database), tmp_path / "pristine.db")
    LogMachine.house, LogMachine.folder = open_house, tmp_path / "published" / "log"
    run(LogMachine, settings=settings(max_examples=12, stateful_step_count=14, deadline=None))
