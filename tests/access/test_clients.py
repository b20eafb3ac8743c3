# SPDX-License-Identifier: Apache-2.0
"""Secrets that change hands without a gap: the overlap, its end, and never more than two."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from access import client_keys, client_lists, clients, institutions, lifecycle, models
from access.client_keys import Keys
from audit.models import entry as entries
from kernel import clock, db
from kernel.errors import Conflict, NotFound
from tests import factories
from tests.access.signing import Signer, es256
from tests.conftest import PUBLIC_URL, House
from tests.kernel.test_problems import assert_problem

GRANT = {"grant_type": "client_credentials"}


@pytest.fixture
def registered(house: House) -> tuple[str, str]:
    bank = factories.bank()
    with db.transaction() as tx:
        return clients.add(tx, bank, ("consent:read",))


def works(client: FlaskClient, client_id: str, secret: str) -> bool:
    response: Any = client.post("/oauth/token", data=GRANT, auth=(client_id, secret))
    assert response.status_code == 200 or (response.status_code, response.json["error"]) == (401, "invalid_client")
    return bool(response.status_code == 200)


def rotate(client_id: str, **more: Any) -> str:
    with db.transaction() as tx:
        return clients.rotate(tx, client_id, **more)


def test_the_secret_before_works_until_the_overlap_ends(
    client: FlaskClient, registered: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client_id, old = registered
    start = clock.now()
    new = rotate(client_id)
    assert new != old
    assert works(client, client_id, old)
    assert works(client, client_id, new)
    monkeypatch.setattr(clock, "now", lambda: start + timedelta(hours=23, minutes=59))
    assert works(client, client_id, old)
    monkeypatch.setattr(clock, "now", lambda: start + timedelta(hours=24, minutes=1))
    assert not works(client, client_id, old)
    assert works(client, client_id, new)


def test_without_an_overlap_the_secret_before_ends_at_once(client: FlaskClient, registered: tuple[str, str]) -> None:
    client_id, old = registered
    new = rotate(client_id, overlap=timedelta())
    assert not works(client, client_id, old)
    assert works(client, client_id, new)


def test_a_further_rotation_ends_the_oldest(client: FlaskClient, registered: tuple[str, str]) -> None:
    client_id, first = registered
    second, third = rotate(client_id), rotate(client_id)
    assert [works(client, client_id, each) for each in (first, second, third)] == [False, True, True]
    fourth = rotate(client_id, overlap=timedelta())
    assert [works(client, client_id, each) for each in (second, third, fourth)] == [False, False, True]


def test_rotations_at_once_leave_two_secrets(open_house: House) -> None:
    bank = factories.bank()
    with db.transaction() as tx:
        client_id, _ = clients.add(tx, bank, ("consent:read",))
    threads = [threading.Thread(target=rotate, args=(client_id,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with db.reading() as reading:
        ends = reading.scalars(select(models.client_secret.c.expires_at)).all()
    assert len(ends) == 2
    assert ends.count(None) == 1


def test_a_rotation_is_an_entry_without_the_secret(house: House, registered: tuple[str, str]) -> None:
    new = rotate(registered[0], overlap=timedelta(hours=2), by=lifecycle.Act("person:ada"))
    with db.reading() as reading:
        entry = reading.execute(select(entries).where(entries.c.type == "client.rotated")).one()
        secrets = client_lists.document(reading, registered[0])["secrets"]
    assert entry.actor == "person:ada"
    assert b'"overlap_hours":2' in entry.bytes
    assert new.encode() not in entry.bytes
    assert [bool(each["expires_at"]) for each in secrets] == [True, False]


def test_secrets_whose_overlap_is_over_are_tidied_away(
    house: House, registered: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rotate(registered[0])
    with db.transaction() as tx:
        assert clients.tidy(tx) == 0
    later = clock.now() + timedelta(hours=25)
    monkeypatch.setattr(clock, "now", lambda: later)
    with db.transaction() as tx:
        assert clients.tidy(tx) == 1
        assert clients.tidy(tx) == 0


def test_a_disabled_client_can_be_enabled_again(client: FlaskClient, registered: tuple[str, str]) -> None:
    for act, expected in ((clients.disable, False), (clients.enable, True)):
        with db.transaction() as tx:
            act(tx, registered[0])
        assert works(client, *registered) is expected


@pytest.mark.parametrize("act", [clients.rotate, clients.enable, clients.disable, client_lists.document])
def test_what_is_no_client_is_not_found(house: House, act: Any) -> None:
    with db.transaction() as tx, pytest.raises(NotFound):
        act(tx, "nobody")


def test_before_approval_and_after_closing_there_is_no_token(client: FlaskClient, house: House) -> None:
    with db.transaction() as tx:
        bank = institutions.apply_for(tx, "演示银行申请", "bank", institutions.Terms(), lifecycle.Act("person:ada"))
        client_id, secret = clients.add(tx, bank, ("consent:read",))
    refused = client.post("/oauth/token", data=GRANT, auth=(client_id, secret))
    assert_problem(refused, 403, "institution-not-approved")
    with db.transaction() as tx:
        institutions.act(tx, bank, "approve")
    issued = client.post("/oauth/token", data=GRANT, auth=(client_id, secret)).json["access_token"]
    shown = {"Authorization": f"Bearer {issued}"}
    assert client.get("/v1/consents", headers=shown).status_code == 200
    with db.transaction() as tx:
        institutions.act(tx, bank, "close", reason="合同终止")
    assert_problem(client.get("/v1/consents", headers=shown), 401, "invalid-token")
    assert_problem(client.post("/oauth/token", data=GRANT, auth=(client_id, secret)), 403, "institution-not-approved")


def test_the_keys_before_work_until_the_overlap_ends(
    client: FlaskClient, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = es256("old"), es256("new")
    bank = factories.bank()
    with db.transaction() as tx:
        client_id = clients.add_signing(tx, bank, ("consent:read",), Keys(old.jwks))
    with db.transaction() as tx:
        assert clients.rotate_keys(tx, client_id, Keys(new.jwks)) == [new.thumbprint]
    start = clock.now()

    def status(signer: Signer) -> int:
        now = int(clock.now().timestamp())
        form = {**GRANT, **signer.form(client_id, PUBLIC_URL, iat=now, exp=now + 60)}
        return client.post("/oauth/token", data=form).status_code

    assert (status(old), status(new)) == (200, 200)
    monkeypatch.setattr(clock, "now", lambda: start + timedelta(hours=23, minutes=59))
    assert (status(old), status(new)) == (200, 200)
    monkeypatch.setattr(clock, "now", lambda: start + timedelta(hours=24, minutes=1))
    assert (status(old), status(new)) == (401, 200)
    with db.transaction() as tx:
        assert client_keys.tidy(tx) == 1
        assert [each["kid"] for each in client_lists.document(tx, client_id)["keys"]] == ["new"]


def test_a_rotation_takes_what_its_client_authenticates_with(house: House, registered: tuple[str, str]) -> None:
    signer, bank = es256(), factories.bank()
    with db.transaction() as tx:
        client_id = clients.add_signing(tx, bank, ("consent:read",), Keys(signer.jwks))
    with pytest.raises(Conflict, match="private_key_jwt"), db.transaction() as tx:
        clients.rotate(tx, client_id)
    with pytest.raises(Conflict, match="has a secret"), db.transaction() as tx:
        clients.rotate_keys(tx, registered[0], Keys(signer.jwks))
