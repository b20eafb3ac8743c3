# SPDX-License-Identifier: Apache-2.0
"""Intake: nothing delivered is lost, nothing counted twice, nothing half visible."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from bureau import compaction, folios, intake, vault
from bureau import rejects as rejected_rows
from bureau.models import batch as batches
from bureau.models import folio, open_batch, publication, rejected_row
from bureau.records import Row, Unreadable
from consent import consents
from kernel import clock, db, uscc
from kernel.keys import Altered
from tests import factories
from tests.bureau.histories import History, answer, case_filed, electricity, entries, expected_record
from tests.conftest import House
from tests.factories import COUNTER, consent, deliver, new_uscc, registration

in_one_house = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ENTERPRISES = [new_uscc() for _ in range(3)]
SOLE_TRADER = "92320505MA1XY8014" + uscc.check_symbol("92320505MA1XY8014")
REFUSED = {"92": "sole-trader"}
texts = st.text(st.characters(), max_size=8)  # NUL and lone surrogates among them
codes = st.sampled_from([*ENTERPRISES, SOLE_TRADER, "320500000012345", "\0", "\ud800", ""])
values: st.SearchStrategy[Any] = texts | st.none() | st.integers() | st.floats() | st.booleans() | st.lists(texts)
rows: st.SearchStrategy[Row | Unreadable] = st.one_of(
    st.builds(lambda code, name: registration(0, code, name), codes, texts),
    st.builds(lambda code, month, used: electricity(0, code, month, used), codes,
              st.just("2024-01") | texts, values),
    st.builds(lambda code, items: case_filed(0, code)._replace(items=items), codes,
              st.dictionaries(st.sampled_from(["C5.01.01", "C5.01.07", "C5.01.99", "C1.01.01"]), values)),
    st.builds(lambda code, raw: registration(0, code)._replace(raw=raw), codes,
              st.dictionaries(texts, texts)),
    st.builds(lambda code, dataset, day: Row(0, code, dataset, day, {}), codes, texts, st.none() | texts),
    st.builds(Unreadable, st.just(0), st.just("malformed-row"), st.dictionaries(texts, texts, max_size=2)),
)  # fmt: skip


def numbered(delivered: Sequence[Row | Unreadable]) -> list[Row | Unreadable]:
    return [row._replace(number=number) for number, row in enumerate(delivered, 1)]


def rejects(batch: str) -> list[tuple[int, str, dict[str, Any]]]:
    with db.reading() as reading:
        return list(rejected_rows.kept(reading, int(batch)))


def count(table: Any) -> int:
    with db.reading() as reading:
        return reading.scalar(select(func.count()).select_from(table)) or 0


@in_one_house
@given(st.lists(rows, max_size=12), st.sampled_from(["public", "lender"]), st.integers(1, 5))
def test_every_row_is_accepted_or_rejected_whatever_it_holds(
    house: House, delivered: list[Row | Unreadable], basis: str, chunk_rows: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intake, "CHUNK_ROWS", chunk_rows)
        receipt = deliver(numbered(delivered), basis=basis, refused_prefixes=REFUSED)
    assert receipt.accepted + receipt.rejected == receipt.rows == len(delivered)
    kept = rejects(receipt.batch)
    assert len(kept) == receipt.rejected == sum(receipt.reasons.values())
    assert Counter(reason for _, reason, _ in kept) == receipt.reasons
    assert len({number for number, _, _ in kept}) == len(kept)
    told = [orjson.loads(answer(code)) for code in ENTERPRISES]
    ids = [
        record["id"] for one in told for part in one["classes"] for of in part["datasets"] for record in of["records"]
    ]
    assert len(ids) == len(set(ids))
    mine = {int(name.split(".")[1]) for name in ids if name.split(".")[0] == receipt.batch}
    assert mine <= set(range(1, len(delivered) + 1)) - {number for number, _, _ in kept}


def test_rejected_rows_can_be_read_again_in_the_sources_own_words(house: House) -> None:
    odd = {"name": "nul \0", "lone": "\ud800", "scope": "甲\n乙"}
    delivered: list[Any] = [
        Unreadable(1, "malformed-row", {"row": "甲,乙"}),
        registration(2, "320500000012345")._replace(delivered=odd),
        registration(3, "nobody", **{"C1.01.07": 10**40, "C1.01.09": 1.5}),
        registration(4, ENTERPRISES[0]),
    ]
    receipt = deliver(delivered)
    assert (receipt.rows, receipt.accepted, receipt.rejected) == (4, 1, 3)
    first, second, third = rejects(receipt.batch)
    assert first == (1, "malformed-row", {"row": "甲,乙"})
    assert second == (2, "invalid-uscc", odd)
    assert third[2]["items"] == dict(delivered[2].items)
    with db.reading() as reading:
        for row in reading.execute(select(rejected_row)):
            assert row.uscc is None
            assert "甲".encode() not in row.ciphertext
            assert b"nobody" not in row.ciphertext


def test_a_name_that_no_database_can_hold_is_dropped_with_a_warning(house: House) -> None:
    code = new_uscc()
    receipt = deliver([registration(1, code, "演示\0有限公司"), registration(2, code, "演示\ud800")])
    assert (receipt.accepted, receipt.reasons) == (1, {"unencodable-text": 1})
    assert receipt.warnings == {"C1.01.01 not-string": 1}
    document = orjson.loads(answer(code))
    (record,) = document["classes"][0]["datasets"][0]["records"]
    assert (document["name"], record["items"]["C1.01.01"]) == (None, None)
    assert record["raw"]["C1.01.01"] == "演示\0有限公司"


def test_a_reject_moved_to_another_row_does_not_open(house: House) -> None:
    receipt = deliver([registration(1, "nobody"), registration(2, "no one")])
    with db.transaction() as tx:
        tx.execute(rejected_row.update().where(rejected_row.c.row == 2).values(row=3))
    with pytest.raises(Altered):
        rejects(receipt.batch)


def test_the_same_delivery_again_gives_its_first_receipt_and_changes_nothing(house: House) -> None:
    delivered = [registration(1, ENTERPRISES[0]), registration(2, "nobody"), registration(3, ENTERPRISES[0])]
    first = deliver(delivered, digest="d" * 64)
    before = [count(table) for table in (folio, batches, publication, rejected_row)], answer(ENTERPRISES[0])

    again = deliver(delivered, digest="d" * 64)

    assert (first.rows, first.accepted, first.rejected, first.repeated, first.duplicate) == (
        3,
        2,
        1,
        1,
        False,
    )
    assert again == replace(first, duplicate=True)
    assert (
        [count(table) for table in (folio, batches, publication, rejected_row)],
        answer(ENTERPRISES[0]),
    ) == before
    assert len(entries("batch.received")) == 1


def test_the_same_bytes_from_another_feed_are_another_delivery(house: House) -> None:
    first = deliver([registration(1, ENTERPRISES[0])], digest="d" * 64)
    other = deliver([registration(1, ENTERPRISES[0])], digest="d" * 64, feed="other-feed")
    assert (other.duplicate, other.repeated) == (False, 1)
    assert other.batch != first.batch


@pytest.mark.parametrize("chunk_rows", [1, 2, 100])
def test_repeats_are_counted_within_a_batch_across_its_chunks_and_across_batches(
    house: House, monkeypatch: pytest.MonkeyPatch, chunk_rows: int
) -> None:
    monkeypatch.setattr(intake, "CHUNK_ROWS", chunk_rows)
    one, other = new_uscc(), new_uscc()
    delivered = [
        registration(1, one),
        registration(2, other),
        registration(3, one),  # as the first
        registration(4, one, "演示改名有限公司"),
        case_filed(5, one),
        case_filed(6, one),  # as the fifth
        registration(7, one)._replace(raw={"C1.01.07": "两亿"}),  # as the first: raw text is no item
    ]
    assert deliver(delivered).repeated == 3
    assert deliver(delivered).repeated == 7
    assert deliver(delivered, source="S02").repeated == 3
    assert deliver([case_filed(1, one, "演示新案"), electricity(2, one)]).repeated == 0
    for number in (1, 5):
        with db.transaction() as tx:
            assert compaction.compact(tx, one, number)
    assert deliver(delivered).repeated == 7


def test_a_batch_is_on_the_trail_with_its_source_its_digest_and_its_counts(house: House) -> None:
    receipt = deliver([registration(1, ENTERPRISES[0]), registration(2, "nobody")], digest="e" * 64, source="S02")
    (entry,) = entries("batch.received")
    assert (entry["actor"], entry["publication"]) == ("source:S02", 1)
    assert len(entry["detail"].pop("records")) == 64
    assert entry["detail"] == {
        "batch": receipt.batch, "feed": "test-feed", "rows": 2, "accepted": 1, "rejected": 1, "repeated": 0,
        "amended": 0, "reasons": {"invalid-uscc": 1}, "warnings": {}, "source": "S02", "digest": "e" * 64,
        "basis": "public",
    }  # fmt: skip


@pytest.mark.parametrize("basis", ["consent", "lender"])
def test_rows_that_hang_on_consent_need_one_to_collection_in_force(house: House, basis: str) -> None:
    bare, given_, ended, asked_only = (new_uscc() for _ in range(4))
    consent(given_, scope="collect")
    consent(asked_only)  # a query consent is none to collection
    collect = consent(ended, scope="collect")
    with db.transaction() as tx:
        consents.revoke(tx, collect, COUNTER)
    everyone = [registration(number, code) for number, code in enumerate((bare, given_, ended, asked_only), 1)]
    receipt = deliver(everyone, basis=basis)
    assert (receipt.accepted, receipt.reasons) == (1, {"no-collection-consent": 3})
    assert [(number, delivered) for number, _, delivered in rejects(receipt.batch)] == [(1, {}), (3, {}), (4, {})]
    assert deliver(everyone, basis="department").accepted == 4


def test_consent_to_the_collection_of_some_classes_lets_in_those_and_no_others(house: House) -> None:
    code = new_uscc()
    consent(code, scope="collect", classes=(1, 5))
    receipt = deliver([registration(1, code), electricity(2, code), case_filed(3, code)], basis="lender")
    assert (receipt.accepted, receipt.reasons) == (2, {"no-collection-consent": 1})
    assert [part["class"] for part in orjson.loads(answer(code))["classes"]] == [1, 5]


@pytest.mark.parametrize("chunk_rows", [1, 4, 7, 100])
def test_what_one_chunk_brings_of_one_enterprise_is_cut_into_folios(
    house: House, monkeypatch: pytest.MonkeyPatch, chunk_rows: int
) -> None:
    monkeypatch.setattr(intake, "CHUNK_ROWS", chunk_rows)
    monkeypatch.setattr(folios, "MAX_FOLIO_RECORDS", 3)
    history, other = History(new_uscc()), History(new_uscc())
    rows = [case_filed(n, history.uscc, f"演示{n % 17}号") for n in range(1, 21)]
    rows += [electricity(21, history.uscc), case_filed(22, history.uscc, "演示1号")]
    receipt = history.deliver(rows)
    other.deliver([case_filed(1, other.uscc)])
    assert receipt.repeated == 4  # 18, 19 and 20 as 1, 2 and 3, and 22 as 1
    with db.reading() as reading:
        counts = reading.execute(select(folio.c.part, folio.c.record_count).where(folio.c.uscc == history.uscc)).all()
    assert sum(count for _, count in counts) == 22
    assert max(count for _, count in counts) == min(3, chunk_rows)
    assert orjson.loads(answer(history.uscc))["classes"] == history.classes_at(vault.LATEST)


def test_a_broken_delivery_stays_open_and_invisible_and_is_resumed_to_what_it_would_have_been(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "CHUNK_ROWS", 2)
    codes_ = [new_uscc() for _ in range(3)]
    delivered: list[Row] = [case_filed(n, codes_[n % 3], f"演示{n // 2}号") for n in range(1, 10)]
    delivered[4:4] = [registration(10, "nobody"), registration(11, codes_[0])]
    told: list[int] = []

    def breaking(after: int) -> Iterator[Row]:
        yield from delivered[:after]
        raise OSError("the line went dead")

    for after in (1, 5, 5, 8):
        with pytest.raises(OSError, match="went dead"):
            intake.receive(factories.batch(breaking(after), digest="f" * 64), told.append)
        assert [orjson.loads(answer(code))["classes"] for code in codes_] == [[], [], []]
        assert [orjson.loads(answer(code))["name"] for code in codes_] == [None] * 3
        assert (count(publication), count(open_batch), len(entries("batch.received"))) == (1, 1, 0)
    receipt = deliver(delivered, digest="f" * 64)

    assert told == [2, 4, 6, 8]
    assert (receipt.rows, receipt.accepted, receipt.rejected, receipt.repeated) == (11, 10, 1, 0)
    assert receipt.duplicate is False
    assert (count(open_batch), len(entries("batch.received"))) == (0, 1)
    with db.reading() as reading:
        held: Any = reading.execute(select(batches)).one()
    for code in codes_:
        records = [
            expected_record(row, held.id, clock.rfc3339(held.received_at), "S01")
            for row in sorted(delivered, key=lambda row: row.dataset)
            if row.uscc == code
        ]
        shown = orjson.loads(answer(code))["classes"]
        assert [record for part in shown for of in part["datasets"] for record in of["records"]] == records


def test_the_folios_of_an_open_batch_are_no_one_elses_business(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not in a dossier, not merged, and do not hold up later batches."""
    monkeypatch.setattr(intake, "CHUNK_ROWS", 1)
    history = History(new_uscc())

    def breaking() -> Iterator[Row]:
        for number in range(1, 12):
            yield electricity(number, history.uscc, f"2023-{number:02}")
        raise OSError("the line went dead")

    with pytest.raises(OSError, match="went dead"):
        intake.receive(factories.batch(breaking()))
    history.deliver([electricity(1, history.uscc, "2024-01")])
    assert orjson.loads(answer(history.uscc))["classes"] == history.classes_at(vault.LATEST)
    assert compaction.sweep() == 0
    assert count(folio) == 12


def test_an_empty_delivery_is_a_delivery(house: House) -> None:
    receipt = deliver([])
    assert (receipt.rows, receipt.reasons, len(entries("batch.received"))) == (0, {}, 1)


def test_a_receipt_is_one_json_document(house: House) -> None:
    receipt = deliver([registration(1, ENTERPRISES[0], **{"C1.01.07": "两亿"})])
    assert receipt.warnings == {"C1.01.07 not-money": 1}
    assert json.loads(receipt.dumps())["warnings"] == receipt.warnings
