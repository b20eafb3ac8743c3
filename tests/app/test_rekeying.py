# SPDX-License-Identifier: Apache-2.0
"""`bureau rekey`: the new root opens what the old one did, the old one no longer does, and a cut is made good."""

import shutil
from pathlib import Path

import pytest

from app import rekeying
from kernel import db, keys
from kernel.errors import SettingError
from tests import factories
from tests.app.conftest import Bureau
from tests.bureau.histories import answer, entries
from tests.conftest import House


@pytest.fixture
def root(open_house: House, tmp_path: Path) -> str:
    """A copy of the root key that all tests share."""
    return str(shutil.copy2(open_house.home / "keys" / "root.key", tmp_path / "own.key"))


def opens(path: Path) -> bool:
    with db.reading() as reading:
        try:
            keys.use(keys.open_purpose_keys(reading, keys.read_root(path)))
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
    def power_cut(*_: object) -> None:
        raise SystemExit(9)

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
