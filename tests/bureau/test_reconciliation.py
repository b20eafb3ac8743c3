# SPDX-License-Identifier: Apache-2.0
"""The reconciliation list: kept up behind deliveries, settled by itself, explained by people, empty of the shredded."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from app import worker
from audit import trail
from bureau import amendments, discrepancies, erasure, publications, quality, reconciliation, reconciliation_list
from bureau.folios import Correction
from bureau.models import discrepancy, discrepancy_source
from bureau.models import reconciliation as mark
from kernel import clock, db
from kernel.errors import Conflict, NotFound
from tests.bureau.histories import answer, entries
from tests.bureau.threads import at_once
from tests.conftest import House
from tests.factories import deliver, new_uscc, registration


@pytest.fixture
def uscc() -> str:
    return new_uscc()


def deliver_capital(uscc: str, source: str, fen: int) -> str:
    """A registration. Returns its record's id."""
    return f"{deliver([registration(1, uscc, **{'C1.01.07': fen})], source=source).batch}.1.C1.01"


def listed(**asked: Any) -> list[dict[str, Any]]:
    return reconciliation_list.page(asked, None, 100)[0]


def states(**asked: Any) -> list[str]:
    return [one["state"] for one in listed(**asked)]


def test_sources_that_contradict_each_other_are_listed_and_nothing_is_changed(house: House, uscc: str) -> None:
    records = [deliver_capital(uscc, "S01", 100), deliver_capital(uscc, "S02", 200)]
    before = answer(uscc)
    assert reconciliation.catch_up() == 1
    (one,) = listed()
    assert (one["uscc"], one["fact"], one["state"]) == (uscc, "registered-capital", "open")
    assert [(each["source"], each["record"]) for each in one["statements"]] == list(
        zip(("S01", "S02"), records, strict=True)
    )
    shown = reconciliation_list.look(one["discrepancy"])
    assert [each["value"] for each in shown["statements"]] == [100, 200]
    assert answer(uscc) == before


def test_what_is_at_rest_holds_no_value(house: House, uscc: str) -> None:
    deliver([registration(1, uscc, "演示甲公司")], source="S01")
    deliver([registration(1, uscc, "演示乙公司")], source="S02")
    reconciliation.catch_up()
    with db.reading() as reading:
        (row,) = reading.execute(select(discrepancy))
    assert "演示" not in str(tuple(row))


def test_it_is_looked_at_once_and_again_only_where_something_was_published(house: House, uscc: str) -> None:
    deliver_capital(uscc, "S01", 100)
    deliver_capital(new_uscc(), "S01", 100)
    assert [reconciliation.catch_up(), reconciliation.catch_up()] == [2, 0]
    deliver_capital(uscc, "S02", 200)
    assert reconciliation.catch_up() == 1


def test_a_redelivery_doubles_nothing_and_names_the_newest_records(house: House, uscc: str) -> None:
    deliver_capital(uscc, "S01", 100)
    deliver_capital(uscc, "S02", 200)
    reconciliation.catch_up()
    (before,) = listed()
    again = deliver_capital(uscc, "S02", 200)
    reconciliation.catch_up()
    (after,) = listed()
    assert after["discrepancy"] == before["discrepancy"]
    assert after["first_seen_at"] == before["first_seen_at"] <= after["last_seen_at"]
    assert after["statements"][1]["record"] == again


@pytest.mark.parametrize("how", ["correction", "withdrawal", "later delivery"])
def test_sources_that_agree_again_settle_it_and_a_new_contradiction_opens_it_again(
    house: House, uscc: str, how: str
) -> None:
    deliver_capital(uscc, "S01", 100)
    wrong = deliver_capital(uscc, "S02", 200)
    reconciliation.catch_up()
    if how == "later delivery":
        deliver_capital(uscc, "S02", 100)
    else:
        items = {"C1.01.07": 100} if how == "correction" else None
        with db.transaction() as tx:
            amendments.amend(tx, uscc, wrong, Correction(how, items), "wrong")
    reconciliation.catch_up()
    (one,) = listed()
    assert (one["state"], one["settled_at"] is None) == ("settled", False)
    deliver_capital(uscc, "S02", 300)
    reconciliation.catch_up()
    (again,) = listed()
    assert (again["discrepancy"], again["state"], again["settled_at"]) == (one["discrepancy"], "open", None)


