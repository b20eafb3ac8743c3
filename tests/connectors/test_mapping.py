# SPDX-License-Identifier: Apache-2.0
"""Departments' words into items: pure, with the text kept beside whatever reading changed."""

import sys
from collections.abc import Mapping
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bureau.records import Row, Unreadable
from connectors import feeds, mapping
from connectors.mapping import Column, Translation

REGISTER = feeds.load("market-regulation-register").translation
USCC = "91320500MA1XY8014D"

TYPED = Translation(
    dataset="C0.01",
    uscc_column="代码",
    columns=(
        Column("日期", "date", "date"),
        Column("月份", "month", "month"),
        Column("人数", "integer", "integer", "人"),
        Column("比例", "decimal", "decimal", "%"),
        Column("是否", "boolean", "boolean"),
        Column("利润", "profit", "money", "CNY", unit="万元", signed=True),
        Column("出口", "exports", "money", "USD"),
    ),
    nulls=frozenset({"", "-"}),
    constants={"status": "存续"},
)
EMPTY = dict.fromkeys(["代码", "日期", "月份", "人数", "比例", "是否", "利润", "出口"], "")


def row(delivered: Mapping[str, str], translation: Translation = TYPED) -> Row:
    mapped = mapping.map_row(translation, 7, {**EMPTY, **delivered})
    assert isinstance(mapped, Row)
    return mapped


def registered(**changed: str) -> Row | Unreadable:
    delivered = {
        "企业名称": "演示机械有限公司",
        "统一社会信用代码": USCC,
        "注册日期": "2019-05-06",
        "企业类型": "有限责任公司",
        "注册资金": "200(万元人民币)",
        "经营范围": "机械制造",
        "所在省份": "江苏",
        "地区": "苏州",
    }
    return mapping.map_row(REGISTER, 7, delivered | changed)


def register_row(**changed: str) -> Row:
    mapped = registered(**changed)
    assert isinstance(mapped, Row)
    return mapped


def test_a_row_of_the_register_becomes_the_items_of_its_dataset() -> None:
    mapped = register_row()
    assert mapped._replace(delivered={}) == Row(
        number=7,
        uscc=USCC,
        dataset="C1.01",
        event_date="2019-05-06",
        items={
            "C1.01.01": "演示机械有限公司",
            "C1.01.02": USCC,
            "C1.01.05": "有限责任公司",
            "C1.01.07": 200_000_000,
            "C1.01.08": "CNY",
            "C1.01.10": "2019-05-06",
            "C1.01.17": "320500",
            "C1.01.20": "机械制造",
        },
        raw={"C1.01.07": "200(万元人民币)", "C1.01.17": "江苏 苏州"},
        warnings=(),
    )
    assert mapped.delivered["注册资金"] == "200(万元人民币)"


def test_blanks_around_a_text_go_and_everything_else_stays() -> None:
    mapped = register_row(
        企业名称="\u3000\xa0Abc（苏州） 有限公司\ufeff ",
        统一社会信用代码=f"\t{USCC} ",
        经营范围="=1+1\n;　甲\u3000",
    )
    assert mapped.items["C1.01.01"] == "Abc（苏州） 有限公司"
    assert mapped.items["C1.01.20"] == "=1+1\n;　甲"
    assert mapped.uscc == USCC
    assert mapped.delivered["企业名称"] == "\u3000\xa0Abc（苏州） 有限公司\ufeff "
    assert "C1.01.01" not in mapped.raw


def test_the_blanks_are_all_that_unicode_calls_white_space_and_two_more() -> None:
    white = {char for char in map(chr, range(sys.maxunicode + 1)) if char.isspace()}
    assert set(mapping.BLANKS) == white | {"\u200b", "\ufeff"}


def test_a_word_for_nothing_is_null_with_its_text_and_an_empty_cell_is_null_without() -> None:
    mapped = register_row(注册资金=" N/A ", 企业类型="", 注册日期="N/A")
    assert mapped.items["C1.01.07"] is mapped.items["C1.01.08"] is mapped.items["C1.01.05"] is None
    assert mapped.items["C1.01.10"] is mapped.event_date is None
    assert mapped.raw == {"C1.01.07": "N/A", "C1.01.10": "N/A", "C1.01.17": "江苏 苏州"}
    assert mapped.warnings == ()


def test_a_bare_scale_is_renminbi_with_a_warning() -> None:
    mapped = register_row(注册资金="200(万)")
    assert mapped.items["C1.01.07"] == 200_000_000
    assert mapped.items["C1.01.08"] == "CNY"
    assert mapped.raw["C1.01.07"] == "200(万)"
    assert mapped.warnings == ("C1.01.07 assumed-currency",)


@pytest.mark.parametrize("text", ["200", "60(元/万元)", "面议", "=1+1"])
def test_capital_that_cannot_be_read_is_null_with_a_warning_and_its_text(text: str) -> None:
    mapped = register_row(注册资金=text)
    assert mapped.items["C1.01.07"] is mapped.items["C1.01.08"] is None
    assert mapped.raw["C1.01.07"] == text
    assert mapped.warnings == ("C1.01.07 unreadable-money",)


