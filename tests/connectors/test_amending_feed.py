# SPDX-License-Identifier: Apache-2.0
"""A source says in its own file, and its own words, which of its records it corrects or takes back."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from bureau import intake
from bureau.open_batches import Receipt
from connectors import feeds
from kernel.errors import SettingError
from tests.bureau.histories import answer
from tests.conftest import House
from tests.factories import new_uscc

FEED = """
feed = "penalties"
title = "行政处罚"
source = "S12"
dataset = "C4.10"
basis = "department"
format = "csv"
encoding = "utf-8"

[limits]
packed_bytes = 1_000_000
unpacked_bytes = 10_000_000
ratio = 50
rows = 100_000
row_bytes = 10_000
cell_characters = 1_000

[uscc]
column = "代码"
strict = true

[columns]
"文书号" = { item = "C4.10.01" }
"罚款" = { item = "C4.10.05", unit = "元" }
"决定日期" = { item = "C4.10.07" }

[amendments]
column = "操作"
correct = ["更正", "U"]
withdraw = ["撤销"]
record = "原记录"
"""
HEADER = "代码,文书号,罚款,决定日期,操作,原记录\n"


def collect(folder: Path, *lines: str) -> Receipt:
    (folder / "penalties.toml").write_text(FEED, encoding="utf-8")
    file = folder / "delivery.csv"
    file.write_text(HEADER + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return intake.receive(feeds.pull(feeds.load(folder / "penalties.toml"), file))


def shown(code: str) -> list[dict[str, Any]]:
    told = orjson.loads(answer(code))["classes"]
    return [record for part in told for dataset in part["datasets"] for record in dataset["records"]]


def test_a_file_corrects_and_withdraws_what_an_earlier_one_told(house: House, tmp_path: Path) -> None:
    code = new_uscc()
    first = collect(tmp_path, f"{code},罚1号,5000,2025-03-01,,", f"{code},罚2号,100,2025-03-02,,")
    assert (first.accepted, first.amended) == (2, 0)
    second = collect(
        tmp_path,
        f"{code},罚1号,500,2025-03-01,更正,{first.batch}.1.C4.10",
        f"{code},罚2号,,,撤销,{first.batch}.2.C4.10",
        f"{code},罚3号,70,2025-04-01,,",
        f"{code},罚1号,500,2025-03-01,更正,",
        f"{code},罚1号,much,2025-03-01,U,{first.batch}.1.C4.10",
        f"{code},罚1号,1,2025-03-01,别的,{first.batch}.1.C4.10",
    )
    assert (second.accepted, second.amended) == (3, 2)
    assert second.reasons == {"record-not-named": 1, "unreadable-act": 1, "unreadable-correction": 1}
    by_case = {record["items"]["C4.10.01"]: record for record in shown(code)}
    assert set(by_case) == {"罚1号", "罚3号"}
    assert (by_case["罚1号"]["items"]["C4.10.05"], by_case["罚1号"]["corrected"]) == (50_000, True)
    assert by_case["罚1号"]["raw"] == {"C4.10.05": "500"}


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ('correct = ["更正", "U"]\nwithdraw = ["撤销"]', "amendments.correct: name"),
        ('column = "操作"', "amendments.column: is missing"),
        ('record = "原记录"', None),
    ],
)
def test_what_is_wrong_with_the_amendments_of_a_feed_is_named(tmp_path: Path, broken: str, says: str | None) -> None:
    file = tmp_path / "penalties.toml"
    file.write_text(FEED.replace(broken, ""), encoding="utf-8")
    if says is None:
        assert feeds.load(file).translation.record_column is None
        return
    with pytest.raises(SettingError, match=says):
        feeds.load(file)
