# SPDX-License-Identifier: Apache-2.0
"""Changes to consents, told to those whom they name: by polling."""

from datetime import timedelta
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import update

from app import counter
from consent import requests
from consent.terms import Grant
from kernel import clock, cursors, db, outbox
from kernel.models import outbox as messages
from tests import factories
from tests.conftest import House


def polled(client: FlaskClient, token: str, cursor: str | None = None, **asked: Any) -> Any:
    query = {**asked, **({} if cursor is None else {"cursor": cursor})}
    return client.get("/v1/consent-events", query_string=query, headers={"Authorization": f"Bearer {token}"})


def kinds(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.json
    return [each["type"] for each in answer.json["events"]]


def test_an_institution_is_told_of_each_step_of_a_consent_that_names_it(client: FlaskClient) -> None:
    bank, firm = factories.bank(), factories.new_uscc()
    token = factories.token(bank)
    cursor = polled(client, token).json["next_cursor"]
    consent = factories.consent(firm, bank, classes=(1, 2), purposes=("pre_loan",))
    for act in ("pause", "resume", "revoke"):
        counter.change(act, consent, None)
    answer = polled(client, token, cursor)
    assert kinds(answer) == ["consent.granted", "consent.paused", "consent.resumed", "consent.revoked"]
    granted, revoked = answer.json["events"][0]["data"], answer.json["events"][-1]["data"]
    assert (granted["consent_id"], granted["uscc"], granted["status"]) == (consent, firm, "active")
    assert (granted["classes"], granted["purposes"], granted["expires_at"]) == ([1, 2], ["pre_loan"], None)
    assert (revoked["status"], revoked["version"]) == ("revoked", 4)
    assert kinds(polled(client, token, answer.json["next_cursor"])) == []


def test_wide_consents_are_told_to_all_whom_they_name_and_to_nobody_else(client: FlaskClient) -> None:
    bank, other, insurer = factories.bank(), factories.bank(), factories.bank(kind="insurer")
    tokens = {each: factories.token(each) for each in (bank, other, insurer)}
    begun = {each: polled(client, token).json["next_cursor"] for each, token in tokens.items()}
    firm = factories.new_uscc()
    for grantee in (bank, "kind:bank", "platform"):
        factories.consent(firm, grantee)
    told = {each: len(kinds(polled(client, token, begun[each]))) for each, token in tokens.items()}
    assert told == {bank: 3, other: 2, insurer: 1}


def test_collection_and_requests_by_others_are_nobodys_business(client: FlaskClient) -> None:
    bank, other, firm = factories.bank(), factories.bank(), factories.new_uscc()
    token, others = factories.token(bank), factories.token(other)
    cursor, theirs = (polled(client, each).json["next_cursor"] for each in (token, others))
    factories.consent(firm, scope="collect")
    asked = Grant(firm, "query", bank, (1,), ("records",), ("pre_loan",))
    with db.transaction() as tx:
        requested = requests.ask(tx, asked, factories.COUNTER).id
    with db.transaction() as tx:
        requests.reject(tx, requested, factories.COUNTER)
    assert kinds(polled(client, token, cursor)) == ["consent.rejected"]
    assert kinds(polled(client, others, theirs)) == []


def test_pages_go_on_where_the_last_one_ended(client: FlaskClient) -> None:
    bank = factories.bank()
    token = factories.token(bank)
    cursor = polled(client, token).json["next_cursor"]
    given = [factories.consent(factories.new_uscc(), bank) for _ in range(5)]
    seen = []
    for _ in range(4):
        answer = polled(client, token, cursor, limit=2)
        seen += [each["data"]["consent_id"] for each in answer.json["events"]]
        cursor = answer.json["next_cursor"]
    assert seen == given


def test_a_cursor_older_than_what_is_kept_is_told_so(client: FlaskClient) -> None:
    bank = factories.bank()
    token = factories.token(bank)
    for _ in range(3):
        factories.consent(factories.new_uscc(), bank)
    start = polled(client, token, limit=1).json["next_cursor"]
    polled(client, token)
    with db.transaction() as tx:
        tx.execute(update(messages).values(time=clock.now() - outbox.KEEP - timedelta(days=1)))
        outbox.tidy(tx)
    gone = polled(client, token, start)
    assert gone.status_code == 410
    assert gone.json["type"].endswith("/events-gone")
    assert polled(client, token).status_code == 200


def test_a_cursor_of_someones_making_is_refused(client: FlaskClient) -> None:
    token = factories.token(factories.bank())
    for made_up in ("x", cursors.encode("-1"), cursors.encode("1.5"), cursors.encode("9" * 30)):
        assert polled(client, token, made_up).status_code == 422


def test_a_signatory_polls_nothing(client: FlaskClient, house: House) -> None:
    answer = polled(client, factories.signatory(factories.new_uscc()))
    assert answer.status_code == 403
