# SPDX-License-Identifier: Apache-2.0
"""A witness's file: it cosigns what grew, keeps what it saw through races and kills, and forgets nothing."""

import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import notes, witness, witness_store
from audit.witness import Behind
from audit.witness_store import Store
from kernel.errors import BureauError, Invalid, Malformed, SettingError, Unavailable
from tests.logs import Log

NAME = "witness.example/w1"
LOG = Log()
NOW = 1_800_000_000
ROOT = Path(__file__).parents[2]
# Cosigns once in a process of its own, and is killed where its first argument says.
KILLED = """
import os, signal, sys
from pathlib import Path
from audit import notes, witness, witness_store
def die(*given): os.kill(os.getpid(), signal.SIGKILL)
store = witness_store.Store(Path(sys.argv[2]))
submission = witness.parse(Path(sys.argv[3]).read_bytes())
if sys.argv[1] == "before it is written":
    notes.assemble = die
store.cosign(submission, (), 1)
die()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    witness_store.create(tmp_path / "witness.db", NAME)
    return tmp_path / "witness.db"


def cosign(store: Store, first: int, second: int, log: Log = LOG) -> notes.Signature:
    submission = witness.parse(log.submission(first, second))
    return store.cosign(submission, witness.require_vouched(submission, {LOG.origin: [LOG.key]}), NOW)


def judge(body: bytes, seen: witness.Seen) -> None:
    submission = witness.parse(body)
    witness.require_vouched(submission, {LOG.origin: [LOG.key]})
    witness.require_grown(submission, seen)


def latest_size(store: Store) -> int:
    ((origin, note),) = store.latest()
    text, signed = notes.verified(note, [LOG.key, store.key])
    assert (origin, {key for key, _ in signed}) == (LOG.origin, {LOG.key, store.key})
    return notes.parse_checkpoint(text).size


def test_its_cosignature_is_over_the_checkpoint_and_tells_when(file: Path) -> None:
    store = Store(file)
    made = cosign(store, 0, 300)
    note = LOG.note(300) + str(made)
    _, signed = notes.verified(note, [LOG.key, store.key])
    assert [(key.name, key.kind) for key, _ in signed] == [(LOG.origin, notes.ED25519), (NAME, notes.COSIGNATURE)]
    assert signed[1][1].time == NOW


@pytest.mark.parametrize("sizes", [[0], [0, 0, 1, 1, 2, 600], [255, 256, 257], [1, 511, 512], [7, 7, 7]])
def test_it_follows_a_log_that_grows(file: Path, sizes: list[int]) -> None:
    before = 0
    for size in sizes:
        cosign(Store(file), before, size)
        assert latest_size(Store(file)) == size
        before = size


def test_it_knows_only_its_latest_size(file: Path) -> None:
    store = Store(file)
    cosign(store, 0, 300)
    for old in (0, 299, 301):
        with pytest.raises(Behind) as refused:
            cosign(store, old, 400)
        assert refused.value.size == 300
    assert latest_size(store) == 300


@pytest.mark.parametrize("at", [0, 150, 299])
def test_a_fork_of_what_it_saw_is_never_cosigned(file: Path, at: int) -> None:
    store, fork = Store(file), LOG.fork(at)
    cosign(store, 0, 300)
    for size in (300, 301, 600):
        with pytest.raises(Invalid):
            cosign(store, 300, size, fork)
        # Nor with the true log's proof.
        submission = witness.parse(witness.compose(300, LOG.proof(300, size), fork.note(size)))
        with pytest.raises(Invalid):
            store.cosign(submission, (), NOW)
    assert latest_size(store) == 300


def test_two_requests_at_once_move_it_once(file: Path) -> None:
    cosign(Store(file), 0, 100)
    sizes = list(range(101, 141))

    def attempt(size: int) -> int | None:
        try:
            cosign(Store(file), 100, size)
        except Behind:
            return None
        return size

    with ThreadPoolExecutor(8) as threads:
        moved = [size for size in threads.map(attempt, sizes) if size is not None]
    assert len(moved) == 1
    assert [latest_size(Store(file))] == moved


def test_many_who_compete_never_roll_it_back(file: Path) -> None:
    def climb(start: int) -> list[int]:
        store, at, seen = Store(file), 0, []
        for size in range(start, 400, 7):
            if at > size:
                continue  # others went further
            try:
                cosign(store, at, size)
            except Behind as behind:
                at = behind.size
            else:
                at = size
                seen.append(size)
        return seen

    with ThreadPoolExecutor(6) as threads:
        climbed = list(threads.map(climb, range(1, 7)))
    moved = sorted(size for each in climbed for size in each)
    assert len(moved) == len(set(moved)) > 0, "no size was moved to twice"
    assert latest_size(Store(file)) == moved[-1]


@pytest.mark.parametrize(("step", "then"), [("before it is written", 100), ("before it is answered", 200)])
def test_a_kill_between_store_and_answer_leaves_it_where_it_was_or_where_it_goes(
    file: Path, tmp_path: Path, step: str, then: int
) -> None:
    cosign(Store(file), 0, 100)
    (tmp_path / "submission").write_bytes(LOG.submission(100, 200))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, step, str(file), str(tmp_path / "submission")], cwd=ROOT, check=False
    )
    assert killed.returncode == -9
    store = Store(file)
    with pytest.raises(Behind) as at:
        cosign(store, 0, 300)
    assert at.value.size == then
    with pytest.raises(Invalid):
        cosign(store, then, 300, LOG.fork(50))
    cosign(store, then, 300)


def test_what_cannot_be_written_down_is_not_cosigned(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(file)
    monkeypatch.setattr(witness_store, "BUSY_WAIT_S", 0.05)
    with sqlite3.connect(file, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="cosigns nothing"):
            cosign(store, 0, 100)
        other.execute("ROLLBACK")
    cosign(store, 0, 100)


def test_its_file_is_its_own_and_is_never_made_over(file: Path, tmp_path: Path) -> None:
    key = Store(file).key
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    cosign(Store(file), 0, 9)
    with pytest.raises(FileExistsError):
        witness_store.create(file, NAME)
    assert Store(file).key == key
    assert latest_size(Store(file)) == 9
    assert list(tmp_path.iterdir()) == [file]
    for name in ("", "w 1", "a+b", "a\u2003b", "\udcff"):
        with pytest.raises(SettingError, match="not the name of a key"):
            witness_store.create(tmp_path / "other.db", name)
    (tmp_path / "other.db").write_bytes(b"nonsense" * 1000)
    for wrong in (tmp_path / "other.db", tmp_path / "none.db", tmp_path):
        with pytest.raises(SettingError, match="holds no witness"):
            Store(wrong)


@given(st.binary(max_size=300) | st.text(alphabet="old 0123456789\nA=+/—", max_size=200).map(str.encode))
def test_whatever_is_posted_is_read_or_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        witness.parse(body)


@given(st.data())
def test_no_byte_of_a_submission_can_change_unnoticed(data: st.DataObject) -> None:
    whole = LOG.submission(256, 600)
    place, flip = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(1, 255))
    changed = whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :]
    seen = witness.Seen(256, LOG.checkpoint(256).root)
    with pytest.raises(BureauError):
        judge(changed, seen)
