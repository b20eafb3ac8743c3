# SPDX-License-Identifier: Apache-2.0
"""Screening: exact, three-valued, only of enterprises that consent at that very moment, and on record."""

import math
from datetime import date
from typing import Any

import numpy as np
import orjson
import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from audit import trail
from audit.models import shown
from bureau import erasure, indicators
from bureau.indicators import Facts
from bureau.models import screening_sheet
from bureau.screening import index, sheets, versions
from bureau.screening.columns import Snapshot
from bureau.screening.engine import View
from bureau.screening.terms import parse, parse_sort
from consent import consents
from kernel import db
from kernel.errors import Invalid
from tests.bureau.screening.screened import EVERYONE, City, found_in, snapshot_over
from tests.conftest import House
from tests.factories import COUNTER, bank, consent, signatory, token

Rows = list[dict[str, Any]]
NUMBERS, WORDS = ("BASIC.AGE_YEARS", "RISK.LAWSUITS_24M", "ENERGY.POWER_YOY"), ("TAX.GRADE", "REGION.CODE")
CODES = NUMBERS + WORDS
ALL_CLASSES = 0b11111110


def snapshot_of(rows: Rows) -> Snapshot:
    return snapshot_over([f"{n:018}" for n in range(len(rows))], rows)


def truth(node: dict[str, Any], row: dict[str, Any], seen: Rows) -> bool | None:
    """A condition judged for one enterprise, naively; None: unknown."""
    for kind, decided in (("all", False), ("any", True)):
        if kind in node:
            judged = [truth(member, row, seen) for member in node[kind]]
            return decided if decided in judged else None if None in judged else not decided
    if "not" in node:
        judged_one = truth(node["not"], row, seen)
        return None if judged_one is None else not judged_one
    value = row.get(node["indicator"])
    ((operator, wanted),) = ((name, said) for name, said in node.items() if name != "indicator")
    if operator == "missing":
        return (value is None) == wanted
    if value is None:
        return None
    if operator == "top_percent":
        held = sorted(
            (each[node["indicator"]] for each in seen if each.get(node["indicator"]) is not None), reverse=True
        )
        return bool(value >= held[max(1, math.ceil(len(held) * wanted / 100)) - 1])
    return {
        "eq": lambda: value == wanted,
        "ne": lambda: value != wanted,
        "in": lambda: value in wanted,
        "gte": lambda: value >= wanted,
        "gt": lambda: value > wanted,
        "lte": lambda: value <= wanted,
        "lt": lambda: value < wanted,
        "between": lambda: wanted[0] <= value <= wanted[1],
        "prefix": lambda: value.startswith(wanted),
    }[operator]()


def needs(code: str) -> int:
    return sum(1 << number for number in indicators.ALL[code].source_classes)


number = st.integers(-3, 3)
word = st.sampled_from(["A", "B", "AB", "BA"])
row_of = st.fixed_dictionaries(
    {**{code: st.none() | number for code in NUMBERS}, **{code: st.none() | word for code in WORDS}}
)
leaf = st.one_of(
    st.builds(
        lambda code, op, value: {"indicator": code, op: value},
        st.sampled_from(NUMBERS),
        st.sampled_from(["eq", "ne", "gte", "gt", "lte", "lt"]),
        number,
    ),
    st.builds(
        lambda code, pair: {"indicator": code, "between": sorted(pair)},
        st.sampled_from(NUMBERS),
        st.tuples(number, number),
    ),
    st.builds(
        lambda code, share: {"indicator": code, "top_percent": share},
        st.sampled_from(NUMBERS),
        st.sampled_from([1, 10, 50, 99.5, 100]),
    ),
    st.builds(
        lambda code, op, value: {"indicator": code, op: value},
        st.sampled_from(WORDS),
        st.sampled_from(["eq", "ne", "prefix"]),
        word,
    ),
    st.builds(
        lambda code, values: {"indicator": code, "in": values},
        st.sampled_from(WORDS),
        st.lists(word, min_size=1, max_size=3),
    ),
    st.builds(lambda code, said: {"indicator": code, "missing": said}, st.sampled_from(CODES), st.booleans()),
)
tree = st.recursive(
    leaf,
    lambda inner: st.one_of(
        st.builds(lambda kind, members: {kind: members}, st.sampled_from(["all", "any"]), st.lists(inner, max_size=3)),
        st.builds(lambda member: {"not": member}, inner),
    ),
    max_leaves=8,
).filter(lambda node: orjson.dumps(node).count(b'{"not"') + orjson.dumps(node).count(b"[{") < 6)
sorting = st.lists(
    st.builds(lambda code, desc: {"indicator": code, "desc": desc}, st.sampled_from(CODES), st.booleans()), max_size=3
)


