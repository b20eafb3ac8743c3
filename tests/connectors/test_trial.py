# SPDX-License-Identifier: Apache-2.0
"""A feed tried on a sample, by command: what rows would become, and why some would not; nothing is stored."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli import main
from connectors import feeds
from tests.connectors.test_feeds import TAX_PAYMENTS

SAMPLE = (
    "序号,纳税人识别号,所属期起,所属期止,应税销售额,应纳税所得额,入库日期\n"
    "1,91320500MA1XY8014D,2026-01-01,2026-03,100,1,\n"
    "2,91320500MA1XY8014D,2026-04-01,2026-06,many,1,\n"
    "3,nobody,2026-01-01,2026-03,100,1,\n"
    "4,nobody,2026-01-01,2026-03,100,1,\n"
    "5,91320500MA1XY8014D,2026-01-01,,100,1,\n"
)


@pytest.fixture(autouse=True)
def undone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "_folder", None)


def run(tmp_path: Path, *arguments: str) -> Result:
    return CliRunner(env={"BUREAU_HOME": str(tmp_path / "home")}).invoke(main, ["feed", *arguments])


def written(tmp_path: Path, toml: str = TAX_PAYMENTS) -> tuple[str, str]:
    (tmp_path / "tax-payments.toml").write_text(toml, encoding="utf-8")
    (tmp_path / "sample.csv").write_text(SAMPLE, encoding="utf-8")
    return str(tmp_path / "tax-payments.toml"), str(tmp_path / "sample.csv")


def test_a_sample_shows_what_its_rows_would_become(tmp_path: Path) -> None:
    feed, sample = written(tmp_path)
    shown = run(tmp_path, "check", feed, "--sample", sample, "--json")
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)
    assert (found["rows"], found["accepted"], found["rejected"]) == (5, 2, 3)
    assert found["reasons"] == {
        "invalid-uscc": {"count": 2, "rows": [3, 4]},
        "missing-C2.05.01": {"count": 1, "rows": [5]},
    }
    assert found["warnings"] == {"C2.05.03 unreadable-money": {"count": 1, "rows": [2]}}
    assert found["items"]["C2.05.03"]["filled"] == 1
    assert found["items"]["C2.05.03"]["example"] == 10_000
    assert not (tmp_path / "home" / "bureau.db").exists()


def test_without_json_the_same_is_told_in_lines(tmp_path: Path) -> None:
    told = run(tmp_path, "check", *written(tmp_path)[:1], "--sample", written(tmp_path)[1]).stdout
    assert "tax-payments: 5 rows, 2 accepted, 3 rejected" in told
    assert "invalid-uscc: 2, such as row 3, 4" in told


def test_what_is_wrong_with_a_feed_is_named_by_file_and_key(tmp_path: Path) -> None:
    feed, _ = written(tmp_path, TAX_PAYMENTS.replace('unit = "元"', 'unit = "吨"'))
    refused = run(tmp_path, "check", feed, "--json")
    assert refused.exit_code == 2
    assert json.loads(refused.stdout)["detail"].startswith("tax-payments.toml: columns.应税销售额.unit: expected such")


def test_all_feeds_are_listed_and_the_operator_s_among_them(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "feeds"
    folder.mkdir(parents=True)
    (folder / "tax-payments.toml").write_text(TAX_PAYMENTS, encoding="utf-8")
    listed = {one["feed"]: one for one in json.loads(run(tmp_path, "list", "--json").stdout)}
    assert listed["tax-payments"]["transport"] == "brought"
    assert listed["market-regulation-register"]["source"] == "S01"
