# SPDX-License-Identifier: Apache-2.0
"""Sealing, publishing and receipts: dense, atomic, consistent, and checked with the public key alone."""

import base64
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text, update

from audit import log, merkle, notes, publishing, receipts, sealing, trail
from audit.events import Event
from audit.models import checkpoint as checkpoints
from audit.models import entry as entries
from audit.models import leaf as leaves
from audit.models import tile as tile_rows
from audit.models import unsealed
from audit.notes import BadNote
from audit.sealing import LogBroken
from audit.trail import Entry
from kernel import db, signing
from tests.conftest import House

ORIGIN = "bureau.example/log"


def append(count: int = 1) -> list[str]:
    told = []
    with trail.recording() as tx:
        for number in range(count):
            said = Entry(type=Event.PERSON_ADDED, actor="counter", channel="counter", detail={"number": number})
            trail.append(tx, said)
            told.append(said.id)
    return told


def count(table: Any) -> int:
    with db.reading() as reading:
        return reading.scalar(select(func.count()).select_from(table)) or 0


def hashes() -> list[bytes]:
    with db.reading() as reading:
        ordered = select(entries.c.bytes).join(leaves, leaves.c.entry == entries.c.id).order_by(leaves.c.index)
        return [merkle.leaf_hash(content) for content in reading.scalars(ordered)]


def naive(found: list[bytes]) -> bytes:
    if len(found) == 1:
        return found[0]
    half = 1
    while half * 2 < len(found):
        half *= 2
    return merkle.node_hash(naive(found[:half]), naive(found[half:]))


def test_nothing_to_seal_is_an_empty_log(house: House) -> None:
    assert sealing.seal(ORIGIN) == sealing.Sealed(0, None, 0)
    with db.reading() as reading:
        assert log.head(reading) is None


@pytest.mark.parametrize("steps", [[1], [255, 1, 1], [3, 300, 5], [600]])
def test_entries_become_leaves_of_a_signed_tree(house: House, steps: list[int]) -> None:
    sizes = []
    for step in steps:
        append(step)
        sealed = sealing.seal(ORIGIN)
        sizes.append(sealed.size)
        assert sealed.sealed == step
    assert sizes[-1] == sum(steps) == count(leaves)
    assert count(unsealed) == 0
    found = hashes()
    with db.reading() as reading:
        head = log.head(reading)
        assert head is not None
        assert head.root == naive(found)
        told, _ = notes.verified(head.note, log.keys(reading, ORIGIN))
        assert notes.parse_checkpoint(told) == notes.Checkpoint(ORIGIN, sum(steps), head.root)
        for first, second in pairwise(sizes):
            proof = log.consistency(reading, first, second)
            assert merkle.is_consistent(first, second, proof, naive(found[:first]), naive(found[:second]))
        indexes = list(reading.scalars(select(leaves.c.index).order_by(leaves.c.index)))
    assert indexes == list(range(sum(steps)))


def test_two_sealers_and_many_writers_at_once_do_no_harm(open_house: House) -> None:
    def write(_: int) -> None:
        for _ in range(20):
            append(3)

    def seal(_: int) -> None:
        for _ in range(15):
            sealing.seal(ORIGIN)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda act: act(0), [write, write, write, write, seal, seal]))
    sealing.seal(ORIGIN)
    assert (count(leaves), count(unsealed)) == (240, 0)
    with db.reading() as reading:
        head = log.head(reading)
        assert head is not None
        assert head.root == naive(hashes())
        kept = reading.execute(select(checkpoints).order_by(checkpoints.c.size)).all()
        for before, after in pairwise(kept):
            proof = log.consistency(reading, before.size, after.size)
            assert merkle.is_consistent(before.size, after.size, proof, before.root, after.root)


