# SPDX-License-Identifier: Apache-2.0
"""The own dossier (条例 Art. 17): all of it, without a consent, through the one door, on record."""

import base64
import hashlib
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from audit.models import entry as entries
from bureau import vault
from bureau.schemas import OwnDossierSchema
from kernel import db
from kernel.keys import Altered
from tests import factories
from tests.kernel.test_problems import assert_problem


def read(client: FlaskClient, uscc: str, bearer: str | None = None) -> Any:
    headers = {"Authorization": f"Bearer {bearer or factories.signatory(uscc)}"}
    return client.get(f"/v1/enterprises/{uscc}/dossier", headers=headers)


def test_an_enterprise_reads_all_of_its_own_without_a_consent(client: FlaskClient) -> None:
    uscc = factories.new_uscc()
    factories.deliver([factories.registration(1, uscc)])
    answer = read(client, uscc)
    assert answer.status_code == 200
    told = answer.json
    assert OwnDossierSchema().validate(told) == {}
    assert (told["purpose"], told["product"], told["consent_id"]) == ("self", "records", None)
    assert told["classes"][0]["datasets"][0]["records"][0]["items"]["C1.01.02"] == uscc
    digest = hashlib.sha256(answer.data).digest()
    assert answer.headers["Content-Digest"] == f"sha-256=:{base64.b64encode(digest).decode()}:"
    with db.reading() as reading:
        row = reading.execute(select(entries).where(entries.c.id == told["query_id"])).one()
    assert (row.type, row.outcome, row.billable, row.uscc) == ("query.answered", "answered", False, uscc)
    assert digest.hex().encode() in row.bytes
    assert row.operator == row.actor.removeprefix("person:")


def test_it_is_in_its_access_log_with_its_purpose(client: FlaskClient) -> None:
    uscc = factories.new_uscc()
    bearer = factories.signatory(uscc)
    told = read(client, uscc, bearer).json
    assert told["classes"] == []
    log = client.get(f"/v1/enterprises/{uscc}/access-log", headers={"Authorization": f"Bearer {bearer}"}).json
    (line,) = log["entries"]
    assert (line["query_id"], line["purpose"], line["institution"]) == (told["query_id"], "self", None)
    assert line["classes"] == [1, 2, 3, 4, 5, 6, 7]


def test_it_is_there_after_collection_ended(client: FlaskClient) -> None:
    uscc = factories.new_uscc()
    collect = factories.consent(uscc, scope="collect")
    factories.deliver([factories.registration(1, uscc)])
    bearer = factories.signatory(uscc)
    ended = client.post(f"/v1/consents/{collect}/revoke", json={}, headers={"Authorization": f"Bearer {bearer}"})
    assert ended.status_code == 200
    assert len(read(client, uscc, bearer).json["classes"]) == 1


def test_nobody_reads_anothers(client: FlaskClient) -> None:
    uscc = factories.new_uscc()
    factories.deliver([factories.registration(1, uscc)])
    other = read(client, uscc, factories.signatory(factories.new_uscc()))
    assert_problem(other, 403, "not-your-enterprise")
    bank = read(client, uscc, factories.token(factories.bank(), ["credit:query"]))
    assert_problem(bank, 403, "insufficient-scope")


def test_a_folio_that_does_not_open_is_a_refusal_on_record(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    uscc = factories.new_uscc()

    def fail(*_: Any) -> None:
        raise Altered("what is stored does not open")

    monkeypatch.setattr(vault, "open_dossier", fail)
    assert_problem(read(client, uscc), 500, "record-altered")
    with db.reading() as reading:
        row = reading.execute(select(entries).where(entries.c.uscc == uscc, entries.c.type == "query.refused")).one()
    assert row.outcome == "refused"
