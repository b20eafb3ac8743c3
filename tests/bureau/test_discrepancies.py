# SPDX-License-Identifier: Apache-2.0
"""What counts as a contradiction between sources: the rule by itself, without a database."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bureau import catalogue, discrepancies
from bureau.discrepancies import Discrepancy
from bureau.records import Value
from kernel.errors import SettingError

TODAY = date(2026, 7, 1)
HEADER = ",".join(discrepancies.HEADER)


def said(dataset: str, source: str, event_date: str | None = None, **items: Value) -> dict[str, Any]:
    """A record; items without their dataset's code in front."""
    named = {f"{dataset}.{number[1:]}": value for number, value in items.items()}
    return {"id": f"1.{source}.{dataset}", "source": source, "event_date": event_date, "items": named}


def found(*records: dict[str, Any]) -> tuple[Discrepancy, ...]:
    by_dataset: dict[str, list[dict[str, Any]]] = {}
    for record in sorted(records, key=lambda one: one["event_date"] or ""):
        by_dataset.setdefault(record["id"].split(".", 2)[2], []).append(record)
    return discrepancies.found(by_dataset, TODAY)


def facts_of(*records: dict[str, Any]) -> list[str]:
    return [one.fact for one in found(*records)]


def capital(source: str, fen: int | None, currency: str = "CNY") -> dict[str, Any]:
    return said("C1.01", source, i07=fen, i08=currency)


def test_two_sources_with_another_capital_contradict_each_other_and_are_named() -> None:
    (one,) = found(capital("S01", 100), capital("S02", 200))
    assert one.fact == "registered-capital"
    assert [(each.source, each.item, each.value) for each in one.statements] == [
        ("S01", "C1.01.07", 100), ("S02", "C1.01.07", 200),
    ]  # fmt: skip
    assert found(capital("S01", 100), capital("S02", 100)) == ()
    assert found(capital("S01", 100), capital("S02", None)) == ()
    assert found(capital("S01", 100)) == ()


def test_amounts_of_two_currencies_are_not_compared_but_the_currencies_are() -> None:
    assert facts_of(capital("S01", 100), capital("S02", 200, "USD")) == ["capital-currency"]


@pytest.mark.parametrize("other", ["（苏州）演示 机械有限公司", "苏州演示机械有限公司。"])
def test_width_blanks_and_punctuation_make_no_other_name(other: str) -> None:
    assert facts_of(said("C1.01", "S01", i01="(苏州)演示机械有限公司"), said("C1.01", "S02", i01=other)) == []
    assert facts_of(said("C1.01", "S01", i01="演示甲"), said("C1.01", "S02", i01="演示乙")) == ["registered-name"]


def test_the_newest_officer_who_is_legal_representative_is_compared_with_the_register() -> None:
    register = said("C1.01", "S01", "2019-01-01", i06="演示·乙")
    before = said("C1.03", "S01", "2019-01-01", i01="演示·甲", i08=True)
    after = said("C1.03", "S01", "2025-01-01", i01="演示·乙", i08=True)
    other = said("C1.03", "S01", "2026-01-01", i01="演示·丙", i08=False)
    assert facts_of(register, before) == ["legal-representative"]
    assert facts_of(register, before, after, other) == []


def test_a_year_is_compared_with_the_quarter_and_month_that_end_on_its_last_day() -> None:
    report = said("C1.06", "S01", "2025-01-01", i01=2025, i06=100, i10=1_000)
    sheet = said("C1.10", "S04", "2025-10-01", i15=1_011)
    earlier = said("C1.10", "S04", "2025-07-01", i15=5)
    assert facts_of(report, sheet, earlier) == ["total-assets"]
    assert facts_of(report, said("C1.10", "S04", "2025-10-01", i15=1_010)) == []
    insured = said("C2.07", "S05", "2025-12-01", i03=60)
    assert facts_of(report, insured) == ["employees"]
    assert facts_of(report, said("C2.07", "S05", "2025-11-01", i03=60)) == []


def test_what_ended_long_ago_is_let_rest() -> None:
    def month(day: str) -> list[str]:
        return facts_of(said("C2.07", "S05", day, i03=60), said("C2.07", "S04", day, i03=90))

    assert month("2024-07-01") == ["employees", "insured-persons"]
    assert month("2024-05-01") == []


