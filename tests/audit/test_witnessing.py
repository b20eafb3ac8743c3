# SPDX-License-Identifier: Apache-2.0
"""The log's side of witnessing, on both engines, with witnesses in this process: some dead, some lying."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text

from app import witness as process
from app.application import create_app
from audit import growth, log, notes, publishing, receipts, sealing, trust, watch, witness_store, witnessing
from audit.models import cosignature, witnessed
from audit.notes import BadNote
from audit.sealing import LogBroken
from audit.trust import Policy, Witness
from audit.witnessing import Reply
from kernel import clock, db, signing
from kernel.errors import Unavailable
from tests.audit.test_sealing import ORIGIN, append
from tests.conftest import PUBLIC_URL, House

NAMES = "w1", "w2", "w3"


class Three:
    """Three witnesses of the house's log and how they answer; `policy` asks for two of them."""

    def __init__(self, folder: Path) -> None:
        with db.reading() as reading:
            logs = {ORIGIN: log.keys(reading, ORIGIN)}
        self.answers: dict[str, Callable[[bytes], Reply]] = {}
        self.asked: list[str] = []
        lines = []
        for name in NAMES:
            witness_store.create(folder / f"{name}.db", f"{name}.example")
            client = process.create_app(folder / f"{name}.db", logs).test_client()
            lines.append(f"witness {name} {witness_store.Store(folder / f'{name}.db').key} http://{name}.example\n")
            self.answers[name] = lambda body, client=client: self._answer(client, body)
        self.honest = dict(self.answers)
        self.policy = trust.parse(f"{''.join(lines)}group two 2 w1 w2 w3\nquorum two\n".encode())

    def __call__(self, posts: Sequence[tuple[Witness, bytes]]) -> Iterator[tuple[Witness, Reply]]:
        for each, body in posts:
            self.asked.append(each.name)
            yield each, self.answers[each.name](body)

    def kill(self, *names: str) -> None:
        self.answers |= dict.fromkeys(names, lambda body: Reply(0, b"no answer"))

    def lie(self, status: int, body: bytes, *names: str) -> None:
        self.answers |= dict.fromkeys(names, lambda _: Reply(status, body))

    def wake(self) -> None:
        self.answers = dict(self.honest)

    @staticmethod
    def _answer(client: Any, body: bytes) -> Reply:
        answer = client.post("/add-checkpoint", data=body)
        return Reply(answer.status_code, answer.data)


@pytest.fixture
def three(house: House, tmp_path: Path) -> Iterator[Three]:
    witnesses = Three(tmp_path)
    trust.use(witnesses.policy)
    yield witnesses
    trust.use(trust.NO_QUORUM)


def grow(entries: int = 3) -> list[str]:
    told = append(entries)
    sealing.seal(ORIGIN)
    return told


def shown_size() -> int | None:
    with db.reading() as reading:
        head = log.shown(reading)
    return head and head.size


def count(table: Any) -> int:
    with db.reading() as reading:
        return reading.scalar(select(func.count()).select_from(table)) or 0


def test_a_checkpoint_is_shown_once_a_quorum_cosigned_it(three: Three) -> None:
    (entry, *_) = grow(300)
    told = []
    three.kill("w2", "w3")
    held = witnessing.hold_round(ORIGIN, three, lambda: told.append("quorum"))
    assert (held.is_met, list(held.cosigned), sorted(held.failed), told) == (False, ["w1"], ["w2", "w3"], [])
    assert shown_size() is None
    with db.reading() as reading:
        assert receipts.make(reading, entry) is None, "sealed, but not witnessed"

    three.wake()
    three.kill("w1")
    held = witnessing.hold_round(ORIGIN, three, lambda: told.append("quorum"))
    assert (held.is_met, sorted(held.cosigned), list(held.failed), told) == (True, ["w2", "w3"], ["w1"], ["quorum"])
    assert shown_size() == 300
    with db.reading() as reading:
        receipt, keys = receipts.make(reading, entry), log.keys(reading, ORIGIN)
    assert receipt
    assert receipts.check(receipt, keys, policy=three.policy).document["id"] == entry
    everyone = Policy((), three.policy.witnesses, {"all": trust.Group(3, NAMES)}, "all")
    assert receipts.check(receipt, keys, policy=everyone), "what came in an earlier round stands there too"


