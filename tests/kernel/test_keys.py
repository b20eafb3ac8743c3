# SPDX-License-Identifier: Apache-2.0
"""Keys: AES-256-GCM as others' vectors decide it, silence about themselves, and a root that we never lose."""

import copy
import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from kernel import db, keys
from kernel.errors import SettingError
from kernel.keys import Altered, Key
from kernel.models import purpose_key
from tests.conftest import House

VECTORS = Path(os.environ.get("BUREAU_TEST_DATA", "absent")) / "vectors" / "wycheproof" / "aes_gcm_test.json"
SECRET = bytes(range(0x41, 0x61))


@pytest.mark.skipif(not VECTORS.exists(), reason="BUREAU_TEST_DATA holds no Wycheproof vectors")
def test_wycheproof_vectors_of_our_suite_are_decided_as_wycheproof_says() -> None:
    decided = {"valid": 0, "invalid": 0}
    for vector in _vectors():
        key = Key(bytes.fromhex(vector["key"]))
        ciphertext = bytes.fromhex(vector["iv"] + vector["ct"] + vector["tag"])
        if vector["result"] == "valid":
            assert key.decrypt(ciphertext, bytes.fromhex(vector["aad"])).hex() == vector["msg"], vector["tcId"]
        else:
            with pytest.raises(Altered):
                key.decrypt(ciphertext, bytes.fromhex(vector["aad"]))
        decided[vector["result"]] += 1
    assert decided["valid"] > 20
    assert decided["invalid"] > 20


@settings(deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=50))
def test_what_is_encrypted_opens_with_what_it_was_bound_to(plaintext: bytes, bound_to: bytes) -> None:
    key = keys.new_key()
    assert key.decrypt(key.encrypt(plaintext, bound_to), bound_to) == plaintext


@settings(deadline=None)
@given(st.data())
def test_any_changed_bit_is_found(data: st.DataObject) -> None:
    key = Key(SECRET)
    written = key.encrypt(b"facts", b"place")
    place = data.draw(st.integers(0, 8 * len(written) - 1))
    changed = bytearray(written)
    changed[place // 8] ^= 1 << place % 8
    with pytest.raises(Altered):
        key.decrypt(bytes(changed), b"place")


@pytest.mark.parametrize("length", [0, 1, 11, 12, 27])
def test_a_ciphertext_cut_short_is_altered_and_no_crash(length: int) -> None:
    key = Key(SECRET)
    with pytest.raises(Altered):
        key.decrypt(key.encrypt(b"", b"")[:length], b"")


def test_a_ciphertext_moved_or_opened_with_another_key_is_altered() -> None:
    written = Key(SECRET).encrypt(b"facts", b"here")
    with pytest.raises(Altered):
        Key(SECRET).decrypt(written, b"there")
    with pytest.raises(Altered):
        keys.new_key().decrypt(written, b"here")


def test_the_same_plaintext_is_never_the_same_ciphertext() -> None:
    assert len({Key(SECRET).encrypt(b"facts", b"")[:12] for _ in range(500)}) == 500


def test_a_key_tells_nothing_of_itself() -> None:
    key = Key(SECRET, version=3)
    told = [repr(key), str(key), f"{key}", f"{key!s:>40}", "%s" % key, repr([key]), repr({"key": key})]  # noqa: UP031
    for text in told:
        assert "<Key version 3>" in text
        assert SECRET.decode() not in text
        assert SECRET.hex() not in text
    assert not hasattr(key, "__dict__")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_key_is_not_pickled_under_any_protocol(protocol: int) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Key(SECRET), protocol)


def test_a_key_is_not_copied() -> None:
    with pytest.raises(TypeError):
        copy.copy(Key(SECRET))
    with pytest.raises(TypeError):
        copy.deepcopy(Key(SECRET))


def test_a_wrapped_key_opens_to_the_same_key_where_it_was_bound() -> None:
    root, key = keys.new_key(), keys.new_key()
    wrapped = root.wrap(key, b"place")
    opened = root.unwrap(wrapped, b"place", 7)
    assert opened.version == 7
    assert opened.decrypt(key.encrypt(b"facts", b""), b"") == b"facts"
    with pytest.raises(Altered):
        root.unwrap(wrapped, b"elsewhere")


def test_fingerprints_are_equal_for_equal_messages_under_one_key_only() -> None:
    key = Key(SECRET)
    assert key.mac64(b"one") == Key(SECRET).mac64(b"one")
    assert key.mac64(b"one") != key.mac64(b"two")
    assert key.mac64(b"one") != keys.new_key().mac64(b"one")
    assert 0 <= key.mac64(b"one") < 2**64