def test_records_are_about_the_same_thing_by_their_key() -> None:
    def licence(source: str, number: str, until: str) -> dict[str, Any]:
        return said("C4.01", source, i01=number, i06=until)

    assert facts_of(licence("S02", "甲字1号", "2027-01-01"), licence("S12", "甲字2号", "2028-01-01")) == []
    assert facts_of(licence("S02", "甲字1号", "2027-01-01"), licence("S12", "甲字1号", "2028-01-01")) == [
        "licence-until"
    ]


def test_the_newest_are_compared_only_within_their_days() -> None:
    grade = said("C6.01", "S43", i06="失信企业")
    assert facts_of(grade, said("C4.08", "S43", i01="高级认证企业", i06=2025)) == ["customs-grade"]
    assert facts_of(grade, said("C4.08", "S43", i01="高级认证企业", i06=2024)) == []


@given(st.lists(st.integers(0, 10**12), min_size=2, max_size=5), st.randoms())
def test_whoever_comes_first_the_same_contradiction_is_found(amounts: list[int], chance: Any) -> None:
    records = [said("C2.10", source, "2025-01-01", i01=str(a)) for source, a in zip(SOURCES, amounts, strict=False)]
    once = found(*records)
    chance.shuffle(records)
    assert found(*records) == once
    assert bool(once) == (max(amounts) - min(amounts) > max(amounts) * 0.01)
    if once:
        assert {each.value for each in once[0].statements} == {str(amount) for amount in amounts}


SOURCES = ("S08", "S18", "S21", "S22", "S23")


@given(st.integers(1, 10**15), st.integers(0, 10**15))
def test_an_amount_and_itself_agree_and_a_difference_is_seen_from_both_sides(one: int, other: int) -> None:
    assert found(capital("S01", one), capital("S02", one)) == ()
    there, back = found(capital("S01", one), capital("S02", other)), found(capital("S01", other), capital("S02", one))
    assert bool(there) == bool(back) == (one != other)


@given(st.text())
def test_a_text_made_plain_stays_as_it_is(text: str) -> None:
    plain = discrepancies.plain_text(text)
    assert discrepancies.plain_text(plain) == plain
    assert discrepancies.plain_text(f" {text}。") == plain


def test_what_the_sources_say_is_told_apart_from_the_records_in_which_they_say_it() -> None:
    (first,) = found(capital("S01", 100), capital("S02", 200))
    (again,) = found({**capital("S01", 100), "id": "7.7.C1.01"}, capital("S02", 200))
    (other,) = found(capital("S01", 101), capital("S02", 200))
    assert first.told == again.told != other.told
    assert first.about == again.about == other.about


def test_every_shipped_fact_can_be_contradicted() -> None:
    facts = discrepancies.current()
    assert len(facts) >= 30
    for fact in facts.values():
        assert {(each.item.code, source) for each in fact.stating for source in each.dataset.sources}.__len__() > 1


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("a,甲,A,C9.99.01,key,text,,", "the catalogue has no item C9.99.01"),
        ("a,甲,A,C1.01.07,key,text,,", "can be compared as text"),
        ("a,甲,A,C1.01.07,key,number,,", "have a tolerance"),
        ("a,甲,A,C1.01.07,key,number,-1,", "not negative"),
        ("a,甲,A,C1.01.07,key,number,x,", "tolerance is a number"),
        ("a,甲,A,C1.01.07,year,number,0,", "about is key, period or newest"),
        ("a,甲,A,C1.01.07,period,number,0,", "a period is that of period datasets"),
        ("a,甲,A,C1.01.07 C1.10.28,key,number,0,", "a key is that of one item's dataset"),
        ("a,甲,A,C5.01.07,newest,number,0,", "contradicts nobody"),
        ("a,甲,A,C4.10.05,key,number,0,", "an event is past"),
        ("a,甲,A,C1.01.06?C1.01.01,newest,text,,", "is no flag of C1.01"),
        ("a,甲,A,C2.10.01 C1.06.06,period,number,0,", "one unit"),
        ("a,甲,A,C1.01.07,key,number,0,9", "only the newest are within days"),
        ("a,甲,,C1.01.07,key,number,0,", "each fact once"),
    ],
)
def test_a_fact_that_does_not_hold_stops_the_start_by_its_line(tmp_path: Path, line: str, told: str) -> None:
    (tmp_path / "facts.csv").write_text(f"{HEADER}\n{line}\n", encoding="utf-8")
    with pytest.raises(SettingError, match=rf"facts\.csv line 2: .*{told}"):
        discrepancies.load(tmp_path / "facts.csv", catalogue.current())
