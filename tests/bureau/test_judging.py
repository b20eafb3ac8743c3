# SPDX-License-Identifier: Apache-2.0
"""Judging a row: accepted as it will be kept, or rejected with one reason; nothing can break it."""

from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bureau import catalogue
from bureau.judging import FITS, MAX_TEXT_CHARS, Accepted, Rejected, judge
from bureau.records import Batch, Row, Unreadable
from kernel.canonical import MAX_INTEGER
from tests.bureau.histories import case_filed, electricity
from tests.factories import batch, new_uscc, registration

VALID = "91320500MA1XY8014D"
WRONG_CHECK = "91350100M0001TGQXM"  # an early legal code: the pattern is right, the check symbol is not
SOLE_TRADER = "92320505MA1XY8014D"
LENIENT = batch([], lenient_uscc=True)

NOBODY: Any = MappingProxyType({})


def judged(row: Row | Unreadable, of: Batch | None = None, collecting: Any = NOBODY) -> Accepted | Rejected:
    return judge(row, of or batch([]), catalogue.current(), collecting)


def reason(row: Row | Unreadable, of: Batch | None = None, collecting: Any = NOBODY) -> str | None:
    one = judged(row, of, collecting)
    return one.reason if isinstance(one, Rejected) else None


def accepted(row: Row, of: Batch | None = None) -> Accepted:
    one = judged(row, of)
    assert isinstance(one, Accepted), one
    return one


def test_a_row_whose_items_all_fit_is_kept_as_it_came() -> None:
    row = registration(1, VALID)
    one = accepted(row)
    assert (one.row, one.items, one.warnings) == (row, row.items, ())


@pytest.mark.parametrize(
    "code",
    [
        "",
        "320500000012345",
        VALID[:-1] + "E",
        VALID.lower(),
        VALID + "\0",
        VALID + "\n",
        "\ud800",
        WRONG_CHECK,
    ],
)
def test_a_row_without_a_valid_code_is_rejected_with_its_number(code: str) -> None:
    one = judged(registration(7, code))
    assert isinstance(one, Rejected)
    assert (one.number, one.reason, one.uscc) == (7, "invalid-uscc", None)


def test_a_lenient_feed_takes_a_code_with_a_wrong_check_symbol_and_warns() -> None:
    assert accepted(registration(1, WRONG_CHECK), LENIENT).warnings == ("uscc check-digit",)
    assert reason(registration(1, "320500000012345"), LENIENT) == "invalid-uscc"


def test_a_feed_can_refuse_codes_by_their_beginning() -> None:
    feed = batch([], refused_prefixes={"92": "sole-trader"}, lenient_uscc=True)
    assert reason(registration(1, SOLE_TRADER), feed) == "sole-trader"
    assert reason(registration(1, VALID), feed) is None


def test_the_reason_that_stands_is_one_the_first_that_is_found() -> None:
    feed = batch([], refused_prefixes={"92": "sole-trader"}, basis="lender", lenient_uscc=True)
    row = registration(1, SOLE_TRADER)._replace(dataset="C9.99", event_date="tomorrow")
    assert reason(row._replace(uscc="nobody"), feed) == "invalid-uscc"
    assert reason(row, feed) == "sole-trader"
    assert reason(row._replace(uscc=VALID), feed) == "unknown-dataset"
    assert reason(row._replace(uscc=VALID, dataset="C1.01"), feed) == "invalid-event-date"
    assert reason(registration(1, VALID, **{"C1.02.01": "x"}), feed) == "unknown-item"
    assert reason(registration(1, VALID), feed) == "no-collection-consent"


@pytest.mark.parametrize(("basis", "needs"), [("public", 0), ("department", 0), ("consent", 1), ("lender", 1)])
def test_the_basis_says_whether_the_enterprise_must_have_consented(basis: str, needs: int) -> None:
    feed, row = batch([], basis=basis), registration(1, VALID)
    assert reason(row, feed, collecting={}) == ("no-collection-consent" if needs else None)
    assert reason(row, feed, collecting={VALID: {2, 3}}) == ("no-collection-consent" if needs else None)
    assert reason(row, feed, collecting={VALID: {1}}) is None


@pytest.mark.parametrize(("code", "why"), [(SOLE_TRADER, "sole-trader"), (VALID, "no-collection-consent")])
def test_of_what_may_not_be_collected_only_the_number_and_the_reason_are_kept(code: str, why: str) -> None:
    feed = batch([], basis="consent", refused_prefixes={"92": "sole-trader"}, lenient_uscc=True)
    row = registration(6, code)._replace(delivered={"企业名称": "某人"})
    assert judged(row, feed) == Rejected(6, why, {}, None)


@pytest.mark.parametrize("date", ["2024-02-32", "2024-13-01", "20240101", "2024-1-1", "1066-10-14", "\ud800", 20240101])
def test_an_event_date_that_is_none_rejects_the_row(date: Any) -> None:
    assert reason(registration(1, VALID)._replace(event_date=date)) == "invalid-event-date"


@pytest.mark.parametrize(
    "row",
    [
        electricity(3, VALID)._replace(event_date=None),
        electricity(3, VALID, **{"C2.01.01": None}),
        electricity(3, VALID, **{"C2.01.01": ""}),
        electricity(3, VALID, **{"C2.01.01": 5121}),  # blanked because it is no string
    ],
)
def test_a_record_that_cannot_be_told_from_others_is_rejected(row: Row) -> None:
    one = judged(row)
    assert isinstance(one, Rejected)
    assert (one.number, one.reason, one.uscc) == (3, "missing-key", VALID)