def test_what_is_not_witnessed_yet_is_not_shown(three: Three, tmp_path: Path) -> None:
    grow(300)
    witnessing.hold_round(ORIGIN, three)
    with db.reading() as reading:
        publishing.publish(reading, tmp_path / "log")
        first = log.shown(reading)
    (late,) = grow(1)
    with db.reading() as reading:
        assert receipts.make(reading, late) is None
        assert publishing.publish(reading, tmp_path / "log") == 0
        assert publishing.require_consistent(reading, tmp_path / "log") == 300
    assert first
    client = create_app(PUBLIC_URL).test_client()
    assert client.get("/log/checkpoint").text == first.note == (tmp_path / "log" / "checkpoint").read_text()
    witnessing.hold_round(ORIGIN, three)
    with db.reading() as reading:
        assert receipts.make(reading, late)
        assert publishing.publish(reading, tmp_path / "log") > 0
    published = publishing.read(tmp_path / "log")
    assert published
    assert published.checkpoint.size == 301
    assert trust.vouched(published.note, keys_of_log(), three.policy).size == 301


def keys_of_log() -> list[notes.Verifier]:
    with db.reading() as reading:
        return log.keys(reading, ORIGIN)


def test_a_witness_that_missed_rounds_or_answers_is_caught_up(three: Three) -> None:
    for _ in range(3):
        grow(5)
        three.kill("w3")
        witnessing.hold_round(ORIGIN, three)
    # w1 moved, and its answer was lost on the way.
    grow(5)
    three.answers["w1"] = lambda body: three.honest["w1"](body) and Reply(0, b"lost")
    assert list(witnessing.hold_round(ORIGIN, three).cosigned) == ["w2"]
    three.wake()
    grow(1)
    three.asked.clear()
    held = witnessing.hold_round(ORIGIN, three)
    assert (sorted(held.cosigned), held.failed) == (["w1", "w2", "w3"], {})
    assert three.asked == ["w1", "w2", "w3", "w1"], "w1 alone was elsewhere than was known"


def test_an_idle_log_has_its_quorum_renewed(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    grow()
    witnessing.hold_round(ORIGIN, three)
    later = clock.now() + timedelta(hours=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert witnessing.hold_round(ORIGIN, three).is_met
    with db.reading() as reading:
        shown = log.shown(reading)
    assert shown
    assert (shown.size, shown.time) == (3, later)
    assert shown.note.count("\n— w1.example ") == 1
    assert (count(cosignature), count(witnessed)) == (6, 2)


def test_an_empty_log_can_be_shown_to_witnesses_and_leaves_no_trace(three: Three) -> None:
    held = witnessing.hold_round(ORIGIN, three)
    assert (held.is_met, held.head.size) == (True, 0)
    assert (count(cosignature), shown_size()) == (0, None)
    grow()
    assert witnessing.hold_round(ORIGIN, three).is_met


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b""), (200, b"nonsense\n"), (200, "— w1.example AAAAAAAA\n".encode()), (200, b"\xff"), (403, b"no"),
     (404, b"no"), (409, b"x\n"), (409, b"-1\n"), (500, b""), (302, b""), (400, b"x" * 10_000)],
)  # fmt: skip
def test_whatever_a_broken_witness_says_is_no_cosignature(three: Three, status: int, body: bytes) -> None:
    grow()
    three.lie(status, body, "w1")
    held = witnessing.hold_round(ORIGIN, three)
    assert (held.is_met, sorted(held.cosigned), list(held.failed)) == (True, ["w2", "w3"], ["w1"])
    assert count(cosignature) == 2


def test_a_cosignature_of_another_witness_or_checkpoint_does_not_count(three: Three) -> None:
    grow()
    three.answers["w2"] = three.honest["w1"]
    assert sorted(witnessing.hold_round(ORIGIN, three).cosigned) == ["w1", "w3"]


# Another history


def test_a_witness_that_is_ahead_stops_the_sealing(three: Three) -> None:
    grow(5)
    for name in NAMES:
        three.kill(*NAMES)
        three.lie(409, b"6\n", name)
        with pytest.raises(
            LogBroken, match=rf"{name} cosigned 6 entries and the database has 5.*restored from a backup"
        ):
            witnessing.hold_round(ORIGIN, three)


