# SPDX-License-Identifier: Apache-2.0
"""What was delivered wrong is put right for answers from now on: by its source or by the bureau, never in the folio."""

from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient
from sqlalchemy import delete, select, update

from bureau import amendments, compaction, erasure, holdings, intake, publications, record_history
from bureau.folios import Correction
from bureau.models import folio, overlay
from bureau.records import Row
from kernel import db
from kernel.errors import Conflict, Invalid, NotFound
from tests import factories
from tests.bureau.histories import answer, case_filed, electricity, entries
from tests.conftest import House
from tests.factories import ask, bank, consent, deliver, new_uscc, registration, token


def amending(row: Row, act: str, record: str = "", **items: Any) -> Row:
    """A row that amends: with the items that are given, in place of its own."""
    return row._replace(act=act, record=record, items=items or row.items)


def records(code: str, as_of: int = 2**31 - 1) -> list[dict[str, Any]]:
    shown = orjson.loads(answer(code, as_of=as_of))["classes"]
    return [record for part in shown for dataset in part["datasets"] for record in dataset["records"]]


def now() -> int:
    with db.reading() as reading:
        return publications.latest(reading)


def faults() -> list[str]:
    with db.reading() as reading:
        return [fault.fault.split(":")[0] for fault in holdings.faults(reading)]


def stored() -> list[bytes]:
    with db.reading() as reading:
        return list(reading.scalars(select(folio.c.ciphertext).order_by(folio.c.batch)))


def test_a_source_corrects_its_record_by_id_and_the_folio_keeps_its_bytes(house: House) -> None:
    code = new_uscc()
    first = deliver([case_filed(1, code)._replace(raw={"C5.01.07": "十二万"})])
    before, at_first, bytes_at_first = stored(), now(), answer(code)
    named = f"{first.batch}.1.C5.01"
    receipt = deliver([amending(case_filed(1, code), "correct", named, **{"C5.01.07": 500})])
    assert (receipt.rows, receipt.accepted, receipt.amended, receipt.repeated) == (1, 1, 1, 0)
    (shown,) = records(code)
    assert (shown["id"], shown["items"]["C5.01.07"], shown["corrected"]) == (named, 500, True)
    assert "raw" not in shown, "the text that the wrong value was read from goes with it"
    assert shown["items"]["C5.01.02"] == "买卖合同纠纷"
    assert stored() == before
    assert answer(code, as_of=at_first) == bytes_at_first
    assert faults() == []


def test_a_source_names_state_and_period_records_by_their_key(house: House) -> None:
    code = new_uscc()
    deliver([electricity(1, code, "2024-01"), electricity(2, code, "2024-02")])
    key = {"C2.01.01": "0512-1"}
    right = electricity(1, code, "2024-02")._replace(items={**key, "C2.01.04": "7"}, act="correct")
    gone = electricity(2, code, "2024-01")._replace(items=key, act="withdraw")
    assert deliver([right, gone]).amended == 2
    (left,) = records(code)
    assert (left["event_date"], left["items"]["C2.01.04"]) == ("2024-02-01", "7")


