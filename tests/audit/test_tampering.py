# SPDX-License-Identifier: Apache-2.0
"""Whatever is altered behind the guards is found, and named: edited, deleted, inserted, swapped, cut off, forged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, create_engine, delete, insert, select, text, update

from audit import apart, log, merkle, notes, publishing, sealing, sections, verification
from audit.merkle import Frontier
from audit.models import checkpoint as checkpoints
from audit.models import entry as entries
from audit.models import leaf as leaves
from audit.models import log_head, unsealed
from audit.models import tile as tile_rows
from kernel import db
from tests.audit.test_sealing import ORIGIN, append, naive
from tests.conftest import House

GUARDS = {
    "sqlite": [
        f"DROP TRIGGER {table}_no_{act}"
        for table in ("entry", "leaf", "checkpoint") for act in ("update", "delete", "replace")
    ],
    "postgresql": [f"DROP TRIGGER {table}_append_only ON {table}" for table in ("entry", "leaf", "checkpoint")]
    + ["ALTER TABLE leaf DROP CONSTRAINT fk_leaf_entry", "ALTER TABLE leaf DROP CONSTRAINT uq_leaf_entry"],
}  # fmt: skip


@pytest.fixture
def sealed(open_house: House, tmp_path: Path) -> tuple[list[str], Path]:
    """300 entries, sealed in three steps and published; the guards are off, as for whoever owns the database."""
    told = []
    for step in (250, 30, 20):
        told += append(step)
        sealing.seal(ORIGIN)
    with db.reading() as reading:
        publishing.publish(reading, tmp_path / "log")
    with db.transaction() as tx:
        for guard in GUARDS[open_house.engine]:
            tx.execute(text(guard))
    with db.reading() as reading:
        by_leaf = select(leaves.c.entry).order_by(leaves.c.index)
        assert set(reading.scalars(by_leaf)) == set(told)
        ordered = list(reading.scalars(by_leaf))
    assert report(tmp_path / "log") == []
    return ordered, tmp_path / "log"


def report(folder: Path | None = None) -> list[tuple[str, str]]:
    with db.reading() as reading:
        found = verification.verify(reading, folder)
    assert found.ok == (not found.faults)
    return [(fault.entry, fault.fault.partition(":")[0]) for fault in found.faults]


def act(change: Callable[[Connection], Any], house: House) -> None:
    """Change something as whoever owns the database would: on SQLite foreign keys are what the connection says."""
    engine = create_engine(house.url)
    with engine.begin() as tx:
        change(tx)
    engine.dispose()


def test_an_edited_byte(open_house: House, sealed: Any) -> None:
    told, folder = sealed
    act(lambda tx: tx.execute(update(entries).where(entries.c.id == told[7]).values(bytes=b"{}")), open_house)
    assert report(folder) == [(told[7], "edited")]


@pytest.mark.parametrize("open_house", ["sqlite"], indirect=True)
def test_a_byte_of_a_text_that_is_no_utf_8_any_more(open_house: House, sealed: Any) -> None:
    """As whoever edits the database's file could leave it: the driver cannot read it, and it is named all the same."""
    told, folder = sealed
    (waiting,) = append()
    for entry in (told[7], waiting):
        spoil = text("UPDATE entry SET actor = CAST(x'ff' AS TEXT) WHERE id = :id")
        act(lambda tx, entry=entry, spoil=spoil: tx.execute(spoil, {"id": entry}), open_house)
    assert report(folder) == [(told[7], "edited"), (waiting, "edited")]


def test_an_edited_entry_with_its_leaf_hash(open_house: House, sealed: Any) -> None:
    told, folder = sealed
    with db.reading() as reading:
        row: Any = reading.execute(select(entries).where(entries.c.id == told[260])).one()
    changed = row.bytes.replace(b'"number"', b'"numbex"')
    values = {"bytes": changed, "leaf_hash": merkle.leaf_hash(changed)}
    act(lambda tx: tx.execute(update(entries).where(entries.c.id == told[260]).values(**values)), open_house)
    assert report(folder) == [(told[260], "edited, moved or swapped")]
    # The tile too: now only the signed roots, and the published files, tell.
    with db.reading() as reading:
        tile = log.load_tile(reading, 0, 1)
    fake = tile[: 4 * 32] + merkle.leaf_hash(changed) + tile[5 * 32 :]
    place = tile_rows.c.level == 0, tile_rows.c.number == 1
    act(lambda tx: tx.execute(update(tile_rows).where(*place).values(hashes=fake)), open_house)
    assert ("leaves 250 to 279", "edited together with their tiles") in report()
    told_more = report(folder)
    assert ("tile/0/001.p/44", "its published file differs from the database") in told_more
    assert (told[260], "edited together with its tile") in told_more
    assert [named for named, _ in told_more if named in told] == [told[260]], "no other entry is blamed"


def test_a_swap(open_house: House, sealed: Any) -> None:
    told, folder = sealed

    def swap(tx: Connection) -> None:
        for index, entry in ((3, told[9]), (9, told[3])):
            tx.execute(delete(leaves).where(leaves.c.index == index))
            if index == 9:
                tx.execute(insert(leaves), [{"index": 3, "entry": told[9]}, {"index": 9, "entry": entry}])

    act(swap, open_house)
    moved = "edited, moved or swapped"
    assert sorted(report(folder)) == sorted([(told[9], moved), (told[3], moved)])


def test_a_deleted_row(open_house: House, sealed: Any) -> None:
    told, folder = sealed
    act(lambda tx: tx.execute(delete(entries).where(entries.c.id == told[100])), open_house)
    assert report(folder) == [(told[100], "deleted")]