def test_a_witness_is_not_ahead_when_another_process_sealed_meanwhile(three: Three) -> None:
    grow(5)

    def seal_between(body: bytes) -> Reply:
        grow(2)
        three.honest["w1"](body)
        return Reply(409, b"7\n")

    three.answers["w1"] = seal_between
    held = witnessing.hold_round(ORIGIN, three)
    assert (held.is_met, held.failed) == (True, {"w1": "it is at size 7"})


def test_a_witness_that_saw_another_tree_stops_the_sealing(three: Three) -> None:
    grow(5)
    three.lie(422, b"inconsistent", "w2")
    with pytest.raises(LogBroken, match="w2 says that the log of 5 entries did not grow"):
        witnessing.hold_round(ORIGIN, three)


# On record, for ever


def test_cosignatures_are_kept_for_ever(three: Three) -> None:
    for _ in range(3):
        grow(2)
        witnessing.hold_round(ORIGIN, three)
    with db.reading() as reading:
        kept = reading.execute(select(cosignature.c.size, cosignature.c.witness)).all()
        assert sorted((row.size, row.witness[:2]) for row in kept) == [
            (size, name) for size in (2, 4, 6) for name in NAMES
        ]
        assert list(witnessing.faults(reading)) == []


@pytest.mark.parametrize("table", ["cosignature", "witnessed"])
@pytest.mark.parametrize("act", ["UPDATE {} SET time = time", "DELETE FROM {}"])
def test_the_database_refuses_to_change_them(three: Three, table: str, act: str) -> None:
    grow()
    witnessing.hold_round(ORIGIN, three)
    with pytest.raises(Exception, match="append-only"), db.transaction() as tx:
        tx.execute(text(act.format(table)))


def test_verify_names_a_cosignature_that_was_forged(three: Three) -> None:
    grow()
    witnessing.hold_round(ORIGIN, three)
    forged = notes.Signature("w1.example", three.policy.witnesses[0].key.id, bytes(72))
    with db.transaction() as tx:
        tx.execute(cosignature.insert().values(
            witness=str(three.policy.witnesses[0].key), size=3, time=clock.now(), line=str(forged)
        ))  # fmt: skip
    with db.reading() as reading:
        faults = list(witnessing.faults(reading))
    assert faults == [growth.Fault("checkpoint 3", "forged: a cosignature of w1.example", "log")]


def test_under_a_stricter_policy_an_old_quorum_is_none(three: Three) -> None:
    grow()
    three.kill("w3")
    witnessing.hold_round(ORIGIN, three)
    assert shown_size() == 3
    trust.use(replace(three.policy, groups={"two": trust.Group(3, NAMES)}))
    assert shown_size() is None
    three.wake()
    witnessing.hold_round(ORIGIN, three)
    assert shown_size() == 3


def test_questions_stop_four_hours_after_the_last_quorum(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    watching = watch.Watch(clock.now())

    def ask(after: timedelta) -> None:
        monkeypatch.setattr(watching, "_looked", float("-inf"))
        with monkeypatch.context() as patch, db.reading() as reading:
            now = clock.now() + after
            patch.setattr(clock, "now", lambda: now)
            watching.require_kept(reading)

    ask(timedelta(days=1))  # of an empty log there is nothing to witness
    grow()
    with pytest.raises(Unavailable, match="no quorum of witnesses has cosigned"):
        ask(timedelta(0))
    witnessing.hold_round(ORIGIN, three)
    ask(timedelta(hours=3, minutes=59))
    with pytest.raises(Unavailable, match="no quorum of witnesses has cosigned"):
        ask(timedelta(hours=4, minutes=1))


def test_a_log_that_changes_its_key_is_witnessed_on(three: Three, tmp_path: Path) -> None:
    grow()
    witnessing.hold_round(ORIGIN, three)
    with db.transaction() as tx:
        signing.add(tx, "log")
        signing.open_signers(tx)
    (entry,) = grow(1)
    assert witnessing.hold_round(ORIGIN, three).is_met, "witnesses know the old key, which still signs"
    with db.reading() as reading:
        receipt = receipts.make(reading, entry)
    assert receipt
    old, new = keys_of_log()
    assert receipts.check(receipt, [old], policy=three.policy)
    assert receipts.check(receipt, [new], policy=three.policy)
    stranger = notes.Verifier(ORIGIN, notes.ED25519, hashlib.sha256(b"x").digest())
    with pytest.raises(BadNote):
        receipts.check(receipt, [stranger], policy=three.policy)