@settings(max_examples=300)
@given(
    rows=st.lists(row_of, min_size=1, max_size=25),
    where=tree,
    sort=sorting,
    covered=st.lists(st.sampled_from([0, ALL_CLASSES, 0b10, 0b110110, 0b111110]), min_size=25, max_size=25),
    page=st.integers(1, 7),
)
def test_a_screening_finds_what_a_look_at_each_enterprise_finds(
    rows: Rows, where: dict[str, Any], sort: list[dict[str, Any]], covered: list[int], page: int
) -> None:
    view = View(snapshot_of(rows), np.array(covered[: len(rows)], np.uint8))
    seen = [
        {code: value for code, value in row.items() if mask & needs(code) == needs(code)} if mask else {}
        for row, mask in zip(rows, covered, strict=False)
    ]
    node, order = parse(where), parse_sort(sort)
    found = [n for n, row in enumerate(seen) if covered[n] and truth(where, row, seen) is True]
    matched, without = view.without(node)
    assert sorted(np.flatnonzero(matched).tolist()) == found
    if "all" in where:
        for n, (path, count) in enumerate(without):
            rest = {"all": [member for place, member in enumerate(where["all"]) if place != n]}
            assert path == f"all/{n}"
            assert count == sum(
                1 for place, row in enumerate(seen) if covered[place] and truth(rest, row, seen) is True
            )
    expected = found
    for each in reversed(sort):
        have = [n for n in expected if seen[n].get(each["indicator"]) is not None]
        have.sort(key=lambda n: seen[n][each["indicator"]], reverse=each["desc"])  # used at once
        expected = have + [n for n in expected if seen[n].get(each["indicator"]) is None]
    shown_rows: list[int] = []
    after = None
    while some := [int(row) for row in view.order(matched, order, after, page)]:
        shown_rows += some
        after = view.key(some[-1], order)
    assert shown_rows == expected


NO_DAYS = (
    "yesterday",
    "20260101",
    "2026-W01-1",
    "2026-1-1",
    "2026-02-30",
    "２０２６-01-01",
    " 2026-01-01",
    20260101,
    None,
)


@pytest.mark.parametrize(
    ("where", "path"),
    [
        ({"indicator": "NO.SUCH", "eq": 1}, "where/indicator"),
        ({"all": [{"indicator": "TAX.GRADE", "gte": "A"}]}, "where/all/0/gte"),
        ({"any": [{"not": {"indicator": "BASIC.AGE_YEARS", "between": [8, 3]}}]}, "where/any/0/not/between"),
        ({"indicator": "BASIC.AGE_YEARS"}, "where"),
        ({"indicator": "BASIC.AGE_YEARS", "gte": "3"}, "where/gte"),
        ({"indicator": "BASIC.AGE_YEARS", "gte": True}, "where/gte"),
        ({"indicator": "BASIC.AGE_YEARS", "gte": 3, "lte": 4}, "where"),
        ({"indicator": "BASIC.AGE_YEARS", "top_percent": 0}, "where/top_percent"),
        *(({"indicator": "BASIC.FOUNDED", "gte": day}, "where/gte") for day in NO_DAYS),
        ({}, "where"),
        ({"eq": 1}, "where"),
        ({"indicator": ["BASIC.AGE_YEARS"], "eq": 1}, "where/indicator"),
        ({"all": {}}, "where/all"),
        ("", "where"),
    ],
)
def test_a_fault_names_its_path(where: Any, path: str) -> None:
    with pytest.raises(Invalid) as raised:
        parse(where)
    assert list(raised.value.extra["errors"]) == [path]  # type: ignore[call-overload]