def test_amendments_are_invisible_until_their_delivery_is_whole(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    code = new_uscc()
    first = deliver([case_filed(1, code)])
    before = answer(code)
    gone = amending(case_filed(1, code), "withdraw", f"{first.batch}.1.C5.01")
    monkeypatch.setattr(intake, "CHUNK_ROWS", 1)
    with pytest.raises(ZeroDivisionError):
        intake.receive(factories.batch((row or 1 / 0 for row in (gone, 0)), digest="a" * 64))  # type: ignore[misc]
    assert answer(code) == before
    assert faults() == []
    receipt = deliver([gone, registration(2, code)], digest="a" * 64)
    assert (receipt.rows, receipt.amended) == (2, 1)
    assert [record["id"][-5:] for record in records(code)] == ["C1.01"]
    assert faults() == []


def test_each_amendment_that_cannot_be_is_rejected_with_its_reason(house: House) -> None:
    code, other = new_uscc(), new_uscc()
    first = deliver([case_filed(1, code), electricity(2, code), case_filed(3, other)])
    theirs = deliver([case_filed(1, code, "演示2号")], source="S02")
    case, power = f"{first.batch}.1.C5.01", f"{first.batch}.2.C2.01"
    row, used = case_filed(1, code), electricity(1, code)
    wrong = {
        "unknown-act": amending(row, "erase", case),
        "record-not-named": amending(row, "withdraw"),
        "nothing-to-correct": amending(used, "correct", power, **{"C2.01.01": "0512-1"}),
        "unreadable-correction": amending(row, "correct", case, **{"C5.01.07": "much"}),
        "key-not-correctable": amending(used, "correct", power, **{"C2.01.01": "0512-2", "C2.01.04": "1"}),
        "record-of-another-source": amending(row, "withdraw", f"{theirs.batch}.1.C5.01"),
        "no-such-record": amending(row, "withdraw", f"{first.batch}.3.C5.01"),
        "missing-event-date": None,
    }
    for reason, sent in wrong.items():
        if sent is not None:
            receipt = deliver([sent])
            assert (receipt.accepted, receipt.amended, receipt.reasons) == (0, 0, {reason: 1})
    unread = amending(row, "correct", case, **{"C5.01.07": None})._replace(warnings=("C5.01.07 unreadable-money",))
    assert deliver([unread]).reasons == {"unreadable-correction": 1}
    deliver([amending(row, "withdraw", case)])
    assert deliver([amending(row, "correct", case, **{"C5.01.07": 1})]).reasons == {"record-withdrawn": 1}
    assert faults() == []


def test_an_amendment_that_comes_again_in_another_delivery_is_a_repeat(house: House) -> None:
    code = new_uscc()
    named = f"{deliver([case_filed(1, code)]).batch}.1.C5.01"
    row = amending(case_filed(1, code), "correct", named, **{"C5.01.07": 500})
    assert deliver([row, row]).repeated == 1
    assert (deliver([row]).repeated, len(records(code))) == (1, 1)
    with db.reading() as reading:
        assert len(reading.execute(select(overlay)).all()) == 1
    assert deliver([amending(case_filed(1, code), "withdraw", named)] * 2).repeated == 1
    assert records(code) == []


def test_the_bureau_amends_with_a_reason_and_takes_it_back(house: House, client: FlaskClient) -> None:
    code, asking = new_uscc(), bank()
    named = f"{deliver([case_filed(1, code)]).batch}.1.C5.01"
    consent(code, asking)
    bearer = token(asking)
    answered = ask(client, bearer, code)
    with db.transaction() as tx:
        laid = amendments.amend(tx, code, named, Correction("correction", {"C5.01.07": 500}), "判决书笔误")
    again = client.get(f"/v1/credit-queries/{answered.json['query_id']}", headers={"Authorization": f"Bearer {bearer}"})
    assert again.data == answered.data
    assert records(code)[0]["items"]["C5.01.07"] == 500
    with db.transaction() as tx:
        amendments.lift(tx, code, laid, "判决书无误")
    assert "corrected" not in records(code)[0]
    with db.transaction() as tx, pytest.raises(NotFound):
        amendments.lift(tx, code, laid, "again")
    told = entries("overlay.laid", "overlay.lifted")
    assert [(one["uscc"], one["publication"], one["detail"]["reason"]) for one in told] == [
        (code, 2, "判决书笔误"), (code, 3, "判决书无误"),
    ]  # fmt: skip
    assert "C5.01.07" not in repr(told), "entries lie in clear: they tell of no item"
    assert faults() == []


@pytest.mark.parametrize(
    "correction",
    [
        Correction("correction"),
        Correction("correction", {"C5.01.07": "much"}),
        Correction("correction", {"C1.01.01": "演示"}),
    ],
)
def test_what_does_not_fit_the_record_is_not_laid(house: House, correction: Correction) -> None:
    code = new_uscc()
    named = f"{deliver([case_filed(1, code)]).batch}.1.C5.01"
    with db.transaction() as tx, pytest.raises(Invalid):
        amendments.amend(tx, code, named, correction, "why")
    assert entries("overlay.laid") == []


def test_a_withdrawn_record_and_one_that_is_not_there_are_not_amended(house: House) -> None:
    code = new_uscc()
    named = f"{deliver([case_filed(1, code)]).batch}.1.C5.01"
    with db.transaction() as tx:
        amendments.amend(tx, code, named, Correction("withdrawal"), "why")
        with pytest.raises(Conflict):
            amendments.amend(tx, code, named, Correction("dispute"), "why")
        for unknown in ("9.9.C5.01", "nonsense", f"{named}.1"):
            with pytest.raises(NotFound):
                amendments.amend(tx, code, unknown, Correction("dispute"), "why")


def laid_on_three() -> str:
    code = new_uscc()
    first = deliver([case_filed(row, code, f"演示{row}号") for row in (1, 2, 3)])
    for row in (1, 2):
        with db.transaction() as tx:
            laid = amendments.amend(tx, code, f"{first.batch}.{row}.C5.01", Correction("dispute"), "why")
    with db.transaction() as tx:
        amendments.lift(tx, code, laid, "why")
    deliver([amending(case_filed(1, code), "withdraw", f"{first.batch}.3.C5.01")])
    assert faults() == []
    return code


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (delete(overlay).where(overlay.c.since == 2), "deleted"),
        (delete(overlay).where(overlay.c.batch.is_not(None)), "deleted"),
        (update(overlay).where(overlay.c.since == 2).values(since=1), "inserted"),
        (update(overlay).where(overlay.c.since == 2).values(until=3), "edited"),
        (update(overlay).where(overlay.c.until == 4).values(until=None), "edited"),
        (update(overlay).where(overlay.c.batch.is_not(None)).values(since=None), "edited"),
        (update(overlay).where(overlay.c.since == 2).values(ciphertext=b"\0" * 60), "altered"),
        (update(overlay).where(overlay.c.since == 2).values({"class": 1}), "altered"),
    ],
)
def test_an_overlay_that_was_deleted_edited_or_put_elsewhere_is_named(house: House, change: Any, fault: str) -> None:
    laid_on_three()
    with db.transaction() as tx:
        assert tx.execute(change).rowcount == 1
    assert fault in faults()


