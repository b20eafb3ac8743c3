# SPDX-License-Identifier: Apache-2.0
"""Deliveries pushed over HTTP: received as files are, once, whole or not at all, and only of one's own feeds."""

import base64
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from access import client_lists, clients, sources, tokens
from bureau import intake
from bureau.models import batch, open_batch
from connectors import feeds, pushes, spool
from kernel import db
from tests.bureau.histories import entries
from tests.conftest import House, made
from tests.connectors.test_formats import rows_by_table
from tests.factories import new_uscc

REGISTER = "market-regulation-register"
NAME, CODE = "企业名称", "统一社会信用代码"


def lines(*rows: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def firm(**changed: Any) -> dict[str, Any]:
    return {NAME: "演示公司", CODE: new_uscc(), "注册资金": "200(万)", "注册日期": "2019-05-06", **changed}


def bearer(source: str = "S01") -> dict[str, str]:
    with db.transaction() as tx:
        client_id, _ = clients.add(tx, source, ("batch:write",), is_source=True)
        secret, _ = tokens.issue(tx, frozenset({"batch:write"}), tokens.CLIENT_TOKEN_LIFE, client_id=client_id)
    return {"Authorization": f"Bearer {secret}"}


def push(client: FlaskClient, body: bytes, feed: str = REGISTER, **headers: str) -> Any:
    told = {"Content-Type": "application/x-ndjson", **{name.replace("_", "-"): told for name, told in headers.items()}}
    return client.post("/v1/batches", query_string={"feed": feed}, data=body, headers=told)


def test_a_push_is_received_and_its_receipt_names_each_rejected_row(house: House, client: FlaskClient) -> None:
    mine = bearer()
    body = lines(firm(), firm(**{CODE: "nobody"}), firm(**{NAME: None}), firm(unheard="of"), firm(注册日期="gestern"))
    taken = push(client, body, **mine)
    assert (taken.status_code, taken.json) == (202, {"batch": taken.json["batch"]})
    assert taken.headers["Location"] == f"/v1/batches/{taken.json['batch']}"

    receipt = client.get(taken.headers["Location"], headers=mine)
    assert receipt.status_code == 200
    assert receipt.json == {
        "batch": taken.json["batch"],
        "feed": REGISTER,
        "status": "received",
        "rows": 5,
        "accepted": 2,
        "rejected": 3,
        "repeated": 0,
        "amended": 0,
        "duplicate": False,
        "reasons": {"invalid-uscc": 1, "malformed-row": 1, "missing-C1.01.01": 1},
        "warnings": {"C1.01.07 assumed-currency": 2, "C1.01.10 unreadable-date": 1},
        "rejects": [
            {"row": 2, "reason": "invalid-uscc"},
            {"row": 3, "reason": "missing-C1.01.01"},
            {"row": 4, "reason": "malformed-row"},
        ],
        "next_cursor": None,
    }
    (entry,) = entries("batch.received")
    assert (entry["channel"], entry["actor"], entry["detail"]["digest"]) == (
        "api",
        "source:S01",
        hashlib.sha256(body).hexdigest(),
    )
    with db.reading() as reading:
        assert entry["client"] in {one["client_id"] for one in client_lists.listed(reading, "S01")}


def test_the_rejected_rows_come_page_by_page(house: House, client: FlaskClient) -> None:
    mine = bearer()
    place = push(client, lines(*(firm(**{CODE: "x"}) for _ in range(5))), **mine).headers["Location"]
    rows, cursor = [], None
    for _ in range(3):
        page = client.get(place, query_string={"limit": 2} | ({"cursor": cursor} if cursor else {}), headers=mine).json
        rows += [one["row"] for one in page["rejects"]]
        cursor = page["next_cursor"]
    assert (rows, cursor) == ([1, 2, 3, 4, 5], None)


def test_the_same_body_again_is_the_same_delivery(house: House, client: FlaskClient) -> None:
    mine, body = bearer(), lines(firm(), firm())
    first, again = push(client, body, **mine), push(client, body, **mine)
    assert first.json == again.json
    assert again.status_code == 202
    assert len(entries("batch.received")) == 1


def test_the_same_bytes_through_another_door_are_the_same_delivery(
    house: House, client: FlaskClient, tmp_path: Path
) -> None:
    body = lines(firm())
    pushed = push(client, body, **bearer()).json["batch"]
    (tmp_path / "same.jsonl").write_bytes(body)
    by_file = intake.receive(feeds.pull(feeds.as_jsonl(feeds.load(REGISTER)), tmp_path / "same.jsonl"))
    assert (by_file.batch, by_file.duplicate) == (pushed, True)


def test_a_push_may_be_packed_and_may_carry_its_digest(house: House, client: FlaskClient) -> None:
    body = gzip.compress(lines(firm(), firm()))
    digest = f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
    taken = push(client, body, **bearer(), Content_Encoding="gzip", Content_Digest=digest)
    assert taken.status_code == 202
    with db.reading() as reading:
        assert reading.scalar(select(batch.c.digest)) == hashlib.sha256(body).hexdigest()


ROW = lines({NAME: "演示公司", CODE: "91320500MA1XY8014D"})
BROKEN = {
    "cut gzip": (gzip.compress(ROW * 3)[:-9], 422, "row 4: the gzip file is cut off or damaged; deliver it again"),
    "another encoding": (ROW + "演示".encode("gb18030"), 422, "row 2: not utf-8; save the file in utf-8"),
    "binary": (ROW + b"\0\n", 422, "row 2: binary, not text; deliver jsonl in utf-8"),
    "an endless line": (ROW + b"x" * 600_000, 413, "row 2: more than 500,000 bytes; look for a lost quote"),
    "a bomb": (gzip.compress((b" " * 499_990 + b"\n") * 20), 413, "bytes of text; split the file"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_body_that_cannot_be_trusted_is_refused_with_row_and_remedy_and_leaves_nothing(
    house: House, client: FlaskClient, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spooled = made(tmp_path / "spool")
    monkeypatch.setattr(spool, "_folder", spooled)
    content, status, told = BROKEN[kind]
    mine = bearer()
    before = rows_by_table()
    refused = push(client, content, **mine)
    assert (refused.status_code, refused.content_type) == (status, "application/problem+json")
    assert refused.json["detail"].startswith(f"{REGISTER}.jsonl, ")
    assert told in refused.json["detail"]
    assert rows_by_table() == before
    assert list(spooled.iterdir()) == []


def test_what_is_not_what_its_headers_say_is_refused(house: House, client: FlaskClient) -> None:
    mine = bearer()
    wrong = f"sha-256=:{base64.b64encode(bytes(32)).decode()}:"
    for headers, status, told in (
        ({"Content_Encoding": "gzip"}, 400, "not gzip"),
        ({"Content_Encoding": "br"}, 415, "plain or with gzip"),
        ({"Content_Type": "text/csv"}, 415, "application/x-ndjson"),
        ({"Content_Digest": wrong}, 400, "Content-Digest"),
    ):
        refused = push(client, ROW, **{**mine, **headers})
        assert (refused.status_code, told in refused.json["detail"]) == (status, True), refused.json
    assert entries("batch.received") == []


def test_a_body_above_the_limit_is_refused_whether_it_says_its_length_or_not(
    house: House, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushes, "MOST_BYTES", 500)
    refused = push(client, ROW * 20, **bearer())
    assert (refused.status_code, refused.json["detail"]) == (
        413,
        f"{REGISTER}.jsonl: more than 500 bytes; deliver it in smaller parts",
    )


def test_a_source_reaches_neither_feeds_nor_batches_of_another(house: House, client: FlaskClient) -> None:
    place = push(client, lines(firm()), **bearer()).headers["Location"]
    other = bearer("S04")
    refused = push(client, lines(firm()), **other)
    assert (refused.status_code, refused.json["title"]) == (403, "feed of another source")
    assert client.get(place, headers=other).status_code == 404
    for name in ("unheard-of", "../feeds/market-regulation-register", "/etc/x.toml"):
        assert push(client, ROW, name, **other).status_code == 404
    for number in ("0", "999999999999999999", "-1", "1.5", "٣"):
        assert client.get(f"/v1/batches/{number}", headers=other).status_code == 404


def test_a_suspended_source_delivers_nothing_more(house: House, client: FlaskClient) -> None:
    mine = bearer()
    with db.transaction() as tx:
        sources.add(tx, "S01")
        sources.act(tx, "S01", "suspend", reason="演练")
    refused = push(client, lines(firm()), **mine)
    assert (refused.status_code, refused.json["title"]) == (403, "source not approved")
    with db.reading() as reading:
        assert reading.execute(select(batch)).all() == []


def test_a_batch_that_is_still_coming_in_tells_how_far_it_is(
    house: House, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, shown = bearer(), []
    monkeypatch.setattr(intake, "CHUNK_ROWS", 2)
    real = intake._close

    def look_first(tx: Any, batch_: Any, opened: Any) -> Any:
        shown.append(client.get(f"/v1/batches/{opened.batch}", headers=mine).json)
        return real(tx, batch_, opened)

    monkeypatch.setattr(intake, "_close", look_first)
    if house.engine == "postgresql":
        push(client, lines(firm(), firm(), firm()), **mine)
        assert (shown[0]["status"], shown[0]["rows"]) == ("receiving", 3)
        with db.reading() as reading:
            assert reading.execute(select(open_batch)).all() == []


def test_more_bodies_at_once_than_the_limit_are_told_to_come_again(
    house: House, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(pushes.MOST_AT_ONCE):
        assert pushes._coming.acquire(blocking=False)
    try:
        refused = push(client, lines(firm()), **bearer())
    finally:
        for _ in range(pushes.MOST_AT_ONCE):
            pushes._coming.release()
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
    assert push(client, lines(firm()), **bearer()).status_code == 202
