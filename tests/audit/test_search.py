# SPDX-License-Identifier: Apache-2.0
"""Finding entries by filters: the same as looking at each of them, in pages that do not move, along an index."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event, select, text

from audit import review, sealing, search, trail
from audit.events import Event
from audit.models import entry as entries
from kernel import clock, db, ids
from tests.audit.test_entries import officer
from tests.audit.test_trail import answered, write
from tests.conftest import House
from tests.kernel.test_problems import assert_problem

START = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)


def at(time: datetime, **changes: Any) -> trail.Entry:
    """An entry of this time, in its place."""
    said = answered(id=ids.first_at(time)[:20] + ids.new_id()[20:], **changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "now", lambda: time)
        write(said)
    return said


def history() -> list[trail.Entry]:
    """Sixty entries that differ in all that can be looked for, a second apart."""
    written = []
    for n in range(60):
        refused = n % 5 == 0
        changes: dict[str, Any] = {
            "type": Event.QUERY_REFUSED if refused else Event.QUERY_ANSWERED,
            "outcome": "refused" if refused else "answered",
            "rule": ("no-consent", "class-not-covered")[n % 2] if refused else None,
            "institution": f"i-{n % 3}",
            "actor": f"client:c-{n % 4}",
            "client": f"c-{n % 4}",
            "operator": f"柜员-{n % 7}",
            "uscc": f"91320599MA000000{n % 6}X",
            "consent": None if refused else f"consent-{n % 8}",
            "purpose": ("pre_loan", "post_loan", "guarantee")[n % 3],
            "product": ("records", "screening")[n % 2],
            "classes": ((1, 2), (2, 3), (7,), None)[n % 4],
        }
        if n % 10 == 9:
            changes |= {"type": Event.CONSENT_REVOKED, "outcome": None, "purpose": None, "product": None}
        written.append(at(START + timedelta(seconds=n), **changes))
    return written


def found(asked: dict[str, Any], limit: int = 200) -> list[str]:
    """The ids that are found, all pages of them."""
    walked: list[str] = []
    with db.transaction() as tx:
        place: search.Place | None = search.place_now(tx)
        while place is not None:
            rows, place = search.search(tx, asked, place, limit)
            walked += [row.id for row in rows]
    return walked


FILTERS: list[dict[str, Any]] = [
    {},
    {"institution": "i-1"},
    {"client": "c-3"},
    {"operator": "柜员-2"},
    {"uscc": "91320599MA0000003X"},
    {"consent": "consent-2"},
    {"type": "query.refused"},
    {"type": "consent.revoked"},
    {"outcome": "refused"},
    {"outcome": "answered"},
    {"rule": "no-consent"},
    {"purpose": "post_loan"},
    {"product": "screening"},
    {"class": 1},
    {"class": 2},
    {"class": 5},
    {"institution": "nobody"},
    {"rule": "none-such"},
    {"purpose": "pre_loan", "outcome": "refused"},
    {"class": 2, "purpose": "pre_loan"},
    {"uscc": "91320599MA0000003X", "class": 7, "type": "consent.revoked"},
    {"institution": "i-0", "operator": "柜员-3", "client": "c-0"},
]


def fits(said: trail.Entry, asked: dict[str, Any]) -> bool:
    told = {**asked}
    number = told.pop("class", None)
    return all(getattr(said, name) == value for name, value in told.items()) and (
        number is None or number in (said.classes or ())
    )


def test_each_filter_finds_exactly_what_fits_newest_first_whatever_the_page(house: House) -> None:
    written = history()
    for asked in FILTERS:
        fitting = sorted((said.id for said in written if fits(said, asked)), reverse=True)
        for limit in (1, 7, 200):
            assert found(asked, limit) == fitting, (asked, limit)


def test_a_time_is_found_to_the_microsecond_with_and_without_other_filters(house: House) -> None:
    written = history()
    since, until = START + timedelta(seconds=10), START + timedelta(seconds=20)
    within = [said.id for said in reversed(written[10:20])]
    assert found({"since": since, "until": until}) == within
    assert found({"since": since, "until": until}, 3) == within
    assert found({"since": since + timedelta(microseconds=1), "until": until}) == within[:-1]
    assert found({"since": until, "until": since}) == []
    refused = [said.id for said in reversed(written[10:20]) if said.type == Event.QUERY_REFUSED]
    assert found({"since": since, "until": until, "type": "query.refused"}) == refused


def test_what_was_not_there_at_the_first_page_is_on_no_later_one(open_house: House) -> None:
    old = [at(START + timedelta(seconds=n)).id for n in range(6)]
    sealing.seal("bureau.example")
    waiting = at(START + timedelta(minutes=10)).id
    with db.transaction() as tx:
        first, place = search.search(tx, {}, search.place_now(tx), 3)
    assert [row.id for row in first] == [waiting, old[5], old[4]]
    assert place is not None
    late = at(START + timedelta(seconds=2, milliseconds=500)).id  # an older id that commits only now
    sealing.seal("bureau.example")
    at(START + timedelta(hours=1))
    with db.transaction() as tx:
        second, _ = search.search(tx, {}, search.place_of(str(place)), 200)
    assert [row.id for row in second] == old[3::-1]
    assert late in found({})


def test_what_waited_to_be_sealed_at_the_first_page_is_shown_whether_it_is_sealed_meanwhile_or_not(
    open_house: House,
) -> None:
    written = [at(START + timedelta(seconds=n)).id for n in range(4)]
    with db.transaction() as tx:
        _, place = search.search(tx, {}, search.place_now(tx), 1)
    sealing.seal("bureau.example")
    assert place is not None
    with db.transaction() as tx:
        rows, _ = search.search(tx, {}, place, 200)
    assert [row.id for row in rows] == written[2::-1]


def test_every_filter_of_the_route_and_the_view_of_it(client: FlaskClient) -> None:
    said = answered(institution="i-42")
    write(said)
    write(answered(institution="i-43"))
    headers = officer()
    asked = {
        "institution": "i-42",
        "client": "c-1",
        "operator": said.operator,
        "uscc": said.uscc,
        "consent": said.consent,
        "type": "query.answered",
        "outcome": "answered",
        "purpose": "pre_loan",
        "product": "records",
        "class": 2,
        "from": "2020-01-01T00:00:00Z",
        "to": "2999-01-01T00:00:00+08:00",
    }
    answer = client.get("/v1/audit/entries", query_string=asked, headers=headers)
    assert [one["query_id"] for one in answer.json["entries"]] == [said.id]
    assert answer.json["size"] == 0
    (view,) = client.get("/v1/audit/entries?type=staff.viewed", headers=headers).json["entries"]
    told = view["detail"]["asked"]
    assert told.keys() == (asked.keys() - {"operator"}) | {"limit"}
    assert (told["class"], told["to"], view["uscc"]) == (2, "2998-12-31T16:00:00.000000Z", said.uscc)
    # The enterprise may have this view's receipt: whom at the bank they looked for is not in its bytes.
    assert view["reference"] == said.operator


def test_a_bad_filter_is_named(client: FlaskClient) -> None:
    wrong = {"class": 8, "type": "nothing.known", "from": "yesterday", "purpose": "a b", "to": "2026-01-01"}
    for name, value in wrong.items():
        answer = client.get("/v1/audit/entries", query_string={name: value}, headers=officer())
        told = assert_problem(answer, 422, "invalid-field")
        assert told["errors"].keys() == {name}
    bad_cursor = client.get("/v1/audit/entries?cursor=MDE5YQ", headers=officer())
    assert_problem(bad_cursor, 422, "invalid-field")


@pytest.mark.parametrize("house", ["postgresql"], indirect=True)
def test_each_filter_is_read_along_its_index(house: House) -> None:
    history()
    kept: list[tuple[str, Any]] = []
    with db.transaction() as tx:

        def keep(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            kept.append((statement, parameters))

        event.listen(tx, "before_cursor_execute", keep)
        indexes = {
            "institution": "i-1",
            "actor": "c-1",
            "operator": "x",
            "other": "u",
            "shown": "u",
            "consent": "c",
            "facet": "pre_loan",
            "classes": 3,
        }
        names = {"actor": "client", "other": "uscc", "shown": "uscc", "facet": "purpose", "classes": "class"}
        # So small a table tells the planner nothing: the same index without the id's order costs it the same.
        tx.execute(text("DROP INDEX uq_entry_actor_idempotency_key"))
        for setting in ("seqscan", "bitmapscan", "hashjoin", "mergejoin"):
            tx.execute(text(f"SET LOCAL enable_{setting} = off"))
        for index, value in indexes.items():
            kept.clear()
            search.search(tx, {names.get(index, index): value}, search.Place(0, "0"), 50)
            statement, parameters = kept[-1]
            plan = str(tx.exec_driver_sql(f"EXPLAIN {statement}", parameters).all())
            assert f"ix_entry_{index}" in plan, plan
            assert "LIMIT 50" in statement  # as a parameter a kept plan would take it for a tenth of all entries


def test_entries_of_some_types_are_those_whose_type_says_so(house: House) -> None:
    written = history()
    for types in (("query.refused",), ("query.answered", "consent.revoked"), ("query",), ()):
        with db.reading() as reading:
            there = set(reading.scalars(select(entries.c.id).where(search.of_types(reading, *types))))
        assert there == {said.id for said in written if said.type in types}


@pytest.mark.parametrize("house", ["postgresql"], indirect=True)
def test_filters_that_take_too_long_are_refused_and_nothing_is_shown(
    house: House, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    history()

    def slow(*_: Any) -> Any:
        return text("SELECT CAST(pg_sleep(5) AS text) AS id").columns(id=search.String)

    monkeypatch.setattr(search, "_walk", slow)
    monkeypatch.setattr(search, "SECONDS", 0.05)
    assert_problem(client.get("/v1/audit/entries", headers=officer()), 422, "search-too-broad")
    monkeypatch.undo()
    with db.reading() as reading:
        assert reading.execute(text("SELECT count(*) FROM entry WHERE type = 'staff.viewed'")).scalar() == 0


def test_an_entry_past_its_retention_is_found_by_its_columns(house: House) -> None:
    said = at(START)
    with db.transaction() as tx:
        if house.engine == "sqlite":
            tx.execute(text("DROP TRIGGER entry_no_update"))
        else:
            tx.execute(text("ALTER TABLE entry DISABLE TRIGGER entry_append_only"))
        tx.execute(text("UPDATE entry SET bytes = NULL WHERE id = :gone"), {"gone": said.id})
        (one,), _ = review.found(tx, {"uscc": said.uscc, "class": 2}, search.place_now(tx), 10)
    assert (one["query_id"], one["retained"], one["purpose"]) == (said.id, False, None)
