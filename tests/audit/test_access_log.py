# SPDX-License-Identifier: Apache-2.0
"""The access log: an enterprise sees who asked about it and why, all of it, and nobody else's."""

from typing import Any

from flask.testing import FlaskClient

from audit import review
from audit.events import Event
from audit.schemas import AccessSchema
from kernel import db
from tests import factories
from tests.audit.test_trail import KEY, OPERATOR, REFERENCE, answered, write
from tests.conftest import House
from tests.kernel.test_problems import assert_problem

ASKED = (Event.QUERY_ANSWERED, Event.QUERY_REFUSED, Event.QUERY_REPLAYED, Event.STAFF_VIEWED)


def seen_by(client: FlaskClient, enterprise: str, bearer: str | None = None, **query: Any) -> Any:
    bearer = bearer or factories.signatory(enterprise)
    url, headers = f"/v1/enterprises/{enterprise}/access-log", {"Authorization": f"Bearer {bearer}"}
    return client.get(url, query_string=query, headers=headers)


def test_answers_refusals_replays_and_views_are_shown_and_other_acts_are_not(house: House) -> None:
    enterprise = factories.new_uscc()
    for event in Event:
        write(answered(type=event, uscc=enterprise))
    with db.reading() as reading:
        shown, _ = review.access_log(reading, enterprise, None, 200)
    assert {entry["type"] for entry in shown} == {event.value for event in ASKED}
    assert len(shown) == len(ASKED)


def test_a_line_tells_who_what_for_and_how_it_ended(client: FlaskClient) -> None:
    enterprise, institution = factories.new_uscc(), factories.bank("演示商业银行")
    factories.deliver([factories.registration(1, enterprise)])
    factories.consent(enterprise, institution, classes=(1,))
    bearer = factories.token(institution)
    answer = factories.ask(client, bearer, enterprise, key="k", operator=OPERATOR, reference=REFERENCE)
    assert (
        factories.ask(client, bearer, enterprise, key="k", operator=OPERATOR, reference=REFERENCE).data == answer.data
    )
    assert factories.ask(client, bearer, enterprise, classes=[2]).status_code == 403
    response = seen_by(client, enterprise)
    assert response.status_code == 200
    refused, replayed, first = response.json["entries"]
    assert first == {
        "query_id": answer.json["query_id"],
        "time": first["time"],
        "type": "query.answered",
        "institution": institution,
        "institution_name": "演示商业银行",
        "purpose": "pre_loan",
        "product": "records",
        "classes": [1],
        "outcome": "answered",
        "reason": None,
        "receipt": f"/v1/audit/receipts/{answer.json['query_id']}",
    }
    assert (replayed["type"], replayed["outcome"]) == ("query.replayed", "answered")
    assert (refused["type"], refused["outcome"], refused["reason"]) == (
        "query.refused",
        "refused",
        "class-not-covered",
    )
    assert response.json["next_cursor"] is None
    for entry in response.json["entries"]:
        assert AccessSchema().validate(entry) == {}


def test_who_at_the_bank_asked_stays_the_banks_business(client: FlaskClient) -> None:
    enterprise = factories.new_uscc()
    write(answered(uscc=enterprise))
    shown = seen_by(client, enterprise).get_data(as_text=True)
    for hidden in (OPERATOR, REFERENCE, KEY, "digest", "nonce", "salt"):
        assert hidden not in shown


def test_pages_walk_the_whole_log_once_newest_first(client: FlaskClient) -> None:
    enterprise, other = factories.new_uscc(), factories.new_uscc()
    written = [write(answered(uscc=enterprise)).id for _ in range(7)]
    write(answered(uscc=other))
    bearer, walked, cursor = factories.signatory(enterprise), [], None
    for _ in range(10):
        page = seen_by(client, enterprise, bearer, limit=3, **({"cursor": cursor} if cursor else {})).json
        assert len(page["entries"]) <= 3
        walked += [entry["query_id"] for entry in page["entries"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert walked == sorted(written, reverse=True)
    assert cursor is None


def test_what_is_written_while_the_pages_are_walked_moves_none_of_them(client: FlaskClient) -> None:
    enterprise = factories.new_uscc()
    written = sorted(write(answered(uscc=enterprise)).id for _ in range(4))
    bearer = factories.signatory(enterprise)
    first = seen_by(client, enterprise, bearer, limit=2).json
    write(answered(uscc=enterprise))
    second = seen_by(client, enterprise, bearer, limit=2, cursor=first["next_cursor"]).json
    assert [entry["query_id"] for entry in second["entries"]] == [written[1], written[0]]


def test_an_enterprise_reads_its_own_log_only(client: FlaskClient) -> None:
    enterprise, other = factories.new_uscc(), factories.new_uscc()
    bearer = factories.signatory(other)
    assert_problem(seen_by(client, enterprise, bearer), 403, "not-your-enterprise")
    assert seen_by(client, other, bearer).json == {"entries": [], "next_cursor": None}


def test_an_institution_does_not_read_an_enterprises_log(client: FlaskClient) -> None:
    bearer = factories.token(factories.bank(), ["credit:query", "consent:read", "screening:search"])
    assert_problem(seen_by(client, factories.new_uscc(), bearer), 403, "insufficient-scope")


def test_a_bad_page_is_422_and_names_the_field(client: FlaskClient) -> None:
    enterprise = factories.new_uscc()
    bearer = factories.signatory(enterprise)
    bad: list[dict[str, Any]] = [
        {"cursor": "é"},
        {"cursor": ""},
        {"limit": 0},
        {"limit": 201},
        {"limit": "many"},
    ]
    for query in bad:
        told = assert_problem(seen_by(client, enterprise, bearer, **query), 422, "invalid-field")
        assert told["errors"].keys() == query.keys()