@pytest.mark.parametrize(
    "text",
    [
        "2019-02-29",
        "19-05-06",
        "2019-13-01",
        "0201-05-06",
        "9999-12-31",
        "0000-01-01",
        "昨天",
        "2019-05",
        "20190506x",
    ],
)
def test_a_date_that_cannot_be_read_is_null_with_a_warning_and_its_text(text: str) -> None:
    mapped = register_row(注册日期=text)
    assert mapped.items["C1.01.10"] is mapped.event_date is None
    assert mapped.raw["C1.01.10"] == text
    assert mapped.warnings == ("C1.01.10 unreadable-date",)


@pytest.mark.parametrize("name", ["", " \u3000", "N/A"])
def test_a_row_without_what_the_feed_requires_is_rejected_with_its_number_and_words(name: str) -> None:
    mapped = registered(企业名称=name)
    assert isinstance(mapped, Unreadable)
    assert (mapped.number, mapped.reason) == (7, "missing-C1.01.01")
    assert mapped.delivered["企业名称"] == name
    assert mapped.delivered["统一社会信用代码"] == USCC


def test_a_required_column_that_cannot_be_read_rejects_its_row() -> None:
    strict = Translation("C0.01", "代码", (Column("日期", "date", "date", required=True),), frozenset({""}), {})
    mapped = mapping.map_row(strict, 3, {"代码": USCC, "日期": "昨天"})
    assert mapped == Unreadable(3, "unreadable-date", {"代码": USCC, "日期": "昨天"})


@pytest.mark.parametrize(
    "code", ["", "N/A", "320500000012345", "91320500ma1xy8014d", "企独苏总字第000001号", "91350100M0001TGQXM"]
)
def test_the_code_is_handed_on_as_delivered_and_not_judged(code: str) -> None:
    assert register_row(统一社会信用代码=f" {code} ").uscc == code


def test_the_division_is_that_of_a_code_with_the_pattern_and_the_place_is_its_raw() -> None:
    assert register_row(统一社会信用代码="91350100M0001TGQXM").items["C1.01.17"] == "350100"
    unknown = register_row(统一社会信用代码="320500000012345", 地区="N/A")
    assert unknown.items["C1.01.17"] is None
    assert unknown.raw["C1.01.17"] == "江苏"
    assert "C1.01.17" not in register_row(所在省份="", 地区=" ").raw


@pytest.mark.parametrize(
    "text",
    [
        "2019-05-06",
        "2019/5/6",
        "2019.05.06",
        "20190506",
        "2019年5月6日",
        "２０１９－０５－０６",
        "2019-05-06 00:00:00",
    ],
)
def test_a_day_is_read_year_first_and_kept_raw_where_it_was_written_otherwise(text: str) -> None:
    mapped = row({"日期": text})
    assert mapped.items["date"] == "2019-05-06"
    assert mapped.raw.get("date", "2019-05-06") == text


@given(st.dates(date(1600, 1, 1), date(2299, 12, 31)))
def test_every_day_there_is_can_be_read(day: date) -> None:
    assert row({"日期": day.isoformat()}).items["date"] == day.isoformat()


TYPES = [
    ("月份", "2019-05", "month", "2019-05"),
    ("月份", "201905", "month", "2019-05"),
    ("月份", "2019年5月", "month", "2019-05"),
    ("月份", "2019/12", "month", "2019-12"),
    ("人数", "1200", "integer", 1200),
    ("人数", "1,200人", "integer", 1200),
    ("人数", "-3", "integer", -3),
    ("人数", str(2**63 - 1), "integer", 2**63 - 1),
    ("比例", "12.50%", "decimal", "12.5"),
    ("比例", "1,234.50", "decimal", "1234.5"),
    ("比例", "007", "decimal", "7"),
    ("比例", "-0.00", "decimal", "0"),
    ("比例", "-0.10", "decimal", "-0.1"),
    ("是否", "是", "boolean", True),
    ("是否", "0", "boolean", False),
    ("利润", "-3.5", "profit", -3_500_000),
    ("利润", "3.5亿元", "profit", 35_000_000_000),
    ("利润", "1200元", "profit", 120_000),
    ("出口", "1200美元", "exports", 120_000),
]


@pytest.mark.parametrize(("column", "text", "item", "value"), TYPES)
def test_each_type_of_the_catalogue_is_read(column: str, text: str, item: str, value: object) -> None:
    mapped = row({column: text})
    assert mapped.items[item] == value
    assert type(mapped.items[item]) is type(value)
    assert mapped.warnings == ()
    assert mapped.raw == ({} if str(value) == text else {item: text})


