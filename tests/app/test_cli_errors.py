# SPDX-License-Identifier: Apache-2.0
"""What the command line says when something cannot be done: one line that names it, and exit code 2."""

import gzip
import json
from pathlib import Path

import pytest

from tests import factories
from tests.app.conftest import Bureau
from tests.conftest import House

ONE_ENGINE = pytest.mark.parametrize("open_house", ["sqlite"], indirect=True)
COLUMNS = "企业名称,统一社会信用代码,注册日期,企业类型,注册资金,经营范围,所在省份,地区"


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (
            "collect no-such-feed --file {file} --json",
            "no feed no-such-feed; there is market-regulation-register",
        ),
        ("collect nowhere.toml --file {file}", "nowhere.toml: there is no such file"),
        ("collect market-regulation-register --file nowhere.csv --json", "'nowhere.csv' does not exist"),
        ("collect market-regulation-register --file {folder}", "is a directory"),
        ("collect market-regulation-register --file {file}", "header: no column"),
        ("collect market-regulation-register", "bring its deliveries with --file"),
        ("institution add 演示银行 --kind pawnbroker --json", "'pawnbroker' is not one of 'bank'"),
        ("institution add 演示已有 --kind bank --json", "演示已有 is registered already"),
        ("client add nobody --scope credit:query --json", "no institution nobody"),
        ("client add S01 --scope credit:query --json", "scopes must be of batch:write"),
        ("client add {bank} --scope everything --json", "scopes must be of credit:query"),
        ("client disable nobody", "no client nobody"),
        ("person add --role chief --json", "'chief' is not one of 'enterprise'"),
        ("person add --role enterprise --json", "names a USCC"),
        (
            "person add --role enterprise --uscc 91320599MA0000000X --json",
            "is not a valid unified social credit code",
        ),
        ("person add --role admin --uscc {uscc} --json", "names a USCC"),
        (
            "consent grant --uscc {uscc} --institution nobody --classes 1 --purposes pre_loan",
            "no such institution",
        ),
        (
            "consent grant --uscc {uscc} --institution kind:pub --classes 1 --purposes pre_loan",
            "no such kind",
        ),
        ("consent grant --uscc {uscc} --classes 1,8 --purposes pre_loan --json", "class numbers from 1 to 7"),
        ("consent grant --uscc {uscc} --classes one --purposes pre_loan --json", "class numbers from 1 to 7"),
        ("consent grant --uscc {uscc} --classes 1 --purposes fun --json", "fun: not one of pre_loan"),
        (
            "consent grant --uscc {uscc} --classes 1 --purposes pre_loan --products report",
            "report: not one of",
        ),
        ("consent grant --uscc {uscc} --classes 1 --purposes pre_loan --days 0", "0 is not in the range"),
        (
            "consent grant --uscc XX --institution platform --classes 1 --purposes pre_loan --json",
            "XX is not a unified social credit code",
        ),
        ("consent revoke nothing", "no consent nothing"),
        ("query --institution nobody --uscc {uscc} --operator OP --json", "no institution nobody"),
        (
            "query --institution {bank} --uscc XX --operator OP --json",
            "XX is not a unified social credit code",
        ),
        ("query --institution {bank} --uscc {uscc} --operator {long}", "1 to 64 printable characters"),
        (
            "query --institution {bank} --uscc {uscc} --operator OP --purpose fun",
            "'fun' is not one of 'pre_loan'",
        ),
        ("demo --enterprises 400 --json", "into an empty bureau only"),
        ("init", "there is a bureau already"),
        ("serve --port 0", "0 is not in the range"),
        ("nonsense", "No such command 'nonsense'"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(bureau: Bureau, tmp_path: Path, command: str, named: str) -> None:
    file = tmp_path / "delivery.csv"
    file.write_text("a,b\n1,2\n")
    bank = factories.bank("演示已有")
    words = {
        "file": str(file),
        "folder": str(tmp_path),
        "bank": bank,
        "uscc": factories.new_uscc(),
        "long": "O" * 65,
    }
    before = bureau("verify", "--json").json

    failed = bureau(*(word.format(**words) for word in command.split()))

    assert named in failed.complaint
    # What is known only once the bureau is open is told as JSON too; wrong use is not.
    if failed.out:
        assert "--json" in command
        assert failed.json.keys() == {"error", "detail"}
        assert failed.json["detail"] == failed.complaint
    assert bureau("verify", "--json").json == before, "something was written all the same"
    assert not (tmp_path / "demo.json").exists()


def test_a_consent_cannot_be_revoked_twice(bureau: Bureau) -> None:
    consent = factories.consent(factories.new_uscc())
    assert bureau("consent", "revoke", consent).code == 0
    assert "revoked already" in bureau("consent", "revoke", consent).complaint


def test_a_truncated_delivery_is_named_with_the_remedy_and_nothing_of_it_is_visible(
    bureau: Bureau, tmp_path: Path
) -> None:
    enterprise, bank = factories.new_uscc(), factories.bank()
    factories.consent(enterprise, bank)
    rows = [
        f"苏州演示公司{number},{enterprise},2019-05-06,有限责任公司,200(万),制造,江苏,苏州" for number in range(2_000)
    ]
    whole = gzip.compress("\n".join([COLUMNS, *rows]).encode())
    file = tmp_path / "register.csv.gz"
    file.write_bytes(whole[: len(whole) // 2])

    failed = bureau("collect", "market-regulation-register", "--file", str(file), "--json")

    assert failed.complaint.startswith("register.csv.gz, row ")
    assert failed.complaint.endswith("the gzip file is cut off or damaged; deliver it again")
    asked = ["query", "--institution", bank, "--uscc", enterprise, "--operator", "OP-00042"]
    assert bureau(*asked).json["classes"] == []
    file.write_bytes(whole)
    assert bureau("collect", "market-regulation-register", "--file", str(file), "--json").json["accepted"] == 2_000
    assert len(bureau(*asked).json["classes"]) == 1


@ONE_ENGINE
@pytest.mark.parametrize(
    ("setting", "value", "named"),
    [
        ("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none", "BUREAU_DATABASE_URL"),
        ("DATABASE_URL", "sqlite:////no/such/folder/bureau.db", "BUREAU_DATABASE_URL"),
        ("DATABASE_URL", "mysql://bureau:secret@localhost/bureau", "BUREAU_DATABASE_URL names 'mysql'"),
        ("DATABASE_URL", "secret", "BUREAU_DATABASE_URL"),
        ("DATABASE_URL", "postgresql+psycopg2://bureau@localhost/bureau", "BUREAU_DATABASE_URL"),
        ("ROOT_KEY", "/no/such/key", "BUREAU_ROOT_KEY"),
        ("ROOT_KEY", "/", "BUREAU_ROOT_KEY"),
        ("PUBLIC_URL", "bureau.example", "BUREAU_PUBLIC_URL"),
        ("LOG_LEVEL", "loud", "BUREAU_LOG_LEVEL"),
        ("WITNESS_POLICY", "/no/such/policy", "/no/such/policy"),
    ],
)
def test_a_bad_setting_stops_every_command_and_is_named(bureau: Bureau, setting: str, value: str, named: str) -> None:
    for command in (["verify"], ["institution", "list"], ["worker"], ["serve"], ["up"]):
        failed = bureau(*command, **{setting: value})
        assert named in failed.complaint
        assert "secret" not in failed.complaint


@ONE_ENGINE
def test_a_database_that_is_no_bureau_s_is_said(bureau: Bureau, tmp_path: Path) -> None:
    failed = bureau("verify", DATABASE_URL=f"sqlite:///{tmp_path / 'other.db'}")
    assert "BUREAU_DATABASE_URL" in failed.complaint
    assert "bureau init" in failed.complaint


@ONE_ENGINE
def test_a_root_key_that_others_can_read_is_refused(bureau: Bureau, open_house: House, tmp_path: Path) -> None:
    key = tmp_path / "open.key"
    key.write_bytes((open_house.home / "keys" / "root.key").read_bytes())
    key.chmod(0o644)
    assert "chmod 600" in bureau("verify", ROOT_KEY=str(key)).complaint
    key.chmod(0o600)
    assert bureau("verify", ROOT_KEY=str(key)).code == 0


@ONE_ENGINE
def test_a_file_that_is_no_root_key_is_refused_and_not_shown(bureau: Bureau, tmp_path: Path) -> None:
    key = tmp_path / "other.key"
    key.write_text("hunter2\n")
    key.chmod(0o600)
    told = bureau("verify", ROOT_KEY=str(key)).complaint
    assert "not a root key file" in told
    assert "hunter2" not in told


def test_wrong_use_prints_no_json(bureau: Bureau) -> None:
    failed = bureau("consent", "list", "--json", "--uscc")
    assert (failed.code, failed.out) == (2, "")


def test_a_json_error_is_one_document_with_its_kind(bureau: Bureau) -> None:
    failed = bureau("client", "add", "nobody", "--scope", "credit:query", "--json")
    assert json.loads(failed.out) == {"error": "not-found", "detail": failed.complaint}