def test_compaction_leaves_overlays_on_their_records_and_shredding_destroys_them(house: House) -> None:
    code = laid_on_three()
    before = records(code)
    deliver([case_filed(4, code, "演示4号")])
    with db.transaction() as tx:
        assert compaction.compact(tx, code, 5)
    assert records(code)[: len(before)] == before
    assert faults() == []
    with db.transaction() as tx:
        erasure.shred(tx, code, "an order")
    with db.reading() as reading:
        assert reading.execute(select(overlay)).all() == []
    assert faults() == []


def test_a_look_at_a_record_shows_the_original_beside_what_lies_over_it_and_is_an_entry(house: House) -> None:
    code = new_uscc()
    named = f"{deliver([case_filed(1, code)]).batch}.1.C5.01"
    with db.transaction() as tx:
        laid = amendments.amend(tx, code, named, Correction("correction", {"C5.01.07": 500}), "why")
    told = record_history.look(code, named)
    assert told["record"]["items"]["C5.01.07"] == 12_345_600
    assert told["shown"]["items"]["C5.01.07"] == 500
    assert [(one["overlay"], one["items"], one["since"]) for one in told["overlays"]] == [(laid, {"C5.01.07": 500}, 2)]
    (seen,) = entries("staff.viewed")
    assert (seen["uscc"], seen["detail"]["what"], seen["channel"]) == (code, "record-history", "counter")
    with pytest.raises(NotFound):
        record_history.look(code, "1.2.C5.01")
    assert len(entries("staff.viewed")) == 1
