# SPDX-License-Identifier: Apache-2.0
"""Webhooks: signed as a receiver's library wants it, tried again, dead at last, replayed."""

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from flask.testing import FlaskClient
from sqlalchemy import func, select, update
from standardwebhooks import Webhook, WebhookVerificationError

from access import institutions
from audit.models import entry as entries
from connectors import messenger, webhooks
from connectors.models import webhook as webhook_table
from connectors.models import webhook_message as sent
from kernel import auth, clock, db
from tests import factories
from tests.connectors.receivers import Received, Receiver, receiving

LOOPBACK = (ip_network("127.0.0.0/8"),)


@pytest.fixture(autouse=True)
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """On PostgreSQL all of a test shares one connection, which is for one thread at a time."""
    monkeypatch.setattr(messenger, "AT_ONCE", 1)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture
def bank(client: FlaskClient) -> "Bank":
    return Bank(client)


class Bank:
    """An institution with a token, over HTTP."""

    def __init__(self, client: FlaskClient) -> None:
        self.id = factories.bank()
        self._client, self._token = client, factories.token(self.id)

    def call(self, method: str, path: str, body: Any = None, status: int = 200, **query: Any) -> Any:
        header = {"Authorization": f"Bearer {self._token}"}
        sending = {} if body is None else {"json": body}
        answer = self._client.open(f"/v1{path}", method=method, headers=header, query_string=query, **sending)
        assert answer.status_code == status, answer.json
        return answer.json

    def hook(self, receiver: Receiver) -> Any:
        return self.call("POST", "/webhooks", {"url": f"{receiver.base}/hook"}, 201)

    def sent(self, hook: Any, **query: Any) -> Any:
        return self.call("GET", f"/webhooks/{hook['webhook_id']}/messages", **query)["messages"]


def come_due() -> None:
    """As if all waiting had been waited out."""
    with db.transaction() as tx:
        tx.execute(update(sent).values(due_at=clock.now() - timedelta(seconds=1)))


def document(received: Received) -> Any:
    return json.loads(received.body)


def test_a_change_is_sent_and_a_receivers_library_believes_it(bank: Bank, receiver: Receiver) -> None:
    hook = bank.hook(receiver)
    consent = factories.consent(factories.new_uscc(), bank.id)
    assert messenger.work_once(LOOPBACK) == 1
    (came,) = receiver.received
    told = Webhook(hook["secret"]).verify(came.body, came.headers)
    assert (told["type"], told["data"]["consent_id"]) == ("consent.granted", consent)
    with pytest.raises(WebhookVerificationError):
        Webhook(hook["secret"]).verify(came.body.replace(b"granted", b"revoked"), came.headers)
    assert came.headers["content-type"] == "application/json"
    assert [each["state"] for each in bank.sent(hook)] == ["delivered"]
    assert messenger.work_once(LOOPBACK) == 0


def test_the_bureaus_own_signature_verifies_with_the_public_key_alone(bank: Bank, receiver: Receiver) -> None:
    hook = bank.hook(receiver)
    bank.call("POST", f"/webhooks/{hook['webhook_id']}/test", status=202)
    messenger.work_once(LOOPBACK)
    (came,) = receiver.received
    signatures = dict(each.split(",", 1) for each in came.headers["webhook-signature"].split(" "))
    signed = f"{came.headers['webhook-id']}.{came.headers['webhook-timestamp']}.".encode() + came.body
    key = base64.b64decode(hook["public_keys"][0].removeprefix("whpk_"))
    Ed25519PublicKey.from_public_bytes(key).verify(base64.b64decode(signatures["v1a"]), signed)
    assert document(came)["type"] == "webhook.test"


def test_only_what_happens_after_it_was_registered_is_sent(bank: Bank, receiver: Receiver) -> None:
    factories.consent(factories.new_uscc(), bank.id)
    bank.hook(receiver)
    assert messenger.work_once(LOOPBACK) == 0
    factories.consent(factories.new_uscc(), "platform")
    factories.consent(factories.new_uscc(), factories.bank())
    assert messenger.work_once(LOOPBACK) == 1