def test_an_indicator_that_is_nearly_right_is_told_so() -> None:
    for wrong in ("BASIC.AGE_YEAR", "basic.age_years", "BASIC_AGE_YEARS"):
        with pytest.raises(Invalid, match=r"did you mean BASIC\.AGE_YEARS"):
            parse({"indicator": wrong, "eq": 1})


def test_groups_are_nested_only_so_deep() -> None:
    where: dict[str, Any] = {"indicator": "BASIC.AGE_YEARS", "gte": 1}
    for _ in range(7):
        where = {"not": where}
    with pytest.raises(Invalid, match="deep at most"):
        parse(where)


def test_there_are_twelve_classes_of_at_least_120_indicators_all_of_items_of_the_catalogue() -> None:
    assert {each.number for each in indicators.ALL.values()} == set(range(1, 13))
    assert len(indicators.ALL) >= 120
    assert all(each.source_classes for each in indicators.ALL.values())
    contract = {"BASIC.AGE_YEARS", "REGION.CODE", "TAX.GRADE", "RISK.LAWSUITS_24M", "ENERGY.POWER_YOY"}
    assert contract <= set(indicators.ALL)


def facts(**records: list[dict[str, Any]]) -> dict[str, Any]:
    by_dataset = {name.replace("_", "."): held for name, held in records.items()}
    return dict(zip(indicators.ALL, indicators.compute(Facts(date(2026, 9, 15), by_dataset)), strict=True))


def test_months_that_are_not_whole_are_missing_and_not_small() -> None:
    months = [(2025, month) for month in range(6, 13)] + [(2026, month) for month in range(1, 9)]
    records = [
        {"event_date": f"{year}-{month:02}-01", "items": {"C2.06.01": 100 if year == 2025 else 150}}
        for year, month in months
    ]
    whole = facts(C2_06=records)
    assert (whole["SCALE.INVOICED_3M"], whole["SCALE.INVOICED_12M"]) == (450.0, 100.0 * 4 + 150.0 * 8)
    assert whole["GROWTH.INVOICED_3M_YOY"] == 50.0
    assert whole["GROWTH.INVOICED_12M_YOY"] is None
    assert facts(C2_06=records[:-2] + records[-1:])["SCALE.INVOICED_3M"] is None
    assert facts(C2_06=records[:3])["SCALE.INVOICED_3M"] is None  # too old to tell of the present


def test_yearly_growth_is_of_two_years_in_a_row() -> None:
    reports = [
        {"event_date": f"{year}-12-31", "items": {"C1.06.13": value}} for year, value in ((2023, 80), (2025, 150))
    ]
    assert facts(C1_06=reports)["GROWTH.REVENUE_YOY"] is None
    reports.insert(1, {"event_date": "2024-12-31", "items": {"C1.06.13": 100}})
    assert facts(C1_06=reports)["GROWTH.REVENUE_YOY"] == 50.0


def test_an_event_counts_within_its_window_only() -> None:
    suits = [{"event_date": day, "items": {"C5.01.06": "被告"}} for day in ("2024-09-15", "2024-09-16", "2026-09-15")]
    found = facts(C5_01=suits)
    assert found["RISK.LAWSUITS_24M"] == 2.0
    assert found["RISK.PENALTIES_24M"] == 0.0


def settled(code: str, supplied: set[str], collecting: bool) -> float:
    values = np.zeros(1)
    sheets.settle(values, indicators.ALL[code], np.array([collecting]), supplied, {"C3.02"})
    return float(values[0])


