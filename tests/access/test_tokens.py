# SPDX-License-Identifier: Apache-2.0
"""Tokens and clients: secrets that nobody can read back, and an end that counts at the next request."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import inspect, select, text

from access import clients, models, people, tokens
from access.registered import find, secret_hash
from app.application import create_app
from audit.models import entry as entries
from kernel import clock, db
from kernel.errors import Invalid, NotFound
from tests import factories
from tests.conftest import PUBLIC_URL, House
from tests.kernel.test_problems import assert_problem


def listed(client: FlaskClient, bearer: str) -> Any:
    return client.get("/v1/consents", headers={"Authorization": f"Bearer {bearer}"})


@pytest.fixture
def registered(house: House) -> tuple[str, str, str]:
    """An institution's client and a token of it: client id, secret, token."""
    institution = factories.bank()
    with db.transaction() as tx:
        client_id, secret = clients.add(tx, institution, ("consent:read",))
        scopes = frozenset({"consent:read"})
        return client_id, secret, tokens.issue(tx, scopes, tokens.CLIENT_TOKEN_LIFE, client_id=client_id)[0]


def test_a_clients_token_lives_at_most_three_hundred_seconds() -> None:
    assert tokens.CLIENT_TOKEN_LIFE.total_seconds() <= 300


def test_a_token_works_until_the_instant_at_which_it_expires(
    client: FlaskClient, registered: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with db.reading() as reading:
        found = tokens.find(reading, registered[2])
    assert found is not None
    assert found.expires_at - found.issued_at == tokens.CLIENT_TOKEN_LIFE
    monkeypatch.setattr(clock, "now", lambda: found.expires_at - timedelta(microseconds=1))
    assert listed(client, registered[2]).status_code == 200
    monkeypatch.setattr(clock, "now", lambda: found.expires_at)
    assert_problem(listed(client, registered[2]), 401, "invalid-token")


def test_a_revoked_token_fails_at_once_and_its_siblings_do_not(
    client: FlaskClient, registered: tuple[str, str, str]
) -> None:
    with db.transaction() as tx:
        sibling, _ = tokens.issue(tx, frozenset({"consent:read"}), tokens.CLIENT_TOKEN_LIFE, client_id=registered[0])
    assert listed(client, registered[2]).status_code == 200
    for _ in range(2):
        with db.transaction() as tx:
            tokens.revoke(tx, tokens.token_hash(registered[2]))
        assert_problem(listed(client, registered[2]), 401, "invalid-token")
    assert listed(client, sibling).status_code == 200


def test_a_disabled_clients_token_and_secret_fail_at_once(
    client: FlaskClient, registered: tuple[str, str, str]
) -> None:
    client_id, secret, bearer = registered
    assert listed(client, bearer).status_code == 200
    with db.transaction() as tx:
        clients.disable(tx, client_id)
        kinds = tx.scalars(select(entries.c.type).where(entries.c.type.like("client.%"))).all()
    assert sorted(kinds) == ["client.added", "client.disabled"]
    assert_problem(listed(client, bearer), 401, "invalid-token")
    response = client.post("/oauth/token", data={"grant_type": "client_credentials"}, auth=(client_id, secret))
    assert (response.status_code, response.json["error"]) == (401, "invalid_client")


def test_a_person_who_is_no_longer_active_has_no_session(client: FlaskClient) -> None:
    bearer = factories.signatory(factories.new_uscc())
    assert listed(client, bearer).status_code == 200
    with db.transaction() as tx:
        tx.execute(models.person.update().values(status="left"))
    assert_problem(listed(client, bearer), 401, "invalid-token")


@pytest.mark.parametrize("change", [str.upper, str.lower, lambda token: token[:-1], lambda token: token + "="])
def test_a_token_that_is_nearly_right_is_wrong(
    client: FlaskClient, registered: tuple[str, str, str], change: Callable[[str], str]
) -> None:
    assert_problem(listed(client, change(registered[2])), 401, "invalid-token")


def test_neither_tokens_nor_secrets_nor_passwords_stand_in_any_column(open_house: House) -> None:
    client, institution, enterprise = (
        create_app(PUBLIC_URL).test_client(),
        factories.bank(),
        factories.new_uscc(),
    )
    with db.transaction() as tx:
        client_id, secret = clients.add(tx, institution, ("credit:query",))
        username, password = people.add(tx, "enterprise", enterprise)
    form = {"grant_type": "client_credentials"}
    bearer = client.post("/oauth/token", data=form, auth=(client_id, secret)).json["access_token"]
    session = client.post("/v1/sessions", json={"username": username, "password": password}).json["token"]
    factories.ask(client, bearer, enterprise)
    stored = _everything(open_house)
    assert tokens.token_hash(bearer) in stored
    assert secret_hash(secret) in stored
    for hidden in (secret, password, bearer, session):
        assert hidden.encode() not in stored
        assert hidden.encode().hex().encode() not in stored


def test_expired_tokens_are_tidied_away_and_others_stay(house: House) -> None:
    institution = factories.bank()
    for minutes in (-61, -59, 5):
        factories.token(institution, ["consent:read"], timedelta(minutes=minutes))
    with db.transaction() as tx:
        assert tokens.tidy(tx, timedelta(hours=1)) == 1
        assert tokens.tidy(tx, timedelta(hours=1)) == 0
        assert len(tx.execute(select(models.token)).all()) == 2


def test_a_token_knows_its_holder(house: House, registered: tuple[str, str, str]) -> None:
    with db.reading() as reading:
        found = tokens.find(reading, registered[2])
        assert tokens.find(reading, "unknown") is None
    assert found is not None
    principal = found.principal
    assert (principal.actor, principal.client) == (f"client:{registered[0]}", registered[0])
    assert principal.institution is not None
    assert (principal.person, principal.uscc, principal.source) == (None, None, None)


@pytest.mark.parametrize(
    ("scopes", "is_source"),
    [
        ((), False),
        (("consent:write",), False),
        (("batch:write",), False),
        (("credit:query", "admin"), False),
        (("credit:query",), True),
        ((), True),
    ],
)
def test_a_scope_that_the_party_cannot_have_is_refused(house: House, scopes: tuple[str, ...], is_source: bool) -> None:
    party = "S01" if is_source else factories.bank()
    with db.transaction() as tx, pytest.raises(Invalid):
        clients.add(tx, party, scopes, is_source=is_source)


def test_a_client_needs_an_institution_that_exists_and_a_source_is_taken_at_its_word(house: House) -> None:
    with db.transaction() as tx:
        with pytest.raises(NotFound):
            clients.add(tx, "nobody", ("credit:query",))
        client_id, _ = clients.add(tx, "S01", ("batch:write",), is_source=True)
        found = find(tx, client_id)
        assert found is not None
        assert found.scopes == {"batch:write"}
        assert find(tx, "nobody") is None
        with pytest.raises(NotFound):
            clients.disable(tx, "nobody")


def _everything(house: House) -> bytes:
    """All bytes of the database: the files of SQLite, every column of every table of PostgreSQL."""
    if house.engine == "sqlite":
        file = Path(house.url.removeprefix("sqlite:///"))
        return b"".join(path.read_bytes() for path in sorted(file.parent.glob(f"{file.name}*")))
    with db.reading() as reading:
        found = []
        for table in inspect(reading).get_table_names():
            for row in reading.execute(text(f'SELECT * FROM "{table}"')):
                found += [each if isinstance(each, bytes) else str(each).encode() for each in row]
    return b"\n".join(found)
