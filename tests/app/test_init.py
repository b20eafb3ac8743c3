# SPDX-License-Identifier: Apache-2.0
"""`bureau init`: makes a whole bureau where there is none, and touches none that is there."""

from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect

from tests.app.conftest import Ran, run_here
from tests.conftest import House


def run(house: House, *arguments: str, **settings: str) -> Ran:
    environment = {"BUREAU_HOME": str(house.home)}
    if house.engine == "postgresql":
        environment["BUREAU_DATABASE_URL"] = house.url
    return run_here(environment, *arguments, **settings)


@pytest.mark.parametrize("folder_exists", [False, True])
def test_init_makes_a_bureau_that_works(empty_house: House, folder_exists: bool) -> None:
    if folder_exists:
        empty_house.home.mkdir()
    made = run(empty_house, "init")
    assert (made.code, made.out) == (0, "")
    key = empty_house.home / "keys" / "root.key"
    assert str(key) in made.err
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.parent.stat().st_mode & 0o777 == 0o700
    assert run(empty_house, "institution", "add", "演示银行", "--kind", "bank", "--json").code == 0
    assert run(empty_house, "verify", "--json").json["ok"] is True


def test_a_home_that_init_makes_is_its_owner_s_alone(empty_house: House) -> None:
    assert run(empty_house, "init").code == 0
    assert empty_house.home.stat().st_mode & 0o777 == 0o700


def test_a_second_init_changes_nothing(empty_house: House) -> None:
    run(empty_house, "init")
    added = run(empty_house, "institution", "add", "演示银行", "--kind", "bank", "--json").json
    key = (empty_house.home / "keys" / "root.key").read_bytes()

    assert "there is a bureau already" in run(empty_house, "init").complaint

    assert (empty_house.home / "keys" / "root.key").read_bytes() == key
    assert run(empty_house, "institution", "list", "--json").json[0]["institution"] == added["institution"]


def test_a_database_whose_root_key_is_gone_is_not_begun_anew(empty_house: House) -> None:
    run(empty_house, "init")
    key = empty_house.home / "keys" / "root.key"
    kept = key.read_bytes()
    key.unlink()

    assert "restore the key" in run(empty_house, "verify").complaint
    assert "there is a bureau already" in run(empty_house, "init").complaint
    assert not key.exists()

    key.write_bytes(kept)
    key.chmod(0o600)
    assert run(empty_house, "verify").code == 0


def test_a_root_key_whose_database_is_gone_is_not_overwritten(empty_house: House) -> None:
    key = empty_house.home / "keys" / "root.key"
    key.parent.mkdir(parents=True)
    key.write_text("of another bureau\n")

    assert "never overwritten" in run(empty_house, "init").complaint

    assert key.read_text() == "of another bureau\n"
    engine = create_engine(empty_house.url)
    assert inspect(engine).get_table_names() == []
    engine.dispose()


def test_another_bureau_s_root_key_does_not_open_this_one(empty_house: House, home: Path) -> None:
    run(empty_house, "init")
    told = run(empty_house, "verify", ROOT_KEY=str(home / "keys" / "root.key")).complaint
    assert "does not open this database's keys" in told


def test_no_key_is_made_for_a_database_that_does_not_answer(empty_house: House) -> None:
    failed = run(empty_house, "init", DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert "BUREAU_DATABASE_URL" in failed.complaint
    assert not (empty_house.home / "keys").exists()


def test_a_home_that_cannot_be_made_is_named(empty_house: House, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert str(tmp_path / "file") in run(empty_house, "init", HOME=str(tmp_path / "file" / "home")).complaint