def test_an_explanation_is_on_the_trail_and_holds_as_long_as_the_sources_say_the_same(house: House, uscc: str) -> None:
    deliver_capital(uscc, "S01", 100)
    deliver_capital(uscc, "S02", 200)
    reconciliation.catch_up()
    (one,) = listed()
    explain(one["discrepancy"], "raised last week")
    (entry,) = entries("discrepancy.explained")
    assert entry["uscc"] == uscc
    assert entry["detail"] == {**entry["detail"], "fact": "registered-capital", "reason": "raised last week"}
    with pytest.raises(Conflict, match="is explained: only an open one"):
        explain(one["discrepancy"], "twice")
    deliver_capital(uscc, "S02", 200)
    reconciliation.catch_up()
    (same,) = listed()
    assert (same["state"], same["reason"], same["explained_by"]) == ("explained", "raised last week", "counter")
    deliver_capital(uscc, "S02", 300)
    reconciliation.catch_up()
    (other,) = listed()
    assert (other["state"], other["reason"], other["explained_by"]) == ("open", None, None)


def explain(discrepancy_id: str, reason: str) -> None:
    with trail.recording() as tx:
        reconciliation_list.explain(tx, discrepancy_id, reason)


def test_the_list_is_filtered_and_paged_and_each_look_is_an_entry(house: House, uscc: str) -> None:
    for code in (uscc, new_uscc(), new_uscc()):
        deliver_capital(code, "S01", 100)
        deliver_capital(code, "S02", 200)
    deliver([registration(1, uscc, "另一演示公司", **{"C1.01.07": 200})], source="S02")
    reconciliation.catch_up()
    assert len(listed()) == 4
    assert {one["fact"] for one in listed(uscc=uscc)} == {"registered-capital", "registered-name"}
    assert len(listed(fact="registered-capital", source="S02", state="open")) == 3
    assert listed(source="S04") == listed(state="settled") == []
    first, place = reconciliation_list.page({}, None, 3)
    rest, end = reconciliation_list.page({}, place, 3)
    assert [one["discrepancy"] for one in (*first, *rest)] == [one["discrepancy"] for one in listed()]
    assert end is None
    views = [entry["detail"] for entry in entries("staff.viewed")]
    assert [(view["what"], view["shown"]) for view in views[:2]] == [("discrepancies", 4), ("discrepancies", 2)]
    with pytest.raises(NotFound):
        reconciliation_list.look("nothing")


def test_of_a_withdrawn_record_no_value_is_shown(house: House, uscc: str) -> None:
    deliver_capital(uscc, "S01", 100)
    wrong = deliver_capital(uscc, "S02", 200)
    reconciliation.catch_up()
    (one,) = listed()
    with db.transaction() as tx:
        amendments.amend(tx, uscc, wrong, Correction("withdrawal"), "wrong")
    values = [each["value"] for each in reconciliation_list.look(one["discrepancy"])["statements"]]
    assert values == [100, None]


def test_of_a_shredded_enterprise_nothing_is_left_on_the_list(house: House, uscc: str) -> None:
    deliver_capital(uscc, "S01", 100)
    deliver_capital(uscc, "S02", 200)
    reconciliation.catch_up()
    with trail.recording() as tx:
        gone = erasure.shred(tx, uscc, "an order")
    assert (gone.rows["discrepancy"], gone.rows["discrepancy_source"]) == (1, 2)
    reconciliation.catch_up()
    assert (listed(), rows(discrepancy), rows(discrepancy_source)) == ([], 0, 0)


