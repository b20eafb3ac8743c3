# SPDX-License-Identifier: Apache-2.0
"""The one door under stress: an unwritable trail, a consent revoked meanwhile, twins with one key."""

import threading
import time
from typing import Any

import pytest
from sqlalchemy import text

from app.application import create_app
from audit import verification
from bureau import answers, disclosure
from bureau.disclosure import Answer
from consent import consents, store
from kernel import clock, db
from kernel.errors import BureauError, Conflict, NotPermitted
from tests.bureau.histories import History, electricity, entries
from tests.bureau.threads import at_once
from tests.conftest import PUBLIC_URL, House
from tests.factories import COUNTER, ask, bank, consent, new_uscc, question, registration, token

QUERIES = ("query.answered", "query.refused", "query.replayed")
SECRET = "绝不外泄的经营范围"

RAISING = "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'disk full'; END $$"
BREAK: dict[tuple[str, str], list[str]] = {
    ("sqlite", "no table"): ["ALTER TABLE entry RENAME TO entry_away"],
    ("postgresql", "no table"): ["ALTER TABLE entry RENAME TO entry_away"],
    ("sqlite", "insert fails"): [
        "CREATE TRIGGER fail BEFORE INSERT ON entry BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    ],
    ("postgresql", "insert fails"): [
        RAISING,
        "CREATE TRIGGER fail BEFORE INSERT ON entry FOR EACH ROW EXECUTE FUNCTION fail()",
    ],
    ("sqlite", "note fails"): ["DROP TABLE unsealed"],
    ("postgresql", "note fails"): ["DROP TABLE unsealed"],
    ("sqlite", "commit fails"): [
        "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
        "CREATE TABLE child (parent INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)",
        "CREATE TRIGGER fail AFTER INSERT ON entry BEGIN INSERT INTO child VALUES (1); END",
    ],
    ("postgresql", "commit fails"): [
        RAISING,
        (
            "CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON entry DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION fail()"
        ),
    ],
}
MEND = {
    "no table": ["ALTER TABLE entry_away RENAME TO entry"],
    "insert fails": ["DROP TRIGGER fail"],
    "note fails": ["CREATE TABLE unsealed (entry VARCHAR(36) PRIMARY KEY)"],
    "commit fails": ["DROP TRIGGER fail"],
}


def execute(statements: list[str]) -> None:
    with db.transaction() as tx:
        for statement in statements:
            tx.execute(text(statement))


def consented(asking: str) -> str:
    history = History(new_uscc())
    history.deliver([registration(1, history.uscc, **{"C1.01.20": SECRET}), electricity(2, history.uscc)])
    consent(history.uscc, asking)
    return history.uscc


@pytest.mark.parametrize("how", MEND)
def test_where_no_entry_can_be_written_there_is_no_answer(open_house: House, how: str) -> None:
    client, asking = create_app(PUBLIC_URL).test_client(), bank()
    uscc, bearer = consented(asking), token(asking)
    first = ask(client, bearer, uscc, key="first")
    before = entries()
    execute(BREAK[open_house.engine, how])
    shown = {"Authorization": f"Bearer {bearer}"}
    responses = [
        ask(client, bearer, uscc, key="second"),
        ask(client, bearer, uscc, key="first"),
        client.get(f"/v1/credit-queries/{first.json['query_id']}", headers=shown),
        ask(client, bearer, new_uscc()),
    ]
    for response in responses:
        assert (response.status_code, response.content_type) == (503, "application/problem+json")
        assert response.json["type"].endswith("/problems/audit-unavailable")
        assert response.headers["Retry-After"]
        assert SECRET not in response.text
        assert "classes" not in response.json
    on = " ON entry" if open_house.engine == "postgresql" and "TRIGGER" in MEND[how][0] else ""
    execute([statement + on for statement in MEND[how]])
    assert entries() == before
    assert ask(client, bearer, uscc, key="first").data == first.data
    assert ask(client, bearer, uscc, key="second").status_code == 200
    assert [entry["type"] for entry in entries(*QUERIES)] == [
        "query.answered",
        "query.replayed",
        "query.answered",
    ]


def test_no_question_that_began_after_a_revocation_is_answered(open_house: House) -> None:
    asking = bank()
    uscc = consented(asking)
    answered: list[tuple[float, str]] = []
    faults: list[Any] = []
    stop = threading.Event()

    def keep_asking() -> None:
        while not stop.is_set():
            began = time.monotonic()
            try:
                answered.append((began, disclosure.disclose(question(asking, uscc), answers.records).query_id))
            except NotPermitted as refusal:
                if refusal.slug != "no-consent":
                    faults.append(refusal)
            except BureauError as error:
                faults.append(error)

    threads = [threading.Thread(target=keep_asking) for _ in range(16)]
    for thread in threads:
        thread.start()
    time.sleep(0.4)
    with db.transaction() as tx:
        (live,) = store.listed(tx, clock.now(), uscc=uscc)
        consents.revoke(tx, live["consent_id"], COUNTER)
    acknowledged = time.monotonic()
    time.sleep(0.4)
    stop.set()
    for thread in threads:
        thread.join()
    assert faults == []
    assert [began for began, _ in answered if began > acknowledged] == []
    assert answered, "nobody was answered before"
    told = entries(*QUERIES)
    assert {entry["id"] for entry in told if entry["type"] == "query.answered"} == {one for _, one in answered}
    assert {entry["rule"] for entry in told if entry["type"] == "query.refused"} == {"no-consent"}
    with db.reading() as reading:
        assert verification.verify(reading).ok


def test_of_twins_with_one_key_one_is_answered_and_the_others_get_its_bytes(open_house: House) -> None:
    asking = bank()
    uscc, told = consented(asking), 0
    for round_ in range(5):
        twins = [question(asking, uscc, key=f"key-{round_}") for _ in range(6)]
        outcomes = at_once([lambda twin=twin: disclosure.disclose(twin, answers.records) for twin in twins])  # type: ignore[misc]
        given = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
        waited = [outcome for outcome in outcomes if not isinstance(outcome, Answer)]
        assert all(isinstance(outcome, Conflict) for outcome in waited), waited
        assert len({answer.body for answer in given}) == len({answer.query_id for answer in given}) == 1
        assert len(entries("query.answered")) == round_ + 1
        assert disclosure.disclose(twins[0], answers.records).body == given[0].body
        told += len(given) + 1
        assert len(entries(*QUERIES)) == told


def test_of_twins_with_one_key_and_two_bodies_one_is_answered(open_house: House) -> None:
    asking = bank()
    uscc = consented(asking)
    for round_ in range(5):
        twins = [question(asking, uscc, key=f"key-{round_}", operator=f"OP-{n}") for n in range(2)]
        outcomes = at_once([lambda twin=twin: disclosure.disclose(twin, answers.records) for twin in twins])  # type: ignore[misc]
        slugs = sorted(getattr(outcome, "slug", "answered") for outcome in outcomes)
        assert slugs == ["answered", "idempotency-key-reused"]
    assert len(entries(*QUERIES)) == len(entries("query.answered")) == 5


def test_questions_with_keys_of_their_own_do_not_wait_for_one_another(open_house: House) -> None:
    asking = bank()
    uscc = consented(asking)
    asked = [question(asking, uscc) for _ in range(24)]
    outcomes = at_once([lambda one=one: disclosure.disclose(one, answers.records) for one in asked])  # type: ignore[misc]
    assert all(isinstance(outcome, Answer) for outcome in outcomes), outcomes
    assert len({outcome.query_id for outcome in outcomes}) == len(entries("query.answered")) == 24
