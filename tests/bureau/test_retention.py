# SPDX-License-Identifier: Apache-2.0
"""Negative information runs its time: of enterprises it is hidden then, of persons removed; and nothing else is."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from app import worker
from bureau import amendments, catalogue, compaction, holdings, publications, removal, retention, vault
from bureau.folios import Correction
from bureau.models import folio
from bureau.records import Row
from bureau.retention import Cutoff
from kernel import clock, db
from kernel.errors import SettingError
from tests.bureau.histories import answer, case_filed, electricity, entries
from tests.conftest import House
from tests.factories import ask, bank, consent, deliver, new_uscc, token

TODAY = clock.legal_day(clock.now())


def years_ago(years: int, days: int = 0) -> str:
    return str(date.fromordinal(retention._years_before(TODAY, years)) - timedelta(days=days))


def penalty(number: int, code: str, end: str | None, case: str = "演示罚字1号") -> Row:
    """An enterprise's own: hidden when over."""
    items = {"C4.10.01": case, "C4.10.05": 500_000, "C4.10.07": "2010-01-05", "C4.10.09": end}
    return Row(number, code, "C4.10", "2010-01-05", items)


def restricted(number: int, code: str, end: str | None, case: str = "演示执1号") -> Row:
    """It names a person: removed when over."""
    items = {"C5.06.01": case, "C5.06.02": "演示·某甲", "C5.06.04": "2012-02-03", "C5.06.05": end}
    return Row(number, code, "C5.06", "2012-02-03", items)


def shown(code: str, as_of: int = 2**31 - 1) -> list[str]:
    told = orjson.loads(answer(code, as_of=as_of))["classes"]
    return [record["id"] for part in told for dataset in part["datasets"] for record in dataset["records"]]


def faults() -> list[str]:
    with db.reading() as reading:
        return [fault.fault for fault in holdings.faults(reading)]


def held(code: str, number: int) -> list[dict[str, Any]]:
    """All records in the folios, whatever answers show."""
    with db.reading() as reading:
        regions = vault.open_dossier(reading, code, [number]).regions.get(number, [])
        return [orjson.loads(entry.body) for region in regions for entry in region.entries()]


@pytest.mark.parametrize(("end", "stands"), [(years_ago(5), True), (years_ago(5, 1), False), (None, True)])
def test_a_penalty_is_hidden_once_five_years_are_over_and_kept_for_audit(
    house: House, end: str | None, stands: bool
) -> None:
    code = new_uscc()
    row = penalty(1, code, end)._replace(items={**penalty(1, code, end).items, "C4.10.07": end})
    deliver([row, electricity(2, code)])
    assert [record[-5:] for record in shown(code)] == ["C2.01", *(["C4.10"] if stands else [])]
    assert removal.sweep() == 0
    assert len(held(code, 4)) == 1
    assert faults() == []


def test_what_is_no_negative_information_never_runs_its_time(house: House) -> None:
    code = new_uscc()
    old = electricity(1, code, "1999-01")
    deliver([old, case_filed(2, code)._replace(event_date="1999-01-01")])
    assert len(shown(code)) == 2
    in_arrears = electricity(3, code, "1999-02", **{"C2.01.07": 100})
    deliver([in_arrears])
    assert len(shown(code)) == 2
    with db.reading() as reading:
        assert set(reading.scalars(select(folio.c.ended))) == {None}