def test_a_failure_is_tried_again_under_the_same_id_and_with_the_same_body(bank: Bank, receiver: Receiver) -> None:
    hook = bank.hook(receiver)
    factories.consent(factories.new_uscc(), bank.id)
    receiver.answers(500)
    messenger.work_once(LOOPBACK)
    assert messenger.work_once(LOOPBACK) == 0, "not before its time"
    (waits,) = bank.sent(hook)
    assert (waits["state"], waits["attempts"], waits["told"]) == ("pending", 1, "answered 500")
    receiver.answers(204)
    come_due()
    assert messenger.work_once(LOOPBACK) == 1
    first, second = receiver.received
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
    assert bank.sent(hook)[0]["state"] == "delivered"


def test_what_is_never_taken_is_dead_at_last_and_lives_again_by_replay(bank: Bank, receiver: Receiver) -> None:
    hook = bank.hook(receiver)
    factories.consent(factories.new_uscc(), bank.id)
    receiver.answers(302, Location="http://127.0.0.1/elsewhere")
    for _ in range(len(messenger.AFTER) + 1):
        assert messenger.work_once(LOOPBACK) == 1
        come_due()
    assert messenger.work_once(LOOPBACK) == 0
    (dead,) = bank.sent(hook, state="dead")
    assert (dead["attempts"], dead["told"]) == (len(messenger.AFTER) + 1, "answered 302")
    assert bank.call("GET", f"/webhooks/{hook['webhook_id']}")["dead"] == 1
    receiver.answers(200)
    since = {"since": "2026-01-01T00:00:00Z"}
    assert bank.call("POST", f"/webhooks/{hook['webhook_id']}/replay", since, 202) == {"messages": 1}
    assert messenger.work_once(LOOPBACK) == 1
    assert bank.sent(hook, state="dead") == []
    assert len({each.headers["webhook-id"] for each in receiver.received}) == 1


def test_attempts_follow_the_schedule(bank: Bank, receiver: Receiver) -> None:
    hook = bank.hook(receiver)
    factories.consent(factories.new_uscc(), bank.id)
    receiver.answers(503)
    for planned in messenger.AFTER:
        before = clock.now()
        messenger.work_once(LOOPBACK)
        with db.reading() as reading:
            due = reading.scalar(select(sent.c.due_at).where(sent.c.webhook == hook["webhook_id"]))
        assert due is not None
        assert planned * 0.9 <= due - before <= planned * 1.1 + timedelta(seconds=30)
        come_due()


def test_a_server_that_asks_to_wait_is_waited_for(bank: Bank, receiver: Receiver) -> None:
    hook = bank.hook(receiver)
    factories.consent(factories.new_uscc(), bank.id)
    receiver.answers(429, Retry_After="3600")
    messenger.work_once(LOOPBACK)
    with db.reading() as reading:
        due = reading.scalar(select(sent.c.due_at).where(sent.c.webhook == hook["webhook_id"]))
    assert due is not None
    assert timedelta(minutes=59) < due - clock.now() < timedelta(minutes=61)


def test_gone_stops_the_webhook_on_record_until_it_is_resumed(bank: Bank, receiver: Receiver) -> None:
    hook = bank.hook(receiver)
    factories.consent(factories.new_uscc(), bank.id)
    receiver.answers(410)
    messenger.work_once(LOOPBACK)
    shown = bank.call("GET", f"/webhooks/{hook['webhook_id']}")
    assert (shown["status"], shown["dead"]) == ("stopped", 1)
    missed = factories.consent(factories.new_uscc(), bank.id)
    assert messenger.work_once(LOOPBACK) == 0
    receiver.answers(200)
    bank.call("POST", f"/webhooks/{hook['webhook_id']}/resume")
    assert messenger.work_once(LOOPBACK) == 1
    assert document(receiver.received[-1])["data"]["consent_id"] == missed
    with db.reading() as reading:
        told = reading.scalars(select(entries.c.type).where(entries.c.type.like("webhook.%")).order_by(entries.c.id))
        assert list(told) == ["webhook.added", "webhook.stopped", "webhook.resumed"]
    bank.call("POST", f"/webhooks/{hook['webhook_id']}/resume", status=409)


