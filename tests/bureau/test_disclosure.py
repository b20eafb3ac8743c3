# SPDX-License-Identifier: Apache-2.0
"""The one door: what is answered, what is refused, and that neither happens without its entry."""

import base64
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, text, update

from access.models import institution as institutions
from audit import verification
from audit.models import entry as entry_table
from bureau import answers, disclosure, vault
from bureau.answers import Produced
from consent import consents
from consent.question import CLASSES
from kernel import db
from kernel.errors import NotPermitted
from kernel.keys import Altered
from tests.bureau.histories import History, case_filed, electricity, entries
from tests.conftest import House
from tests.factories import COUNTER, ask, bank, consent, deliver, new_uscc, question, registration, token

NOW = datetime.now(UTC)
QUERIES = ("query.answered", "query.refused", "query.replayed")


def known_enterprise() -> History:
    """An enterprise with records in classes 1, 2 and 5."""
    history = History(new_uscc())
    history.deliver([registration(1, history.uscc), electricity(2, history.uscc), case_filed(3, history.uscc)])
    return history


def trail_length() -> int:
    with db.reading() as reading:
        return reading.scalar(select(func.count()).select_from(entry_table)) or 0


def revoke(consent_id: str) -> None:
    with db.transaction() as tx:
        consents.revoke(tx, consent_id, COUNTER)


def restrict(institution: str, **columns: str) -> None:
    with db.transaction() as tx:
        tx.execute(update(institutions).where(institutions.c.id == institution).values(**columns))


def test_an_answer_is_all_that_stands_in_the_consented_classes(house: House, client: FlaskClient) -> None:
    history, asking = known_enterprise(), bank()
    consent_id = consent(history.uscc, asking, classes=(1, 5))
    response = ask(client, token(asking), history.uscc)
    document = response.json
    assert (response.status_code, response.content_type) == (200, "application/json")
    assert document["classes"] == history.classes_at(vault.LATEST, (1, 5))
    assert (document["uscc"], document["name"]) == (history.uscc, history.name_at(vault.LATEST))
    assert (document["consent_id"], document["purpose"]) == (consent_id, "pre_loan")
    assert document["as_of"]["publication"] == 1
    assert document["receipt"] == f"/v1/audit/receipts/{document['query_id']}"


def test_of_the_consented_classes_only_those_asked_for_are_shown(house: House, client: FlaskClient) -> None:
    history, asking = known_enterprise(), bank()
    consent(history.uscc, asking, classes=(1, 2, 5))
    response = ask(client, token(asking), history.uscc, classes=[5, 2, 5])
    assert response.json["classes"] == history.classes_at(vault.LATEST, (2, 5))
    assert entries("query.answered")[0]["classes"] == [2, 5]


def test_the_entry_of_an_answer_tells_who_asked_what_about_whom_and_what_was_given(
    house: House, client: FlaskClient
) -> None:
    history, asking = known_enterprise(), bank("演示第一银行")
    consent_id = consent(history.uscc, asking, classes=(1, 5))
    response = ask(client, token(asking), history.uscc, reference="loan 7")
    (entry,) = entries(*QUERIES)
    assert entry["answer_digest"] == hashlib.sha256(response.data).hexdigest()
    told = {name: entry.get(name) for name in (
        "type", "id", "institution", "institution_name", "uscc", "purpose", "product", "consent",
        "consent_version", "classes", "publication", "outcome", "billable", "channel", "rule",
    )}  # fmt: skip
    assert told == {
        "type": "query.answered", "id": response.json["query_id"], "institution": asking,
        "institution_name": "演示第一银行", "uscc": history.uscc, "purpose": "pre_loan", "product": "records",
        "consent": consent_id, "consent_version": 1, "classes": [1, 5], "publication": 1,
        "outcome": "answered", "billable": True, "channel": "api", "rule": None,
    }  # fmt: skip
    assert "OP-00042" not in str(entry)
    assert "loan 7" not in str(entry)