def test_a_deleted_leaf(open_house: House, sealed: Any) -> None:
    told, folder = sealed
    act(lambda tx: tx.execute(delete(leaves).where(leaves.c.index == 100)), open_house)
    found = report(folder)
    assert (told[100], "inserted, or its note removed") in found
    assert ("leaf 100", "deleted") in found


def test_an_inserted_row(open_house: House, sealed: Any) -> None:
    _, folder = sealed
    (extra,) = append()
    act(lambda tx: tx.execute(delete(unsealed)), open_house)
    assert report(folder) == [(extra, "inserted, or its note removed")]
    act(lambda tx: tx.execute(insert(leaves).values(index=300, entry=extra)), open_house)
    assert report(folder) == [(extra, "inserted")]


def test_a_truncated_tail(open_house: House, sealed: Any) -> None:
    told, folder = sealed

    def cut(tx: Connection) -> None:
        tx.execute(delete(leaves).where(leaves.c.index >= 280))
        tx.execute(delete(entries).where(entries.c.id.in_(told[280:])))

    act(cut, open_house)
    assert [fault for _, fault in report(folder)] == ["deleted"] * 20
    # The head and its checkpoint too: only what was published tells.
    act(lambda tx: tx.execute(update(log_head).values(size=280)), open_house)
    act(lambda tx: tx.execute(delete(checkpoints).where(checkpoints.c.size > 280)), open_house)
    assert report() == []
    assert "published checkpoint" in [named for named, _ in report(folder)]


@pytest.mark.parametrize(("level", "named"), [(0, "tile/0/000"), (1, "tile/1/000")])
def test_an_altered_tile(open_house: House, sealed: Any, level: int, named: str) -> None:
    _, folder = sealed
    with db.reading() as reading:
        content = log.load_tile(reading, level, 0)
    changed = bytes([content[0] ^ 1]) + content[1:]
    place = tile_rows.c.level == level, tile_rows.c.number == 0
    act(lambda tx: tx.execute(update(tile_rows).where(*place).values(hashes=changed)), open_house)
    assert named in [each for each, _ in report(folder)]
    assert all("tile" in each or "published" in each for each, _ in report(folder)), "no entry is blamed"


@pytest.mark.parametrize("by", ["another key", "another root", "nobody"])
def test_a_forged_checkpoint(open_house: House, sealed: Any, by: str) -> None:
    with db.reading() as reading:
        root = log.root_at(reading, 280)
    forger = Ed25519PrivateKey.generate()
    key = notes.Verifier(ORIGIN, notes.ED25519, forger.public_key().public_bytes_raw())
    told = notes.Checkpoint(ORIGIN, 280, b"x" * 32 if by == "another root" else root)
    note = notes.assemble(told.text, [notes.sign(told.text, key, forger.sign)]) if by != "nobody" else "nothing"
    act(lambda tx: tx.execute(update(checkpoints).where(checkpoints.c.size == 280).values(note=note)), open_house)
    assert report() == [("checkpoint 280", "forged")]


def test_a_deleted_checkpoint(open_house: House, sealed: Any) -> None:
    _, folder = sealed
    act(lambda tx: tx.execute(delete(checkpoints).where(checkpoints.c.size == 300)), open_house)
    assert ("checkpoint 300", "deleted") in report(folder)


def test_a_row_put_between_two_sealed_ones_moves_none_of_them(open_house: House, sealed: Any) -> None:
    """Whoever makes room for a leaf of his own, and keeps the number of leaves, is found at every place he moved."""
    told, folder = sealed
    (extra,) = append()

    def put(tx: Connection) -> None:
        tx.execute(delete(unsealed))
        tx.execute(delete(leaves).where(leaves.c.index >= 295))
        moved = [extra, *told[295:299]]
        tx.execute(insert(leaves), [{"index": index, "entry": entry} for index, entry in enumerate(moved, 295)])

    act(put, open_house)
    moved, lost = "edited, moved or swapped", "inserted, or its note removed"
    expected = [(extra, moved), *((each, moved) for each in told[295:299]), (told[299], lost)]
    assert sorted(report(folder)) == sorted(expected)


def test_several_processes_find_what_one_finds(open_house: House, sealed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told, folder = sealed
    act(lambda tx: tx.execute(update(entries).where(entries.c.id == told[270]).values(bytes=b"{}")), open_house)
    act(lambda tx: tx.execute(update(entries).where(entries.c.id == told[3]).values(outcome="refused")), open_house)
    act(lambda tx: tx.execute(delete(leaves).where(leaves.c.index == 299)), open_house)
    alone = report(folder)
    assert {named for named, _ in alone} == {told[3], told[270], "leaf 299", told[299]}
    monkeypatch.setattr(apart, "WORTH_IT", 1)
    monkeypatch.setattr(sections, "LEAVES", 256)
    assert report(folder) == alone


def test_what_is_told_has_a_limit(open_house: House, sealed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, folder = sealed
    monkeypatch.setattr(verification, "MOST", 40)
    act(lambda tx: tx.execute(update(entries).values(outcome="refused")), open_house)
    assert len(report(folder)) == 40


def test_a_published_file_that_is_missing_or_differs(open_house: House, sealed: Any) -> None:
    _, folder = sealed
    (folder / "tile/1/000.p/1").unlink()
    (folder / "tile/0/000").write_bytes(b"x" * 8192)
    assert sorted(report(folder)) == [
        ("tile/0/000", "its published file differs from the database"),
        ("tile/1/000.p/1", "its published file is missing"),
    ]


def test_the_frontier_gives_the_root_of_every_size() -> None:
    frontier, found = Frontier(), [merkle.leaf_hash(str(number).encode()) for number in range(300)]
    assert frontier.root == merkle.EMPTY_ROOT
    for size, leaf in enumerate(found, 1):
        frontier.add(leaf)
        assert frontier.root == naive(found[:size])
