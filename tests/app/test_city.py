# SPDX-License-Identifier: Apache-2.0
"""The demo city is invented, the same everywhere, in the catalogue's words, and believable."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from hashlib import sha256
from statistics import correlation, mean, median
from typing import Any

import pytest

from app.city import WHOLE, Firm, batches, demo_institutions, firms, firms_of
from bureau.catalogue import EVENT_DATE, Item, current
from bureau.judging import Accepted, judge
from bureau.records import Batch, Row, Value
from kernel.uscc import division, is_valid, organisation_code, organisation_code_is_valid

DISTRICTS = {
    "320505",
    "320506",
    "320507",
    "320508",
    "320509",
    "320571",
    "320581",
    "320582",
    "320583",
    "320585",
}
SHAPES = {
    "decimal": re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?"),
    "date": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"),
    "month": re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])"),
    "string": re.compile(r"\S(.*\S)?"),
}
BASES = {
    "register": "public",
    "court": "public",
    "department": "department",
    "utility": "department",
    "lender": "lender",
    "self": "consent",
    "derived": "public",
}


@pytest.fixture(scope="module")
def small_city() -> list[tuple[Batch, list[Row]]]:
    return read(batches(list(firms(300)), supplies=WHOLE))


@pytest.fixture(scope="module")
def population() -> list[Firm]:
    return list(firms(1500))


@pytest.fixture(scope="module")
def dossiers(population: list[Firm]) -> dict[str, dict[str, list[Row]]]:
    """USCC → dataset → rows in the order they came."""
    dossiers: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for _, rows in read(batches(population)):
        for row in rows:
            dossiers[row.uscc][row.dataset].append(row)
    return dossiers


def read(deliveries: Iterable[Batch]) -> list[tuple[Batch, list[Row]]]:
    """Each batch with its rows, none of which is unreadable."""
    delivered = [(batch, list(batch.rows)) for batch in deliveries]
    return [(batch, [row for row in rows if isinstance(row, Row)]) for batch, rows in delivered]


def digest(deliveries: Iterable[Batch], uscc: str | None = None) -> str:
    """SHA-256 over the rows, of one enterprise without their numbers."""
    total = sha256()
    for batch, rows in read(deliveries):
        total.update(batch.feed.encode())
        for row in rows:
            if uscc is None or row.uscc == uscc:
                total.update(json.dumps(row[0 if uscc is None else 1 :]).encode())
    return total.hexdigest()


def test_codes_are_valid_distinct_and_of_a_division_that_nobody_has(population: list[Firm]) -> None:
    codes = [firm.uscc for firm in population]
    assert len(set(codes)) == len(codes)
    assert all(is_valid(code) and organisation_code_is_valid(organisation_code(code)) for code in codes)
    assert {division(code) for code in codes} == {"320599"}


def test_names_are_distinct_and_marked_as_demo(population: list[Firm]) -> None:
    assert all(re.fullmatch(r"\w+演示\w+有限公司[0-9]{4,}", firm.name) for firm in population)
    assert len({firm.name for firm in population}) == len(population)


def test_nobody_in_the_records_could_be_a_real_person_or_court(
    small_city: list[tuple[Batch, list[Row]]],
) -> None:
    named = ("C1.04.01", "C1.09.05", "C5.02.05", "C5.06.02", "C7.06.01", "C3.04.01", "C1.05.05", "C7.04.02")
    named += ("C1.01.06", "C1.03.01", "C7.01.01", "C7.02.01", "C7.03.02", "C7.03.03", "C3.02.02", "C5.01.05")
    for _, rows in small_city:
        for row in rows:
            assert all("演示" in str(row.items[code]) for code in named if row.items.get(code) is not None)


def test_the_registered_divisions_are_the_real_districts(dossiers: dict[str, dict[str, list[Row]]]) -> None:
    assert {each["C1.01"][0].items["C1.01.17"] for each in dossiers.values()} == DISTRICTS


def test_the_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    assert digest(batches(list(firms(40)))) == digest(batches(list(firms(40))))
    assert digest(batches(list(firms(40)))) != digest(batches(list(firms(40, seed=7))))


def test_an_enterprise_looks_the_same_in_a_larger_city_and_in_another_order() -> None:
    few, many = list(firms(10)), list(firms(60))[::-1]
    for firm in few:
        assert digest(batches(few), firm.uscc) == digest(batches(many), firm.uscc)


def test_a_delivery_keeps_its_digest_and_no_other_delivery_has_it() -> None:
    few, more = list(firms(3)), list(firms(4))
    digests = [batch.digest for batch in batches(few)]
    assert digests == [batch.digest for batch in batches(few)]
    assert len({*digests, *(batch.digest for batch in batches(more))}) == 2 * len(digests)
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)


def test_every_value_is_of_its_items_type_and_there_are_no_floats(
    small_city: list[tuple[Batch, list[Row]]],
) -> None:
    items = current().items
    for _, rows in small_city:
        for row in rows:
            for code, value in row.items.items():
                assert items[code].dataset == row.dataset
                assert fits(items[code], value), f"{code} = {value!r}"


def fits(item: Item, value: Value) -> bool:
    if value is None:
        return True
    if item.type in ("integer", "money"):
        return type(value) is int
    if item.type == "boolean":
        return type(value) is bool
    if type(value) is not str or SHAPES[item.type].fullmatch(value) is None:
        return False
    return item.type != "date" or bool(date.fromisoformat(value))


def test_every_row_is_accepted_without_a_warning_where_everyone_consents_to_collection(
    small_city: list[tuple[Batch, list[Row]]],
) -> None:
    everyone = {row.uscc: frozenset(range(1, 8)) for _, rows in small_city for row in rows}
    for batch, rows in small_city:
        for row in rows:
            verdict = judge(row, batch, current(), everyone)
            assert isinstance(verdict, Accepted)
            assert verdict.warnings == ()


def test_deliveries_come_from_the_catalogues_sources_with_the_basis_of_their_kind(
    small_city: list[tuple[Batch, list[Row]]],
) -> None:
    for batch, rows in small_city:
        assert {row.number for row in rows} == set(range(1, len(rows) + 1))
        for row in rows:
            dataset = current().datasets[row.dataset]
            assert batch.feed in (f"demo-{row.dataset}", f"demo-{row.dataset}-{batch.source}")
            assert batch.source in dataset.sources
            assert batch.basis == BASES[dataset.source_kind]


def test_in_a_city_of_a_thousand_each_of_the_83_datasets_has_something_to_tell() -> None:
    told = {row.dataset for _, rows in read(batches(list(firms(1000)), supplies=WHOLE)) for row in rows}
    assert told == set(current().datasets)


def test_a_cash_flow_leads_from_one_balance_sheet_to_the_next() -> None:
    few = [firm for firm in firms(60) if firm.founded.year < 2024]
    sheets, flows = dict[Any, int](), dict[Any, Row]()
    for _, rows in read(batches(few, supplies=WHOLE)):
        sheets |= {(row.uscc, row.event_date): amount(row, "C1.10.01") for row in rows if row.dataset == "C1.10"}
        flows |= {(row.uscc, row.event_date): row for row in rows if row.dataset == "C1.12"}
    assert flows
    for place, flow in flows.items():
        assert amount(flow, "C1.12.12") == sheets[place]
        assert sum(amount(flow, f"C1.12.{line}") for line in ("08", "09", "10")) == amount(flow, "C1.12.11")


def test_what_courts_do_follows_from_what_was_filed() -> None:
    dossiers: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for _, rows in read(batches(list(firms(400)), supplies=WHOLE)):
        for row in rows:
            dossiers[row.uscc, row.dataset].append(row)
    for (uscc, dataset), rows in dossiers.items():
        if dataset in ("C5.02", "C5.03"):
            filed = {row.items["C5.01.01"]: row.event_date for row in dossiers[uscc, "C5.01"]}
            assert all(str(filed[row.items[f"{dataset}.01"]]) < str(row.event_date) for row in rows)
        if dataset in ("C5.07", "C5.08", "C5.09", "C7.04"):
            assert dossiers[uscc, "C5.04"], f"{dataset} without an enforcement"


@pytest.mark.parametrize("records_each", [None, 700])
def test_keys_are_given_and_distinct_within_enterprise_and_source(records_each: int | None) -> None:
    keys = Counter[tuple[Value, ...]]()
    for batch, rows in read(batches(list(firms(100)), records_each=records_each, supplies=WHOLE)):
        for row in rows:
            dataset = current().datasets[row.dataset]
            if dataset.kind == "event":
                continue
            key = tuple(row.event_date if code == EVENT_DATE else row.items[code] for code in dataset.key_items)
            assert None not in key
            keys[(row.uscc, row.dataset, batch.source, *key)] += 1
    assert max(keys.values()) == 1


def test_event_dates_are_the_catalogues_and_lie_before_the_end(
    small_city: list[tuple[Batch, list[Row]]],
) -> None:
    for _, rows in small_city:
        for row in rows:
            item = current().datasets[row.dataset].event_date_item
            assert row.event_date is not None
            assert row.event_date < "2026-09-01"
            assert item is None or row.event_date == row.items[item]


def test_monthly_series_come_one_batch_a_month_in_order(small_city: list[tuple[Batch, list[Row]]]) -> None:
    months = [{row.event_date for row in rows} for batch, rows in small_city if batch.feed == "demo-C2.01"]
    expected = [f"2025-{month:02d}-01" for month in range(9, 13)] + [f"2026-{month:02d}-01" for month in range(1, 9)]
    assert months == [{month} for month in expected]


def test_the_first_enterprise_has_records_in_all_classes_and_everyone_in_the_first_two(
    population: list[Firm], dossiers: dict[str, dict[str, list[Row]]]
) -> None:
    classes = {firm.uscc: {dataset[1] for dataset, rows in dossiers[firm.uscc].items() if rows} for firm in population}
    assert classes[population[0].uscc] == set("1234567")
    assert population[0].failing_from is None
    assert all({"1", "2"} <= held for held in classes.values())
    shares = {number: mean(number in held for held in classes.values()) for number in "34567"}
    assert shares == pytest.approx({"3": 0.45, "4": 0.99, "5": 0.14, "6": 0.2, "7": 1.0}, abs=0.04)


def test_an_enterprise_has_60_to_90_records(dossiers: dict[str, dict[str, list[Row]]]) -> None:
    assert 60 <= median(count(dossier) for dossier in dossiers.values()) <= 90
    assert mean(60 <= count(dossier) <= 100 for dossier in dossiers.values()) > 0.9


def count(dossier: dict[str, list[Row]]) -> int:
    return sum(map(len, dossier.values()))


@pytest.mark.parametrize("records_each", [50, 200, 500])
def test_records_each_is_about_what_an_enterprise_gets(records_each: int) -> None:
    counts = Counter(row.uscc for _, rows in read(batches(list(firms(40)), records_each=records_each)) for row in rows)
    assert mean(counts.values()) == pytest.approx(records_each, rel=0.15)
    assert min(counts.values()) > 0.7 * records_each


def test_sizes_are_those_of_a_city_of_small_firms(population: list[Firm]) -> None:
    share = Counter(firm.size for firm in population)
    assert share["micro"] + share["small"] == pytest.approx(0.91 * len(population), rel=0.05)  # A18: 90 %
    for firm in population:
        low, high = {"micro": (3, 19), "small": (20, 299), "medium": (300, 999), "large": (1000, 8000)}[firm.size]
        assert low <= firm.staff <= high
        if firm.size != "micro":  # the revenue limits of the size classes of 2017, in fen a year
            limit = {"small": 300_000_000, "medium": 2_000_000_000, "large": 40_000_000_000}[firm.size]
            assert 12 * firm.revenue_fen >= 0.99 * limit


def test_books_add_up_and_the_annual_report_repeats_them(dossiers: dict[str, dict[str, list[Row]]]) -> None:
    for dossier in dossiers.values():
        sheets = {row.event_date: amounts(row) for row in dossier["C1.10"]}
        statements = {row.event_date: amounts(row) for row in dossier["C1.11"]}
        for sheet in sheets.values():
            assert sum(sheet[:7]) == sheet[7]
            assert sum(sheet[8:13]) == sheet[13]
            assert sheet[7] + sheet[13] == sheet[14] == sheet[26] + sheet[31]
            assert sum(sheet[15:22]) == sheet[22]
            assert sum(sheet[23:25]) == sheet[25]
            assert sheet[22] + sheet[25] == sheet[26]
            assert sum(sheet[27:31]) == sheet[31]
        for line in statements.values():
            assert line[0] - sum(line[1:7]) + line[8] + line[9] == line[10]
            assert line[10] + line[11] - line[12] == line[13] == line[14] + line[15]
        for row in dossier["C1.06"]:
            year_end = f"{row.items['C1.06.01']}-10-01"
            assert [row.items[f"C1.06.{code}"] for code in range(10, 17) if code != 14] == [
                *(sheets[year_end][line] for line in (14, 26, 31)),
                *(statements[year_end][line] for line in (0, 13, 15)),
            ]


def amounts(row: Row) -> list[int]:
    """The money of a statement in the order of its lines."""
    return [value for _, value in sorted(row.items.items()) if isinstance(value, int)]


def test_shareholders_hold_the_whole_capital(dossiers: dict[str, dict[str, list[Row]]]) -> None:
    for dossier in dossiers.values():
        assert sum(float(str(row.items["C7.01.08"])) for row in dossier["C7.01"]) == 100
        subscribed = sum(amount(row, "C7.01.04") for row in dossier["C7.01"])
        assert subscribed == dossier["C1.01"][0].items["C1.01.07"]


def amount(row: Row, code: str) -> int:
    value = row.items[code]
    assert isinstance(value, int)
    return value


def test_power_dips_at_spring_festival_and_follows_revenue(
    population: list[Firm], dossiers: dict[str, dict[str, list[Row]]]
) -> None:
    kwh, sold = Counter[str](), Counter[str]()
    for firm in population:
        kwh.update({str(row.event_date): number(row, "C2.01.04") for row in dossiers[firm.uscc]["C2.01"]})
        sold[firm.industry] += firm.revenue_fen
    assert kwh["2026-02-01"] < 0.8 * min(kwh["2026-01-01"], kwh["2026-03-01"])
    per_revenue = [
        number(dossiers[firm.uscc]["C2.01"][-1], "C2.01.04") / firm.revenue_fen
        for firm in population
        if firm.industry == "3484" and firm.strained_month is None
    ]
    assert max(per_revenue) < 2 * min(per_revenue)


def number(row: Row, code: str) -> int:
    value = row.items[code]
    assert isinstance(value, str)
    return int(value)


def test_about_four_percent_fail_some_unseen_and_some_others_only_look_like_it(
    population: list[Firm],
) -> None:
    failing = [firm for firm in population if firm.failing_from]
    assert 0.025 < len(failing) / len(population) < 0.06
    assert all(date(2025, 9, 1) <= firm.failing_from <= date(2026, 8, 1) for firm in failing if firm.failing_from)
    assert any(firm.strained_month is None for firm in failing)
    assert any(firm.strained_month is not None for firm in population if not firm.failing_from)


def test_failing_firms_show_it_in_power_invoices_staff_and_tax(
    population: list[Firm], dossiers: dict[str, dict[str, list[Row]]]
) -> None:
    failing, healthy = told_apart(population, dossiers)
    for dataset, code in (("C2.01", "C2.01.04"), ("C2.06", "C2.06.01"), ("C2.07", "C2.07.03")):
        fallen, steady = (median(year_on_year(each[dataset], code) for each in group) for group in (failing, healthy))
        assert fallen < 0.85 * steady
        assert 0.9 < steady < 1.4  # summer cooling is in it
    for dataset, code in (("C2.01", "C2.01.07"), ("C2.07", "C2.07.07")):
        owed, nothing = (median(amount(each[dataset][-1], code) for each in group) for group in (failing, healthy))
        assert owed > 0 == nothing
    grades = [Counter(each["C4.07"][-1].items["C4.07.02"] for each in group) for group in (failing, healthy)]
    assert grades[0].most_common(1)[0][0] == "D"
    assert "D" not in grades[1]
    assert all(each["C2.05"][-1].items["C2.05.06"] is None for each in failing)
    assert all(each["C2.05"][-1].items["C2.05.06"] is not None for each in healthy)


def test_failing_firms_show_it_in_loans_and_in_court(
    population: list[Firm], dossiers: dict[str, dict[str, list[Row]]]
) -> None:
    failing, healthy = told_apart(population, dossiers)
    suits = [median(len(each["C5.01"]) for each in group) for group in (failing, healthy)]
    assert suits[0] >= 2 > suits[1] == 0
    overdue = [
        [amount(loan, "C3.02.14") for each in group for loan in each["C3.02"] if not loan.items["C3.02.20"]]
        for group in (failing, healthy)
    ]
    assert median(overdue[0]) > 60
    assert max(overdue[1]) == 0
    for dataset in ("C3.08", "C5.04", "C5.05"):
        bad, good = (mean(bool(each[dataset]) for each in group) for group in (failing, healthy))
        assert bad > max(0.1, 10 * good)


def test_turnover_tax_power_water_and_staff_of_one_trade_rise_and_fall_together(
    population: list[Firm], dossiers: dict[str, dict[str, list[Row]]]
) -> None:
    trade = [dossiers[firm.uscc] for firm in population if firm.industry == "3484"]
    trade = [each for each in trade if len(each["C2.01"]) == 12]  # those that were there all year
    assert len(trade) > 50
    turnover = [mean(series(each, "C2.06.01")) for each in trade]
    for code, least in (("C2.05.03", 0.99), ("C2.01.04", 0.95), ("C2.07.03", 0.8)):
        assert correlation(turnover, [mean(series(each, code)) for each in trade]) > least, code
    for code, least in (("C2.05.03", 0.99), ("C2.01.04", 0.7)):  # month by month, within each firm
        assert median(correlation(series(each, "C2.06.01"), series(each, code)) for each in trade) > least, code


def series(dossier: dict[str, list[Row]], code: str) -> list[float]:
    """An item month by month; of tax, what is told of the value-added tax."""
    rows = [row for row in dossier[code[:5]] if row.items.get("C2.05.02", "增值税") == "增值税"]
    return [float(str(row.items[code])) for row in rows]


def test_who_has_failed_for_months_is_bad_in_several_classes_at_once_and_hardly_anybody_else(
    population: list[Firm], small_city: list[tuple[Batch, list[Row]]]
) -> None:
    negative = {item.code for item in current().items.values() if item.negative}
    bad: dict[str, set[str]] = {firm.uscc: set() for firm in population[:300]}
    for _, rows in small_city:
        for row in rows:
            if any(row.items.get(code) not in (None, False, 0, "0") for code in negative & row.items.keys()):
                bad[row.uscc].add(row.dataset[:2])
    failed = [firm for firm in population[:300] if firm.failing_from and firm.failing_from < date(2026, 4, 1)]
    assert failed
    assert all(len(bad[firm.uscc] & {"C1", "C2", "C3", "C4", "C5"}) >= 3 for firm in failed)
    assert mean(len(bad[firm.uscc]) > 1 for firm in population[:300] if not firm.failing_from) < 0.03


def told_apart(
    population: Sequence[Firm], dossiers: dict[str, dict[str, list[Row]]]
) -> tuple[list[dict[str, list[Row]]], list[dict[str, list[Row]]]]:
    """Dossiers of firms that fail, and of those that do not even look like it; all over two years old."""
    old = [firm for firm in population if firm.founded < date(2024, 9, 1)]
    failing = [dossiers[firm.uscc] for firm in old if firm.failing_from]
    healthy = [dossiers[firm.uscc] for firm in old if not firm.failing_from and firm.strained_month is None]
    return failing, healthy


def year_on_year(series: list[Row], code: str) -> float:
    """The last two months over the first two of the year."""
    values = [int(str(row.items[code])) for row in series]
    return (values[-1] + values[-2]) / (values[0] + values[1])


def test_a_given_population_keeps_its_codes_names_and_divisions() -> None:
    given = [(firm.uscc.replace("320599", "320583"), firm.name) for firm in firms(20)]
    laid = list(firms_of(given))
    assert [(firm.uscc, firm.name) for firm in laid] == given
    assert {(firm.division_real, firm.district_name) for firm in laid} == {("320583", "昆山市")}
    assert list(firms_of(given[::-1])) == laid[::-1]


def test_96_institutions_are_named_as_demo_in_the_proportions_of_the_platform() -> None:
    institutions = demo_institutions()
    assert len({name for name, _ in institutions}) == 96  # G1
    assert all("演示" in name for name, _ in institutions)
    kinds = Counter(kind for _, kind in institutions)
    assert kinds["bank"] / 96 == pytest.approx(45 / 75, abs=0.01)  # A17
    assert kinds["guarantor"] / 96 == pytest.approx(17 / 75, abs=0.01)
