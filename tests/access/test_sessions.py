# SPDX-License-Identifier: Apache-2.0
"""People: they sign in with what they know, get the scopes of their role, and sign out for good."""

from datetime import datetime, timedelta
from typing import Any

import argon2
import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from access import models, people, tokens
from access.schemas import SessionSchema
from audit.models import entry as entries
from kernel import clock, db
from kernel.errors import Conflict, Invalid
from tests import factories
from tests.conftest import House
from tests.kernel.test_problems import assert_problem, on_one_engine

CURRENT = "/v1/sessions/current"


def person(role: str = "enterprise", username: str | None = None) -> tuple[str, str]:
    """A new person: username and password."""
    return factories.person(role, factories.new_uscc() if role == "enterprise" else None, username)


def sign_in(client: FlaskClient, username: str, password: str) -> Any:
    return client.post("/v1/sessions", json={"username": username, "password": password})


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@on_one_engine
@pytest.mark.parametrize("role", people.ROLE_SCOPES)
def test_a_session_carries_the_scopes_of_the_role(client: FlaskClient, role: str) -> None:
    response = sign_in(client, *person(role))
    assert response.status_code == 201
    session = response.json
    assert SessionSchema().validate(session) == {}
    assert session["scopes"] == sorted(people.ROLE_SCOPES[role])
    lives = datetime.fromisoformat(session["expires_at"]) - clock.now()
    assert timedelta() < lives <= tokens.SESSION_LIFE
    allowed = client.get("/v1/consents", headers=bearer(session["token"])).status_code == 200
    assert allowed == ("consent:read" in people.ROLE_SCOPES[role])


def test_a_wrong_name_and_a_wrong_password_cannot_be_told_apart(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with db.transaction() as tx:
        username, password = people.add(tx, "enterprise", factories.new_uscc())
    hashes: list[str] = []

    class Counting(argon2.PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # noqa: A002
            hashes.append(str(hash))
            return super().verify(hash, password)

    monkeypatch.setattr(people, "_hasher", Counting())
    tried = [(username, "wrong"), ("nobody", "wrong"), ("nobody", password), (username.upper(), password)]
    told = []
    for name, secret in tried:
        response = client.post(
            "/v1/sessions", json={"username": name, "password": secret}, headers={"X-Request-Id": "same"}
        )
        assert_problem(response, 401, "sign-in-failed")
        told.append((response.data, dict(response.headers)))
    assert all(each == told[0] for each in told)
    # the same work: one verification each, of a hash made with the same parameters
    assert len(hashes) == len(tried)
    parameters = [argon2.extract_parameters(each) for each in hashes]
    assert all(each == parameters[0] for each in parameters)


def test_a_person_who_left_cannot_sign_in_and_is_told_nothing_more(client: FlaskClient) -> None:
    username, password = person()
    with db.transaction() as tx:
        tx.execute(models.person.update().values(status="left"))
    assert_problem(sign_in(client, username, password), 401, "sign-in-failed")


def test_signing_out_ends_the_session_and_no_other(client: FlaskClient) -> None:
    username, password = person()
    first, second = (sign_in(client, username, password).json["token"] for _ in range(2))
    response = client.delete(CURRENT, headers=bearer(first))
    assert (response.status_code, response.data) == (204, b"")
    assert_problem(client.get("/v1/consents", headers=bearer(first)), 401, "invalid-token")
    assert_problem(client.delete(CURRENT, headers=bearer(first)), 401, "invalid-token")
    assert client.get("/v1/consents", headers=bearer(second)).status_code == 200


def test_a_session_ends_by_itself(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    session = factories.signatory(factories.new_uscc())
    assert client.get("/v1/consents", headers=bearer(session)).status_code == 200
    later = clock.now() + tokens.SESSION_LIFE
    monkeypatch.setattr(clock, "now", lambda: later)
    assert_problem(client.get("/v1/consents", headers=bearer(session)), 401, "invalid-token")


def test_a_clients_token_is_no_session_to_sign_out_of(client: FlaskClient) -> None:
    token = factories.token(factories.bank(), ["consent:read"])
    assert_problem(client.delete(CURRENT, headers=bearer(token)), 403, "not-permitted")
    assert client.get("/v1/consents", headers=bearer(token)).status_code == 200


@on_one_engine
def test_credentials_are_bounded_and_nothing_else_is_taken(client: FlaskClient) -> None:
    bad: list[tuple[dict[str, Any], set[str]]] = [
        ({}, {"username", "password"}),
        ({"username": "", "password": ""}, {"username", "password"}),
        ({"username": "x" * 65, "password": "y" * 201}, {"username", "password"}),
        ({"username": None, "password": ["x"]}, {"username", "password"}),
        ({"username": "x", "password": "y", "role": "admin"}, {"role"}),
    ]
    for body, fields in bad:
        told = assert_problem(client.post("/v1/sessions", json=body), 422, "invalid-field")
        assert told["errors"].keys() == fields


def test_a_password_is_long_random_and_kept_as_argon2id(house: House) -> None:
    with db.transaction() as tx:
        known = {people.add(tx, "finance") for _ in range(2)}
        kept = tx.scalars(select(models.person.c.password_hash)).all()
    assert len({password for _, password in known}) == 2
    assert all(len(password) >= 20 for _, password in known)
    assert len(set(kept)) == 2
    assert all(each.startswith("$argon2id$") for each in kept)
    # RFC 9106 §4, the second recommended option: 64 MiB, three passes, four lanes
    assert all("$m=65536,t=3,p=4$" in each for each in kept)


def test_a_persons_coming_is_an_entry_without_the_password(house: House) -> None:
    username, password = person("compliance", "officer-1")
    assert username == "officer-1"
    with db.reading() as reading:
        entry = reading.execute(select(entries).where(entries.c.type == "person.added")).one()
    assert b'"username":"officer-1"' in entry.bytes
    assert password.encode() not in entry.bytes


def test_a_person_who_cannot_be_is_refused(house: House) -> None:
    with db.transaction() as tx:
        for role, enterprise in (("root", None), ("enterprise", None), ("admin", factories.new_uscc())):
            with pytest.raises(Invalid):
                people.add(tx, role, enterprise)
        with pytest.raises(Invalid, match="unified social credit code"):
            people.add(tx, "enterprise", "91320599MA0000000X")
        people.add(tx, "finance", username="once")
        with pytest.raises(Conflict):
            people.add(tx, "admin", username="once")