def test_who_is_shredded_while_it_is_looked_at_does_not_come_back(
    house: House, uscc: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver_capital(uscc, "S01", 100)
    deliver_capital(uscc, "S02", 200)
    look = reconciliation._look

    def looked(*args: Any) -> Any:
        found = look(*args)
        with trail.recording() as tx:
            erasure.shred(tx, uscc, "an order")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(reconciliation, "_look", looked)
        assert reconciliation.catch_up(most=1) == 1
    assert rows(discrepancy) == 0


def rows(table: Any) -> int:
    with db.reading() as reading:
        return reading.scalar(select(func.count()).select_from(table)) or 0


def test_it_goes_on_where_it_was_cut_off(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciliation, "ENTERPRISES_AT_ONCE", 2)
    codes = [new_uscc() for _ in range(5)]
    for source, fen in (("S01", 100), ("S02", 200)):
        deliver([registration(n, code, **{"C1.01.07": fen}) for n, code in enumerate(codes, 1)], source=source)
    assert reconciliation.catch_up(most=1) == 2
    assert len(listed()) == 2
    deliver_capital(codes[0], "S02", 100)
    assert reconciliation.catch_up() == 3 + 1
    assert sorted(states()) == ["open"] * 4 + ["settled"]


def test_other_facts_have_everybody_looked_at_anew(house: House, uscc: str, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver_capital(uscc, "S01", 100)
    deliver_capital(uscc, "S02", 200)
    reconciliation.catch_up()
    fewer = {code: fact for code, fact in discrepancies.current().items() if code != "registered-capital"}
    monkeypatch.setattr(discrepancies, "current", lambda: fewer)
    monkeypatch.setattr(discrepancies, "digest", lambda: "others")
    assert reconciliation.catch_up() == 1
    assert states() == ["settled"]


def test_the_worker_keeps_the_list_up_some_at_a_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciliation, "ENTERPRISES_AT_ONCE", 1)
    monkeypatch.setattr(reconciliation, "ENTERPRISES_A_ROUND", 2)
    codes = [new_uscc() for _ in range(3)]
    for source, fen in (("S01", 100), ("S02", 200)):
        deliver([registration(n, code, **{"C1.01.07": fen}) for n, code in enumerate(codes, 1)], source=source)
    worker.work_once()
    assert len(listed()) == 2
    worker.work_once()
    assert len(listed()) == 3


def test_two_processes_at_once_list_it_once(open_house: House, uscc: str) -> None:
    codes = [new_uscc() for _ in range(20)]
    for source, fen in (("S01", 100), ("S02", 200)):
        deliver([registration(n, code, **{"C1.01.07": fen}) for n, code in enumerate(codes, 1)], source=source)
    done = at_once([reconciliation.catch_up, reconciliation.catch_up])
    assert max(done) == 20, done
    assert (rows(discrepancy), rows(discrepancy_source)) == (20, 40)
    with db.reading() as reading:
        assert reading.scalar(select(mark.c.publication)) == publications.latest(reading)


def test_quality_counts_a_month_s_discrepancies_of_each_source(house: House, uscc: str) -> None:
    deliver_capital(uscc, "S01", 100)
    deliver_capital(uscc, "S02", 200)
    reconciliation.catch_up()
    month = f"{clock.legal_day(clock.now()):%Y-%m}"

    def counted() -> dict[str, tuple[int, int]]:
        with db.reading() as reading:
            told = quality.of_month(reading, month)
        return {one.source: (one.discrepancies, one.discrepancies_open) for one in told}

    assert counted() == {"S01": (1, 1), "S02": (1, 1)}
    explain(listed()[0]["discrepancy"], "as it is")
    assert counted() == {"S01": (1, 0), "S02": (1, 0)}
    with db.transaction() as tx:
        tx.execute(update(discrepancy).values(first_seen_at=clock.now() - timedelta(days=40)))
    assert counted() == {"S01": (0, 0), "S02": (0, 0)}