@pytest.mark.parametrize(
    ("item", "value", "warning"),
    [
        ("C2.01.02", 5, "C2.01.02 not-string"),
        ("C2.01.02", "x" * (MAX_TEXT_CHARS + 1), "C2.01.02 not-string"),
        ("C2.01.02", "nul\0", "C2.01.02 not-string"),
        ("C2.01.02", ["x"], "C2.01.02 not-string"),
        ("C2.01.03", 1.5, "C2.01.03 not-decimal"),
        ("C2.01.03", "1e3", "C2.01.03 not-decimal"),
        ("C2.01.05", 12.5, "C2.01.05 not-money"),
        ("C2.01.05", True, "C2.01.05 not-money"),
        ("C2.01.05", MAX_INTEGER + 1, "C2.01.05 not-money"),
        ("C2.01.05", 10**40, "C2.01.05 not-money"),
        ("C2.01.06", "2024-2-1", "C2.01.06 not-date"),
        ("C2.01.09", "2024-13", "C2.01.09 not-month"),
        ("C2.01.10", 1, "C2.01.10 not-boolean"),
    ],
)
def test_a_value_of_the_wrong_type_becomes_null_with_a_warning_and_keeps_its_text(
    item: str, value: Any, warning: str
) -> None:
    one = accepted(electricity(1, VALID, **{item: value}))
    assert one.items[item] is None
    assert one.warnings == (warning,)
    assert one.row.raw[item] == str(value)
    assert {name: kept for name, kept in one.items.items() if name != item} == {
        name: kept for name, kept in electricity(1, VALID).items.items() if name != item
    }


def test_a_value_that_is_none_of_its_codes_becomes_null_with_a_warning_and_keeps_its_text() -> None:
    row = registration(1, VALID)
    one = accepted(row._replace(items={**row.items, "C1.01.15": "存续（在营、开业、在册）"}))
    assert one.items["C1.01.15"] is None
    assert one.row.raw["C1.01.15"] == "存续（在营、开业、在册）"
    assert one.warnings == ("C1.01.15 not-in-codes",)


def test_a_key_that_is_none_of_its_codes_rejects_its_row() -> None:
    taxed = {"C2.05.01": "2026-08", "C2.05.02": "不存在的税", "C2.05.04": 1}
    assert reason(Row(1, VALID, "C2.05", "2026-08-01", taxed)) == "missing-key"
    assert reason(Row(1, VALID, "C2.05", "2026-08-01", {**taxed, "C2.05.02": "增值税"})) is None


def test_the_text_as_the_source_wrote_it_is_kept_rather_than_the_value_that_did_not_fit() -> None:
    row = electricity(1, VALID, **{"C2.01.05": 1.5})._replace(raw={"C2.01.05": "1.50 (元)"})
    assert accepted(row).row.raw == {"C2.01.05": "1.50 (元)"}


@pytest.mark.parametrize(
    "row",
    [
        case_filed(4, VALID, "lone \ud800 surrogate"),
        case_filed(4, VALID)._replace(raw={"C5.01.07": "\udfff"}),
        case_filed(4, VALID)._replace(raw={"C5.01.07": b"bytes"}),  # type: ignore[dict-item]
        case_filed(4, VALID)._replace(raw={"\ud800": "x"}),
        registration(4, VALID, **{"C1.01.07": "\ud800"}),  # does not fit, and its text cannot be kept either
    ],
)
def test_text_that_no_encoding_can_hold_rejects_its_row(row: Row) -> None:
    one = judged(row)
    assert isinstance(one, Rejected)
    assert (one.number, one.reason, one.uscc) == (4, "unencodable-text", VALID)


def test_a_row_that_could_not_be_read_keeps_its_reason_and_its_words() -> None:
    assert judged(Unreadable(9, "malformed-row", {"row": "a,b"})) == Rejected(9, "malformed-row", {"row": "a,b"}, None)


def test_a_rejected_row_is_kept_in_the_sources_own_words_where_it_has_them() -> None:
    row = registration(1, "nobody")
    assert judged(row._replace(delivered={"企业名称": "甲"})) == Rejected(1, "invalid-uscc", {"企业名称": "甲"}, None)
    told = judged(row)
    assert isinstance(told, Rejected)
    assert told.delivered == {"uscc": "nobody", "event_date": "2019-05-06", "items": row.items, "raw": {}}


anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)


@given(
    uscc=st.sampled_from([VALID, new_uscc()]) | st.text(st.characters(), max_size=18),
    dataset=st.sampled_from(["C1.01", "C2.01", "C5.01"]) | st.text(max_size=5),
    event_date=st.none() | st.just("2024-01-01") | st.text(st.characters(), max_size=10),
    items=st.dictionaries(st.sampled_from([f"C{n}.01.{i:02}" for n in (1, 2, 5) for i in range(1, 13)]), anything),
    basis=st.sampled_from(["public", "lender"]),
    lenient=st.booleans(),
)
def test_whatever_comes_is_accepted_with_values_that_fit_or_rejected(
    uscc: str, dataset: str, event_date: str | None, items: dict[str, Any], basis: str, lenient: bool
) -> None:
    feed = batch([], basis=basis, lenient_uscc=lenient)
    one = judged(Row(5, uscc, dataset, event_date, items), feed, {VALID: range(1, 8)})
    if isinstance(one, Rejected):
        assert (one.number, one.uscc in (None, uscc)) == (5, True)
        return
    types = {item.code: item.type for item in catalogue.current().datasets[dataset].items}
    assert all(value is None or FITS[types[name]](value) for name, value in one.items.items())
    assert {name.split()[0] for name in one.warnings} == {
        name for name, value in items.items() if one.items[name] != value
    }