def test_an_edited_entry_is_never_sealed(open_house: House) -> None:
    (edited,) = append()
    drop = "entry_no_update" if open_house.engine == "sqlite" else "entry_append_only ON entry"
    with db.transaction() as tx:
        tx.execute(text(f"DROP TRIGGER {drop}"))
        tx.execute(update(entries).where(entries.c.id == edited).values(bytes=b"{}"))
    with pytest.raises(LogBroken, match=edited):
        sealing.seal(ORIGIN)
    assert count(leaves) == 0


def test_a_log_whose_tiles_were_altered_is_not_sealed_on(house: House) -> None:
    append(3)
    sealing.seal(ORIGIN)
    append()
    with db.transaction() as tx:
        tx.execute(update(tile_rows).values(hashes=b"x" * 96))
    with pytest.raises(LogBroken, match="size 3"):
        sealing.seal(ORIGIN)


@pytest.mark.parametrize("table", ["leaf", "checkpoint"])
@pytest.mark.parametrize("act", ["DELETE FROM {}", "UPDATE {} SET {}"])
def test_what_is_sealed_is_neither_changed_nor_taken_out(open_house: House, table: str, act: str) -> None:
    append()
    sealing.seal(ORIGIN)
    change = {"leaf": "entry = entry", "checkpoint": "note = 'x'"}[table]
    with pytest.raises(Exception, match="append-only"), db.transaction() as tx:
        tx.execute(text(act.format(table, change)))


def test_a_rotated_key_signs_on_and_the_old_one_still_verifies(house: House) -> None:
    append()
    sealing.seal(ORIGIN)
    with db.transaction() as tx:
        first = log.head(tx)
        signing.add(tx, "log")
        signing.open_signers(tx)
    append()
    sealing.seal(ORIGIN)
    with db.reading() as reading:
        second, keys = log.head(reading), log.keys(reading, ORIGIN)
    assert first
    assert second
    assert len(keys) == 2
    assert notes.verified(first.note, keys)[1][0][0] == keys[0]
    assert notes.verified(second.note, keys)[1][0][0] == keys[1]


def test_the_origin_is_given_once(house: House) -> None:
    append()
    sealing.seal(ORIGIN)
    append()
    sealing.seal("moved.example/log")
    with db.reading() as reading:
        head = log.head(reading)
    assert head
    assert head.origin == ORIGIN


# Publishing


def publish(folder: Path) -> int:
    with db.reading() as reading:
        return publishing.publish(reading, folder)


def test_the_folder_follows_the_log_and_holds_what_the_specification_says(house: House, tmp_path: Path) -> None:
    assert publish(tmp_path) == 0
    for step in (3, 252, 1, 300):
        append(step)
        sealing.seal(ORIGIN)
        assert publish(tmp_path) > 0
        assert publish(tmp_path) == 0, "published already"
    found = hashes()
    key = notes.parse_key((tmp_path / "key").read_text())
    told, _ = notes.verified((tmp_path / "checkpoint").read_text(), [key])
    assert notes.parse_checkpoint(told).root == naive(found)
    assert (tmp_path / "tile/0/000").read_bytes() == b"".join(found[:256])
    assert (tmp_path / "tile/0/001").read_bytes() == b"".join(found[256:512])
    assert (tmp_path / "tile/0/002.p/44").read_bytes() == b"".join(found[512:])
    assert (tmp_path / "tile/1/000.p/2").read_bytes() == naive(found[:256]) + naive(found[256:512])
    assert not any((tmp_path / "tile/0/000.p").iterdir())
    assert [path for path in tmp_path.rglob("*") if path.name.endswith(".new")] == []


