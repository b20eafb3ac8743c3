# SPDX-License-Identifier: Apache-2.0
"""The log changes its key: both sign for a while, then the earlier one no more; what it signed goes on verifying."""

from pathlib import Path

from audit import log, notes, receipts
from audit.notes import Verifier
from kernel import db
from tests.app.conftest import Bureau
from tests.audit.test_sealing import append
from tests.conftest import House


def signers(house: House) -> list[str]:
    """Whose signatures stand under the published checkpoint."""
    note = (house.own / "log" / "checkpoint").read_text()
    known = [notes.parse_key(line) for line in (house.own / "log" / "key").read_text().splitlines()]
    return [str(key) for key, _ in notes.verified(note, known)[1]]


def receipt(entry: str, folder: Path, key: str) -> tuple[str, str, str]:
    """Options that verify a new receipt of an entry with one key."""
    with db.reading() as reading:
        made = receipts.make(reading, entry)
    assert made
    (folder / f"{entry}.proof").write_text(made)
    (folder / "key").write_text(f"{key}\n")
    return str(folder / f"{entry}.proof"), "--key", str(folder / "key")


def test_a_key_is_changed_with_an_overlap(bureau: Bureau, open_house: House, tmp_path: Path) -> None:
    (first,) = append()
    assert bureau("seal").code == 0
    (old,) = (one["key"] for one in bureau("log-key", "list", "--json").json)
    assert signers(open_house) == [old]
    verified_by_old = receipt(first, tmp_path, old)

    new = bureau("log-key", "add", "--json").json["key"]
    (second,) = append()
    assert bureau("seal").code == 0
    assert signers(open_house) == [new, old], "both sign"
    for key in (old, new):
        assert bureau("verify", *receipt(second, tmp_path, key)).code == 0

    old_id = notes.parse_key(old).id.hex()
    assert bureau("log-key", "retire", old_id, "--json").json == {"retired": old}
    (third,) = append()
    assert bureau("seal").code == 0
    assert signers(open_house) == [new]
    assert bureau("verify", *receipt(third, tmp_path, new)).code == 0
    assert bureau("verify", *receipt(third, tmp_path, old)).code == 1
    (tmp_path / "key").write_text(old)
    assert bureau("verify", *verified_by_old).code == 0, "what the old key signed goes on verifying"
    assert bureau("verify", verified_by_old[0]).code == 0, "the published keys are all there"
    assert bureau("verify", "--json").json["ok"]
    listed = bureau("log-key", "list", "--json").json
    assert [(one["key"], bool(one["retired_at"])) for one in listed] == [(old, True), (new, False)]


def test_the_only_key_and_unknown_keys_are_not_retired(bureau: Bureau) -> None:
    (key,) = (one["key"] for one in bureau("log-key", "list", "--json").json)
    assert "the only key" in bureau("log-key", "retire", notes.parse_key(key).id.hex()).complaint
    assert "signs with no key" in bureau("log-key", "retire", "00000000").complaint
    new = bureau("log-key", "add").out.strip()
    assert bureau("log-key", "retire", notes.parse_key(new).id.hex()).code == 0
    assert "signs with no key" in bureau("log-key", "retire", notes.parse_key(new).id.hex()).complaint


def test_each_change_is_on_the_trail(bureau: Bureau) -> None:
    new = bureau("log-key", "add").out.strip()
    bureau("log-key", "retire", notes.parse_key(new).id.hex())
    with db.reading() as reading:
        told = reading.exec_driver_sql("SELECT type FROM entry ORDER BY id").scalars().all()
        keys: list[Verifier] = log.keys(reading, notes.parse_key(new).name)
    assert told == ["log-key.added", "log-key.retired"]
    assert len(keys) == 2