def test_after_a_rotation_both_secrets_sign_for_a_day(bank: Bank, receiver: Receiver) -> None:
    hook = bank.hook(receiver)
    fresh = bank.call("POST", f"/webhooks/{hook['webhook_id']}/rotate")
    assert fresh["secret"] != hook["secret"]
    factories.consent(factories.new_uscc(), bank.id)
    messenger.work_once(LOOPBACK)
    (came,) = receiver.received
    for secret in (hook["secret"], fresh["secret"]):
        Webhook(secret).verify(came.body, came.headers)
    with db.transaction() as tx:
        tx.execute(update(webhook_table).values(earlier_until=clock.now()))
    factories.consent(factories.new_uscc(), bank.id)
    messenger.work_once(LOOPBACK)
    with pytest.raises(WebhookVerificationError):
        Webhook(hook["secret"]).verify(receiver.received[-1].body, receiver.received[-1].headers)


def test_no_webhook_calls_into_networks_that_the_operator_does_not_list(bank: Bank, receiver: Receiver) -> None:
    hook = bank.hook(receiver)
    factories.consent(factories.new_uscc(), bank.id)
    messenger.work_once(())
    assert receiver.received == []
    (waits,) = bank.sent(hook)
    assert "not a public address" in waits["told"]


def test_what_one_killed_messenger_had_claimed_is_sent_by_the_next(bank: Bank, receiver: Receiver) -> None:
    bank.hook(receiver)
    factories.consent(factories.new_uscc(), bank.id)
    messenger.put_on_lists()
    now = clock.now()
    assert len(messenger.claim(now)) == 1  # and never delivered
    assert messenger.claim(now) == [], "claimed by another"
    assert len(messenger.claim(now + messenger.CLAIM)) == 1


def test_one_slow_webhook_does_not_take_all_places(bank: Bank, receiver: Receiver) -> None:
    bank.hook(receiver)
    for _ in range(10):
        factories.consent(factories.new_uscc(), bank.id)
    messenger.put_on_lists()
    assert len(messenger.claim(clock.now())) == messenger.AT_ONCE_EACH


def test_a_suspended_institution_is_told_once_it_is_resumed(bank: Bank, receiver: Receiver) -> None:
    bank.hook(receiver)
    with db.transaction() as tx:
        institutions.act(tx, bank.id, "suspend", reason="why")
    factories.consent(factories.new_uscc(), bank.id)
    assert messenger.work_once(LOOPBACK) == 0
    with db.transaction() as tx:
        institutions.act(tx, bank.id, "resume")
    assert messenger.work_once(LOOPBACK) == 1


def test_webhooks_are_few_and_removed_with_what_they_were_sent(bank: Bank, receiver: Receiver) -> None:
    hooks = [bank.hook(receiver) for _ in range(webhooks.MOST_WEBHOOKS)]
    bank.call("POST", "/webhooks", {"url": receiver.base}, 409)
    factories.consent(factories.new_uscc(), bank.id)
    assert messenger.work_once(LOOPBACK) == webhooks.MOST_WEBHOOKS
    for hook in hooks:
        bank.call("DELETE", f"/webhooks/{hook['webhook_id']}", status=204)
    assert bank.call("GET", "/webhooks") == {"webhooks": []}
    with db.reading() as reading:
        assert reading.scalar(select(func.count()).select_from(sent)) == 0


def test_a_secret_is_shown_once_and_kept_encrypted(bank: Bank, receiver: Receiver) -> None:
    hook = bank.hook(receiver)
    assert "secret" not in bank.call("GET", f"/webhooks/{hook['webhook_id']}")
    with db.reading() as reading:
        kept = reading.scalar(select(webhook_table.c.secret))
    assert kept is not None
    assert base64.b64decode(hook["secret"].removeprefix("whsec_")) not in kept


@pytest.mark.parametrize("url", ["ftp://bank.example/", "bank.example", "https://a:b@bank.example/", ""])
def test_what_is_no_url_is_refused_with_its_field(bank: Bank, url: str) -> None:
    assert "url" in bank.call("POST", "/webhooks", {"url": url}, 422)["errors"]


def test_the_operator_lists_every_webhook(bank: Bank, receiver: Receiver) -> None:
    hook = bank.hook(receiver)
    with db.reading() as reading:
        (listed,) = webhooks.list_all(reading)
    assert (listed["webhook_id"], listed["institution"], listed["pending"]) == (hook["webhook_id"], bank.id, 0)


def test_an_institution_without_a_token_of_its_own_has_none(client: FlaskClient) -> None:
    someone = auth.Principal("person:x", frozenset())
    with pytest.raises(Exception, match="only a client of an institution"), db.reading() as reading:
        webhooks.list_own(reading, someone)