def test_an_interrupted_publishing_is_done_by_the_next(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(600)
    sealing.seal(ORIGIN)
    real, written = publishing._write, []

    def fail(path: Path, content: bytes) -> None:
        if len(written) == allowed:
            raise OSError("the disk is full")
        written.append(path)
        real(path, content)

    for allowed in range(6):  # noqa: B007
        written.clear()
        with monkeypatch.context() as patch:
            patch.setattr(publishing, "_write", fail)
            with pytest.raises(OSError, match="full"):
                publish(tmp_path)
        assert publishing.read(tmp_path) is None, "no checkpoint before its tiles"
    publish(tmp_path)
    published = publishing.read(tmp_path)
    assert published
    assert published.checkpoint.size == 600


def test_a_database_that_is_behind_what_was_published_is_refused(house: House, tmp_path: Path) -> None:
    append(3)
    sealing.seal(ORIGIN)
    publish(tmp_path)
    note = (tmp_path / "checkpoint").read_text()
    for size, told in ((5, "restored from a backup"), (3, "not the database's")):
        root = base64.b64encode(b"x" * 32).decode()
        (tmp_path / "checkpoint").write_text(f"{ORIGIN}\n{size}\n{root}\n\n" + note.rpartition("\n\n")[2])
        with pytest.raises(LogBroken, match=told):
            publish(tmp_path)
    (tmp_path / "checkpoint").write_text("nonsense")
    with pytest.raises(BadNote):
        publish(tmp_path)


# Receipts


def receipt(entry: str) -> str:
    with db.reading() as reading:
        made = receipts.make(reading, entry)
    assert made is not None
    return made


def test_a_receipt_proves_its_entry_offline(house: House, tmp_path: Path) -> None:
    told = append(300)
    with db.reading() as reading:
        assert receipts.make(reading, told[0]) is None, "not sealed yet"
    sealing.seal(ORIGIN)
    with db.reading() as reading:
        known = log.keys(reading, ORIGIN)
        assert receipts.make(reading, "no such entry") is None
    for entry in (told[0], told[255], told[299]):
        proved = receipts.check(receipt(entry), known)
        assert proved.document["id"] == entry
        assert proved.checkpoint.size == 300


def test_no_character_of_a_receipt_can_change(house: House) -> None:
    told = append(9)
    sealing.seal(ORIGIN)
    with db.reading() as reading:
        known = log.keys(reading, ORIGIN)
    whole = receipt(told[4])
    survived = []
    for place in range(len(whole)):
        for instead in ("A", "0", "\n"):
            changed = whole[:place] + instead + whole[place + 1 :]
            if changed == whole:
                continue
            try:
                receipts.check(changed, known)
            except BadNote:
                continue
            survived.append((place, instead))
    assert survived == []


def test_a_receipt_checks_the_answer_that_was_kept(house: House) -> None:
    said = Entry(type=Event.QUERY_ANSWERED, actor="client:c", answer_digest="2cf24dba5fb0a30e26e83b2ac5b9e29e"
                 "1b161e5c1fa7425e73043362938b9824")  # fmt: skip
    with trail.recording() as tx:
        trail.append(tx, said)
    sealing.seal(ORIGIN)
    with db.reading() as reading:
        known = log.keys(reading, ORIGIN)
    assert receipts.check(receipt(said.id), known, b"hello").document["id"] == said.id
    with pytest.raises(BadNote, match="a byte of it differs"):
        receipts.check(receipt(said.id), known, b"hellp")


@pytest.mark.parametrize("garbage", ["", "c2sp.org/tlog-proof@v1\n", "c2sp.org/tlog-proof@v1\nextra AA==\nindex 0\n",
                                     "c2sp.org/tlog-proof@v1\nextra AA==\nindex 00\n\nx\n", "x" * 300_000])  # fmt: skip
def test_what_is_no_receipt_is_refused(house: House, garbage: str) -> None:
    with pytest.raises(BadNote):
        receipts.check(garbage, [])


def test_leaves_are_written_once_even_past_the_code(open_house: House) -> None:
    (one,) = append()
    sealing.seal(ORIGIN)
    with pytest.raises(Exception, match=r"(?i)append-only|unique|duplicate"), db.transaction() as tx:
        tx.execute(insert(leaves).values(index=1, entry=one))
