# SPDX-License-Identifier: Apache-2.0
"""The real register of one city, as delivered: nothing lost, everything read or known to be unreadable.

What is expected is computed here by other means: the csv module on the whole text, and decimal arithmetic.
"""

import csv
import gzip
import io
import os
from collections import Counter
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest

from bureau.records import Batch, Row
from connectors import feeds
from kernel import uscc

REGISTER = Path(os.environ.get("BUREAU_TEST_DATA", "absent")) / "data" / "register-suzhou.csv.gz"
pytestmark = pytest.mark.skipif(not REGISTER.exists(), reason="BUREAU_TEST_DATA holds no real register")

CURRENCIES = {
    "人民币": "CNY", "人民币元": "CNY", "": "CNY", "美元": "USD", "欧元": "EUR", "日元": "JPY", "港元": "HKD",
    "香港元": "HKD", "德国马克": "DEM", "新加坡元": "SGD", "瑞士法郎": "CHF", "丹麦克郎": "DKK",
}  # fmt: skip


@cache
def delivered() -> list[dict[str, str]]:
    text = gzip.decompress(REGISTER.read_bytes()).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


@cache
def mapped() -> list[Row]:
    rows = list(pull().rows)
    assert all(isinstance(row, Row) for row in rows)
    return [row for row in rows if isinstance(row, Row)]


def pull() -> Batch:
    return feeds.pull(feeds.load("market-regulation-register"), REGISTER)


def capital_naively(text: str) -> tuple[int, str] | None:
    """`12,500(万元人民币)` → 12,500,000,000 fen, CNY: every amount of this file is in ten-thousands."""
    if text == "N/A":
        return None
    number, _, words = text.replace("(", "").replace(")", "").replace(",", "").partition("万")
    currency = CURRENCIES[words.removeprefix("元")]
    amount = Decimal(number) * 10_000 * (1 if currency == "JPY" else 100)
    assert amount == int(amount)
    return int(amount), currency


def test_every_row_is_mapped_in_order_with_its_own_words() -> None:
    assert len(mapped()) == 22_454
    assert [row.number for row in mapped()] == list(range(1, 22_455))
    assert [row.delivered for row in mapped()] == delivered()


def test_every_capital_is_read_as_another_reckoning_reads_it() -> None:
    read = [(row.items["C1.01.07"], row.items["C1.01.08"]) for row in mapped()]
    expected = [capital_naively(row["注册资金"]) or (None, None) for row in delivered()]
    assert read == expected
    assert [row.raw["C1.01.07"] for row in mapped()] == [row["注册资金"] for row in delivered()]
    assert Counter(currency for _, currency in read) == {
        "CNY": 20_025, "USD": 1681, "EUR": 44, "JPY": 41, "HKD": 18, "DEM": 3, "SGD": 2, "CHF": 2, "DKK": 1,
        None: 637,
    }  # fmt: skip


def test_only_the_bare_scales_are_warned_about() -> None:
    bare = [n for n, row in enumerate(delivered(), start=1) if row["注册资金"].endswith("(万)")]
    assert [row.number for row in mapped() if row.warnings] == bare
    assert Counter(warning for row in mapped() for warning in row.warnings) == {"C1.01.07 assumed-currency": 32}


def test_the_other_items_are_the_cells_trimmed() -> None:
    for row, cells in zip(mapped(), delivered(), strict=True):
        kind = cells["企业类型"]
        assert row.uscc == row.items["C1.01.02"] == cells["统一社会信用代码"].strip()
        assert row.items["C1.01.01"] == cells["企业名称"].strip()
        assert row.items["C1.01.05"] == (None if kind == "N/A" else kind)
        assert row.items["C1.01.10"] == row.event_date == cells["注册日期"]
        assert row.items["C1.01.20"] == (cells["经营范围"].strip() or None)
        assert row.raw["C1.01.17"] == f"{cells['所在省份']} {cells['地区']}"
        assert row.items["C1.01.17"] == (row.uscc[2:8] if len(row.uscc) == 18 else None)


def test_690_codes_are_not_valid_and_22_come_twice() -> None:
    assert sum(not uscc.is_valid(row.uscc) for row in mapped()) == 690
    counts = Counter(row.uscc for row in mapped())
    assert Counter(counts.values()) == {1: 22_454 - 2 * 22, 2: 22}


def test_the_same_file_has_the_same_digest() -> None:
    assert pull().digest == pull().digest
    assert len(pull().digest) == 64