def test_the_clock_is_that_of_the_answers_publication(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    code, now = new_uscc(), clock.now()
    with monkeypatch.context() as patch:
        patch.setattr(clock, "now", lambda: now - timedelta(days=9))
        deliver([penalty(1, code, years_ago(5, 1))])
    at_first = answer(code)
    assert len(shown(code)) == 1
    deliver([electricity(1, new_uscc())])  # whoever's it is, the clock has moved on
    assert shown(code) == []
    assert answer(code, as_of=1) == at_first


def test_the_worker_turns_the_day_and_removes_once_on_it(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    code, now = new_uscc(), clock.now()
    with monkeypatch.context() as patch:
        patch.setattr(clock, "now", lambda: now - timedelta(days=9))
        deliver([penalty(1, code, years_ago(5, 1)), restricted(2, code, years_ago(6))])
    assert len(shown(code)) == 1
    assert worker.retain_once() == TODAY
    assert (shown(code), held(code, 5), len(held(code, 4))) == ([], [], 1)
    with db.reading() as reading:
        newest = publications.latest(reading)
    assert worker.retain_once(TODAY) == worker.retain_once() == TODAY
    with db.reading() as reading:
        assert publications.latest(reading) == newest


def test_a_record_of_a_person_is_removed_with_its_entry_and_verify_is_content(house: House) -> None:
    code = new_uscc()
    first = deliver([restricted(1, code, years_ago(5, 1)), restricted(2, code, None, "演示执2号"), case_filed(3, code)])
    assert len(shown(code)) == 2
    assert len(held(code, 5)) == 3
    assert removal.sweep() == 1
    assert [record["id"] for record in held(code, 5)] == [f"{first.batch}.3.C5.01", f"{first.batch}.2.C5.06"]
    (told,) = entries("records.removed")
    assert (told["uscc"], told["classes"], told["rule"]) == (code, [5], "征信业管理条例 Art. 16")
    assert (told["detail"]["records"], told["detail"]["datasets"]) == (1, {"C5.06": 1})
    assert faults() == []
    assert removal.sweep() == 0


def test_an_answer_that_told_of_it_is_gone_and_others_are_not(house: House, client: FlaskClient) -> None:
    code, other, asking = new_uscc(), new_uscc(), bank()
    deliver([restricted(1, code, str(TODAY)), restricted(2, other, str(TODAY))])
    bearer = token(asking)
    for one in (code, other):
        consent(one, asking)
    answered = [ask(client, bearer, one).json["query_id"] for one in (code, other)]
    with db.transaction() as tx:
        cutoff = retention.current().cutoff(TODAY + timedelta(days=3_000))
        assert removal.remove(tx, code, 5, cutoff) == 1
    headers = {"Authorization": f"Bearer {bearer}"}
    replayed = [client.get(f"/v1/credit-queries/{query}", headers=headers) for query in answered]
    assert [response.status_code for response in replayed] == [410, 200]


def test_a_version_that_was_replaced_does_not_stand_again(house: House) -> None:
    code = new_uscc()
    deliver([restricted(1, code, None)])
    deliver([restricted(1, code, years_ago(6))])
    assert shown(code) == []
    assert removal.sweep() == 2
    assert (shown(code), held(code, 5), faults()) == ([], [], [])


def test_a_version_that_says_it_has_not_ended_keeps_those_before(house: House) -> None:
    code = new_uscc()
    deliver([restricted(1, code, years_ago(6))])
    deliver([restricted(1, code, None)])
    assert removal.sweep() == 0
    assert (len(shown(code)), len(held(code, 5))) == (1, 2)


def test_a_correction_of_the_end_counts_and_goes_with_its_record(house: House) -> None:
    code = new_uscc()
    receipt = deliver([restricted(1, code, years_ago(6)), restricted(2, code, None, "演示执2号")])
    kept, gone = f"{receipt.batch}.1.C5.06", f"{receipt.batch}.2.C5.06"
    with db.transaction() as tx:
        amendments.amend(tx, code, kept, Correction("correction", {"C5.06.05": None}), "not lifted")
        amendments.amend(tx, code, gone, Correction("correction", {"C5.06.05": years_ago(6)}), "lifted long ago")
    assert shown(code) == [kept]
    with db.transaction() as tx:
        assert removal.remove(tx, code, 5, retention.current().cutoff(TODAY)) == 1
    assert [record["id"] for record in held(code, 5)] == [kept]
    assert faults() == []


def test_removal_goes_through_merged_folios_and_leaves_the_others_marks(house: House) -> None:
    code = new_uscc()
    for month in range(1, 10):
        deliver([restricted(1, code, years_ago(6) if month % 2 else None, f"演示执{month}号")])
    with db.transaction() as tx:
        assert compaction.compact(tx, code, 5)
    deliver([restricted(1, code, years_ago(6), "演示执10号")])
    assert removal.sweep() == 6
    assert (len(held(code, 5)), faults()) == (4, [])
    assert (
        deliver([restricted(1, code, None, "演示执2号"), restricted(2, code, years_ago(6), "演示执1号")]).repeated == 1
    )


def test_a_folio_of_an_earlier_version_is_looked_at_once(house: House) -> None:
    code = new_uscc()
    deliver([restricted(1, code, years_ago(6)), penalty(2, code, years_ago(6))])
    with db.transaction() as tx:
        opened = vault.held_keys(tx, [code])[code]
        for row in tx.execute(select(folio)).all():
            number = getattr(row, "class")
            packed = as_packed_before(vault.decrypt_folio(opened, code, number, row))
            ciphertext = vault.encrypt_folio(opened[row.key_version], code, number, row.batch, row.part, packed)
            tx.execute(update(folio).where(folio.c["class"] == number).values(ciphertext=ciphertext, ended=0))
    assert shown(code) == []
    assert removal.sweep() == 1
    with db.reading() as reading:
        assert set(reading.scalars(select(folio.c.ended))) == {None}
    assert faults() == []


def test_an_interrupted_sweep_goes_on_with_what_is_left(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = sorted(new_uscc() for _ in range(3))
    deliver([restricted(number, code, years_ago(6)) for number, code in enumerate(codes, 1)])
    monkeypatch.setattr(removal, "CLASSES_A_COMMIT", 1)
    with pytest.raises(ZeroDivisionError):
        removal.sweep(tell=lambda removed: 1 / 0)  # type: ignore[arg-type,return-value]
    assert [len(held(code, 5)) for code in codes] == [0, 1, 1]
    assert faults() == []
    assert removal.sweep() == 2


def test_an_end_hidden_from_retention_is_found(house: House) -> None:
    code = new_uscc()
    deliver([restricted(1, code, "2030-01-01")])
    with db.transaction() as tx:
        tx.execute(update(folio).values(ended=None))
    assert faults() == ["edited: its column ended hides from retention what it holds"]


@given(st.dates(date(1970, 1, 1), date(2200, 1, 1)), st.integers(1, 30))
def test_a_record_stands_through_the_day_on_which_its_years_are_over(end: date, years: int) -> None:
    rules = retention.Rules(years, years, {})
    cutoff_of = lambda day: rules.cutoff(day).is_over(end.toordinal())  # noqa: E731
    last = (
        end.replace(year=end.year + years, day=min(end.day, 28)) if end.day > 28 else end.replace(year=end.year + years)
    )
    assert not cutoff_of(last)
    assert cutoff_of(last + timedelta(days=4))
    assert Cutoff(0, 0).is_over(end.toordinal()) is False


def test_the_shipped_rules_name_datasets_with_negative_items() -> None:
    rules = retention.load(retention.SHIPPED)
    assert (rules.personal_years, rules.enterprise_years) == (5, 5)
    negative = {item.dataset for item in catalogue.current().items.values() if item.negative}
    assert negative.issuperset(rules.ends)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[personal]\nyears = 0\n[enterprise]\nyears = 5\n[ends]\n", "whole numbers"),
        ("[enterprise]\nyears = 5\n[ends]\n", "personal is missing"),
        ('[personal]\nyears=5\n[enterprise]\nyears=5\n[ends]\n"C1.01"=["event_date"]\n', "no dataset with negative"),
        ('[personal]\nyears=5\n[enterprise]\nyears=5\n[ends]\n"C4.10"=["C4.10.01"]\n', "expected some of"),
        ("[personal]\nyears=5\n[enterprise]\nyears=5\n[ends]\n[more]\n", "no such key"),
        ("years", "="),
    ],
)
def test_rules_that_do_not_hold_stop_the_start(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "retention.toml"
    file.write_text(text)
    with pytest.raises(SettingError, match=says):
        retention.load(file)


def as_packed_before(packed: bytes) -> bytes:
    """A folio as it was packed before folios told ends."""
    plain = zstandard.decompress(packed)
    size = int.from_bytes(plain[:4], "little")
    head = orjson.dumps([region[:4] for region in orjson.loads(plain[4 : 4 + size])])
    return zstandard.compress(len(head).to_bytes(4, "little") + head + plain[4 + size :])
