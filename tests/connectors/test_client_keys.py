# SPDX-License-Identifier: Apache-2.0
"""Keys that a client publishes: fetched by the messenger and never by a request, renewed when they change."""

from datetime import timedelta
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from access import client_keys, client_lists, clients, networks
from access.client_keys import Keys
from audit.models import entry
from connectors.client_keys import work_once
from kernel import clock, db
from tests import factories
from tests.access.signing import Signer, es256, ps256
from tests.access.test_authentication import ask, told
from tests.conftest import PUBLIC_URL, House
from tests.connectors.receivers import Receiver, receiving

HERE = networks.parse("127.0.0.0/8")


@pytest.fixture
def published() -> Any:
    with receiving() as receiver:
        yield receiver


def register(receiver: Receiver) -> str:
    bank = factories.bank()
    with db.transaction() as tx:
        return clients.add_signing(tx, bank, ("consent:read",), Keys(uri=f"{receiver.base}/jwks"))


def publish(receiver: Receiver, *signers: Signer, more: Any = ()) -> None:
    receiver.answers(200, orjson.dumps({"keys": [*(each.jwk for each in signers), *more]}))


def later(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    real = clock.now()
    monkeypatch.setattr(clock, "now", lambda: real + by)


def shown(client_id: str) -> Any:
    with db.reading() as reading:
        return client_lists.document(reading, client_id)


def test_a_clients_keys_are_fetched_and_an_assertion_fits(client: FlaskClient, published: Receiver) -> None:
    signer = es256("k1")
    client_id = register(published)
    told(ask(client, signer.form(client_id, PUBLIC_URL)))
    assert published.received == []  # no request has called anyone
    publish(published, signer, more=[{"kty": "oct", "k": "AAAA"}, {**ps256().jwk, "use": "enc"}, 7])
    assert work_once(HERE) == 1
    assert ask(client, signer.form(client_id, PUBLIC_URL)).status_code == 200
    assert [each["kid"] for each in shown(client_id)["keys"]] == ["k1"]
    assert work_once(HERE) == 0  # not due


def test_an_unknown_kid_makes_the_next_fetch_due_but_not_at_every_request(
    client: FlaskClient, published: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = es256("k1"), es256("k2")
    client_id = register(published)
    publish(published, old)
    work_once(HERE)
    publish(published, old, new)
    told(ask(client, new.form(client_id, PUBLIC_URL)))
    assert work_once(HERE) == 0  # wished a moment ago, when it was registered
    with monkeypatch.context() as patch:
        later(patch, client_keys.WISHED_EVERY + timedelta(seconds=1))
        told(ask(client, new.form(client_id, PUBLIC_URL, iat=None, exp=int(clock.now().timestamp()) + 50)))
        assert work_once(HERE) == 1
    assert ask(client, new.form(client_id, PUBLIC_URL)).status_code == 200
    publish(published, new)
    with monkeypatch.context() as patch:
        later(patch, client_keys.FETCH_EVERY * 2)
        assert work_once(HERE) == 1
    told(ask(client, old.form(client_id, PUBLIC_URL)))
    assert ask(client, new.form(client_id, PUBLIC_URL)).status_code == 200


def test_what_cannot_be_fetched_changes_nothing_and_is_told(
    client: FlaskClient, published: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = es256("k1")
    client_id = register(published)
    publish(published, signer)
    work_once(HERE)
    ahead = timedelta()
    for status, body in ((500, b""), (302, b""), (200, b"<html>"), (200, b'{"keys":[]}'), (200, b"[" * 70_000)):
        published.answers(status, body)
        ahead += client_keys.FETCH_EVERY * 2
        with monkeypatch.context() as patch:
            later(patch, ahead)
            assert work_once(HERE) == 0
        assert shown(client_id)["jwks_fault"]
        assert ask(client, signer.form(client_id, PUBLIC_URL)).status_code == 200


def test_an_address_that_is_not_public_is_not_called(house: House, published: Receiver) -> None:
    client_id = register(published)
    publish(published, es256())
    assert work_once(()) == 0
    assert "not a public address" in shown(client_id)["jwks_fault"]
    assert published.received == []


def test_a_change_of_published_keys_is_an_entry_and_no_change_is_none(
    house: House, published: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = es256(), es256()
    client_id = register(published)
    ahead = timedelta()
    for signer in (first, first, second):
        publish(published, signer)
        ahead += client_keys.FETCH_EVERY * 2
        with monkeypatch.context() as patch:
            later(patch, ahead)
            assert work_once(HERE) == 1
    with db.reading() as reading:
        said = [orjson.loads(each) for each in reading.scalars(entry.select().with_only_columns(entry.c.bytes))]
    changes = [each for each in said if each["type"] == "client.changed"]
    assert [each["detail"]["thumbprints"] for each in changes] == [[first.thumbprint], [second.thumbprint]]
    assert {each["actor"] for each in changes} == {f"client:{client_id}"}
