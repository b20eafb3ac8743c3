# SPDX-License-Identifier: Apache-2.0
"""What was rejected is repaired and comes in after all: once, whichever way and however often it is sent."""

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from access import clients, tokens
from bureau import directory, holdings, intake, quality, rejects
from bureau.models import rejected_row
from bureau.open_batches import Receipt
from connectors import feeds, repairs
from kernel import clock, db
from kernel.errors import Invalid, NotFound
from tests.bureau.histories import answer, entries
from tests.conftest import House
from tests.factories import new_uscc

REGISTER = "market-regulation-register"
HEADER = "企业名称,统一社会信用代码,注册日期,企业类型,注册资金,经营范围,所在省份,地区\n"
MONTH = clock.legal_day(clock.now()).isoformat()[:7]


def line(code: str, name: str = "演示甲有限公司", day: str = "2019-05-06") -> str:
    return f"{name},{code},{day},有限责任公司,200(万),演示,江苏,苏州\n"


def collect(folder: Path, *lines: str) -> Receipt:
    file = folder / "register.csv"
    file.write_text(HEADER + "".join(lines), encoding="utf-8")
    return intake.receive(feeds.pull(feeds.load(REGISTER), file))


def kept(batch: str) -> list[dict[str, Any]]:
    with db.reading() as reading:
        return [{"row": row, "delivered": told} for row, _, told in rejects.kept(reading, int(batch))]


def repaired(rows: list[dict[str, Any]], *codes: str) -> list[dict[str, Any]]:
    return [
        {**row, "delivered": {**row["delivered"], "统一社会信用代码": code}}
        for row, code in zip(rows, codes, strict=True)
    ]


def lines(batch: str) -> list[tuple[int, str, str | None]]:
    with db.reading() as reading:
        return [tuple(one) for one in rejects.lines(reading, int(batch))]


def test_a_repaired_row_comes_in_under_its_number_and_counts_once(house: House, tmp_path: Path) -> None:
    good, wrong, still = new_uscc(), new_uscc(), new_uscc()
    first = collect(tmp_path, line(good), line("nobody"), line("no one"))
    assert (first.rows, first.accepted, first.rejected) == (3, 1, 2)
    rows = repaired(kept(first.batch), wrong, "nobody")
    second = repairs.resubmit(first.batch, rows)
    assert (second.rows, second.accepted, second.reasons) == (2, 1, {"invalid-uscc": 1})
    assert f'"id":"{second.batch}.2.C1.01"'.encode() in answer(wrong)
    assert lines(first.batch) == [(2, "invalid-uscc", second.batch), (3, "invalid-uscc", None)]
    assert repairs.resubmit(first.batch, rows) == Receipt(**{**_asdict(second), "duplicate": True})
    third = repairs.resubmit(first.batch, repaired(kept(first.batch), new_uscc(), still))
    assert (third.accepted, third.reasons) == (1, {"already-repaired": 1})
    assert repairs.resubmit(second.batch, repaired(kept(second.batch), new_uscc())).accepted == 1
    with db.reading() as reading:
        assert list(holdings.faults(reading)) == []
        assert set(directory.current(reading, [good, wrong, still])) == {good, wrong, still}
        (told,) = quality.of_month(reading, MONTH)
    assert (told.batches, told.rejected, told.repaired) == (4, 4, 3)
    assert [entry["detail"].get("repairs") for entry in entries("batch.received")] == [
        None, first.batch, first.batch, second.batch,
    ]  # fmt: skip


def test_a_row_that_was_not_rejected_cannot_be_repaired(house: House, tmp_path: Path) -> None:
    first = collect(tmp_path, line(new_uscc()), line("nobody"))
    (row,) = repaired(kept(first.batch), new_uscc())
    receipt = repairs.resubmit(first.batch, [{**row, "row": 1}, {**row, "row": 9}])
    assert (receipt.accepted, receipt.reasons) == (0, {"not-rejected-before": 2})


def test_a_repair_that_was_cut_off_is_resumed_and_counts_only_once_it_is_whole(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = collect(tmp_path, line("nobody"), line("no one"))
    rows = repaired(kept(first.batch), new_uscc(), new_uscc())
    with monkeypatch.context() as patch:
        patch.setattr(intake, "_close", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            repairs.resubmit(first.batch, rows)
    with db.reading() as reading:
        assert None not in set(reading.scalars(select(rejected_row.c.repaired_by)))
    assert [one[2] for one in lines(first.batch)] == [None, None]
    done = repairs.resubmit(first.batch, rows)
    assert (done.accepted, done.rejected) == (2, 0)
    assert [one[2] for one in lines(first.batch)] == [done.batch] * 2


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "no row"),
        (["x"], "expected"),
        ([{"row": 0, "delivered": {}}], "expected"),
        ([{"row": 1, "delivered": {"别的": "x"}}], "columns"),
        ([{"row": 1, "delivered": {"企业名称": 1}}], "columns"),
        ([{"row": 1, "delivered": {}}, {"row": 1, "delivered": {}}], "twice"),
    ],
)
def test_rows_that_are_no_repaired_rows_are_refused(house: House, tmp_path: Path, rows: list[Any], says: str) -> None:
    first = collect(tmp_path, line("nobody"))
    with pytest.raises(Invalid, match=says):
        repairs.resubmit(first.batch, rows)


def test_a_batch_of_another_source_is_none(house: House, tmp_path: Path) -> None:
    first = collect(tmp_path, line("nobody"))
    for batch, source in ((first.batch, "S02"), ("9999", "S01"), ("x", None), ("99999999999", None)):
        with pytest.raises(NotFound):
            repairs.resubmit(batch, kept(first.batch), source)


def test_a_source_repairs_its_own_over_http_and_reads_its_quality(
    house: House, client: FlaskClient, tmp_path: Path
) -> None:
    first = collect(tmp_path, line("nobody"), line(new_uscc(), day="someday"))
    headers = {code: {"Authorization": f"Bearer {token_of(code)}"} for code in ("S01", "S02")}
    body = {"rows": repaired(kept(first.batch), new_uscc())}
    assert client.post(f"/v1/batches/{first.batch}/repairs", json=body, headers=headers["S02"]).status_code == 404
    answered = client.post(f"/v1/batches/{first.batch}/repairs", json=body, headers=headers["S01"])
    assert (answered.status_code, answered.json["accepted"]) == (201, 1)
    own = {code: client.get(f"/v1/source-quality/own?month={MONTH}", headers=headers[code]) for code in headers}
    assert own["S02"].json == {"sources": []}
    (told,) = own["S01"].json["sources"]
    assert (told["rows"], told["accepted"], told["repaired"], told["accepted_percent"]) == (3, 2, 1, "66.6")
    assert told["warnings"] == {"C1.01.07 assumed-currency": 2, "C1.01.10 unreadable-date": 1}
    assert told["lag_days"] > 2_000
    assert client.get("/v1/source-quality/own?month=2026-13", headers=headers["S01"]).status_code == 422


def token_of(source: str) -> str:
    with db.transaction() as tx:
        client_id, _ = clients.add(tx, source, ("batch:write",), is_source=True)
        return tokens.issue(tx, frozenset({"batch:write"}), tokens.CLIENT_TOKEN_LIFE, client_id=client_id)[0]


def _asdict(receipt: Receipt) -> dict[str, Any]:
    return {name: getattr(receipt, name) for name in receipt.__slots__}
