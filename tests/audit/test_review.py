# SPDX-License-Identifier: Apache-2.0
"""Timelines, and one entry as each of its parties may see it."""

import hashlib
from typing import Any

import orjson
from flask.testing import FlaskClient
from sqlalchemy import text, update

from audit import log
from audit.events import Event
from audit.models import entry as entries
from audit.schemas import EntrySchema, OneEntrySchema
from consent import consents
from kernel import db
from tests import factories
from tests.audit.test_entries import officer
from tests.audit.test_trail import OPERATOR, REFERENCE, answered, write
from tests.conftest import House
from tests.kernel.test_problems import assert_problem


def of(bearer: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {bearer}"}


def walked(client: FlaskClient, url: str, limit: int = 2) -> list[Any]:
    headers, cursor, told = officer(), None, []
    while True:
        query = {"limit": limit, **({"cursor": cursor} if cursor else {})}
        page = client.get(url, query_string=query, headers=headers).json
        told += page["entries"]
        cursor = page["next_cursor"]
        if cursor is None:
            return told


def story(client: FlaskClient) -> tuple[str, str]:
    """A consent that is granted, used, paused, resumed, revoked and asked against once more. Enterprise, consent."""
    bank, enterprise = factories.bank(), factories.new_uscc()
    factories.deliver([factories.registration(1, enterprise)])
    consent, bearer = factories.consent(enterprise, bank), factories.token(bank)
    factories.ask(client, bearer, enterprise)
    for act in (consents.pause, consents.resume, consents.revoke):
        with db.transaction() as tx:
            act(tx, consent, factories.COUNTER)
    factories.ask(client, bearer, enterprise)
    return enterprise, consent


ACTS = ["consent.granted", "query.answered", "consent.paused", "consent.resumed", "consent.revoked"]


def test_a_consents_timeline_tells_all_that_was_done_under_it_in_order(client: FlaskClient) -> None:
    _, consent = story(client)
    story(client)
    told = walked(client, f"/v1/audit/consents/{consent}/timeline")
    # Views of the timeline itself are about the enterprise, and no act under the consent.
    assert [one["type"] for one in told] == ACTS
    assert [one["consent_version"] for one in told] == [1, 1, 2, 3, 4]
    assert all(one["receipt"] == f"/v1/audit/receipts/{one['query_id']}" for one in told)


def test_an_enterprises_timeline_tells_refusals_and_views_too(client: FlaskClient) -> None:
    enterprise, _ = story(client)
    story(client)
    url = f"/v1/audit/enterprises/{enterprise}/timeline"
    told = client.get(url, headers=officer()).json["entries"]
    assert [one["type"] for one in told] == [*ACTS, "query.refused"]
    assert all(EntrySchema().validate(one) == {} for one in told)
    again = client.get(url, headers=officer()).json["entries"]
    assert [one["type"] for one in again] == [*ACTS, "query.refused", "staff.viewed"]


def test_a_timeline_is_paged_in_order_and_empty_for_what_is_not_there(client: FlaskClient) -> None:
    enterprise, _ = story(client)
    ids = [one["query_id"] for one in walked(client, f"/v1/audit/enterprises/{enterprise}/timeline", 200)]
    url = f"/v1/audit/enterprises/{enterprise}/timeline?limit=4"
    first = client.get(url, headers=officer()).json
    second = client.get(f"{url}&cursor={first['next_cursor']}", headers=officer()).json
    assert [one["query_id"] for one in first["entries"] + second["entries"]][: len(ids)] == ids
    nobody = client.get("/v1/audit/consents/none-such/timeline", headers=officer())
    assert (nobody.status_code, nobody.json) == (200, {"entries": [], "next_cursor": None})


def test_the_clear_text_is_for_the_institution_and_compliance_only(client: FlaskClient) -> None:
    bank, other = factories.bank(), factories.bank()
    said = answered(institution=bank)
    assert said.uscc is not None
    write(said)
    url = f"/v1/audit/entries/{said.id}"
    for headers in (of(factories.token(bank)), officer()):
        shown = client.get(url, headers=headers).json
        assert OneEntrySchema().validate(shown) == {}
        assert (shown["operator"], shown["reference"]) == (OPERATOR, REFERENCE)
        with db.reading() as reading:
            sealed = orjson.loads(log.entry_bytes(reading, said.id) or b"")
        for name, clear in (("operator", OPERATOR), ("reference", REFERENCE)):
            assert sealed[f"{name}_digest"] == hashlib.sha256(bytes.fromhex(shown["salt"]) + clear.encode()).hexdigest()
    told = client.get(url, headers=of(factories.signatory(said.uscc)))
    assert [told.json[name] for name in ("operator", "reference", "salt", "query_id")] == [None, None, None, said.id]
    for hidden in (OPERATOR, REFERENCE):
        assert hidden not in told.get_data(as_text=True)
    for stranger in (factories.token(other), factories.signatory(factories.new_uscc())):
        assert_problem(client.get(url, headers=of(stranger)), 404, "not-found")
    assert_problem(client.get("/v1/audit/entries/none-such", headers=officer()), 404, "not-found")


def test_a_view_of_one_entry_is_an_entry_of_compliance_and_none_of_the_parties(client: FlaskClient) -> None:
    bank = factories.bank()
    said = answered(institution=bank)
    write(said)
    url = f"/v1/audit/entries/{said.id}"
    receipt = f"/v1/audit/receipts/{said.id}"
    for path in (url, receipt):
        client.get(path, headers=of(factories.token(bank)))
    assert client.get("/v1/audit/entries?type=staff.viewed", headers=officer()).json["entries"] == []
    for path in (url, receipt):
        client.get(path, headers=officer())
    views = client.get("/v1/audit/entries?type=staff.viewed", headers=officer()).json["entries"]
    assert [view["detail"]["what"] for view in views] == ["audit-receipt", "audit-entry", "audit-entries"]
    assert (views[0]["uscc"], views[0]["detail"]["asked"]["entry"]) == (said.uscc, said.id)


def test_a_person_at_the_bank_whom_compliance_looked_for_stands_in_no_bytes(client: FlaskClient) -> None:
    write(answered(type=Event.QUERY_ANSWERED))
    client.get(
        "/v1/audit/entries", query_string={"operator": OPERATOR, "uscc": "91320599MA0000001X"}, headers=officer()
    )
    (view,) = client.get("/v1/audit/entries?type=staff.viewed", headers=officer()).json["entries"]
    assert view["reference"] == OPERATOR
    assert OPERATOR not in str(view["detail"])


def test_a_view_that_found_nothing_tells_what_was_looked_for(client: FlaskClient) -> None:
    enterprise = factories.new_uscc()
    assert client.get(f"/v1/audit/enterprises/{enterprise}/timeline", headers=officer()).json["entries"] == []
    (view,) = client.get("/v1/audit/entries?type=staff.viewed", headers=officer()).json["entries"]
    assert (view["uscc"], view["detail"]["shown"]) == (enterprise, 0)
    for too_long in ("enterprises", "consents"):
        answer = client.get(f"/v1/audit/{too_long}/{'9' * 37}/timeline", headers=officer())
        assert_problem(answer, 404, "not-found")


def test_past_its_retention_an_entry_shows_what_is_left_and_gives_no_receipt(house: House, client: FlaskClient) -> None:
    bank = factories.bank()
    said = answered(institution=bank)
    write(said)
    guard = "ALTER TABLE entry DISABLE TRIGGER USER" if house.engine == "postgresql" else "DROP TRIGGER entry_no_update"
    with db.transaction() as tx:
        tx.execute(text(guard))
        tx.execute(update(entries).where(entries.c.id == said.id).values(bytes=None))
    headers = of(factories.token(bank))
    assert client.get(f"/v1/audit/entries/{said.id}", headers=headers).json["retained"] is False
    assert_problem(client.get(f"/v1/audit/receipts/{said.id}", headers=headers), 410, "gone")