def test_the_content_digest_is_that_of_the_body(house: House, client: FlaskClient) -> None:
    history, asking = known_enterprise(), bank()
    consent(history.uscc, asking)
    bearer = token(asking)
    first = ask(client, bearer, history.uscc, key="once")
    again = ask(client, bearer, history.uscc, key="once")
    shown = client.get(f"/v1/credit-queries/{first.json['query_id']}", headers={"Authorization": f"Bearer {bearer}"})
    for response in (first, again, shown):
        digest = base64.b64encode(hashlib.sha256(response.data).digest()).decode()
        assert response.headers["Content-Digest"] == f"sha-256=:{digest}:"


def test_an_answer_without_records_is_an_answer_and_not_billable(house: House, client: FlaskClient) -> None:
    asking, nothing_on_file, elsewhere = bank(), new_uscc(), known_enterprise()
    bearer = token(asking)
    consent(nothing_on_file, asking)
    consent(elsewhere.uscc, asking, classes=(3, 7))
    unknown, other = ask(client, bearer, nothing_on_file), ask(client, bearer, elsewhere.uscc)
    assert [(response.status_code, response.json["classes"]) for response in (unknown, other)] == [(200, [])] * 2
    assert (unknown.json["name"], other.json["name"]) == (None, elsewhere.name_at(1))
    assert [entry["billable"] for entry in entries("query.answered")] == [False, False]
    consent(elsewhere.uscc, asking)
    ask(client, bearer, elsewhere.uscc)
    assert [entry["billable"] for entry in entries("query.answered")] == [False, False, True]


def _given(**given: Any) -> Callable[[str, str], object]:
    return lambda uscc, asking: consent(uscc, asking, **given)


def _restricted(**columns: str) -> Callable[[str, str], object]:
    return lambda uscc, asking: (consent(uscc, asking), restrict(asking, **columns))


def _revoked(uscc: str, asking: str) -> None:
    revoke(consent(uscc, asking))


def _revoked_beside_a_wider_one(uscc: str, asking: str) -> None:
    consent(uscc, "platform")
    _revoked(uscc, asking)


def _collection_ended(uscc: str, asking: str) -> None:
    collect = consent(uscc, scope="collect")
    revoke(collect)
    consent(uscc, asking)


REFUSALS: dict[str, tuple[str, Callable[[str, str], object]]] = {
    "no consent at all": ("no-consent", lambda uscc, asking: None),
    "consent to another bank": ("no-consent", lambda uscc, asking: consent(uscc, bank())),
    "revoked": ("no-consent", _revoked),
    "revoked, though the platform may": ("no-consent", _revoked_beside_a_wider_one),
    "not yet in force": ("no-consent", _given(not_before=NOW + timedelta(days=1))),
    "collection ended": ("no-consent", _collection_ended),
    "expired": ("consent-expired", _given(expires_at=NOW - timedelta(seconds=1))),
    "another purpose": ("purpose-not-covered", _given(purposes=("post_loan",))),
    "other classes": ("class-not-covered", _given(classes=(2, 5))),
    "another product": ("product-not-covered", _given(products=("screening",))),
    "institution suspended": ("institution-not-approved", _restricted(status="suspended")),
    "purpose not for this institution": ("purpose-not-allowed", _restricted(purposes="insurance")),
    "product not for this institution": ("product-not-allowed", _restricted(products="screening")),
}


@pytest.mark.parametrize("why", REFUSALS)
def test_a_refused_question_is_still_on_the_trail(house: House, client: FlaskClient, why: str) -> None:
    rule, arrange = REFUSALS[why]
    history, asking = known_enterprise(), bank()
    arrange(history.uscc, asking)
    response = ask(client, token(asking), history.uscc, key="refused", classes=[1, 2])
    assert (response.status_code, response.content_type) == (403, "application/problem+json")
    assert response.json["type"].endswith(f"/problems/{rule}")
    (entry,) = entries(*QUERIES)
    assert (entry["type"], entry["rule"], entry["outcome"]) == ("query.refused", rule, "refused")
    assert (entry["uscc"], entry["institution"], entry["classes"]) == (history.uscc, asking, [1, 2])
    assert entry["billable"] is False
    assert "answer_digest" not in entry
    with db.reading() as reading:
        assert verification.verify(reading).ok


