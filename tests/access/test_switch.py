# SPDX-License-Identifier: Apache-2.0
"""The kill switch: counts at the very next request in every process, and leaves what it stopped as it was."""

import os
import subprocess
import sys
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from access import clients, institutions, switch, tokens
from access.models import client as client_table
from app.application import create_app
from audit.models import entry as entries
from kernel import db
from kernel.errors import Conflict, NotFound
from tests import factories
from tests.conftest import PUBLIC_URL, House
from tests.kernel.test_problems import assert_problem

SCOPES = frozenset({"consent:read"})


@pytest.fixture
def known(house: House) -> dict[str, str]:
    return know()


def know() -> dict[str, str]:
    """An institution, a client of it, its secret and a token."""
    bank = factories.bank()
    with db.transaction() as tx:
        client_id, secret = clients.add(tx, bank, tuple(SCOPES))
        bearer, _ = tokens.issue(tx, SCOPES, tokens.CLIENT_TOKEN_LIFE, client_id=client_id)
    return {"institution": bank, "client": client_id, "secret": secret, "bearer": bearer}


def listed(client: FlaskClient, bearer: str) -> Any:
    return client.get("/v1/consents", headers={"Authorization": f"Bearer {bearer}"})


def ask_token(client: FlaskClient, known: dict[str, str]) -> Any:
    form = {"grant_type": "client_credentials"}
    return client.post("/oauth/token", data=form, auth=(known["client"], known["secret"]))


@pytest.mark.parametrize(
    ("kind", "status", "slug"),
    [("client", 403, "client-stopped"), ("institution", 403, "institution-stopped"), ("all", 503, "service-stopped")],
)
def test_a_stop_counts_at_the_next_request_and_until_it_is_taken_back(
    client: FlaskClient, known: dict[str, str], kind: str, status: int, slug: str
) -> None:
    other = know()
    assert listed(client, known["bearer"]).status_code == 200
    with db.transaction() as tx:
        stopped = switch.stop(tx, kind, known.get(kind), "密钥泄露")
    for response in (listed(client, known["bearer"]), ask_token(client, known)):
        assert_problem(response, status, slug)
        assert ("Retry-After" in response.headers) == (status == 503)
    assert listed(client, other["bearer"]).status_code == (503 if kind == "all" else 200)
    with db.transaction() as tx:
        switch.start(tx, stopped["switch"])
    assert listed(client, known["bearer"]).status_code == 200
    assert ask_token(client, known).status_code == 200


def test_the_widest_stop_is_the_one_that_is_told(client: FlaskClient, known: dict[str, str]) -> None:
    for kind, slug in (
        ("institution", "institution-stopped"),
        ("client", "client-stopped"),
        ("all", "service-stopped"),
    ):
        with db.transaction() as tx:
            switch.stop(tx, kind, known.get(kind), "演练")
        assert listed(client, known["bearer"]).json["type"].endswith(slug)


def test_people_sign_in_and_work_while_all_clients_are_stopped(client: FlaskClient, known: dict[str, str]) -> None:
    enterprise = factories.new_uscc()
    username, password = factories.person("enterprise", enterprise)
    with db.transaction() as tx:
        switch.stop(tx, "all", None, "演练")
    session = client.post("/v1/sessions", json={"username": username, "password": password})
    assert session.status_code == 201
    assert listed(client, session.json["token"]).status_code == 200
    assert_problem(listed(client, known["bearer"]), 503, "service-stopped")


def test_a_stranger_learns_nothing_of_a_stop(client: FlaskClient, known: dict[str, str]) -> None:
    with db.transaction() as tx:
        switch.stop(tx, "all", None, "演练")
    assert ask_token(client, known | {"secret": "wrong"}).status_code == 401
    assert_problem(listed(client, "unknown"), 401, "invalid-token")


def test_taking_a_stop_back_leaves_a_status_as_it_was(client: FlaskClient, known: dict[str, str]) -> None:
    with db.transaction() as tx:
        institutions.act(tx, known["institution"], "suspend", reason="演练")
        clients.disable(tx, known["client"])
        for kind in ("client", "institution"):
            switch.stop(tx, kind, known[kind], "演练")
            switch.start(tx, switch.named(kind, known[kind]))
        assert institutions.get(tx, known["institution"]).status == "suspended"
        assert tx.scalar(select(client_table.c.status).where(client_table.c.id == known["client"])) == "disabled"


def test_stops_and_starts_are_entries_with_their_reason(house: House, known: dict[str, str]) -> None:
    with db.transaction() as tx:
        switch.stop(tx, "client", known["client"], "密钥泄露")
        assert [each["reason"] for each in switch.list_all(tx)] == ["密钥泄露"]
        with pytest.raises(Conflict):
            switch.stop(tx, "client", known["client"], "又一次")
        switch.start(tx, f"client:{known['client']}")
        with pytest.raises(NotFound):
            switch.start(tx, f"client:{known['client']}")
        leaves = tx.scalars(select(entries.c.bytes).where(entries.c.type.like("switch.%")).order_by(entries.c.id)).all()
    assert [("switch.stopped" in leaf.decode(), "密钥泄露" in leaf.decode()) for leaf in leaves] == [
        (True, True),
        (False, False),
    ]
    assert all(known["client"] in leaf.decode() for leaf in leaves)


@pytest.mark.parametrize("kind", ["client", "institution"])
def test_what_is_not_there_is_not_stopped(house: House, kind: str) -> None:
    for party in ("nobody", "", None):
        with db.transaction() as tx, pytest.raises(NotFound):
            switch.stop(tx, kind, party, "演练")


def test_a_stop_in_one_process_counts_in_another(open_house: House) -> None:
    known = know()
    client = create_app(PUBLIC_URL).test_client()
    assert listed(client, known["bearer"]).status_code == 200
    for arguments, status in (
        (["stop", "all", "--reason", "演练"], 503),
        (["start", "all"], 200),
        (["stop", "institution", known["institution"], "--reason", "演练"], 403),
        (["start", "institution", known["institution"]], 200),
        (["client", "disable", known["client"]], 401),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "app.cli", *arguments],
            env={**os.environ, **open_house.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert listed(client, known["bearer"]).status_code == status
