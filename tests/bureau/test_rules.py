# SPDX-License-Identifier: Apache-2.0
"""Rules between items: what breaks one is blanked with a warning, and what has a rule's item as key is rejected."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bureau import amendments, catalogue, rules
from bureau.folios import Correction
from bureau.judging import Accepted, judge
from bureau.records import Row
from kernel import db
from kernel.errors import Invalid, SettingError
from tests.bureau.histories import case_filed
from tests.conftest import House
from tests.factories import batch, deliver, new_uscc, registration

CODE = new_uscc()


def judged(row: Row) -> Accepted:
    known = catalogue.current()
    outcome = judge(row, batch([]), known, {})
    assert isinstance(outcome, Accepted), outcome
    return outcome


def holding(number: int, share: Any) -> Row:
    known = {"C7.01.01": "演示股东", "C7.01.08": share}
    return Row(number, CODE, "C7.01", None, known)


@pytest.mark.parametrize(
    ("changed", "warning"),
    [
        ({"C1.01.12": "2020-01-02", "C1.01.13": "2020-01-01"}, "C1.01.13 before-C1.01.12"),
        ({"C1.01.08": None}, "C1.01.07 without-currency"),
    ],
)
def test_what_breaks_a_rule_is_blanked_with_a_warning_and_keeps_its_text(changed: dict[str, Any], warning: str) -> None:
    outcome = judged(registration(1, CODE, **changed))
    blanked = warning.partition(" ")[0]
    assert outcome.warnings == (warning,)
    assert outcome.items[blanked] is None
    told = {**registration(1, CODE).items, **changed}[blanked]
    assert outcome.row.raw[blanked] == str(told)


def test_an_amount_in_what_is_no_currency_has_none() -> None:
    outcome = judged(registration(1, CODE, **{"C1.01.08": "yuan"}))
    assert outcome.warnings == ("C1.01.08 not-in-codes", "C1.01.07 without-currency")
    assert (outcome.items["C1.01.07"], outcome.row.raw) == (None, {"C1.01.07": "200000000", "C1.01.08": "yuan"})


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"C1.01.12": "2020-01-01", "C1.01.13": "2020-01-01"},
        {"C1.01.12": None, "C1.01.13": "2020-01-01"},
        {"C1.01.07": None, "C1.01.08": None},
    ],
)
def test_what_breaks_none_is_left_as_it_is(changed: dict[str, Any]) -> None:
    outcome = judged(registration(1, CODE, **changed))
    assert outcome.warnings == ()
    assert outcome.items == {**registration(1, CODE).items, **changed}


@given(st.decimals(-1000, 1000, places=2))
def test_a_share_is_at_most_a_hundred_percent(share: Any) -> None:
    text = f"{share.normalize():f}"
    outcome = judged(holding(1, text))
    stands = 0 <= share <= 100
    assert outcome.items["C7.01.08"] == (text if stands else None)
    assert outcome.warnings == (() if stands else ("C7.01.08 out-of-range",))


def test_a_correction_may_not_make_a_record_break_a_rule(house: House) -> None:
    code = new_uscc()
    first = deliver([registration(1, code, **{"C1.01.12": "2020-01-02"}), case_filed(2, code)])
    named = f"{first.batch}.1.C1.01"
    wrong = Correction("correction", {"C1.01.13": "2020-01-01"})
    with db.transaction() as tx, pytest.raises(Invalid, match="break a rule"):
        amendments.amend(tx, code, named, wrong, "why")
    row = registration(1, code)._replace(act="correct", record=named, items=wrong.items)
    assert deliver([row]).reasons == {"breaks-a-rule": 1}
    assert deliver([row._replace(items={"C1.01.13": "2020-01-02"})]).amended == 1


def test_every_rule_of_the_file_is_in_force() -> None:
    lines = rules.SHIPPED.read_text().splitlines()[1:]
    held = [check for checks in rules.current().values() for check in checks]
    assert len([check for check in held if "currency" not in check.warning]) == len(lines)
    money = [item for item in catalogue.current().items.values() if item.unit.startswith("@")]
    assert {check.item for check in held if check.warning == "without-currency"} == {item.code for item in money}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("order,C1.01.13,C1.03.06,", "two dates of one dataset"),
        ("order,C1.01.13,C1.01.01,", "two dates of one dataset"),
        ("order,C1.01.10,C1.01.11,", "is the event date"),
        ("range,C1.01.01,0,1", "a range of a number"),
        ("range,C7.01.08,a,1", "numbers or empty"),
        ("range,C9.99.99,0,1", "of an item of the catalogue"),
        ("range,C7.01.08", "expected kind"),
        ("other,C7.01.08,,", "expected order or range"),
    ],
)
def test_a_rule_that_does_not_hold_is_named_by_its_line(tmp_path: Path, line: str, says: str) -> None:
    file = tmp_path / "rules.csv"
    file.write_text(f"kind,item,least,most\nrange,C7.01.08,0,100\n{line}\n")
    with pytest.raises(SettingError, match=f"rules.csv line 3.*{says}"):
        rules.load(file, catalogue.current())
