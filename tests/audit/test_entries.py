# SPDX-License-Identifier: Apache-2.0
"""The trail as compliance reads it: everything, newest first, by the primary key; and that it was read."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event, text

from audit import review, search, trail
from audit.schemas import EntrySchema
from kernel import db
from tests import factories
from tests.audit.test_trail import OPERATOR, REFERENCE, answered, write
from tests.conftest import House


def officer() -> dict[str, str]:
    return {"Authorization": f"Bearer {factories.session(factories.person('compliance')[0], {'audit:read'})}"}


def test_an_entry_is_shown_with_all_it_says_and_the_operator_in_clear(client: FlaskClient) -> None:
    said = answered()
    write(said)
    page = client.get("/v1/audit/entries", headers=officer()).json["entries"]
    shown = next(each for each in page if each["query_id"] == said.id)
    assert EntrySchema().validate(shown) == {}
    assert (shown["operator"], shown["reference"], shown["actor"]) == (OPERATOR, REFERENCE, said.actor)
    assert (shown["uscc"], shown["consent"], shown["consent_version"]) == (said.uscc, said.consent, 2)
    assert (shown["purpose"], shown["outcome"], shown["retained"]) == ("pre_loan", "answered", True)


def test_every_view_is_an_entry_of_its_own(client: FlaskClient) -> None:
    headers = officer()
    first = client.get("/v1/audit/entries?limit=1", headers=headers).json
    second = client.get(f"/v1/audit/entries?limit=1&cursor={first['next_cursor']}", headers=headers).json
    assert first["entries"] != second["entries"]
    views = client.get("/v1/audit/entries?limit=2", headers=headers).json["entries"]
    assert [each["type"] for each in views] == ["staff.viewed"] * 2
    assert views[0]["detail"]["asked"] == {"before": first["entries"][0]["query_id"], "limit": 1}
    assert views[0]["operator"] == views[0]["actor"].removeprefix("person:")


def test_no_view_without_its_entry(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    write(answered())
    headers = officer()

    def fail(*_: Any) -> None:
        raise trail.TooLarge("too large")

    monkeypatch.setattr(trail, "append", fail)
    answer = client.get("/v1/audit/entries", headers=headers)
    assert answer.status_code == 413
    assert OPERATOR not in answer.get_data(as_text=True)


def test_pages_go_on_past_entries_whose_retention_is_over(house: House) -> None:
    enterprise = factories.new_uscc()
    written = [write(answered(uscc=enterprise)).id for _ in range(6)]
    with db.transaction() as tx:
        guards = ("entry_no_update",) if house.engine == "sqlite" else ()
        for guard in guards:
            tx.execute(text(f"DROP TRIGGER {guard}"))
        if house.engine == "postgresql":
            tx.execute(text("ALTER TABLE entry DISABLE TRIGGER entry_append_only"))
        for gone in written[2:5]:
            tx.execute(text("UPDATE entry SET bytes = NULL WHERE id = :gone"), {"gone": gone})
    walked, whole, before = [], [], None
    with db.reading() as reading:
        while True:
            page, before = review.access_log(reading, enterprise, before, 2)
            walked += [line["query_id"] for line in page]
            if before is None:
                break
        whole, _ = review.found(reading, {}, search.place_now(reading), 200)
    kept = sorted((written[0], written[1], written[5]), reverse=True)
    assert walked == kept
    assert [each["query_id"] for each in whole if each["retained"] is False] == sorted(written[2:5], reverse=True)


def test_pages_are_read_along_an_index_and_sort_nothing(house: House) -> None:
    statements: list[tuple[str, Any]] = []
    bound = db.current()
    with db.reading() as reading:
        listening = reading if house.engine == "postgresql" else bound

        def keep(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            statements.append((statement, parameters))

        event.listen(listening, "before_cursor_execute", keep)
        review.access_log(reading, factories.new_uscc(), None, 50)
        review.access_log(reading, factories.new_uscc(), "f", 50)
        review.found(reading, {}, search.Place(0, "0", "f"), 50)
        kept = [each for each in statements if "FROM entry" in each[0]]
        if house.engine == "postgresql":
            reading.exec_driver_sql("SET LOCAL enable_seqscan = off")
            reading.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
        explain = "EXPLAIN QUERY PLAN " if house.engine == "sqlite" else "EXPLAIN "
        plans = [str(reading.exec_driver_sql(explain + said, given).all()) for said, given in kept]
    of_one, of_pages, of_all = plans[0:4:2], plans[1:4:2], plans[4:]  # asked of singly, shown on a page, everything
    assert (len(of_one), len(of_pages), len(of_all)) == (2, 2, 1)
    assert all("ix_entry_shown" in plan for plan in of_one)
    assert all(("sqlite_autoindex_shown_1" if house.engine == "sqlite" else "pk_shown") in plan for plan in of_pages)
    assert ("sqlite_autoindex_entry_1" if house.engine == "sqlite" else "pk_entry") in of_all[0]
    for plan in plans[:4]:
        assert "TEMP B-TREE" not in plan
        assert "Sort" not in plan
