# SPDX-License-Identifier: Apache-2.0
"""Answers given again: the same bytes for ever, as long as institution and consent still allow it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import delete, update

from access.models import institution as institutions
from bureau import compaction
from bureau.folios import Correction
from bureau.models import folio
from consent import consents
from consent.models import consent as consent_table
from kernel import clock, db
from tests.bureau.histories import History, electricity, entries
from tests.conftest import House
from tests.factories import COUNTER, ask, bank, consent, new_uscc, registration, token

KEY = "loan-7"


class Asked:
    """A bank whose question about an enterprise was answered, under KEY."""

    def __init__(self, client: FlaskClient, **given: Any) -> None:
        self.client, self.history, self.asking = client, History(new_uscc()), bank()
        self.history.deliver([registration(1, self.history.uscc), electricity(2, self.history.uscc)])
        self.consent = consent(self.history.uscc, self.asking, **given)
        self.bearer = token(self.asking)
        self.first = self.again()
        assert self.first.status_code == 200

    def again(self, key: str = KEY, **changes: Any) -> Any:
        return ask(self.client, self.bearer, self.history.uscc, key=key, **changes)

    def shown(self, bearer: str | None = None, query_id: str | None = None) -> Any:
        headers = {"Authorization": f"Bearer {bearer or self.bearer}"}
        return self.client.get(f"/v1/credit-queries/{query_id or self.first.json['query_id']}", headers=headers)


@pytest.fixture
def asked(house: House, client: FlaskClient) -> Asked:
    return Asked(client)


def test_the_same_key_and_body_give_the_same_bytes_and_a_replay_that_is_not_billable(asked: Asked) -> None:
    again, shown = asked.again(), asked.shown()
    assert (again.status_code, again.data) == (200, asked.first.data)
    assert (shown.status_code, shown.data) == (200, asked.first.data)
    answered, *replayed = entries("query.answered", "query.replayed", "query.refused")
    assert [(entry["type"], entry["of"]) for entry in replayed] == [("query.replayed", answered["id"])] * 2
    for entry in replayed:
        assert (entry["billable"], entry["outcome"]) == (False, "answered")
        same = ("institution", "uscc", "consent", "consent_version", "purpose", "product", "classes",
                "publication", "answer_digest")  # fmt: skip
        assert {name: entry[name] for name in same} == {name: answered[name] for name in same}


def test_a_replay_is_of_its_own_publication_whatever_came_since(asked: Asked) -> None:
    history = asked.history
    for month in range(2, 13):
        history.deliver([electricity(1, history.uscc, f"2024-{month:02}"), registration(2, history.uscc, "演示改名")])
    history.lay_over(history.told[0].document["id"], Correction("withdrawal"))
    history.lay_over(history.told[1].document["id"], Correction("dispute"))
    assert asked.again().data == asked.first.data
    assert compaction.sweep() == 2
    assert asked.again().data == asked.shown().data == asked.first.data
    newer = asked.again("another-key").json
    assert newer["name"] == "演示改名"
    assert newer["classes"] == history.classes_at(newer["as_of"]["publication"])


@pytest.mark.parametrize(
    "changes", [{"classes": [1]}, {"operator": "OP-2"}, {"reference": "x"}, {"purpose": "post_loan"}]
)
def test_the_same_key_with_another_body_is_422_and_no_entry(asked: Asked, changes: dict[str, Any]) -> None:
    before = len(entries())
    refused = asked.again(**changes)
    assert refused.status_code == 422
    assert refused.json["type"].endswith("/problems/idempotency-key-reused")
    assert len(entries()) == before


def test_a_key_belongs_to_the_client_that_used_it(asked: Asked) -> None:
    other = ask(asked.client, token(asked.asking), asked.history.uscc, key=KEY, operator="OP-9")
    assert other.status_code == 200
    assert other.json["query_id"] != asked.first.json["query_id"]
    assert len(entries("query.answered")) == 2


def test_a_key_is_spent_by_an_answer_only(house: House, client: FlaskClient) -> None:
    uscc, asking = new_uscc(), bank()
    bearer = token(asking)
    assert [ask(client, bearer, uscc, key=KEY).status_code for _ in range(2)] == [403, 403]
    assert ask(client, bearer, uscc, key=KEY, operator="OP-2").status_code == 403
    consent(uscc, asking)
    assert ask(client, bearer, uscc, key=KEY).status_code == 200
    assert [entry["type"] for entry in entries("query.answered", "query.refused", "query.replayed")] == [
        "query.refused", "query.refused", "query.refused", "query.answered",
    ]  # fmt: skip


def refused_both_ways(asked: Asked, rule: str) -> None:
    """By its key and by its id an answer is refused with a rule; each refusal is an entry of that answer."""
    for response in (asked.again(), asked.shown()):
        assert response.status_code == 403
        assert response.json["type"].endswith(f"/problems/{rule}")
    assert [(entry["rule"], entry["of"], entry["billable"]) for entry in entries("query.refused")] == [
        (rule, asked.first.json["query_id"], False)
    ] * 2
    assert len(entries("query.replayed")) == 0


def test_after_its_consent_was_revoked_an_answer_is_not_given_again(asked: Asked) -> None:
    with db.transaction() as tx:
        consents.revoke(tx, asked.consent, COUNTER)
    refused_both_ways(asked, "no-consent")


def test_a_new_consent_does_not_bring_back_what_the_revoked_one_allowed(asked: Asked) -> None:
    with db.transaction() as tx:
        consents.revoke(tx, asked.consent, COUNTER)
    consent(asked.history.uscc, asked.asking)
    refused_both_ways(asked, "no-consent")
    assert asked.again("a-new-question").status_code == 200


def test_after_its_consent_expired_an_answer_is_not_given_again(
    house: House, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(client, expires_at=datetime.now(UTC) + timedelta(seconds=200))
    later = datetime.now(UTC) + timedelta(seconds=201)
    monkeypatch.setattr(clock, "now", lambda: later)
    refused_both_ways(asked, "consent-expired")


def test_after_collection_ended_an_answer_is_not_given_again(asked: Asked) -> None:
    collect = consent(asked.history.uscc, scope="collect")
    with db.transaction() as tx:
        tx.execute(update(consent_table).where(consent_table.c.id == collect).values(status="revoked"))
    refused_both_ways(asked, "no-consent")


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        ({"status": "suspended"}, "institution-not-approved"),
        ({"purposes": "insurance"}, "purpose-not-allowed"),
        ({"products": "screening"}, "product-not-allowed"),
    ],
)
def test_after_the_institution_lost_its_standing_an_answer_is_not_given_again(
    asked: Asked, columns: dict[str, str], rule: str
) -> None:
    with db.transaction() as tx:
        tx.execute(update(institutions).where(institutions.c.id == asked.asking).values(**columns))
    refused_both_ways(asked, rule)


def test_a_consent_that_a_newer_one_superseded_still_allows_what_it_allowed(asked: Asked) -> None:
    consent(asked.history.uscc, asked.asking, classes=(5,), purposes=("insurance",))
    assert asked.again().data == asked.shown().data == asked.first.data
    assert asked.again("a-new-question").status_code == 403


def test_who_revokes_the_newer_consent_revokes_what_the_superseded_one_allowed(asked: Asked) -> None:
    newer = consent(asked.history.uscc, asked.asking)
    with db.transaction() as tx:
        consents.revoke(tx, newer, COUNTER)
    refused_both_ways(asked, "no-consent")


def test_a_superseded_consent_allows_nothing_beyond_its_own_time(
    house: House, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(client, expires_at=datetime.now(UTC) + timedelta(seconds=200))
    consent(asked.history.uscc, asked.asking)
    later = datetime.now(UTC) + timedelta(seconds=201)
    monkeypatch.setattr(clock, "now", lambda: later)
    refused_both_ways(asked, "consent-expired")


def test_another_client_of_the_institution_may_see_the_answer_and_others_may_not(asked: Asked) -> None:
    assert asked.shown(token(asked.asking)).data == asked.first.data
    before = len(entries("query.replayed", "query.refused"))
    other = bank()
    consent(asked.history.uscc, other)
    assert asked.shown(token(other)).status_code == 404
    assert len(entries("query.replayed", "query.refused")) == before


@pytest.mark.parametrize("which", ["batch.received", "consent.granted", "query.refused", "query.replayed"])
def test_what_is_no_answer_cannot_be_had_by_its_id(asked: Asked, which: str) -> None:
    asked.again()
    ask(asked.client, asked.bearer, new_uscc())
    before = len(entries())
    response = asked.shown(query_id=entries(which)[-1]["id"])
    assert (response.status_code, response.json["type"].rsplit("/", 1)[1]) == (404, "not-found")
    assert len(entries()) == before


@pytest.mark.parametrize(
    "query_id", ["nothing", "01a20639-694a-77cd-8668-d9fcf7bd6917", "%00", "%F0%A0%AE%B7", "x" * 300]
)
def test_an_unknown_id_is_404(asked: Asked, query_id: str) -> None:
    assert asked.shown(query_id=query_id).status_code == 404


def test_an_answer_whose_records_were_erased_is_gone_for_good(asked: Asked) -> None:
    with db.transaction() as tx:
        tx.execute(delete(folio).where(folio.c.uscc == asked.history.uscc, folio.c["class"] == 2))
    for response in (asked.again(), asked.shown()):
        assert (response.status_code, response.json["type"].rsplit("/", 1)[1]) == (410, "answer-gone")
    assert [entry["rule"] for entry in entries("query.refused")] == ["answer-gone"] * 2
    assert asked.again("a-new-question").status_code == 200