def test_a_zero_counts_only_where_someone_would_have_told() -> None:
    assert settled("RISK.PENALTIES_24M", {"C4.10"}, collecting=False) == 0
    assert math.isnan(settled("RISK.PENALTIES_24M", {"C5.01"}, collecting=True))
    assert settled("FINANCE.LOANS_EVER", {"C3.02"}, collecting=True) == 0
    assert math.isnan(settled("FINANCE.LOANS_EVER", {"C3.02"}, collecting=False))  # its lenders may not tell


def test_amounts_in_foreign_currency_are_not_added_up() -> None:
    loan = {"event_date": "2026-01-01", "items": {"C3.02.07": 5, "C3.02.08": "CNY"}}
    foreign = {"event_date": "2026-01-02", "items": {"C3.02.07": 5, "C3.02.08": "USD"}}
    assert facts(C3_02=[loan])["FINANCE.LOAN_BALANCE"] == 5.0
    assert facts(C3_02=[loan, foreign])["FINANCE.LOAN_BALANCE"] is None


def test_only_enterprises_that_consent_are_found_and_only_by_what_they_consent_to(
    house: House, client: FlaskClient
) -> None:
    city = City(client, 4)
    first, second, third, _ = city.usccs
    consent(first, city.bank, classes=(1,))
    consent(second, city.bank, classes=(2,))
    consent(third, city.bank, purposes=("pre_loan",))
    city.index()
    assert found_in(city.screen(where=EVERYONE)) == [first, second]
    old = {"indicator": "BASIC.AGE_YEARS", "gte": 3}
    page = city.screen(where={"all": [old]})
    assert found_in(page) == [first]
    assert page.json["enterprises"][0]["indicators"]["BASIC.AGE_YEARS"] > 3
    assert (page.json["total"], page.json["conditions"]) == (1, [{"path": "all/0", "without": 2}])
    assert found_in(city.screen(where={"not": old})) == []
    assert found_in(city.screen(where={"indicator": "BASIC.AGE_YEARS", "missing": True})) == [second]


def test_who_revokes_is_not_on_the_next_page_of_an_open_cursor(house: House, client: FlaskClient) -> None:
    city = City(client, 5)
    held = {uscc: consent(uscc, city.bank) for uscc in city.usccs}
    city.index()
    page = city.screen(where=EVERYONE, limit=2)
    assert (found_in(page), page.json["total"]) == (city.usccs[:2], 5)
    with db.transaction() as tx:
        for uscc in (city.usccs[1], city.usccs[2]):  # the last one shown, and the next
            consents.revoke(tx, held[uscc], COUNTER)
    city.index()  # a swap in between changes nothing for an open cursor
    rest = city.screen(cursor=page.json["next_cursor"])
    assert (found_in(rest), rest.json["total"], rest.json["next_cursor"]) == (city.usccs[3:], 3, None)
    city.index()
    assert city.screen(cursor=page.json["next_cursor"]).json["type"].endswith("/snapshot-gone")


def test_a_page_is_one_entry_and_each_enterprise_sees_that_it_was_shown_and_nobody_else(
    house: House, client: FlaskClient
) -> None:
    city = City(client, 2)
    for uscc in city.usccs:
        consent(uscc, city.bank)
    city.index()
    page = city.screen(where=EVERYONE)
    with db.reading() as reading:
        entry = trail.find(reading, page.json["entry_id"])
        beside = {row.uscc: row.salt for row in reading.execute(select(shown))}
    assert entry is not None
    assert set(entry["detail"]["shown"]) == {trail.salted_digest(beside[uscc], uscc) for uscc in city.usccs}
    assert (entry["detail"]["total"], orjson.loads(entry["detail"]["conditions"])["where"]) == (2, EVERYONE)
    assert not any(uscc in orjson.dumps(entry).decode() for uscc in city.usccs)
    header = {"Authorization": f"Bearer {signatory(city.usccs[0])}"}
    log = client.get(f"/v1/enterprises/{city.usccs[0]}/access-log", headers=header)
    (line,) = log.json["entries"]
    assert (line["query_id"], line["type"]) == (page.json["entry_id"], "screening.answered")
    assert (line["institution"], line["purpose"]) == (city.bank, "screening")
    assert city.usccs[1] not in log.text


