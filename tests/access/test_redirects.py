# SPDX-License-Identifier: Apache-2.0
"""Redirect URIs: given with a client or replaced, at the counter and over the API; the newest list counts at once."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from access import clients, people, redirects
from kernel import db
from kernel.errors import Invalid, NotFound
from tests import factories
from tests.conftest import House
from tests.consent.redirecting import BACK, Bank
from tests.kernel.test_problems import assert_problem

OTHER = "http://127.0.0.1:8080/back?branch=12"


def put(client: FlaskClient, client_id: str, uris: list[str]) -> Any:
    token = factories.session(factories.person("admin")[0], people.ROLE_SCOPES["admin"])
    path = f"/v1/clients/{client_id}/redirect-uris"
    return client.put(path, json={"redirect_uris": uris}, headers={"Authorization": f"Bearer {token}"})


def test_what_replaces_the_list_counts_from_the_next_push_on(app: Flask, client: FlaskClient) -> None:
    bank = Bank(app)
    assert bank.push().status_code == 201
    answer = put(client, bank.client_id, [OTHER, OTHER])
    assert (answer.status_code, answer.json["redirect_uris"]) == (200, [OTHER])
    assert bank.push().json["error"] == "invalid_request"
    assert bank.push(redirect_uri=OTHER).status_code == 201
    assert put(client, bank.client_id, []).json["redirect_uris"] == []
    assert bank.push(redirect_uri=OTHER).json["error"] == "invalid_request"


def test_a_list_with_one_bad_address_changes_nothing(app: Flask, client: FlaskClient) -> None:
    bank = Bank(app)
    assert_problem(put(client, bank.client_id, [OTHER, "http://bank.example/"]), 422, "invalid-field")
    assert_problem(put(client, bank.client_id, [f"{BACK}/{number}" for number in range(11)]), 422, "invalid-field")
    assert bank.push().status_code == 201


def test_only_an_institutions_client_is_sent_answers(house: House, client: FlaskClient) -> None:
    with db.transaction() as tx:
        source, _ = clients.add(tx, "S01", clients.SOURCE_SCOPES, is_source=True)
    assert_problem(put(client, source, [BACK]), 404, "not-found")
    assert_problem(put(client, "unknown", [BACK]), 404, "not-found")
    with pytest.raises(Invalid), db.transaction() as tx:
        clients.add(tx, "S01", clients.SOURCE_SCOPES, is_source=True, redirect_uris=(BACK,))
    with pytest.raises(NotFound), db.transaction() as tx:
        clients.redirect_to(tx, source, (BACK,))


@pytest.mark.parametrize("uri", [BACK, OTHER, "http://[::1]:1/x", "http://localhost/x", "https://b.example:8443/a?b=c"])
def test_what_is_a_safe_address_can_be_registered(uri: str) -> None:
    assert redirects.checked((uri,)) == (uri,)


def test_the_origin_is_what_a_policy_names() -> None:
    assert redirects.origin_of(OTHER) == "http://127.0.0.1:8080"
    assert redirects.origin_of(BACK) == "https://bank.example"