def test_an_unknown_enterprise_and_one_that_gave_no_consent_cannot_be_told_apart(
    house: House, client: FlaskClient
) -> None:
    known, unknown, bearer = known_enterprise().uscc, new_uscc(), token(bank())
    told = [ask(client, bearer, uscc).json | {"instance": None} for uscc in (known, unknown)]
    assert told[0] == told[1]
    assert [(entry["uscc"], entry["rule"]) for entry in entries("query.refused")] == [
        (known, "no-consent"),
        (unknown, "no-consent"),
    ]


def test_a_code_that_cannot_be_is_422_and_no_entry_unless_the_directory_has_it(
    house: House, client: FlaskClient
) -> None:
    early, asking = "91350100M0001TGQXM", bank()
    bearer, before = token(asking), trail_length()
    refused = [ask(client, bearer, uscc) for uscc in (early, "nobody", "91320500MA1XY8014d")]
    assert [response.status_code for response in refused] == [422] * 3
    assert all(response.json["type"].endswith("/problems/invalid-uscc") for response in refused)
    assert trail_length() == before
    deliver([registration(1, early, "演示老字号")], lenient_uscc=True)
    assert ask(client, bearer, early).json["type"].endswith("/problems/no-consent")
    consent(early, asking)
    assert ask(client, bearer, early).json["name"] == "演示老字号"


def test_a_body_or_a_key_that_is_wrong_is_no_question_and_no_entry(house: House, client: FlaskClient) -> None:
    history, bearer = known_enterprise(), token(bank())
    before = trail_length()
    wrong = ({"operator": None}, {"purpose": "curiosity"}, {"classes": [8]}, {"classes": []}, {"extra": 1})
    assert [ask(client, bearer, history.uscc, **changes).status_code for changes in wrong] == [422] * len(wrong)
    assert ask(client, bearer, history.uscc, key=" ").status_code == 400
    assert ask(client, "no-token", history.uscc).status_code == 401
    assert ask(client, token(bank(), ["consent:read"]), history.uscc).status_code == 403
    assert trail_length() - before == 2  # the other bank and its client


def test_where_the_producer_fails_nothing_is_written_and_the_key_is_not_spent(
    house: House, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, asking = known_enterprise(), bank()
    consent(history.uscc, asking)
    bearer = token(asking)
    before = trail_length()
    with monkeypatch.context() as patch:
        patch.setattr(answers, "records", lambda asked, dossier: 1 / 0)
        failed = ask(client, bearer, history.uscc, key="once")
    assert (failed.status_code, failed.json["type"].rsplit("/", 1)[1]) == (500, "internal-error")
    assert trail_length() == before
    assert ask(client, bearer, history.uscc, key="once").status_code == 200
    assert [entry["type"] for entry in entries(*QUERIES)] == ["query.answered"]


def test_the_producer_is_called_only_when_all_has_been_decided(house: House) -> None:
    """Neither a refusal nor an altered folio reaches it, and it is given the opened classes and no others."""
    history, asking, seen = known_enterprise(), bank(), list[Any]()

    def produce(asked: Any, dossier: Any) -> Produced:
        seen.append((asked.uscc, set(dossier.regions)))
        return Produced(b"{}", 0)

    with pytest.raises(NotPermitted):
        disclosure.disclose(question(asking, history.uscc), produce)
    consent(history.uscc, asking, classes=(1, 5))
    answer = disclosure.disclose(question(asking, history.uscc), produce)
    assert (answer.body, answer.digest) == (b"{}", hashlib.sha256(b"{}").digest())
    with db.transaction() as tx:
        tx.execute(text("UPDATE folio SET suite = 9 WHERE class = 5"))
    with pytest.raises(Altered):
        disclosure.disclose(question(asking, history.uscc), produce)
    assert seen == [(history.uscc, {1, 5})]


def test_a_question_at_the_counter_goes_through_the_same_door(house: House) -> None:
    history, asking = known_enterprise(), bank()
    consent(history.uscc, asking)
    answer = disclosure.disclose(
        question(asking, history.uscc, channel="counter", key=None, actor="counter", client=None),
        answers.records,
    )
    (entry,) = entries("query.answered")
    assert (entry["channel"], entry["actor"], entry["answer_digest"]) == (
        "counter",
        "counter",
        answer.digest.hex(),
    )
    assert orjson.loads(answer.body)["classes"] == history.classes_at(vault.LATEST, CLASSES)