def test_a_key_gives_the_same_page_again_as_long_as_it_may_be_shown(house: House, client: FlaskClient) -> None:
    city = City(client, 2)
    held = [consent(uscc, city.bank) for uscc in city.usccs]
    city.index()
    page = city.screen("once", where=EVERYONE)
    assert city.screen("once", where=EVERYONE).data == page.data
    assert city.screen("once", where={"any": []}).json["type"].endswith("/idempotency-key-reused")
    with db.transaction() as tx:
        consents.revoke(tx, held[0], COUNTER)
    again = city.screen("once", where=EVERYONE)
    assert (again.status_code, again.json["type"].rpartition("/")[2]) == (410, "answer-gone")


def test_a_cursor_serves_only_the_institution_that_it_was_given_to(house: House, client: FlaskClient) -> None:
    city = City(client, 2)
    for uscc in city.usccs:
        consent(uscc, "platform")
    city.index()
    cursor = city.screen(where=EVERYONE, limit=1).json["next_cursor"]
    other = City.__new__(City)
    other.client, other._keys = client, iter(range(100, 200))
    other.bearer = token(bank(), ("screening:search",))
    assert other.screen(cursor=cursor).status_code == 422
    assert city.screen(cursor=cursor, where=EVERYONE).status_code == 422


def test_indicators_are_listed_and_small_groups_are_not_told(house: House, client: FlaskClient) -> None:
    city = City(client, 9)
    header = {"Authorization": f"Bearer {city.bearer}"}
    assert client.get("/v1/indicators", headers=header).json["type"].endswith("/no-screening-index")
    city.index()
    listed = client.get("/v1/indicators", headers=header).json
    age = listed["classes"][0]["indicators"][0]
    assert (len(listed["classes"]), age["code"], age["source_classes"]) == (12, "BASIC.AGE_YEARS", [1])
    assert (age["missing_share"], age["quantiles"]) == (None, None)


def test_who_is_shredded_is_on_no_page_and_in_no_sheet(house: House, client: FlaskClient) -> None:
    city = City(client, 3)
    for uscc in city.usccs:
        consent(uscc, city.bank)
    city.index()
    page = city.screen(where=EVERYONE, limit=1)
    with db.transaction() as tx:
        erasure.shred(tx, city.usccs[1], "test")
    with db.reading() as reading:
        rows = reading.execute(select(screening_sheet)).all()
        assert [uscc for row in rows for uscc in versions.decrypted(row).usccs] == [city.usccs[0], city.usccs[2]]
    everyone = city.screen(where=EVERYONE)
    assert (found_in(everyone), everyone.json["total"]) == ([city.usccs[0], city.usccs[2]], 2)
    assert found_in(city.screen(cursor=page.json["next_cursor"])) == [city.usccs[2]]
    assert index.build() == 2


def test_who_is_shredded_while_a_sheet_is_computed_does_not_come_back(
    house: House, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    city = City(client, 2)
    for uscc in city.usccs:
        consent(uscc, city.bank)
    computed = index._computed

    def shredded_meanwhile(*args: Any) -> Any:
        sheet = computed(*args)
        monkeypatch.setattr(index, "_computed", computed)
        with db.transaction() as tx:
            erasure.shred(tx, city.usccs[0], "test")
        return sheet

    monkeypatch.setattr(index, "_computed", shredded_meanwhile)
    assert index.build() == 1
    assert found_in(city.screen(where=EVERYONE)) == city.usccs[1:]
