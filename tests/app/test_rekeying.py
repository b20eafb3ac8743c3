# SPDX-License-Identifier: Apache-2.0
"""`bureau rekey`: what is under the new keys opens as before, the old ones open nothing, and a cut is made good."""

import shutil
from pathlib import Path

import pytest
from sqlalchemy import select

from app import rekeying, roots
from bureau import reencryption
from bureau.models import data_key, folio
from kernel import db, keys
from kernel.errors import SettingError
from kernel.models import purpose_key
from tests import factories, softhsm
from tests.app.conftest import Bureau
from tests.bureau.histories import answer, entries
from tests.conftest import House


@pytest.fixture
def root(open_house: House, tmp_path: Path) -> str:
    """A copy of the root key that all tests share."""
    return str(shutil.copy2(open_house.home / "keys" / "root.key", tmp_path / "own.key"))


def power_cut(*_: object) -> None:
    raise SystemExit(9)


def opens(path: Path | str) -> bool:
    with db.reading() as reading:
        try:
            keys.use(keys.open_purpose_keys(reading, roots.read(path)))
        except SettingError:
            return False
    return True


def test_the_new_root_opens_everything_and_the_old_one_nothing(bureau: Bureau, root: str) -> None:
    code = factories.new_uscc()
    factories.deliver([factories.registration(1, code)])
    before = answer(code)
    told = bureau("rekey", "--json", ROOT_KEY=root)
    assert told.code == 0, told.err
    assert not opens(Path(told.json["old"]))
    assert opens(Path(root))
    assert answer(code) == before
    assert [entry["detail"]["purpose_keys"] for entry in entries("root-key.replaced")] == [len(keys.PURPOSES)]
    assert bureau("verify", ROOT_KEY=root).code == 0
    assert bureau("verify", ROOT_KEY=told.json["old"]).code == 2
    assert bureau("rekey", ROOT_KEY=root).code == 0  # and once more


@pytest.mark.parametrize("cut", ["after the new file", "after the commit", "after the old one is kept"])
def test_a_replacement_cut_off_anywhere_is_finished_by_the_next(
    bureau: Bureau, root: str, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    with monkeypatch.context() as patch:
        if cut == "after the new file":
            patch.setattr(keys, "rewrap_purpose_keys", power_cut)
        elif cut == "after the commit":
            patch.setattr(rekeying.os, "link", power_cut)
        else:
            patch.setattr(Path, "replace", power_cut)
        assert bureau("rekey", ROOT_KEY=root).code == 9
    assert opens(Path(root)) is (cut == "after the new file")
    assert bureau("rekey", ROOT_KEY=root).code == 0
    assert opens(Path(root))
    assert not Path(f"{root}.new").exists()
    assert len(entries("root-key.replaced")) == 1
    assert Path(root).stat().st_mode & 0o777 == 0o600


def test_the_root_moves_into_an_hsm_and_the_bureau_runs_from_there(
    bureau: Bureau, root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, uri = factories.new_uscc(), softhsm.new_uri(tmp_path)
    factories.deliver([factories.registration(1, code)])
    before = answer(code)
    with monkeypatch.context() as patch:
        patch.setattr(keys, "rewrap_purpose_keys", power_cut)
        assert bureau("rekey", "--to", uri, ROOT_KEY=root).code == 9
    told = bureau("rekey", "--to", uri, "--json", ROOT_KEY=root)
    assert (told.code, told.json) == (0, {"root_key": uri, "old": root}), told.err
    assert softhsm.PIN not in told.out + told.err
    assert not opens(Path(root))
    assert bureau("verify", ROOT_KEY=uri).code == 0
    assert answer(code) == before
    assert "--to" in bureau("rekey", ROOT_KEY=uri).complaint
    back = str(tmp_path / "back.key")
    assert bureau("rekey", "--to", back, ROOT_KEY=uri).code == 0
    assert opens(Path(back))
    assert not opens(uri)


def test_a_bureau_begins_with_its_root_in_an_hsm(bureau: Bureau, tmp_path: Path) -> None:
    home, uri = tmp_path / "new", softhsm.new_uri(tmp_path)
    new = {"HOME": str(home), "DATABASE_URL": f"sqlite:///{home / 'bureau.db'}", "ROOT_KEY": uri}
    assert bureau("init", **new).code == 0
    assert bureau("verify", **new).code == 0
    assert not (home / "keys").exists()


def test_data_keys_go_under_a_new_purpose_key_and_folios_under_new_data_keys(bureau: Bureau, root: str) -> None:
    codes = [factories.new_uscc() for _ in range(3)]
    factories.deliver([factories.registration(number, code) for number, code in enumerate(codes, 1)])
    before = [answer(code) for code in codes]
    told = bureau("rekey", "--data-keys", "--folios", "--json", ROOT_KEY=root, CIPHER_SUITE="sm4-gcm")
    assert told.json == {"data_keys": 3, "enterprises": 3, "folios": 3, "overlays": 0, "keys_removed": 3}
    with db.reading() as reading:
        assert set(reading.execute(select(data_key.c.version, data_key.c.suite, data_key.c.wrapped_by))) == {(2, 2, 2)}
        assert set(reading.scalars(select(folio.c.suite))) == {2}
        purposes = select(purpose_key.c.version, purpose_key.c.suite).where(purpose_key.c.purpose == "records")
        assert list(reading.execute(purposes.order_by(purpose_key.c.version))) == [(1, 1), (2, 2)]
    assert [answer(code) for code in codes] == before
    assert len(entries("purpose-key.renewed", "data-keys.rewrapped", "vault.reencrypted")) == 3
    assert bureau("verify", ROOT_KEY=root).code == 0
    assert bureau("rekey", "--folios", "--to", "x", ROOT_KEY=root).code == 2


def test_a_process_that_started_before_opens_what_came_under_a_new_purpose_key(bureau: Bureau, root: str) -> None:
    code = factories.new_uscc()
    factories.deliver([factories.registration(1, code)])
    before, started = answer(code), dict(keys._opened)
    bureau("rekey", "--data-keys", ROOT_KEY=root)

    def reopened() -> dict[str, dict[int, keys.Key]]:
        with db.reading() as reading:
            return keys.open_purpose_keys(reading, roots.read(Path(root)))

    keys.use(started, reopen=reopened)
    assert answer(code) == before
    keys.use(started)
    with pytest.raises(keys.Altered):
        answer(code)


def test_wrapping_data_keys_cut_off_goes_on_with_the_same_purpose_key(
    bureau: Bureau, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = [factories.new_uscc() for _ in range(3)]
    factories.deliver([factories.registration(number, code) for number, code in enumerate(codes, 1)])
    monkeypatch.setattr(reencryption, "KEYS_AT_ONCE", 2)
    with monkeypatch.context() as patch:
        patch.setattr(reencryption, "_end", power_cut)
        assert bureau("rekey", "--data-keys", ROOT_KEY=root).code == 9
    assert bureau("rekey", "--data-keys", "--json", ROOT_KEY=root).json == {"data_keys": 3}
    with db.reading() as reading:
        assert set(reading.scalars(select(data_key.c.wrapped_by))) == {2}
    assert len(entries("purpose-key.renewed")) == 1
