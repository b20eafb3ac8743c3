# SPDX-License-Identifier: Apache-2.0
"""Amounts as registers write them: a table of forms, properties of exactness, and what stays unread."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import money
from kernel.errors import SettingError

FORMS = [
    ("12,500(万元人民币)", 12_500_000_000, "CNY"),
    ("2800万人民币", 2_800_000_000, "CNY"),
    ("600万元人民币", 600_000_000, "CNY"),
    ("5万人民币元", 5_000_000, "CNY"),
    ("100(万元)", 100_000_000, "CNY"),
    ("100(万元(人民币))", 100_000_000, "CNY"),
    ("100( 万人民币元 )", 100_000_000, "CNY"),
    ("274.988591万人民币", 274_988_591, "CNY"),
    ("4,264.8800(万元人民币)", 4_264_880_000, "CNY"),
    ("50(万美元)", 50_000_000, "USD"),
    ("50万美元", 50_000_000, "USD"),
    ("30(万元美元)", 30_000_000, "USD"),
    ("50 万 USD", 50_000_000, "USD"),
    ("3(万欧元)", 3_000_000, "EUR"),
    ("37,939.5000(万日元)", 379_395_000, "JPY"),
    ("2,647(万香港元)", 2_647_000_000, "HKD"),
    ("150(万港元)", 150_000_000, "HKD"),
    ("150(万港币)", 150_000_000, "HKD"),
    ("238.3858(万德国马克)", 238_385_800, "DEM"),
    ("262(万新加坡元)", 262_000_000, "SGD"),
    ("20(万瑞士法郎)", 20_000_000, "CHF"),
    ("20(万丹麦克郎)", 20_000_000, "DKK"),
    ("20(万科威特第纳尔)", 200_000_000, "KWD"),
    ("1亿元", 10_000_000_000, "CNY"),
    ("1.5亿美元", 15_000_000_000, "USD"),
    ("2百万元", 200_000_000, "CNY"),
    ("3千万元", 3_000_000_000, "CNY"),
    ("100元", 10_000, "CNY"),
    ("0.01元", 1, "CNY"),
    ("人民币1亿元", 10_000_000_000, "CNY"),
    ("人民币 100", 10_000, "CNY"),
    ("１２，５００（万元人民币）", 12_500_000_000, "CNY"),
    ("100萬圓", 100_000_000, "CNY"),
    ("0(万元人民币)", 0, "CNY"),
]


@pytest.mark.parametrize(("text", "minor_units", "currency"), FORMS)
def test_every_form_of_the_registers_is_read_exactly(text: str, minor_units: int, currency: str) -> None:
    assert money.parse(text) == money.Money(minor_units, currency, assumed=False)


@pytest.mark.parametrize("text", ["200(万)", "200万", "２００（万）", "0.02亿", "200 万"])
def test_a_bare_scale_is_renminbi_and_says_that_it_is_assumed(text: str) -> None:
    assert money.parse(text) == money.Money(200_000_000, "CNY", assumed=True)


def test_a_bare_scale_in_an_item_of_another_currency_is_that_currency() -> None:
    assert money.parse("200万", assume="JPY") == money.Money(2_000_000, "JPY", assumed=True)


@pytest.mark.parametrize("text", ["200", "1,234.56", "0"])
def test_a_number_without_a_word_is_read_only_with_the_unit_of_its_column(text: str) -> None:
    number = Decimal(text.replace(",", ""))
    assert money.parse(text) is None
    assert money.parse(text, "元") == money.Money(int(number * 100), "CNY", assumed=False)
    assert money.parse(text, "万美元") == money.Money(int(number * 1_000_000), "USD", assumed=False)
    assert money.parse(text, "万") == money.Money(int(number * 1_000_000), "CNY", assumed=True)


@pytest.mark.parametrize("text", ["100元", "人民币100", "100人民币"])
def test_the_unit_of_the_column_does_not_touch_a_number_that_has_words(text: str) -> None:
    assert money.parse(text, "万元") == money.Money(10_000, "CNY", assumed=False)


@pytest.mark.parametrize("text", ["-3.5万元", "－3.5万元", "−3.5万元"])
def test_a_minus_is_read_only_where_the_column_permits_it(text: str) -> None:
    assert money.parse(text) is None
    assert money.parse(text, signed=True) == money.Money(-3_500_000, "CNY", assumed=False)


@pytest.mark.parametrize(
    "text",
    [
        "", "N/A", "万元", "人民币", "约100万元", "100万左右", "60(元/万元)", "100(万", "100(万美",
        "100)万元", "100(万某国元)", "100马克", "¥100", "$100", "1e6元", "1亿2000万", "壹佰万元",
        "100万-200万", "1,00元",
        "12,3456元", ",100元", "1.元", ".5元", "1 000元", "1..2元", "+5元", "(100)元", "0.001元", "0.5日元",
        "人民币100美元", "½万元", "10²元", "٣元", "100万元\x00", "=1+1", "=cmd|' /C calc'!A0",
    ],
)  # fmt: skip
def test_what_is_not_certain_is_not_read(text: str) -> None:
    assert money.parse(text) is None


def test_the_largest_amount_is_the_largest_of_64_bits() -> None:
    assert money.parse("92233720368547758.07元") == money.Money(2**63 - 1, "CNY", assumed=False)
    assert money.parse("92233720368547758.08元") is None
    assert money.parse("9" * 62 + "元") is None
    assert money.parse("9" * 5000 + "元") is None


def test_more_zeros_than_minor_units_are_no_fraction_of_one() -> None:
    assert money.parse("1.100000000元") == money.Money(110, "CNY", assumed=False)
    assert money.parse("1.100000001元") is None


@given(st.decimals(0, 10**9, places=4), st.sampled_from(["万元人民币", "(万美元)", "(万日元)"]), st.booleans())
def test_reading_agrees_with_decimal_arithmetic(amount: Decimal, words: str, commas: bool) -> None:
    text = f"{amount:,f}{words}" if commas else f"{amount:f}{words}"
    digits = 0 if "日" in words else 2
    read = money.parse(text)
    assert read is not None
    assert Decimal(read.minor_units) == amount * 10_000 * 10**digits


@given(st.text(alphabet="0123456789,.-万亿元美日人民币()（） １", max_size=20) | st.text(max_size=70))
def test_any_text_at_all_is_read_within_bounds_or_not_read(text: str) -> None:
    read = money.parse(text)
    assert read is None or (0 <= read.minor_units <= 2**63 - 1 and read.currency in money.currencies().digits)


@pytest.mark.parametrize("unit", ["元", "万元", "万", "亿元", "万美元", "USD", "日元"])
def test_a_unit_is_a_scale_a_currency_or_both(unit: str) -> None:
    assert money.is_unit(unit)


@pytest.mark.parametrize("unit", ["", "吨", "万吨", "1万元", "(万元"])
def test_other_words_are_no_unit(unit: str) -> None:
    assert not money.is_unit(unit)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("USD,two,US dollar,美元", "line 3"),
        ("USD,2,US dollar,人民币", "人民币 names two currencies"),
        ("USD,2", "line 3"),
    ],
)
def test_a_broken_table_of_currencies_is_named_by_its_line(tmp_path: Path, line: str, problem: str) -> None:
    file = tmp_path / "currencies.csv"
    file.write_text(f"code,minor_units,name_en,names_zh\nCNY,2,Renminbi yuan,人民币\n{line}\n", encoding="utf-8")
    with pytest.raises(SettingError, match=problem):
        money.read_currencies(file)