def test_a_root_key_file_is_for_its_owner_alone_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "root.key"
    keys.create_root(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    written = keys.read_root(path).encrypt(b"facts", b"")
    assert keys.read_root(path).decrypt(written, b"") == b"facts"


def test_a_root_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "root.key"
    keys.create_root(path)
    before = path.read_bytes()
    with pytest.raises(SettingError, match="never overwritten"):
        keys.create_root(path)
    assert path.read_bytes() == before
    (tmp_path / "dangling").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SettingError):
        keys.create_root(tmp_path / "dangling")
    assert not (tmp_path / "elsewhere").exists()


def test_two_root_keys_are_not_the_same(tmp_path: Path) -> None:
    for name in ("one", "other"):
        keys.create_root(tmp_path / name)
    assert (tmp_path / "one").read_bytes() != (tmp_path / "other").read_bytes()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_root_key_that_others_can_read_stops_the_start(tmp_path: Path, mode: int) -> None:
    keys.create_root(path := tmp_path / "root.key")
    path.chmod(mode)
    with pytest.raises(SettingError, match="chmod 600"):
        keys.read_root(path)


def test_a_missing_root_key_stops_the_start_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"absent\.key"):
        keys.read_root(tmp_path / "absent.key")
    with pytest.raises(SettingError):
        keys.read_root(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 64,
        b"00" * 32,
        b"bureau-root-key-v1\n" + b"00" * 31,
        b"bureau-root-key-v1\n" + b"zz" * 32,
        b"bureau-root-key-v1\n" + b"\xff" * 64,
        b"bureau-root-key-v2\n" + b"00" * 32,
        b"bureau-root-key-v1\n" + b"00" * 33,
    ],
)
def test_a_file_that_is_no_root_key_stops_the_start_without_showing_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "root.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SettingError, match="not a root key file") as refused:
        keys.read_root(path)
    assert "00" * 16 not in str(refused.value)


def test_another_root_key_does_not_open_the_database_and_says_so(house: House) -> None:
    with db.reading() as reading, pytest.raises(SettingError, match="restore the key made with it"):
        keys.open_purpose_keys(reading, keys.new_key())


def test_a_purpose_key_put_in_anothers_place_does_not_open(house: House) -> None:
    root = keys.read_root(house.home / "keys" / "root.key")
    with db.transaction() as tx:
        wrapped = tx.scalar(select(purpose_key.c.wrapped).where(purpose_key.c.purpose == "records"))
        tx.execute(update(purpose_key).where(purpose_key.c.purpose == "marks").values(wrapped=wrapped))
        with pytest.raises(SettingError):
            keys.open_purpose_keys(tx, root)


def test_a_missing_purpose_key_is_named_and_made_without_touching_the_others(house: House) -> None:
    root = keys.read_root(house.home / "keys" / "root.key")
    with db.transaction() as tx:
        held = _wrapped(tx)
        tx.execute(purpose_key.delete().where(purpose_key.c.purpose == "marks"))
        with pytest.raises(SettingError, match="no key for marks"):
            keys.open_purpose_keys(tx, root)
        keys.create_purpose_keys(tx, root)
        made = _wrapped(tx)
        assert made.keys() == held.keys() == set(keys.PURPOSES)
        assert {purpose for purpose in held if made[purpose] != held[purpose]} == {"marks"}
        assert keys.open_purpose_keys(tx, root).keys() == held.keys()


def test_no_purpose_key_stands_in_the_database_in_the_clear(house: House) -> None:
    with db.reading() as reading:
        root = keys.read_root(house.home / "keys" / "root.key")
        opened, held = keys.open_purpose_keys(reading, root), _wrapped(reading)
    for purpose, (key,) in ((purpose, versions.values()) for purpose, versions in opened.items()):
        assert key._secret not in held[purpose]


def test_a_purpose_key_that_was_not_opened_is_named(house: House) -> None:
    with pytest.raises(SettingError, match="the nothing key is not open"):
        keys.purpose("nothing")


def _vectors() -> Iterator[dict[str, Any]]:
    for group in json.loads(VECTORS.read_text())["testGroups"]:
        if (group["keySize"], group["ivSize"], group["tagSize"]) == (256, 96, 128):
            yield from group["tests"]


def _wrapped(tx: Any) -> dict[str, bytes]:
    return {row.purpose: row.wrapped for row in tx.execute(select(purpose_key))}