UNREADABLE = [
    ("月份", "2019-13", "month unreadable-month"),
    ("月份", "五月", "month unreadable-month"),
    ("月份", "9999-12", "month unreadable-month"),
    ("人数", "1.0", "integer unreadable-integer"),
    ("人数", "十", "integer unreadable-integer"),
    ("人数", str(2**63), "integer unreadable-integer"),
    ("人数", "9" * 5000, "integer unreadable-integer"),
    ("人数", "1200家", "integer unreadable-integer"),
    ("人数", "NaN", "integer unreadable-integer"),
    ("比例", "1e3", "decimal unreadable-decimal"),
    ("比例", "1,2.5", "decimal unreadable-decimal"),
    ("比例", "Infinity", "decimal unreadable-decimal"),
    ("是否", "也许", "boolean unreadable-boolean"),
    ("利润", "100美元", "profit unreadable-money"),
    ("出口", "-100美元", "exports unreadable-money"),
    ("出口", "100", "exports unreadable-money"),
    ("出口", "100元", "exports unreadable-money"),
]


@pytest.mark.parametrize(("column", "text", "warning"), UNREADABLE)
def test_what_is_not_of_its_type_is_null_with_a_warning_and_its_text(column: str, text: str, warning: str) -> None:
    mapped = row({column: text})
    item = warning.partition(" ")[0]
    assert mapped.items[item] is None
    assert mapped.raw == {item: text}
    assert mapped.warnings == (warning,)


def test_a_bare_scale_in_an_item_of_one_currency_is_that_currency_with_a_warning() -> None:
    mapped = row({"出口": "200万"})
    assert mapped.items["exports"] == 200_000_000
    assert mapped.warnings == ("exports assumed-currency",)


def test_the_text_of_an_amount_is_kept_even_where_it_looks_like_its_value() -> None:
    yen = Translation(
        "C0.01", "代码", (Column("资本", "capital", "money", "@currency", unit="日元"),), frozenset({""}), {}
    )
    mapped = row({"资本": "200"}, yen)
    assert (mapped.items["capital"], mapped.items["currency"]) == (200, "JPY")
    assert mapped.raw == {"capital": "200"}


def test_amounts_that_share_a_currency_item_must_agree_on_it() -> None:
    capital = Column("注册资本", "registered", "money", "@currency")
    paid_in = Column("实缴资本", "paid-in", "money", "@currency")
    both = Translation("C0.01", "代码", (capital, paid_in), frozenset({""}), {"currency": None})

    agreed = row({"注册资本": "200万美元", "实缴资本": "50万美元"}, both)
    assert agreed.items == {"registered": 200_000_000, "paid-in": 50_000_000, "currency": "USD"}

    for text in ("50万元", "50万"):
        differing = row({"注册资本": "200万美元", "实缴资本": text}, both)
        assert differing.items == {"registered": 200_000_000, "paid-in": None, "currency": "USD"}
        assert differing.raw["paid-in"] == text
        assert differing.warnings == ("paid-in unreadable-money",)

    assert row({"注册资本": "", "实缴资本": "50万元"}, both).items == {
        "registered": None,
        "paid-in": 50_000_000,
        "currency": "CNY",
    }


def test_what_holds_for_every_row_is_in_every_row_and_not_shared_between_them() -> None:
    first, second = row({}), row({})
    assert first.items["status"] == second.items["status"] == "存续"
    assert first.items is not second.items


@pytest.mark.parametrize(
    ("text", "event_date"), [("2019-05-06", "2019-05-06"), ("201905", "2019-05-01"), ("", None), ("-", None)]
)
def test_the_event_date_may_stand_in_a_column_of_its_own(text: str, event_date: str | None) -> None:
    dated = Translation("C0.01", "代码", (), frozenset({"", "-"}), {}, event_column="期间")
    mapped = mapping.map_row(dated, 1, {"代码": USCC, "期间": text})
    assert isinstance(mapped, Row)
    assert mapped.event_date == event_date


def test_an_event_date_that_cannot_be_read_rejects_its_row() -> None:
    dated = Translation("C0.01", "代码", (), frozenset({""}), {}, event_column="期间")
    assert mapping.map_row(dated, 1, {"代码": USCC, "期间": "上月"}) == Unreadable(
        1, "unreadable-event_date", {"代码": USCC, "期间": "上月"}
    )


@given(st.fixed_dictionaries({name: st.text(max_size=30) for name in EMPTY}))
def test_any_text_at_all_becomes_values_without_floats_and_loses_nothing(delivered: dict[str, str]) -> None:
    mapped = row(delivered)
    assert mapped == row(delivered)
    assert mapped.delivered == delivered
    for column in TYPED.columns:
        value, text = mapped.items[column.item], delivered[column.name].strip(mapping.BLANKS)
        assert value is None or type(value) in {str, int, bool}
        if text and str(value) != text:
            assert mapped.raw[column.item] == text
        if value is None and text not in TYPED.nulls:
            assert any(warning.startswith(f"{column.item} unreadable-") for warning in mapped.warnings)
