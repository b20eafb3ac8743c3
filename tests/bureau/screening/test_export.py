# SPDX-License-Identifier: Apache-2.0
"""An export: the first rows of a screening as CSV, under the same consents, each enterprise on the trail."""

import base64
import csv
import hashlib
import io
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from access import limits
from audit import trail
from audit.models import entry, shown
from bureau import disclosure_many
from consent import consents
from kernel import db
from tests.bureau.screening.screened import EVERYONE, City
from tests.conftest import House
from tests.factories import COUNTER, consent, deliver, registration

EXPORTS = "/v1/screenings/exports"


def lines(response: Any) -> list[list[str]]:
    assert (response.status_code, response.content_type) == (200, "text/csv; charset=utf-8"), response.data
    return list(csv.reader(io.StringIO(response.data.decode("utf-8-sig"))))


def test_an_export_holds_who_consents_and_no_formula(house: House, client: FlaskClient) -> None:
    city = City(client, 4)
    for uscc in city.usccs[:3]:
        consent(uscc, city.bank, classes=(1,))
    items = {"C1.01.10": "2020-05-06", "C1.01.14": "=1+1"}
    deliver([registration(1, city.usccs[1], name="@SUM(A1)", **items)])
    city.index()
    where = {"all": [{"indicator": "BASIC.AGE_YEARS", "gte": 3}, {"indicator": "REGION.AUTHORITY", "missing": False}]}
    sort = [{"indicator": "TAX.GRADE"}]
    head, *rows = lines(city.screen(path=EXPORTS, where=where, sort=sort))
    assert head == [
        "USCC",
        "企业名称",
        "成立年限 BASIC.AGE_YEARS",
        "登记机关 REGION.AUTHORITY",
        "纳税信用级别 TAX.GRADE",
    ]
    assert [row[0] for row in rows] == [city.usccs[1]]
    assert (rows[0][1], rows[0][3], rows[0][4]) == ("'@SUM(A1)", "'=1+1", "")
    assert float(rows[0][2]) > 3
    assert [row[0] for row in lines(city.screen(path=EXPORTS, where=EVERYONE, limit=2))[1:]] == city.usccs[:2]


def test_what_was_shown_can_be_proved_by_the_entry_that_a_page_and_a_file_name(
    house: House, client: FlaskClient
) -> None:
    city = City(client, 2)
    for uscc in city.usccs:
        consent(uscc, city.bank)
    city.index()
    page, file = city.screen(where=EVERYONE), city.screen(path=EXPORTS, where=EVERYONE)
    with db.reading() as reading:
        for answer, entry_id in ((page, page.json["entry_id"]), (file, file.headers["X-Entry-Id"])):
            digest = hashlib.sha256(answer.data).digest()
            assert answer.headers["Content-Digest"] == f"sha-256=:{base64.b64encode(digest).decode()}:"
            found = trail.find(reading, entry_id)
            assert found is not None
            assert found["answer_digest"] == digest.hex()


def test_a_long_export_is_as_many_entries_as_it_has_pages(
    house: House, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disclosure_many, "AN_ENTRY", 2)
    city = City(client, 5)
    held = [consent(uscc, city.bank) for uscc in city.usccs]
    city.index()
    answer = city.screen("once", path=EXPORTS, where=EVERYONE)
    with db.reading() as reading:
        on_trail = select(entry.c.id).where(entry.c.type == "screening.answered")
        assert len(reading.execute(on_trail).all()) == 3
        beside = select(shown.c.uscc, func.count().label("times")).group_by(shown.c.uscc)
        assert {row.uscc: row.times for row in reading.execute(beside)} == dict.fromkeys(city.usccs, 1)
    assert city.screen("once", path=EXPORTS, where=EVERYONE).data == answer.data
    with db.transaction() as tx:
        consents.revoke(tx, held[0], COUNTER)
    assert city.screen("once", path=EXPORTS, where=EVERYONE).status_code == 410
    assert [row[0] for row in lines(city.screen(path=EXPORTS, where=EVERYONE))[1:]] == city.usccs[1:]


def test_an_export_spends_as_many_pages_as_its_limit_has(
    house: House, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_screenings_per_day", 4)
    city = City(client, 1)
    city.index()
    assert city.screen(path=EXPORTS, where=EVERYONE, limit=401).status_code == 200  # three pages
    assert city.screen(where=EVERYONE).status_code == 200
    refused = city.screen(path=EXPORTS, where=EVERYONE, limit=1)
    assert (refused.status_code, refused.json["type"].rpartition("/")[2]) == (429, "screening-budget-spent")


def test_conditions_too_large_for_an_entry_are_refused(house: House, client: FlaskClient) -> None:
    city = City(client, 1)
    city.index()
    where = {"any": [{"indicator": "TAX.GRADE", "in": [f"{n:060}" for n in range(200)]} for _ in range(3)]}
    refused = city.screen(where=where)
    assert (refused.status_code, list(refused.json["errors"])) == (422, ["where"])
