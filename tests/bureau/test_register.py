# SPDX-License-Identifier: Apache-2.0
"""The real register of one city, from the file to a bank's answer: nothing lost, every field as delivered.

What is expected is read from the file here by the csv module and plain arithmetic, not by the connectors.
"""

import csv
import gzip
import io
import os
import random
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from bureau import intake, rejects
from bureau.models import directory, folio, rejected_row
from bureau.open_batches import Receipt
from connectors import feeds
from kernel import db, uscc
from tests.bureau.histories import entries
from tests.bureau.storage import found, stored_bytes
from tests.conftest import House
from tests.factories import ask, bank, consent, token

REGISTER = Path(os.environ.get("BUREAU_TEST_DATA", "absent")) / "data" / "register-suzhou.csv.gz"
pytestmark = pytest.mark.skipif(not REGISTER.exists(), reason="BUREAU_TEST_DATA holds no real register")

CODE, NAME, KIND, CAPITAL, SCOPE = "统一社会信用代码", "企业名称", "企业类型", "注册资金", "经营范围"
CURRENCIES = {"": "CNY", "人民币": "CNY", "美元": "USD", "日元": "JPY", "欧元": "EUR", "香港元": "HKD"}
CHINESE = re.compile(rb"(?:[\xe4-\xe9][\x80-\xbf][\x80-\xbf]){5,}")  # in UTF-8, by the dozen


@cache
def register() -> list[dict[str, str]]:
    text = gzip.decompress(REGISTER.read_bytes()).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


@cache
def accepted() -> list[tuple[int, dict[str, str]]]:
    """The rows with a valid code, by their number."""
    return [(number, row) for number, row in enumerate(register(), 1) if uscc.is_valid(row[CODE].strip())]


def collect() -> Receipt:
    return intake.receive(feeds.pull(feeds.load("market-regulation-register"), REGISTER))


def sample() -> list[tuple[int, dict[str, str]]]:
    """The first row of each awkward kind, those that come twice, the last, and some by chance."""
    rows = accepted()
    kinds = (
        lambda row: row[KIND] == "N/A",
        lambda row: row[CAPITAL] == "N/A",
        lambda row: row[CAPITAL].endswith("(万)"),
        lambda row: "," in row[CAPITAL],
        lambda row: "." in row[CAPITAL],
        lambda row: "美元" in row[CAPITAL],
        lambda row: "日元" in row[CAPITAL],
        lambda row: "欧元" in row[CAPITAL],
        lambda row: "香港元" in row[CAPITAL],
        lambda row: not row[SCOPE].strip(),
        lambda row: row[NAME] != row[NAME].strip(),
        lambda row: len(row[SCOPE]) > 1_500,
    )
    chosen = [first for kind in kinds if (first := next((row for row in rows if kind(row[1])), None))]
    twice = {code for code, count in Counter(row[CODE].strip() for _, row in rows).items() if count > 1}
    chosen += [row for row in rows if row[1][CODE].strip() in twice][:4]
    return [*chosen, rows[-1], *random.Random(1911).sample(rows, 20)]


def expected_items(row: dict[str, str]) -> dict[str, Any]:
    code, capital = row[CODE].strip(), row[CAPITAL]
    amount = currency = None
    if capital != "N/A":
        match = re.fullmatch(r"([\d,]+)(?:\.(\d+))?\(?万元?(.*?)\)?", capital)
        assert match, capital
        currency = CURRENCIES[match[3]]
        minor = 10_000 if currency == "JPY" else 1_000_000
        fraction = match[2] or ""
        amount = int(match[1].replace(",", "") + fraction) * minor // 10 ** len(fraction)
    return {
        "C1.01.01": row[NAME].strip(),
        "C1.01.02": code,
        "C1.01.05": None if row[KIND] == "N/A" else row[KIND].strip(),
        "C1.01.07": amount,
        "C1.01.08": currency,
        "C1.01.10": row["注册日期"],
        "C1.01.17": code[2:8],
        "C1.01.20": row[SCOPE].strip() or None,
    }


def test_a_city_is_collected_once_answered_as_delivered_and_kept_secret(house: House, client: FlaskClient) -> None:
    first = collect()
    assert (first.rows, first.accepted, first.rejected, first.repeated) == (22_454, 21_764, 690, 22)
    assert (first.reasons, first.duplicate) == ({"invalid-uscc": 690}, False)
    again = collect()
    assert (again.batch, again.duplicate, again.rows, again.repeated) == (first.batch, True, 22_454, 22)
    assert len(entries("batch.received")) == 1
    check_what_is_stored(int(first.batch))
    check_answers(client, first.batch)
    check_secrecy(house)


def check_what_is_stored(batch: int) -> None:
    """Every row is in a folio or among the rejects, which give back each row of the file word by word."""
    good = {number for number, _ in accepted()}
    with db.reading() as reading:
        assert reading.scalar(select(func.sum(folio.c.record_count))) == len(good) == 21_764
        assert reading.scalar(select(func.count()).select_from(rejected_row)) == 690
        kept = {number: delivered for number, _, delivered in rejects.kept(reading, batch)}
        names = {row.uscc: row.name for row in reading.execute(select(directory))}
    assert kept == {number: row for number, row in enumerate(register(), 1) if number not in good}
    assert names == {row[CODE].strip(): row[NAME].strip() for _, row in accepted()}


def check_answers(client: FlaskClient, batch: str) -> None:
    asking = bank()
    bearer = token(asking)
    last = {row[CODE].strip(): (number, row) for number, row in accepted()}
    for _, sampled in sample():
        code = sampled[CODE].strip()
        number, row = last[code]
        consent(code, asking, classes=(1,))
        document = ask(client, bearer, code).json
        (record,) = document["classes"][0]["datasets"][0]["records"]
        assert (document["uscc"], document["name"]) == (code, row[NAME].strip())
        assert record["items"] == expected_items(row)
        assert record["id"] == f"{batch}.{number}.C1.01"
        assert (record["source"], record["event_date"]) == ("S01", row["注册日期"])
        assert record["raw"]["C1.01.07"] == row[CAPITAL]
        assert record["raw"]["C1.01.17"] == f"{row['所在省份']} {row['地区']}"
        assert record["raw"].get("C1.01.05") == ("N/A" if row[KIND] == "N/A" else None)


def check_secrecy(house: House) -> None:
    """Of all the register's Chinese only names lie in the clear, and no scope or capital in any form."""
    stored = stored_bytes(house)
    names = "\n".join([*(row[NAME].strip() for row in register()), "演示银行"]).encode()
    runs = set(CHINESE.findall(stored))
    assert len(runs) > 10_000, "the names themselves were not found"
    assert not [run.decode() for run in runs - set(CHINESE.findall(names)) if run not in names][:5]
    content = [row[SCOPE][:24] for _, row in sample() if len(row[SCOPE]) >= 24][:8]
    content += [row[CAPITAL] for _, row in sample() if len(row[CAPITAL]) > 8][:4]
    assert found(content, stored) == []
